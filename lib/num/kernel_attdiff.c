/* The difference of two attentions of one head whose inputs differ little.
 *
 * With weights p of the base and ds the difference of the scores, u = e^ds - 1
 * and U = sum p u, the other weights are p (1 + u) / (1 + U): the difference of
 * a weight is p e, e = (u - U) / (1 + U), and that of the output
 * sum p e v + p (1 + e) dv.  Scores differ by q dk + dq (k + dk). */
#include "num/kernels.h"

#include "num/kernel_exp.h"
#include "num/kernel_turn.h"
#include "num/simd.h"

static size_t round8(size_t n) { return (n + 7) / 8 * 8; }

enum { QB = 4 };    /* queries that share a pass over the keys */

size_t dk_attend_diff_work(size_t n, size_t hd) { return (3 * hd + 2 * QB) * round8(n); }

/* Keys, their differences and their sums, turned eight by eight: [n / 8][hd][8] each. */
struct turned { float *k, *d, *s; };

DK_INLINE void turn(const struct turned *to, const float *restrict k, const float *restrict dk, size_t ldk, size_t n,
                    size_t hd)
{
    for (size_t j = 0; j < n; j += 8) {
        size_t at = j * hd, t = 0;

        for (; t + 8 <= hd; t += 8) {
            dk_v8 a[8], b[8];

            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                a[i] = j + i < n ? DK_LOAD8(k + (j + i) * ldk + t) : (dk_v8){0};
                b[i] = j + i < n ? DK_LOAD8(dk + (j + i) * ldk + t) : (dk_v8){0};
            }
            dk_turn8(a);
            dk_turn8(b);
            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++, at += 8) {
                DK_STORE8(to->k + at, a[i]);
                DK_STORE8(to->d + at, b[i]);
                DK_STORE8(to->s + at, a[i] + b[i]);
            }
        }
        for (; t < hd; t++)
            for (size_t i = 0; i < 8; i++, at++) {
                to->k[at] = j + i < n ? k[(j + i) * ldk + t] : 0;
                to->d[at] = j + i < n ? dk[(j + i) * ldk + t] : 0;
                to->s[at] = to->k[at] + to->d[at];
            }
    }
}

/* Eight keys from j on, for QB queries: scores to s, their differences to ds. */
DK_INLINE void scores8(float *restrict s, float *restrict ds, size_t lds, const float *const *q,
                       const float *const *dq, const struct turned *x, size_t j, size_t hd, float scale)
{
    const float *k = x->k + j * hd, *d = x->d + j * hd, *sum = x->s + j * hd;
    dk_v8 a[QB] = {{0}}, b[QB] = {{0}}, c[QB] = {{0}};

    for (size_t t = 0; t < hd; t++)
        #pragma GCC unroll 4
        for (size_t i = 0; i < QB; i++) {
            a[i] += DK_LOAD8(k + t * 8) * q[i][t];
            b[i] += DK_LOAD8(d + t * 8) * q[i][t];
            c[i] += DK_LOAD8(sum + t * 8) * dq[i][t];
        }
    for (size_t i = 0; i < QB; i++) {
        DK_STORE8(s + i * lds + j, a[i] * scale);
        DK_STORE8(ds + i * lds + j, (b[i] + c[i]) * scale);
    }
}

/* The same sums for one query, without all keys turned. */
DK_INLINE void scores_one(float *restrict s, float *restrict ds, const float *restrict q, const float *restrict dq,
                          const float *restrict k, const float *restrict dk, size_t ldk, size_t j, size_t n, size_t hd,
                          float scale)
{
    float turned[3 * 64];
    dk_v8 a = {0}, b = {0}, c = {0};

    for (size_t t = 0; t < hd; t += 8) {
        const size_t width = hd - t < 8 ? hd - t : 8;
        const struct turned to = { turned, turned + 64, turned + 128 };

        turn(&to, k + j * ldk + t, dk + j * ldk + t, ldk, n - j < 8 ? n - j : 8, width);
        for (size_t i = 0; i < width; i++) {
            a += DK_LOAD8(to.k + i * 8) * q[t + i];
            b += DK_LOAD8(to.d + i * 8) * q[t + i];
            c += DK_LOAD8(to.s + i * 8) * dq[t + i];
        }
    }
    DK_STORE8(s + j, a * scale);
    DK_STORE8(ds + j, (b + c) * scale);
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
    const float m = dk_max_of(ds, n);
    double z = 0, y = 0;

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
    const float most = dk_max_of(s, n);
    size_t top = 0;
    float shift;

    while (s[top] != most)
        top++;
    shift = ds[top];        /* any constant is right: with this one 1 + U stays above 1 / n */
    for (size_t j = 0; j < n; j++)
        ds[j] -= shift;
    if (dk_max_of(ds, n) > 20) {
        for (size_t j = 0; j < n; j++)
            ds[j] += s[j];
        soften_far(s, ds, n, most);
        return;
    }
    for (size_t j = 0; j < n; j++)
        s[j] = dk_exp1(s[j] - most);
    for (size_t j = 0; j < n; j++)
        ds[j] = dk_expm11(ds[j]);
    soften_near(s, ds, n);
}

/* width columns, a constant. */
DK_INLINE void weigh_tile(float *restrict out, const float *restrict p, const float *restrict dp,
                          const float *restrict v, const float *restrict dv, size_t ld, size_t n, const size_t width)
{
    dk_v8 a[8];

    #pragma GCC unroll 8
    for (size_t u = 0; u < width / 8; u++)
        a[u] = (dk_v8){0};
    for (size_t j = 0; j < n; j++)
        #pragma GCC unroll 8
        for (size_t u = 0; u < width / 8; u++) {
            a[u] += DK_LOAD8(v + j * ld + 8 * u) * dp[j];
            a[u] += DK_LOAD8(dv + j * ld + 8 * u) * p[j];
        }
    #pragma GCC unroll 8
    for (size_t u = 0; u < width / 8; u++)
        DK_STORE8(out + 8 * u, a[u]);
}

DK_INLINE void weigh(float *restrict out, const float *restrict p, const float *restrict dp, const float *restrict v,
                     const float *restrict dv, size_t ld, size_t n, size_t hd)
{
    size_t c = 0;

    for (; c + 64 <= hd; c += 64)
        weigh_tile(out + c, p, dp, v + c, dv + c, ld, n, 64);
    for (; c + 8 <= hd; c += 8)
        weigh_tile(out + c, p, dp, v + c, dv + c, ld, n, 8);
    for (; c < hd; c++) {
        float a = 0;

        for (size_t j = 0; j < n; j++)
            a += v[j * ld + c] * dp[j] + dv[j * ld + c] * p[j];
        out[c] = a;
    }
}

DK_CLONES
void dk_attend_diff(float *restrict dout, size_t ldo, const dk_head_rows *x, const dk_head_rows *dx, size_t ldq,
                    size_t ldk, size_t n_q, size_t n_k, size_t hd, float scale, size_t window, float *restrict work)
{
    const size_t ld = round8(n_k), past = n_k - n_q;
    const struct turned keys = { work, work + hd * ld, work + 2 * hd * ld };
    float *s = work + 3 * hd * ld, *ds = s + QB * ld;

    if (n_q > 1)
        turn(&keys, x->k, dx->k, ldk, n_k, hd);
    for (size_t i = 0; i < n_q; i += QB) {
        const size_t rows = n_q - i < QB ? n_q - i : QB, all = past + i + rows;
        const float *q[QB], *dq[QB];

        for (size_t a = 0; a < QB; a++) {
            q[a] = x->q + (i + (a < rows ? a : 0)) * ldq;
            dq[a] = dx->q + (i + (a < rows ? a : 0)) * ldq;
        }
        for (size_t j = (window && past + i + 1 > window ? past + i + 1 - window : 0) / 8 * 8; j < all; j += 8)
            if (n_q > 1)
                scores8(s, ds, ld, q, dq, &keys, j, hd, scale);
            else
                scores_one(s, ds, x->q, dx->q, x->k, dx->k, ldk, j, n_k, hd, scale);
        for (size_t a = 0; a < rows; a++) {
            const size_t end = past + i + a + 1, from = window && end > window ? end - window : 0;
            float *sa = s + a * ld + from, *da = ds + a * ld + from;

            soften(sa, da, end - from);
            weigh(dout + (i + a) * ldo, da, sa, x->v + from * ldk, dx->v + from * ldk, ldk, end - from, hd);
        }
    }
}
