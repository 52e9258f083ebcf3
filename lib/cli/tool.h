/* A tool is a table and a function; lib/cli/main.c holds the one main.
 *
 * The option table is the only place where an option exists: the parser,
 * range checks, --help, the OPTIONS of the man page, bash completion, the keys
 * of a -c file, --stamp and the parameters stored in every output come from it.
 * Values: the table's default, then -c FILE (YAML), then the command line. */
#ifndef DK_CLI_TOOL_H
#define DK_CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* Where a value goes: STR, PATH, CHOICE -> const char *; INT -> int64_t;
 * REAL -> double; FLAG -> bool; LIST -> dk_strs (repeat the option, or commas). */
typedef enum dk_opt_kind {
    DK_OPT_END, DK_OPT_GROUP, DK_OPT_STR, DK_OPT_PATH, DK_OPT_CHOICE, DK_OPT_INT, DK_OPT_REAL,
    DK_OPT_FLAG, DK_OPT_LIST
} dk_opt_kind;

enum {
    DK_NOSTAMP = 1,     /* changes no result: stays out of stamps and files */
    DK_INERT = 2,       /* a key of the reference toolkit that means nothing
                         * here: accepted at its default, refused otherwise */
    DK_AUTO = 4         /* INT, REAL: "auto" is a value too, DK_AUTO_INT and NaN: the tool knows */
};
#define DK_AUTO_INT INT64_MIN

typedef struct dk_strs { size_t n; char **v; } dk_strs;

typedef struct dk_opt {
    dk_opt_kind kind;
    char letter;            /* 0: long form only */
    const char *name;       /* --name */
    size_t offset;
    const char *def;        /* text of the default; NULL: unset */
    double lo, hi;
    const char *choices;    /* "a|b|c" */
    const char *help;
    unsigned flags;
    const char *key;        /* the reference toolkit's full key, or NULL: the name
                             * with '_' for '-'.  Both are accepted in a -c file. */
} dk_opt;

#define DK_STR(T, l, n, f, d, h)          { DK_OPT_STR, l, n, offsetof(T, f), d, 0, 0, NULL, h, 0, NULL }
#define DK_PATH(T, l, n, f, d, h)         { DK_OPT_PATH, l, n, offsetof(T, f), d, 0, 0, NULL, h, 0, NULL }
#define DK_OUT(T, f, d, h)                { DK_OPT_PATH, 'o', "output", offsetof(T, f), d, 0, 0, NULL, h, DK_NOSTAMP, NULL }
#define DK_CHOICE(T, l, n, f, d, c, h)    { DK_OPT_CHOICE, l, n, offsetof(T, f), d, 0, 0, c, h, 0, NULL }
#define DK_INT(T, l, n, f, d, lo, hi, h)  { DK_OPT_INT, l, n, offsetof(T, f), d, lo, hi, NULL, h, 0, NULL }
#define DK_REAL(T, l, n, f, d, lo, hi, h) { DK_OPT_REAL, l, n, offsetof(T, f), d, lo, hi, NULL, h, 0, NULL }
#define DK_FLAG(T, l, n, f, h)            { DK_OPT_FLAG, l, n, offsetof(T, f), "false", 0, 0, NULL, h, 0, NULL }
#define DK_LIST(T, l, n, f, d, h)         { DK_OPT_LIST, l, n, offsetof(T, f), d, 0, 0, NULL, h, 0, NULL }
/* Numbers that depend on other options where they are not given. */
#define DK_INT_AUTO(T, l, n, f, lo, hi, h)  { DK_OPT_INT, l, n, offsetof(T, f), "auto", lo, hi, NULL, h, DK_AUTO, NULL }
#define DK_REAL_AUTO(T, l, n, f, lo, hi, h) { DK_OPT_REAL, l, n, offsetof(T, f), "auto", lo, hi, NULL, h, DK_AUTO, NULL }
/* A heading in --help. */
#define DK_GROUP(title)                   { DK_OPT_GROUP, 0, title, 0, NULL, 0, 0, NULL, NULL, DK_NOSTAMP, NULL }
/* The same as DK_INT and DK_STR with the reference toolkit's key. */
#define DK_INT_KEY(T, l, n, f, d, lo, hi, k, h)  { DK_OPT_INT, l, n, offsetof(T, f), d, lo, hi, NULL, h, 0, k }
#define DK_REAL_KEY(T, l, n, f, d, lo, hi, k, h) { DK_OPT_REAL, l, n, offsetof(T, f), d, lo, hi, NULL, h, 0, k }
#define DK_END                            { DK_OPT_END, 0, NULL, 0, NULL, 0, 0, NULL, NULL, 0, NULL }

struct dk_tool;

typedef struct dk_ctx {
    const struct dk_tool *tool;
    const void *params;
    int64_t threads;        /* 0: all cores */
    int64_t seed;
    int verbosity;          /* -1 quiet, 0, 1, 2 */
} dk_ctx;

typedef struct dk_tool {
    const char *name, *purpose;
    int algo;               /* raised by hand when the numbers it writes change */
    const char *usage;      /* what follows the name in the usage line */
    const dk_opt *opts;
    size_t params_size;
    int min_args, max_args; /* of the words that are not options; max -1: any */
    bool runs_others;       /* from the first word on, everything is another program's */
    /* Returns 0, or a negative code with err filled. */
    int (*run)(dk_ctx *ctx, const void *params, int n, char **args, dk_err *err);
} dk_tool;

extern const dk_tool dk_this_tool;      /* each tools/dk-NAME.c defines it */

#define DK_VERSION "0.1.0"

/* Fills params (zeroed, tool->params_size) and ctx.  *first = index of the
 * first word that is no option.  Returns 0, > 0 when --help, --version or
 * --stamp has answered on stdout, < 0 with err. */
int dk_opts_parse(const dk_tool *tool, int argc, char **argv, dk_ctx *ctx, void *params,
                  int *first, dk_err *err);
void dk_opts_release(const dk_tool *tool, void *params);

/* The resolved parameters as one JSON object, keys in table order, paths as
 * bare names, NOSTAMP options left out: what an output file records. */
void dk_params_json(const dk_ctx *ctx, dk_buf *out);
/* "dk-NAME VERSION algo N": what an output file calls its writer. */
void dk_writer_text(const dk_ctx *ctx, dk_buf *out);

#endif
