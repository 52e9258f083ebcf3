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

/* Where one end's lists go; [rows, k] each. */
struct lists { uint32_t *id; float *value; bool bottom; };

/* One end's list of a row while it is read. */
struct taken { uint64_t *entry; unsigned *count; uint32_t limit; };

/* Takes what is beyond the limit; whether the list may overflow with the next step. */
DK_DEVICE bool take(const taken &t, const dk_four &f, size_t i, size_t vocab, bool bottom)
{
    bool full = false;

    DK_UNROLL
    for (int u = 0; u < 4; u++) {
        const uint32_t r = rank_of(f.v[u], bottom);

        if (i + u < vocab && f.v[u] == f.v[u] && r < t.limit) {
            const unsigned at = atomicAdd(t.count, 1u);

            t.entry[at] = (uint64_t)r << 32 | (i + u);
            full |= at + 1 > ROOM - STEP;
        }
    }
    return full;
}

DK_DEVICE dk_four differences(const float *p, const float *q, size_t i, size_t vocab, bool vec)
{
    dk_four f = dk_load4(p, i, vocab, vec && i < vocab, dk_nan());

    if (q) {
        const dk_four g = dk_load4(q, i, vocab, vec && i < vocab, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] -= g.v[u];
    }
    return f;
}

/* One end, or both from one reading. */
template <int ENDS>
static __global__ void __launch_bounds__(THREADS)
topk_rows(lists a, lists b, const float *p, const float *q, unsigned k, size_t vocab, bool vec)
{
    DK_DYN_SHARED(uint64_t, entries);       /* [ENDS][ROOM] */
    __shared__ unsigned count[ENDS];
    const size_t row = blockIdx.x;
    taken t[ENDS];
    dk_four f;

    p += row * vocab;
    q = q ? q + row * vocab : NULL;
    DK_UNROLL
    for (int e = 0; e < ENDS; e++) {
        const bool bottom = (e ? b : a).bottom;

        t[e].entry = entries + e * ROOM;
        t[e].count = &count[e];
        t[e].limit = rank_of(bottom ? dk_inf() : -dk_inf(), bottom);
    }
    if (threadIdx.x < ENDS)
        count[threadIdx.x] = 0;
    __syncthreads();
    f = differences(p, q, 4 * threadIdx.x, vocab, vec);
    for (size_t base = 0; base < vocab; base += STEP) {
        const size_t i = base + 4 * threadIdx.x;
        const dk_four now = f;
        bool full = false;

        f = differences(p, q, i + STEP, vocab, vec);        /* on its way while these are looked at */
        DK_UNROLL
        for (int e = 0; e < ENDS; e++)
            full |= take(t[e], now, i, vocab, (e ? b : a).bottom);
        if (!__syncthreads_or(full))
            continue;
        DK_UNROLL
        for (int e = 0; e < ENDS; e++) {
            const unsigned n = dk_min(count[e], k);

            sort(t[e].entry, count[e]);
            if (n == k)
                t[e].limit = (uint32_t)(t[e].entry[k - 1] >> 32);
            if (threadIdx.x == 0)
                count[e] = n;
            __syncthreads();
        }
    }
    DK_UNROLL
    for (int e = 0; e < ENDS; e++) {
        const lists &to = e ? b : a;
        const unsigned n = count[e];

        sort(t[e].entry, n);
        for (unsigned j = threadIdx.x; j < k; j += THREADS) {
            to.id[row * k + j] = j < n ? (uint32_t)t[e].entry[j] : 0;
            to.value[row * k + j] = j < n ? value_of(t[e].entry[j], to.bottom) : dk_nan();
        }
    }
}

template <int ENDS>
static int launch(dk_cu_stream s, const lists &a, const lists &b, const float *p, const float *q, size_t k, size_t rows,
                  size_t vocab)
{
    const bool vec = vocab % 4 == 0 && dk_fours(p) && dk_fours(q);
    const size_t bytes = ENDS * ROOM * sizeof(uint64_t);
    const int rc = k > K_MAX || vocab > UINT32_MAX ? DK_INVALID_VALUE : dk_allow_shared(topk_rows<ENDS>, bytes);

    if (rc || rows == 0 || k == 0)
        return rc;
    return DK_LAUNCH((topk_rows<ENDS>), dim3((unsigned)rows), dim3(THREADS), bytes, s, a, b, p, q, (unsigned)k, vocab, vec);
}

int dk_cu_topk(dk_cu_stream s, uint32_t *id, float *value, const float *p, const float *q, int end, size_t k,
               size_t rows, size_t vocab)
{
    const lists a = { id, value, end != 0 };

    return launch<1>(s, a, a, p, q, k, rows, vocab);
}

int dk_cu_topk_both(dk_cu_stream s, uint32_t *top_id, float *top, uint32_t *bottom_id, float *bottom, const float *p,
                    const float *q, size_t k, size_t rows, size_t vocab)
{
    const lists a = { top_id, top, false }, b = { bottom_id, bottom, true };

    return launch<2>(s, a, b, p, q, k, rows, vocab);
}
