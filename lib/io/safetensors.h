/* A safetensors file: u64 header length, a JSON header, then the data.  Mapped
 * and borrowed; everything is checked at open.  Read-only, so thread-safe. */
#ifndef DK_IO_SAFETENSORS_H
#define DK_IO_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/dequant.h"

enum { DK_ST_MAX_DIMS = 8 };

typedef struct dk_safetensors dk_safetensors;

/* Row-major, little-endian, of any alignment. */
typedef struct dk_st_tensor {
    char *name, *dtype;         /* "BF16" */
    const dk_qformat *format;   /* NULL: integers, booleans, 8-bit floats */
    unsigned n_dims;            /* 0: a scalar */
    size_t dims[DK_ST_MAX_DIMS];    /* unused ones are 1 */
    size_t n;                   /* elements */
    const uint8_t *data;
    size_t bytes;
} dk_st_tensor;

/* DK_EIO, or DK_EFORMAT with the file's name and what is wrong with it. */
int dk_safetensors_open(dk_safetensors **out, const char *path, dk_err *err);
/* The same for bytes in memory, which must outlive *out. */
int dk_safetensors_open_mem(dk_safetensors **out, const void *p, size_t n, const char *name,
                            dk_err *err);
void dk_safetensors_close(dk_safetensors **s);
void dk_safetensors_drop(dk_safetensors *s);    /* gives the mapped pages back */

/* Sorted by name.  Borrowed until close. */
size_t dk_safetensors_n(const dk_safetensors *s);
const dk_st_tensor *dk_safetensors_at(const dk_safetensors *s, size_t i);
const dk_st_tensor *dk_safetensors_find(const dk_safetensors *s, const char *name);
/* An entry of __metadata__, or def. */
const char *dk_safetensors_meta(const dk_safetensors *s, const char *key, const char *def);

#endif
