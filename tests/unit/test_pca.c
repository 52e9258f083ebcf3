/* Principal components: scikit-learn's numbers (tests/golden/pca.py), the properties
 * that they must have, and independence of pieces and threads. */
#include <math.h>
#include <string.h>

#include "backend/pcafit.h"
#include "base/rng.h"
#include "base/thread.h"
#include "gold.h"
#include "tap.h"

enum { N = 300, D = 24 };

/* Rows in pieces of `piece`; DK_E code. */
static int fit(dk_pca *p, const float *x, size_t n, size_t d, dk_pca_plan plan, size_t piece, dk_err *err)
{
    dk_pca_fit *f = NULL;
    int rc = dk_pca_fit_new(&f, d, &plan, err);

    *p = (dk_pca){0};
    for (size_t i = 0; rc == 0 && i < n; i += piece)
        rc = dk_pca_fit_add(f, x + i * d, n - i < piece ? n - i : piece, err);
    if (rc == 0)
        rc = dk_pca_fit_end(f, p, err);
    dk_pca_fit_free(&f);
    return rc;
}

static bool near(const double *a, const double *b, size_t n, double tolerance)
{
    double worst = 0;

    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(a[i] - b[i]) / fmax(1, fabs(b[i])));
    return worst <= tolerance;
}

static void golden(const char *name, dk_pca_plan plan, size_t k)
{
    char *path = dk_xasprintf("pca/%s.f64", name);
    size_t n, n_rows;
    float *x = gold_read("pca/rows.f32", 4, &n_rows);
    double *want = gold_read(path, 8, &n), *at = want, total = 0;
    dk_err err = {0};
    dk_pca p;
    bool good;

    if (!tap(fit(&p, x, N, D, plan, 100, &err) == 0 && n_rows == N * D && n == 2 * D + 3 * k + 1 + k * D && p.k == k && p.n == N,
             "%s: %zu components of %d rows %s", name, k, N, err.msg))
        return;
    good = near(p.mean, at, D, 1e-12);
    tap(good && near(p.var, at + D, D, 1e-9), "%s: means and variances of the columns", name);
    for (size_t j = 0; j < D; j++)
        total += p.var[j] * N / (N - 1);
    at += 2 * D;
    good = near(p.value, at, k, 1e-9) && fabs(p.total - total) < 1e-12;
    for (size_t i = 0; i < k; i++)
        good = good && fabs(p.value[i] / p.total - at[k + i]) < 1e-9;
    tap(good && near(p.singular, at + 2 * k, k, 1e-9), "%s: variances, ratios, singular values", name);
    tap(fabs(p.noise - at[3 * k]) < 1e-9, "%s: variance of the rest: %.9g, wanted %.9g", name, p.noise, at[3 * k]);
    tap(near(p.vector, at + 3 * k + 1, k * D, 1e-7), "%s: components and their signs", name);
    dk_pca_free(&p);
    dk_free(want);
    dk_free(x);
    dk_free(path);
}

/* --- twelve rows by a formula: numbers of the reference toolkit's class ---------------- */
static void twelve(void)
{
    static const double mean[] = { -0.0687285, -0.1237113, -0.0120275, 0.0163230 },
        value[] = { 0.1449477, 0.0924659, 0.0718541, 0.0603422 }, two[] = { 0.1445081354, 0.0897998050 },
        turned[] = { 0.1437268553, 0.0871713907 },
        full[] = { 0.523623, 0.057405, 0.662872, 0.532094, -0.575302, -0.433798, -0.062354, 0.690622,
                   -0.180958, 0.876395, -0.236678, 0.378377, -0.601748, 0.201135, 0.707599, -0.311044 },
        pair[] = { 0.5332157, 0.0996110, 0.6475200, 0.5352350, -0.6388708, -0.1763378, -0.0635270, 0.7461323 },
        first[] = { 0.5315824, 0.0104824, 0.6791067, 0.5060873 };
    float x[48], y[48];
    dk_err err = {0};
    dk_pca p;

    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 4; j++)
            x[i * 4 + j] = (float)((37 * i + 101 * j + 13 * i * j) % 97 / 97.0 - 0.5);
    memcpy(y, x + 24, sizeof y / 2);
    memcpy(y + 24, x, sizeof y / 2);
    for (size_t batch = 0; batch <= 6; batch += 6) {
        const bool good = fit(&p, x, 12, 4, (dk_pca_plan){ .batch = batch }, 5, &err) == 0;

        tap(good && near(p.mean, mean, 4, 1e-7) && near(p.value, value, 4, 1e-7) && near(p.vector, full, 16, 1e-6) &&
            fabs(p.noise) < 1e-12, "twelve rows, all components, %s", batch ? "in batches" : "exactly");
        dk_pca_free(&p);
    }
    tap(fit(&p, x, 12, 4, (dk_pca_plan){ 2, 6, false, false }, 5, &err) == 0 && near(p.value, two, 2, 1e-7) &&
        near(p.vector, pair, 8, 1e-6) && fabs(p.noise - 0.0413393752) < 1e-7, "two of them, in batches");
    dk_pca_free(&p);
    tap(fit(&p, y, 12, 4, (dk_pca_plan){ 2, 6, false, false }, 5, &err) == 0 && near(p.value, turned, 2, 1e-7) &&
        near(p.vector, first, 4, 1e-6), "and with the batches the other way round");
    dk_pca_free(&p);
    tap(fit(&p, x, 12, 4, (dk_pca_plan){ 4, 5, true, false }, 5, &err) == 0 && p.n == 10, "rows that fill no batch are left out if asked");
    dk_pca_free(&p);
    for (int i = 0; i < 48; i++)
        y[i] = 3 - 2 * x[i];
    tap(fit(&p, y, 12, 4, (dk_pca_plan){0}, 12, &err) == 0 && near(p.vector, full, 16, 1e-6) &&
        fabs(p.value[3] - 4 * value[3]) < 1e-6 && fabs(p.mean[0] - 3 + 2 * mean[0]) < 1e-6,
        "turned round, scaled and moved: the same components");
    dk_pca_free(&p);
}

/* --- more rows than a block, more columns than a tile ----------------------------------- */
static void large(void)
{
    enum { n = 2500, d = 150 };
    float *x = dk_xmalloc(n * d * sizeof *x);
    double *cov = dk_xcalloc(d * d, sizeof *cov), worst = 0, skew = 0, squares = 0;
    dk_err err = {0};
    dk_pca p, q, r;
    bool same;

    for (size_t i = 0; i < n * d; i++)
        x[i] = (float)(dk_uniform(dk_ctr(7, 0, i, 0)) * (double)(1 + i % d % 17) + 50);
    dk_threads_set(1);
    fit(&p, x, n, d, (dk_pca_plan){0}, 1000, &err);
    dk_threads_set(3);
    fit(&q, x, n, d, (dk_pca_plan){0}, 1, &err);
    dk_threads_set(2);
    fit(&r, x, n, d, (dk_pca_plan){0}, n, &err);
    same = memcmp(p.vector, q.vector, d * d * sizeof *p.vector) == 0 && memcmp(p.value, q.value, d * sizeof *p.value) == 0 &&
           memcmp(p.vector, r.vector, d * d * sizeof *p.vector) == 0 && memcmp(p.mean, r.mean, d * sizeof *p.mean) == 0;
    tap(same, "1, 2, 3 threads and pieces of 1, 1000 and all rows: the same bits");
    for (size_t k = 0; k < d; k++)
        squares += p.value[k] * p.value[k];
    tap(fabs(p.squares / squares - 1) < 1e-10, "the sum of the squared variances, without them: off by %.1e", p.squares / squares - 1);
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++)
                cov[a * d + b] += (x[i * d + a] - p.mean[a]) * (x[i * d + b] - p.mean[b]) / (n - 1);
    for (size_t k = 0; k < d; k++)
        for (size_t a = 0; a < d; a++) {
            double s = 0, dot = 0;

            for (size_t b = 0; b < d; b++) {
                s += cov[a * d + b] * p.vector[k * d + b];
                dot += p.vector[k * d + b] * p.vector[a * d + b];
            }
            worst = fmax(worst, fabs(s - p.value[k] * p.vector[k * d + a]));
            skew = fmax(skew, fabs(dot - (a == k)));
        }
    tap(worst < 1e-10 * p.total && skew < 1e-12, "eigenvectors of the covariance within %.1e, orthonormal within %.1e",
        worst / p.total, skew);
    dk_pca_free(&p);
    dk_pca_free(&q);
    dk_pca_free(&r);
    dk_free(cov);
    dk_free(x);
}

static void refused(const char *what, const float *x, size_t n, size_t d, dk_pca_plan plan, int code, const char *why)
{
    dk_err err = {0};
    dk_pca p;

    tap(fit(&p, x, n, d, plan, 2, &err) == code && strstr(err.msg, why) && !p.vector, "%s: %s", what, err.msg);
}

/* --- in the base's measure ------------------------------------------------------------ */
/* Sums of values and products of x [N, D], columns times scale. */
static void sums(double *sum, double *products, const double *x, const double *scale)
{
    memset(sum, 0, D * sizeof *sum);
    memset(products, 0, D * D * sizeof *products);
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++) {
            sum[i] += scale[i] * x[r * D + i];
            for (size_t j = i; j < D; j++)
                products[i * D + j] += scale[i] * scale[j] * x[r * D + i] * x[r * D + j];
        }
}

static double variance_along(const double *x, const double *v)
{
    double sum = 0, square = 0;

    for (size_t r = 0; r < N; r++) {
        double y = 0;

        for (size_t j = 0; j < D; j++)
            y += x[r * D + j] * v[j];
        sum += y;
        square += y * y;
    }
    return (square - sum * sum / N) / (N - 1);
}

static double covariance_along(const double *x, const double *v, const double *w)
{
    double sv = 0, sw = 0, both = 0;

    for (size_t r = 0; r < N; r++) {
        double a = 0, b = 0;

        for (size_t j = 0; j < D; j++) {
            a += x[r * D + j] * v[j];
            b += x[r * D + j] * w[j];
        }
        sv += a;
        sw += b;
        both += a * b;
    }
    return (both - sv * sw / N) / (N - 1);
}

static void whitened(void)
{
    static double x[N * D], y[N * D], sx[D], sy[D], px[D * D], py[D * D], one[D], scale[D];
    double worst = 0, apart = 0, last = INFINITY, total = 0;
    dk_err err = {0};
    dk_pca p, q;

    for (size_t i = 0; i < N * D; i++) {
        x[i] = dk_uniform(dk_ctr(1, 9, 0, i)) * (double)(1 + i % D) + 3;
        y[i] = dk_uniform(dk_ctr(1, 9, 1, i)) + (i % D == 4 ? .5 * x[i - 1] : 0);
    }
    for (size_t j = 0; j < D; j++) {
        one[j] = 1;
        scale[j] = ldexp(1, (int)(j % 5));
    }
    sums(sx, px, x, one);
    sums(sy, py, y, one);
    if (!tap(dk_pca_whitened(&p, D, 0, N, sy, py, sx, px, &err) == 0 && p.k == D && p.n == N, "whitened %s", err.msg))
        return;
    for (size_t i = 0; i < D; i++) {
        const double *v = p.vector + i * D;

        worst = fmax(worst, fabs(variance_along(y, v) / variance_along(x, v) / p.value[i] - 1));
        for (size_t k = 0; k < i; k++)
            apart = fmax(apart, fabs(covariance_along(y, v, p.vector + k * D)) + fabs(covariance_along(x, v, p.vector + k * D)));
        total += p.value[i];
        worst = fmax(worst, p.value[i] <= last ? 0 : 1);
        last = p.value[i];
    }
    tap(worst < 1e-9 && fabs(total / p.total - 1) < 1e-9, "values are the variance over the base's, largest first: off by %.1e", worst);
    tap(apart < 1e-9, "along two of them neither varies together: %.1e", apart);
    tap(dk_pca_whitened(&q, D, 3, N, sy, py, sx, px, &err) == 0 && q.k == 3 && near(q.vector, p.vector, 3 * D, 1e-9) &&
        fabs(q.noise - (p.total - p.value[0] - p.value[1] - p.value[2]) / (D - 3)) < 1e-9, "the first three, and the rest");
    dk_pca_free(&q);
    sums(sx, px, x, scale);
    sums(sy, py, y, scale);
    tap(dk_pca_whitened(&q, D, 0, N, sy, py, sx, px, &err) == 0 && near(q.value, p.value, D, 1e-9), "units of the columns do not matter");
    dk_pca_free(&q);
    dk_pca_free(&p);
    for (size_t r = 0; r < N; r++)
        x[r * D + 7] = x[r * D + 8];
    sums(sx, px, x, one);
    tap(dk_pca_whitened(&p, D, 0, N, sy, py, sx, px, &err) == DK_EDATA && !p.vector, "a base that does not vary everywhere: %s", err.msg);
}

/* --- the rows as they are --------------------------------------------------------------- */
/* Far from zero the first component is the mean's direction, and variances add up to the mean square. */
static void uncentred(void)
{
    enum { n = 1500, d = 5 };
    static float x[n * d];
    double square = 0, sum = 0, along = 0, length = 0;
    dk_err err = {0};
    dk_pca p;

    for (size_t i = 0; i < n * d; i++) {
        x[i] = (float)(dk_uniform(dk_ctr(3, 0, i, 0)) + (double)(i % d) * 40);
        square += (double)x[i] * x[i] / n;
    }
    tap(fit(&p, x, n, d, (dk_pca_plan){ .uncentred = true }, 77, &err) == 0 && p.k == d, "uncentred %s", err.msg);
    for (size_t k = 0; k < d; k++)
        sum += p.value[k];
    for (size_t j = 0; j < d; j++) {
        along += p.vector[j] * p.mean[j];
        length += p.mean[j] * p.mean[j];
    }
    tap(fabs(sum / square - 1) < 1e-12 && fabs(p.total / square - 1) < 1e-12, "all mean squares together are that of the rows");
    tap(fabs(along) / sqrt(length) > 1 - 1e-6, "the first component is the mean's direction");
    dk_pca_free(&p);
    for (size_t i = 0; i < n * d; i++)
        x[i] = (float)(1 + i % d);
    tap(fit(&p, x, n, d, (dk_pca_plan){ .k = 1, .uncentred = true }, 77, &err) == 0 && fabs(p.value[0] - 55) < 1e-9,
        "rows that are all the same have one component");
    dk_pca_free(&p);
    memset(x, 0, sizeof x);
    refused("rows of zeros", x, n, d, (dk_pca_plan){ .uncentred = true }, DK_EDATA, "are the same");
}

int main(void)
{
    static const float same[] = { 1.1f, 2.3f, 1.1f, 2.3f, 1.1f, 2.3f }, x[] = { 1, 0, 2, 5, 1, 1, 2, 0 };
    dk_err err = {0};
    dk_pca p;

    dk_threads_set(2);
    golden("exact", (dk_pca_plan){0}, D);
    tap(dk_threads() == 2, "loading the library of products leaves the number of threads");
    golden("exact7", (dk_pca_plan){ .k = 7 }, 7);
    golden("k5", (dk_pca_plan){ 5, 64, false, false }, 5);
    golden("joined", (dk_pca_plan){ 5, 74, false, false }, 5);
    twelve();
    uncentred();
    large();
    tap(fit(&p, x, 2, 4, (dk_pca_plan){0}, 2, &err) == 0 && p.k == 1, "two rows have one component");
    dk_pca_free(&p);
    refused("one row", same, 1, 2, (dk_pca_plan){0}, DK_EDATA, "at least 2");
    refused("no rows", same, 0, 2, (dk_pca_plan){0}, DK_EDATA, "at least 2");
    refused("equal rows", same, 3, 2, (dk_pca_plan){0}, DK_EDATA, "all 3 rows are the same");
    refused("equal rows in batches", same, 3, 2, (dk_pca_plan){ 1, 2, false, false }, DK_EDATA, "all 3 rows are the same");
    refused("a small batch", x, 2, 4, (dk_pca_plan){ 3, 2, false, false }, DK_EUSAGE, "does not give 3");
    refused("too few for the components", x, 2, 4, (dk_pca_plan){ 3, 3, false, false }, DK_EDATA, "2 rows do not give 3");
    refused("no whole batch", x, 2, 4, (dk_pca_plan){ 2, 3, true, false }, DK_EDATA, "do not fill a batch of 3");
    whitened();
    return tap_end();
}
