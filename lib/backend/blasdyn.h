/* OpenBLAS, loaded at first use (base/dynlib.h): what of BLAS and LAPACK is
 * used, with the types that both give their arguments.  It is to work on the
 * thread that calls it: split by threads, sums would depend on their number.  But
 * outside parallel loops it goes by OpenMP's number: see dk_blas_alone. */
#ifndef DK_BACKEND_BLASDYN_H
#define DK_BACKEND_BLASDYN_H

#include <stddef.h>

#include "base/err.h"

enum { DK_BLAS_ROWS = 101, DK_BLAS_PLAIN = 111, DK_BLAS_TURNED = 112 };

struct dk_blas {
    /* C [m, n] = alpha A B + beta C */
    void (*cblas_dgemm)(int order, int turn_a, int turn_b, int m, int n, int k, double alpha, const double *a, int lda,
                        const double *b, int ldb, double beta, double *c, int ldc);
    /* Eigenvalues and vectors of a symmetric matrix; singular values and left
     * vectors of any.  Columns lie in one piece. */
    void (*dsyevr_)(const char *vectors, const char *range, const char *triangle, const int *n, double *a,
                    const int *lda, const double *lo, const double *hi, const int *first, const int *last,
                    const double *tolerance, int *found, double *w, double *z, const int *ldz, int *support,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info);
    void (*dgesvd_)(const char *left, const char *right, const int *m, const int *n, double *a, const int *lda,
                    double *s, double *u, const int *ldu, double *vt, const int *ldvt, double *work,
                    const int *lwork, int *info);
    void (*openblas_set_num_threads)(int n);
};
extern struct dk_blas dk_blas;

int dk_blas_load(dk_err *err);      /* before any use; the number of threads stays */

/* One thread from here on: around calls outside parallel loops.  What it gives, the number
 * before, goes to dk_threads_set afterwards. */
int dk_blas_alone(void);

/* c [d, d] += x^T x of x [n, d], one triangle and what the tiles on the diagonal
 * hold of the other; on all threads, each tile by one, so its bits do not depend on them. */
typedef enum dk_triangle { DK_LOWER, DK_UPPER } dk_triangle;
void dk_blas_products(double *c, const double *x, size_t n, size_t d, dk_triangle which);

/* c [m, n] = a [m, k] b [k, n], or a b^T of b [n, k]; likewise each piece of c by one thread. */
typedef enum dk_turn { DK_AS_IT_IS, DK_TURNED } dk_turn;
void dk_blas_times(double *c, const double *a, const double *b, size_t m, size_t n, size_t k, dk_turn b_is);

#endif
