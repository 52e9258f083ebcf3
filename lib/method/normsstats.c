/* Lengths and distances from statistics. */
#include "method/normsstats.h"

#include <math.h>
#include <string.h>

#include "io/jsonstats.h"

static void head(dk_jw *w, const char *metric, const char *lane, const dk_sums *at, const char *dataset)
{
    dk_jw_obj_begin(w);
    dk_jw_key(w, "metric"); dk_jw_str(w, metric);
    dk_jw_key(w, "lane"); dk_jw_str(w, lane);
    dk_jw_key(w, "layer"); dk_jw_int(w, at->layer);
    dk_jw_key(w, "site"); dk_jw_str(w, at->site);
    dk_jw_key(w, "dataset_id"); dk_jw_str(w, dataset);
}

static size_t skipped(const dk_sums *s)
{
    size_t p = 0;

    while (p < s->n_pos && s->pos_count[p] == 0)
        p++;
    return p < s->n_pos ? p : 0;
}

static void stat_row(dk_buf *out, const dk_measure *m, const char *metric, const char *lane, const dk_sums *at,
                     const dk_act_input *in)
{
    dk_jw w = { .out = out };

    head(&w, metric, lane, at, in->corpus.corpus_name);
    dk_jw_measure(&w, m);
    dk_jw_key(&w, "skipped_first_tokens"); dk_jw_u64(&w, skipped(at));
    dk_jw_key(&w, "total_tokens_processed"); dk_jw_u64(&w, m->count);
    dk_jw_key(&w, "total_samples_processed"); dk_jw_u64(&w, m->docs);
    dk_jw_key(&w, "too_short_samples"); dk_jw_u64(&w, dk_h5_root_of(in->f)->docs - m->docs);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static void place_rows(dk_buf *out, const dk_act_input *in, const dk_sums *at)
{
    char *copy = dk_xstrdup(in->lanes), *save = NULL;

    for (char *lane = strtok_r(copy, ",", &save); lane; lane = strtok_r(NULL, ",", &save))
        for (size_t k = 0; k < DK_NORM_METRICS; k++) {
            char *name = dk_xasprintf("%s/L%02d/%s/%s", dk_norm_metric_name(k), at->layer, at->site, lane);
            const dk_measure *m = dk_measure_find(&in->stats, name);

            if (m && m->count)
                stat_row(out, m, dk_norm_metric_name(k), lane, at, in);
            dk_free(name);
        }
    dk_free(copy);
}

/* position -1: all rows. */
static int mean_row(dk_buf *out, const dk_act_input *in, const dk_sums *s, const char *lane, int64_t position,
                    dk_err *err)
{
    const uint64_t n = position < 0 ? s->count : s->pos_count[position];
    const dk_exact *sum = position < 0 ? s->sum : s->pos_sum + (size_t)position * s->d;
    char *name = position < 0 ? dk_xstrdup("mean_all") : dk_xasprintf("mean_pos_%lld", (long long)position);
    dk_jw w = { .out = out };
    dk_length length;
    double square = 0;
    const int rc = dk_sums_length(&length, s, position, err);

    for (size_t j = 0; n && j < s->d; j++) {
        const double mean = dk_exact_double(sum[j]) / (double)n;

        square += mean * mean;
    }
    if (rc == 0 && n) {
        head(&w, "mean_diff", lane, s, in->corpus.corpus_name);
        dk_jw_key(&w, "name"); dk_jw_str(&w, name);
        dk_jw_key(&w, "position");
        if (position < 0)
            dk_jw_null(&w);
        else
            dk_jw_int(&w, position);
        dk_jw_key(&w, "token_id"); dk_jw_null(&w);
        dk_jw_key(&w, "count"); dk_jw_u64(&w, n);
        dk_jw_key(&w, "norm"); dk_jw_num(&w, sqrt(square));
        if (isfinite(length.p)) {
            dk_jw_key(&w, "lo"); dk_jw_num(&w, length.lo);
            dk_jw_key(&w, "hi"); dk_jw_num(&w, length.hi);
            dk_jw_key(&w, "p_any"); dk_jw_num(&w, length.p);
        }
        dk_jw_obj_end(&w);
        dk_jw_line(&w);
    }
    dk_free(name);
    return rc;
}

int dk_norms_stats_table(dk_buf *out, const dk_act_input *in, size_t positions, dk_err *err)
{
    const dk_statistics *s = &in->stats;
    int rc = 0;

    for (size_t i = 0; i < s->n_sums; i++)
        if (i == 0 || s->sums[i].layer != s->sums[i - 1].layer || strcmp(s->sums[i].site, s->sums[i - 1].site) != 0)
            place_rows(out, in, &s->sums[i]);
    if (out->n == 0)
        return dk_fail(err, DK_EDATA, "%s: no document has more than one token", dk_h5_path(in->f));
    for (size_t i = 0; rc == 0 && i < s->n_sums; i++) {
        const char *what = s->sums[i].what, *lane = strcmp(what, "diff") == 0 ? "ft" : strncmp(what, "diff.", 5) == 0 ? what + 5 : NULL;

        for (int64_t p = -1; rc == 0 && lane && p < (int64_t)positions && p < (int64_t)s->sums[i].n_pos; p++)
            rc = mean_row(out, in, &s->sums[i], lane, p, err);
    }
    return rc;
}
