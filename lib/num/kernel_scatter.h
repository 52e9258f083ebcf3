/* The inner loops of sums of products: of all pairs of columns of some rows, in
 * double, from panels of columns. */
#ifndef DK_NUM_KERNEL_SCATTER_H
#define DK_NUM_KERNEL_SCATTER_H

#include <stddef.h>

enum { DK_PANEL = 24 };             /* columns */

/* panel [n, DK_PANEL] = x [n, ldx] minus shift, `columns` of them, the rest 0; sum [columns]
 * gains their sums, in the order of the rows. */
void dk_scatter_pack(double *panel, double *sum, const float *x, size_t ldx, const double *shift, size_t n, size_t columns);
/* out [DK_PANEL, DK_PANEL] = a^T b of two panels [n, DK_PANEL]. */
void dk_scatter_pair(double *out, const double *a, const double *b, size_t n);

#endif
