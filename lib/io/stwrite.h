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

#endif
