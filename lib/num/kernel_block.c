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

/* rows x (8 wide) values of t; rows and wide are constants. */
DK_INLINE void in_tile(float *restrict t, size_t ldt, const float *restrict x, size_t ldx, const float *restrict at,
                       size_t k, size_t rp, const size_t rows, const size_t wide)
{
    dk_v8 s[8][2];

    #pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
        #pragma GCC unroll 2
        for (size_t u = 0; u < wide; u++)
            s[i][u] = (dk_v8){0};
    for (size_t j = 0; j < k; j++)
        #pragma GCC unroll 2
        for (size_t u = 0; u < wide; u++) {
            const dk_v8 w = DK_LOAD8(at + j * rp + 8 * u);

            #pragma GCC unroll 8
            for (size_t i = 0; i < rows; i++)
                s[i][u] += w * x[i * ldx + j];
        }
    #pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
        #pragma GCC unroll 2
        for (size_t u = 0; u < wide; u++)
            DK_STORE8(t + i * ldt + 8 * u, s[i][u]);
}

DK_CLONES
void dk_lowrank_in(float *restrict t, size_t ldt, const float *restrict x, size_t ldx,
                   const float *restrict at, size_t m, size_t k, size_t rp)
{
    size_t i = 0;

    for (; i + 8 <= m; i += 8) {
        size_t c = 0;

        for (; c + 16 <= rp; c += 16)
            for (size_t a = i; a < i + 8; a += 4)
                in_tile(t + a * ldt + c, ldt, x + a * ldx, ldx, at + c, k, rp, 4, 2);
        if (c < rp)
            in_tile(t + i * ldt + c, ldt, x + i * ldx, ldx, at + c, k, rp, 8, 1);
    }
    for (; i < m; i++)
        for (size_t c = 0; c < rp; c += 8)
            in_tile(t + i * ldt + c, ldt, x + i * ldx, ldx, at + c, k, rp, 1, 1);
}

/* rows x 16 values of y; rows is a constant. */
DK_INLINE void out_tile(float *restrict y, size_t ldy, const float *restrict t, size_t ldt, const float *restrict bt,
                        size_t ldb, size_t r, float scale, const size_t rows)
{
    dk_v8 s[4][2];

    #pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++)
        s[i][0] = s[i][1] = (dk_v8){0};
    for (size_t j = 0; j < r; j++) {
        const dk_v8 a = DK_LOAD8(bt + j * ldb), b = DK_LOAD8(bt + j * ldb + 8);

        #pragma GCC unroll 4
        for (size_t i = 0; i < rows; i++) {
            s[i][0] += a * t[i * ldt + j];
            s[i][1] += b * t[i * ldt + j];
        }
    }
    #pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++) {
        DK_STORE8(y + i * ldy, DK_LOAD8(y + i * ldy) + s[i][0] * scale);
        DK_STORE8(y + i * ldy + 8, DK_LOAD8(y + i * ldy + 8) + s[i][1] * scale);
    }
}

/* The last columns, in a vector too: compilers sum scalars otherwise. */
DK_INLINE void out_rest(float *restrict y, const float *restrict t, const float *restrict bt, size_t ldb, size_t r,
                        size_t width, float scale)
{
    dk_v8 s = {0}, b = {0}, had = {0};

    for (size_t j = 0; j < r; j++) {
        for (size_t c = 0; c < width; c++)
            b[c] = bt[j * ldb + c];
        s += b * t[j];
    }
    for (size_t c = 0; c < width; c++)
        had[c] = y[c];
    had = had + s * scale;
    for (size_t c = 0; c < width; c++)
        y[c] = had[c];
}

DK_CLONES
void dk_lowrank_out(float *restrict y, size_t ldy, const float *restrict t, size_t ldt, const float *restrict bt,
                    size_t ldb, size_t m, size_t r, size_t n, float scale)
{
    for (size_t i = 0, rows; i < m; i += rows) {
        size_t c = 0;

        rows = m - i >= 4 ? 4 : 1;
        for (; c + 16 <= n; c += 16)
            if (rows == 4)
                out_tile(y + i * ldy + c, ldy, t + i * ldt, ldt, bt + c, ldb, r, scale, 4);
            else
                out_tile(y + i * ldy + c, ldy, t + i * ldt, ldt, bt + c, ldb, r, scale, 1);
        for (; c < n; c += 8)
            for (size_t a = i; a < i + rows; a++)
                out_rest(y + a * ldy + c, t + a * ldt, bt + c, ldb, r, n - c < 8 ? n - c : 8, scale);
    }
}
