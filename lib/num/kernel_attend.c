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

DK_CLONES
void dk_attend(float *restrict out, size_t ldo, const float *restrict q, size_t ldq,
               const float *restrict k, size_t ldk, const float *restrict v, size_t ldv,
               size_t n_q, size_t n_k, size_t hd, float scale, float *restrict work)
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
        scores(s, ld, qr, kt, ld, past + i + rows, hd, scale);
        for (size_t a = 0; a < rows; a++) {
            const size_t n = past + i + a + 1;
            const double z = soften(s + a * ld, n);

            weigh(out + (i + a) * ldo, s + a * ld, v, ldv, n, hd, (float)(1.0 / z));
        }
    }
}
