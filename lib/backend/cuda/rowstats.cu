/* Statistics of rows: exact sums of their columns, products of rows with
 * themselves and each other, x^T x.
 *
 * The exact ones are integers, and the others' terms are exact in double and added
 * in the order that the CPU has: but for x^T x, results have the CPU's bits. */
#include "backend/cuda/device.cuh"

enum { THREADS = 128 };

/* num/exact.h, here. */
DK_DEVICE dk_cu_exact exact_of(double v)
{
    const double s = v * 0x1p60;
    const long long high = __double2ll_rn(s * 0x1p-46);

    return (dk_cu_exact)high * ((dk_cu_exact)1 << 46) + __double2ll_rn(s - (double)high * 0x1p46);
}

/* The 64 highest bits with a mark of what is below them, then rounded once. */
DK_DEVICE double exact_double(dk_cu_exact x)
{
    const unsigned __int128 a = x < 0 ? -(unsigned __int128)x : (unsigned __int128)x;
    const uint64_t high = (uint64_t)(a >> 64);
    const int drop = high ? 64 - __clzll((long long)high) : 0;
    const uint64_t top = (uint64_t)(a >> drop) | (drop && (uint64_t)a << (64 - drop) ? 1 : 0);
    const double v = ldexp((double)top, drop - 60);

    return x < 0 ? -v : v;
}

/* --- columns ------------------------------------------------------------------------ */

/* A thread a column of a document, rows in order. */
static __global__ void __launch_bounds__(THREADS)
doc_sums(dk_cu_doc_sums to, const float *x, const uint32_t *doc, size_t n_docs, size_t width)
{
    const size_t j = (size_t)blockIdx.x * THREADS + threadIdx.x;

    for (size_t k = blockIdx.y; j < width && k < n_docs; k += gridDim.y) {
        const size_t first = doc[k], end = doc[k + 1];
        dk_cu_exact sum = 0, sumsq = 0;
        float low = 0, high = 0;

        for (size_t r = first; r < end; r++) {
            const float v = x[r * width + j];

            sum += exact_of(v);
            sumsq += exact_of((double)v * (double)v);
            low = r == first || v < low ? v : low;
            high = r == first || v > high ? v : high;
        }
        to.sum[k * width + j] = sum;
        if (to.rounded)
            to.rounded[k * width + j] = exact_double(sum);
        to.sumsq[k * width + j] = sumsq;
        to.min[k * width + j] = low;
        to.max[k * width + j] = high;
    }
}

int dk_cu_doc_sums_of(dk_cu_stream s, const dk_cu_doc_sums *to, const float *x, const uint32_t *doc, size_t n_docs,
                      size_t width)
{
    return n_docs && width ? DK_LAUNCH(doc_sums, dim3(dk_blocks(width, THREADS), dk_grid_y(n_docs)), dim3(THREADS), 0,
                                       s, *to, x, doc, n_docs, width) : 0;
}

/* A thread a column, documents in order. */
static __global__ void __launch_bounds__(THREADS)
add_docs(dk_cu_column_sums to, dk_cu_doc_sums from, const uint32_t *doc, size_t n_docs, size_t width)
{
    const size_t j = (size_t)blockIdx.x * THREADS + threadIdx.x;
    dk_cu_exact sum = 0, sumsq = 0, means = 0, squares = 0;
    float low, high;

    if (j >= width)
        return;
    low = to.min[j];
    high = to.max[j];
    for (size_t k = 0; k < n_docs; k++) {
        const size_t at = k * width + j, rows = doc[k + 1] - doc[k];
        double mean;

        if (rows == 0)
            continue;
        sum += from.sum[at];
        sumsq += from.sumsq[at];
        low = !(low <= from.min[at]) ? from.min[at] : low;      /* NaN: nothing yet */
        high = !(high >= from.max[at]) ? from.max[at] : high;
        mean = exact_double(from.sum[at]) / (double)rows;
        means += exact_of(mean);
        squares += exact_of(mean * mean);
    }
    to.sum[j] += sum;
    to.sumsq[j] += sumsq;
    to.doc_mean[j] += means;
    to.doc_mean_sq[j] += squares;
    to.min[j] = low;
    to.max[j] = high;
}

int dk_cu_add_docs(dk_cu_stream s, const dk_cu_column_sums *to, const dk_cu_doc_sums *from, const uint32_t *doc,
                   size_t n_docs, size_t width)
{
    return n_docs && width ? DK_LAUNCH(add_docs, dim3(dk_blocks(width, THREADS)), dim3(THREADS), 0, s, *to, *from, doc,
                                       n_docs, width) : 0;
}

/* A thread a column of a position: its rows are list[first[p] .. first[p + 1] - 1]. */
static __global__ void __launch_bounds__(THREADS)
pos_sums(dk_cu_exact *sum, const float *x, const uint32_t *first, const uint32_t *list, size_t n_pos, size_t width)
{
    const size_t j = (size_t)blockIdx.x * THREADS + threadIdx.x;

    for (size_t p = blockIdx.y; j < width && p < n_pos; p += gridDim.y) {
        dk_cu_exact total = 0;

        for (size_t i = first[p]; i < first[p + 1]; i++)
            total += exact_of(x[(size_t)list[i] * width + j]);
        sum[p * width + j] = total;
    }
}

int dk_cu_pos_sums(dk_cu_stream s, dk_cu_exact *sum, const float *x, const uint32_t *first, const uint32_t *list,
                   size_t n_pos, size_t width)
{
    return n_pos && width ? DK_LAUNCH(pos_sums, dim3(dk_blocks(width, THREADS), dk_grid_y(n_pos)), dim3(THREADS), 0, s,
                                      sum, x, first, list, n_pos, width) : 0;
}

/* --- rows ---------------------------------------------------------------------------- */

enum { ROWS = 32 };

/* 32 rows a block, a lane a row; warp q adds up product q of them, values in order. */
static __global__ void __launch_bounds__(4 * ROWS)
row_products(double *out, const float *own, const float *base, const float *diff, size_t rows, size_t width)
{
    __shared__ float a[ROWS][ROWS + 1], b[ROWS][ROWS + 1], e[ROWS][ROWS + 1];
    const unsigned lane = threadIdx.x % ROWS, q = threadIdx.x / ROWS;
    const size_t row0 = (size_t)blockIdx.x * ROWS;
    double sum = 0;

    for (size_t j0 = 0; j0 < width; j0 += ROWS) {
        const unsigned n = width - j0 < ROWS ? (unsigned)(width - j0) : (unsigned)ROWS;

        __syncthreads();
        for (unsigned r = q; r < ROWS; r += 4) {
            const bool in = row0 + r < rows && lane < n;
            const size_t at = (row0 + r) * width + j0 + lane;
            const float x = in ? own[at] : 0, y = in && base ? base[at] : 0;

            a[r][lane] = x;
            b[r][lane] = y;
            e[r][lane] = in && diff ? diff[at] : x - y;
        }
        __syncthreads();
        for (unsigned j = 0; j < n && (q == 0 || base); j++) {
            const double x = q == 0 || q == 2 ? a[lane][j] : q == 1 ? b[lane][j] : e[lane][j];
            const double y = q == 2 ? (double)b[lane][j] : x;

            sum += x * y;
        }
    }
    if (row0 + lane < rows)
        out[(row0 + lane) * 4 + q] = sum;
}

int dk_cu_row_products(dk_cu_stream s, double *out, const float *own, const float *base, const float *diff, size_t rows,
                       size_t width)
{
    return rows ? DK_LAUNCH(row_products, dim3(dk_blocks(rows, ROWS)), dim3(4 * ROWS), 0, s, out, own, base, diff, rows,
                            width) : 0;
}

/* --- x^T x ----------------------------------------------------------------------------- */

enum { TILE = 64, DEPTH = 16 };

/* 64 x 64 of the upper triangle a block: its products are exact in double. */
static __global__ void __launch_bounds__(256) scatter(double *c, const float *x, size_t n, size_t d, unsigned tiles)
{
    __shared__ double as[DEPTH][TILE], bs[DEPTH][TILE];
    const unsigned bi = blockIdx.x / tiles, bj = blockIdx.x % tiles, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    double acc[4][4] = { { 0 } };

    if (bj < bi)
        return;
    for (size_t r0 = 0; r0 < n; r0 += DEPTH) {
        __syncthreads();
        for (unsigned i = threadIdx.x; i < TILE * DEPTH; i += 256) {
            const unsigned t = i / TILE, col = i % TILE;
            const float *row = x + (r0 + t) * d;

            as[t][col] = r0 + t < n && (size_t)bi * TILE + col < d ? (double)row[(size_t)bi * TILE + col] : 0;
            bs[t][col] = r0 + t < n && (size_t)bj * TILE + col < d ? (double)row[(size_t)bj * TILE + col] : 0;
        }
        __syncthreads();
        for (int t = 0; t < DEPTH; t++) {
            double xv[4], yv[4];

            DK_UNROLL
            for (int i = 0; i < 4; i++) {
                xv[i] = as[t][ty + 16 * i];
                yv[i] = bs[t][tx + 16 * i];
            }
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
        for (int j = 0; j < 4; j++) {
            const size_t row = (size_t)bi * TILE + ty + 16 * i, col = (size_t)bj * TILE + tx + 16 * j;

            if (col < d && row <= col)
                c[row * d + col] += acc[i][j];
        }
}

int dk_cu_scatter(dk_cu_stream s, double *c, const float *x, size_t n, size_t d)
{
    const unsigned tiles = dk_blocks(d, TILE);

    return n && d ? DK_LAUNCH(scatter, dim3(tiles * tiles), dim3(256), 0, s, c, x, n, d, tiles) : 0;
}
