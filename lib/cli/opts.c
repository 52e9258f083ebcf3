/* Option tables: parsing, defaults, stamps. */
#include "cli/tool.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/config.h"
#include "cli/help.h"

static const dk_opt common[] = {
    DK_GROUP("common"),
    { DK_OPT_PATH, 'c', "config", 0, NULL, 0, 0, NULL, "take values from FILE (YAML: key: value)", DK_NOSTAMP, NULL },
    { DK_OPT_INT, 't', "threads", offsetof(dk_ctx, threads), "0", 0, 4096, NULL, "use N threads; 0: all cores", DK_NOSTAMP, NULL },
    { DK_OPT_INT, 0, "seed", offsetof(dk_ctx, seed), "42", 0, 9e15, NULL, "seed of every random draw", 0, NULL },
    { DK_OPT_CHOICE, 0, "backend", 0, "auto", 0, 0, "auto|cpu", "where to compute", DK_NOSTAMP, NULL },
    DK_END
};

const dk_opt *dk_opts_common(void) { return common; }

static void *slot(const dk_opt *o, void *base) { return (char *)base + o->offset; }

static void free_list(dk_strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        dk_free(l->v[i]);
    dk_free(l->v);
    *l = (dk_strs){0};
}

static void set_list(dk_strs *l, const char *text, bool append)
{
    if (!append)
        free_list(l);
    while (*text) {
        const size_t n = strcspn(text, ",");

        if (n) {
            l->v = dk_xrealloc(l->v, (l->n + 1) * sizeof *l->v);
            l->v[l->n++] = dk_xstrndup(text, n);
        }
        text += n + (text[n] == ',');
    }
}

static bool is_choice(const char *choices, const char *v)
{
    const size_t n = strlen(v);

    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strncmp(c, v, n) == 0 && (c[n] == '|' || c[n] == 0) && n > 0)
            return true;
    return false;
}

static void set_auto(const dk_opt *o, void *at)
{
    if (o->kind == DK_OPT_INT)
        *(int64_t *)at = DK_AUTO_INT;
    else
        *(double *)at = NAN;
}

static bool is_auto(const dk_opt *o, const void *at)
{
    return (o->flags & DK_AUTO) && (o->kind == DK_OPT_INT ? *(const int64_t *)at == DK_AUTO_INT : isnan(*(const double *)at));
}

/* Puts text into the option's slot.  Strings are copied; dk_opts_release frees. */
static int set_value(const dk_opt *o, void *base, const char *text, bool append, dk_err *err)
{
    char what[128];
    char **s = slot(o, base);

    snprintf(what, sizeof what, "--%s", o->name);
    if ((o->flags & DK_AUTO) && strcmp(text, "auto") == 0) {
        set_auto(o, slot(o, base));
        return 0;
    }
    switch (o->kind) {
    case DK_OPT_INT:
        return dk_parse_int(slot(o, base), text, (int64_t)o->lo, (int64_t)o->hi, what, err);
    case DK_OPT_REAL:
        return dk_parse_real(slot(o, base), text, o->lo, o->hi, what, err);
    case DK_OPT_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return dk_fail(err, DK_EUSAGE, "%s: '%s' is neither true nor false", what, text);
        *(bool *)slot(o, base) = text[0] == 't';
        return 0;
    case DK_OPT_LIST:
        set_list(slot(o, base), text, append);
        return 0;
    case DK_OPT_CHOICE:
        if (!is_choice(o->choices, text))
            return dk_fail(err, DK_EUSAGE, "%s: '%s' is none of %s", what, text, o->choices);
        break;
    default:
        break;
    }
    if ((o->flags & DK_INERT) && o->def && strcmp(text, o->def) != 0)
        return dk_fail(err, DK_EUSAGE, "%s has no effect here; only its default '%s' is accepted",
                       what, o->def);
    dk_free(*s);
    *s = dk_xstrdup(text);
    return 0;
}

static const dk_opt *find(const dk_opt *t, const char *name, size_t n)
{
    for (; t->kind != DK_OPT_END; t++)
        if (t->kind != DK_OPT_GROUP && strlen(t->name) == n && strncmp(t->name, name, n) == 0)
            return t;
    return NULL;
}

/* A key of a -c file: the full key, its last component, or the option's name. */
static bool key_is(const dk_opt *o, const char *key)
{
    const char *dot;
    size_t i = 0;

    if (o->kind == DK_OPT_GROUP)
        return false;
    if (o->key && strcmp(o->key, key) == 0)
        return true;
    dot = o->key ? strrchr(o->key, '.') : NULL;
    if (dot && strcmp(dot + 1, key) == 0)
        return true;
    for (; o->name[i] && key[i]; i++)
        if (o->name[i] != key[i] && !(o->name[i] == '-' && key[i] == '_'))
            return false;
    return o->name[i] == 0 && key[i] == 0;
}

struct parse {
    const dk_tool *tool;
    dk_ctx *ctx;
    void *params;
    bool seen[128];         /* own options met in this source: lists start anew */
};

/* Sets an option of the tool or a common one from one source of values. */
static int apply(struct parse *p, const dk_opt *o, const char *value, dk_err *err)
{
    const bool own = find(p->tool->opts, o->name, strlen(o->name)) == o;
    bool again = false;

    if (own) {
        const size_t i = (size_t)(o - p->tool->opts);

        DK_ASSERT(i < sizeof p->seen);
        again = p->seen[i];
        p->seen[i] = true;
        return set_value(o, p->params, value, again, err);
    }
    if (o == &common[1])
        return 0;       /* the -c file is read before the command line */
    if (!o->offset)
        return is_choice(o->choices, value) ? 0
            : dk_fail(err, DK_EUSAGE, "--%s: '%s' is none of %s", o->name, value, o->choices);
    return set_value(o, p->ctx, value, false, err);
}

static int from_config(void *vp, const char *key, const char *value, const char *where, dk_err *err)
{
    struct parse *p = vp;
    const dk_opt *o = p->tool->opts;

    while (o->kind != DK_OPT_END && !key_is(o, key))
        o++;
    if (o->kind == DK_OPT_END)
        for (o = common; o->kind != DK_OPT_END && (o == &common[1] || !key_is(o, key)); o++)
            ;
    if (o->kind == DK_OPT_END)
        return dk_fail(err, DK_EUSAGE, "%s: %s has no parameter '%s' (see %s --help)", where,
                       p->tool->name, key, p->tool->name);
    return apply(p, o, value, err) < 0 ? dk_err_prefix(err, "%s", where) : 0;
}

static int defaults(struct parse *p, dk_err *err)
{
    int rc = 0;

    for (const dk_opt *o = p->tool->opts; rc == 0 && o->kind != DK_OPT_END; o++)
        if (o->kind != DK_OPT_GROUP && o->def)
            rc = set_value(o, p->params, o->def, false, err);
    for (const dk_opt *o = common; rc == 0 && o->kind != DK_OPT_END; o++)
        if (o->kind != DK_OPT_GROUP && o->def && o->offset)
            rc = set_value(o, p->ctx, o->def, false, err);
    return rc;
}

/* By the last part of the reference's key ("method_params.top_k": top-k). */
static const dk_opt *find_key(const dk_opt *t, const char *name, size_t n)
{
    for (; t->kind != DK_OPT_END; t++) {
        const char *dot = t->kind != DK_OPT_GROUP && t->key ? strrchr(t->key, '.') : NULL;
        const char *key = dot ? dot + 1 : t->kind != DK_OPT_GROUP ? t->key : NULL;
        size_t i = 0;

        while (key && i < n && key[i] && (key[i] == name[i] || (key[i] == '_' && name[i] == '-')))
            i++;
        if (key && i == n && !key[i])
            return t;
    }
    return NULL;
}

/* The option that a word names; *value is what stands in the same word. */
static const dk_opt *lookup(const dk_tool *tool, const char *word, const char **value)
{
    const dk_opt *o = NULL;

    if (word[1] == '-') {
        const size_t n = strcspn(word + 2, "=");

        o = find(tool->opts, word + 2, n);
        *value = word[2 + n] == '=' ? word + 3 + n : NULL;
        o = o ? o : find(common, word + 2, n);
        return o ? o : find_key(tool->opts, word + 2, n);
    }
    *value = word[2] ? word + 2 : NULL;
    for (o = tool->opts; o->kind != DK_OPT_END; o++)
        if (o->letter == word[1])
            return o;
    for (o = common; o->kind != DK_OPT_END; o++)
        if (o->letter == word[1])
            return o;
    return NULL;
}

enum { PLAIN, HELP, MAN, BASH, PURPOSE, VERSION, STAMP };

/* Words with a meaning of their own; false if a is none of them. */
static bool question(const char *a, int *ask, int *verbosity)
{
    if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)
        *ask = HELP;
    else if (strcmp(a, "--help=man") == 0)
        *ask = MAN;
    else if (strcmp(a, "--help=bash") == 0)
        *ask = BASH;
    else if (strcmp(a, "--help=purpose") == 0)
        *ask = PURPOSE;
    else if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0)
        *ask = VERSION;
    else if (strcmp(a, "--stamp") == 0)
        *ask = STAMP;
    else if (strcmp(a, "-q") == 0 || strcmp(a, "--quiet") == 0)
        *verbosity = -1;
    else if (strcmp(a, "-v") == 0 || strcmp(a, "--verbose") == 0)
        *verbosity = *verbosity < 1 ? 1 : 2;
    else if (strcmp(a, "-vv") == 0)
        *verbosity = 2;
    else
        return false;
    return true;
}

struct found { const char *config; int ask, verbosity, n_words; char **words; };

/* Walks the words once; with set, values go to their slots. */
static int walk(struct parse *p, int argc, char **argv, bool set, struct found *f, dk_err *err)
{
    int rc = 0;

    memset(p->seen, 0, sizeof p->seen);
    f->n_words = f->verbosity = 0;
    for (int i = 1; rc == 0 && i < argc; i++) {
        const char *a = argv[i], *value = NULL;
        const dk_opt *o;

        if (strcmp(a, "--") == 0) {
            while (++i < argc)
                f->words[f->n_words++] = argv[i];
            break;
        }
        if (a[0] != '-' || a[1] == 0) {
            f->words[f->n_words++] = argv[i];
            if (p->tool->runs_others)
                while (++i < argc)
                    f->words[f->n_words++] = argv[i];
            continue;
        }
        if (question(a, &f->ask, &f->verbosity))
            continue;
        o = lookup(p->tool, a, &value);
        if (!o)
            return dk_fail(err, DK_EUSAGE, "unknown option '%s' (see %s --help)", a, p->tool->name);
        if (o->kind == DK_OPT_FLAG && !value)
            value = "true";
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value)
            return dk_fail(err, DK_EUSAGE, "option '%s' needs a value", a);
        if (o == &common[1])
            f->config = value;
        if (set)
            rc = apply(p, o, value, err);
    }
    return rc;
}

static void value_text(const dk_opt *o, const void *base, bool bare, dk_buf *out)
{
    const void *at = (const char *)base + o->offset;
    const char *s;
    const dk_strs *l;

    if (is_auto(o, at)) {
        dk_buf_adds(out, "auto");
        return;
    }
    switch (o->kind) {
    case DK_OPT_INT:
        dk_buf_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case DK_OPT_REAL:
        dk_buf_addf(out, "%.17g", *(const double *)at);
        break;
    case DK_OPT_FLAG:
        dk_buf_adds(out, *(const bool *)at ? "true" : "false");
        break;
    case DK_OPT_LIST:
        l = at;
        for (size_t i = 0; i < l->n; i++) {
            const char *slash = bare ? strrchr(l->v[i], '/') : NULL;

            dk_buf_addf(out, "%s%s", i ? "," : "", slash && slash[1] ? slash + 1 : l->v[i]);
        }
        break;
    default:
        s = *(const char *const *)at;
        if (s && bare && o->kind == DK_OPT_PATH && strrchr(s, '/') && strrchr(s, '/')[1])
            s = strrchr(s, '/') + 1;
        if (s)
            dk_buf_adds(out, s);
    }
}

static bool is_set(const dk_opt *o, const void *base)
{
    if (o->kind != DK_OPT_STR && o->kind != DK_OPT_PATH && o->kind != DK_OPT_CHOICE)
        return true;
    return *(const char *const *)((const char *)base + o->offset) != NULL;
}

static void print_stamp(const struct parse *p)
{
    dk_buf b = {0};

    dk_buf_addf(&b, "%s algo=%d\n", p->tool->name, p->tool->algo);
    for (const dk_opt *o = p->tool->opts; o->kind != DK_OPT_END; o++)
        if (!(o->flags & (DK_NOSTAMP | DK_INERT)) && is_set(o, p->params)) {
            dk_buf_addf(&b, "%s=", o->name);
            value_text(o, p->params, false, &b);
            dk_buf_addc(&b, '\n');
        }
    dk_buf_addf(&b, "seed=%lld\n", (long long)p->ctx->seed);
    fputs(b.s, stdout);
    dk_buf_free(&b);
}

static void json_string(dk_buf *b, const char *s)
{
    dk_buf_addc(b, '"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            dk_buf_addf(b, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            dk_buf_addf(b, "\\u%04x", *s);
        else
            dk_buf_addc(b, *s);
    dk_buf_addc(b, '"');
}

void dk_params_json(const dk_ctx *ctx, dk_buf *out)
{
    dk_buf v = {0};

    dk_buf_addc(out, '{');
    for (const dk_opt *o = ctx->tool->opts; o->kind != DK_OPT_END; o++) {
        if ((o->flags & (DK_NOSTAMP | DK_INERT)) || !is_set(o, ctx->params))
            continue;
        dk_buf_clear(&v);
        value_text(o, ctx->params, true, &v);
        json_string(out, o->name);
        dk_buf_addc(out, ':');
        if (o->kind == DK_OPT_FLAG ||
            ((o->kind == DK_OPT_INT || o->kind == DK_OPT_REAL) && !is_auto(o, (const char *)ctx->params + o->offset)))
            dk_buf_adds(out, v.s);
        else
            json_string(out, v.s ? v.s : "");
        dk_buf_addc(out, ',');
    }
    dk_buf_addf(out, "\"seed\":%lld}", (long long)ctx->seed);
    dk_buf_free(&v);
}

void dk_writer_text(const dk_ctx *ctx, dk_buf *out)
{
    dk_buf_addf(out, "%s %s algo %d", ctx->tool->name, DK_VERSION, ctx->tool->algo);
}

int dk_opts_parse(const dk_tool *tool, int argc, char **argv, dk_ctx *ctx, void *params,
                  int *first, dk_err *err)
{
    struct parse p = { .tool = tool, .ctx = ctx, .params = params };
    struct found f = { .words = dk_xcalloc((size_t)argc + 1, sizeof(char *)) };
    int rc;

    ctx->tool = tool;
    ctx->params = params;
    rc = defaults(&p, err);
    if (rc == 0)
        rc = walk(&p, argc, argv, false, &f, err);
    if (rc == 0 && f.ask != PLAIN && f.ask != STAMP) {
        dk_help_print(tool, f.ask == MAN ? DK_HELP_MAN : f.ask == BASH ? DK_HELP_BASH
                      : f.ask == PURPOSE ? DK_HELP_PURPOSE : f.ask == VERSION ? DK_HELP_VERSION : DK_HELP_TEXT);
        rc = 1;
    }
    if (rc == 0 && f.config)
        rc = dk_config_read(f.config, from_config, &p, err);
    if (rc == 0)
        rc = walk(&p, argc, argv, true, &f, err);
    ctx->verbosity = f.verbosity;
    if (rc == 0 && f.ask == STAMP) {
        print_stamp(&p);
        rc = 1;
    }
    *first = argc - f.n_words;
    for (int i = 0; i < f.n_words; i++)
        argv[*first + i] = f.words[i];
    dk_free(f.words);
    if (rc == 0 && (f.n_words < tool->min_args || (tool->max_args >= 0 && f.n_words > tool->max_args)))
        rc = dk_fail(err, DK_EUSAGE, "%s; usage: %s %s",
                     f.n_words < tool->min_args ? "an argument is missing" : "too many arguments",
                     tool->name, tool->usage);
    return rc;
}

void dk_opts_release(const dk_tool *tool, void *params)
{
    for (const dk_opt *o = tool->opts; o->kind != DK_OPT_END; o++)
        if (o->kind == DK_OPT_LIST)
            free_list(slot(o, params));
        else if (o->kind == DK_OPT_STR || o->kind == DK_OPT_PATH || o->kind == DK_OPT_CHOICE)
            dk_free(*(char **)slot(o, params));
}
