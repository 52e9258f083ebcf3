/* Random orthonormal columns, uniform over all of them: the QR decomposition of a
 * Gaussian matrix, with the signs of R's diagonal put into Q. */
#ifndef DK_NUM_HAAR_H
#define DK_NUM_HAAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* q [n, k], k <= n; the Gaussians are draws (seed, rotations, a, ...). */
int dk_haar(double *q, size_t n, size_t k, uint64_t seed, uint64_t a, dk_err *err);

/* x [n, k] = Q R by Householder: r [k, k] with the signs as they come; q [n, k] or NULL. */
int dk_qr(double *q, double *r, const double *x, size_t n, size_t k, dk_err *err);

#endif
