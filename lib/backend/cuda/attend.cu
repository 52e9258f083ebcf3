/* Attention in f32: many queries in tiles, one query a sequence, and the cache.
 *
 * A row belongs to eight neighbouring lanes.  Softmax is online: what has been
 * added up is brought to each new maximum. */
#include "backend/cuda/attention.cuh"

DK_DEVICE float max8(float v)
{
    DK_UNROLL
    for (int d = 4; d; d /= 2)
        v = dk_max(v, __shfl_xor_sync(DK_ALL_LANES, v, d));
    return v;
}

template <class T> DK_DEVICE T sum8(T v)
{
    DK_UNROLL
    for (int d = 4; d; d /= 2)
        v += __shfl_xor_sync(DK_ALL_LANES, v, d);
    return v;
}

DK_DEVICE float dot4(const dk_four &a, const dk_four &b, float s)
{
    DK_UNROLL
    for (int u = 0; u < 4; u++)
        s += a.v[u] * b.v[u];
    return s;
}

DK_DEVICE float weight(float s, float m) { return m == -dk_inf() ? 0 : expf(s - m); }
DK_DEVICE float capped(float s, float cap) { return cap > 0 ? cap * tanhf(s / cap) : s; }

/* --- tiles of 32 queries and 32 keys ------------------------------------------------- */

enum { ROWS = 32, KEYS = 32, LDS = KEYS + 1, HALVES = DK_CU_QUERIES / ROWS };

/* hd is at most 32 NC. */
template <int NC>
static __global__ void __launch_bounds__(256)
attend_tiles(dk_cu_rag r, dk_cu_attend a, bool vec)
{
    DK_DYN_SHARED(float, qs);
    const unsigned ld = 32 * NC + 4, ty = threadIdx.x / 8, tx = threadIdx.x % 8;
    float *kv = qs + ROWS * ld, *s = kv + KEYS * ld;
    const unsigned half = blockIdx.x % HALVES, from = half * ROWS;
    const dk_piece p = dk_piece_of(r, a, r.n_pieces - 1 - blockIdx.x / HALVES, blockIdx.y, blockIdx.z);

    if (p.rows <= from || p.single)
        return;
    const unsigned rows = dk_min(p.rows - from, (unsigned)ROWS);
    const uint32_t pos0 = p.first + from, pos = pos0 + ty, end = pos0 + rows;
    const uint32_t low = dk_first_key(pos, a.window);
    float m = -dk_inf();
    double z = 0;
    dk_four acc[NC] = {};

    dk_load_rows<NC>(qs, p.q + from * p.ldq, p.ldq, 0, rows, ROWS, a.hd, vec);
    for (uint32_t j0 = dk_first_key(pos0, a.window) / KEYS * KEYS; j0 < end; j0 += KEYS) {
        float w[4], top = -dk_inf(), shift;

        __syncthreads();
        dk_load_rows<NC>(kv, p.k, p.ldk, j0, end, KEYS, a.hd, vec);
        __syncthreads();
        DK_UNROLL
        for (int i = 0; i < 4; i++)
            w[i] = 0;
        for (int c = 0; c < 8 * NC; c++) {
            const dk_four q = dk_load4(qs + ty * ld, 4 * c, 0, true, 0);

            DK_UNROLL
            for (int i = 0; i < 4; i++)
                w[i] = dot4(q, dk_load4(kv + (tx + 8 * i) * ld, 4 * c, 0, true, 0), w[i]);
        }
        DK_UNROLL
        for (int i = 0; i < 4; i++) {
            const uint32_t j = j0 + tx + 8 * i;

            w[i] = j >= low && j <= pos && j < end ? capped(w[i] * a.scale, a.softcap) : -dk_inf();
            top = dk_max(top, w[i]);
        }
        top = dk_max(m, max8(top));
        shift = weight(m, top);
        m = top;
        z *= shift;
        DK_UNROLL
        for (int i = 0; i < 4; i++) {
            w[i] = weight(w[i], m);
            z += (double)w[i];
            s[ty * LDS + tx + 8 * i] = w[i];
        }
        __syncthreads();
        dk_load_rows<NC>(kv, p.v, p.ldk, j0, end, KEYS, a.hd, vec);
        __syncthreads();
        DK_UNROLL
        for (int i = 0; i < NC; i++)
            DK_UNROLL
            for (int u = 0; u < 4; u++)
                acc[i].v[u] *= shift;
        for (int j = 0; j < KEYS; j++) {
            const float wj = s[ty * LDS + j];

            DK_UNROLL
            for (int i = 0; i < NC; i++) {
                const dk_four v = dk_load4(kv + j * ld, 4 * tx + 32 * i, 0, true, 0);

                DK_UNROLL
                for (int u = 0; u < 4; u++)
                    acc[i].v[u] += wj * v.v[u];
            }
        }
    }
    const float inv = (float)(1.0 / sum8(z));

    if (ty >= rows)
        return;
    DK_UNROLL
    for (int i = 0; i < NC; i++) {
        DK_UNROLL
        for (int u = 0; u < 4; u++)
            acc[i].v[u] *= inv;
        if (4 * tx + 32 * i < a.hd)
            dk_store4(p.out + (from + ty) * p.ldo, 4 * tx + 32 * i, a.hd, vec, acc[i]);
    }
}

template <int NC> static int tiles(dk_cu_stream s, const dk_cu_rag &r, const dk_cu_attend &a)
{
    const size_t bytes = ((ROWS + KEYS) * (32 * NC + 4) + ROWS * LDS) * sizeof(float);
    const int rc = dk_allow_shared(attend_tiles<NC>, bytes);

    return rc ? rc : DK_LAUNCH((attend_tiles<NC>), dim3(r.n_pieces * HALVES, a.n_heads, r.n_lanes), dim3(256), bytes, s,
                               r, a, dk_attend_fours(a));
}

/* --- one query a sequence: eight lanes a key, 32 keys a step -------------------------- */

/* The query against the keys g, g + 32 ... of its range. */
template <int NC>
static __global__ void __launch_bounds__(256)
attend_single(dk_cu_rag r, dk_cu_attend a, bool vec)
{
    DK_DYN_SHARED(float, part);         /* [32][32 NC] of acc, then [32] maxima, [32] sums */
    float *ms = part + 32 * 32 * NC, *zs = ms + 32;
    const unsigned g = threadIdx.x / 8, tx = threadIdx.x % 8;
    const dk_piece p = dk_piece_of(r, a, blockIdx.x, blockIdx.y, blockIdx.z);
    const uint32_t low = dk_first_key(p.first, a.window);
    dk_four q[NC], acc[NC] = {};
    float m = -dk_inf(), z = 0;

    if (!p.single)
        return;
    DK_UNROLL
    for (int i = 0; i < NC; i++) {
        const unsigned c = 4 * tx + 32 * i;

        q[i] = dk_load4(p.q, c, a.hd, vec && c < a.hd, 0);
    }
    for (uint32_t j0 = low; j0 <= p.first; j0 += 32) {
        const uint32_t j = j0 + g;
        const bool in = j <= p.first;
        const size_t at = (size_t)(in ? j : low) * p.ldk;
        dk_four v[NC];
        float s = 0, w, shift;

        DK_UNROLL
        for (int i = 0; i < NC; i++) {
            const unsigned c = 4 * tx + 32 * i;

            v[i] = dk_load4(p.v + at, c, a.hd, vec && c < a.hd, 0);
            s = dot4(q[i], dk_load4(p.k + at, c, a.hd, vec && c < a.hd, 0), s);
        }
        s = capped(sum8(s) * a.scale, a.softcap);
        s = in ? s : -dk_inf();
        w = dk_max(m, s);
        shift = weight(m, w);
        m = w;
        w = weight(s, m);
        z = z * shift + w;
        DK_UNROLL
        for (int i = 0; i < NC; i++)
            DK_UNROLL
            for (int u = 0; u < 4; u++)
                acc[i].v[u] = acc[i].v[u] * shift + (in ? w * v[i].v[u] : 0);
    }
    DK_UNROLL
    for (int i = 0; i < NC; i++)
        dk_store4(part + g * 32 * NC, 4 * tx + 32 * i, 0, true, acc[i]);
    if (tx == 0) {
        ms[g] = m;
        zs[g] = z;
    }
    __syncthreads();
    m = ms[0];
    for (unsigned i = 1; i < 32; i++)
        m = dk_max(m, ms[i]);
    for (unsigned c = threadIdx.x; c < a.hd; c += 256) {
        double sum = 0, total = 0;

        for (unsigned i = 0; i < 32; i++) {
            const double w = (double)weight(ms[i], m);

            total += w * zs[i];
            sum += w * part[i * 32 * NC + c];
        }
        p.out[c] = (float)(sum / total);
    }
}

template <int NC> static int single(dk_cu_stream s, const dk_cu_rag &r, const dk_cu_attend &a)
{
    const size_t bytes = (32 * 32 * NC + 64) * sizeof(float);
    const int rc = dk_allow_shared(attend_single<NC>, bytes);

    return rc ? rc : DK_LAUNCH((attend_single<NC>), dim3(r.n_pieces, a.n_heads, r.n_lanes), dim3(256), bytes, s, r, a,
                               dk_attend_fours(a));
}

/* --- the cache ----------------------------------------------------------------------- */

static __global__ void cache_put(dk_cu_rag r, dk_cu_attend a, bool vec)
{
    const dk_piece p = dk_piece_of(r, a, blockIdx.x, 0, blockIdx.z);
    const float *k = p.q + (size_t)a.n_heads * a.hd, *v = k + p.ldk;
    float *to_k = const_cast<float *>(p.k), *to_v = const_cast<float *>(p.v);

    for (unsigned i = blockIdx.y; i < p.rows; i += gridDim.y)
        for (size_t c = 4 * threadIdx.x; c < p.ldk; c += 4 * blockDim.x) {
            dk_store4(to_k + (p.first + i) * p.ldk, c, p.ldk, vec, dk_load4(k + i * p.ldq, c, p.ldk, vec, 0));
            dk_store4(to_v + (p.first + i) * p.ldk, c, p.ldk, vec, dk_load4(v + i * p.ldq, c, p.ldk, vec, 0));
        }
}

int dk_cu_cache_put(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a)
{
    if (rag->n_pieces == 0)
        return 0;
    return DK_LAUNCH(cache_put, dim3(rag->n_pieces, rag->n_pieces == rag->rows ? 1 : 16, rag->n_lanes), dim3(128), 0, s,
                     *rag, *a, dk_attend_fours(*a));
}

/* --- which one ------------------------------------------------------------------------ */

/* A step goes its own way, whatever else is in the batch; one row of a prompt does not:
 * where a prompt is cut must not be seen in its bits. */
int dk_cu_attend_rows(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a)
{
    int rc = 0;

    if (rag->n_pieces == 0)
        return 0;
    if (a->hd == 0 || a->hd > 256 || a->hd % 2 || a->n_kv == 0 || a->n_heads % a->n_kv)
        return DK_INVALID_VALUE;
    if (rag->steps)
        rc = a->hd <= 64 ? single<2>(s, *rag, *a) : a->hd <= 128 ? single<4>(s, *rag, *a) : single<8>(s, *rag, *a);
    if (rc || (rag->steps && rag->n_pieces == rag->rows))
        return rc;
    if (a->bf16 && dk_cu_attend_has_mma(a))
        return dk_cu_attend_mma(s, rag, a);
    return a->hd <= 64 ? tiles<2>(s, *rag, *a) : a->hd <= 128 ? tiles<4>(s, *rag, *a) : tiles<8>(s, *rag, *a);
}
