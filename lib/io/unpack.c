#include "io/unpack.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "io/zstdfilter.h"

/* The most that one byte can come to: a copy of 64 bytes, deflate's limit,
 * 128 KiB of one byte from a block of four. */
enum { SNAPPY_MOST = 64, GZIP_MOST = 1032, ZSTD_MOST = 32768 };

const char *dk_codec_unread(int64_t codec)
{
    switch (codec) {
    case DK_CODEC_NONE: case DK_CODEC_SNAPPY: case DK_CODEC_GZIP: case DK_CODEC_ZSTD: return NULL;
    case 3: return "it is packed with LZO, which is not read";
    case 4: return "it is packed with Brotli, which is not read";
    case 5: case 7: return "it is packed with LZ4, which is not read";
    default: return "it is packed in an unknown way";
    }
}

void dk_block_free(dk_block *b)
{
    dk_free(b->p);
    *b = (dk_block){0};
}

/* A format of tags: texts as they are, and copies of what was written before. */
static const char *snappy(const uint8_t *p, size_t n, uint8_t *out, size_t want)
{
    static const char broken[] = "its snappy data cannot be decoded";
    const uint8_t *const end = p + n;
    uint64_t size = 0;
    size_t at = 0;

    for (int shift = 0; ; shift += 7) {
        if (p == end || shift > 28)
            return broken;
        size |= (uint64_t)(*p & 0x7F) << shift;
        if (!(*p++ & 0x80))
            break;
    }
    if (size != want)
        return broken;
    while (p < end) {
        const uint8_t tag = *p++;
        const size_t extra = (tag & 3) == 0 ? (tag >> 2 > 59 ? (size_t)(tag >> 2) - 59 : 0)
                                            : (tag & 3) == 3 ? 4 : (size_t)(tag & 3);
        size_t len = (size_t)(tag >> 2) + 1, number = 0;

        if ((size_t)(end - p) < extra)
            return broken;
        for (size_t i = 0; i < extra; i++)
            number |= (size_t)p[i] << 8 * i;
        p += extra;
        if ((tag & 3) == 0) {
            len = extra ? number + 1 : len;
            if (len > (size_t)(end - p) || len > want - at)
                return broken;
            memcpy(out + at, p, len);
            p += len;
        } else {
            if ((tag & 3) == 1) {
                len = ((size_t)(tag >> 2) & 7) + 4;
                number |= (size_t)(tag >> 5) << 8;
            }
            if (number == 0 || number > at || len > want - at)
                return broken;
            for (size_t i = 0; i < len; i++)        /* it may copy what it writes */
                out[at + i] = out[at + i - number];
        }
        at += len;
    }
    return at == want ? NULL : broken;
}

static const char *gzip(const uint8_t *p, size_t n, uint8_t *out, size_t want)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)want };
    int rc;

    if (inflateInit2(&z, 15 + 32) != Z_OK)
        return "out of memory for its gzip data";
    do                                  /* members may follow each other */
        rc = inflate(&z, Z_FINISH);
    while (rc == Z_STREAM_END && z.avail_in > 0 && inflateReset(&z) == Z_OK);
    inflateEnd(&z);
    return rc == Z_STREAM_END && z.avail_out == 0 ? NULL : "its gzip data cannot be decoded";
}

static const char *zstd(const uint8_t *p, size_t n, uint8_t *out, size_t want)
{
    const size_t got = ZSTD_decompress(out, want, p, n);

    if (dk_zstd_no_memory(got))
        return "out of memory for its zstd data";
    return ZSTD_isError(got) || got != want ? "its zstd data cannot be decoded" : NULL;
}

const char *dk_unpack(dk_codec codec, const uint8_t *in, size_t n, dk_block *b, size_t want)
{
    const size_t most = codec == DK_CODEC_NONE ? 1 : codec == DK_CODEC_SNAPPY ? SNAPPY_MOST
                      : codec == DK_CODEC_GZIP ? GZIP_MOST : ZSTD_MOST;

    if (n > INT32_MAX || want > INT32_MAX || want > n * most)
        return "its size when unpacked cannot be";
    if (want > b->cap || !b->p) {
        dk_block_free(b);
        if (dk_alloc(&b->p, want, 1, "a page", NULL) < 0)
            return "out of memory for a page";
        b->cap = want;
    }
    if (want == 0 && n == 0)            /* some writers leave out even the frame */
        return NULL;
    switch (codec) {
    case DK_CODEC_SNAPPY: return snappy(in, n, b->p, want);
    case DK_CODEC_GZIP: return gzip(in, n, b->p, want);
    case DK_CODEC_ZSTD: return zstd(in, n, b->p, want);
    default:
        if (n != want)
            return "its size is not what it says";
        memcpy(b->p, in, n);
        return NULL;
    }
}
