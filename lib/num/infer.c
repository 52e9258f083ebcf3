/* Inference. */
#include "num/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double dk_mean_sd(double *sd, const double *x, size_t n)
{
    double mean = 0, square = 0;

    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    *sd = sqrt(square / (double)(n - 1));
    return mean;
}

double dk_null_z(double x, double se, double m, double s)
{
    const double error = sqrt(se * se + s * s);

    return error > 0 ? (x - m) / error : NAN;
}

void dk_sort(double *x, size_t n) { qsort(x, n, sizeof *x, by_double); }

double dk_lower_median(double *x, size_t n)
{
    dk_sort(x, n);
    return n ? x[(n - 1) / 2] : 0;
}

double dk_ensemble_p(double t, const double *null, size_t m)
{
    size_t above = 0;

    for (size_t i = 0; i < m; i++)
        above += null[i] >= t;
    return (1 + (double)above) / ((double)m + 1);
}

double dk_quantile_sorted(const double *x, size_t n, double p)
{
    const double h = (double)(n - 1) * p;
    const size_t i = (size_t)h;

    return i + 1 < n ? x[i] + (x[i + 1] - x[i]) * (h - (double)i) : x[n - 1];
}

double dk_quantile(const double *x, size_t n, double p)
{
    double *s, q;

    if (n == 0)
        return NAN;
    s = dk_xmalloc(n * sizeof *s);
    memcpy(s, x, n * sizeof *s);
    dk_sort(s, n);
    q = dk_quantile_sorted(s, n, p);
    dk_free(s);
    return q;
}

void dk_wilson(double *lo, double *hi, uint64_t k, uint64_t n)
{
    const double z = 1.959963984540054, m = (double)n, p = (double)k / m, z2 = z * z;
    const double middle = (p + z2 / (2 * m)) / (1 + z2 / m);
    const double half = z / (1 + z2 / m) * sqrt(p * (1 - p) / m + z2 / (4 * m * m));

    *lo = n == 0 ? 0 : k == 0 ? 0 : middle - half;
    *hi = n == 0 ? 1 : k == n ? 1 : middle + half;
}

double dk_normal_p(double z) { return 0.5 * erfc(z * 0.70710678118654752); }

/* --- lists ---------------------------------------------------------------------- */
struct unit { double v; size_t i; };

static int ascending(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;

    return x->v < y->v ? -1 : x->v > y->v ? 1 : (x->i > y->i) - (x->i < y->i);
}

/* The values that are numbers, ascending. */
static int sorted(struct unit **out, size_t *n, const double *v, size_t all, dk_err *err)
{
    const int rc = dk_alloc(out, all, sizeof **out, "a list of units", err);

    *n = 0;
    for (size_t i = 0; rc == 0 && i < all; i++)
        if (!isnan(v[i]))
            (*out)[(*n)++] = (struct unit){ v[i], i };
    if (rc == 0)
        qsort(*out, *n, sizeof **out, ascending);
    return rc;
}

int dk_q_bh(double *q, const double *p, size_t n, dk_err *err)
{
    struct unit *u = NULL;
    size_t m;
    double best = 1;
    const int rc = sorted(&u, &m, p, n, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        q[i] = NAN;
    for (size_t i = rc == 0 ? m : 0; i-- > 0;) {
        best = fmin(best, u[i].v * (double)m / (double)(i + 1));
        q[u[i].i] = best;
    }
    dk_free(u);
    return rc;
}

int dk_p_pool(double *p, const double *z, const uint8_t *stratum, size_t n, const double *null_z,
              const uint8_t *null_stratum, size_t n_null, dk_err *err)
{
    size_t total[256] = {0}, above[256] = {0}, n_real, m, j;
    struct unit *real = NULL, *null = NULL;
    int rc = sorted(&real, &n_real, z, n, err);

    m = 0;
    if (rc == 0)
        rc = sorted(&null, &m, null_z, n_null, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        p[i] = NAN;
    for (size_t i = 0; rc == 0 && i < m; i++)
        total[null_stratum[null[i].i]]++;
    j = m;
    for (size_t i = rc == 0 ? n_real : 0; i-- > 0;) {
        const uint8_t s = stratum[real[i].i];

        while (j > 0 && null[j - 1].v >= real[i].v)
            above[null_stratum[null[--j].i]]++;
        p[real[i].i] = (1 + (double)above[s]) / (1 + (double)total[s]);
    }
    dk_free(real);
    dk_free(null);
    return rc;
}

int dk_fdr_td(double *fdr, const double *z, size_t n, const double *null_z, size_t n_null, dk_err *err)
{
    struct unit *real = NULL, *null = NULL;
    size_t n_real, m = 0, j = 0;
    double best = 1;
    int rc = sorted(&real, &n_real, z, n, err);

    if (rc == 0)
        rc = sorted(&null, &m, null_z, n_null, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        fdr[i] = NAN;
    for (size_t i = 0; rc == 0 && i < n_real; i++) {        /* from the bottom; equals share the first's counts */
        if (i == 0 || real[i].v > real[i - 1].v) {
            while (j < m && null[j].v < real[i].v)
                j++;
            if (m)
                best = fmin(best, (1 + (double)(m - j)) / (double)(n_real - i) * ((double)n_real / (double)m));
        }
        fdr[real[i].i] = m ? best : NAN;
    }
    dk_free(real);
    dk_free(null);
    return rc;
}

/* --- draws without replacement ----------------------------------------------------- */
static long double log_choose(uint64_t n, uint64_t k)
{
    int sign;

    return lgammal_r((long double)n + 1, &sign) - lgammal_r((long double)k + 1, &sign) -
           lgammal_r((long double)(n - k) + 1, &sign);
}

/* P(X = k); 0 outside what is possible. */
static long double density(uint64_t k, const dk_stratum *s)
{
    if (k > s->draws || k > s->successes || s->draws - k > s->population - s->successes)
        return 0;
    return expl(log_choose(s->successes, k) + log_choose(s->population - s->successes, s->draws - k) -
                log_choose(s->population, s->draws));
}

double dk_hypergeometric_p(uint64_t k, uint64_t population, uint64_t successes, uint64_t draws)
{
    const dk_stratum s = { population, successes, draws };
    long double p = 0;

    if (k == 0)
        return 1;
    for (uint64_t i = draws < successes ? draws : successes; i >= k; i--)     /* the small terms first */
        p += density(i, &s);
    return (double)fminl(p, 1);
}

int dk_strata_p(double *p, uint64_t k, const dk_stratum *s, size_t n, dk_err *err)
{
    long double *at = NULL, *next = NULL, sum = 0;
    size_t draws = 0;
    int rc;

    for (size_t i = 0; i < n; i++)
        draws += s[i].draws;
    rc = dk_alloc(&at, draws + 1, sizeof *at, "draws", err);
    if (rc == 0)
        rc = dk_alloc(&next, draws + 1, sizeof *next, "draws", err);
    if (rc == 0)
        at[0] = 1;
    for (size_t i = 0, most = 0; rc == 0 && i < n; i++) {
        memset(next, 0, (draws + 1) * sizeof *next);
        for (size_t x = 0; x <= s[i].draws; x++) {
            const long double d = density(x, &s[i]);

            for (size_t y = 0; d > 0 && y <= most; y++)
                next[x + y] += d * at[y];
        }
        most += s[i].draws;
        memcpy(at, next, (draws + 1) * sizeof *at);
    }
    for (size_t x = draws + 1; rc == 0 && x-- > k;)
        sum += at[x];
    if (rc == 0)
        *p = k == 0 ? 1 : (double)fminl(sum, 1);
    dk_free(at);
    dk_free(next);
    return rc;
}
