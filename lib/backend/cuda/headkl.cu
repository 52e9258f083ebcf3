/* KL and log-sum-exp of whole rows of logits: a block a row, in one pass.
 *
 * Each warp keeps its own running maximum, each lane its own sums relative to it
 * (the sums and how they are moved: num/kernel_kl.c); at the end the first warp
 * brings those of all warps to the largest maximum. */
#include "backend/cuda/lse.cuh"

enum { BAD = 1, BASE_INF = 2, FT_INF = 4 };

/* The same of logits in memory, times inv_t. */
DK_DEVICE double row_lse(const float *p, float inv_t, size_t n, bool vec)
{
    return row_lse(n, [=](size_t i) {
        dk_four f = dk_load4(p, i, n, vec && i < n, -dk_inf());

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] *= inv_t;
        return f;
    });
}

static __global__ void __launch_bounds__(THREADS)
logp_rows(float *logp, const float *p, const uint32_t *next, float inv_t, size_t vocab, bool vec)
{
    const size_t row = blockIdx.x;
    const double lse = row_lse(p + row * vocab, inv_t, vocab, vec);

    if (threadIdx.x == 0)
        logp[row] = next[row] < vocab ? (float)((double)(p[row * vocab + next[row]] * inv_t) - lse) : dk_nan();
}

int dk_cu_logp(dk_cu_stream s, float *logp, const float *p, const uint32_t *next, float inv_t, size_t rows, size_t vocab)
{
    const bool vec = vocab % 4 == 0 && dk_fours(p);

    return rows ? DK_LAUNCH(logp_rows, dim3((unsigned)rows), dim3(THREADS), 0, s, logp, p, next, inv_t, vocab, vec) : 0;
}

static __global__ void __launch_bounds__(THREADS)
less_lse(float *value, size_t k, const float *p, size_t vocab, bool vec)
{
    const size_t row = blockIdx.x;
    const double lse = row_lse(p + row * vocab, 1, vocab, vec);

    for (size_t j = threadIdx.x; j < k; j += THREADS)
        value[row * k + j] = (float)((double)value[row * k + j] - lse);
}

int dk_cu_less_lse(dk_cu_stream s, float *value, size_t k, const float *p, size_t rows, size_t vocab)
{
    const bool vec = vocab % 4 == 0 && dk_fours(p);

    return rows && k ? DK_LAUNCH(less_lse, dim3((unsigned)rows), dim3(THREADS), 0, s, value, k, p, vocab, vec) : 0;
}

/* --- KL ---------------------------------------------------------------------------- */

struct kl_sums {
    lse p, q;
    double x, phi, d0;      /* d0 = p - q at the id of p's maximum */
    float lo, hi;           /* the range of p - q, nearly */
    unsigned flags;
};

DK_DEVICE double phi(double xd)
{
    const float x = (float)xd;

    if (x < 0.25f && x > -0.25f)
        return x * x * (1.0f / 2 - x * (1.0f / 6 - x * (1.0f / 24 - x * (1.0f / 120 -
               x * (1.0f / 720 - x * (1.0f / 5040 - x * (1.0f / 40320)))))));
    return (double)expf(-x) + (xd - 1.0);
}

/* The sums relative to a larger maximum, where p - q is d0. */
DK_DEVICE void raise(kl_sums &s, float m, double d0)
{
    const double c = rescale(s.p.m, m), by = d0 - s.d0;

    s.p.z *= c;
    s.x *= c;
    s.phi *= c;
    s.p.m = m;
    if (s.p.z > 0) {
        const double e = expm1(by), ph = fabs(by) < 0.25 ? phi(-by) : e - by;

        s.phi += e * (s.phi - s.x) + ph * s.p.z;
        s.x -= by * s.p.z;
    }
    s.d0 = d0;
}

/* Excluded ids: both -inf adds nothing, only the finetune nothing to its own sums,
 * only the base makes the divergence infinite. */
DK_DEVICE unsigned what_is(float a, float b)
{
    const bool a_inf = a == -dk_inf(), b_inf = b == -dk_inf();

    if ((!dk_finite(a) && !a_inf) || (!dk_finite(b) && !b_inf))
        return BAD;
    return b_inf ? (a_inf ? 0 : BASE_INF) : a_inf ? FT_INF : 0;
}

/* The next EACH values of a lane; raw = a - b. */
DK_DEVICE void kl_add(kl_sums &s, float (&a)[EACH], float (&b)[EACH], const double (&raw)[EACH])
{
    float m = -dk_inf();
    double at = 0;

    DK_UNROLL
    for (int u = 0; u < EACH; u++) {
        if (!dk_finite(a[u]) || !dk_finite(b[u])) {
            s.flags |= what_is(a[u], b[u]);
            a[u] = -dk_inf();
            b[u] = dk_finite(b[u]) ? b[u] : -dk_inf();
        }
        if (a[u] > m) {
            m = a[u];
            at = raw[u];
        }
    }
    if (__any_sync(DK_ALL_LANES, m > s.p.m)) {
        const float top = most(m);
        const unsigned who = __ballot_sync(DK_ALL_LANES, m == top);

        raise(s, top, __shfl_sync(DK_ALL_LANES, at, __ffs((int)who) - 1));
    }
    lse_add(s.q, b);
    DK_UNROLL
    for (int u = 0; u < EACH; u++) {
        const bool in = a[u] != -dk_inf();
        const double w = in ? (double)expf(a[u] - s.p.m) : 0, d = in ? raw[u] - s.d0 : 0;

        s.p.z += w;
        s.x += w * d;
        s.phi += w * phi(d);
        s.lo = in ? dk_min(s.lo, a[u] - b[u]) : s.lo;
        s.hi = in ? dk_max(s.hi, a[u] - b[u]) : s.hi;
    }
}

DK_DEVICE void kl_warp_sums(kl_sums &s)
{
    s.p.z = dk_warp_sum(s.p.z);
    s.q.z = dk_warp_sum(s.q.z);
    s.x = dk_warp_sum(s.x);
    s.phi = dk_warp_sum(s.phi);
    DK_UNROLL
    for (int d = 16; d; d /= 2) {
        s.lo = dk_min(s.lo, __shfl_xor_sync(DK_ALL_LANES, s.lo, d));
        s.hi = dk_max(s.hi, __shfl_xor_sync(DK_ALL_LANES, s.hi, d));
        s.flags |= __shfl_xor_sync(DK_ALL_LANES, s.flags, d);
    }
}

DK_DEVICE kl_sums kl_begin()
{
    kl_sums s;

    s.p.m = s.q.m = -dk_inf();
    s.p.z = s.q.z = s.x = s.phi = s.d0 = 0;
    s.lo = dk_inf();
    s.hi = -dk_inf();
    s.flags = 0;
    return s;
}

/* The first warp: one warp's sums a lane. */
DK_DEVICE kl_sums kl_join(const kl_sums *all)
{
    const unsigned lane = threadIdx.x % 32;
    kl_sums s = lane < WARPS ? all[lane] : kl_begin();
    const float m = most(s.p.m), mq = most(s.q.m);
    const unsigned who = __ballot_sync(DK_ALL_LANES, s.p.m == m);
    const double d0 = __shfl_sync(DK_ALL_LANES, s.d0, __ffs((int)who) - 1);

    if (s.p.m != -dk_inf())
        raise(s, m, d0);
    if (s.q.m != -dk_inf())
        lse_raise(s.q, mq);
    s.p.m = m;
    s.q.m = mq;
    s.d0 = d0;
    kl_warp_sums(s);
    return s;
}

DK_DEVICE float kl_end(const kl_sums &s)
{
    const double mean = s.x / s.p.z;

    if (s.flags & BAD || s.p.m == -dk_inf())
        return dk_nan();
    if (s.flags & BASE_INF)
        return dk_inf();
    if (s.flags & FT_INF || (double)s.hi - s.d0 > 20 || s.d0 - (double)s.lo > 20)
        return (float)(mean + s.d0 - lse_end(s.p) + lse_end(s.q));      /* phi overflows its use */
    return (float)(mean + log1p(s.phi / s.p.z - mean));
}

/* KNOWN: the differences d are given; their logits exclude no id. */
template <bool KNOWN>
static __global__ void __launch_bounds__(THREADS, 2)
kl_rows(float *kl, float *logp_p, float *logp_q, const float *p, const float *q, const float *d, const uint32_t *next,
        float inv_t, size_t vocab, bool vec)
{
    __shared__ kl_sums all[WARPS];
    const size_t row = blockIdx.x;
    const float *first = (KNOWN ? d : p) + row * vocab, *second = q + row * vocab;
    kl_sums s = kl_begin();

    for (size_t base = 0; base < vocab; base += THREADS * EACH) {
        float a[EACH], b[EACH];
        double raw[EACH];

        DK_UNROLL
        for (int h = 0; h < EACH / 4; h++) {
            const size_t i = base + 4 * (h * THREADS + threadIdx.x);
            const dk_four f = dk_load4(first, i, vocab, vec && i < vocab, KNOWN ? 0 : -dk_inf());
            const dk_four g = dk_load4(second, i, vocab, vec && i < vocab, -dk_inf());

            DK_UNROLL
            for (int u = 0; u < 4; u++) {
                a[4 * h + u] = f.v[u];
                b[4 * h + u] = g.v[u] * inv_t;
            }
        }
        DK_UNROLL
        for (int u = 0; u < EACH; u++) {
            if (KNOWN) {
                const bool in = base + 4 * (u / 4 * THREADS + threadIdx.x) + u % 4 < vocab;

                raw[u] = (double)a[u] * (double)inv_t;
                a[u] = (float)((double)b[u] + raw[u]);
                if (in && (!dk_finite(a[u]) || !dk_finite(b[u])))
                    s.flags |= BAD;
            } else {
                a[u] *= inv_t;
                raw[u] = (double)a[u] - (double)b[u];
            }
        }
        kl_add(s, a, b, raw);
    }
    kl_warp_sums(s);
    if (threadIdx.x % 32 == 0)
        all[threadIdx.x / 32] = s;
    __syncthreads();
    if (threadIdx.x >= 32)
        return;
    s = kl_join(all);
    if (threadIdx.x)
        return;
    if (kl)
        kl[row] = kl_end(s);
    if (logp_p || logp_q) {
        const uint32_t id = next[row];
        const bool in = id < vocab;

        if (logp_p)
            logp_p[row] = in ? (float)((double)((KNOWN ? second[id] + first[id] : first[id]) * inv_t) - lse_end(s.p))
                             : dk_nan();
        if (logp_q)
            logp_q[row] = in ? (float)((double)(second[id] * inv_t) - lse_end(s.q)) : dk_nan();
    }
}

int dk_cu_kl_logp(dk_cu_stream s, float *kl, float *logp_p, float *logp_q, const float *p, const float *q,
                  const float *d, const uint32_t *next, float inv_t, size_t rows, size_t vocab)
{
    const bool vec = vocab % 4 == 0 && dk_fours(d ? d : p) && dk_fours(q);
    const dim3 grid((unsigned)rows), block(THREADS);

    if (rows == 0)
        return 0;
    if (d)
        return DK_LAUNCH((kl_rows<true>), grid, block, 0, s, kl, logp_p, logp_q, p, q, d, next, inv_t, vocab, vec);
    return DK_LAUNCH((kl_rows<false>), grid, block, 0, s, kl, logp_p, logp_q, p, q, d, next, inv_t, vocab, vec);
}
