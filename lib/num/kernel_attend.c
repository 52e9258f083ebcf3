/* Attention of one head: keys are transposed once (for a single query on the way),
 * so that scores of eight keys come from one vector without a horizontal sum.
 * Every score and every output is one chain of sums, however rows are taken
 * together. */
#include "num/kernels.h"

#include <string.h>

#include "num/kernel_exp.h"
#include "num/kernel_turn.h"
#include "num/simd.h"

enum { QB = 4 };    /* queries that share a pass over the keys */

static size_t round8(size_t n) { return (n + 7) / 8 * 8; }

size_t dk_attend_work(size_t n_k, size_t hd)
{
    return hd * round8(n_k) + QB * round8(n_k);
}

/* All keys turned, eight by eight: kt [n / 8][hd][8], zeros behind the last.  (In
 * whole rows their distances would often be powers of two, and caches have few
 * places for those.) */
DK_INLINE void turn_keys(float *restrict kt, const float *restrict k, size_t ldk, size_t n, size_t hd)
{
    for (size_t j = 0; j < n; j += 8, kt += 8 * hd) {
        size_t t = 0;

        for (; t + 8 <= hd; t += 8) {
            dk_v8 r[8];

            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                r[i] = j + i < n ? DK_LOAD8(k + (j + i) * ldk + t) : (dk_v8){0};
            dk_turn8(r);
            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                DK_STORE8(kt + (t + i) * 8, r[i]);
        }
        for (; t < hd; t++)
            for (size_t i = 0; i < 8; i++)
                kt[t * 8 + i] = j + i < n ? k[(j + i) * ldk + t] : 0;
    }
}

/* Scores of the first n_keys keys, or of some more: rows of s have room for them. */
DK_INLINE void scores(float *restrict s, size_t lds, const float *const *q, const float *restrict kt, size_t n_keys,
                      size_t hd, float scale)
{
    size_t j = 0;

    for (; j + 8 < n_keys; j += 16, kt += 16 * hd) {
        dk_v8 a[QB] = {{0}}, b[QB] = {{0}};

        for (size_t t = 0; t < hd; t++) {
            const dk_v8 k = DK_LOAD8(kt + t * 8), l = DK_LOAD8(kt + (hd + t) * 8);

            for (size_t i = 0; i < QB; i++) {
                a[i] += k * q[i][t];
                b[i] += l * q[i][t];
            }
        }
        for (size_t i = 0; i < QB; i++) {
            DK_STORE8(s + i * lds + j, a[i] * scale);
            DK_STORE8(s + i * lds + j + 8, b[i] * scale);
        }
    }
    if (j < n_keys) {
        dk_v8 a[QB] = {{0}};

        for (size_t t = 0; t < hd; t++) {
            const dk_v8 k = DK_LOAD8(kt + t * 8);

            for (size_t i = 0; i < QB; i++)
                a[i] += k * q[i][t];
        }
        for (size_t i = 0; i < QB; i++)
            DK_STORE8(s + i * lds + j, a[i] * scale);
    }
}

/* The same sums for one query, without all keys turned: eight keys by eight values at a time. */
DK_INLINE void scores_one(float *restrict s, const float *restrict q, const float *restrict k, size_t ldk,
                          size_t n_keys, size_t hd, float scale)
{
    for (size_t j = 0; j < n_keys; j += 8) {
        const float *row[8];
        dk_v8 a = {0};
        size_t t = 0;

        for (size_t i = 0; i < 8; i++)
            row[i] = k + (j + i < n_keys ? j + i : n_keys - 1) * ldk;
        for (; t + 8 <= hd; t += 8) {
            dk_v8 r[8];

            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                r[i] = DK_LOAD8(row[i] + t);
            dk_turn8(r);
            #pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                a += r[i] * q[t + i];
        }
        for (; t < hd; t++) {
            dk_v8 r;

            for (size_t i = 0; i < 8; i++)
                r[i] = row[i][t];
            a += r * q[t];
        }
        DK_STORE8(s + j, a * scale);
    }
}

/* Softmax over the first n scores, in place and not yet divided; the sum. */
DK_INLINE double soften(float *restrict s, size_t n)
{
    const float m = dk_max_of(s, n);
    double z = 0;

    for (size_t j = 0; j < n; j++)
        s[j] = dk_exp1(s[j] - m);
    #pragma omp simd reduction(+ : z)
    for (size_t j = 0; j < n; j++)
        z += s[j];
    return z;
}

/* rows x width columns, both constants; p [rows, ldp] over n keys. */
DK_INLINE void weigh_tile(float *restrict out, size_t ldo, const float *restrict p, size_t ldp,
                          const float *restrict v, size_t ldv, size_t n, const float *restrict inv, const size_t rows,
                          const size_t width)
{
    dk_v8 a[QB][8];

    #pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
        #pragma GCC unroll 8
        for (size_t u = 0; u < width / 8; u++)
            a[i][u] = (dk_v8){0};
    for (size_t j = 0; j < n; j++)
        #pragma GCC unroll 8
        for (size_t u = 0; u < width / 8; u++) {
            const dk_v8 w = DK_LOAD8(v + j * ldv + 8 * u);

            #pragma GCC unroll 8
            for (size_t i = 0; i < rows; i++)
                a[i][u] += w * p[i * ldp + j];
        }
    #pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
        #pragma GCC unroll 8
        for (size_t u = 0; u < width / 8; u++)
            DK_STORE8(out + i * ldo + 8 * u, a[i][u] * inv[i]);
}

/* The last columns, fewer than eight: in a vector too, since compilers sum scalars otherwise. */
DK_INLINE void weigh_rest(float *restrict out, const float *restrict p, const float *restrict v, size_t ldv, size_t n,
                          size_t width, float inv)
{
    dk_v8 a = {0}, w = {0};

    for (size_t j = 0; j < n; j++) {
        for (size_t c = 0; c < width; c++)
            w[c] = v[j * ldv + c];
        a += w * p[j];
    }
    a *= inv;
    memcpy(out, &a, width * sizeof *out);
}

DK_INLINE void weigh(float *restrict out, size_t ldo, const float *restrict p, size_t ldp, const float *restrict v,
                     size_t ldv, size_t n, size_t hd, const float *restrict inv, size_t rows)
{
    size_t c = 0;

    for (; rows == 1 && c + 64 <= hd; c += 64)
        weigh_tile(out + c, ldo, p, ldp, v + c, ldv, n, inv, 1, 64);
    for (; rows == QB && c + 16 <= hd; c += 16)
        weigh_tile(out + c, ldo, p, ldp, v + c, ldv, n, inv, QB, 16);
    for (; c + 16 <= hd; c += 16)
        for (size_t i = 0; i < rows; i++)
            weigh_tile(out + i * ldo + c, ldo, p + i * ldp, ldp, v + c, ldv, n, inv + i, 1, 16);
    for (; c + 8 <= hd; c += 8)
        for (size_t i = 0; i < rows; i++)
            weigh_tile(out + i * ldo + c, ldo, p + i * ldp, ldp, v + c, ldv, n, inv + i, 1, 8);
    for (size_t i = 0; c < hd && i < rows; i++)
        weigh_rest(out + i * ldo + c, p + i * ldp, v + c, ldv, n, hd - c, inv[i]);
}

DK_INLINE void cap(float *restrict s, size_t n, float softcap)
{
    for (size_t j = 0; j < n; j++)
        s[j] = softcap * dk_tanh1(s[j] / softcap);
}

/* softcap 0 and window 0 are constants in dk_attend, and their code is gone there. */
DK_INLINE void attend(float *restrict out, size_t ldo, const float *restrict q, size_t ldq,
                      const float *restrict k, size_t ldk, const float *restrict v, size_t ldv,
                      size_t n_q, size_t n_k, size_t hd, float scale, float softcap, size_t window,
                      float *restrict work)
{
    const size_t ld = round8(n_k), past = n_k - n_q;
    float *kt = work, *s = work + hd * ld;

    if (n_q > 1)
        turn_keys(kt, k, ldk, n_k, hd);
    for (size_t i = 0; i < n_q; i += QB) {
        const size_t rows = n_q - i < QB ? n_q - i : QB, all = past + i + rows;
        /* No query of these sees a key before that of the first. */
        const size_t from = window && past + i + 1 > window ? (past + i + 1 - window) / 8 * 8 : 0;
        const float *qr[QB];
        float inv[QB];

        for (size_t a = 0; a < QB; a++)
            qr[a] = q + (i + (a < rows ? a : 0)) * ldq;
        if (n_q > 1)
            scores(s + from, ld, qr, kt + from * hd, all - from, hd, scale);
        else
            scores_one(s + from, q, k + from * ldk, ldk, all - from, hd, scale);
        for (size_t a = 0; a < rows; a++) {
            const size_t end = past + i + a + 1, first = window && end > window ? end - window : 0;
            float *sa = s + a * ld;

            if (softcap > 0)
                cap(sa + first, end - first, softcap);
            inv[a] = (float)(1.0 / soften(sa + first, end - first));
            /* Zeros add nothing: all queries of these run over the same keys. */
            for (size_t j = from; j < first; j++)
                sa[j] = 0;
            for (size_t j = end; j < all; j++)
                sa[j] = 0;
        }
        weigh(out + i * ldo, ldo, s + from, ld, v + from * ldv, ldv, all - from, hd, inv, rows);
    }
}

DK_CLONES
void dk_attend(float *restrict out, size_t ldo, const float *restrict q, size_t ldq,
               const float *restrict k, size_t ldk, const float *restrict v, size_t ldv,
               size_t n_q, size_t n_k, size_t hd, float scale, float *restrict work)
{
    attend(out, ldo, q, ldq, k, ldk, v, ldv, n_q, n_k, hd, scale, 0, 0, work);
}

DK_CLONES
void dk_attend_local(float *restrict out, size_t ldo, const float *restrict q, size_t ldq,
                     const float *restrict k, size_t ldk, const float *restrict v, size_t ldv,
                     size_t n_q, size_t n_k, size_t hd, float scale, float softcap, size_t window,
                     float *restrict work)
{
    size_t skip = 0;

    /* Keys that no query sees are not even turned round. */
    if (window && n_k - n_q + 1 > window)
        skip = (n_k - n_q + 1 - window) / 8 * 8;
    attend(out, ldo, q, ldq, k + skip * ldk, ldk, v + skip * ldv, ldv, n_q, n_k - skip, hd, scale, softcap,
           window, work);
}
