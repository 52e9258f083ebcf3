/* Norm, rotation, activation, low-rank path. */
#include "num/kernels.h"

#include <math.h>

#include "num/kernel_exp.h"
#include "num/simd.h"

DK_CLONES
void dk_rmsnorm(float *restrict y, const float *restrict x, const float *restrict w, size_t d,
                double eps)
{
    double s = 0;
    float inv;

    #pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < d; i++)
        s += (double)x[i] * x[i];
    inv = (float)(1.0 / sqrt(s / (double)d + eps));
    for (size_t i = 0; i < d; i++)
        y[i] = x[i] * inv * w[i];
}

DK_CLONES
void dk_layernorm(float *restrict y, const float *restrict x, const float *restrict w,
                  const float *restrict b, size_t d, double eps)
{
    double s = 0, q = 0;
    float inv;

    #pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < d; i++)
        s += (double)x[i];
    s /= (double)d;
    #pragma omp simd reduction(+ : q)
    for (size_t i = 0; i < d; i++)
        q += ((double)x[i] - s) * ((double)x[i] - s);
    inv = (float)(1.0 / sqrt(q / (double)d + eps));
    for (size_t i = 0; i < d; i++)
        y[i] = (float)((double)x[i] - s) * inv * w[i] + b[i];
}

DK_CLONES
void dk_rope(float *restrict x, size_t n_heads, size_t hd, const float *restrict cosines,
             const float *restrict sines)
{
    const size_t half = hd / 2;

    for (size_t h = 0; h < n_heads; h++) {
        float *restrict a = x + h * hd, *restrict b = a + half;

        for (size_t t = 0; t < half; t++) {
            const float u = a[t], v = b[t];

            a[t] = u * cosines[t] - v * sines[t];
            b[t] = v * cosines[t] + u * sines[t];
        }
    }
}

DK_CLONES
void dk_silu_mul(float *restrict y, const float *restrict gate, const float *restrict up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + dk_exp1(-gate[i])) * up[i];
}

DK_CLONES
void dk_silu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1.0f + dk_exp1(-x[i]));
}

/* (1 + tanh u) / 2 = 1 / (1 + e^-2u) */
DK_INLINE float gelu(float x)
{
    const float u = 0.7978845608f * (x + 0.044715f * x * x * x);

    return x / (1.0f + dk_exp1(-2.0f * u));
}

DK_CLONES
void dk_gelu_mul(float *restrict y, const float *restrict gate, const float *restrict up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu(gate[i]) * up[i];
}

DK_CLONES
void dk_gelu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu(x[i]);
}

DK_CLONES
void dk_softcap(float *restrict x, size_t n, float softcap)
{
    for (size_t i = 0; i < n; i++)
        x[i] = softcap * dk_tanh1(x[i] / softcap);
}

DK_CLONES
void dk_add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

DK_CLONES
void dk_sum(float *restrict y, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

DK_CLONES
void dk_expf_row(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dk_exp1(x[i]);
}

DK_CLONES
void dk_lowrank_in(float *restrict t, size_t ldt, const float *restrict x, size_t ldx,
                   const float *restrict at, size_t m, size_t k, size_t rp)
{
    for (size_t i = 0; i < m; i += 4) {
        const size_t rows = m - i < 4 ? m - i : 4;
        const float *xr[4];

        for (size_t a = 0; a < 4; a++)
            xr[a] = x + (i + (a < rows ? a : 0)) * ldx;
        for (size_t c = 0; c < rp; c += 8) {
            dk_v8 s[4] = {{0}};

            for (size_t j = 0; j < k; j++) {
                const dk_v8 w = DK_LOAD8(at + j * rp + c);

                for (size_t a = 0; a < 4; a++)
                    s[a] += w * xr[a][j];
            }
            for (size_t a = 0; a < rows; a++)
                DK_STORE8(t + (i + a) * ldt + c, s[a]);
        }
    }
}

DK_CLONES
void dk_lowrank_out(float *restrict y, size_t ldy, const float *restrict t, size_t ldt,
                    const float *restrict bt, size_t m, size_t r, size_t n, float scale)
{
    for (size_t i = 0; i < m; i++) {
        float *restrict yr = y + i * ldy;
        size_t c = 0;

        for (; c + 16 <= n; c += 16) {
            dk_v8 s = {0}, u = {0};

            for (size_t j = 0; j < r; j++) {
                s += DK_LOAD8(bt + j * n + c) * t[i * ldt + j];
                u += DK_LOAD8(bt + j * n + c + 8) * t[i * ldt + j];
            }
            DK_STORE8(yr + c, DK_LOAD8(yr + c) + s * scale);
            DK_STORE8(yr + c + 8, DK_LOAD8(yr + c + 8) + u * scale);
        }
        for (; c < n; c++) {
            float s = 0;

            for (size_t j = 0; j < r; j++)
                s += bt[j * n + c] * t[i * ldt + j];
            yr[c] += s * scale;
        }
    }
}
