/* Blocks of known size, unpacked at once: the codecs of parquet's pages. */
#ifndef DK_IO_UNPACK_H
#define DK_IO_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* As parquet numbers them. */
typedef enum dk_codec { DK_CODEC_NONE = 0, DK_CODEC_SNAPPY = 1, DK_CODEC_GZIP = 2, DK_CODEC_ZSTD = 6 } dk_codec;

/* NULL: one of those above.  Else what to say of it. */
const char *dk_codec_unread(int64_t codec);

/* Memory that is used again for block after block. */
typedef struct dk_block {
    uint8_t *p;
    size_t cap;
} dk_block;
void dk_block_free(dk_block *b);

/* Makes the n bytes at in the want bytes that they stand for, in b.  NULL, or
 * what is wrong ("its gzip data cannot be decoded").  A want that n bytes
 * cannot come to is refused before anything is allocated. */
const char *dk_unpack(dk_codec codec, const uint8_t *in, size_t n, dk_block *b, size_t want);

#endif
