/* Components in the base's own measure.
 *
 * With C the covariance of the rows and B = Z^T w Z that of the base's, a component
 * is a direction v along which (v^T C v) / (v^T B v) is largest: v = S^T u for an
 * eigenvector u of S C S^T, S = w^-1/2 Z. */
#include <inttypes.h>
#include <math.h>

#include "backend/blasdyn.h"
#include "backend/eigen.h"
#include "backend/pcafit.h"
#include "base/mem.h"

/* Less of the base's largest variance is rounding. */
static const double least_share = 1e-10;

/* The whole covariance, of products on and above the diagonal. */
static void covariance(double *c, size_t d, double n, const double *sum, const double *products)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++)
            c[i * d + j] = c[j * d + i] = (products[i * d + j] - sum[i] * sum[j] / n) / (n - 1);
}

/* s [d, d]; room [d, d] holds the covariance and is used up. */
static int whitener(double *s, double *room, size_t d, uint64_t rows, dk_err *err)
{
    double *w = NULL;
    int rc = dk_alloc(&w, d, sizeof *w, "principal components", err);

    if (rc == 0)
        rc = dk_eigen(w, s, room, d, d, err);
    if (rc == 0 && !(w[0] > least_share * w[d - 1]))
        rc = dk_fail(err, DK_EDATA, "%" PRIu64 " rows of the base do not vary in all %zu directions: more are needed to whiten by",
                     rows, d);
    for (size_t i = 0; rc == 0 && i < d; i++)
        for (size_t j = 0; j < d; j++)
            s[i * d + j] /= sqrt(w[i]);
    dk_free(w);
    return rc;
}

static int room_for(dk_pca *p, size_t d, size_t k, dk_err *err)
{
    int rc;

    *p = (dk_pca){ .d = d, .k = k, .squares = NAN };
    if ((rc = dk_alloc(&p->mean, d, sizeof *p->mean, "principal components", err)) == 0 &&
        (rc = dk_alloc(&p->var, d, sizeof *p->var, "principal components", err)) == 0 &&
        (rc = dk_alloc(&p->vector, k * d, sizeof *p->vector, "principal components", err)) == 0 &&
        (rc = dk_alloc(&p->value, k, sizeof *p->value, "principal components", err)) == 0)
        rc = dk_alloc(&p->singular, k, sizeof *p->singular, "principal components", err);
    return rc;
}

int dk_pca_whitened(dk_pca *out, size_t d, size_t k, uint64_t rows, const double *sum, const double *products,
                    const double *base_sum, const double *base_products, dk_err *err)
{
    const double n = (double)rows;
    double *s = NULL, *c = NULL, *room = NULL, *w = NULL, *u = NULL, kept = 0;
    size_t all;
    int rc = dk_blas_load(err);

    k = k && k < d ? k : d;
    *out = (dk_pca){0};
    if (rc == 0 && rows < 2)
        rc = dk_fail(err, DK_EDATA, "%" PRIu64 " rows: components need at least 2", rows);
    if (rc == 0)
        rc = dk_mul_size(&all, d, d) ? room_for(out, d, k, err)
                                     : dk_fail(err, DK_ENOMEM, "components of this size do not fit in memory");
    if (rc == 0) rc = dk_alloc(&s, all, sizeof *s, "principal components", err);
    if (rc == 0) rc = dk_alloc(&c, all, sizeof *c, "principal components", err);
    if (rc == 0) rc = dk_alloc(&room, all, sizeof *room, "principal components", err);
    if (rc == 0) rc = dk_alloc(&u, k * d, sizeof *u, "principal components", err);
    if (rc == 0) rc = dk_alloc(&w, k, sizeof *w, "principal components", err);
    if (rc == 0) {
        covariance(room, d, n, base_sum, base_products);
        rc = whitener(s, room, d, rows, err);
    }
    if (rc == 0) {
        covariance(c, d, n, sum, products);
        out->n = rows;
        for (size_t i = 0; i < d; i++) {
            out->mean[i] = sum[i] / n;
            out->var[i] = fmax(c[i * d + i], 0) * (n - 1) / n;
        }
        dk_blas_times(room, c, s, d, d, d, DK_TURNED);
        dk_blas_times(c, s, room, d, d, d, DK_AS_IT_IS);
        for (size_t i = 0; i < d; i++)
            out->total += c[i * d + i];
        rc = dk_eigen(w, u, c, d, k, err);
    }
    if (rc == 0)
        dk_blas_times(room, u, s, k, d, d, DK_AS_IT_IS);
    for (size_t i = 0; rc == 0 && i < k; i++) {
        const double *v = room + (k - 1 - i) * d;
        double length = 0;

        for (size_t j = 0; j < d; j++)
            length += v[j] * v[j];
        for (size_t j = 0; j < d; j++)
            out->vector[i * d + j] = v[j] / sqrt(length);
        dk_pca_orient(out->vector + i * d, d);
        out->value[i] = fmax(w[k - 1 - i], 0);
        out->singular[i] = sqrt(out->value[i] * (n - 1));
        kept += out->value[i];
    }
    out->noise = k < d ? fmax(out->total - kept, 0) / (double)(d - k) : 0;
    dk_free(s);
    dk_free(c);
    dk_free(room);
    dk_free(u);
    dk_free(w);
    if (rc < 0)
        dk_pca_free(out);
    return rc;
}
