/* Summary statistics, with the reference toolkit's conventions. */
#ifndef DK_NUM_STATS_H
#define DK_NUM_STATS_H

#include <stddef.h>

#include "base/err.h"

typedef struct dk_stats {
    size_t n;
    double mean;
    double std;             /* unbiased (n - 1); NaN for n < 2 */
    double median;          /* the lower middle for even n */
    double min, max;
    double p25, p50, p75, p90, p95, p99;    /* linear between order statistics, h = (n - 1) p / 100 */
} dk_stats;

/* x is copied; n > 0 finite values. */
int dk_stats_of(dk_stats *s, const float *x, size_t n, dk_err *err);

#endif
