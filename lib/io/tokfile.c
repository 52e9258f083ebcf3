/* Token files: growth, checks, HDF5.  The stream is in tokstream.c. */
#include "io/tokfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/contentid.h"
#include "io/h5meta.h"
#include "io/tokstream.h"

/* --- in memory ------------------------------------------------------------ */
static int grow(void *p, size_t have, size_t cap, size_t size, const char *what, dk_err *err)
{
    void *fresh, *old = *(void **)p;
    int rc = dk_alloc(&fresh, cap, size, what, err);

    if (rc < 0)
        return rc;
    if (have)
        memcpy(fresh, old, have * size);
    dk_free(old);
    *(void **)p = fresh;
    return 0;
}

static int reserve_docs(dk_tokens *t, dk_err *err)
{
    const size_t cap = t->docs_cap ? 2 * t->docs_cap : 64;
    int rc;

    if (t->docs < t->docs_cap)
        return 0;
    if ((rc = grow(&t->id, t->docs, cap, sizeof *t->id, "document numbers", err)) < 0 ||
        (rc = grow(&t->offset, t->docs ? t->docs + 1 : 0, cap + 1, sizeof *t->offset,
                   "document offsets", err)) < 0)
        return rc;
    t->docs_cap = cap;
    return 0;
}

static int reserve_rows(dk_tokens *t, size_t more, dk_err *err)
{
    size_t cap = t->rows_cap ? t->rows_cap : 4096;
    int rc;

    if (t->rows + more <= t->rows_cap)
        return 0;
    while (cap < t->rows + more)
        cap *= 2;
    if ((rc = grow(&t->token, t->rows, cap, sizeof *t->token, "tokens", err)) < 0 ||
        (rc = grow(&t->pos, t->rows, cap, sizeof *t->pos, "token positions", err)) < 0 ||
        (rc = grow(&t->flags, t->rows, cap, sizeof *t->flags, "token flags", err)) < 0)
        return rc;
    t->rows_cap = cap;
    return 0;
}

int dk_tokens_add_doc(dk_tokens *t, uint64_t id, const uint32_t *token, const uint8_t *flags,
                      size_t n, dk_err *err)
{
    int rc;

    if ((rc = reserve_docs(t, err)) < 0 || (rc = reserve_rows(t, n, err)) < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        t->token[t->rows + i] = token[i];
        t->pos[t->rows + i] = (uint32_t)i;
        t->flags[t->rows + i] = flags ? flags[i] : 0;
    }
    t->id[t->docs++] = id;
    t->rows += n;
    t->offset[t->docs] = t->rows;
    return 0;
}

void dk_tokens_free(dk_tokens *t)
{
    char *const owned[] = { t->corpus_name, t->corpus_sha256, t->split, t->format, t->bos,
                            t->tokenizer_sha256, t->template_sha256, t->content_id, t->lineage };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free(owned[i]);
    dk_free(t->id);
    dk_free(t->offset);
    dk_free(t->token);
    dk_free(t->pos);
    dk_free(t->flags);
    *t = (dk_tokens){0};
}

/* --- checks --------------------------------------------------------------- */
static bool one_of(const char *s, const char *a, const char *b, const char *c)
{
    return s && (strcmp(s, a) == 0 || strcmp(s, b) == 0 || (c && strcmp(s, c) == 0));
}

static int check_docs(const dk_tokens *t, const char *path, dk_err *err)
{
    for (size_t i = 0; i < t->docs; i++) {
        if (i && t->id[i] <= t->id[i - 1])
            return dk_fail(err, DK_EFORMAT, "%s: document %" PRIu64 " follows %" PRIu64
                           "; document numbers must ascend", path, t->id[i], t->id[i - 1]);
        if (t->offset[i] > t->offset[i + 1])
            return dk_fail(err, DK_EFORMAT, "%s: the offsets of document %" PRIu64 " run backwards",
                           path, t->id[i]);
    }
    if (t->docs && (t->offset[0] != 0 || t->offset[t->docs] != t->rows))
        return dk_fail(err, DK_EFORMAT, "%s: the documents do not cover the %zu rows", path, t->rows);
    if (t->docs == 0 && t->rows != 0)
        return dk_fail(err, DK_EFORMAT, "%s: rows without documents", path);
    return 0;
}

int dk_tokens_check(const dk_tokens *t, const char *path, dk_err *err)
{
    int rc;

    if (!one_of(t->format, "text", "chat", NULL))
        return dk_fail(err, DK_EFORMAT, "%s: format is '%.40s', not text or chat", path,
                       t->format ? t->format : "");
    if (!one_of(t->bos, "added", "present", "none"))
        return dk_fail(err, DK_EFORMAT, "%s: bos is '%.40s', not added, present or none", path,
                       t->bos ? t->bos : "");
    if ((rc = check_docs(t, path, err)) < 0)
        return rc;
    for (size_t i = 0; i < t->rows; i++) {
        if (t->token[i] >= t->vocab)
            return dk_fail(err, DK_EFORMAT, "%s: token %u in row %zu is outside the vocabulary of %u",
                           path, t->token[i], i, t->vocab);
        if (t->flags[i] & DK_TOK_PADDING)
            return dk_fail(err, DK_EFORMAT, "%s: row %zu is padding, which this build does not read",
                           path, i);
    }
    return 0;
}

static void sum_data(dk_sha256 *h, const char *path, dk_h5_type type, uint64_t n, const void *v)
{
    const dk_h5_data d = { .type = type, .rank = 1, .dim = { n }, .item = dk_h5_type_size(type) };

    dk_content_data(h, path, &d);
    dk_sha256_add(h, v, n * d.item);
}

static const uint64_t no_offset[1];

int dk_tokens_content_id(const dk_tokens *t, char id[DK_CONTENT_ID_LEN], dk_err *err)
{
    dk_sha256 *h = dk_sha256_new();

    (void)err;
    dk_content_name(h, "encoding-version", "1.0");
    dk_content_name(h, "corpus.sha256", t->corpus_sha256);
    sum_data(h, "/docs/id", DK_H5_U64, t->docs, t->id);
    sum_data(h, "/docs/offset", DK_H5_U64, t->docs + 1, t->docs ? t->offset : no_offset);
    sum_data(h, "/rows/flags", DK_H5_U8, t->rows, t->flags);
    sum_data(h, "/rows/pos", DK_H5_U32, t->rows, t->pos);
    sum_data(h, "/rows/token", DK_H5_U32, t->rows, t->token);
    dk_content_end(&h, id);
    return 0;
}

/* --- HDF5 ----------------------------------------------------------------- */
int dk_tokens_put_corpus(dk_h5 *f, const dk_tokens *t, dk_err *err)
{
    static const char g[] = "/corpus";
    int rc;

    if ((rc = dk_h5_group(f, g, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "name", t->corpus_name, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "sha256", t->corpus_sha256, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "split", t->split, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "format", t->format, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "bos", t->bos, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "max_tokens", DK_H5_U32, t->max_tokens, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "tokenizer_sha256", t->tokenizer_sha256, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "template_sha256", t->template_sha256, err)) == 0)
        rc = dk_h5_put_int(f, g, "vocab", DK_H5_U32, t->vocab, err);
    return rc;
}

static int put_column(dk_h5 *f, const char *path, dk_h5_type type, uint64_t n, const void *v,
                      dk_err *err)
{
    return dk_h5_write(f, path, type, 1, &n, v, err);
}

int dk_tokens_put(dk_h5 *f, const dk_tokens *t, dk_err *err)
{
    int rc;

    if ((rc = dk_tokens_check(t, dk_h5_path(f), err)) == 0 &&
        (rc = dk_tokens_put_corpus(f, t, err)) == 0 &&
        (rc = put_column(f, "/docs/id", DK_H5_U64, t->docs, t->id, err)) == 0 &&
        (rc = put_column(f, "/docs/offset", DK_H5_U64, t->docs + 1,
                         t->docs ? t->offset : no_offset, err)) == 0 &&
        (rc = put_column(f, "/rows/token", DK_H5_U32, t->rows, t->token, err)) == 0 &&
        (rc = put_column(f, "/rows/pos", DK_H5_U32, t->rows, t->pos, err)) == 0)
        rc = put_column(f, "/rows/flags", DK_H5_U8, t->rows, t->flags, err);
    return rc;
}

static int get_u32(dk_h5 *f, const char *name, uint32_t *out, dk_err *err)
{
    int64_t v;
    int rc = dk_h5_get_int(f, "/corpus", name, &v, err);

    if (rc == 0 && (v < 0 || v > UINT32_MAX))
        rc = dk_fail(err, DK_EFORMAT, "%s: %s of /corpus is out of range", dk_h5_path(f), name);
    *out = (uint32_t)v;
    return rc;
}

int dk_tokens_get_corpus(dk_h5 *f, dk_tokens *t, dk_err *err)
{
    static const char g[] = "/corpus";
    int rc;

    if (!dk_h5_find(f, g))
        return dk_fail(err, DK_EFORMAT, "%s has no %s", dk_h5_path(f), g);
    if ((rc = dk_h5_get_str(f, g, "name", &t->corpus_name, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "sha256", &t->corpus_sha256, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "split", &t->split, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "format", &t->format, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "bos", &t->bos, err)) == 0 &&
        (rc = get_u32(f, "max_tokens", &t->max_tokens, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "tokenizer_sha256", &t->tokenizer_sha256, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "template_sha256", &t->template_sha256, err)) == 0)
        rc = get_u32(f, "vocab", &t->vocab, err);
    return rc;
}

static int get_column(dk_h5 *f, const char *path, dk_h5_type type, uint64_t n, void *out,
                      dk_err *err)
{
    dk_h5_data d;
    int rc = dk_h5_read_all(f, path, type, out, &d, err);

    if (rc == 0 && (d.rank != 1 || d.dim[0] != n))
        rc = dk_fail(err, DK_EFORMAT, "%s: %s has a wrong shape", dk_h5_path(f), path);
    return rc;
}

int dk_tokens_get(dk_h5 *f, dk_tokens *t, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    int rc;

    *t = (dk_tokens){ .docs = r->docs, .rows = r->rows };
    if ((rc = dk_tokens_get_corpus(f, t, err)) == 0 &&
        (rc = get_column(f, "/docs/id", DK_H5_U64, r->docs, &t->id, err)) == 0 &&
        (rc = get_column(f, "/docs/offset", DK_H5_U64, r->docs + 1, &t->offset, err)) == 0 &&
        (rc = get_column(f, "/rows/token", DK_H5_U32, r->rows, &t->token, err)) == 0 &&
        (rc = get_column(f, "/rows/pos", DK_H5_U32, r->rows, &t->pos, err)) == 0 &&
        (rc = get_column(f, "/rows/flags", DK_H5_U8, r->rows, &t->flags, err)) == 0 &&
        (rc = dk_tokens_check(t, dk_h5_path(f), err)) == 0) {
        t->docs_cap = t->docs;
        t->rows_cap = t->rows;
        t->content_id = dk_xstrdup(r->content_id);
    } else
        dk_tokens_free(t);
    return rc;
}

/* --- files ---------------------------------------------------------------- */
int dk_tokens_write(const dk_tokens *t, const char *path, const dk_provenance *prov, dk_err *err)
{
    dk_h5 *f;
    int rc;

    if ((rc = dk_h5_create(&f, path, "dk-tokens", prov, err)) < 0)
        return rc;
    if ((rc = dk_tokens_put(f, t, err)) == 0)
        return dk_h5_commit(&f, t->rows, t->docs, NULL, err);
    dk_h5_close(&f);
    return rc;
}

/* Lines of JSON begin with a brace or are blank; streams with a letter, HDF5 with neither. */
bool dk_tokens_json_on_stdin(void)
{
    const int first = getc(stdin);

    if (first != EOF)
        ungetc(first, stdin);
    return first == '{' || first == ' ' || first == '\t' || first == '\n' || first == '\r';
}

int dk_tokens_read(dk_tokens *t, const char *path, dk_err *err)
{
    dk_buf lineage = {0};
    dk_h5 *f;
    int rc;

    *t = (dk_tokens){0};
    if (strcmp(path, "-") == 0 && dk_tokens_json_on_stdin())
        return dk_tokens_read_stream(t, stdin, "standard input", err);
    if ((rc = dk_h5_open(&f, path, "dk-tokens", err)) < 0)
        return rc;
    if ((rc = dk_tokens_get(f, t, err)) == 0 && (rc = dk_h5_finish(f, err)) == 0 &&
        (rc = dk_h5_lineage(f, "tokens", &lineage, err)) == 0) {
        t->lineage = lineage.s;
        lineage = (dk_buf){0};
        dk_free(t->content_id);
        t->content_id = dk_xstrdup(dk_h5_root_of(f)->content_id);
    }
    dk_buf_free(&lineage);
    dk_h5_close(&f);
    if (rc < 0)
        dk_tokens_free(t);
    return rc;
}
