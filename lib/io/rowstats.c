/* One value a token, summed up. */
#include "io/rowstats.h"

#include <math.h>

#include "base/mem.h"
#include "io/jsonstats.h"
#include "num/resample.h"

int dk_rowstats_room(dk_rowstats *g, const dk_tokens *t, dk_err *err)
{
    int rc = dk_alloc(&g->value, t->rows, sizeof *g->value, "statistics", err);

    if (rc == 0) rc = dk_alloc(&g->mean, t->docs, sizeof *g->mean, "statistics", err);
    if (rc == 0) rc = dk_alloc(&g->max, t->docs, sizeof *g->max, "statistics", err);
    if (rc == 0) rc = dk_alloc(&g->sum, t->docs, sizeof *g->sum, "statistics", err);
    if (rc == 0) rc = dk_alloc(&g->square, t->docs, sizeof *g->square, "statistics", err);
    if (rc == 0) rc = dk_alloc(&g->count, t->docs, sizeof *g->count, "statistics", err);
    if (rc == 0) rc = dk_alloc(&g->id, t->docs, sizeof *g->id, "statistics", err);
    return rc;
}

void dk_rowstats_free(dk_rowstats *g)
{
    dk_free(g->value);
    dk_free(g->mean);
    dk_free(g->max);
    dk_free(g->sum);
    dk_free(g->square);
    dk_free(g->count);
    dk_free(g->id);
}

/* What has a value: tokens, and documents with such tokens. */
static void gather(dk_rowstats *g, const dk_tokens *t, const float *v)
{
    g->n = g->docs = 0;
    for (size_t d = 0; d < t->docs; d++) {
        const size_t before = g->n;
        float max = -INFINITY;
        double sum = 0, square = 0;

        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            if (!isnan(v[i])) {
                g->value[g->n++] = v[i];
                sum += v[i];
                square += (double)v[i] * v[i];
                max = fmaxf(max, v[i]);
            }
        if (g->n == before)
            continue;
        g->sum[g->docs] = sum;
        g->square[g->docs] = square;
        g->count[g->docs] = (double)(g->n - before);
        g->mean[g->docs] = (float)(sum / g->count[g->docs]);
        g->max[g->docs] = max;
        g->id[g->docs++] = t->id[d];
    }
}

int dk_rowstats_put(dk_jw *w, dk_rowstats *g, const dk_tokens *t, const float *v, uint64_t seed, dk_err *err)
{
    dk_stats token, mean, max;
    double lo, hi;
    int rc;

    gather(g, t, v);
    rc = dk_stats_of(&token, g->value, g->n, err);
    if (rc == 0) rc = dk_stats_of(&mean, g->mean, g->docs, err);
    if (rc == 0) rc = dk_stats_of(&max, g->max, g->docs, err);
    if (rc == 0) rc = dk_bootstrap_ratio(&lo, &hi, g->sum, g->count, g->id, g->docs, seed, err);
    if (rc < 0)
        return rc;
    dk_jw_key(w, "value"); dk_jw_num(w, token.mean);
    dk_jw_key(w, "lo"); dk_jw_num(w, lo);
    dk_jw_key(w, "hi"); dk_jw_num(w, hi);
    dk_jw_key(w, "docs"); dk_jw_u64(w, g->docs);
    dk_jw_stats(w, "per_token_statistics", &token, true);
    dk_jw_stats(w, "mean_per_sample_statistics", &mean, true);
    dk_jw_stats(w, "max_per_sample_statistics", &max, true);
    return 0;
}

int dk_rowstats_rms(dk_jw *w, const dk_rowstats *g, uint64_t seed, dk_err *err)
{
    double all = 0, n = 0, lo, hi;
    const int rc = dk_bootstrap_ratio(&lo, &hi, g->square, g->count, g->id, g->docs, seed, err);

    for (size_t d = 0; d < g->docs; d++) {
        all += g->square[d];
        n += g->count[d];
    }
    if (rc == 0) {
        dk_jw_key(w, "rms"); dk_jw_num(w, sqrt(all / n));
        dk_jw_key(w, "rms_lo"); dk_jw_num(w, sqrt(lo));
        dk_jw_key(w, "rms_hi"); dk_jw_num(w, sqrt(hi));
    }
    return rc;
}
