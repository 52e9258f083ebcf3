/* NumPy's .npy files, version 1.0: little-endian arrays in C order. */
#ifndef DK_IO_NPY_H
#define DK_IO_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { DK_NPY_MAX_RANK = 4 };

typedef struct dk_npy dk_npy;

/* descr: NumPy's word for the type: "<f4", "<i8", ...; rank 0 is one number. */
int dk_npy_create(dk_npy **out, const char *path, const char *descr, int rank, const uint64_t *dim,
                  dk_err *err);
int dk_npy_append(dk_npy *n, const void *p, size_t bytes, dk_err *err);
/* Refuses an array that misses values; frees *n whatever the outcome. */
int dk_npy_commit(dk_npy **n, dk_err *err);
void dk_npy_abandon(dk_npy **n);        /* NULL is fine */

/* All at once. */
int dk_npy_write(const char *path, const char *descr, int rank, const uint64_t *dim, const void *p,
                 dk_err *err);

#endif
