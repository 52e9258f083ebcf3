/* Rotary frequencies. */
#include "model/rope.h"

#include <math.h>

/* Long wavelengths are stretched by the factor, short ones kept, a blend
 * between (Llama 3.1). */
static double by_wavelength(double inv, const dk_rope_spec *r)
{
    const double wave = 2 * M_PI / inv;
    double s;

    if (wave < r->original / r->high)
        return inv;
    if (wave > r->original / r->low)
        return inv / r->factor;
    s = (r->original / wave - r->low) / (r->high - r->low);
    return (1 - s) * inv / r->factor + s * inv;
}

/* The dimension that turns so many times within the original context. */
static double dimension_of(double rotations, const dk_rope_spec *r, size_t hd)
{
    return (double)hd * log(r->original / (rotations * 2 * M_PI)) / (2 * log(r->theta));
}

/* Dimensions that turn often are kept, those that turn rarely stretched, with a
 * ramp between (Peng et al. 2023). */
static double by_rotations(double inv, size_t t, const dk_rope_spec *r, size_t hd)
{
    double lo = dimension_of(r->high, r, hd), hi = dimension_of(r->low, r, hd), ramp;

    if (r->whole) {
        lo = floor(lo);
        hi = ceil(hi);
    }
    lo = fmax(lo, 0);
    hi = fmin(hi, (double)hd - 1);
    if (lo == hi)
        hi += 0.001;
    ramp = fmin(fmax(((double)t - lo) / (hi - lo), 0), 1);
    return inv / r->factor * ramp + inv * (1 - ramp);
}

void dk_rope_frequencies(float *inv, const dk_rope_spec *r, size_t hd, const float *factors)
{
    for (size_t t = 0; t < hd / 2; t++) {
        double f = 1.0 / pow(r->theta, 2.0 * (double)t / (double)hd);

        if (r->kind == DK_ROPE_LINEAR)
            f /= r->factor;
        else if (r->kind == DK_ROPE_LLAMA3)
            f = by_wavelength(f, r);
        else if (r->kind == DK_ROPE_YARN)
            f = by_rotations(f, t, r, hd);
        else if (r->kind == DK_ROPE_FACTORS)
            f /= factors[t];
        inv[t] = (float)f;
    }
}

float dk_rope_scale(const dk_rope_spec *r)
{
    return r->kind == DK_ROPE_YARN ? (float)r->attention : 1;
}
