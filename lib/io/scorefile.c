/* Score files: writing. */
#include "io/scorefile.h"

#include <string.h>

struct dk_scores_writer {
    dk_h5 *file;
    size_t rows, docs;
    dk_buf lanes;           /* "base,ft" */
    size_t n_open;          /* row scores, to be counted at the end */
    struct open_score { char *path; dk_score_kind kind; size_t rows; } *open;
};

static void release(dk_scores_writer **wp)
{
    dk_scores_writer *w = *wp;

    for (size_t i = 0; i < w->n_open; i++)
        dk_free(w->open[i].path);
    dk_free(w->open);
    dk_buf_free(&w->lanes);
    dk_h5_close(&w->file);
    dk_free(w);
    *wp = NULL;
}

int dk_scores_new(dk_scores_writer **out, const char *path, const dk_tokens *t,
                  const dk_provenance *prov, dk_err *err)
{
    dk_scores_writer *w = dk_xcalloc(1, sizeof *w);
    int rc;

    w->rows = t->rows;
    w->docs = t->docs;
    if ((rc = dk_h5_create(&w->file, path, "dk-scores", prov, err)) < 0 ||
        (rc = dk_tokens_put(w->file, t, err)) < 0)
        release(&w);
    *out = w;
    return rc;
}

int dk_scores_add_model(dk_scores_writer *w, const char *name, const dk_model_info *m, dk_err *err)
{
    int rc = dk_h5_put_model(w->file, name, m, err);

    if (rc == 0) {
        if (w->lanes.n)
            dk_buf_addc(&w->lanes, ',');
        dk_buf_adds(&w->lanes, name);
    }
    return rc;
}

int dk_scores_copy_models(dk_scores_writer *w, dk_h5 *from, dk_err *err)
{
    char *lanes = NULL, *save = NULL;
    int rc = dk_h5_get_str(from, "/", "lanes", &lanes, err);

    for (char *lane = rc == 0 ? strtok_r(lanes, ",", &save) : NULL; rc == 0 && lane; lane = strtok_r(NULL, ",", &save)) {
        dk_model_info m;

        if ((rc = dk_h5_get_model(from, lane, &m, err)) < 0)
            break;
        rc = dk_scores_add_model(w, lane, &m, err);
        dk_model_info_free(&m);
    }
    dk_free(lanes);
    return rc;
}

/* Every part of a name is a lane name's kind of word. */
static int path_of(char **path, const char *folder, const char *name, dk_err *err)
{
    char *copy = dk_xstrdup(name), *save = NULL;
    bool good = name[0] && name[0] != '/' && name[strlen(name) - 1] != '/' && !strstr(name, "//");

    for (char *p = strtok_r(copy, "/", &save); p && good; p = strtok_r(NULL, "/", &save))
        good = dk_lane_name_ok(p);
    dk_free(copy);
    *path = NULL;
    if (!good)
        return dk_fail(err, DK_EUSAGE, "'%s' cannot name a score; use letters, digits, '.', '_', "
                       "'-' between slashes", name);
    *path = dk_xasprintf("%s/%s", folder, name);
    return 0;
}

static int put_opt(dk_h5 *f, const char *path, const char *name, const char *value, dk_err *err)
{
    return value ? dk_h5_put_str(f, path, name, value, err) : 0;
}

static int put_attrs(dk_h5 *f, const char *path, const dk_score_attr *a, dk_err *err)
{
    int rc;

    if (!a)
        return 0;
    if ((rc = put_opt(f, path, "unit", a->unit, err)) == 0 &&
        (rc = put_opt(f, path, "site", a->site, err)) == 0 &&
        (rc = put_opt(f, path, "what", a->what, err)) == 0 &&
        (rc = put_opt(f, path, "higher", a->higher, err)) == 0 &&
        (rc = put_opt(f, path, "end", a->end, err)) == 0 &&
        (rc = put_opt(f, path, "computed_in", a->computed_in, err)) == 0 &&
        (rc = put_opt(f, path, "arith", a->arith, err)) == 0 && a->has_layer)
        rc = dk_h5_put_int(f, path, "layer", DK_H5_I32, a->layer, err);
    return rc;
}

int dk_scores_begin(dk_scores_writer *w, const char *name, dk_score_kind kind, size_t k,
                    const dk_score_attr *a, dk_err *err)
{
    const uint64_t dim[2] = { 0, k };
    char *path;
    int rc = path_of(&path, "/scores", name, err);

    if (rc < 0)
        return rc;
    DK_ASSERT(kind == DK_SCORE_DENSE || (kind == DK_SCORE_INDEX && k > 0));
    rc = dk_h5_dataset(w->file, path, kind == DK_SCORE_INDEX ? DK_H5_U32 : DK_H5_F32, k ? 2 : 1,
                       dim, err);
    if (rc == 0)
        rc = put_attrs(w->file, path, a, err);
    if (rc < 0) {
        dk_free(path);
        return rc;
    }
    w->open = dk_xrealloc(w->open, (w->n_open + 1) * sizeof *w->open);
    w->open[w->n_open++] = (struct open_score){ path, kind, 0 };
    return 0;
}

int dk_scores_append(dk_scores_writer *w, const char *name, const void *v, size_t n_rows,
                     dk_err *err)
{
    static const size_t skip = sizeof "/scores/" - 1;
    size_t i = 0;

    while (i < w->n_open && strcmp(w->open[i].path + skip, name) != 0)
        i++;
    DK_ASSERT(i < w->n_open);
    if (n_rows > w->rows - w->open[i].rows)
        return dk_fail(err, DK_EDATA, "%s: more rows for score %s than the tokens have (%zu)",
                       dk_h5_path(w->file), name, w->rows);
    w->open[i].rows += n_rows;
    return dk_h5_append(w->file, w->open[i].path, v, n_rows, err);
}

int dk_scores_add_dense(dk_scores_writer *w, const char *name, const float *v, size_t k,
                        const dk_score_attr *a, dk_err *err)
{
    int rc = dk_scores_begin(w, name, DK_SCORE_DENSE, k, a, err);

    return rc == 0 ? dk_scores_append(w, name, v, w->rows, err) : rc;
}

int dk_scores_add_index(dk_scores_writer *w, const char *name, const uint32_t *v, size_t k,
                        const dk_score_attr *a, dk_err *err)
{
    int rc = dk_scores_begin(w, name, DK_SCORE_INDEX, k, a, err);

    return rc == 0 ? dk_scores_append(w, name, v, w->rows, err) : rc;
}

static int write_part(dk_h5 *f, const char *group, const char *part, dk_h5_type type, uint64_t n,
                      const void *v, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", group, part);
    int rc = dk_h5_write(f, path, type, 1, &n, v, err);

    dk_free(path);
    return rc;
}

int dk_scores_add_sparse(dk_scores_writer *w, const char *name, const uint64_t *indptr,
                         const uint32_t *index, const float *value, size_t cols,
                         const dk_score_attr *a, dk_err *err)
{
    const uint64_t nnz = indptr[w->rows];
    char *path;
    int rc = path_of(&path, "/scores", name, err);

    if (rc == 0 && (rc = dk_h5_group(w->file, path, err)) == 0 &&
        (rc = dk_h5_put_str(w->file, path, "encoding-type", "dk-csr", err)) == 0 &&
        (rc = dk_h5_put_int(w->file, path, "columns", DK_H5_U64, (int64_t)cols, err)) == 0 &&
        (rc = put_attrs(w->file, path, a, err)) == 0 &&
        (rc = write_part(w->file, path, "indptr", DK_H5_U64, w->rows + 1, indptr, err)) == 0 &&
        (rc = write_part(w->file, path, "index", DK_H5_U32, nnz, index, err)) == 0)
        rc = write_part(w->file, path, "value", DK_H5_F32, nnz, value, err);
    dk_free(path);
    return rc;
}

static int add_vocab(dk_scores_writer *w, const char *name, dk_h5_type type, const void *v,
                     size_t n, const dk_score_attr *a, dk_err *err)
{
    const uint64_t dim = n;
    char *path;
    int rc = path_of(&path, "/vocab", name, err);

    if (rc == 0 && (rc = dk_h5_write(w->file, path, type, 1, &dim, v, err)) == 0)
        rc = put_attrs(w->file, path, a, err);
    dk_free(path);
    return rc;
}

int dk_scores_add_vocab_i64(dk_scores_writer *w, const char *name, const int64_t *v, size_t n,
                            const dk_score_attr *a, dk_err *err)
{
    return add_vocab(w, name, DK_H5_I64, v, n, a, err);
}

int dk_scores_add_vocab_f64(dk_scores_writer *w, const char *name, const double *v, size_t n,
                            const dk_score_attr *a, dk_err *err)
{
    return add_vocab(w, name, DK_H5_F64, v, n, a, err);
}

int dk_scores_commit(dk_scores_writer **wp, dk_err *err)
{
    dk_scores_writer *w = *wp;
    int rc = dk_h5_put_str(w->file, "/", "lanes", w->lanes.s, err);

    for (size_t i = 0; rc == 0 && i < w->n_open; i++)
        if (w->open[i].rows != w->rows)
            rc = dk_fail(err, DK_EDATA, "%s: %s has %zu of %zu rows", dk_h5_path(w->file),
                         w->open[i].path, w->open[i].rows, w->rows);
    if (rc == 0)
        rc = dk_h5_commit(&w->file, w->rows, w->docs, NULL, err);
    release(wp);
    return rc;
}

void dk_scores_abandon(dk_scores_writer **w)
{
    if (w && *w)
        release(w);
}
