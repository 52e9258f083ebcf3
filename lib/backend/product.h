/* Matrix products with weights packed once: the CPU's part of backend/backend.h.
 *
 * y = x W^T with W [n, k] as checkpoints store linear layers.  Work is cut into
 * fixed pieces (a block of rows times a strip of W's rows), each computed by
 * one thread with one kernel, so a row of y has the same bits whatever the
 * number of rows, the position of the row or the number of threads.
 *
 * dtype DK_BF16: x and W are rounded to bf16 (to nearest even), products are
 * summed in f32.  Where the CPU has no bf16 products the rounded values are
 * multiplied as f32: the same inputs, another order of summation. */
#ifndef DK_BACKEND_PRODUCT_H
#define DK_BACKEND_PRODUCT_H

#include <stddef.h>

#include "base/err.h"
#include "num/dtype.h"

typedef struct dk_weight dk_weight;

/* Gives rows row0 .. row0 + n_rows - 1 of W as f32 [n_rows, k]; called from several
 * threads at once. */
typedef int dk_row_source(void *arg, float *rows, size_t row0, size_t n_rows, dk_err *err);

int dk_weight_pack(dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src,
                   void *arg, dk_err *err);
void dk_weight_free(dk_weight **w);
size_t dk_weight_rows(const dk_weight *w);      /* n */
size_t dk_weight_cols(const dk_weight *w);      /* k */
dk_dtype dk_weight_dtype(const dk_weight *w);
/* The name of the kernel, for -vv and the bench ("brg:avx512_core_bf16"). */
const char *dk_weight_kernel(const dk_weight *w);

/* The left side of one or more products, prepared once: rows padded to whole
 * blocks and rounded to the compute dtype. */
typedef struct dk_lhs dk_lhs;

int dk_lhs_new(dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err);
void dk_lhs_free(dk_lhs **x);
/* x: m rows of k values, ldx apart. */
void dk_lhs_set(dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k);

/* Rows that a y of m rows must have room for: blocks are computed whole. */
size_t dk_padded_rows(size_t m);

/* y [m (room for dk_padded_rows(m)), ldy >= n] = lhs W^T, on all threads. */
int dk_product(float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err);

/* For heads: the strips of W, one at a time, by the calling thread, for a block of rows
 * of the lhs from row0 on, or for some more.  y [dk_block_rows, ldy]. */
enum { DK_BLOCK_ROWS_MAX = 96 };    /* on any CPU */
size_t dk_block_rows(void);         /* on this one; known once a weight is packed */
/* How high blocks of so many rows are that keep all threads at work, at most dk_block_rows; row0
 * is a multiple of it. */
size_t dk_block_share(size_t rows);
size_t dk_lhs_blocks(const dk_lhs *lhs);
size_t dk_weight_strips(const dk_weight *w);
void dk_weight_strip(const dk_weight *w, size_t strip, size_t *first, size_t *n);
size_t dk_weight_strip_max(const dk_weight *w);
int dk_product_strip(float *y, size_t ldy, const dk_lhs *lhs, size_t row0, size_t rows, const dk_weight *w,
                     size_t strip, dk_err *err);

#endif
