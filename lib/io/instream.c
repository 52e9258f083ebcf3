/* Plain, gzip and zstd input behind one read call. */
#include "io/instream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "io/zstdfilter.h"

enum { RAW_BYTES = 1 << 17 };

enum kind { UNKNOWN, PLAIN, GZIP, ZSTD };

struct dk_instream {
    char *name;
    int fd;
    enum kind kind;
    unsigned char *raw;         /* bytes of the file that wait for decoding */
    size_t raw_at, raw_n;
    bool raw_end;
    bool inside;                /* in the middle of a gzip member or zstd frame */
    z_stream z;
    ZSTD_DStream *zstd;
};

int dk_instream_open(dk_instream **out, const char *path, dk_err *err)
{
    const bool std = strcmp(path, "-") == 0;
    const int fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    dk_instream *s;

    *out = NULL;
    if (fd < 0)
        return dk_fail_errno(err, "cannot read %s", path);
    s = dk_xcalloc(1, sizeof *s);
    s->fd = fd;
    s->name = dk_xstrdup(std ? "standard input" : path);
    s->raw = dk_xmalloc(RAW_BYTES);
    *out = s;
    return 0;
}

void dk_instream_close(dk_instream **sp)
{
    dk_instream *s = *sp;

    if (!s)
        return;
    if (s->fd != STDIN_FILENO)
        close(s->fd);
    if (s->kind == GZIP)
        inflateEnd(&s->z);
    ZSTD_freeDStream(s->zstd);
    dk_free(s->raw);
    dk_free(s->name);
    dk_free(s);
    *sp = NULL;
}

const char *dk_instream_name(const dk_instream *s) { return s->name; }

/* Fills the raw buffer behind what is left in it. */
static int fill(dk_instream *s, dk_err *err)
{
    ssize_t n;

    if (s->raw_at > 0) {
        memmove(s->raw, s->raw + s->raw_at, s->raw_n - s->raw_at);
        s->raw_n -= s->raw_at;
        s->raw_at = 0;
    }
    do
        n = read(s->fd, s->raw + s->raw_n, RAW_BYTES - s->raw_n);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return dk_fail_errno(err, "cannot read %s", s->name);
    s->raw_n += (size_t)n;
    s->raw_end = n == 0;
    return 0;
}

static int find_kind(dk_instream *s, dk_err *err)
{
    int rc = 0;

    while (rc == 0 && s->raw_n < 4 && !s->raw_end)
        rc = fill(s, err);
    if (rc < 0)
        return rc;
    if (s->raw_n >= 2 && memcmp(s->raw, "\x1F\x8B", 2) == 0) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK)
            return dk_fail(err, DK_ENOMEM, "out of memory for reading %s", s->name);
        s->kind = GZIP;
    } else if (s->raw_n >= 4 && memcmp(s->raw, "\x28\xB5\x2F\xFD", 4) == 0) {
        s->zstd = ZSTD_createDStream();
        if (!s->zstd)
            return dk_fail(err, DK_ENOMEM, "out of memory for reading %s", s->name);
        s->kind = ZSTD;
    } else
        s->kind = PLAIN;
    return 0;
}

static int damaged(const dk_instream *s, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s is damaged: its %s data cannot be decoded", s->name,
                   s->kind == GZIP ? "gzip" : "zstd");
}

static int step_gzip(dk_instream *s, char *out, size_t n, size_t *got, dk_err *err)
{
    int z;

    if (!s->inside && inflateReset(&s->z) != Z_OK)      /* members may follow each other */
        return damaged(s, err);
    s->inside = true;
    s->z.next_in = s->raw + s->raw_at;
    s->z.avail_in = (uInt)(s->raw_n - s->raw_at);
    s->z.next_out = (Bytef *)out;
    s->z.avail_out = (uInt)n;
    z = inflate(&s->z, Z_NO_FLUSH);
    s->raw_at = s->raw_n - s->z.avail_in;
    *got = n - s->z.avail_out;
    if (z == Z_STREAM_END)
        s->inside = false;
    return z == Z_OK || z == Z_STREAM_END || z == Z_BUF_ERROR ? 0 : damaged(s, err);
}

static int step_zstd(dk_instream *s, char *out, size_t n, size_t *got, dk_err *err)
{
    ZSTD_inBuffer in = { s->raw, s->raw_n, s->raw_at };
    ZSTD_outBuffer o = { out, n, 0 };
    const size_t left = ZSTD_decompressStream(s->zstd, &o, &in);

    if (dk_zstd_no_memory(left))
        return dk_fail(err, DK_ENOMEM, "out of memory for unpacking %s", s->name);
    if (ZSTD_isError(left))
        return damaged(s, err);
    s->raw_at = in.pos;
    s->inside = left != 0;
    *got = o.pos;
    return 0;
}

static int step(dk_instream *s, char *out, size_t n, size_t *got, dk_err *err)
{
    const size_t ready = s->raw_n - s->raw_at;

    if (s->kind == GZIP)
        return step_gzip(s, out, n, got, err);
    if (s->kind == ZSTD)
        return step_zstd(s, out, n, got, err);
    *got = ready < n ? ready : n;
    memcpy(out, s->raw + s->raw_at, *got);
    s->raw_at += *got;
    return 0;
}

int dk_instream_read(dk_instream *s, dk_buf *out, size_t n, size_t *got, dk_err *err)
{
    char piece[1 << 15];
    int rc;

    *got = 0;
    if (s->kind == UNKNOWN && (rc = find_kind(s, err)) < 0)
        return rc;
    while (*got == 0) {
        const bool starved = s->raw_at == s->raw_n;

        if (starved && !s->raw_end && (rc = fill(s, err)) < 0)
            return rc;
        /* Even without input a decoder may still hold output. */
        if (s->raw_at == s->raw_n && !s->inside)
            return 0;
        if ((rc = step(s, piece, n < sizeof piece ? n : sizeof piece, got, err)) < 0)
            return rc;
        if (*got == 0 && s->raw_at == s->raw_n && s->raw_end && s->inside)
            return dk_fail(err, DK_EFORMAT, "%s ends in the middle of its compressed data",
                           s->name);
    }
    dk_buf_add(out, piece, *got);
    return 0;
}
