/* Formulas that more than one kernel uses: those of num/kernel_block.c and
 * num/kernel_diff.c. */
#ifndef DK_BACKEND_CUDA_DEVICE_MATH_CUH
#define DK_BACKEND_CUDA_DEVICE_MATH_CUH

#include "backend/cuda/device.cuh"

/* From s = sum x^2 and c = sum dx (2 x + dx) of n values: the factor of the other
 * row's norm, and by how much it differs. */
struct dk_rms_pair { float inv, dinv; };

DK_DEVICE dk_rms_pair dk_rms_diff(double s, double c, size_t n, double eps)
{
    const double a = s / (double)n, b = c / (double)n;
    const double root = sqrt(a + eps), other = sqrt(dk_max(a + b, 0.0) + eps);
    dk_rms_pair r;

    r.inv = (float)(1.0 / other);
    r.dinv = (float)(-b / (root * other * (root + other)));
    return r;
}

DK_DEVICE float dk_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
DK_DEVICE float dk_silu1(float x) { return x / (1.0f + expf(-x)); }

DK_DEVICE float dk_gelu1(float x)
{
    const float u = 0.7978845608f * (x + 0.044715f * x * x * x);

    return x / (1.0f + expf(-2.0f * u));
}

/* num/kernel_exp.h */
DK_DEVICE float dk_capped_diff(float d, float capped, float cap)
{
    const float t = capped / cap, u = tanhf(d / cap);

    return cap * (u * ((1.0f - t) * (1.0f + t)) / (1.0f + u * t));
}

/* The formulas: num/kernel_diff.c. */
DK_DEVICE float dk_gate_diff(float g, float dg, float x, float dx, float up, float dup)
{
    const float low = dk_sigmoid(x), high = dk_sigmoid(x + dx), e = expm1f(dx > 0 ? -dx : dx);
    const float ds = dx > 0 ? -e * dk_sigmoid(-x) * high : e * low * dk_sigmoid(-(x + dx));

    return (high * dg + g * ds) * (up + dup) + g * low * dup;
}

DK_DEVICE float dk_silu_gate_diff(float g, float d, float up, float dup) { return dk_gate_diff(g, d, g, d, up, dup); }

DK_DEVICE float dk_gelu_gate_diff(float g, float d, float up, float dup)
{
    const float c = 2 * 0.7978845608f, a = 0.044715f, h = g + d;

    return dk_gate_diff(g, d, c * (g + a * g * g * g), c * d * (1.0f + a * (g * g + h * (g + h))), up, dup);
}

#endif
