/* Score files: reading. */
#include <inttypes.h>
#include <string.h>

#include "io/scorefile.h"

typedef struct model { char *name; dk_model_info info; } model;

struct dk_scores {
    dk_h5 *file;
    dk_tokens tokens;
    size_t n_models, n;
    model *models;
    dk_score_info *info;
};

/* --- opening -------------------------------------------------------------- */
static int opt_str(dk_h5 *f, const char *path, const char *name, const char **out, dk_err *err)
{
    char *s = NULL;
    int rc = dk_h5_has_attr(f, path, name) ? dk_h5_get_str(f, path, name, &s, err) : 0;

    *out = s;
    return rc;
}

static int get_attrs(dk_h5 *f, const char *path, dk_score_attr *a, dk_err *err)
{
    int64_t layer = 0;
    int rc;

    if ((rc = opt_str(f, path, "unit", &a->unit, err)) < 0 ||
        (rc = opt_str(f, path, "site", &a->site, err)) < 0 ||
        (rc = opt_str(f, path, "what", &a->what, err)) < 0 ||
        (rc = opt_str(f, path, "higher", &a->higher, err)) < 0 ||
        (rc = opt_str(f, path, "end", &a->end, err)) < 0 ||
        (rc = opt_str(f, path, "computed_in", &a->computed_in, err)) < 0 ||
        (rc = opt_str(f, path, "arith", &a->arith, err)) < 0)
        return rc;
    a->has_layer = dk_h5_has_attr(f, path, "layer");
    if (a->has_layer)
        rc = dk_h5_get_int(f, path, "layer", &layer, err);
    a->layer = (int)layer;
    return rc;
}

static void free_attrs(dk_score_attr *a)
{
    const char *const owned[] = { a->unit, a->site, a->what, a->higher, a->end, a->computed_in,
                                  a->arith };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free((char *)owned[i]);
}

static int wrong(const dk_scores *s, const char *path, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: %s %s", dk_h5_path(s->file), path, why);
}

static const dk_h5_data *part_of(const dk_scores *s, const char *group, const char *part)
{
    char *path = dk_xasprintf("%s/%s", group, part);
    const dk_h5_object *o = dk_h5_find(s->file, path);

    dk_free(path);
    return o && o->kind == DK_H5_DATASET ? &o->data : NULL;
}

/* A group that says it is a sparse matrix must be a whole one. */
static int shape_sparse(dk_scores *s, const char *path, dk_score_info *x, dk_err *err)
{
    const dk_h5_data *indptr = part_of(s, path, "indptr"), *index = part_of(s, path, "index"),
                     *value = part_of(s, path, "value");
    int64_t cols;
    int rc = dk_h5_get_int(s->file, path, "columns", &cols, err);

    if (rc < 0)
        return rc;
    if (!indptr || !index || !value || indptr->rank != 1 || index->rank != 1 || value->rank != 1 ||
        indptr->dim[0] != s->tokens.rows + 1 || index->dim[0] != value->dim[0] || cols < 0)
        return wrong(s, path, "is no whole sparse matrix", err);
    x->kind = DK_SCORE_SPARSE;
    x->k = (size_t)cols;
    x->nnz = index->dim[0];
    return 0;
}

static int shape_rows(dk_scores *s, const dk_h5_object *o, dk_score_info *x, dk_err *err)
{
    if ((o->data.type != DK_H5_F32 && o->data.type != DK_H5_U32) || o->data.rank > 2)
        return wrong(s, o->path, "is no score: neither f32 nor u32, or of too many dimensions", err);
    if (o->data.dim[0] != s->tokens.rows)
        return wrong(s, o->path, "does not have as many rows as the tokens", err);
    x->kind = o->data.type == DK_H5_F32 ? DK_SCORE_DENSE : DK_SCORE_INDEX;
    x->k = o->data.rank == 2 ? o->data.dim[1] : 1;
    return 0;
}

static int shape_vocab(dk_scores *s, const dk_h5_object *o, dk_score_info *x, dk_err *err)
{
    if ((o->data.type != DK_H5_I64 && o->data.type != DK_H5_F64) || o->data.rank != 1)
        return wrong(s, o->path, "is no column over the vocabulary", err);
    x->kind = o->data.type == DK_H5_I64 ? DK_SCORE_VOCAB_I64 : DK_SCORE_VOCAB_F64;
    x->rows = o->data.dim[0];
    x->k = 1;
    return 0;
}

static bool is_sparse(dk_scores *s, const char *path)
{
    const dk_h5_object *o = dk_h5_find(s->file, path);

    return o && o->kind == DK_H5_GROUP && dk_h5_has_attr(s->file, path, "columns");
}

static bool in_sparse(dk_scores *s, const char *path)
{
    char *group = dk_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    const bool yes = is_sparse(s, group);

    dk_free(group);
    return yes;
}

static int add_score(dk_scores *s, const dk_h5_object *o, bool vocab, dk_err *err)
{
    dk_score_info x = { .rows = s->tokens.rows };
    int rc = vocab ? shape_vocab(s, o, &x, err)
                   : o->kind == DK_H5_GROUP ? shape_sparse(s, o->path, &x, err)
                                            : shape_rows(s, o, &x, err);

    if (rc == 0)
        rc = get_attrs(s->file, o->path, &x.attr, err);
    if (rc < 0) {
        free_attrs(&x.attr);
        return rc;
    }
    x.name = dk_xstrdup(o->path + (vocab ? sizeof "/vocab/" : sizeof "/scores/") - 1);
    s->info = dk_xrealloc(s->info, (s->n + 1) * sizeof *s->info);
    s->info[s->n++] = x;
    return 0;
}

static int list_scores(dk_scores *s, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_h5_count(s->file); i++) {
        const dk_h5_object *o = dk_h5_at(s->file, i);
        const bool vocab = strncmp(o->path, "/vocab/", 7) == 0;

        if (!vocab && strncmp(o->path, "/scores/", 8) != 0)
            continue;
        if (o->kind == DK_H5_DATASET ? vocab || !in_sparse(s, o->path)
                                     : !vocab && is_sparse(s, o->path))
            rc = add_score(s, o, vocab, err);
    }
    return rc;
}

static int list_models(dk_scores *s, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_h5_count(s->file); i++) {
        const char *path = dk_h5_at(s->file, i)->path;
        dk_model_info m;

        if (strncmp(path, "/models/", 8) != 0 || strchr(path + 8, '/'))
            continue;
        if ((rc = dk_h5_get_model(s->file, path + 8, &m, err)) < 0)
            break;
        s->models = dk_xrealloc(s->models, (s->n_models + 1) * sizeof *s->models);
        s->models[s->n_models++] = (model){ dk_xstrdup(path + 8), m };
    }
    return rc;
}

int dk_scores_open(dk_scores **out, const char *path, dk_err *err)
{
    dk_scores *s = dk_xcalloc(1, sizeof *s);
    int rc;

    if ((rc = dk_h5_open(&s->file, path, "dk-scores", err)) < 0 ||
        (rc = dk_tokens_get(s->file, &s->tokens, err)) < 0 || (rc = list_models(s, err)) < 0 ||
        (rc = list_scores(s, err)) < 0 || (rc = dk_h5_finish(s->file, err)) < 0)
        dk_scores_close(&s);
    *out = s;
    return rc;
}

void dk_scores_close(dk_scores **sp)
{
    dk_scores *s = sp ? *sp : NULL;

    if (!s)
        return;
    for (size_t i = 0; i < s->n_models; i++) {
        dk_free(s->models[i].name);
        dk_model_info_free(&s->models[i].info);
    }
    for (size_t i = 0; i < s->n; i++) {
        dk_free(s->info[i].name);
        free_attrs(&s->info[i].attr);
    }
    dk_free(s->models);
    dk_free(s->info);
    dk_tokens_free(&s->tokens);
    dk_h5_close(&s->file);
    dk_free(s);
    *sp = NULL;
}

/* --- looking -------------------------------------------------------------- */
const dk_tokens *dk_scores_tokens(const dk_scores *s) { return &s->tokens; }
dk_h5 *dk_scores_file(dk_scores *s) { return s->file; }
size_t dk_scores_n_models(const dk_scores *s) { return s->n_models; }
size_t dk_scores_n(const dk_scores *s) { return s->n; }
const dk_score_info *dk_scores_at(const dk_scores *s, size_t i) { return &s->info[i]; }

const dk_model_info *dk_scores_model(const dk_scores *s, size_t i, const char **name)
{
    *name = s->models[i].name;
    return &s->models[i].info;
}

const dk_score_info *dk_scores_find(const dk_scores *s, const char *name, bool vocab)
{
    for (size_t i = 0; i < s->n; i++)
        if ((s->info[i].kind >= DK_SCORE_VOCAB_I64) == vocab && strcmp(s->info[i].name, name) == 0)
            return &s->info[i];
    return NULL;
}

/* --- values --------------------------------------------------------------- */
static int need(const dk_scores *s, const char *name, dk_score_kind kind,
                const dk_score_info **out, dk_err *err)
{
    const bool vocab = kind >= DK_SCORE_VOCAB_I64;
    const dk_score_info *x = dk_scores_find(s, name, vocab);

    *out = x;
    if (!x)
        return dk_fail(err, DK_EDATA, "%s has no %s %s", dk_h5_path(s->file),
                       vocab ? "vocabulary column" : "score", name);
    if (x->kind != kind)
        return dk_fail(err, DK_EDATA, "%s: %s is another kind of score", dk_h5_path(s->file), name);
    return 0;
}

static int read_rows(dk_scores *s, const char *folder, const char *name, dk_h5_type type,
                     size_t first, size_t n, void *out, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", folder, name);
    int rc = dk_h5_read(s->file, path, type, first, n, out, err);

    dk_free(path);
    return rc;
}

int dk_scores_read(dk_scores *s, const char *name, size_t first, size_t n, float *out, dk_err *err)
{
    const dk_score_info *x;
    int rc = need(s, name, DK_SCORE_DENSE, &x, err);

    return rc < 0 ? rc : read_rows(s, "/scores", name, DK_H5_F32, first, n, out, err);
}

int dk_scores_read_index(dk_scores *s, const char *name, size_t first, size_t n, uint32_t *out,
                         dk_err *err)
{
    const dk_score_info *x;
    int rc = need(s, name, DK_SCORE_INDEX, &x, err);

    return rc < 0 ? rc : read_rows(s, "/scores", name, DK_H5_U32, first, n, out, err);
}

static int read_vocab(dk_scores *s, const char *name, dk_score_kind kind, void *out, size_t n,
                      dk_err *err)
{
    const dk_score_info *x;
    int rc = need(s, name, kind, &x, err);

    if (rc < 0)
        return rc;
    if (x->rows != n)
        return dk_fail(err, DK_EDATA, "%s: vocabulary column %s has %zu entries, not %zu",
                       dk_h5_path(s->file), name, x->rows, n);
    return read_rows(s, "/vocab", name, kind == DK_SCORE_VOCAB_I64 ? DK_H5_I64 : DK_H5_F64, 0, n,
                     out, err);
}

int dk_scores_read_vocab_i64(dk_scores *s, const char *name, int64_t *out, size_t n, dk_err *err)
{
    return read_vocab(s, name, DK_SCORE_VOCAB_I64, out, n, err);
}

int dk_scores_read_vocab_f64(dk_scores *s, const char *name, double *out, size_t n, dk_err *err)
{
    return read_vocab(s, name, DK_SCORE_VOCAB_F64, out, n, err);
}

static int check_sparse(const dk_scores *s, const dk_score_info *x, const uint64_t *indptr,
                        const uint32_t *index, dk_err *err)
{
    if (indptr[0] != 0 || indptr[x->rows] != x->nnz)
        return wrong(s, x->name, "has row starts that do not cover its entries", err);
    for (size_t r = 0; r < x->rows; r++) {
        if (indptr[r] > indptr[r + 1] || indptr[r + 1] > x->nnz)
            return wrong(s, x->name, "has row starts that run backwards", err);
        for (uint64_t i = indptr[r]; i < indptr[r + 1]; i++)
            if (index[i] >= x->k || (i > indptr[r] && index[i] <= index[i - 1]))
                return wrong(s, x->name, "has columns out of order or range", err);
    }
    return 0;
}

static int read_part(dk_scores *s, const char *name, const char *part, dk_h5_type type, void *out,
                     dk_err *err)
{
    char *path = dk_xasprintf("/scores/%s/%s", name, part);
    int rc = dk_h5_read_all(s->file, path, type, out, NULL, err);

    dk_free(path);
    return rc;
}

int dk_scores_read_sparse(dk_scores *s, const char *name, uint64_t **indptr, uint32_t **index,
                          float **value, dk_err *err)
{
    const dk_score_info *x;
    int rc;

    *indptr = NULL;
    *index = NULL;
    *value = NULL;
    if ((rc = need(s, name, DK_SCORE_SPARSE, &x, err)) == 0 &&
        (rc = read_part(s, name, "indptr", DK_H5_U64, indptr, err)) == 0 &&
        (rc = read_part(s, name, "index", DK_H5_U32, index, err)) == 0 &&
        (rc = read_part(s, name, "value", DK_H5_F32, value, err)) == 0)
        rc = check_sparse(s, x, *indptr, *index, err);
    if (rc < 0) {
        dk_free(*indptr);
        dk_free(*index);
        dk_free(*value);
        *indptr = NULL;
        *index = NULL;
        *value = NULL;
    }
    return rc;
}
