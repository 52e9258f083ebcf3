/* Summary statistics. */
#include "num/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_float(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double between(double a, double b, double t) { return a + (b - a) * t; }

static double quantile(const float *sorted, size_t n, double p)
{
    const double h = (double)(n - 1) * p;
    const size_t i = (size_t)h;

    return i + 1 < n ? between(sorted[i], sorted[i + 1], h - (double)i) : sorted[n - 1];
}

int dk_stats_of(dk_stats *s, const float *x, size_t n, dk_err *err)
{
    float *sorted = NULL;
    double sum = 0, square = 0;
    int rc;

    if (n == 0)
        return dk_fail(err, DK_EDATA, "no values to summarise");
    rc = dk_alloc(&sorted, n, sizeof *sorted, "statistics", err);
    if (rc < 0)
        return rc;
    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, by_float);
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    s->n = n;
    s->mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - s->mean) * (x[i] - s->mean);
    s->std = n > 1 ? sqrt(square / (double)(n - 1)) : NAN;
    s->median = sorted[(n - 1) / 2];
    s->min = sorted[0];
    s->max = sorted[n - 1];
    s->p25 = quantile(sorted, n, .25);
    s->p50 = quantile(sorted, n, .50);
    s->p75 = quantile(sorted, n, .75);
    s->p90 = quantile(sorted, n, .90);
    s->p95 = quantile(sorted, n, .95);
    s->p99 = quantile(sorted, n, .99);
    dk_free(sorted);
    return 0;
}
