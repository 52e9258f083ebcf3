/* Activations, and what is done to queries and keys before attention. */
#include "backend/cuda/device.cuh"
#include "backend/cuda/device_math.cuh"

/* A kernel a form: fours of a row by threads along x, rows along y. */
template <int FORM, bool DIFF>
static __global__ void act(dk_rows_out out, const float *x, const float *base, size_t rows, size_t n, bool vec)
{
    const bool gated = FORM == DK_CU_SILU_GATE || FORM == DK_CU_GELU_GATE;
    const bool silu = FORM == DK_CU_SILU_GATE || FORM == DK_CU_SILU_PLAIN;
    const size_t c = 4 * ((size_t)blockIdx.x * 64 + threadIdx.x), wide = gated ? 2 * n : n;

    for (size_t i = (size_t)blockIdx.y * 4 + threadIdx.y; i < rows && c < n; i += (size_t)gridDim.y * 4) {
        const float *row = x + i * wide;
        const dk_four g = dk_load4(row, c, n, vec, 0);
        dk_four f, up = { { 1, 1, 1, 1 } };

        if (gated)
            up = dk_load4(row + n, c, n, vec, 0);
        if (DIFF) {
            const dk_four bg = dk_load4(base + i * wide, c, n, vec, 0), bu = dk_load4(base + i * wide + n, c, n, vec, 0);

            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] = silu ? dk_silu_gate_diff(bg.v[u], g.v[u], bu.v[u], up.v[u])
                              : dk_gelu_gate_diff(bg.v[u], g.v[u], bu.v[u], up.v[u]);
        } else {
            DK_UNROLL
            for (int u = 0; u < 4; u++)
                f.v[u] = (silu ? dk_silu1(g.v[u]) : dk_gelu1(g.v[u])) * up.v[u];
        }
        dk_out4(out, i, c, n, vec, f);
        for (size_t j = n + c; out.packed && j < n + c + 4 && j < out.ld; j++)
            out.packed[i * out.ld + j] = 0;
    }
}

static int act_rows(dk_cu_stream s, int form, const dk_rows_out &y, const float *x, const float *base, size_t rows,
                    size_t n)
{
    const bool vec = n % 4 == 0 && dk_out_fours(y) && dk_fours(x) && dk_fours(base);
    const dim3 grid(dk_blocks(n, 4 * 64), dk_grid_y((rows + 3) / 4)), block(64, 4);

    if (rows == 0 || n == 0)
        return 0;
    if (base && form == DK_CU_SILU_GATE)
        return DK_LAUNCH((act<DK_CU_SILU_GATE, true>), grid, block, 0, s, y, x, base, rows, n, vec);
    if (base && form == DK_CU_GELU_GATE)
        return DK_LAUNCH((act<DK_CU_GELU_GATE, true>), grid, block, 0, s, y, x, base, rows, n, vec);
    switch (base ? -1 : form) {
    case DK_CU_SILU_GATE:
        return DK_LAUNCH((act<DK_CU_SILU_GATE, false>), grid, block, 0, s, y, x, base, rows, n, vec);
    case DK_CU_GELU_GATE:
        return DK_LAUNCH((act<DK_CU_GELU_GATE, false>), grid, block, 0, s, y, x, base, rows, n, vec);
    case DK_CU_SILU_PLAIN:
        return DK_LAUNCH((act<DK_CU_SILU_PLAIN, false>), grid, block, 0, s, y, x, base, rows, n, vec);
    case DK_CU_GELU_PLAIN:
        return DK_LAUNCH((act<DK_CU_GELU_PLAIN, false>), grid, block, 0, s, y, x, base, rows, n, vec);
    default:
        return DK_INVALID_VALUE;
    }
}

int dk_cu_act(dk_cu_stream s, int form, float *y, const float *x, const float *base, size_t rows, size_t n)
{
    return act_rows(s, form, dk_rows_out{ y, NULL, 0 }, x, base, rows, n);
}

/* Each thread clears four values behind the row, so there may be n of them. */
int dk_cu_act_packed(dk_cu_stream s, int form, uint16_t *y, size_t ld, const float *x, const float *base, size_t rows,
                     size_t n)
{
    return ld > 2 * n ? DK_INVALID_VALUE : act_rows(s, form, dk_rows_out{ NULL, y, ld }, x, base, rows, n);
}

/* --- queries and keys: a warp a head ------------------------------------------------ */

/* What a norm does to value t of the head; d: its difference, where x is the base. */
struct head_norm { const float *w, *b; double mean; float inv, dinv; };

DK_DEVICE float normed(const head_norm &n, float x, float d, bool diff, unsigned t)
{
    if (!n.w)
        return diff ? d : x;
    if (diff)
        return (d * n.inv + x * n.dinv) * n.w[t];
    if (n.b)
        return (float)((double)x - n.mean) * n.inv * n.w[t] + n.b[t];
    return x * n.inv * n.w[t];
}

/* The whole warp calls it.  x: of the head; d NULL, or then x is the base's. */
DK_DEVICE head_norm head_norm_of(const float *x, const float *d, const dk_cu_norm &norm, unsigned hd)
{
    const unsigned lane = threadIdx.x % 32;
    head_norm r = { norm.w, norm.b, 0, 0, 0 };
    double s = 0, c = 0;

    if (!norm.w)
        return r;
    if (norm.b) {
        for (unsigned t = lane; t < hd; t += 32)
            c += (double)x[t];
        r.mean = dk_warp_sum(c) / hd;
    }
    c = 0;
    for (unsigned t = lane; t < hd; t += 32) {
        const double v = (double)x[t] - r.mean;

        s += v * v;
        if (d)
            c += (double)d[t] * (2.0 * (double)x[t] + (double)d[t]);
    }
    s = dk_warp_sum(s);
    c = dk_warp_sum(c);
    if (d) {
        const dk_rms_pair p = dk_rms_diff(s, c, hd, norm.eps);

        r.inv = p.inv;
        r.dinv = p.dinv;
    } else {
        r.inv = (float)(1.0 / sqrt(s / (double)hd + norm.eps));
    }
    return r;
}

enum { PLACE_WARPS = 4 };

static __global__ void __launch_bounds__(32 * PLACE_WARPS)
place_rows(float *x, const float *base, size_t heads, const uint32_t *pos, uint32_t rows, dk_cu_place a)
{
    const unsigned nh = a.n_heads + a.n_kv, half = a.hd / 2, lane = threadIdx.x % 32;
    const size_t at = (size_t)blockIdx.x * PLACE_WARPS + threadIdx.x / 32;

    if (at >= heads)        /* whole warps */
        return;
    const size_t row = at / nh, wide = (size_t)(a.n_heads + 2 * a.n_kv) * a.hd;
    const unsigned h = (unsigned)(at % nh);
    const bool is_q = h < a.n_heads;
    const dk_cu_norm norm = { is_q ? a.q_norm.w : a.k_norm.w, is_q ? a.q_norm.b : a.k_norm.b,
                              is_q ? a.q_norm.eps : a.k_norm.eps };
    float *own = x + row * wide + (size_t)h * a.hd;
    const float *other = base ? base + row % rows * wide + (size_t)h * a.hd : NULL;
    const head_norm n = other ? head_norm_of(other, own, norm, a.hd) : head_norm_of(own, NULL, norm, a.hd);
    const size_t turn = (size_t)pos[row % rows] * half;

    /* Each lane reads and writes its own pairs alone. */
    for (unsigned t = lane; t < half; t += 32) {
        const float u = normed(n, other ? other[t] : own[t], own[t], other != NULL, t);
        const float v = normed(n, other ? other[t + half] : own[t + half], own[t + half], other != NULL, t + half);

        if (a.cosines) {
            const float co = a.cosines[turn + t], si = a.sines[turn + t];

            own[t] = u * co - v * si;
            own[t + half] = v * co + u * si;
        } else {
            own[t] = u;
            own[t + half] = v;
        }
    }
}

/* Without norms: a thread turns four pairs. */
static __global__ void __launch_bounds__(256)
turn_rows(float *x, size_t fours, const uint32_t *pos, uint32_t rows, dk_cu_place a)
{
    const size_t i = (size_t)blockIdx.x * 256 + threadIdx.x;
    const unsigned nh = a.n_heads + a.n_kv, half = a.hd / 2, each = half / 4;

    if (i >= fours)
        return;
    const size_t head = i / each, t = i % each * 4, row = head / nh;
    float *own = x + row * (size_t)(a.n_heads + 2 * a.n_kv) * a.hd + head % nh * a.hd + t;
    const size_t turn = (size_t)pos[row % rows] * half + t;
    const dk_four co = dk_load4(a.cosines, turn, 0, true, 0), si = dk_load4(a.sines, turn, 0, true, 0);
    dk_four u = dk_load4(own, 0, 0, true, 0), v = dk_load4(own, half, 0, true, 0);

    DK_UNROLL
    for (int k = 0; k < 4; k++) {
        const float f = u.v[k], g = v.v[k];

        u.v[k] = f * co.v[k] - g * si.v[k];
        v.v[k] = g * co.v[k] + f * si.v[k];
    }
    dk_store4(own, 0, 0, true, u);
    dk_store4(own, half, 0, true, v);
}

int dk_cu_place_rows(dk_cu_stream s, float *x, const float *base, size_t n_lanes, const dk_cu_rag *rag,
                     const dk_cu_place *a)
{
    const size_t heads = n_lanes * rag->rows * (a->n_heads + a->n_kv);

    if (heads == 0 || (!a->q_norm.w && !a->cosines))
        return 0;
    if (!a->q_norm.w && a->hd % 8 == 0 && dk_fours(x) && dk_fours(a->cosines) && dk_fours(a->sines))
        return DK_LAUNCH(turn_rows, dim3(dk_blocks(heads * (a->hd / 8), 256)), dim3(256), 0, s, x, heads * (a->hd / 8),
                         rag->pos, rag->rows, *a);
    return DK_LAUNCH(place_rows, dim3(dk_blocks(heads, PLACE_WARPS)), dim3(32 * PLACE_WARPS), 0, s, x, base, heads,
                     rag->pos, rag->rows, *a);
}
