/* The zstd filter.  Distributions ship no plugin for it, so it is linked in
 * and registered at start; a file can never make the library load code.  The
 * same file makes the plugin for other programs: nothing here calls HDF5. */
#include "io/zstdfilter.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "io/h5priv.h"

static bool starved;

bool dk_zstd_starved(void)
{
    const bool was = starved;

    starved = false;
    return was;
}

bool dk_zstd_no_memory(size_t code)
{
    return ZSTD_isError(code) && ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation;
}

static void *buffer(size_t n)
{
    void *p = malloc(n);

    starved = starved || !p;
    return p;
}

/* The filter owns its buffers through the C allocator, as the library asks. */
static size_t swap(void **buf, size_t *buf_size, void *fresh, size_t cap, size_t n)
{
    if (ZSTD_isError(n)) {
        starved = starved || dk_zstd_no_memory(n);
        free(fresh);
        return 0;
    }
    free(*buf);
    *buf = fresh;
    *buf_size = cap;
    return n;
}

static size_t decode(size_t n, size_t *buf_size, void **buf)
{
    const unsigned long long want = ZSTD_getFrameContentSize(*buf, n);
    void *fresh;

    /* The two error codes of the call are above every limit, too. */
    if (want == 0 || want > DK_H5_MAX_CHUNK || !(fresh = buffer(want)))
        return 0;
    return swap(buf, buf_size, fresh, want, ZSTD_decompress(fresh, want, *buf, n));
}

static size_t filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *buf_size,
                     void **buf)
{
    const size_t cap = ZSTD_compressBound(n);
    void *fresh;

    if (flags & H5Z_FLAG_REVERSE)
        return decode(n, buf_size, buf);
    if (!(fresh = buffer(cap)))
        return 0;
    return swap(buf, buf_size, fresh, cap,
                ZSTD_compress(fresh, cap, *buf, n, n_cd ? (int)cd[0] : DK_ZSTD_LEVEL));
}

const void *dk_zstd_class(void)
{
    static const H5Z_class2_t zstd = {
        .version = H5Z_CLASS_T_VERS, .id = DK_ZSTD_FILTER, .encoder_present = 1,
        .decoder_present = 1, .name = "zstd", .filter = filter
    };

    return &zstd;
}

int dk_zstd_decode(void *out, size_t n, const void *frame, size_t frame_bytes)
{
    size_t got;

    if (ZSTD_getFrameContentSize(frame, frame_bytes) != n)
        return DK_EFORMAT;
    got = ZSTD_decompress(out, n, frame, frame_bytes);
    return got == n ? 0 : dk_zstd_no_memory(got) ? DK_ENOMEM : DK_EFORMAT;
}

size_t dk_zstd_bound(size_t n) { return ZSTD_compressBound(n); }
