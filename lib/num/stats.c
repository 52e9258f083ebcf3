/* Summary statistics and the bootstrap. */
#include "num/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

enum { REPLICATES = 1000 };

static int by_float(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

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

int dk_poisson1(uint64_t u)
{
    /* floor(2^64 P(Poisson(1) <= k)) */
    static const uint64_t t[] = {
        0x5e2d58d8b3bcdf1a, 0xbc5ab1b16779be35, 0xeb715e1dc1582dc2, 0xfb23979734a252f1,
        0xff1025f59174dc3d, 0xffd90f3ba4055e19, 0xfffa8b71fc72c913, 0xffff540c0914b3c9,
        0xffffed1f4aa8f120, 0xfffffe216e641462, 0xffffffd4d85d3183, 0xfffffffc6da262b4,
        0xffffffffba12d178, 0xfffffffffb07c64c
    };
    int w = 0;

    while (w < (int)(sizeof t / sizeof *t) && u >= t[w])
        w++;
    return w;
}

int dk_bootstrap_ratio(double *lo, double *hi, const double *x, const double *n,
                       const uint64_t *doc, size_t docs, uint64_t seed, dk_err *err)
{
    double *r = NULL, h[2];
    size_t kept = 0;
    int rc = dk_alloc(&r, REPLICATES, sizeof *r, "bootstrap", err);

    *lo = *hi = NAN;
    for (uint64_t b = 0; rc == 0 && docs > 1 && b < REPLICATES; b++) {
        double sx = 0, sn = 0;

        for (size_t i = 0; i < docs; i++) {
            const int w = dk_poisson1(dk_ctr(seed, DK_STREAM_BOOTSTRAP, b, doc[i]));

            sx += w * x[i];
            sn += w * n[i];
        }
        if (sn > 0)
            r[kept++] = sx / sn;
    }
    if (kept > 1) {
        qsort(r, kept, sizeof *r, by_double);
        for (int e = 0; e < 2; e++) {
            const double at = (double)(kept - 1) * (e ? .975 : .025);
            const size_t i = (size_t)at;

            h[e] = i + 1 < kept ? between(r[i], r[i + 1], at - (double)i) : r[kept - 1];
        }
        *lo = h[0];
        *hi = h[1];
    }
    dk_free(r);
    return rc;
}
