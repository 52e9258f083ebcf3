/* Jinja: the part of the template language that chat templates are written in,
 * with the settings of the transformers library (trim_blocks, lstrip_blocks,
 * loop controls, values that cannot be changed, {% generation %} blocks).
 *
 * Known: for (filter, else, recursive, break, continue, loop.*), if, set (also
 * of namespaces, and as a block), macro, call, filter, with, raw, generation;
 * all expressions; the filters, tests, functions and methods listed in
 * jinjafilter.c, jinjaseq.c, jinjatest.c, jinjacall.c and jinjastr.c.  Anything
 * else is refused by name when it is met: tags when the template is read,
 * the rest when it is run.
 *
 * A template is a foreign program: its memory, work and nesting are bounded. */
#ifndef DK_TEXT_JINJA_H
#define DK_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/json.h"
#include "text/tokspec.h"

typedef struct dk_jinja dk_jinja;           /* a parsed template; not changed by runs */
typedef struct dk_jinja_run dk_jinja_run;

/* 0 stands for the default. */
typedef struct dk_jinja_limits {
    size_t memory;                          /* bytes of all values together: 512 MiB */
    uint64_t work;                          /* steps, or 64 bytes of text each: 50 million */
} dk_jinja_limits;

/* name: in messages, "NAME, line 3: ...".  The text need not outlive the call.
 * DK_EDATA. */
int dk_jinja_parse(dk_jinja **out, const char *text, size_t n, const char *name, dk_err *err);
void dk_jinja_free(dk_jinja **t);
/* Whether it has {% generation %} blocks. */
bool dk_jinja_marks_generation(const dk_jinja *t);

/* A run: variables are set, then it is rendered, once.  t and every text and
 * value that is given must live until the end; texts are valid UTF-8. */
dk_jinja_run *dk_jinja_begin(const dk_jinja *t, const dk_jinja_limits *limits);
void dk_jinja_end(dk_jinja_run **r);

/* What strftime_now tells, in seconds since 1970, UTC; without: 26 July 2024. */
void dk_jinja_now(dk_jinja_run *r, int64_t seconds);
void dk_jinja_set_none(dk_jinja_run *r, const char *name);
void dk_jinja_set_bool(dk_jinja_run *r, const char *name, bool v);
void dk_jinja_set_text(dk_jinja_run *r, const char *name, dk_span v);
void dk_jinja_set_json(dk_jinja_run *r, const char *name, const dk_json *v);
/* Appends to the variable "messages".  mark > 0 follows the content to where it
 * is written.  rest: the message as an object with further members, or NULL. */
void dk_jinja_add_message(dk_jinja_run *r, dk_span role, dk_span content, uint32_t mark,
                          const dk_json *rest);

/* Where a marked text, or a generation block, stands in the output: [from, to). */
typedef struct dk_jinja_place {
    size_t from, to;
    uint32_t mark;
} dk_jinja_place;

/* Borrowed until the end of the run; places ascend. */
typedef struct dk_jinja_output {
    dk_span text;
    size_t n_marks, n_generations;
    const dk_jinja_place *marks, *generations;
} dk_jinja_output;

/* DK_EDATA: the template raised an error, has one, or exceeds a limit. */
int dk_jinja_render(dk_jinja_run *r, dk_jinja_output *out, dk_err *err);

#endif
