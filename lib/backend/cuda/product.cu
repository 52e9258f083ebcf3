/* The product that needs no library. */
#include "backend/cuda/device.cuh"

/* --- c = a b^T: 64 x 64 of c a block, 4 x 4 a thread ------------------------------- */

enum { TILE = 64, DEPTH = 16, PAD = 4 };

template <bool BF16> DK_DEVICE float value(const void *p, size_t i)
{
    return BF16 ? dk_bf16_up(static_cast<const uint16_t *>(p)[i]) : static_cast<const float *>(p)[i];
}

template <bool BF16>
static __global__ void __launch_bounds__(256)
product(float *c, size_t ldc, const void *a, size_t lda, const void *b, size_t ldb, size_t m, size_t n, size_t k,
        unsigned tiles_m)
{
    alignas(16) __shared__ float as[DEPTH][TILE + PAD], bs[DEPTH][TILE + PAD];
    const size_t row0 = (size_t)(blockIdx.x % tiles_m) * TILE, col0 = (size_t)(blockIdx.x / tiles_m) * TILE;
    const unsigned tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float acc[4][4] = { { 0 } };

    for (size_t k0 = 0; k0 < k; k0 += DEPTH) {
        __syncthreads();
        for (unsigned i = threadIdx.x; i < TILE * DEPTH; i += 256) {
            const unsigned r = i / DEPTH, t = i % DEPTH;

            as[t][r] = row0 + r < m && k0 + t < k ? value<BF16>(a, (row0 + r) * lda + k0 + t) : 0;
            bs[t][r] = col0 + r < n && k0 + t < k ? value<BF16>(b, (col0 + r) * ldb + k0 + t) : 0;
        }
        __syncthreads();
        DK_UNROLL
        for (int t = 0; t < DEPTH; t++) {
            const float4 x = *reinterpret_cast<const float4 *>(&as[t][4 * ty]);
            const float4 y = *reinterpret_cast<const float4 *>(&bs[t][4 * tx]);
            const float xv[4] = { x.x, x.y, x.z, x.w }, yv[4] = { y.x, y.y, y.z, y.w };

            DK_UNROLL
            for (int i = 0; i < 4; i++)
                DK_UNROLL
                for (int j = 0; j < 4; j++)
                    acc[i][j] += xv[i] * yv[j];
        }
    }
    DK_UNROLL
    for (int i = 0; i < 4; i++)
        DK_UNROLL
        for (int j = 0; j < 4; j++)
            if (row0 + 4 * ty + i < m && col0 + 4 * tx + j < n)
                c[(row0 + 4 * ty + i) * ldc + col0 + 4 * tx + j] = acc[i][j];
}

int dk_cu_product(dk_cu_stream s, float *c, size_t ldc, const void *a, size_t lda, const void *b, size_t ldb, size_t m,
                  size_t n, size_t k, int bf16)
{
    const unsigned tiles_m = dk_blocks(m, TILE);
    const dim3 grid(tiles_m * dk_blocks(n, TILE));

    if (m == 0 || n == 0)
        return 0;
    if (bf16)
        return DK_LAUNCH((product<true>), grid, dim3(256), 0, s, c, ldc, a, lda, b, ldb, m, n, k, tiles_m);
    return DK_LAUNCH((product<false>), grid, dim3(256), 0, s, c, ldc, a, lda, b, ldb, m, n, k, tiles_m);
}
