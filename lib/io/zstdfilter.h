/* Zstandard as HDF5 filter 32015, and the same frames without HDF5. */
#ifndef DK_IO_ZSTDFILTER_H
#define DK_IO_ZSTDFILTER_H

#include <stddef.h>

enum { DK_ZSTD_FILTER = 32015, DK_ZSTD_LEVEL = 1 };

/* What H5Zregister takes: a H5Z_class2_t. */
const void *dk_zstd_class(void);
/* One frame of exactly n bytes into out; < 0 when the frame is anything else. */
int dk_zstd_decode(void *out, size_t n, const void *frame, size_t frame_bytes);
/* The most bytes that a frame of n bytes of data can have. */
size_t dk_zstd_bound(size_t n);

#endif
