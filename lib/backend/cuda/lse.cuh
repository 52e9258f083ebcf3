/* ln sum exp of a row of logits, by a block: each warp keeps its own running maximum, each
 * lane its own sum relative to it; at the end all are brought to the largest maximum. */
#ifndef DK_BACKEND_CUDA_LSE_CUH
#define DK_BACKEND_CUDA_LSE_CUH

#include "backend/cuda/device.cuh"

enum { THREADS = 512, WARPS = THREADS / 32, EACH = 8 };    /* of every kernel that reads rows of logits so */

/* Ascending with x; not for NaN. */
DK_DEVICE uint32_t ordered(float x)
{
    const uint32_t b = __float_as_uint(x);

    return b & 0x80000000u ? ~b : b | 0x80000000u;
}
DK_DEVICE float unordered(uint32_t o) { return __uint_as_float(o & 0x80000000u ? o & 0x7fffffffu : ~o); }
DK_DEVICE float most(float x) { return unordered(__reduce_max_sync(DK_ALL_LANES, ordered(x))); }

/* What a sum relative to from is relative to to, which is not below it. */
DK_DEVICE double rescale(float from, float to)
{
    return from == to ? 1.0 : from == -dk_inf() ? 0.0 : exp((double)from - (double)to);
}

/* Sums of a lane relative to m, the maximum of all that its warp has seen. */
struct lse { float m; double z; };

DK_DEVICE void lse_raise(lse &s, float m)
{
    s.z *= rescale(s.m, m);
    s.m = m;
}

DK_DEVICE void lse_add(lse &s, const float (&v)[EACH])
{
    float m = -dk_inf();

    DK_UNROLL
    for (int u = 0; u < EACH; u++)
        m = dk_max(m, v[u]);
    if (__any_sync(DK_ALL_LANES, m > s.m))
        lse_raise(s, dk_max(s.m, most(m)));
    if (s.m == -dk_inf())
        return;
    DK_UNROLL
    for (int u = 0; u < EACH; u++)
        s.z += (double)expf(v[u] - s.m);
}

DK_DEVICE double lse_end(const lse &s) { return s.m == -dk_inf() ? (double)s.m : s.m + log(s.z); }

/* ln sum exp of the block's row of n, in all threads; four(i): the four logits from i on, -infinity
 * behind the last. */
template <class F> DK_DEVICE double row_lse(size_t n, const F &four)
{
    __shared__ lse all[WARPS];
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    lse s = { -dk_inf(), 0 };

    for (size_t base = 0; base < n; base += THREADS * EACH) {
        float v[EACH];

        DK_UNROLL
        for (int h = 0; h < EACH / 4; h++) {
            const dk_four f = four(base + 4 * (h * THREADS + threadIdx.x));

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                v[4 * h + u] = f.v[u];
        }
        lse_add(s, v);
    }
    s.z = dk_warp_sum(s.z);
    __syncthreads();                /* another row's may still be read */
    if (lane == 0)
        all[warp] = s;
    __syncthreads();
    s = all[0];
    for (unsigned w = 1; w < WARPS; w++)
        s.m = dk_max(s.m, all[w].m);
    s.z = 0;
    for (unsigned w = 0; w < WARPS; w++)
        s.z += all[w].m == s.m ? all[w].z : all[w].z * rescale(all[w].m, s.m);
    return lse_end(s);
}

#endif
