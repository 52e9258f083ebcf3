/* Householder.  Columns lie in one piece; each column's arithmetic is one
 * thread's, so results do not depend on their number. */
#include "num/haar.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static double dot(const double *x, const double *y, size_t n)
{
    double s[8] = {0}, sum = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += x[i + j] * y[i + j];
    for (; i < n; i++)
        s[0] += x[i] * y[i];
    for (size_t j = 0; j < 8; j++)
        sum += s[j];
    return sum;
}

/* y -= beta (v . y) v */
static void reflect(double *y, const double *v, double beta, size_t n)
{
    const double t = beta * dot(v, y, n);

    for (size_t i = 0; i < n; i++)
        y[i] -= t * v[i];
}

/* c [k][n], the columns, become the reflections' vectors; R's diagonal, and beta. */
static void decompose(double *c, size_t n, size_t k, double *diag, double *beta, double *r)
{
    for (size_t j = 0; j < k; j++) {
        double *v = c + j * n + j;
        const size_t m = n - j;
        const double length = sqrt(dot(v, v, m));

        diag[j] = v[0] > 0 ? -length : length;
        v[0] -= diag[j];
        beta[j] = dot(v, v, m);
        beta[j] = beta[j] > 0 ? 2 / beta[j] : 0;
        #pragma omp parallel for schedule(static) if (m * (k - j) > 20000)
        for (size_t l = j + 1; l < k; l++)
            reflect(c + l * n + j, v, beta[j], m);
        for (size_t l = j; r && l < k; l++)
            r[j * k + l] = l == j ? diag[j] : c[l * n + j];
    }
}

static void form(double *q, const double *c, size_t n, size_t k, const double *beta, const double *sign, double *room)
{
    #pragma omp parallel for schedule(dynamic, 8)
    for (size_t l = 0; l < k; l++) {
        double *e = room + l * n;

        memset(e, 0, n * sizeof *e);
        e[l] = 1;
        for (size_t j = l + 1; j-- > 0;)
            reflect(e + j, c + j * n + j, beta[j], n - j);
        for (size_t i = 0; i < n; i++)
            q[i * k + l] = (sign && sign[l] < 0 ? -1 : 1) * e[i];
    }
}

/* c [k][n] is used up. */
static int factor(double *q, double *r, double *c, size_t n, size_t k, int positive, dk_err *err)
{
    double *diag = NULL, *beta = NULL, *room = NULL;
    int rc = dk_alloc(&diag, k, sizeof *diag, "a rotation", err);

    if (rc == 0) rc = dk_alloc(&beta, k, sizeof *beta, "a rotation", err);
    if (rc == 0 && q) rc = dk_alloc(&room, n * k, sizeof *room, "a rotation", err);
    if (rc == 0) {
        decompose(c, n, k, diag, beta, r);
        if (q)
            form(q, c, n, k, beta, positive ? diag : NULL, room);
    }
    dk_free(diag);
    dk_free(beta);
    dk_free(room);
    return rc;
}

static int columns(double **c, size_t n, size_t k, dk_err *err)
{
    size_t all;

    DK_ASSERT(k <= n);
    return dk_mul_size(&all, n, k) ? dk_alloc(c, all, sizeof **c, "a rotation", err)
                                   : dk_fail(err, DK_ENOMEM, "a rotation does not fit in memory");
}

int dk_haar(double *q, size_t n, size_t k, uint64_t seed, uint64_t a, dk_err *err)
{
    double *c = NULL;
    int rc = columns(&c, n, k, err);

    if (rc == 0) {
        #pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < k; j++) {
                const uint64_t e = i * k + j;
                const double u1 = dk_uniform(dk_ctr(seed, DK_STREAM_ROTATION, a, 2 * e)),
                             u2 = dk_uniform(dk_ctr(seed, DK_STREAM_ROTATION, a, 2 * e + 1));

                c[j * n + i] = sqrt(-2 * log(1 - u1)) * cos(6.283185307179586476925 * u2);
            }
        rc = factor(q, NULL, c, n, k, 1, err);
    }
    dk_free(c);
    return rc;
}

int dk_qr(double *q, double *r, const double *x, size_t n, size_t k, dk_err *err)
{
    double *c = NULL;
    int rc = columns(&c, n, k, err);

    if (rc == 0) {
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < k; j++)
                c[j * n + i] = x[i * k + j];
        memset(r, 0, k * k * sizeof *r);
        rc = factor(q, r, c, n, k, 0, err);
    }
    dk_free(c);
    return rc;
}
