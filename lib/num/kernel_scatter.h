/* The inner loops of sums of products: of all pairs of columns of some rows, in
 * double, from panels of columns. */
#ifndef DK_NUM_KERNEL_SCATTER_H
#define DK_NUM_KERNEL_SCATTER_H

#include <stddef.h>

enum { DK_PANEL = 24 };             /* columns */

/* Panels [n, DK_PANEL], ld values apart, of x [n, d] minus shift [d], columns beyond d 0; sum [d]
 * becomes their sums, in the order of the rows. */
void dk_scatter_pack(double *panels, size_t ld, double *sum, const float *x, const double *shift, size_t n, size_t d);
/* out [DK_PANEL, DK_PANEL] = a^T b of two panels [n, DK_PANEL]. */
void dk_scatter_pair(double *out, const double *a, const double *b, size_t n);

#endif
