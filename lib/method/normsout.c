/* Score file, directions and table of norms. */
#include "method/normsout.h"

#include <math.h>
#include <string.h>

#include "io/dirfile.h"
#include "io/rowstats.h"
#include "io/scorefile.h"
#include "num/resample.h"

/* --- scores ----------------------------------------------------------------------- */
static int put_scores(dk_scores_writer *w, const dk_norm_lane *l, dk_err *err)
{
    static const char *const unit[DK_NORM_METRICS] = { "norm", "norm", "cosine", "ratio" };
    int rc = 0;

    for (size_t m = 0; rc == 0 && m < DK_NORM_METRICS; m++) {
        const dk_score_attr a = {
            .unit = unit[m], .site = l->site, .what = m == DK_NORM ? l->lane : "diff",
            .higher = m == DK_NORM ? NULL : "more different", .computed_in = *l->computed_in ? l->computed_in : NULL,
            .has_layer = 1, .layer = l->layer
        };
        char *name = dk_xasprintf("%s/L%02d/%s/%s", dk_norm_metric_name(m), l->layer, l->site, l->lane);

        if (l->value[m])
            rc = dk_scores_add_dense(w, name, l->value[m], 0, &a, err);
        dk_free(name);
    }
    return rc;
}

int dk_norms_write(const dk_norms *n, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err)
{
    dk_scores_writer *w = NULL;
    int rc = dk_scores_new(&w, path, dk_acts_tokens(from), prov, err);

    if (rc == 0)
        rc = dk_scores_copy_models(w, dk_acts_file(from), err);
    for (size_t k = 0; rc == 0 && k < n->n; k++)
        rc = put_scores(w, &n->lane[k], err);
    if (rc == 0)
        return dk_scores_commit(&w, err);
    dk_scores_abandon(&w);
    return rc;
}

/* --- directions --------------------------------------------------------------------- */
static double length(const dk_norm_mean *m, size_t d)
{
    double square = 0;

    for (size_t j = 0; j < d; j++)
        square += m->sum[j] / (double)m->count * (m->sum[j] / (double)m->count);
    return sqrt(square);
}

/* What scales are relative to: the finetune's rows at this layer and site, as dk-mean has it. */
static double scale_of(const dk_norms *n, const dk_norm_lane *l)
{
    for (size_t k = 0; k < n->n; k++) {
        const dk_norm_lane *o = &n->lane[k];

        if (o->layer == l->layer && strcmp(o->site, l->site) == 0 && strcmp(o->lane, "ft") == 0 && o->n_late)
            return o->late_norm / (double)o->n_late;
    }
    return NAN;
}

/* Means of no token at all are left out. */
static int put_means(dk_h5 *f, const dk_norm_lane *l, double act_norm, size_t *total, dk_err *err)
{
    const char **name = dk_xcalloc(l->n_means, sizeof *name);
    int32_t *position = dk_xcalloc(l->n_means, sizeof *position);
    double *norm = dk_xcalloc(l->n_means, sizeof *norm);
    uint64_t *count = dk_xcalloc(l->n_means, sizeof *count);
    char *what = strcmp(l->lane, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", l->lane);
    float *v = NULL;
    size_t n = 0;
    int rc = dk_alloc(&v, l->n_means * l->d, sizeof *v, "directions", err);

    for (size_t i = 0; rc == 0 && i < l->n_means; i++) {
        const dk_norm_mean *m = &l->mean[i];

        if (m->count == 0)
            continue;
        name[n] = m->name;
        position[n] = m->position;
        norm[n] = length(m, l->d);
        count[n] = m->count;
        for (size_t j = 0; j < l->d; j++)
            v[n * l->d + j] = (float)(m->sum[j] / (double)m->count);
        n++;
    }
    if (rc == 0 && n) {
        const dk_dir_set s = {
            .layer = l->layer, .site = l->site, .what = what, .source = "mean", .unit = "model", .act_norm = act_norm,
            .n = n, .d = l->d, .vector = v, .name = name, .position = position, .norm = norm, .count = count
        };

        rc = dk_dirs_put(f, &s, err);
    }
    *total += n;
    dk_free(name);
    dk_free(position);
    dk_free(norm);
    dk_free(count);
    dk_free(what);
    dk_free(v);
    return rc;
}

int dk_norms_write_means(const dk_norms *n, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err)
{
    size_t total = 0;
    dk_h5 *f = NULL;
    int rc = dk_dirs_create(&f, path, dk_acts_tokens(from), dk_acts_file(from), prov, err);

    for (size_t k = 0; rc == 0 && k < n->n; k++)
        if (n->lane[k].n_means)
            rc = put_means(f, &n->lane[k], scale_of(n, &n->lane[k]), &total, err);
    if (rc == 0)
        return dk_dirs_commit(&f, total, err);
    dk_h5_close(&f);
    return rc;
}

/* --- the table ------------------------------------------------------------------------ */
static void head(dk_jw *w, const dk_norm_lane *l, const char *what, const char *dataset)
{
    dk_jw_obj_begin(w);
    dk_jw_key(w, "metric"); dk_jw_str(w, what);
    dk_jw_key(w, "lane"); dk_jw_str(w, l->lane);
    dk_jw_key(w, "layer"); dk_jw_int(w, l->layer);
    dk_jw_key(w, "site"); dk_jw_str(w, l->site);
    dk_jw_key(w, "dataset_id"); dk_jw_str(w, dataset);
}

static void tail(dk_jw *w)
{
    dk_jw_obj_end(w);
    dk_jw_line(w);
}

static int stat_row(dk_buf *out, const dk_norms *n, const dk_norm_lane *l, size_t m, const dk_tokens *t,
                    dk_rowstats *g, size_t skip, uint64_t seed, dk_err *err)
{
    dk_jw w = { .out = out };
    int rc;

    head(&w, l, dk_norm_metric_name(m), t->corpus_name);
    if ((rc = dk_rowstats_put(&w, g, t, l->value[m], seed, err)) < 0)
        return rc;
    dk_jw_key(&w, "skipped_first_tokens"); dk_jw_u64(&w, skip);
    dk_jw_key(&w, "total_tokens_processed"); dk_jw_u64(&w, g->n);
    dk_jw_key(&w, "total_samples_processed"); dk_jw_u64(&w, g->docs);
    dk_jw_key(&w, "too_short_samples"); dk_jw_u64(&w, n->too_short);
    tail(&w);
    return 0;
}

static void mean_row(dk_buf *out, const dk_norm_lane *l, const dk_norm_mean *m, const char *dataset)
{
    dk_jw w = { .out = out };

    head(&w, l, "mean_diff", dataset);
    dk_jw_key(&w, "name"); dk_jw_str(&w, m->name);
    dk_jw_key(&w, "position");
    if (m->position == DK_NO_POSITION)
        dk_jw_null(&w);
    else
        dk_jw_int(&w, m->position);
    dk_jw_key(&w, "token_id");
    if (m->token < 0)
        dk_jw_null(&w);
    else
        dk_jw_int(&w, m->token);
    dk_jw_key(&w, "count"); dk_jw_u64(&w, m->count);
    dk_jw_key(&w, "norm"); dk_jw_num(&w, length(m, l->d));
    if (isfinite(m->length.p)) {
        dk_jw_key(&w, "lo"); dk_jw_num(&w, m->length.lo);
        dk_jw_key(&w, "hi"); dk_jw_num(&w, m->length.hi);
        dk_jw_key(&w, "p_any"); dk_jw_num(&w, m->length.p);
    }
    tail(&w);
}

int dk_norms_table(dk_buf *out, const dk_norms *n, const dk_tokens *t, size_t skip, uint64_t seed, dk_err *err)
{
    dk_rowstats g = {0};
    int rc = dk_rowstats_room(&g, t, err);

    for (size_t k = 0; rc == 0 && k < n->n; k++)
        for (size_t m = 0; rc == 0 && m < DK_NORM_METRICS; m++)
            if (n->lane[k].value[m])
                rc = stat_row(out, n, &n->lane[k], m, t, &g, skip, seed, err);
    for (size_t k = 0; rc == 0 && k < n->n; k++)
        for (size_t i = 0; i < n->lane[k].n_means; i++)
            if (n->lane[k].mean[i].count)
                mean_row(out, &n->lane[k], &n->lane[k].mean[i], t->corpus_name);
    dk_rowstats_free(&g);
    return rc;
}
