/* The difference of two attentions of one head whose inputs differ little.
 *
 * With weights p of the base and ds the difference of the scores, u = e^ds - 1
 * and U = sum p u, the other weights are p (1 + u) / (1 + U): the difference of
 * a weight is p e, e = (u - U) / (1 + U), and that of the output
 * sum p e v + p (1 + e) dv.  Scores differ by q dk + dq (k + dk). */
#include "num/kernels.h"

#include "num/kernel_exp.h"
#include "num/simd.h"

static size_t round8(size_t n) { return (n + 7) / 8 * 8; }

size_t dk_attend_diff_work(size_t n, size_t hd) { return (3 * hd + 2) * round8(n); }

/* Keys, their differences and their sums, transposed: [hd, ld] each. */
DK_INLINE void turn(float *restrict kt, float *restrict dt, float *restrict st, size_t ld, const float *restrict k,
                    const float *restrict dk, size_t ldk, size_t n, size_t hd)
{
    for (size_t t = 0; t < hd; t++)
        for (size_t j = 0; j < ld; j++) {
            const float a = j < n ? k[j * ldk + t] : 0, b = j < n ? dk[j * ldk + t] : 0;

            kt[t * ld + j] = a;
            dt[t * ld + j] = b;
            st[t * ld + j] = a + b;
        }
}

/* Scores of the keys from .. end - 1 (from a multiple of 8), and their differences. */
DK_INLINE void scores(float *restrict s, float *restrict ds, const float *restrict q, const float *restrict dq,
                      const float *restrict kt, const float *restrict dt, const float *restrict st, size_t ld,
                      size_t from, size_t end, size_t hd, float scale)
{
    for (size_t j = from; j < end; j += 8) {
        dk_v8 a = {0}, b = {0}, c = {0};

        for (size_t t = 0; t < hd; t++) {
            a += DK_LOAD8(kt + t * ld + j) * q[t];
            b += DK_LOAD8(dt + t * ld + j) * q[t];
            c += DK_LOAD8(st + t * ld + j) * dq[t];
        }
        DK_STORE8(s + j, a * scale);
        DK_STORE8(ds + j, (b + c) * scale);
    }
}

/* In place: not the weights, but in s their differences, in ds the others; both divided. */
DK_INLINE void soften_near(float *restrict s, float *restrict ds, size_t n)
{
    double z = 0, sum = 0;

    #pragma omp simd reduction(+ : z, sum)
    for (size_t j = 0; j < n; j++) {
        z += s[j];
        sum += (double)s[j] * ds[j];
    }
    sum /= z;
    for (size_t j = 0; j < n; j++) {
        const float p = (float)(s[j] / z), e = (float)((ds[j] - sum) / (1.0 + sum));

        s[j] = p * e;
        ds[j] = p + p * e;
    }
}

/* The same from two whole softmaxes, where scores are far apart. */
DK_INLINE void soften_far(float *restrict s, float *restrict ds, size_t n, float top)
{
    float m = ds[0];
    double z = 0, y = 0;

    for (size_t j = 1; j < n; j++)
        m = ds[j] > m ? ds[j] : m;
    for (size_t j = 0; j < n; j++) {
        s[j] = dk_exp1(s[j] - top);
        ds[j] = dk_exp1(ds[j] - m);
        z += s[j];
        y += ds[j];
    }
    for (size_t j = 0; j < n; j++) {
        ds[j] = (float)(ds[j] / y);
        s[j] = (float)(ds[j] - s[j] / z);
    }
}

DK_INLINE void soften(float *restrict s, float *restrict ds, size_t n)
{
    size_t top = 0;
    float most = 0, shift;

    for (size_t j = 1; j < n; j++)
        top = s[j] > s[top] ? j : top;
    shift = ds[top];        /* any constant is right: with this one 1 + U stays above 1 / n */
    for (size_t j = 0; j < n; j++) {
        ds[j] -= shift;
        most = ds[j] > most ? ds[j] : most;
    }
    if (most > 20) {
        for (size_t j = 0; j < n; j++)
            ds[j] += s[j];
        soften_far(s, ds, n, s[top]);
        return;
    }
    shift = s[top];
    for (size_t j = 0; j < n; j++) {
        s[j] = dk_exp1(s[j] - shift);
        ds[j] = dk_expm11(ds[j]);
    }
    soften_near(s, ds, n);
}

DK_INLINE void weigh(float *restrict out, const float *restrict p, const float *restrict dp, const float *restrict v,
                     const float *restrict dv, size_t ld, size_t n, size_t hd)
{
    size_t c = 0;

    for (; c + 8 <= hd; c += 8) {
        dk_v8 a = {0};

        for (size_t j = 0; j < n; j++)
            a += DK_LOAD8(v + j * ld + c) * dp[j] + DK_LOAD8(dv + j * ld + c) * p[j];
        DK_STORE8(out + c, a);
    }
    for (; c < hd; c++) {
        float a = 0;

        for (size_t j = 0; j < n; j++)
            a += v[j * ld + c] * dp[j] + dv[j * ld + c] * p[j];
        out[c] = a;
    }
}

DK_CLONES
void dk_attend_diff(float *restrict dout, size_t ldo, const dk_head_rows *x, const dk_head_rows *dx, size_t ld,
                    size_t n, size_t hd, float scale, size_t window, float *restrict work)
{
    const size_t ldk = round8(n);
    float *kt = work, *dt = kt + hd * ldk, *st = dt + hd * ldk, *s = st + hd * ldk, *ds = s + ldk;

    turn(kt, dt, st, ldk, x->k, dx->k, ld, n, hd);
    for (size_t i = 0; i < n; i++) {
        const size_t from = window && i + 1 > window ? i + 1 - window : 0, seen = i + 1 - from;

        scores(s, ds, x->q + i * ld, dx->q + i * ld, kt, dt, st, ldk, from / 8 * 8, i + 1, hd, scale);
        soften(s + from, ds + from, seen);
        weigh(dout + i * ldo, ds + from, s + from, x->v + from * ld, dx->v + from * ld, ld, seen, hd);
    }
}
