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

/* sigma(x + d) - sigma(x) = (e^d - 1) sigma(x) sigma(-x - d) = (1 - e^-d) sigma(-x) sigma(x + d);
 * the one whose exponent is not positive. */
DK_CLONES
void dk_silu_mul_diff(float *restrict dy, const float *restrict gate, const float *restrict dgate,
                      const float *restrict up, const float *restrict dup, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gate[i], d = dgate[i];
        const struct sigmas base = sigmas(g), other = sigmas(g + d);
        const float e = dk_expm11(d > 0 ? -d : d);
        const float ds = e * dk_pick1(d > 0, -base.down * other.up, base.up * other.down);

        dy[i] = (other.up * d + g * ds) * (up[i] + dup[i]) + g * base.up * dup[i];
    }
}
