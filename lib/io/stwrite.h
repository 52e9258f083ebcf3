/* Writing a safetensors file of f32 tensors, whole or not at all. */
#ifndef DK_IO_STWRITE_H
#define DK_IO_STWRITE_H

#include <stddef.h>

#include "base/err.h"
#include "io/safetensors.h"

typedef struct dk_st_out {
    const char *name;
    unsigned n_dims;
    size_t dims[DK_ST_MAX_DIMS];
    const float *data;
} dk_st_out;

/* meta: key, value, key, value, ..., NULL; they follow "format": "pt". */
int dk_st_write(const char *path, const dk_st_out *t, size_t n, const char *const *meta, dk_err *err);

/* The same piece by piece: data of t is not looked at. */
typedef struct dk_st_writer dk_st_writer;
int dk_st_begin(dk_st_writer **out, const char *path, const dk_st_out *t, size_t n, const char *const *meta, dk_err *err);
/* The next n values of the tensors, in their order. */
int dk_st_put(dk_st_writer *w, const float *x, size_t n, dk_err *err);
int dk_st_commit(dk_st_writer **w, dk_err *err);     /* all are there */
void dk_st_abandon(dk_st_writer **w);               /* NULL is fine */

#endif
