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

enum { QB = 4, VB = 16 };   /* queries that share a pass over the keys; columns of values */

static size_t up_to(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

size_t dk_attend_diff_work(size_t n, size_t hd)
{
    return 2 * hd * up_to(n, 8) + 2 * up_to(hd, VB) * n + 2 * QB * up_to(n, 8);
}

/* Keys and their differences, turned eight by eight: [n / 8][hd][8] each. */
struct turned { float *k, *d; };

DK_INLINE void turn(float *restrict to, const float *restrict k, size_t ldk, size_t n, size_t hd)
{
    for (size_t j = 0; j < n; j += 8) {
        size_t at = j * hd, t = 0;

        for (; t + 8 <= hd; t += 8) {
            dk_v8 a[8];

            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                a[i] = j + i < n ? DK_LOAD8(k + (j + i) * ldk + t) : (dk_v8){0};
            dk_turn8(a);
            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++, at += 8)
                DK_STORE8(to + at, a[i]);
        }
        for (; t < hd; t++)
            for (size_t i = 0; i < 8; i++, at++)
                to[at] = j + i < n ? k[(j + i) * ldk + t] : 0;
    }
}

/* VB values, or the last ones of a row. */
DK_INLINE void put(float *restrict to, const float *restrict from, size_t width)
{
    if (width >= VB)
        for (size_t i = 0; i < VB; i++)
            to[i] = from[i];
    else
        for (size_t i = 0; i < width; i++)
            to[i] = from[i];
}

/* Values and their differences side by side, by columns: [hd / VB][n][2][VB], zeros
 * in columns that are not there. */
DK_INLINE void gather(float *restrict to, const float *restrict v, const float *restrict dv, size_t ld, size_t n,
                      size_t hd)
{
    for (size_t c = 0; c < hd; c += VB) {
        for (size_t j = 0; j < n; j++, to += 2 * VB) {
            for (size_t i = hd - c; i < VB; i++)
                to[i] = to[VB + i] = 0;
            put(to, v + j * ld + c, hd - c);
            put(to + VB, dv + j * ld + c, hd - c);
        }
    }
}

/* Eight keys from j on, for QB queries: scores to s, their differences to ds. */
DK_INLINE void scores8(float *restrict s, float *restrict ds, size_t lds, const float *const *q,
                       const float *const *dq, const struct turned *x, size_t j, size_t hd, float scale)
{
    const float *k = x->k + j * hd, *d = x->d + j * hd;
    dk_v8 a[QB] = {{0}}, b[QB] = {{0}}, c[QB] = {{0}};

    for (size_t t = 0; t < hd; t++) {
        const dk_v8 key = DK_LOAD8(k + t * 8), diff = DK_LOAD8(d + t * 8), sum = key + diff;

        #pragma GCC unroll 4
        for (size_t i = 0; i < QB; i++) {
            a[i] += key * q[i][t];
            b[i] += diff * q[i][t];
            c[i] += sum * dq[i][t];
        }
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
    float key[64], diff[64];
    dk_v8 a = {0}, b = {0}, c = {0};

    for (size_t t = 0; t < hd; t += 8) {
        const size_t width = hd - t < 8 ? hd - t : 8, keys = n - j < 8 ? n - j : 8;

        turn(key, k + j * ldk + t, ldk, keys, width);
        turn(diff, dk + j * ldk + t, ldk, keys, width);
        for (size_t i = 0; i < width; i++) {
            const dk_v8 x = DK_LOAD8(key + i * 8), dx = DK_LOAD8(diff + i * 8);

            a += x * q[t + i];
            b += dx * q[t + i];
            c += (x + dx) * dq[t + i];
        }
    }
    DK_STORE8(s + j, a * scale);
    DK_STORE8(ds + j, (b + c) * scale);
}

/* In place: not the weights, but in s their differences, in ds the others; both divided. */
DK_INLINE void soften_near(float *restrict s, float *restrict ds, size_t n)
{
    double z = 0, sum = 0, whole;

    #pragma omp simd reduction(+ : z, sum)
    for (size_t j = 0; j < n; j++) {
        z += s[j];
        sum += (double)s[j] * ds[j];
    }
    sum /= z;
    z = 1.0 / z;
    whole = 1.0 / (1.0 + sum);
    for (size_t j = 0; j < n; j++) {
        const float p = (float)(s[j] * z), e = (float)((ds[j] - sum) * whole);

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

/* dk_expm11 in two loops: in one of them the compiler branches round the far form. */
DK_INLINE void expm1_row(float *restrict x, size_t n)
{
    float far[64];

    for (size_t j = 0; j < n; j += 64) {
        const size_t end = n - j < 64 ? n - j : 64;

        for (size_t i = 0; i < end; i++)
            far[i] = dk_exp1(x[j + i]) - 1.0f;
        for (size_t i = 0; i < end; i++)
            x[j + i] = dk_expm1_near(x[j + i], far[i]);
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
    expm1_row(ds, n);
    soften_near(s, ds, n);
}

/* VB columns of QB outputs: v of gather(), over n keys. */
DK_INLINE void weigh_tile(float out[QB][VB], const float *restrict p, const float *restrict dp, size_t ldp,
                          const float *restrict v, size_t n)
{
    dk_v8 a[QB][2] = {{{0}}};

    for (size_t j = 0; j < n; j++, v += 2 * VB) {
        const dk_v8 x = DK_LOAD8(v), y = DK_LOAD8(v + 8), dx = DK_LOAD8(v + VB), dy = DK_LOAD8(v + VB + 8);

        #pragma GCC unroll 4
        for (size_t i = 0; i < QB; i++) {
            a[i][0] += x * dp[i * ldp + j];
            a[i][1] += y * dp[i * ldp + j];
            a[i][0] += dx * p[i * ldp + j];
            a[i][1] += dy * p[i * ldp + j];
        }
    }
    #pragma GCC unroll 4
    for (size_t i = 0; i < QB; i++) {
        DK_STORE8(out[i], a[i][0]);
        DK_STORE8(out[i] + 8, a[i][1]);
    }
}

/* One output from values where they are; width columns, a constant, or the last ones. */
DK_INLINE void weigh_row(float *restrict out, const float *restrict p, const float *restrict dp,
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

DK_INLINE void weigh_one(float *restrict out, const float *restrict p, const float *restrict dp,
                         const float *restrict v, const float *restrict dv, size_t ld, size_t n, size_t hd)
{
    size_t c = 0;

    for (; c + 64 <= hd; c += 64)
        weigh_row(out + c, p, dp, v + c, dv + c, ld, n, 64);
    for (; c + 8 <= hd; c += 8)
        weigh_row(out + c, p, dp, v + c, dv + c, ld, n, 8);
    if (c < hd) {       /* in a vector too: compilers sum scalars otherwise */
        dk_v8 a = {0}, x = {0}, dx = {0};

        for (size_t j = 0; j < n; j++) {
            for (size_t i = 0; i < hd - c; i++) {
                x[i] = v[j * ld + c + i];
                dx[i] = dv[j * ld + c + i];
            }
            a += x * dp[j];
            a += dx * p[j];
        }
        for (size_t i = 0; i < hd - c; i++)
            out[c + i] = a[i];
    }
}

DK_INLINE void cap(float *restrict s, float *restrict ds, size_t n, float softcap)
{
    for (size_t j = 0; j < n; j++)
        s[j] = softcap * dk_tanh1(s[j] / softcap);
    for (size_t j = 0; j < n; j++)
        ds[j] = dk_capped_diff(ds[j], s[j], softcap);
}

DK_CLONES
void dk_attend_diff(float *restrict dout, size_t ldo, const dk_head_rows *x, const dk_head_rows *dx, size_t ldq,
                    size_t ldk, size_t n_q, size_t n_k, size_t hd, float scale, float softcap, size_t window, float *restrict work)
{
    const size_t ld = up_to(n_k, 8), past = n_k - n_q;
    const struct turned keys = { work, work + hd * ld };
    float *v = work + 2 * hd * ld, *s = v + 2 * up_to(hd, VB) * n_k, *ds = s + QB * ld, out[QB][VB];

    if (n_q > 1) {
        turn(keys.k, x->k, ldk, n_k, hd);
        turn(keys.d, dx->k, ldk, n_k, hd);
        gather(v, x->v, dx->v, ldk, n_k, hd);
    }
    for (size_t i = 0; i < n_q; i += QB) {
        const size_t rows = n_q - i < QB ? n_q - i : QB, all = past + i + rows;
        const size_t begin = (window && past + i + 1 > window ? past + i + 1 - window : 0) / 8 * 8;
        const float *q[QB], *dq[QB];

        for (size_t a = 0; a < QB; a++) {
            q[a] = x->q + (i + (a < rows ? a : 0)) * ldq;
            dq[a] = dx->q + (i + (a < rows ? a : 0)) * ldq;
        }
        for (size_t j = begin; j < all; j += 8)
            if (n_q > 1)
                scores8(s, ds, ld, q, dq, &keys, j, hd, scale);
            else
                scores_one(s, ds, x->q, dx->q, x->k, dx->k, ldk, j, n_k, hd, scale);
        for (size_t a = 0; a < QB; a++) {
            const size_t end = past + i + a + 1, from = window && end > window ? end - window : 0;
            float *sa = s + a * ld, *da = ds + a * ld;

            if (a < rows && softcap > 0)
                cap(sa + from, da + from, end - from, softcap);
            if (a < rows)
                soften(sa + from, da + from, end - from);
            /* Zeros add nothing: all queries of these run over the same keys. */
            for (size_t j = begin; j < (a < rows ? from : all); j++)
                sa[j] = da[j] = 0;
            for (size_t j = end; j < all; j++)
                sa[j] = da[j] = 0;
        }
        if (n_q == 1)
            weigh_one(dout, ds + begin, s + begin, x->v + begin * ldk, dx->v + begin * ldk, ldk, all - begin, hd);
        for (size_t c = 0; n_q > 1 && c < hd; c += VB) {
            weigh_tile(out, ds + begin, s + begin, ld, v + 2 * (c * n_k + begin * VB), all - begin);
            for (size_t a = 0; a < rows; a++)
                put(dout + (i + a) * ldo + c, out[a], hd - c);
        }
    }
}
