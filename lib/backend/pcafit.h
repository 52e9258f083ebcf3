/* Principal components of rows that come in pieces.
 *
 * Exact: one pass sums the products of the rows' values in double, in blocks of
 * a fixed number of rows, and one eigenproblem follows.  Each part of the matrix
 * is summed by one thread in the order of the rows, so results depend neither on
 * the pieces nor on threads.
 *
 * In batches: scikit-learn's IncrementalPCA, whose result depends on the batches
 * where fewer components are kept than there are. */
#ifndef DK_BACKEND_PCAFIT_H
#define DK_BACKEND_PCAFIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_pca_plan {
    size_t k;                       /* components; 0: as many as there are */
    size_t batch;                   /* rows of a batch; 0: exact */
    bool drop_last;                 /* leave out the rows that fill no batch */
    bool uncentred;                 /* exact: the rows as they are, not less their mean; value and total are mean squares */
} dk_pca_plan;

typedef struct dk_pca {
    size_t d, k;
    uint64_t n;                     /* rows */
    double *mean, *var;             /* [d]; of the columns, var divided by n */
    double *vector;                 /* [k, d] of length 1; the largest entry of each is positive */
    double *value;                  /* [k] variance along it, divided by n - 1; largest first */
    double *singular;               /* [k] of the centred rows */
    double total, noise;            /* variance in all directions; mean of those that were left out */
    double squares;                 /* sum of the squared variances along all components; NaN: not known */
} dk_pca;

typedef struct dk_pca_fit dk_pca_fit;

int dk_pca_fit_new(dk_pca_fit **f, size_t d, const dk_pca_plan *plan, dk_err *err);
void dk_pca_fit_free(dk_pca_fit **f);
/* rows [n, d], finite. */
int dk_pca_fit_add(dk_pca_fit *f, const float *rows, size_t n, dk_err *err);
/* DK_EDATA: too few rows, or all the same. */
int dk_pca_fit_end(dk_pca_fit *f, dk_pca *out, dk_err *err);
void dk_pca_free(dk_pca *p);
/* The same from sums over n rows: of their values [d], and of the products of these
 * [d, d], on and above the diagonal.  Means that are large beside the spread cost
 * digits: these rows are not shifted. */
int dk_pca_of_sums(dk_pca *out, size_t d, const dk_pca_plan *plan, uint64_t n, const double *sum, const double *products,
                   dk_err *err);
/* In the base's measure, from the same sums of its rows: directions along which the
 * variance over that of the base is largest, of length 1, not at right angles;
 * value, singular, total and noise are of these quotients.  DK_EDATA: also where the
 * base does not vary in all directions. */
int dk_pca_whitened(dk_pca *out, size_t d, size_t k, uint64_t n, const double *sum, const double *products,
                    const double *base_sum, const double *base_products, dk_err *err);
/* Such that the largest entry is positive. */
void dk_pca_orient(double *v, size_t d);

#endif
