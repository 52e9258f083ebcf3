/* Statistics in files. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "io/statfile.h"

enum { CHUNK = 1 << 20, REPLICATES = 3 };

static const char *const replicates[REPLICATES] = { "boot_count", "boot_sum", "flip_sum" };

/* --- writing ---------------------------------------------------------------- */
/* All of a dataset in one chunk where it fits: there are many of a few values. */
static int write(dk_h5 *f, const char *path, dk_h5_type type, int rank, const uint64_t *dim, const void *v, dk_err *err)
{
    uint64_t bytes = dk_h5_type_size(type);
    int rc;

    for (int k = 0; k < rank; k++)
        bytes *= dim[k];
    dk_h5_set_chunk_rows(f, bytes && bytes <= CHUNK ? dim[0] : 0);
    rc = dk_h5_write(f, path, type, rank, dim, v, err);
    dk_h5_set_chunk_rows(f, 0);
    return rc;
}

/* n (x d) values; d 0: one dimension. */
static int put(dk_h5 *f, const char *g, const char *name, dk_h5_type type, uint64_t n, uint64_t d, const void *v,
               dk_err *err)
{
    const uint64_t dim[2] = { n, d };
    char *path = dk_xasprintf("%s/%s", g, name);
    const int rc = write(f, path, type, d ? 2 : 1, dim, v, err);

    dk_free(path);
    return rc;
}

/* The integers under NAME_exact, and under NAME what they are as numbers. */
static int put_exact(dk_h5 *f, const char *g, const char *name, uint64_t n, uint64_t d, const dk_exact *x, bool plain,
                     dk_err *err)
{
    const uint64_t dim[3] = { n, d ? d : 2, 2 };
    const size_t all = n * (d ? d : 1);
    char *path = dk_xasprintf("%s/%s_exact", g, name);
    uint64_t *split = NULL;
    double *v = NULL;
    int rc = dk_alloc(&split, all, 2 * sizeof *split, "statistics", err);

    if (rc == 0)
        rc = dk_alloc(&v, all, sizeof *v, "statistics", err);
    for (size_t i = 0; rc == 0 && i < all; i++) {
        dk_exact_split(split + 2 * i, x[i]);
        v[i] = dk_exact_double(x[i]);
    }
    if (rc == 0 && plain)
        rc = put(f, g, name, DK_H5_F64, n, d, v, err);
    if (rc == 0)
        rc = write(f, path, DK_H5_U64, d ? 3 : 2, dim, split, err);
    dk_free(split);
    dk_free(v);
    dk_free(path);
    return rc;
}

/* The matrices of the tree one below the other. */
static int put_gram(dk_h5 *f, const char *g, const dk_tree *t, dk_err *err)
{
    const uint64_t dim[2] = { 0, t->d };
    uint32_t *level = dk_xcalloc(t->n + 1, sizeof *level);
    uint64_t *block = dk_xcalloc(t->n + 1, sizeof *block);
    char *path = dk_xasprintf("%s/gram", g);
    int rc = 0;

    for (size_t i = 0; i < t->n; i++) {
        level[i] = t->node[i].level;
        block[i] = t->node[i].index;
    }
    if ((rc = dk_h5_dataset(f, path, DK_H5_F64, 2, dim, err)) == 0) {
        for (size_t i = 0; rc == 0 && i < t->n; i++)
            rc = dk_h5_append(f, path, t->node[i].m, t->d, err);
        if (rc == 0 && (rc = put(f, g, "gram_level", DK_H5_U32, t->n, 0, level, err)) == 0)
            rc = put(f, g, "gram_index", DK_H5_U64, t->n, 0, block, err);
    }
    dk_free(level);
    dk_free(block);
    dk_free(path);
    return rc;
}

/* In the order of the datasets. */
static void *replicates_at(const dk_replicates *r, size_t k)
{
    return k == 0 ? (void *)r->boot_count : k == 1 ? (void *)r->boot_sum : (void *)r->flip_sum;
}

/* One below the other, like the matrices. */
static int put_replicates(dk_h5 *f, const char *g, const dk_sums *s, dk_err *err)
{
    const uint64_t dim[2] = { 0, s->d };
    int rc = dk_h5_put_int(f, g, "seed", DK_H5_U64, (int64_t)s->seed, err);

    for (size_t k = 0; rc == 0 && k < REPLICATES; k++) {
        char *path = dk_xasprintf("%s/%s", g, replicates[k]);

        rc = dk_h5_dataset(f, path, k ? DK_H5_I64 : DK_H5_U64, k ? 2 : 1, dim, err);
        for (size_t i = 0; rc == 0 && i < s->n_reps; i++)
            rc = dk_h5_append(f, path, replicates_at(&s->reps[i], k), DK_BOOT, err);
        dk_free(path);
    }
    return rc;
}

int dk_sums_put(dk_h5 *f, const dk_sums *s, dk_err *err)
{
    char *g = dk_xasprintf("/stats/L%02d/%s/%s", s->layer, s->site, s->what);
    int rc;

    if ((rc = dk_sums_check(s, dk_h5_path(f), err)) == 0 &&
        (rc = dk_h5_group(f, g, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "layer", DK_H5_I32, s->layer, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "site", s->site, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "what", s->what, err)) == 0 &&
        (rc = put(f, g, "count", DK_H5_U64, 1, 0, &s->count, err)) == 0 &&
        (rc = put(f, g, "docs", DK_H5_U64, 1, 0, &s->docs, err)) == 0 &&
        (rc = put_exact(f, g, "sum", s->d, 0, s->sum, true, err)) == 0 &&
        (rc = put_exact(f, g, "sumsq", s->d, 0, s->sumsq, true, err)) == 0 &&
        (rc = put_exact(f, g, "doc_mean", s->d, 0, s->doc_mean, true, err)) == 0 &&
        (rc = put_exact(f, g, "doc_mean_sq", s->d, 0, s->doc_mean_sq, true, err)) == 0 &&
        (rc = put(f, g, "min", DK_H5_F32, s->d, 0, s->min, err)) == 0 &&
        (rc = put(f, g, "max", DK_H5_F32, s->d, 0, s->max, err)) == 0 &&
        (rc = put_exact(f, g, "norm_sum", 1, 0, &s->norm_sum, true, err)) == 0 &&
        (rc = put(f, g, "norm_hist", DK_H5_U64, DK_STAT_BINS, 0, s->norm_hist, err)) == 0 &&
        (rc = put(f, g, "pos_count", DK_H5_U64, s->n_pos, 0, s->pos_count, err)) == 0 &&
        (rc = put_exact(f, g, "pos_sum", s->n_pos, s->d, s->pos_sum, true, err)) == 0 &&
        (rc = put_exact(f, g, "pos_norm_sum", s->n_pos, 0, s->pos_norm_sum, true, err)) == 0)
        rc = s->products ? put_gram(f, g, &s->gram, err) : 0;
    if (rc == 0 && s->n_reps)
        rc = put_replicates(f, g, s, err);
    dk_free(g);
    return rc;
}

int dk_measure_put(dk_h5 *f, const dk_measure *m, dk_err *err)
{
    const uint64_t counts[2] = { m->count, m->docs };
    const float range[2] = { m->min, m->max };
    const dk_exact sums[4] = { m->sum, m->sumsq, m->doc_mean, m->doc_mean_sq };
    char *g = dk_xasprintf("/measures/%s", m->name);
    int rc;

    if ((rc = dk_measure_check(m, dk_h5_path(f), err)) == 0 &&
        (rc = dk_h5_group(f, g, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "measure", m->name, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "unit", m->unit, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "seed", DK_H5_U64, (int64_t)m->seed, err)) == 0 &&
        (rc = put(f, g, "counts", DK_H5_U64, 2, 0, counts, err)) == 0 &&
        (rc = put(f, g, "range", DK_H5_F32, 2, 0, range, err)) == 0 &&
        (rc = put_exact(f, g, "sums", 4, 0, sums, true, err)) == 0 &&
        (rc = put(f, g, "hist", DK_H5_U64, DK_STAT_BINS, 0, m->hist, err)) == 0 &&
        (rc = put(f, g, "boot_count", DK_H5_U64, DK_STAT_REPLICATES, 0, m->boot_count, err)) == 0)
        rc = put_exact(f, g, "boot_sum", DK_STAT_REPLICATES, 0, m->boot_sum, false, err);
    if (rc == 0 && m->flips)
        rc = put_exact(f, g, "flip_sum", DK_FLIPS + 1, 0, m->flip_sum, false, err);
    dk_free(g);
    return rc;
}

/* --- reading ----------------------------------------------------------------- */
static const dk_h5_data *data_of(dk_h5 *f, const char *g, const char *name)
{
    char *path = dk_xasprintf("%s/%s", g, name);
    const dk_h5_object *o = dk_h5_find(f, path);

    dk_free(path);
    return o && o->kind == DK_H5_DATASET ? &o->data : NULL;
}

static int wrong_shape(dk_h5 *f, const char *g, const char *name, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: %s/%s is missing or has a wrong shape", dk_h5_path(f), g, name);
}

/* Exactly n (x d) values, into memory that is there. */
static int get(dk_h5 *f, const char *g, const char *name, dk_h5_type type, uint64_t n, uint64_t d, void *out,
               dk_err *err)
{
    const dk_h5_data *x = data_of(f, g, name);
    char *path;
    int rc;

    if (!x || x->dim[0] != n || x->rank != (d ? 2 : 1) || (d && x->dim[1] != d))
        return wrong_shape(f, g, name, err);
    path = dk_xasprintf("%s/%s", g, name);
    rc = dk_h5_read(f, path, type, 0, n, out, err);
    dk_free(path);
    return rc;
}

/* Both forms must say the same. */
static int get_exact(dk_h5 *f, const char *g, const char *name, uint64_t n, uint64_t d, dk_exact *out, bool plain,
                     dk_err *err)
{
    const size_t all = n * (d ? d : 1);
    char *full = dk_xasprintf("%s_exact", name), *path = dk_xasprintf("%s/%s", g, full);
    const dk_h5_data *x = data_of(f, g, full);
    uint64_t *split = NULL;
    double *v = NULL;
    int rc = 0;

    if (!x)
        rc = dk_fail(err, DK_EFORMAT, "%s: %s has no exact %s: an earlier dk made this file; extract again", dk_h5_path(f),
                     g, name);
    else if (x->dim[0] != n || x->rank != (d ? 3 : 2) || (d && x->dim[1] != d) || x->dim[d ? 2 : 1] != 2)
        rc = wrong_shape(f, g, full, err);
    if (rc == 0 && (rc = dk_alloc(&split, all, 2 * sizeof *split, "statistics", err)) == 0 &&
        (rc = dk_alloc(&v, all, sizeof *v, "statistics", err)) == 0 &&
        (rc = dk_h5_read(f, path, DK_H5_U64, 0, n, split, err)) == 0 && plain)
        rc = get(f, g, name, DK_H5_F64, n, d, v, err);
    for (size_t i = 0; rc == 0 && i < all; i++) {
        out[i] = dk_exact_join(split + 2 * i);
        if (plain && v[i] != dk_exact_double(out[i]))
            rc = dk_fail(err, DK_EFORMAT, "%s: %s/%s is not what %s says", dk_h5_path(f), g, name, full);
    }
    dk_free(split);
    dk_free(v);
    dk_free(full);
    dk_free(path);
    return rc;
}

static int get_node(dk_h5 *f, const char *path, dk_sums *s, size_t i, dk_node node, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, s->d, s->d) ? dk_alloc(&node.m, n, sizeof *node.m, "products of activations", err)
                                         : dk_fail(err, DK_ENOMEM, "%s does not fit in memory", path);

    if (rc == 0)
        rc = dk_h5_read(f, path, DK_H5_F64, i * s->d, s->d, node.m, err);
    for (size_t k = 0; rc == 0 && k < n; k++)
        if (!isfinite(node.m[k]))
            rc = dk_fail(err, DK_EFORMAT, "%s: %s is not finite", dk_h5_path(f), path);
    if (rc == 0 && (rc = dk_tree_push(&s->gram, node, err)) < 0)
        dk_err_prefix(err, "%s: %s", dk_h5_path(f), path);
    if (rc < 0)
        dk_free(node.m);
    return rc;
}

static int get_gram(dk_h5 *f, const char *g, dk_sums *s, dk_err *err)
{
    const dk_h5_data *x = data_of(f, g, "gram"), *l = data_of(f, g, "gram_level");
    const uint64_t n = l ? l->dim[0] : 0;
    char *path = dk_xasprintf("%s/gram", g);
    uint32_t *level = NULL;
    uint64_t *index = NULL;
    int rc = 0;

    if (!x && !l)
        goto out;
    s->products = true;
    if (!x || !l || x->rank != 2 || x->dim[1] != s->d || n > 1000 || x->dim[0] != n * s->d) {
        rc = wrong_shape(f, g, "gram", err);
        goto out;
    }
    level = dk_xcalloc(n + 1, sizeof *level);
    index = dk_xcalloc(n + 1, sizeof *index);
    if ((rc = get(f, g, "gram_level", DK_H5_U32, n, 0, level, err)) == 0)
        rc = get(f, g, "gram_index", DK_H5_U64, n, 0, index, err);
    s->gram.first = UINT64_MAX;         /* as they are: only joining adds up what is not whole yet */
    for (uint64_t i = 0; rc == 0 && i < n; i++) {
        const dk_node node = { .level = level[i], .index = index[i] };
        uint64_t from, to;

        if (i == 0 && dk_node_leaves(&node, &from, &to))
            s->gram.first = from;
        rc = get_node(f, path, s, i, node, err);
    }
    if (rc == 0 && s->gram.n != n)
        rc = dk_fail(err, DK_EFORMAT, "%s: %s has parts that belong together", dk_h5_path(f), path);
out:
    dk_free(level);
    dk_free(index);
    dk_free(path);
    return rc;
}

static int get_replicates(dk_h5 *f, const char *g, dk_sums *s, dk_err *err)
{
    const dk_h5_data *first = data_of(f, g, replicates[0]);
    const uint64_t n = first ? first->dim[0] / DK_BOOT : 0;
    int64_t seed;
    int rc = 0;

    if (!first)
        return 0;
    for (size_t k = 0; rc == 0 && k < REPLICATES; k++) {        /* before there is room for them */
        const dk_h5_data *x = data_of(f, g, replicates[k]);

        if (!x || n == 0 || n > s->n_pos + 1 || x->dim[0] != n * DK_BOOT || x->rank != (k ? 2 : 1) ||
            (k && x->dim[1] != s->d))
            rc = wrong_shape(f, g, replicates[k], err);
    }
    if (rc == 0 && (rc = dk_h5_get_int(f, g, "seed", &seed, err)) == 0)
        rc = dk_sums_replicate(s, n - 1, (uint64_t)seed, err);
    for (size_t k = 0; rc == 0 && k < REPLICATES; k++) {
        char *path = dk_xasprintf("%s/%s", g, replicates[k]);

        for (size_t i = 0; rc == 0 && i < n; i++)
            rc = dk_h5_read(f, path, k ? DK_H5_I64 : DK_H5_U64, i * DK_BOOT, DK_BOOT, replicates_at(&s->reps[i], k), err);
        dk_free(path);
    }
    return rc;
}

static int check_sums(dk_h5 *f, const char *g, const dk_sums *s, dk_err *err)
{
    uint64_t rows = 0, at_pos = 0;
    bool good = s->docs <= s->count && s->norm_sum >= 0;
    double most = 0;

    for (size_t i = 0; i < DK_STAT_BINS; i++)
        rows += s->norm_hist[i];
    for (size_t j = 0; j < s->d; j++) {
        good = good && isfinite(s->min[j]) && isfinite(s->max[j]) && s->min[j] <= s->max[j] && s->sumsq[j] >= 0;
        most = fmax(most, fmax(fabs((double)s->min[j]), fabs((double)s->max[j])));
    }
    for (size_t i = 0; i < s->n_reps; i++)
        good = good && dk_replicates_good(&s->reps[i], most, s->count);
    for (size_t p = 0; p < s->n_pos; p++) {
        good = good && s->pos_count[p] <= s->count && s->pos_norm_sum[p] >= 0;
        at_pos += s->pos_count[p];
    }
    return good && rows == s->count && at_pos <= s->count ? dk_sums_check(s, dk_h5_path(f), err)
        : dk_fail(err, DK_EFORMAT, "%s: %s has counts or sums that cannot be", dk_h5_path(f), g);
}

static int get_sums(dk_h5 *f, const char *g, dk_sums *s, dk_err *err)
{
    const dk_h5_data *sum = data_of(f, g, "sum"), *pos = data_of(f, g, "pos_count"),
                     *by_pos = data_of(f, g, "pos_sum");
    char *site = NULL, *what = NULL;
    int64_t layer;
    int rc;

    if (!sum || !pos || sum->rank != 1 || pos->rank != 1 || sum->dim[0] == 0)
        return dk_fail(err, DK_EFORMAT, "%s: %s has no sums", dk_h5_path(f), g);
    if (!by_pos || by_pos->rank != 2 || by_pos->dim[0] != pos->dim[0] || by_pos->dim[1] != sum->dim[0])
        return wrong_shape(f, g, "pos_sum", err);       /* before there is room for it */
    if ((rc = dk_h5_get_int(f, g, "layer", &layer, err)) == 0 && (rc = dk_h5_get_str(f, g, "site", &site, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "what", &what, err)) == 0 &&
        (rc = dk_sums_new(s, (int)layer, site, what, sum->dim[0], pos->dim[0], err)) == 0 &&
        (rc = get(f, g, "count", DK_H5_U64, 1, 0, &s->count, err)) == 0 &&
        (rc = get_exact(f, g, "sum", s->d, 0, s->sum, true, err)) == 0 &&
        (rc = get_exact(f, g, "sumsq", s->d, 0, s->sumsq, true, err)) == 0 &&
        (rc = get(f, g, "docs", DK_H5_U64, 1, 0, &s->docs, err)) == 0 &&
        (rc = get_exact(f, g, "doc_mean", s->d, 0, s->doc_mean, true, err)) == 0 &&
        (rc = get_exact(f, g, "doc_mean_sq", s->d, 0, s->doc_mean_sq, true, err)) == 0 &&
        (rc = get(f, g, "min", DK_H5_F32, s->d, 0, s->min, err)) == 0 &&
        (rc = get(f, g, "max", DK_H5_F32, s->d, 0, s->max, err)) == 0 &&
        (rc = get_exact(f, g, "norm_sum", 1, 0, &s->norm_sum, true, err)) == 0 &&
        (rc = get(f, g, "norm_hist", DK_H5_U64, DK_STAT_BINS, 0, s->norm_hist, err)) == 0 &&
        (rc = get(f, g, "pos_count", DK_H5_U64, s->n_pos, 0, s->pos_count, err)) == 0 &&
        (rc = get_exact(f, g, "pos_sum", s->n_pos, s->d, s->pos_sum, true, err)) == 0 &&
        (rc = get_exact(f, g, "pos_norm_sum", s->n_pos, 0, s->pos_norm_sum, true, err)) == 0 &&
        (rc = get_gram(f, g, s, err)) == 0 && (rc = get_replicates(f, g, s, err)) == 0)
        rc = check_sums(f, g, s, err);
    dk_free(site);
    dk_free(what);
    return rc;
}

/* No sum of n values up to most, each rounded, is larger. */
static bool within(dk_exact x, double n, double most)
{
    return fabs(dk_exact_double(x)) <= n * (most * (1 + 0x1p-40) + 0x1p-60);
}

static int check_measure(dk_h5 *f, const char *g, const dk_measure *m, dk_err *err)
{
    const double most = fmax(fabs((double)m->min), fabs((double)m->max)), count = (double)m->count, docs = (double)m->docs;
    bool good = m->docs <= m->count && isfinite(m->min) && isfinite(m->max) && m->min <= m->max && m->sumsq >= 0 &&
                m->doc_mean_sq >= 0 && within(m->sum, count, most) && within(m->sumsq, count, most * most) &&
                within(m->doc_mean, docs, most) && within(m->doc_mean_sq, docs, most * most);
    uint64_t n = 0;

    for (size_t i = 0; i < DK_STAT_BINS; i++)
        n += m->hist[i];
    for (size_t b = 0; b < DK_STAT_REPLICATES; b++)
        good = good && m->boot_count[b] / 16 <= m->count && within(m->boot_sum[b], 16 * count, most);
    for (size_t b = 0; b <= DK_FLIPS; b++)
        good = good && within(m->flip_sum[b], docs, most);
    return good && n == m->count ? dk_measure_check(m, dk_h5_path(f), err)
        : dk_fail(err, DK_EFORMAT, "%s: %s has counts or sums that cannot be", dk_h5_path(f), g);
}

static int get_measure(dk_h5 *f, const char *g, dk_measure *m, dk_err *err)
{
    char *name = NULL, *unit = NULL;
    dk_exact sums[4];
    uint64_t counts[2];
    float range[2];
    int64_t seed;
    int rc;

    if ((rc = dk_h5_get_str(f, g, "measure", &name, err)) == 0 && (rc = dk_h5_get_str(f, g, "unit", &unit, err)) == 0 &&
        (rc = dk_h5_get_int(f, g, "seed", &seed, err)) == 0 &&
        (rc = dk_measure_new(m, name, unit, (uint64_t)seed, err)) == 0 &&
        (rc = get(f, g, "counts", DK_H5_U64, 2, 0, counts, err)) == 0 &&
        (rc = get(f, g, "range", DK_H5_F32, 2, 0, range, err)) == 0 &&
        (rc = get_exact(f, g, "sums", 4, 0, sums, true, err)) == 0 &&
        (rc = get(f, g, "hist", DK_H5_U64, DK_STAT_BINS, 0, m->hist, err)) == 0 &&
        (rc = get(f, g, "boot_count", DK_H5_U64, DK_STAT_REPLICATES, 0, m->boot_count, err)) == 0 &&
        (rc = get_exact(f, g, "boot_sum", DK_STAT_REPLICATES, 0, m->boot_sum, false, err)) == 0) {
        m->flips = data_of(f, g, "flip_sum_exact") != NULL;
        if (m->flips)
            rc = get_exact(f, g, "flip_sum", DK_FLIPS + 1, 0, m->flip_sum, false, err);
        m->count = counts[0];
        m->docs = counts[1];
        m->min = range[0];
        m->max = range[1];
        m->sum = sums[0];
        m->sumsq = sums[1];
        m->doc_mean = sums[2];
        m->doc_mean_sq = sums[3];
        if (rc == 0)
            rc = check_measure(f, g, m, err);
    }
    dk_free(name);
    dk_free(unit);
    return rc;
}

int dk_statistics_get(dk_h5 *f, dk_statistics *s, dk_err *err)
{
    int rc = 0;

    *s = (dk_statistics){0};
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);

        if (o->kind != DK_H5_GROUP)
            continue;
        if (strncmp(o->path, "/stats/", 7) == 0 && dk_h5_has_attr(f, o->path, "what")) {
            s->sums = dk_xrealloc(s->sums, (s->n_sums + 1) * sizeof *s->sums);
            s->sums[s->n_sums] = (dk_sums){0};
            rc = get_sums(f, o->path, &s->sums[s->n_sums++], err);
        } else if (strncmp(o->path, "/measures/", 10) == 0 && dk_h5_has_attr(f, o->path, "measure")) {
            s->measure = dk_xrealloc(s->measure, (s->n_measures + 1) * sizeof *s->measure);
            memset(&s->measure[s->n_measures], 0, sizeof *s->measure);
            rc = get_measure(f, o->path, &s->measure[s->n_measures++], err);
        }
    }
    if (rc == 0 && s->n_sums + s->n_measures == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s holds no statistics", dk_h5_path(f));
    if (rc == 0)
        rc = dk_h5_finish(f, err);
    if (rc < 0)
        dk_statistics_free(s);
    return rc;
}
