/* Attention of one head: keys are transposed once, so that scores of eight
 * keys come from one vector without a horizontal sum. */
#include "num/kernels.h"

#include "num/kernel_exp.h"
#include "num/simd.h"

enum { QB = 4 };    /* queries that share a pass over the keys */

static size_t round8(size_t n) { return (n + 7) / 8 * 8; }

size_t dk_attend_work(size_t n_k, size_t hd)
{
    return hd * round8(n_k) + QB * round8(n_k);
}

DK_INLINE void scores(float *restrict s, size_t lds, const float *const *q,
                      const float *restrict kt, size_t ldk, size_t n_keys, size_t hd, float scale)
{
    for (size_t j = 0; j < n_keys; j += 8) {
        dk_v8 a[QB] = {{0}};

        for (size_t t = 0; t < hd; t++) {
            const dk_v8 k = DK_LOAD8(kt + t * ldk + j);

            for (size_t i = 0; i < QB; i++)
                a[i] += k * q[i][t];
        }
        for (size_t i = 0; i < QB; i++)
            DK_STORE8(s + i * lds + j, a[i] * scale);
    }
}

/* Softmax over the first n scores, in place and not yet divided; the sum. */
DK_INLINE double soften(float *restrict s, size_t n)
{
    float m = s[0];
    double z = 0;

    for (size_t j = 1; j < n; j++)
        m = s[j] > m ? s[j] : m;
    for (size_t j = 0; j < n; j++)
        s[j] = dk_exp1(s[j] - m);
    #pragma omp simd reduction(+ : z)
    for (size_t j = 0; j < n; j++)
        z += s[j];
    return z;
}

DK_INLINE void weigh(float *restrict out, const float *restrict p, const float *restrict v,
                     size_t ldv, size_t n, size_t hd, float inv)
{
    size_t c = 0;

    for (; c + 32 <= hd; c += 32) {
        dk_v8 a[4] = {{0}};

        for (size_t j = 0; j < n; j++)
            for (size_t u = 0; u < 4; u++)
                a[u] += DK_LOAD8(v + j * ldv + c + 8 * u) * p[j];
        for (size_t u = 0; u < 4; u++)
            DK_STORE8(out + c + 8 * u, a[u] * inv);
    }
    for (; c < hd; c++) {
        float a = 0;

        for (size_t j = 0; j < n; j++)
            a += v[j * ldv + c] * p[j];
        out[c] = a * inv;
    }
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

    for (size_t t = 0; t < hd; t++) {
        for (size_t j = 0; j < n_k; j++)
            kt[t * ld + j] = k[j * ldk + t];
        for (size_t j = n_k; j < ld; j++)
            kt[t * ld + j] = 0;
    }
    for (size_t i = 0; i < n_q; i += QB) {
        const size_t rows = n_q - i < QB ? n_q - i : QB;
        const float *qr[QB];

        for (size_t a = 0; a < QB; a++)
            qr[a] = q + (i + (a < rows ? a : 0)) * ldq;
        if (window == 0) {
            scores(s, ld, qr, kt, ld, past + i + rows, hd, scale);
        } else {            /* no query of these sees a key before that of the first */
            const size_t from = (past + i + 1 > window ? past + i + 1 - window : 0) / 8 * 8;

            scores(s + from, ld, qr, kt + from, ld, past + i + rows - from, hd, scale);
        }
        for (size_t a = 0; a < rows; a++) {
            const size_t end = past + i + a + 1, from = window && end > window ? end - window : 0;
            float *sa = s + a * ld + from;
            double z;

            if (softcap > 0)
                cap(sa, end - from, softcap);
            z = soften(sa, end - from);
            weigh(out + (i + a) * ldo, sa, v + from * ldv, ldv, end - from, hd, (float)(1.0 / z));
        }
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
