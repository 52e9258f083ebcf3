/* Statistics in JSON. */
#include "io/jsonstats.h"

void dk_jw_stats(dk_jw *w, const char *key, const dk_stats *s, bool tail)
{
    const struct { const char *key; double value; } part[] = {
        { "mean", s->mean }, { "std", s->std }, { "median", s->median }, { "min", s->min }, { "max", s->max },
        { "percentile_25", s->p25 }, { "percentile_50", s->p50 }, { "percentile_75", s->p75 },
        { "percentile_90", s->p90 }, { "percentile_95", s->p95 }, { "percentile_99", s->p99 }
    };

    dk_jw_key(w, key);
    dk_jw_obj_begin(w);
    for (size_t i = 0; i < (tail ? 11 : 8); i++) {
        dk_jw_key(w, part[i].key);
        dk_jw_num(w, part[i].value);
    }
    dk_jw_obj_end(w);
}

static void moments(dk_jw *w, const char *key, const dk_measure *m, bool by_docs)
{
    double mean, std;

    dk_measure_moments(m, by_docs, &mean, &std);
    dk_jw_key(w, key);
    dk_jw_obj_begin(w);
    dk_jw_key(w, "mean"); dk_jw_num(w, mean);
    dk_jw_key(w, "std"); dk_jw_num(w, std);
    if (!by_docs) {
        dk_jw_key(w, "min"); dk_jw_num(w, m->min);
        dk_jw_key(w, "max"); dk_jw_num(w, m->max);
    }
    dk_jw_obj_end(w);
}

void dk_jw_measure(dk_jw *w, const dk_measure *m)
{
    double mean, std, lo, hi;

    dk_measure_moments(m, false, &mean, &std);
    dk_measure_interval(m, &lo, &hi);
    dk_jw_key(w, "value"); dk_jw_num(w, mean);
    dk_jw_key(w, "lo"); dk_jw_num(w, lo);
    dk_jw_key(w, "hi"); dk_jw_num(w, hi);
    dk_jw_key(w, "docs"); dk_jw_u64(w, m->docs);
    moments(w, "per_token_statistics", m, false);
    moments(w, "mean_per_sample_statistics", m, true);
}
