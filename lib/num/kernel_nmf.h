/* The inner loops of the factorisation (nmf.h).  Rows of factors are padded
 * with zeros to a multiple of DK_NMF_PAD values. */
#ifndef DK_NUM_KERNEL_NMF_H
#define DK_NUM_KERNEL_NMF_H

#include <stddef.h>
#include <stdint.h>

enum { DK_NMF_PAD = 4 };

/* A sparse matrix by rows, or the same by columns. */
typedef struct dk_nmf_side {
    size_t n;
    const uint64_t *at;         /* [n + 1] */
    const uint32_t *index;
    const float *value;
} dk_nmf_side;

/* x[i] = x[i] ^ e */
void dk_nmf_power(double *x, size_t n, double e);
/* For rows from .. to - 1: out[row] = sum of v u^e other[index], u = <mine[row],
 * other[index]> + eps; without u where e is 0. */
void dk_nmf_sparse(double *out, const dk_nmf_side *m, const double *mine, const double *other, size_t width,
                   double e, double eps, size_t from, size_t to);
/* Sums over those rows' entries, in double: of v u^e, or for log of v ln u. */
double dk_nmf_sparse_sum(const dk_nmf_side *m, const double *mine, const double *other, size_t width, double e,
                         int log, double eps, size_t from, size_t to);
/* The same over every column, zeros of the matrix too: out[row] = sum over n
 * columns of u^e turned[.][column]; turned [topics, ld], n <= ld.  Returns the
 * sum of u^(e + 1) over all of them if sum, else 0. */
double dk_nmf_dense(double *out, const double *mine, const double *turned, size_t n, size_t ld, size_t topics,
                    size_t width, double e, double eps, int sum, size_t from, size_t to);

#endif
