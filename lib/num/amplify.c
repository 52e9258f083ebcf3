/* Rows of amplified logits. */
#include "num/amplify.h"

#include <math.h>

#include "num/kernel_kl.h"
#include "num/simd.h"

DK_CLONES
static void add(float *restrict x, float *restrict d, const float *restrict base, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = x[i];
        x[i] = base[i] + x[i];
    }
}

DK_CLONES
static void subtract(const float *restrict x, float *restrict d, const float *restrict base, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] = x[i] == -INFINITY && base[i] == -INFINITY ? 0.0f : x[i] - base[i];
}

void dk_amplify_split(float *x, float *d, const float *base, bool carried, size_t n)
{
    if (carried)
        add(x, d, base, n);
    else
        subtract(x, d, base, n);
}

DK_CLONES
static float max_of(const float *x, size_t n, bool *nan)
{
    float m = -INFINITY;
    int bad = 0;

    #pragma omp simd reduction(max : m) reduction(| : bad)
    for (size_t i = 0; i < n; i++) {
        m = x[i] > m ? x[i] : m;
        bad |= x[i] != x[i];
    }
    *nan = bad;
    return m;
}

DK_CLONES
static void combine(float *z, const float *x, const float *d, float alpha, float low, size_t n)
{
    #pragma omp simd
    for (size_t i = 0; i < n; i++)
        z[i] = x[i] < low || x[i] == -INFINITY ? -INFINITY : x[i] + alpha * d[i];
}

/* The least float that is not below t: comparing with it is comparing with t. */
static float up(double t)
{
    const float f = (float)t;

    return (double)f < t ? nextafterf(f, INFINITY) : f;
}

int dk_amplify(float *z, const float *x, const float *d, double alpha, double beta, size_t n)
{
    bool nan;
    const float most = max_of(x, n, &nan);

    if (nan || !isfinite(most))
        return DK_ENUM;
    combine(z, x, d, (float)alpha, up((double)most + log(beta)), n);
    return 0;
}

double dk_row_lse(const float *x, size_t n)
{
    dk_lse s;

    dk_lse_begin(&s);
    dk_lse_tile(&s, x, n, 1);
    return dk_lse_end(&s);
}
