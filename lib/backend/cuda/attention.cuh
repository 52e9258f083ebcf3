/* What the attention kernels share: where the keys of a piece are. */
#ifndef DK_BACKEND_CUDA_ATTENTION_CUH
#define DK_BACKEND_CUDA_ATTENTION_CUH

#include "backend/cuda/device.cuh"

/* A piece of a sequence, in one lane and head. */
struct dk_piece {
    const float *q, *k, *v;     /* of its first row; of the sequence's first key */
    float *out;
    size_t ldq, ldk, ldo;
    uint32_t first;             /* position of its first row: it sees the keys 0 .. first */
    uint32_t rows;              /* at most DK_CU_QUERIES */
    bool single;                /* a step: the sequence has no other row in this batch */
};

DK_DEVICE dk_piece dk_piece_of(const dk_cu_rag &r, const dk_cu_attend &a, unsigned piece, unsigned head, unsigned lane)
{
    const uint32_t seq = r.piece_seq[piece], from = r.piece_row[piece], n = r.offset[seq + 1] - r.offset[seq];
    const size_t wide = (size_t)(a.n_heads + 2 * a.n_kv) * a.hd, start = (size_t)lane * r.rows + r.offset[seq];
    const size_t kv = (size_t)(head / (a.n_heads / a.n_kv)) * a.hd;
    dk_piece p;

    p.rows = dk_min(n - from, (uint32_t)DK_CU_QUERIES);
    p.single = r.steps && n == 1;
    p.ldq = wide;
    p.ldo = (size_t)a.n_heads * a.hd;
    p.q = a.qkv + (start + from) * wide + (size_t)head * a.hd;
    p.out = a.out + (start + from) * p.ldo + (size_t)head * a.hd;
    if (r.past) {
        const size_t slot = ((size_t)lane * a.n_slots + r.slot[seq]) * a.capacity;

        p.ldk = (size_t)a.n_kv * a.hd;
        p.k = a.k_cache + slot * p.ldk + kv;
        p.v = a.v_cache + slot * p.ldk + kv;
        p.first = r.past[seq] + from;
    } else {
        p.ldk = wide;
        p.k = a.qkv + start * wide + (size_t)a.n_heads * a.hd + kv;
        p.v = p.k + (size_t)a.n_kv * a.hd;
        p.first = from;
    }
    return p;
}

/* The first key that the query at pos sees. */
DK_DEVICE uint32_t dk_first_key(uint32_t pos, uint32_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* Whether rows of heads may be read in fours. */
static inline bool dk_attend_fours(const dk_cu_attend &a)
{
    return a.hd % 4 == 0 && dk_fours(a.qkv) && dk_fours(a.out) && dk_fours(a.k_cache) && dk_fours(a.v_cache);
}

/* rows rows of hd values from row0 on, into rows of 32 NC + 4: zeros behind hd and
 * from row end on. */
template <int NC>
DK_DEVICE void dk_load_rows(float *to, const float *from, size_t ld, size_t row0, size_t end, unsigned rows, unsigned hd,
                            bool vec)
{
    for (unsigned e = threadIdx.x; e < rows * 8 * NC; e += blockDim.x) {
        const unsigned i = e / (8 * NC), c = e % (8 * NC) * 4;
        const bool in = row0 + i < end && c < hd;

        dk_store4(to + i * (32 * NC + 4), c, 0, true,
                  dk_load4(from + (in ? row0 + i : 0) * ld, c, in ? hd : 0, vec && in, 0));
    }
}

/* The launchers of attend*.cu. */
int dk_cu_attend_mma(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a);
bool dk_cu_attend_has_mma(const dk_cu_attend *a);

#endif
