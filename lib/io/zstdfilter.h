/* Zstandard as HDF5 filter 32015, and the same frames without HDF5. */
#ifndef DK_IO_ZSTDFILTER_H
#define DK_IO_ZSTDFILTER_H

#include <stdbool.h>
#include <stddef.h>

enum { DK_ZSTD_FILTER = 32015, DK_ZSTD_LEVEL = 1 };

/* What H5Zregister takes: a H5Z_class2_t. */
const void *dk_zstd_class(void);
/* Whether the filter lacked memory since this was last asked: HDF5 says only that it failed. */
bool dk_zstd_starved(void);
/* Whether that is what an error of zstd's functions says. */
bool dk_zstd_no_memory(size_t code);
/* One frame of exactly n bytes into out; DK_EFORMAT when the frame is anything else,
 * DK_ENOMEM when there is no memory to tell. */
int dk_zstd_decode(void *out, size_t n, const void *frame, size_t frame_bytes);
/* The most bytes that a frame of n bytes of data can have. */
size_t dk_zstd_bound(size_t n);

#endif
