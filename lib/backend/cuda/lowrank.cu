/* The low-rank side path in f32. */
#include "backend/cuda/device.cuh"

/* --- t = x at: 32 x 32 of t a block.  Each warp takes its own part of the depth; the
 * eight parts are added in order at the end. */

enum { SIDE = 32, DEPTH = 128, WARPS = 8, THREADS = 32 * WARPS, PART = DEPTH / WARPS, LDX = DEPTH + 4, MINE = 4 };

/* The next tiles, on their way from memory while the last ones are used. */
struct flight { dk_four x[MINE], a[MINE]; };

DK_DEVICE void fetch(flight &f, const float *x, size_t ldx, const float *at, size_t m, size_t k, size_t rp, size_t row0,
                     size_t col0, size_t k0, bool vec)
{
    DK_UNROLL
    for (int i = 0; i < MINE; i++) {
        const unsigned e = i * THREADS + threadIdx.x;
        const size_t row = row0 + e / (DEPTH / 4), t = k0 + e % (DEPTH / 4) * 4;
        const size_t depth = k0 + e / (SIDE / 4), col = col0 + e % (SIDE / 4) * 4;

        f.x[i] = dk_load4(x + (row < m ? row : 0) * ldx, t, row < m ? k : 0, vec && row < m && t < k, 0);
        f.a[i] = dk_load4(at + (depth < k ? depth : 0) * rp, col, depth < k ? rp : 0, vec && depth < k && col < rp, 0);
    }
}

static __global__ void __launch_bounds__(THREADS)
lowrank_in(float *t, const float *x, size_t ldx, const float *at, size_t m, size_t k, size_t rp, bool vec)
{
    alignas(16) __shared__ float pool[WARPS * SIDE * (SIDE + 1) + 4];     /* tiles first, then the eight parts */
    float *xs = pool, *as = pool + SIDE * LDX;
    const size_t row0 = (size_t)blockIdx.y * SIDE, col0 = (size_t)blockIdx.x * SIDE;
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 8, c = lane % 8 * 4;
    float acc[8][4] = { { 0 } };
    flight f;

    static_assert(SIDE * LDX + DEPTH * SIDE <= WARPS * SIDE * (SIDE + 1) + 4, "the pool holds both tiles");
    fetch(f, x, ldx, at, m, k, rp, row0, col0, 0, vec);
    for (size_t k0 = 0; k0 < k; k0 += DEPTH) {
        __syncthreads();
        DK_UNROLL
        for (int i = 0; i < MINE; i++) {
            const unsigned e = i * THREADS + threadIdx.x;

            dk_store4(xs + e / (DEPTH / 4) * LDX, e % (DEPTH / 4) * 4, 0, true, f.x[i]);
            dk_store4(as + e / (SIDE / 4) * SIDE, e % (SIDE / 4) * 4, 0, true, f.a[i]);
        }
        __syncthreads();
        if (k0 + DEPTH < k)
            fetch(f, x, ldx, at, m, k, rp, row0, col0, k0 + DEPTH, vec);
        DK_UNROLL
        for (unsigned d = 0; d < PART; d += 4) {
            const unsigned depth = warp * PART + d;
            dk_four w[4];

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                w[u] = dk_load4(as + (depth + u) * SIDE, c, 0, true, 0);
            DK_UNROLL
            for (int i = 0; i < 8; i++) {
                const dk_four v = dk_load4(xs + (g + 4 * i) * LDX, depth, 0, true, 0);

                DK_UNROLL
                for (int u = 0; u < 4; u++)
                    DK_UNROLL
                    for (int j = 0; j < 4; j++)
                        acc[i][j] += v.v[u] * w[u].v[j];
            }
        }
    }
    __syncthreads();
    DK_UNROLL
    for (int i = 0; i < 8; i++)
        DK_UNROLL
        for (int j = 0; j < 4; j++)
            pool[(warp * SIDE + g + 4 * i) * (SIDE + 1) + c + j] = acc[i][j];
    __syncthreads();
    for (unsigned e = threadIdx.x; e < SIDE * SIDE; e += THREADS) {
        const unsigned r = e / SIDE, col = e % SIDE;
        float s = 0;

        for (unsigned w = 0; w < WARPS; w++)
            s += pool[(w * SIDE + r) * (SIDE + 1) + col];
        if (row0 + r < m && col0 + col < rp)
            t[(row0 + r) * rp + col0 + col] = s;
    }
}

int dk_cu_lowrank_in(dk_cu_stream s, float *t, const float *x, size_t ldx, const float *at, size_t m, size_t k, size_t rp)
{
    const bool vec = k % 4 == 0 && rp % 4 == 0 && ldx % 4 == 0 && dk_fours(x) && dk_fours(at);

    /* The grid's y ends at 65535: two million rows a launch. */
    for (size_t at_row = 0; rp && at_row < m; at_row += (size_t)65535 * SIDE) {
        const size_t rows = m - at_row < (size_t)65535 * SIDE ? m - at_row : (size_t)65535 * SIDE;
        const int rc = DK_LAUNCH(lowrank_in, dim3(dk_blocks(rp, SIDE), dk_blocks(rows, SIDE)), dim3(THREADS), 0, s,
                                 t + at_row * rp, x + at_row * ldx, ldx, at, rows, k, rp, vec);

        if (rc)
            return rc;
    }
    return 0;
}

/* --- y += scale t bt: 64 x 128 of y a block, 8 x 4 a thread -------------------------- */

enum { OUT_ROWS = 64, OUT_COLS = 128, RANKS = 32, LDT = RANKS + 4 };

static __global__ void __launch_bounds__(256)
lowrank_out(float *y, size_t ldy, const float *t, size_t ldt, const float *bt, size_t m, size_t r, size_t n, float scale,
            bool vec)
{
    alignas(16) __shared__ float ts[OUT_ROWS * LDT];
    const size_t row0 = (size_t)blockIdx.y * OUT_ROWS, col = (size_t)blockIdx.x * OUT_COLS + threadIdx.x % 32 * 4;
    const unsigned warp = threadIdx.x / 32;
    const bool in = col < n;
    dk_four old[8];
    float acc[8][4] = { { 0 } };

    DK_UNROLL
    for (int i = 0; i < 8; i++) {
        const size_t row = row0 + warp + 8 * i;

        old[i] = dk_load4(y + (row < m ? row : 0) * ldy, col, row < m ? n : 0, vec && in && row < m, 0);
    }
    for (size_t r0 = 0; r0 < r; r0 += RANKS) {
        const unsigned ranks = (unsigned)dk_min(r - r0, (size_t)RANKS);

        __syncthreads();
        for (unsigned e = threadIdx.x; e < OUT_ROWS * RANKS; e += 256) {
            const unsigned i = e / RANKS, j = e % RANKS;

            ts[i * LDT + j] = row0 + i < m && j < ranks ? t[(row0 + i) * ldt + r0 + j] : 0;
        }
        __syncthreads();
        for (unsigned j = 0; j < ranks; j += 4) {
            dk_four w[4];

            DK_UNROLL
            for (unsigned u = 0; u < 4; u++)
                w[u] = dk_load4(bt + (j + u < ranks ? r0 + j + u : 0) * n, col, j + u < ranks ? n : 0,
                                vec && in && j + u < ranks, 0);
            DK_UNROLL
            for (int i = 0; i < 8; i++) {
                const dk_four v = dk_load4(ts + (warp + 8 * i) * LDT, j, 0, true, 0);

                DK_UNROLL
                for (int u = 0; u < 4; u++)
                    DK_UNROLL
                    for (int c = 0; c < 4; c++)
                        acc[i][c] += v.v[u] * w[u].v[c];
            }
        }
    }
    DK_UNROLL
    for (int i = 0; i < 8; i++) {
        const size_t row = row0 + warp + 8 * i;

        DK_UNROLL
        for (int c = 0; c < 4; c++)
            old[i].v[c] += scale * acc[i][c];
        if (row < m && in)
            dk_store4(y + row * ldy, col, n, vec, old[i]);
    }
}

int dk_cu_lowrank_out(dk_cu_stream s, float *y, size_t ldy, const float *t, size_t ldt, const float *bt, size_t m,
                      size_t r, size_t n, float scale)
{
    const bool vec = n % 4 == 0 && ldy % 4 == 0 && dk_fours(y) && dk_fours(bt);
    const size_t most = (size_t)65535 * OUT_ROWS;

    for (size_t at = 0; n && at < m; at += most) {
        const size_t rows = m - at < most ? m - at : most;
        const int rc = DK_LAUNCH(lowrank_out, dim3(dk_blocks(n, OUT_COLS), dk_blocks(rows, OUT_ROWS)), dim3(256), 0, s,
                                 y + at * ldy, ldy, t + at * ldt, ldt, bt, rows, r, n, scale, vec);

        if (rc)
            return rc;
    }
    return 0;
}
