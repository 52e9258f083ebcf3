/* The k largest or smallest of each row: a block a row, in one pass.
 *
 * An entry is one integer whose order is the wanted order: the value's bits, made
 * monotone, above the id.  What is beyond the k-th value so far is put into a list
 * in shared memory, in any order; when the list could overflow it is sorted and
 * cut to k.  Ids come in ascending order from one cut to the next, so a later
 * equal value loses, as it should. */
#include "backend/cuda/device.cuh"

enum { THREADS = 512, STEP = 4 * THREADS, ROOM = 2 * STEP, K_MAX = 1024 };

DK_DEVICE uint32_t rank_of(float v, bool bottom)        /* ascending: the better, the smaller */
{
    const uint32_t b = __float_as_uint(v + 0.0f);       /* -0 becomes +0 */
    const uint32_t o = b & 0x80000000u ? ~b : b | 0x80000000u;

    return bottom ? o : ~o;
}

DK_DEVICE float value_of(uint64_t entry, bool bottom)
{
    const uint32_t r = (uint32_t)(entry >> 32), o = bottom ? r : ~r;

    return __uint_as_float(o & 0x80000000u ? o & 0x7fffffffu : ~o);
}

/* Sorts the n entries (bitonic; the list is filled up to a power of two). */
DK_DEVICE void sort(uint64_t *list, unsigned n)
{
    unsigned size = 2;

    while (size < n)
        size *= 2;
    for (unsigned i = n + threadIdx.x; i < size; i += THREADS)
        list[i] = ~(uint64_t)0;
    for (unsigned run = 2; run <= size; run *= 2)
        for (unsigned gap = run / 2; gap; gap /= 2) {
            __syncthreads();
            for (unsigned j = threadIdx.x; j < size / 2; j += THREADS) {
                const unsigned lo = j / gap * 2 * gap + j % gap, hi = lo + gap;
                const uint64_t a = list[lo], b = list[hi];

                if ((a > b) == ((lo & run) == 0)) {
                    list[lo] = b;
                    list[hi] = a;
                }
            }
        }
    __syncthreads();
}

static __global__ void __launch_bounds__(THREADS)
topk_rows(uint32_t *id, float *value, const float *p, const float *q, bool bottom, unsigned k, size_t vocab, bool vec)
{
    __shared__ uint64_t list[ROOM];
    __shared__ unsigned count;
    const size_t row = blockIdx.x;
    uint32_t limit = rank_of(bottom ? dk_inf() : -dk_inf(), bottom);
    unsigned n;

    p += row * vocab;
    q = q ? q + row * vocab : NULL;
    if (threadIdx.x == 0)
        count = 0;
    __syncthreads();
    for (size_t base = 0; base < vocab; base += STEP) {
        const size_t i = base + 4 * threadIdx.x;
        bool full = false;
        dk_four f = dk_load4(p, i, vocab, vec && i < vocab, dk_nan());

        if (q) {
            const dk_four g = dk_load4(q, i, vocab, vec && i < vocab, 0);

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] -= g.v[u];
        }
        DK_UNROLL
        for (int u = 0; u < 4; u++) {
            const uint32_t r = rank_of(f.v[u], bottom);

            if (i + u < vocab && f.v[u] == f.v[u] && r < limit) {
                const unsigned at = atomicAdd(&count, 1u);

                list[at] = (uint64_t)r << 32 | (i + u);
                full |= at + 1 > ROOM - STEP;
            }
        }
        if (__syncthreads_or(full)) {
            n = count;
            sort(list, n);
            n = dk_min(n, k);
            if (threadIdx.x == 0)
                count = n;
            if (n == k)
                limit = (uint32_t)(list[k - 1] >> 32);
            __syncthreads();
        }
    }
    n = count;
    sort(list, n);
    for (unsigned j = threadIdx.x; j < k; j += THREADS) {
        id[row * k + j] = j < n ? (uint32_t)list[j] : 0;
        value[row * k + j] = j < n ? value_of(list[j], bottom) : dk_nan();
    }
}

size_t dk_cu_topk_work(size_t, size_t, size_t) { return 0; }

int dk_cu_topk(dk_cu_stream s, uint32_t *id, float *value, const float *p, const float *q, int end, size_t k,
               size_t rows, size_t vocab, void *)
{
    const bool vec = vocab % 4 == 0 && dk_fours(p) && dk_fours(q);

    if (k > K_MAX || vocab > UINT32_MAX)
        return DK_INVALID_VALUE;
    return rows && k ? DK_LAUNCH(topk_rows, dim3((unsigned)rows), dim3(THREADS), 0, s, id, value, p, q, end != 0,
                                 (unsigned)k, vocab, vec) : 0;
}
