/* What is done row by row or value by value between the products. */
#include "backend/cuda/device.cuh"

#include "backend/cuda/device_math.cuh"

/* --- norms: one block a row ------------------------------------------------------ */

static unsigned norm_threads(size_t width) { return width <= 1024 ? 128 : 256; }

/* x of the row from i on, with what is to be added to it, which is then stored. */
DK_DEVICE dk_four add_four(float *x, const float *add, size_t i, size_t n, bool vec)
{
    dk_four f = dk_load4(x, i, n, vec, 0);

    if (add) {
        const dk_four a = dk_load4(add, i, n, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] += a.v[u];
        dk_store4(x, i, n, vec, f);
    }
    return f;
}

static __global__ void __launch_bounds__(256)
add_norm(dk_rows_out out, float *x, const float *add, const float *w, const float *b, double eps, size_t width, bool vec)
{
    const size_t at = (size_t)blockIdx.x * width, step = 4 * blockDim.x;
    double sum[1] = { 0 }, mean = 0;
    float inv;

    x += at;
    add = add ? add + at : NULL;
    for (size_t i = 4 * threadIdx.x; i < width; i += step) {
        const dk_four f = add_four(x, add, i, width, vec);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            sum[0] += b ? (double)f.v[u] : (double)f.v[u] * f.v[u];
    }
    if (!out.y && !out.packed)
        return;
    dk_block_sums(sum);
    if (b) {
        mean = sum[0] / (double)width;
        sum[0] = 0;
        for (size_t i = 4 * threadIdx.x; i < width; i += step) {
            const dk_four f = dk_load4(x, i, width, vec, (float)mean);

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                if (i + u < width)
                    sum[0] += ((double)f.v[u] - mean) * ((double)f.v[u] - mean);
        }
        dk_block_sums(sum);
    }
    inv = (float)(1.0 / sqrt(sum[0] / (double)width + eps));
    for (size_t i = 4 * threadIdx.x; i < width; i += step) {
        const dk_four g = dk_load4(w, i, width, vec, 0);
        dk_four f = dk_load4(x, i, width, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] = b ? (float)((double)f.v[u] - mean) * inv * g.v[u] : f.v[u] * inv * g.v[u];
        if (b) {
            const dk_four h = dk_load4(b, i, width, vec, 0);

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] += h.v[u];
        }
        dk_out4(out, blockIdx.x, i, width, vec, f);
    }
    for (size_t i = width + threadIdx.x; out.packed && i < out.ld; i += blockDim.x)
        out.packed[blockIdx.x * out.ld + i] = 0;
}

static int norm_rows(dk_cu_stream s, const dk_rows_out &out, float *x, const float *add, const dk_cu_norm &norm,
                     size_t rows, size_t width)
{
    const bool vec = width % 4 == 0 && dk_out_fours(out) && dk_fours(x) && dk_fours(add) && dk_fours(norm.w) &&
                     dk_fours(norm.b);

    if (rows == 0 || width == 0)
        return 0;
    return DK_LAUNCH(add_norm, dim3((unsigned)rows), dim3(norm_threads(width)), 0, s, out, x, add, norm.w, norm.b,
                     norm.eps, width, vec);
}

int dk_cu_add_norm(dk_cu_stream s, float *y, float *x, const float *add, dk_cu_norm norm, size_t rows, size_t width)
{
    return norm_rows(s, dk_rows_out{ y, NULL, 0 }, x, add, norm, rows, width);
}

int dk_cu_add_norm_packed(dk_cu_stream s, uint16_t *y, size_t ld, float *x, const float *add, dk_cu_norm norm,
                          size_t rows, size_t width)
{
    return norm_rows(s, dk_rows_out{ NULL, y, ld }, x, add, norm, rows, width);
}

/* The formula: num/kernel_diff.c. */
static __global__ void __launch_bounds__(256)
add_norm_diff(dk_rows_out out, const float *x, float *dx, const float *dadd, const float *w, double eps, size_t width,
              bool vec)
{
    const size_t at = (size_t)blockIdx.x * width, step = 4 * blockDim.x;
    double sum[2] = { 0, 0 };
    dk_rms_pair r;

    x += at;
    dx += at;
    dadd = dadd ? dadd + at : NULL;
    for (size_t i = 4 * threadIdx.x; i < width; i += step) {
        const dk_four d = add_four(dx, dadd, i, width, vec), f = dk_load4(x, i, width, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++) {
            sum[0] += (double)f.v[u] * f.v[u];
            sum[1] += (double)d.v[u] * (2.0 * (double)f.v[u] + (double)d.v[u]);
        }
    }
    if (!out.y && !out.packed)
        return;
    dk_block_sums(sum);
    r = dk_rms_diff(sum[0], sum[1], width, eps);
    for (size_t i = 4 * threadIdx.x; i < width; i += step) {
        const dk_four g = dk_load4(w, i, width, vec, 0), f = dk_load4(x, i, width, vec, 0);
        dk_four d = dk_load4(dx, i, width, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            d.v[u] = (d.v[u] * r.inv + f.v[u] * r.dinv) * g.v[u];
        dk_out4(out, blockIdx.x, i, width, vec, d);
    }
    for (size_t i = width + threadIdx.x; out.packed && i < out.ld; i += blockDim.x)
        out.packed[blockIdx.x * out.ld + i] = 0;
}

static int diff_rows(dk_cu_stream s, const dk_rows_out &out, const float *x, float *dx, const float *dadd,
                     const dk_cu_norm &norm, size_t rows, size_t width)
{
    const bool vec = width % 4 == 0 && dk_out_fours(out) && dk_fours(x) && dk_fours(dx) && dk_fours(dadd) &&
                     dk_fours(norm.w);

    if (rows == 0 || width == 0)
        return 0;
    return DK_LAUNCH(add_norm_diff, dim3((unsigned)rows), dim3(norm_threads(width)), 0, s, out, x, dx, dadd, norm.w,
                     norm.eps, width, vec);
}

int dk_cu_add_norm_diff(dk_cu_stream s, float *dy, const float *x, float *dx, const float *dadd, dk_cu_norm norm,
                        size_t rows, size_t width)
{
    return diff_rows(s, dk_rows_out{ dy, NULL, 0 }, x, dx, dadd, norm, rows, width);
}

int dk_cu_add_norm_diff_packed(dk_cu_stream s, uint16_t *dy, size_t ld, const float *x, float *dx, const float *dadd,
                               dk_cu_norm norm, size_t rows, size_t width)
{
    return diff_rows(s, dk_rows_out{ NULL, dy, ld }, x, dx, dadd, norm, rows, width);
}

/* --- value by value: fours of a row by threads along x, rows along y --------------- */

#define DK_TILE dim3(64, 4)

static dim3 tiles(size_t rows, size_t n) { return dim3(dk_blocks(n, 4 * 64), dk_grid_y((rows + 3) / 4)); }
DK_DEVICE size_t my_column() { return 4 * ((size_t)blockIdx.x * 64 + threadIdx.x); }
DK_DEVICE size_t my_row() { return (size_t)blockIdx.y * 4 + threadIdx.y; }
DK_DEVICE size_t row_step() { return (size_t)gridDim.y * 4; }

static __global__ void gather(float *y, const float *x, const uint32_t *from, size_t rows, size_t n, bool vec)
{
    const size_t c = my_column();

    for (size_t i = my_row(); i < rows && c < n; i += row_step())
        dk_store4(y + i * n, c, n, vec, dk_load4(x + from[i] * n, c, n, vec, 0));
}

int dk_cu_gather(dk_cu_stream s, float *y, const float *x, const uint32_t *rows, size_t n, size_t width)
{
    const bool vec = width % 4 == 0 && dk_fours(y) && dk_fours(x);

    return n && width ? DK_LAUNCH(gather, tiles(n, width), DK_TILE, 0, s, y, x, rows, n, width, vec) : 0;
}

static __global__ void gather_bf16(float *y, const uint16_t *x, size_t ldx, const uint32_t *from, size_t rows, size_t n,
                                   bool vec)
{
    const size_t c = my_column();

    for (size_t i = my_row(); i < rows && c < n; i += row_step()) {
        const uint16_t *row = x + from[i] * ldx;
        dk_four f;

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] = c + u < n ? dk_bf16_up(row[c + u]) : 0;
        dk_store4(y + i * n, c, n, vec, f);
    }
}

int dk_cu_gather_bf16(dk_cu_stream s, float *y, const uint16_t *x, size_t ldx, const uint32_t *rows, size_t n,
                      size_t width)
{
    const bool vec = width % 4 == 0 && dk_fours(y);

    return n && width ? DK_LAUNCH(gather_bf16, tiles(n, width), DK_TILE, 0, s, y, x, ldx, rows, n, width, vec) : 0;
}

static __global__ void edit(float *x, const float *v, float strength, size_t rows, size_t n, bool vec)
{
    const size_t c = my_column();

    if (c >= n)
        return;
    const dk_four b = dk_load4(v, c, n, vec, 0);
    for (size_t i = my_row(); i < rows; i += row_step()) {
        dk_four f = dk_load4(x + i * n, c, n, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] += strength * b.v[u];
        dk_store4(x + i * n, c, n, vec, f);
    }
}

int dk_cu_edit(dk_cu_stream s, float *x, const float *v, float strength, size_t n_rows, size_t d)
{
    const bool vec = d % 4 == 0 && dk_fours(x) && dk_fours(v);

    return n_rows && d ? DK_LAUNCH(edit, tiles(n_rows, d), DK_TILE, 0, s, x, v, strength, n_rows, d, vec) : 0;
}

int dk_cu_add_bias(dk_cu_stream s, float *y, const float *bias, size_t rows, size_t n)
{
    return dk_cu_edit(s, y, bias, 1, rows, n);
}

/* Columns from n on become 0, to the last one that a four begins in. */
static __global__ void to_bf16(uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n, size_t end,
                               bool vec)
{
    const size_t c = my_column();

    for (size_t i = my_row(); i < rows && c < end; i += row_step()) {
        const bool whole = vec && c < n;
        const dk_four f = dk_load4(x + i * ldx, c, n, whole, 0);

        dk_store4_bf16(y + i * ldy, c, end, whole, f);
    }
}

int dk_cu_to_bf16(dk_cu_stream s, uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t m, size_t k)
{
    const bool vec = k % 4 == 0 && ldy % 4 == 0 && ldx % 4 == 0 && dk_fours(x) && (uintptr_t)y % 8 == 0;

    return m && k ? DK_LAUNCH(to_bf16, tiles(m, k), DK_TILE, 0, s, y, ldy, x, ldx, m, k, k, vec) : 0;
}

int dk_cu_pack(dk_cu_stream s, uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t m, size_t k)
{
    const bool vec = k % 4 == 0 && ldy % 4 == 0 && ldx % 4 == 0 && dk_fours(x) && (uintptr_t)y % 8 == 0;

    return m && k ? DK_LAUNCH(to_bf16, tiles(m, ldy), DK_TILE, 0, s, y, ldy, x, ldx, m, k, ldy, vec) : 0;
}

static __global__ void pack_side(uint16_t *w, size_t ldw, const float *bt, float scale, size_t row0, size_t rows,
                                 size_t col0, size_t r)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;

    if (i < rows)
        for (size_t j = blockIdx.y; j < r; j += gridDim.y)
            w[(row0 + i) * ldw + col0 + j] = (uint16_t)dk_bf16_pair(scale * bt[j * rows + i], 0);
}

int dk_cu_pack_side(dk_cu_stream s, uint16_t *w, size_t ldw, const float *bt, float scale, size_t row0, size_t rows,
                    size_t col0, size_t r)
{
    return rows && r ? DK_LAUNCH(pack_side, dim3(dk_blocks(rows, 64), dk_grid_y(r)), dim3(64), 0, s, w, ldw, bt, scale, row0, rows,
                                 col0, r) : 0;
}

/* --- all values alike -------------------------------------------------------------- */

enum { FLAT = 256, FLAT_BLOCKS = 4096 };

static dim3 flat_grid(size_t n)
{
    const size_t b = (n + 4 * FLAT - 1) / (4 * FLAT);

    return dim3((unsigned)(b < FLAT_BLOCKS ? b : (size_t)FLAT_BLOCKS));
}

static __global__ void sum(float *y, const float *a, const float *b, float sign, size_t n, bool aligned)
{
    const size_t step = (size_t)gridDim.x * FLAT * 4;

    for (size_t i = 4 * ((size_t)blockIdx.x * FLAT + threadIdx.x); i < n; i += step) {
        const bool vec = aligned && i + 4 <= n;
        const dk_four g = dk_load4(b, i, n, vec, 0);
        dk_four f = dk_load4(a, i, n, vec, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++)
            f.v[u] += sign * g.v[u];
        dk_store4(y, i, n, vec, f);
    }
}

int dk_cu_sum(dk_cu_stream s, float *y, const float *a, const float *b, float sign, size_t n)
{
    const bool vec = dk_fours(y) && dk_fours(a) && dk_fours(b);

    return n ? DK_LAUNCH(sum, flat_grid(n), dim3(FLAT), 0, s, y, a, b, sign, n, vec) : 0;
}

static __global__ void softcap(float *x, const float *base, size_t n, float cap, bool aligned)
{
    const size_t step = (size_t)gridDim.x * FLAT * 4;

    for (size_t i = 4 * ((size_t)blockIdx.x * FLAT + threadIdx.x); i < n; i += step) {
        const bool vec = aligned && i + 4 <= n;
        dk_four f = dk_load4(x, i, n, vec, 0);

        if (base) {
            const dk_four b = dk_load4(base, i, n, vec, 0);

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] = dk_capped_diff(f.v[u], b.v[u], cap);
        } else {
            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] = cap * tanhf(f.v[u] / cap);
        }
        dk_store4(x, i, n, vec, f);
    }
}

int dk_cu_softcap(dk_cu_stream s, float *x, const float *base, size_t n, float cap)
{
    return n ? DK_LAUNCH(softcap, flat_grid(n), dim3(FLAT), 0, s, x, base, n, cap, dk_fours(x) && dk_fours(base)) : 0;
}
