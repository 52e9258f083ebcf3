/* Half-width floats: f16 (IEEE binary16) and bf16 to and from f32.  Without
 * branches where it matters, so that loops over them vectorise. */
#ifndef DK_NUM_HALF_H
#define DK_NUM_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t dk_f32_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float dk_bits_f32(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

static inline bool dk_all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= (dk_f32_bits(x[i]) & 0x7F800000u) == 0x7F800000u;
    return !bad;
}

/* Exact.  Normal numbers: move the fields and correct the exponent's bias by a
 * product (which also keeps infinities and NaN).  Subnormals: the fraction in
 * the low bits of a float in [0.5, 1), less 0.5. */
static inline float dk_f16_f32(uint16_t h)
{
    const uint32_t w = (uint32_t)h << 16, sign = w & 0x80000000u, mag = w + w;
    const float normal = dk_bits_f32((mag >> 4) + (0xE0u << 23)) * 0x1p-112f;
    const float subnormal = dk_bits_f32((mag >> 17) | (126u << 23)) - 0.5f;

    return dk_bits_f32(sign | (mag < (1u << 27) ? dk_f32_bits(subnormal) : dk_f32_bits(normal)));
}

/* Rounds to nearest even; too large becomes infinite; NaN stays a (quiet) NaN. */
static inline uint16_t dk_f32_f16(float x)
{
    const uint32_t u = dk_f32_bits(x), mag = u & 0x7FFFFFFFu, sign = (u >> 16) & 0x8000u;
    uint32_t h;

    if (mag > 0x7F800000u)
        h = 0x7E00u | ((mag >> 13) & 0x1FFu);
    else if (mag >= 0x477FF000u)            /* 65520 and above */
        h = 0x7C00u;
    else if (mag < 0x38800000u)             /* below 2^-14: the sum rounds at 2^-24 */
        h = dk_f32_bits(dk_bits_f32(mag) + 0.5f) - 0x3F000000u;
    else
        h = (mag - 0x38000000u + 0xFFFu + ((mag >> 13) & 1u)) >> 13;
    return (uint16_t)(sign | h);
}

static inline float dk_bf16_f32(uint16_t h) { return dk_bits_f32((uint32_t)h << 16); }

/* Rounds to nearest even; NaN stays a NaN and becomes quiet. */
static inline uint16_t dk_f32_bf16(float x)
{
    const uint32_t u = dk_f32_bits(x), rounded = u + 0x7FFFu + ((u >> 16) & 1u);

    return (uint16_t)(((u & 0x7FFFFFFFu) > 0x7F800000u ? u | 0x400000u : rounded) >> 16);
}

/* A row rounded to bf16 and kept as f32. */
static inline void dk_bf16_round_row(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = dk_bf16_f32(dk_f32_bf16(x[i]));
}

#endif
