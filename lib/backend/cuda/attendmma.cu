/* Attention with its products in bf16 on tensor cores, sums and softmax in f32
 * (FlashAttention-2; Dao 2023): four warps of 16 queries a head, queries and results
 * in registers, keys and values in tiles of shared memory, which the next tile's
 * loads overtake.  Two heads that share keys go together. */
#include "backend/cuda/attention.cuh"

/* The two warp operations.  How their values lie in the lanes: the PTX manual, and
 * tests/cuemu/cuemu.h where they are done by hand. */
DK_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#ifdef DK_CUEMU
    const uint32_t b[2] = { b0, b1 };

    EMU_MMA_BF16(d, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/* Four 8 x 8 matrices; lane 8 i + j points at row j of the i-th. */
template <bool TRANSPOSED> DK_DEVICE void load_matrices(uint32_t (&r)[4], const uint16_t *row)
{
#ifdef DK_CUEMU
    EMU_LDMATRIX(r, row, TRANSPOSED);
#else
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);

    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
#endif
}

/* What a size of heads asks for.  Rows of shared memory are 16 bytes longer than a
 * head: eight of them then lie in different banks. */
template <int HD, int HEADS> struct plan {
    enum {
        THREADS = 128 * HEADS, KEYS = HD > 128 ? 16 : 32, LD = HD + 8, FOURS = KEYS * HD / 4,
        MINE = (FOURS + THREADS - 1) / THREADS,
        HELD = HD <= 128,           /* queries are held in registers, else in shared memory */
        BYTES = 2 * LD * (2 * KEYS + (HELD ? 0 : HEADS * DK_CU_QUERIES))
    };
};

/* A tile of keys or values on its way: rows j0 .. of which those from end on are 0. */
template <int HD, int HEADS>
DK_DEVICE void fetch(dk_four (&f)[plan<HD, HEADS>::MINE], const float *from, size_t ld, uint32_t j0, uint32_t end)
{
    typedef plan<HD, HEADS> P;

    DK_UNROLL
    for (int u = 0; u < P::MINE; u++) {
        const unsigned e = u * P::THREADS + threadIdx.x, row = e / (HD / 4), c = e % (HD / 4) * 4;

        if (e < P::FOURS && j0 + row < end)
            f[u] = dk_load4(from + (size_t)(j0 + row) * ld, c, HD, true, 0);
        else
            f[u] = { { 0, 0, 0, 0 } };
    }
}

template <int HD, int HEADS>
DK_DEVICE void stash(uint16_t *to, const dk_four (&f)[plan<HD, HEADS>::MINE])
{
    typedef plan<HD, HEADS> P;

    DK_UNROLL
    for (int u = 0; u < P::MINE; u++) {
        const unsigned e = u * P::THREADS + threadIdx.x, row = e / (HD / 4), c = e % (HD / 4) * 4;

        if (e < P::FOURS)
            *reinterpret_cast<uint2 *>(to + row * P::LD + c) = make_uint2(dk_bf16_pair(f[u].v[0], f[u].v[1]),
                                                                           dk_bf16_pair(f[u].v[2], f[u].v[3]));
    }
}

DK_DEVICE uint32_t pair_at(const float *row, bool in)
{
    const float2 f = in ? *reinterpret_cast<const float2 *>(row) : make_float2(0, 0);

    return dk_bf16_pair(f.x, f.y);
}

/* The fragment of 16 queries and columns 16 kk .., straight from memory. */
DK_DEVICE void queries(uint32_t (&q)[4], const dk_piece &p, unsigned row, unsigned c)
{
    const bool up = row < p.rows, low = row + 8 < p.rows;
    const float *a = p.q + (up ? row : 0) * p.ldq + c, *b = p.q + (low ? row + 8 : 0) * p.ldq + c;

    q[0] = pair_at(a, up);
    q[1] = pair_at(b, low);
    q[2] = pair_at(a + 8, up);
    q[3] = pair_at(b + 8, low);
}

DK_DEVICE float max4(float v)
{
    v = dk_max(v, __shfl_xor_sync(DK_ALL_LANES, v, 1));
    return dk_max(v, __shfl_xor_sync(DK_ALL_LANES, v, 2));
}

DK_DEVICE float sum4(float v)
{
    v += __shfl_xor_sync(DK_ALL_LANES, v, 1);
    return v + __shfl_xor_sync(DK_ALL_LANES, v, 2);
}

/* Scores to weights, in units of 2^: of the rows pos and pos + 8, keys j0 + 8 n + 2 t
 * .. + 1.  m: maxima so far; shift: what was added up before is to be multiplied by. */
template <int N>
DK_DEVICE void soften(float (&s)[N][4], float (&m)[2], float (&z)[2], float (&shift)[2], const dk_cu_attend &a,
                      uint32_t pos, uint32_t j, bool edge)
{
    const float log2e = 1.44269504f, scale = a.softcap > 0 ? a.scale / a.softcap : a.scale * log2e;
    float top[2] = { m[0], m[1] };

    DK_UNROLL
    for (int n = 0; n < N; n++)
        DK_UNROLL
        for (int c = 0; c < 4; c++) {
            const uint32_t key = j + 8 * n + c % 2, at = pos + c / 2 * 8;

            s[n][c] *= scale;
            if (a.softcap > 0)
                s[n][c] = a.softcap * log2e * tanhf(s[n][c]);
            if (edge && (key > at || key < dk_first_key(at, a.window)))
                s[n][c] = -dk_inf();
            top[c / 2] = dk_max(top[c / 2], s[n][c]);
        }
    DK_UNROLL
    for (int i = 0; i < 2; i++) {
        top[i] = max4(top[i]);
        shift[i] = m[i] == -dk_inf() ? 0 : exp2f(m[i] - top[i]);
        m[i] = top[i];
        z[i] *= shift[i];
        top[i] = top[i] == -dk_inf() ? 0 : top[i];
    }
    DK_UNROLL
    for (int n = 0; n < N; n++)
        DK_UNROLL
        for (int c = 0; c < 4; c++) {
            s[n][c] = exp2f(s[n][c] - top[c / 2]);
            z[c / 2] += s[n][c];
        }
}

template <int HD, int HEADS>
static __global__ void __launch_bounds__(128 * HEADS)
attend_mma(dk_cu_rag r, dk_cu_attend a)
{
    typedef plan<HD, HEADS> P;
    DK_DYN_SHARED(uint16_t, ks);
    uint16_t *vs = ks + P::KEYS * P::LD, *qs = vs + P::KEYS * P::LD;
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const unsigned row = warp % 4 * 16 + g, part = lane / 8, line = lane % 8;
    const dk_piece p = dk_piece_of(r, a, r.n_pieces - 1 - blockIdx.x, blockIdx.y * HEADS + warp / 4, blockIdx.z);
    const uint32_t end = p.first + p.rows, last = p.first + dk_min(p.rows, warp % 4 * 16 + 16) - 1;
    const bool work = warp % 4 * 16 < p.rows;
    uint32_t q[P::HELD ? HD / 16 : 1][4];
    float o[HD / 8][4], m[2] = { -dk_inf(), -dk_inf() }, z[2] = { 0, 0 };
    dk_four tile[P::MINE];
    uint32_t j0 = dk_first_key(p.first, a.window) / P::KEYS * P::KEYS;

    if (p.single)
        return;
    DK_UNROLL
    for (int kk = 0; kk < HD / 16; kk++) {
        if (P::HELD) {
            queries(q[P::HELD ? kk : 0], p, row, 16 * kk + 2 * t);
        } else {
            uint16_t *to = qs + (warp * 16 + g) * P::LD + 16 * kk + 2 * t;

            queries(q[0], p, row, 16 * kk + 2 * t);
            *reinterpret_cast<uint32_t *>(to) = q[0][0];
            *reinterpret_cast<uint32_t *>(to + 8 * P::LD) = q[0][1];
            *reinterpret_cast<uint32_t *>(to + 8) = q[0][2];
            *reinterpret_cast<uint32_t *>(to + 8 * P::LD + 8) = q[0][3];
        }
    }
    DK_UNROLL
    for (int n = 0; n < HD / 8; n++)
        DK_UNROLL
        for (int c = 0; c < 4; c++)
            o[n][c] = 0;
    fetch<HD, HEADS>(tile, p.k, p.ldk, j0, end);
    stash<HD, HEADS>(ks, tile);
    for (; j0 < end; j0 += P::KEYS) {
        /* Keys that no row of this warp sees are left out: behind its last, before its first's. */
        const bool seen = work && j0 <= last && j0 + P::KEYS > dk_first_key(p.first + warp % 4 * 16, a.window);
        const bool edge = j0 + P::KEYS > p.first + warp % 4 * 16 || dk_first_key(last, a.window) > j0;
        float s[P::KEYS / 8][4] = {}, shift[2];

        fetch<HD, HEADS>(tile, p.v, p.ldk, j0, end);
        __syncthreads();                            /* the keys are there; nobody uses the last values any more */
        DK_UNROLL
        for (int kk = 0; seen && kk < HD / 16; kk++) {
            if (!P::HELD)
                load_matrices<false>(q[0], qs + (warp * 16 + part % 2 * 8 + line) * P::LD + 16 * kk + part / 2 * 8);
            DK_UNROLL
            for (int n = 0; n < P::KEYS / 16; n++) {
                uint32_t b[4];

                load_matrices<false>(b, ks + (16 * n + part / 2 * 8 + line) * P::LD + 16 * kk + part % 2 * 8);
                mma(s[2 * n], q[P::HELD ? kk : 0], b[0], b[1]);
                mma(s[2 * n + 1], q[P::HELD ? kk : 0], b[2], b[3]);
            }
        }
        stash<HD, HEADS>(vs, tile);
        if (j0 + P::KEYS < end)
            fetch<HD, HEADS>(tile, p.k, p.ldk, j0 + P::KEYS, end);
        if (seen)
            soften(s, m, z, shift, a, p.first + row, j0 + 2 * t, edge);
        __syncthreads();                            /* the values are there; nobody uses the keys any more */
        if (seen) {
            DK_UNROLL
            for (int n = 0; n < HD / 8; n++)
                DK_UNROLL
                for (int c = 0; c < 4; c++)
                    o[n][c] *= shift[c / 2];
            DK_UNROLL
            for (int k = 0; k < P::KEYS / 16; k++) {
                const uint32_t w[4] = { dk_bf16_pair(s[2 * k][0], s[2 * k][1]), dk_bf16_pair(s[2 * k][2], s[2 * k][3]),
                                        dk_bf16_pair(s[2 * k + 1][0], s[2 * k + 1][1]),
                                        dk_bf16_pair(s[2 * k + 1][2], s[2 * k + 1][3]) };

                DK_UNROLL
                for (int n = 0; n < HD / 16; n++) {
                    uint32_t b[4];

                    load_matrices<true>(b, vs + (16 * k + part % 2 * 8 + line) * P::LD + 16 * n + part / 2 * 8);
                    mma(o[2 * n], w, b[0], b[1]);
                    mma(o[2 * n + 1], w, b[2], b[3]);
                }
            }
        }
        if (j0 + P::KEYS < end)
            stash<HD, HEADS>(ks, tile);
    }
    DK_UNROLL
    for (int i = 0; i < 2; i++) {
        const float inv = 1.0f / sum4(z[i]);
        float *to = p.out + (size_t)(row + 8 * i) * p.ldo + 2 * t;

        if (row + 8 * i < p.rows)
            DK_UNROLL
            for (int n = 0; n < HD / 8; n++)
                *reinterpret_cast<float2 *>(to + 8 * n) = make_float2(o[n][2 * i] * inv, o[n][2 * i + 1] * inv);
    }
}

template <int HD, int HEADS> static int launch(dk_cu_stream s, const dk_cu_rag &r, const dk_cu_attend &a)
{
    typedef plan<HD, HEADS> P;
    const int rc = dk_allow_shared(attend_mma<HD, HEADS>, P::BYTES);

    return rc ? rc : DK_LAUNCH((attend_mma<HD, HEADS>), dim3(r.n_pieces, a.n_heads / HEADS, r.n_lanes), dim3(P::THREADS),
                               P::BYTES, s, r, a);
}

bool dk_cu_attend_has_mma(const dk_cu_attend *a)
{
    return dk_attend_fours(*a) && (a->hd == 64 || a->hd == 80 || a->hd == 96 || a->hd == 128 || a->hd == 256);
}

int dk_cu_attend_mma(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a)
{
    const bool two = a->n_heads / a->n_kv % 2 == 0;

    switch (a->hd) {
    case 64:    return two ? launch<64, 2>(s, *rag, *a) : launch<64, 1>(s, *rag, *a);
    case 80:    return two ? launch<80, 2>(s, *rag, *a) : launch<80, 1>(s, *rag, *a);
    case 96:    return two ? launch<96, 2>(s, *rag, *a) : launch<96, 1>(s, *rag, *a);
    case 128:   return two ? launch<128, 2>(s, *rag, *a) : launch<128, 1>(s, *rag, *a);
    case 256:   return launch<256, 1>(s, *rag, *a);
    default:    return DK_INVALID_VALUE;
    }
}
