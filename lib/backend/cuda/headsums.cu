/* Sums and counts over rows for every vocabulary id: integers, so exact. */
#include "backend/cuda/device.cuh"

enum { THREADS = 256 };

/* A thread a column, rows in order. */
static __global__ void __launch_bounds__(THREADS)
vocab_sums(int64_t *sum, int32_t *positive, int *bad, const float *p, const float *q, size_t rows, size_t vocab)
{
    const size_t v = (size_t)blockIdx.x * THREADS + threadIdx.x;
    long long total = 0;
    int above = 0;
    bool ok = true;

    if (v >= vocab)
        return;
#ifndef DK_CUEMU
    #pragma unroll 8
#endif
    for (size_t i = 0; i < rows; i++) {
        const float a = p[i * vocab + v], b = q ? q[i * vocab + v] : 0, d = a - b;
        const bool in = d < 1048576.0f && d > -1048576.0f;

        total += in ? __double2ll_rn(((double)a - (double)b) * 1073741824.0) : 0;
        above += d > 0;
        ok = ok && in;
    }
    sum[v] += total;
    positive[v] += above;
    if (!ok)
        *bad = 1;       /* all that write, write the same */
}

int dk_cu_vocab_sums(dk_cu_stream s, int64_t *sum, int32_t *positive, int *bad, const float *p, const float *q,
                     size_t rows, size_t vocab)
{
    return rows && vocab ? DK_LAUNCH(vocab_sums, dim3(dk_blocks(vocab, THREADS)), dim3(THREADS), 0, s, sum, positive,
                                     bad, p, q, rows, vocab) : 0;
}

static __global__ void count_ids(int64_t *count, const uint32_t *id, size_t n)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;

    if (i < n)
        atomicAdd(reinterpret_cast<unsigned long long *>(count) + id[i], 1ull);
}

int dk_cu_count(dk_cu_stream s, int64_t *count, const uint32_t *id, size_t n)
{
    return n ? DK_LAUNCH(count_ids, dim3(dk_blocks(n, THREADS)), dim3(THREADS), 0, s, count, id, n) : 0;
}
