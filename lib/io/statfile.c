/* Statistics files. */
#include "io/statfile.h"

#include <math.h>
#include <string.h>

int dk_stats_new(dk_stats *s, int layer, const char *site, const char *what, size_t d, size_t n_pos,
                 dk_err *err)
{
    size_t n;
    int rc;

    *s = (dk_stats){ .layer = layer, .d = d, .n_pos = n_pos };
    if ((rc = dk_lane_name_check(what, err)) < 0 || (rc = dk_lane_name_check(site, err)) < 0)
        return rc;
    s->site = dk_xstrdup(site);
    s->what = dk_xstrdup(what);
    if (!dk_mul_size(&n, n_pos, d))
        rc = dk_fail(err, DK_ENOMEM, "the statistics do not fit in memory");
    if (rc == 0) rc = dk_alloc(&s->sum, d, sizeof *s->sum, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->sumsq, d, sizeof *s->sumsq, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->min, d, sizeof *s->min, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->max, d, sizeof *s->max, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_count, n_pos, sizeof *s->pos_count, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_sum, n, sizeof *s->pos_sum, "statistics", err);
    if (rc == 0) rc = dk_alloc(&s->pos_norm_sum, n_pos, sizeof *s->pos_norm_sum, "statistics", err);
    if (rc < 0)
        dk_stats_free(s);
    return rc;
}

void dk_stats_free(dk_stats *s)
{
    void *const owned[] = { s->site, s->what, s->sum, s->sumsq, s->min, s->max, s->pos_count, s->pos_sum,
                            s->pos_norm_sum };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free(owned[i]);
    *s = (dk_stats){0};
}

static size_t bin_of(double norm)
{
    const double b = norm > 0 ? floor(8 * log2(norm)) + 128 : 0;

    return b < 0 ? 0 : b > DK_STAT_BINS - 1 ? DK_STAT_BINS - 1 : (size_t)b;
}

size_t dk_stats_add(dk_stats *s, const float *rows, const uint32_t *pos, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        const float *x = rows + r * s->d;
        const size_t p = pos[r] < s->n_pos ? pos[r] : SIZE_MAX;
        double sq = 0, norm;

        for (size_t j = 0; j < s->d; j++) {
            s->sum[j] += x[j];
            s->sumsq[j] += (double)x[j] * x[j];
            sq += (double)x[j] * x[j];
            s->min[j] = s->count == 0 || x[j] < s->min[j] ? x[j] : s->min[j];
            s->max[j] = s->count == 0 || x[j] > s->max[j] ? x[j] : s->max[j];
            if (p != SIZE_MAX)
                s->pos_sum[p * s->d + j] += x[j];
        }
        norm = sqrt(sq);
        if (!isfinite(norm))
            return r;
        s->norm_sum += norm;
        s->norm_hist[bin_of(norm)]++;
        s->count++;
        if (p != SIZE_MAX) {
            s->pos_count[p]++;
            s->pos_norm_sum[p] += norm;
        }
    }
    return n;
}

/* --- files ---------------------------------------------------------------- */
static int put(dk_h5 *f, const char *g, const char *name, dk_h5_type type, uint64_t n, uint64_t d,
               const void *v, dk_err *err)
{
    const uint64_t dim[2] = { n, d };
    char *path = dk_xasprintf("%s/%s", g, name);
    const int rc = dk_h5_write(f, path, type, d ? 2 : 1, dim, v, err);

    dk_free(path);
    return rc;
}

int dk_stats_put(dk_h5 *f, const dk_stats *s, dk_err *err)
{
    char *g = dk_xasprintf("/stats/L%02d/%s/%s", s->layer, s->site, s->what);
    int rc;

    if ((rc = dk_h5_group(f, g, err)) == 0 && (rc = dk_h5_put_int(f, g, "layer", DK_H5_I32, s->layer, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "site", s->site, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "what", s->what, err)) == 0 &&
        (rc = put(f, g, "count", DK_H5_U64, 1, 0, &s->count, err)) == 0 &&
        (rc = put(f, g, "sum", DK_H5_F64, s->d, 0, s->sum, err)) == 0 &&
        (rc = put(f, g, "sumsq", DK_H5_F64, s->d, 0, s->sumsq, err)) == 0 &&
        (rc = put(f, g, "min", DK_H5_F32, s->d, 0, s->min, err)) == 0 &&
        (rc = put(f, g, "max", DK_H5_F32, s->d, 0, s->max, err)) == 0 &&
        (rc = put(f, g, "norm_sum", DK_H5_F64, 1, 0, &s->norm_sum, err)) == 0 &&
        (rc = put(f, g, "norm_hist", DK_H5_U64, DK_STAT_BINS, 0, s->norm_hist, err)) == 0 &&
        (rc = put(f, g, "pos_count", DK_H5_U64, s->n_pos, 0, s->pos_count, err)) == 0 &&
        (rc = put(f, g, "pos_sum", DK_H5_F64, s->n_pos, s->d, s->pos_sum, err)) == 0)
        rc = put(f, g, "pos_norm_sum", DK_H5_F64, s->n_pos, 0, s->pos_norm_sum, err);
    dk_free(g);
    return rc;
}

static const dk_h5_data *data_of(dk_h5 *f, const char *g, const char *name)
{
    char *path = dk_xasprintf("%s/%s", g, name);
    const dk_h5_object *o = dk_h5_find(f, path);

    dk_free(path);
    return o && o->kind == DK_H5_DATASET ? &o->data : NULL;
}

/* Exactly n (x d) values, into memory that is there. */
static int get(dk_h5 *f, const char *g, const char *name, dk_h5_type type, uint64_t n, uint64_t d, void *out,
               dk_err *err)
{
    const dk_h5_data *x = data_of(f, g, name);
    char *path = dk_xasprintf("%s/%s", g, name);
    int rc;

    if (!x || x->dim[0] != n || x->rank != (d ? 2 : 1) || (d && x->dim[1] != d))
        rc = dk_fail(err, DK_EFORMAT, "%s: %s is missing or has a wrong shape", dk_h5_path(f), path);
    else
        rc = dk_h5_read(f, path, type, 0, n, out, err);
    dk_free(path);
    return rc;
}

static int check(dk_h5 *f, const char *g, const dk_stats *s, dk_err *err)
{
    uint64_t rows = 0;
    bool good = isfinite(s->norm_sum);

    for (size_t i = 0; i < DK_STAT_BINS; i++)
        rows += s->norm_hist[i];
    for (size_t j = 0; j < s->d; j++)
        good = good && isfinite(s->sum[j]) && isfinite(s->sumsq[j]) && isfinite(s->min[j]) && isfinite(s->max[j]);
    for (size_t i = 0; i < s->n_pos * s->d; i++)
        good = good && isfinite(s->pos_sum[i]);
    for (size_t p = 0; p < s->n_pos; p++)
        good = good && isfinite(s->pos_norm_sum[p]) && s->pos_count[p] <= s->count;
    return good && rows == s->count ? 0
        : dk_fail(err, DK_EFORMAT, "%s: %s has counts or sums that cannot be", dk_h5_path(f), g);
}

static int get_group(dk_h5 *f, const char *g, dk_stats *s, dk_err *err)
{
    const dk_h5_data *sum = data_of(f, g, "sum"), *pos = data_of(f, g, "pos_count");
    char *site = NULL, *what = NULL;
    int64_t layer;
    int rc;

    if (!sum || !pos || sum->rank != 1 || pos->rank != 1 || sum->dim[0] == 0)
        return dk_fail(err, DK_EFORMAT, "%s: %s has no sums", dk_h5_path(f), g);
    if ((rc = dk_h5_get_int(f, g, "layer", &layer, err)) == 0 && (rc = dk_h5_get_str(f, g, "site", &site, err)) == 0 &&
        (rc = dk_h5_get_str(f, g, "what", &what, err)) == 0 &&
        (rc = dk_stats_new(s, (int)layer, site, what, sum->dim[0], pos->dim[0], err)) == 0 &&
        (rc = get(f, g, "count", DK_H5_U64, 1, 0, &s->count, err)) == 0 &&
        (rc = get(f, g, "sum", DK_H5_F64, s->d, 0, s->sum, err)) == 0 &&
        (rc = get(f, g, "sumsq", DK_H5_F64, s->d, 0, s->sumsq, err)) == 0 &&
        (rc = get(f, g, "min", DK_H5_F32, s->d, 0, s->min, err)) == 0 &&
        (rc = get(f, g, "max", DK_H5_F32, s->d, 0, s->max, err)) == 0 &&
        (rc = get(f, g, "norm_sum", DK_H5_F64, 1, 0, &s->norm_sum, err)) == 0 &&
        (rc = get(f, g, "norm_hist", DK_H5_U64, DK_STAT_BINS, 0, s->norm_hist, err)) == 0 &&
        (rc = get(f, g, "pos_count", DK_H5_U64, s->n_pos, 0, s->pos_count, err)) == 0 &&
        (rc = get(f, g, "pos_sum", DK_H5_F64, s->n_pos, s->d, s->pos_sum, err)) == 0 &&
        (rc = get(f, g, "pos_norm_sum", DK_H5_F64, s->n_pos, 0, s->pos_norm_sum, err)) == 0)
        rc = check(f, g, s, err);
    dk_free(site);
    dk_free(what);
    return rc;
}

int dk_stats_get(dk_h5 *f, dk_stats **out, size_t *n, dk_err *err)
{
    dk_stats *s = NULL;
    int rc = 0;

    *n = 0;
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);

        if (o->kind != DK_H5_GROUP || strncmp(o->path, "/stats/", 7) != 0 || !dk_h5_has_attr(f, o->path, "what"))
            continue;
        s = dk_xrealloc(s, (*n + 1) * sizeof *s);
        s[*n] = (dk_stats){0};
        rc = get_group(f, o->path, &s[(*n)++], err);
    }
    if (rc == 0 && *n == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s holds no statistics", dk_h5_path(f));
    if (rc == 0)
        rc = dk_h5_finish(f, err);
    for (size_t i = 0; rc < 0 && i < *n; i++)
        dk_stats_free(&s[i]);
    if (rc < 0) {
        dk_free(s);
        s = NULL;
        *n = 0;
    }
    *out = s;
    return rc;
}
