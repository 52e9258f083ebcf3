/* Blocks to f32.  Loops over a block have constant counts and no branches, so
 * that the compiler turns each into a handful of vector instructions; products
 * and sums are not fused, so every clone gives the same bits. */
#include "num/dequant.h"

#include <stdint.h>
#include <string.h>

#include "num/half.h"
#include "num/simd.h"

static inline uint16_t get16(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return h;
}

static inline float half_at(const uint8_t *p) { return dk_f16_f32(get16(p)); }

DK_CLONES
static void f64(float *restrict out, const void *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x;

        memcpy(&x, (const uint8_t *)in + 8 * i, sizeof x);
        out[i] = (float)x;
    }
}

static void f32(float *restrict out, const void *restrict in, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

DK_CLONES
static void f16(float *restrict out, const void *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_at((const uint8_t *)in + 2 * i);
}

DK_CLONES
static void bf16(float *restrict out, const void *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dk_bf16_f32(get16((const uint8_t *)in + 2 * i));
}

/* d, 16 bytes: low nibbles are elements 0..15, high ones 16..31; d (q - 8). */
DK_CLONES
static void q4_0(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;

    for (size_t b = 0; b < n; b++, p += 18, out += 32) {
        const float d = half_at(p);

        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((p[2 + j] & 15) - 8);
            out[j + 16] = d * (float)((p[2 + j] >> 4) - 8);
        }
    }
}

/* d, m, 16 bytes as in Q4_0; d q + m. */
DK_CLONES
static void q4_1(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;

    for (size_t b = 0; b < n; b++, p += 20, out += 32) {
        const float d = half_at(p), m = half_at(p + 2);

        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(p[4 + j] & 15) + m;
            out[j + 16] = d * (float)(p[4 + j] >> 4) + m;
        }
    }
}

/* The fifth bits of elements 0..31 are the bits of one u32, lowest first. */
static inline void five_bits(uint8_t q[32], const uint8_t *high, const uint8_t *low)
{
    uint32_t h;

    memcpy(&h, high, sizeof h);
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)((low[j] & 15) | (((h >> j) & 1) << 4));
        q[j + 16] = (uint8_t)((low[j] >> 4) | (((h >> (j + 16)) & 1) << 4));
    }
}

DK_CLONES
static void q5_0(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;
    uint8_t q[32];

    for (size_t b = 0; b < n; b++, p += 22, out += 32) {
        const float d = half_at(p);

        five_bits(q, p + 2, p + 6);
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)(q[j] - 16);
    }
}

DK_CLONES
static void q5_1(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;
    uint8_t q[32];

    for (size_t b = 0; b < n; b++, p += 24, out += 32) {
        const float d = half_at(p), m = half_at(p + 2);

        five_bits(q, p + 4, p + 8);
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)q[j] + m;
    }
}

DK_CLONES
static void q8_0(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;

    for (size_t b = 0; b < n; b++, p += 34, out += 32) {
        const float d = half_at(p);

        for (int j = 0; j < 32; j++)
            out[j] = d * (float)(int8_t)p[2 + j];
    }
}

/* K-quants: 256 elements.  Eight sub-blocks of 32 have a 6-bit scale and a
 * 6-bit minimum each, packed into 12 bytes. */
static inline void six_bits(uint8_t s[8], uint8_t m[8], const uint8_t *q)
{
    for (int k = 0; k < 4; k++) {
        s[k] = q[k] & 63;
        m[k] = q[k + 4] & 63;
        s[k + 4] = (uint8_t)((q[k + 8] & 15) | ((q[k] >> 6) << 4));
        m[k + 4] = (uint8_t)((q[k + 8] >> 4) | ((q[k + 4] >> 6) << 4));
    }
}

DK_CLONES
static void q4_k(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;
    uint8_t s[8], m[8];

    for (size_t b = 0; b < n; b++, p += 144, out += 256) {
        const float d = half_at(p), dmin = half_at(p + 2);

        six_bits(s, m, p + 4);
        for (int k = 0; k < 8; k++) {
            const uint8_t *qs = p + 16 + 32 * (k / 2);
            const float scale = d * (float)s[k], min = dmin * (float)m[k];
            const int shift = 4 * (k & 1);

            for (int l = 0; l < 32; l++)
                out[32 * k + l] = scale * (float)((qs[l] >> shift) & 15) - min;
        }
    }
}

DK_CLONES
static void q5_k(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;
    uint8_t s[8], m[8];

    for (size_t b = 0; b < n; b++, p += 176, out += 256) {
        const float d = half_at(p), dmin = half_at(p + 2);
        const uint8_t *high = p + 16;

        six_bits(s, m, p + 4);
        for (int k = 0; k < 8; k++) {
            const uint8_t *qs = p + 48 + 32 * (k / 2);
            const float scale = d * (float)s[k], min = dmin * (float)m[k];
            const int shift = 4 * (k & 1);

            for (int l = 0; l < 32; l++)
                out[32 * k + l] = scale * (float)(((qs[l] >> shift) & 15) |
                                                  (((high[l] >> k) & 1) << 4)) - min;
        }
    }
}

/* Low 4 bits ql[128], high 2 bits qh[64], 16 signed scales, d; half by half. */
DK_CLONES
static void q6_k(float *restrict out, const void *restrict in, size_t n)
{
    const uint8_t *p = in;

    for (size_t b = 0; b < 2 * n; b++, out += 128) {
        const uint8_t *block = p + 210 * (b / 2);
        const uint8_t *ql = block + 64 * (b & 1), *qh = block + 128 + 32 * (b & 1);
        const int8_t *sc = (const int8_t *)block + 192 + 8 * (b & 1);
        const float d = half_at(block + 208);

        for (int k = 0; k < 4; k++)
            for (int l = 0; l < 32; l++) {
                const int low = (ql[l + 32 * (k & 1)] >> (4 * (k / 2))) & 15;
                const int q = (low | (((qh[l] >> (2 * k)) & 3) << 4)) - 32;

                out[32 * k + l] = (d * (float)sc[2 * k + l / 16]) * (float)q;
            }
    }
}

static const dk_qformat formats[] = {
    { DK_Q_F32, "F32", 1, 4, false, f32 },      { DK_Q_F16, "F16", 1, 2, false, f16 },
    { DK_Q_Q4_0, "Q4_0", 32, 18, true, q4_0 },  { DK_Q_Q4_1, "Q4_1", 32, 20, true, q4_1 },
    { DK_Q_Q5_0, "Q5_0", 32, 22, true, q5_0 },  { DK_Q_Q5_1, "Q5_1", 32, 24, true, q5_1 },
    { DK_Q_Q8_0, "Q8_0", 32, 34, true, q8_0 },  { DK_Q_Q4_K, "Q4_K", 256, 144, true, q4_k },
    { DK_Q_Q5_K, "Q5_K", 256, 176, true, q5_k }, { DK_Q_Q6_K, "Q6_K", 256, 210, true, q6_k },
    { DK_Q_F64, "F64", 1, 8, false, f64 },      { DK_Q_BF16, "BF16", 1, 2, false, bf16 },
};

const dk_qformat *dk_qformat_of(int type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if ((int)formats[i].type == type)
            return &formats[i];
    return NULL;
}

const dk_qformat *dk_qformat_named(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

const char *dk_gguf_type_name(int type)
{
    static const char *const names[] = {
        "F32", "F16", "Q4_0", "Q4_1", NULL, NULL, "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K",
        "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
        "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", NULL, NULL, NULL,
        "TQ1_0", "TQ2_0", NULL, NULL, NULL, "MXFP4"
    };

    return type >= 0 && (size_t)type < sizeof names / sizeof *names ? names[type] : NULL;
}

void dk_dequant(const dk_qformat *f, float *restrict out, const void *restrict in, size_t n)
{
    DK_ASSERT(n % f->block == 0);
    f->to_f32(out, in, n / f->block);
}
