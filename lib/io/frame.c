/* Frames of streams. */
#include "io/frame.h"

#include <string.h>
#include <zstd.h>

#include "io/zstdfilter.h"

enum { RAW = 1 << 17, WINDOW_LOG = 24 };

static const char magic[8] = { 'D', 'K', 'S', 'T', 'R', 'M', '0', '1' };

static void put_le(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le(const uint8_t *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

void dk_frame_pack(uint8_t out[DK_FRAME_HEAD], const dk_frame *h)
{
    put_le(out, h->set, 2);
    put_le(out + 2, h->first, 6);
    put_le(out + 8, h->rows, 4);
    put_le(out + 12, h->bytes, 4);
}

dk_frame dk_frame_unpack(const uint8_t in[DK_FRAME_HEAD])
{
    return (dk_frame){ (uint32_t)get_le(in, 2), get_le(in + 2, 6), (uint32_t)get_le(in + 8, 4),
                       (uint32_t)get_le(in + 12, 4) };
}

/* --- writing -------------------------------------------------------------- */
struct dk_frames_out {
    FILE *f;
    ZSTD_CCtx *z;
    uint8_t *packed;
};

dk_frames_out *dk_frames_out_new(FILE *out)
{
    dk_frames_out *o = dk_xcalloc(1, sizeof *o);

    o->f = out;
    o->z = ZSTD_createCCtx();
    o->packed = dk_xmalloc(RAW);
    DK_ASSERT(o->z);
    ZSTD_CCtx_setParameter(o->z, ZSTD_c_compressionLevel, DK_ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(o->z, ZSTD_c_checksumFlag, 1);
    fwrite(magic, 1, sizeof magic, out);
    return o;
}

void dk_frames_out_free(dk_frames_out **op)
{
    dk_frames_out *o = *op;

    if (!o)
        return;
    ZSTD_freeCCtx(o->z);
    dk_free(o->packed);
    dk_free(o);
    *op = NULL;
}

static int put_part(dk_frames_out *o, const void *p, size_t n, ZSTD_EndDirective end, dk_err *err)
{
    ZSTD_inBuffer in = { p, n, 0 };
    size_t left;

    do {
        ZSTD_outBuffer out = { o->packed, RAW, 0 };

        left = ZSTD_compressStream2(o->z, &out, &in, end);
        if (ZSTD_isError(left))
            return dk_fail(err, DK_EIO, "the stream cannot be compressed: %s", ZSTD_getErrorName(left));
        if (fwrite(o->packed, 1, out.pos, o->f) != out.pos)
            return dk_fail_errno(err, "cannot write standard output");
    } while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

int dk_frames_put(dk_frames_out *o, const void *a, size_t n_a, const void *b, size_t n_b, dk_err *err)
{
    int rc;

    ZSTD_CCtx_reset(o->z, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(o->z, n_a + n_b);
    rc = put_part(o, a, n_a, n_b ? ZSTD_e_continue : ZSTD_e_end, err);
    return rc < 0 || n_b == 0 ? rc : put_part(o, b, n_b, ZSTD_e_end, err);
}

/* --- reading -------------------------------------------------------------- */
struct dk_frames_in {
    FILE *f;
    const char *name;
    ZSTD_DCtx *z;
    uint8_t raw[RAW];
    ZSTD_inBuffer in;
    uint8_t *frame;
    size_t cap;
};

static int cut(const dk_frames_in *i, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: the stream was cut", i->name);
}

static int damaged(const dk_frames_in *i, const char *why, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: the stream is damaged: %s", i->name, why);
}

int dk_frames_in_new(dk_frames_in **out, FILE *in, const char *name, dk_err *err)
{
    dk_frames_in *i = dk_xcalloc(1, sizeof *i);
    char got[sizeof magic];
    const size_t n = fread(got, 1, sizeof got, in);
    int rc = 0;

    i->f = in;
    i->name = name;
    i->in.src = i->raw;
    if (ferror(in))
        rc = dk_fail_errno(err, "cannot read %s", name);
    else if (n == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s is empty", name);
    else if (memcmp(got, magic, n < 6 ? n : 6) != 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: no dk stream", name);
    else if (n < sizeof got)
        rc = cut(i, err);
    else if (memcmp(got, magic, 8) != 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: the stream is in version '%.2s' of the format, this build reads "
                     "%.2s; use a newer dk", name, got + 6, magic + 6);
    else if (!(i->z = ZSTD_createDCtx()) ||
             ZSTD_isError(ZSTD_DCtx_setParameter(i->z, ZSTD_d_windowLogMax, WINDOW_LOG)))
        rc = dk_fail(err, DK_ENOMEM, "out of memory for reading %s", name);
    if (rc < 0)
        dk_frames_in_free(&i);
    *out = i;
    return rc;
}

void dk_frames_in_free(dk_frames_in **ip)
{
    dk_frames_in *i = *ip;

    if (!i)
        return;
    ZSTD_freeDCtx(i->z);
    dk_free(i->frame);
    dk_free(i);
    *ip = NULL;
}

static int fill(dk_frames_in *i, dk_err *err)
{
    if (i->in.pos < i->in.size)
        return 0;
    i->in.pos = 0;
    i->in.size = fread(i->raw, 1, RAW, i->f);
    return ferror(i->f) ? dk_fail_errno(err, "cannot read %s", i->name) : 0;
}

/* Room grows with what comes, not with what a head promises. */
static int grow(dk_frames_in *i, size_t most, dk_err *err)
{
    const size_t cap = i->cap ? 2 * i->cap : 1 << 16;
    uint8_t *fresh;
    int rc = dk_alloc(&fresh, cap < most ? cap : most, 1, "a frame of the stream", err);

    if (rc < 0)
        return rc;
    if (i->cap)
        memcpy(fresh, i->frame, i->cap);
    dk_free(i->frame);
    i->frame = fresh;
    i->cap = cap < most ? cap : most;
    return 0;
}

int dk_frames_get(dk_frames_in *i, size_t most, const uint8_t **p, size_t *n, dk_err *err)
{
    size_t got = 0, left;
    int rc;

    ZSTD_DCtx_reset(i->z, ZSTD_reset_session_only);
    do {
        ZSTD_outBuffer out;
        size_t at;

        if ((rc = fill(i, err)) < 0 || (got == i->cap && got < most && (rc = grow(i, most, err)) < 0))
            return rc;
        at = i->in.pos;
        out = (ZSTD_outBuffer){ i->frame, i->cap < most ? i->cap : most, got };
        left = ZSTD_decompressStream(i->z, &out, &i->in);
        if (dk_zstd_no_memory(left))
            return dk_fail(err, DK_ENOMEM, "out of memory for reading %s", i->name);
        if (ZSTD_isError(left))
            return damaged(i, "a frame does not unpack", err);
        if (left && out.pos == got && i->in.pos == at)
            return i->in.size == 0 ? cut(i, err) : damaged(i, "a frame is too long", err);
        got = out.pos;
    } while (left);
    if (got == 0)
        return damaged(i, "a frame is empty", err);
    *p = i->frame;
    *n = got;
    return 0;
}

int dk_frames_done(dk_frames_in *i, dk_err *err)
{
    int rc = fill(i, err);

    return rc < 0 || i->in.size == i->in.pos ? rc : damaged(i, "it goes on after its end", err);
}
