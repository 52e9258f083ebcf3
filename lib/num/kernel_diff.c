/* Differences of norm and activation, formed from the difference of their
 * inputs and not by subtracting two results: a small one keeps its digits. */
#include "num/kernels.h"

#include <math.h>

#include "num/kernel_exp.h"
#include "num/simd.h"

/* With a = mean(x^2) + eps and c = mean(2 x dx + dx^2),
 * 1 / sqrt(a + c) - 1 / sqrt(a) = -c / (sqrt(a) sqrt(a + c) (sqrt(a) + sqrt(a + c))). */
DK_CLONES
void dk_rmsnorm_diff(float *restrict dy, const float *restrict x, const float *restrict dx, const float *restrict w,
                     size_t d, double eps)
{
    double s = 0, c = 0, root, other;
    float inv, dinv;

    #pragma omp simd reduction(+ : s, c)
    for (size_t i = 0; i < d; i++) {
        s += (double)x[i] * x[i];
        c += (double)dx[i] * (2.0 * (double)x[i] + (double)dx[i]);
    }
    root = sqrt(s / (double)d + eps);
    c /= (double)d;
    other = sqrt(fmax(s / (double)d + c, 0) + eps);
    inv = (float)(1.0 / other);
    dinv = (float)(-c / (root * other * (root + other)));
    for (size_t i = 0; i < d; i++)
        dy[i] = (dx[i] * inv + x[i] * dinv) * w[i];
}

/* sigma(x) and sigma(-x) from one exponential whose exponent is not positive. */
struct sigmas { float up, down; };

DK_INLINE struct sigmas sigmas(float x)
{
    const float e = dk_exp1(x > 0 ? -x : x), more = 1.0f / (1.0f + e), less = e * more;

    return (struct sigmas){ dk_pick1(x > 0, more, less), dk_pick1(x > 0, less, more) };
}

/* Of g sigma(x) up, where g, x and up become g + dg, x + dx and up + dup:
 * sigma(x + dx) - sigma(x) = (e^dx - 1) sigma(x) sigma(-x - dx) = (1 - e^-dx) sigma(-x) sigma(x + dx);
 * the one whose exponent is not positive. */
DK_INLINE float gate_diff(float g, float dg, float x, float dx, float up, float dup)
{
    const struct sigmas base = sigmas(x), other = sigmas(x + dx);
    const float e = dk_expm11(dx > 0 ? -dx : dx);
    const float ds = e * dk_pick1(dx > 0, -base.down * other.up, base.up * other.down);

    return (other.up * dg + g * ds) * (up + dup) + g * base.up * dup;
}

DK_CLONES
void dk_silu_mul_diff(float *restrict dy, const float *restrict gate, const float *restrict dgate,
                      const float *restrict up, const float *restrict dup, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = gate_diff(gate[i], dgate[i], gate[i], dgate[i], up[i], dup[i]);
}

DK_CLONES
void dk_softcap_diff(float *restrict d, const float *restrict capped, size_t n, float softcap)
{
    for (size_t i = 0; i < n; i++)
        d[i] = dk_capped_diff(d[i], capped[i], softcap);
}

/* gelu(g) = g sigma(u(g)), u(g) = c (g + a g^3); with h = g + d, u(h) - u(g) = c d (1 + a (g^2 + g h + h^2)). */
DK_CLONES
void dk_gelu_mul_diff(float *restrict dy, const float *restrict gate, const float *restrict dgate,
                      const float *restrict up, const float *restrict dup, size_t n)
{
    const float c = 2 * 0.7978845608f, a = 0.044715f;

    for (size_t i = 0; i < n; i++) {
        const float g = gate[i], d = dgate[i], h = g + d, u = c * (g + a * g * g * g);

        dy[i] = gate_diff(g, d, u, c * d * (1.0f + a * (g * g + h * (g + h))), up[i], dup[i]);
    }
}
