/* Products by this program's own kernels, for product.c, on processors without
 * AVX-512: there they are as fast as the library's on large blocks, and faster
 * on few rows, on weights kept in bf16 and while a model is loaded.
 *
 * Weights lie in panels (num/panel.h) one behind the other. */
#ifndef DK_BACKEND_PANELS_H
#define DK_BACKEND_PANELS_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/product.h"

/* Whether they are to be used, by what the CPU has and by what oneDNN's variable
 * (ONEDNN_MAX_CPU_ISA or DNNL_MAX_CPU_ISA) lets it use.  The name of the kernels. */
bool dk_panels_wanted(const char **name);

typedef struct dk_panels { void *data; struct dk_panel_store *store; } dk_panels;

int dk_panels_pack(dk_panels *out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src, void *arg, dk_err *err);
void dk_panels_free(dk_panels *p);

/* The left side of products, as the kernels read it (num/panel.h), m x k values. */
void dk_panels_rows(float *out, const float *x, size_t ldx, size_t m, size_t k, dk_dtype dtype);

/* Rows that are laid out together with the first so many, if there are more. */
size_t dk_panels_whole(size_t rows);

/* y [m, n, ldy] = x (so laid out) times columns first .. first + n - 1 (first a multiple
 * of 16), on all threads, or by the calling thread alone. */
void dk_panels_product(float *y, size_t ldy, const float *x, size_t m, const dk_panels *w, size_t n, size_t k,
                       dk_dtype dtype);
void dk_panels_part(float *y, size_t ldy, const float *x, size_t m, const dk_panels *w, size_t first, size_t n,
                    size_t k, dk_dtype dtype);

#endif
