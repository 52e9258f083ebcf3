#include "num/mtnormal.h"

#include <math.h>

void dk_mt_seed(dk_mt *g, uint64_t seed)
{
    g->word[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < 624; i++)
        g->word[i] = 1812433253u * (g->word[i - 1] ^ (g->word[i - 1] >> 30)) + i;
    g->at = 624;
    g->has_next = false;
}

static void twist(dk_mt *g)
{
    for (size_t i = 0; i < 624; i++) {
        const uint32_t y = (g->word[i] & 0x80000000u) | (g->word[(i + 1) % 624] & 0x7FFFFFFFu);

        g->word[i] = g->word[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    g->at = 0;
}

uint32_t dk_mt_next(dk_mt *g)
{
    uint32_t y;

    if (g->at == 624)
        twist(g);
    y = g->word[g->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

static float uniform24(dk_mt *g) { return (float)(dk_mt_next(g) & 0xFFFFFFu) * 0x1p-24f; }

static double uniform53(dk_mt *g)
{
    const uint64_t high = dk_mt_next(g), both = high << 32 | dk_mt_next(g);

    return (double)(both & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

static void sixteen(float *x)
{
    for (size_t j = 0; j < 8; j++) {
        const float r = sqrtf(-2 * logf(1 - x[j])), angle = 2 * (float)M_PI * x[j + 8];

        x[j] = r * cosf(angle);
        x[j + 8] = r * sinf(angle);
    }
}

void dk_mt_normal(dk_mt *g, float *out, size_t n)
{
    if (n >= 16) {
        for (size_t i = 0; i < n; i++)
            out[i] = uniform24(g);
        for (size_t i = 0; i + 16 <= n; i += 16)
            sixteen(out + i);
        if (n % 16) {
            for (size_t i = n - 16; i < n; i++)
                out[i] = uniform24(g);
            sixteen(out + n - 16);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!g->has_next) {
            const double u1 = uniform53(g), u2 = uniform53(g), r = sqrt(-2 * log(1 - u2));

            out[i] = (float)(r * cos(2 * M_PI * u1));
            g->next = r * sin(2 * M_PI * u1);
        } else
            out[i] = (float)g->next;
        g->has_next = !g->has_next;
    }
}
