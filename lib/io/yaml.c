/* Builds the tree from libyaml's events, so that depth and duplicates are
 * checked while reading and nothing is built twice. */
#include "io/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

enum { MAX_DEPTH = 32, MAX_BYTES = 16 << 20 };

static void release(dk_yaml *y)
{
    for (size_t i = 0; i < y->n; i++)
        release(&y->item[i]);
    dk_free(y->item);
    dk_free(y->text);
    dk_free(y->key);
}

void dk_yaml_free(dk_yaml **y)
{
    if (*y)
        release(*y);
    dk_free(*y);
    *y = NULL;
}

/* Skips digits and '_' where the first is a digit; returns how many digits. */
static size_t digits(const char **s)
{
    size_t n = 0;

    for (; (**s >= '0' && **s <= '9') || (n && **s == '_'); (*s)++)
        n += **s != '_';
    return n;
}

static bool exponent(const char *s)
{
    if (*s != 'e' && *s != 'E')
        return false;
    s++;
    s += *s == '+' || *s == '-';
    return digits(&s) && *s == 0;
}

dk_yaml_kind dk_yaml_plain_kind(const char *text)
{
    const char *s = text;
    size_t whole;

    if (*s == 0 || strcmp(s, "~") == 0 || strcmp(s, "null") == 0 || strcmp(s, "Null") == 0 ||
        strcmp(s, "NULL") == 0)
        return DK_YAML_NULL;
    if (strcasecmp(s, "true") == 0 || strcasecmp(s, "false") == 0)
        return DK_YAML_BOOL;
    s += *s == '+' || *s == '-';
    if (strcasecmp(s, ".inf") == 0 || strcasecmp(text, ".nan") == 0)
        return DK_YAML_REAL;
    whole = digits(&s);
    if (whole && *s == 0)
        return DK_YAML_INT;
    if (whole && exponent(s))
        return DK_YAML_REAL;
    if (*s == '.') {
        s++;
        if (digits(&s) + whole > 0 && (*s == 0 || exponent(s)))
            return DK_YAML_REAL;
    }
    return DK_YAML_STR;
}

const char *dk_yaml_kind_name(dk_yaml_kind kind)
{
    static const char *const name[] = { "null", "true or false", "an integer", "a number", "text",
                                        "a list", "a map" };
    return name[kind];
}

const dk_yaml *dk_yaml_get(const dk_yaml *map, const char *key)
{
    for (size_t i = 0; map && map->kind == DK_YAML_MAP && i < map->n; i++)
        if (strcmp(map->item[i].key, key) == 0)
            return &map->item[i];
    return NULL;
}

/* Text that a reader of plain scalars in a flow context would not give back. */
static bool needs_quotes(const char *s)
{
    const size_t n = strlen(s);

    return dk_yaml_plain_kind(s) != DK_YAML_STR || strpbrk(s, "\n\t\r,[]{}#&*!|>'\"%@`\\") ||
           strchr(" -?:", s[0]) || strstr(s, ": ") || s[n - 1] == ' ' || s[n - 1] == ':';
}

static void quoted(const char *s, dk_buf *out)
{
    dk_buf_addc(out, '"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            dk_buf_addf(out, "\\%c", *s);
        else if (*s == '\n')
            dk_buf_adds(out, "\\n");
        else if ((unsigned char)*s < 0x20)
            dk_buf_addf(out, "\\x%02x", *s);
        else
            dk_buf_addc(out, *s);
    dk_buf_addc(out, '"');
}

void dk_yaml_flow(const dk_yaml *y, dk_buf *out)
{
    if (y->kind == DK_YAML_NULL)
        dk_buf_adds(out, "null");
    else if (y->kind == DK_YAML_STR && needs_quotes(y->text))
        quoted(y->text, out);
    else if (y->kind < DK_YAML_SEQ)
        dk_buf_adds(out, y->text);
    else {
        dk_buf_addc(out, y->kind == DK_YAML_SEQ ? '[' : '{');
        for (size_t i = 0; i < y->n; i++) {
            dk_buf_adds(out, i ? ", " : "");
            if (y->kind == DK_YAML_MAP)
                dk_buf_addf(out, "%s: ", y->item[i].key);
            dk_yaml_flow(&y->item[i], out);
        }
        dk_buf_addc(out, y->kind == DK_YAML_SEQ ? ']' : '}');
    }
}

struct reader { yaml_parser_t parser; const char *name; dk_err *err; };

static int bad(struct reader *r, size_t line, const char *what)
{
    return dk_fail(r->err, DK_EUSAGE, "%s:%zu: %s", r->name, line + 1, what);
}

static int next(struct reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return 0;
    memset(e, 0, sizeof *e);
    if (r->parser.error == YAML_MEMORY_ERROR)
        return dk_fail(r->err, DK_ENOMEM, "%s: out of memory", r->name);
    return dk_fail(r->err, DK_EUSAGE, "%s:%zu: not valid YAML: %s", r->name,
                   r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "error");
}

static dk_yaml *grow(dk_yaml *y)
{
    if ((y->n & (y->n - 1)) == 0)
        y->item = dk_xrealloc(y->item, (y->n ? 2 * y->n : 1) * sizeof *y->item);
    y->item[y->n] = (dk_yaml){0};
    return &y->item[y->n++];
}

static int node(struct reader *r, dk_yaml *y, const yaml_event_t *e, int depth);

static int children(struct reader *r, dk_yaml *y, int depth)
{
    const yaml_event_type_t end = y->kind == DK_YAML_MAP ? YAML_MAPPING_END_EVENT
                                                         : YAML_SEQUENCE_END_EVENT;
    int rc = 0;

    for (;;) {
        yaml_event_t e;
        char *key = NULL;
        dk_yaml *child;

        if ((rc = next(r, &e)) < 0 || e.type == end) {
            yaml_event_delete(&e);
            return rc;
        }
        if (y->kind == DK_YAML_MAP) {
            if (e.type != YAML_SCALAR_EVENT)
                rc = bad(r, e.start_mark.line, "a key must be plain text");
            else if (dk_yaml_get(y, (const char *)e.data.scalar.value))
                rc = dk_fail(r->err, DK_EUSAGE, "%s:%zu: '%s' stands here twice", r->name,
                             e.start_mark.line + 1, (const char *)e.data.scalar.value);
            else
                key = dk_xstrdup((const char *)e.data.scalar.value);
            yaml_event_delete(&e);
            if (rc < 0 || (rc = next(r, &e)) < 0) {
                dk_free(key);
                return rc;
            }
        }
        child = grow(y);
        child->key = key;
        rc = node(r, child, &e, depth + 1);
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
    }
}

static int node(struct reader *r, dk_yaml *y, const yaml_event_t *e, int depth)
{
    y->line = e->start_mark.line + 1;
    if (depth > MAX_DEPTH)
        return bad(r, e->start_mark.line, "nested too deeply");
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
            return bad(r, e->start_mark.line, "a zero byte in a value");
        y->text = dk_xstrdup((const char *)e->data.scalar.value);
        y->kind = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? dk_yaml_plain_kind(y->text)
                                                                  : DK_YAML_STR;
        return 0;
    case YAML_SEQUENCE_START_EVENT:
        y->kind = DK_YAML_SEQ;
        return children(r, y, depth);
    case YAML_MAPPING_START_EVENT:
        y->kind = DK_YAML_MAP;
        return children(r, y, depth);
    case YAML_ALIAS_EVENT:
        return bad(r, e->start_mark.line, "aliases are not supported here");
    default:
        return bad(r, e->start_mark.line, "unexpected content");
    }
}

/* The stream: at most one document. */
static int document(struct reader *r, dk_yaml *root)
{
    bool seen = false;
    int rc = 0;

    for (bool end = false; rc == 0 && !end;) {
        yaml_event_t e;

        if ((rc = next(r, &e)) < 0)
            break;
        end = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_DOCUMENT_START_EVENT && seen)
            rc = bad(r, e.start_mark.line, "more than one document");
        else if (e.type == YAML_DOCUMENT_START_EVENT)
            seen = true;
        else if (!end && e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_END_EVENT)
            rc = node(r, root, &e, 0);
        yaml_event_delete(&e);
    }
    return rc;
}

int dk_yaml_parse(dk_yaml **out, const char *text, size_t n, const char *name, dk_err *err)
{
    struct reader r = { .name = name, .err = err };
    int rc;

    *out = NULL;
    if (!yaml_parser_initialize(&r.parser))
        return dk_fail(err, DK_ENOMEM, "%s: out of memory", name);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    *out = dk_xcalloc(1, sizeof **out);
    if ((rc = document(&r, *out)) < 0)
        dk_yaml_free(out);
    yaml_parser_delete(&r.parser);
    return rc;
}

int dk_yaml_read(dk_yaml **out, const char *path, dk_err *err)
{
    dk_buf b = {0};
    char chunk[4096];
    size_t n;
    int rc = 0;
    FILE *f = fopen(path, "re");

    *out = NULL;
    if (!f)
        return dk_fail_errno(err, "cannot open %s", path);
    while (b.n <= MAX_BYTES && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        dk_buf_add(&b, chunk, n);
    if (ferror(f))
        rc = dk_fail_errno(err, "cannot read %s", path);
    else if (b.n > MAX_BYTES)
        rc = dk_fail(err, DK_EUSAGE, "%s is too large for a configuration file", path);
    else
        rc = dk_yaml_parse(out, b.s ? b.s : "", b.n, path, err);
    fclose(f);
    dk_buf_free(&b);
    return rc;
}
