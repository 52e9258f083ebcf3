/* Reads a -c file with libyaml's event parser: no tree is needed, and nesting
 * is bounded by hand. */
#include "cli/config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

enum { MAX_DEPTH = 16 };

struct level { bool sequence, have_key; size_t key_len; };

struct state {
    const char *path;
    char key[512];
    struct level at[MAX_DEPTH];
    int depth;
};

static int bad(const struct state *s, size_t line, const char *what, dk_err *err)
{
    return dk_fail(err, DK_EUSAGE, "%s:%zu: %s", s->path, line + 1, what);
}

static int push(struct state *s, bool sequence, size_t line, dk_err *err)
{
    if (s->depth + 1 >= MAX_DEPTH)
        return bad(s, line, "nested too deeply", err);
    s->at[++s->depth] = (struct level){ sequence, false, strlen(s->key) };
    return 0;
}

/* A value was completed: the map above waits for a key again. */
static void pop_value(struct state *s)
{
    struct level *l = &s->at[s->depth];

    if (s->depth > 0 && !l->sequence) {
        l->have_key = false;
        s->key[l->key_len] = 0;
    }
}

static int scalar(struct state *s, const char *text, size_t line, dk_config_set *set, void *arg,
                  dk_err *err)
{
    struct level *l = &s->at[s->depth];
    char where[640];
    int rc;

    if (s->depth == 0)
        return bad(s, line, "expected 'key: value' lines", err);
    if (!l->sequence && !l->have_key) {
        const size_t n = strlen(s->key);

        if ((size_t)snprintf(s->key + n, sizeof s->key - n, "%s%s", n ? "." : "", text) >=
            sizeof s->key - n)
            return bad(s, line, "the key is too long", err);
        l->have_key = true;
        return 0;
    }
    snprintf(where, sizeof where, "%.500s:%zu", s->path, line + 1);
    rc = set(arg, s->key, text, where, err);
    pop_value(s);
    return rc;
}

static int event(struct state *s, const yaml_event_t *e, dk_config_set *set, void *arg, dk_err *err)
{
    const size_t line = e->start_mark.line;

    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return scalar(s, (const char *)e->data.scalar.value, line, set, arg, err);
    case YAML_ALIAS_EVENT:
        return bad(s, line, "aliases are not supported here", err);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (s->depth > 0 && (s->at[s->depth].sequence || !s->at[s->depth].have_key))
            return bad(s, line, "expected a plain value", err);
        return push(s, e->type == YAML_SEQUENCE_START_EVENT, line, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        s->depth--;
        pop_value(s);
        return 0;
    default:
        return 0;
    }
}

int dk_config_read(const char *path, dk_config_set *set, void *arg, dk_err *err)
{
    struct state s = { .path = path };
    yaml_parser_t parser;
    bool done = false;
    int rc = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return dk_fail_errno(err, "cannot open %s", path);
    if (!yaml_parser_initialize(&parser)) {
        fclose(f);
        return dk_fail(err, DK_ENOMEM, "%s: out of memory", path);
    }
    yaml_parser_set_input_file(&parser, f);
    while (rc == 0 && !done) {
        yaml_event_t e;

        if (!yaml_parser_parse(&parser, &e)) {
            rc = dk_fail(err, DK_EUSAGE, "%s:%zu: not valid YAML: %s", path,
                         parser.problem_mark.line + 1, parser.problem ? parser.problem : "error");
            break;
        }
        rc = event(&s, &e, set, arg, err);
        done = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    fclose(f);
    return rc;
}
