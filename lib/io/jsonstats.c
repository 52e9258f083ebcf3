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
