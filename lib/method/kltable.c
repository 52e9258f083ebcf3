/* KL tables. */
#include "method/kltable.h"

#include <math.h>

#include "io/jsonstats.h"
#include "num/resample.h"

/* Base and finetune change places in the sign-flip test: this changes its sign
 * with them, where a divergence is positive either way. */
static int put_change(dk_jw *w, const dk_tokens *t, const float *own, const float *other, uint64_t seed, dk_err *err)
{
    double *sum = NULL, *n = NULL, *mean = NULL, lo = NAN, hi = NAN, p = NAN, total = 0, rows = 0;
    uint64_t *id = NULL;
    size_t docs = 0;
    int rc = dk_alloc(&sum, t->docs, sizeof *sum, "statistics", err);

    if (rc == 0) rc = dk_alloc(&n, t->docs, sizeof *n, "statistics", err);
    if (rc == 0) rc = dk_alloc(&mean, t->docs, sizeof *mean, "statistics", err);
    if (rc == 0) rc = dk_alloc(&id, t->docs, sizeof *id, "statistics", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        double s = 0, c = 0;

        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            if (isfinite(own[i]) && isfinite(other[i])) {
                s += (double)own[i] - other[i];
                c++;
            }
        if (c > 0) {
            sum[docs] = s;
            n[docs] = c;
            mean[docs] = s / c;
            id[docs++] = t->id[d];
        }
        total += s;
        rows += c;
    }
    if (rc == 0) rc = dk_bootstrap_ratio(&lo, &hi, sum, n, id, docs, seed, err);
    if (rc == 0) rc = dk_signflip_p(&p, mean, id, docs, 1, seed, err);
    if (rc == 0 && docs) {
        dk_jw_key(w, "logp_change");
        dk_jw_obj_begin(w);
        dk_jw_key(w, "value"); dk_jw_num(w, total / rows);
        dk_jw_key(w, "lo"); dk_jw_num(w, lo);
        dk_jw_key(w, "hi"); dk_jw_num(w, hi);
        dk_jw_key(w, "docs"); dk_jw_u64(w, docs);
        dk_jw_key(w, "p_any"); dk_jw_num(w, p);
        dk_jw_obj_end(w);
    }
    dk_free(sum);
    dk_free(n);
    dk_free(mean);
    dk_free(id);
    return rc;
}

int dk_kl_table_row(dk_buf *out, const char *lane, const char *against, const dk_tokens *t, const float *kl,
                    const float *logp, const float *logp_against, uint64_t seed, dk_err *err)
{
    dk_jw w = { .out = out };
    dk_stats token, sample;
    double *sum = NULL, *count = NULL, lo, hi;
    float *mean = NULL;
    size_t docs = 0;
    int rc = dk_alloc(&sum, t->docs, sizeof *sum, "statistics", err);

    if (rc == 0) rc = dk_alloc(&count, t->docs, sizeof *count, "statistics", err);
    if (rc == 0) rc = dk_alloc(&mean, t->docs, sizeof *mean, "statistics", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            sum[d] += kl[i];
        count[d] = (double)(t->offset[d + 1] - t->offset[d]);
        if (count[d] > 0)
            mean[docs++] = (float)(sum[d] / count[d]);
    }
    if (rc == 0) rc = dk_stats_of(&token, kl, t->rows, err);
    if (rc == 0) rc = dk_stats_of(&sample, mean, docs, err);
    if (rc == 0) rc = dk_bootstrap_ratio(&lo, &hi, sum, count, t->id, t->docs, seed, err);
    if (rc == 0) {
        dk_jw_obj_begin(&w);
        dk_jw_key(&w, "lane"); dk_jw_str(&w, lane);
        dk_jw_key(&w, "against"); dk_jw_str(&w, against);
        dk_jw_key(&w, "dataset_id"); dk_jw_str(&w, t->corpus_name);
        dk_jw_key(&w, "unit"); dk_jw_str(&w, "nats");
        dk_jw_key(&w, "value"); dk_jw_num(&w, token.mean);
        dk_jw_key(&w, "lo"); dk_jw_num(&w, lo);
        dk_jw_key(&w, "hi"); dk_jw_num(&w, hi);
        dk_jw_key(&w, "docs"); dk_jw_u64(&w, docs);
        dk_jw_stats(&w, "per_token_statistics", &token, false);
        dk_jw_stats(&w, "mean_per_sample_statistics", &sample, false);
        dk_jw_key(&w, "total_tokens_processed"); dk_jw_u64(&w, t->rows);
        dk_jw_key(&w, "total_sequences_processed"); dk_jw_u64(&w, docs);
    }
    if (rc == 0 && logp && logp_against)
        rc = put_change(&w, t, logp, logp_against, seed, err);
    if (rc == 0) {
        dk_jw_obj_end(&w);
        dk_jw_line(&w);
    }
    dk_free(sum);
    dk_free(count);
    dk_free(mean);
    return rc;
}
