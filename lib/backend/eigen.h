/* Eigenvectors of symmetric matrices. */
#ifndef DK_BACKEND_EIGEN_H
#define DK_BACKEND_EIGEN_H

#include <stddef.h>

#include "base/err.h"

/* The k largest of a [d, d], of which the triangle below the diagonal is read and
 * all is used up: values w [k], smallest first; vectors z [k, d], one a row.  OpenBLAS must be loaded. */
int dk_eigen(double *w, double *z, double *a, size_t d, size_t k, dk_err *err);

#endif
