/* Rotary frequencies. */
#include "model/rope.h"

#include <math.h>

/* Long wavelengths are stretched by the factor, short ones kept, a blend
 * between (Llama 3.1). */
static double by_wavelength(double inv, const dk_model_config *c)
{
    const double n = (double)c->rope_original, wave = 2 * M_PI / inv;
    double s;

    if (wave < n / c->rope_high_freq)
        return inv;
    if (wave > n / c->rope_low_freq)
        return inv / c->rope_factor;
    s = (n / wave - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq);
    return (1 - s) * inv / c->rope_factor + s * inv;
}

void dk_rope_frequencies(float *inv, const dk_model_config *c, const float *factors)
{
    for (size_t t = 0; t < c->head_dim / 2; t++) {
        double f = 1.0 / pow(c->rope_theta, 2.0 * (double)t / (double)c->head_dim);

        if (c->rope_kind == DK_ROPE_LINEAR)
            f /= c->rope_factor;
        else if (c->rope_kind == DK_ROPE_LLAMA3)
            f = by_wavelength(f, c);
        else if (c->rope_kind == DK_ROPE_FACTORS)
            f /= factors[t];
        inv[t] = (float)f;
    }
}
