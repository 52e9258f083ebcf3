/* exp, exp - 1 and tanh of one float, written so that loops over them become vector code. */
#ifndef DK_NUM_KERNEL_EXP_H
#define DK_NUM_KERNEL_EXP_H

#include <stdint.h>
#include <string.h>

#include "num/simd.h"

/* exp(x) = 2^n e^r, n = round(x / ln 2), |r| <= ln(2)/2; the polynomial is the
 * minimax of degree 6 (Cephes expf).  Relative error below 2e-7 against expl.
 * Below -87 the result is 0; above 88 it stays at exp(88). */
DK_INLINE float dk_exp1(float x)
{
    const float top = 88.0f, low = -87.0f;
    const float c = x > top ? top : (x < low ? low : x);
    const float shift = 12582912.0f;                    /* 1.5 * 2^23: rounds to an integer */
    const float z = c * 1.44269504f + shift;
    const float n = z - shift;
    const float r = (c - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    int32_t bits;
    float scale;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    memcpy(&bits, &z, 4);
    bits = (int32_t)((uint32_t)bits << 23) + 0x3f800000;   /* the low bits of z hold n */
    memcpy(&scale, &bits, 4);
    return x < low ? 0.0f : p * scale;
}

/* a where first, else b: as bits, not as a branch, which would keep loops from becoming vector code. */
DK_INLINE float dk_pick1(int first, float a, float b)
{
    const uint32_t mask = 0u - (uint32_t)first;
    uint32_t x, y;

    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    x = (x & mask) | (y & ~mask);
    memcpy(&a, &x, 4);
    return a;
}

/* exp(x) - 1 without cancellation: near 0 the same polynomial without its 1; far: the plain form. */
DK_INLINE float dk_expm1_near(float x, float far)
{
    float p = 1.9875691500e-4f;

    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    return (x < 0.34f) & (x > -0.34f) ? x + x * x * p : far;
}

DK_INLINE float dk_expm11(float x) { return dk_expm1_near(x, dk_exp1(x) - 1.0f); }

/* Near 0 an odd polynomial (Cephes tanhf), else 1 - 2 / (e^2|x| + 1) with x's
 * sign.  Relative error below 4e-7. */
DK_INLINE float dk_tanh1(float x)
{
    const float a = x < 0 ? -x : x, z = x * x;
    const float far = 1.0f - 2.0f / (dk_exp1(2.0f * a) + 1.0f);
    float p = -5.70498872745e-3f;

    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return a < 0.625f ? x + x * (p * z) : (x < 0 ? -far : far);
}

/* cap tanh((x + d) / cap) less capped = cap tanh(x / cap); with t = tanh x and u = tanh d,
 * tanh(x + d) - tanh(x) = u (1 - t) (1 + t) / (1 + u t). */
DK_INLINE float dk_capped_diff(float d, float capped, float cap)
{
    const float t = capped / cap, u = dk_tanh1(d / cap);

    return cap * (u * ((1.0f - t) * (1.0f + t)) / (1.0f + u * t));
}

#endif
