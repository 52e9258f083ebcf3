/* Tokens as JSON lines: header, documents, trailer. */
#include "io/tokstream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/outfile.h"
#include "io/json.h"

/* --- writing -------------------------------------------------------------- */
static void key_str(dk_jw *w, const char *key, const char *value)
{
    dk_jw_key(w, key);
    dk_jw_str(w, value ? value : "");
}

static void key_u64(dk_jw *w, const char *key, uint64_t value)
{
    dk_jw_key(w, key);
    dk_jw_u64(w, value);
}

/* Ready JSON, but not trusted to be valid. */
static int key_json(dk_jw *w, const char *key, const char *text, dk_err *err)
{
    dk_json *v = NULL;
    int rc = text ? dk_json_parse(&v, text, strlen(text), key, err) : 0;

    if (v) {
        dk_jw_key(w, key);
        dk_jw_value(w, v);
    }
    dk_json_free(&v);
    return rc;
}

static int add_header(dk_buf *line, const dk_tokens *t, const dk_provenance *prov, dk_err *err)
{
    static const dk_provenance none = {0};
    const dk_provenance *p = prov ? prov : &none;
    dk_jw w = { .out = line };
    int rc;

    dk_jw_obj_begin(&w);
    key_str(&w, "dk", "tokens");
    key_str(&w, "version", "1.0");
    key_str(&w, "corpus_name", t->corpus_name);
    key_str(&w, "corpus_sha256", t->corpus_sha256);
    key_str(&w, "split", t->split);
    key_str(&w, "format", t->format);
    key_str(&w, "bos", t->bos);
    key_u64(&w, "max_tokens", t->max_tokens);
    key_str(&w, "tokenizer_sha256", t->tokenizer_sha256);
    key_str(&w, "template_sha256", t->template_sha256);
    key_u64(&w, "vocab", t->vocab);
    key_str(&w, "writer", p->writer);
    key_str(&w, "stage_key", p->stage_key);
    if ((rc = key_json(&w, "command", p->command_json, err)) == 0)
        rc = key_json(&w, "inputs", p->inputs_json, err);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    return rc;
}

static void add_doc(dk_buf *line, const dk_tokens *t, size_t d)
{
    const size_t a = t->offset[d], b = t->offset[d + 1];
    bool moved = false;
    dk_jw w = { .out = line };

    dk_jw_obj_begin(&w);
    key_u64(&w, "id", t->id[d]);
    dk_jw_key(&w, "ids");
    dk_jw_arr_begin(&w);
    for (size_t i = a; i < b; i++) {
        dk_jw_u64(&w, t->token[i]);
        moved = moved || t->pos[i] != i - a;
    }
    dk_jw_arr_end(&w);
    dk_jw_key(&w, "flags");
    dk_jw_arr_begin(&w);
    for (size_t i = a; i < b; i++)
        dk_jw_u64(&w, t->flags[i]);
    dk_jw_arr_end(&w);
    if (moved) {        /* only where it is not 0, 1, 2, ... */
        dk_jw_key(&w, "pos");
        dk_jw_arr_begin(&w);
        for (size_t i = a; i < b; i++)
            dk_jw_u64(&w, t->pos[i]);
        dk_jw_arr_end(&w);
    }
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static void add_trailer(dk_buf *line, const dk_tokens *t, const char *id)
{
    dk_jw w = { .out = line };

    dk_jw_obj_begin(&w);
    key_u64(&w, "rows", t->rows);
    key_u64(&w, "docs", t->docs);
    key_str(&w, "content_id", id);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static int emit(FILE *out, dk_buf *line, dk_err *err)
{
    const bool good = fwrite(line->s, 1, line->n, out) == line->n;

    dk_buf_clear(line);
    return good ? 0 : dk_fail_errno(err, "cannot write standard output");
}

int dk_tokens_write_json(const dk_tokens *t, const dk_provenance *prov, dk_err *err)
{
    char id[DK_CONTENT_ID_LEN];
    dk_outfile *o = NULL;
    dk_buf line = {0};
    FILE *out;
    int rc;

    if ((rc = dk_tokens_check(t, "standard output", err)) < 0 ||
        (rc = dk_outfile_new(&o, "-", err)) < 0 || (rc = dk_outfile_stream(o, &out, err)) < 0)
        return rc;
    if ((rc = add_header(&line, t, prov, err)) == 0)
        rc = emit(out, &line, err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        add_doc(&line, t, d);
        rc = emit(out, &line, err);
    }
    if (rc == 0 && (rc = dk_tokens_content_id(t, id, err)) == 0) {
        add_trailer(&line, t, id);
        rc = emit(out, &line, err);
    }
    dk_buf_free(&line);
    if (rc == 0)
        return dk_outfile_commit(&o, err);
    dk_outfile_abandon(&o);
    return rc;
}

/* --- reading -------------------------------------------------------------- */
typedef struct reader {
    dk_tokens *t;
    const char *name;       /* "standard input:12", once there are lines */
    uint32_t *token, *pos;  /* one document; cap entries */
    uint8_t *flags;
    size_t cap;
    char *writer, *inputs;  /* of the header, for the lineage */
} reader;

static int reserve(reader *r, size_t n, dk_err *err)
{
    int rc;

    if (n <= r->cap)
        return 0;
    n = n < 2 * r->cap ? 2 * r->cap : n;
    dk_free(r->token);
    dk_free(r->pos);
    dk_free(r->flags);
    r->token = r->pos = NULL;
    r->flags = NULL;
    r->cap = 0;
    if ((rc = dk_alloc(&r->token, n, sizeof *r->token, "a document", err)) < 0 ||
        (rc = dk_alloc(&r->pos, n, sizeof *r->pos, "a document", err)) < 0 ||
        (rc = dk_alloc(&r->flags, n, sizeof *r->flags, "a document", err)) < 0)
        return rc;
    r->cap = n;
    return 0;
}

/* An integer in 0 .. most. */
static int get_uint(const reader *r, const dk_json *v, const char *key, int64_t most, int64_t *out,
                    dk_err *err)
{
    *out = dk_json_int(v, -1);
    if (*out < 0 || *out > most)
        return dk_fail(err, DK_EFORMAT, "%s: \"%s\" wants whole numbers from 0 to %" PRId64,
                       r->name, key, most);
    return 0;
}

static int get_u32(const reader *r, const dk_json *obj, const char *key, uint32_t *out, dk_err *err)
{
    int64_t v;
    int rc = get_uint(r, dk_json_get(obj, key), key, UINT32_MAX, &v, err);

    *out = (uint32_t)v;
    return rc;
}

static char *get_str(const dk_json *obj, const char *key)
{
    return dk_xstrdup(dk_json_str(dk_json_get(obj, key), ""));
}

static int get_header(reader *r, const dk_json *obj, dk_err *err)
{
    dk_tokens *t = r->t;
    const dk_json *inputs = dk_json_get(obj, "inputs");
    const char *version = dk_json_str(dk_json_get(obj, "version"), "");
    int rc;

    if (strcmp(dk_json_str(dk_json_get(obj, "dk"), ""), "tokens") != 0)
        return dk_fail(err, DK_EFORMAT, "%s: not the header of a token stream "
                       "({\"dk\":\"tokens\", ...})", r->name);
    if (strncmp(version, "1.", 2) != 0)
        return dk_fail(err, DK_EFORMAT, "%s: the stream is in version '%.40s' of the format, this "
                       "build reads 1; use a newer dk", r->name, version);
    t->corpus_name = get_str(obj, "corpus_name");
    t->corpus_sha256 = get_str(obj, "corpus_sha256");
    t->split = get_str(obj, "split");
    t->format = get_str(obj, "format");
    t->bos = get_str(obj, "bos");
    t->tokenizer_sha256 = get_str(obj, "tokenizer_sha256");
    t->template_sha256 = get_str(obj, "template_sha256");
    r->writer = get_str(obj, "writer");
    if (inputs) {
        dk_buf text = {0};
        dk_jw w = { .out = &text };

        dk_jw_value(&w, inputs);
        r->inputs = text.s;
    }
    if ((rc = get_u32(r, obj, "max_tokens", &t->max_tokens, err)) == 0)
        rc = get_u32(r, obj, "vocab", &t->vocab, err);
    return rc;
}

static int get_doc(reader *r, const dk_json *obj, dk_err *err)
{
    const dk_json *ids = dk_json_get(obj, "ids"), *flags = dk_json_get(obj, "flags"),
                  *pos = dk_json_get(obj, "pos");
    const size_t n = dk_json_len(ids), first = r->t->rows;
    int64_t id, v;
    int rc;

    if (dk_json_type(ids) != DK_JSON_ARRAY || (flags && dk_json_len(flags) != n) ||
        (pos && dk_json_len(pos) != n))
        return dk_fail(err, DK_EFORMAT, "%s: a document wants \"ids\", and \"flags\" of the same "
                       "length", r->name);
    if ((rc = get_uint(r, dk_json_get(obj, "id"), "id", INT64_MAX, &id, err)) < 0 ||
        (rc = reserve(r, n, err)) < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if ((rc = get_uint(r, dk_json_at(ids, i), "ids", UINT32_MAX, &v, err)) < 0)
            return rc;
        r->token[i] = (uint32_t)v;
        v = 0;
        if (flags && (rc = get_uint(r, dk_json_at(flags, i), "flags", UINT8_MAX, &v, err)) < 0)
            return rc;
        r->flags[i] = (uint8_t)v;
        v = (int64_t)i;
        if (pos && (rc = get_uint(r, dk_json_at(pos, i), "pos", UINT32_MAX, &v, err)) < 0)
            return rc;
        r->pos[i] = (uint32_t)v;
    }
    rc = dk_tokens_add_doc(r->t, (uint64_t)id, r->token, r->flags, n, err);
    if (rc == 0 && pos && n)
        memcpy(r->t->pos + first, r->pos, n * sizeof *r->pos);
    return rc;
}

static int check_trailer(reader *r, const dk_json *obj, dk_err *err)
{
    const char *want = dk_json_str(dk_json_get(obj, "content_id"), "");
    char id[DK_CONTENT_ID_LEN];
    int rc;

    if (dk_json_int(dk_json_get(obj, "rows"), -1) != (int64_t)r->t->rows ||
        dk_json_int(dk_json_get(obj, "docs"), -1) != (int64_t)r->t->docs)
        return dk_fail(err, DK_EFORMAT, "%s: the stream was cut: %zu documents with %zu rows came, "
                       "the trailer counts others", r->name, r->t->docs, r->t->rows);
    if ((rc = dk_tokens_check(r->t, r->name, err)) < 0 ||
        (rc = dk_tokens_content_id(r->t, id, err)) < 0)
        return rc;
    if (strcmp(id, want) != 0)
        return dk_fail(err, DK_EFORMAT, "%s: the tokens do not have the content id of the trailer",
                       r->name);
    r->t->content_id = dk_xstrdup(id);
    return 0;
}

static void set_lineage(reader *r)
{
    dk_buf out = {0};
    dk_jw w = { .out = &out };

    dk_jw_obj_begin(&w);
    key_str(&w, "role", "tokens");
    key_str(&w, "content_id", r->t->content_id);
    key_str(&w, "writer", r->writer);
    if (r->inputs)
        key_json(&w, "inputs", r->inputs, NULL);
    dk_jw_obj_end(&w);
    r->t->lineage = out.s;
}

/* One line; *state: 0 header, 1 documents, 2 after the trailer. */
static int take_line(reader *r, const char *text, size_t n, int *state, dk_err *err)
{
    dk_json *obj = NULL;
    int rc;

    if (n == 0 || strspn(text, " \t\r\n") == n)
        return 0;
    if (*state == 2)
        return dk_fail(err, DK_EFORMAT, "%s: more lines after the trailer", r->name);
    if ((rc = dk_json_parse(&obj, text, n, r->name, err)) < 0)
        return rc;
    if (*state == 0) {
        rc = get_header(r, obj, err);
        *state = 1;
    } else if (dk_json_get(obj, "rows")) {
        rc = check_trailer(r, obj, err);
        *state = 2;
    } else
        rc = get_doc(r, obj, err);
    dk_json_free(&obj);
    return rc;
}

int dk_tokens_read_stream(dk_tokens *t, FILE *in, const char *name, dk_err *err)
{
    reader r = { .t = t, .name = name };
    char *line = NULL, at[128];
    size_t cap = 0, number = 0;
    ssize_t n;
    int state = 0, rc = 0;

    *t = (dk_tokens){0};
    while (rc == 0 && (n = getline(&line, &cap, in)) >= 0) {
        snprintf(at, sizeof at, "%.80s: line %zu", name, ++number);
        r.name = at;
        /* A last line without its end may be half a number. */
        if (line[n - 1] != '\n')
            rc = dk_fail(err, DK_EFORMAT, "%s: the stream was cut in this line", at);
        else
            rc = take_line(&r, line, (size_t)n, &state, err);
    }
    if (rc == 0 && ferror(in))
        rc = dk_fail_errno(err, "cannot read %s", name);
    if (rc == 0 && state != 2)
        rc = dk_fail(err, DK_EFORMAT, "%s: the stream was cut: it has no trailer", name);
    if (rc == 0)
        set_lineage(&r);
    else
        dk_tokens_free(t);
    free(line);
    dk_free(r.token);
    dk_free(r.pos);
    dk_free(r.flags);
    dk_free(r.writer);
    dk_free(r.inputs);
    return rc;
}
