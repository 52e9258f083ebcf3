/* Attention of lanes that are differences to lane 0: see num/kernel_attdiff.c.
 *
 * Two passes over the keys.  The first finds for each query the base's maximum and
 * sum, the difference of the score at that maximum, and the mean of e^ds - 1; the
 * second forms the weights. */
#include "backend/cuda/attention.cuh"
#include "backend/cuda/device_math.cuh"

enum { ROWS = 16, KEYS = 16, LDS = KEYS + 1, THREADS = 8 * ROWS };

/* One query's sums: of the base, relative to m: z; sum p u with u = e^(ds - shift) - 1;
 * of the other one, relative to m2: y. */
struct sums {
    float m, shift, most, m2;
    double z, u, y;
};

/* What eight lanes have added up so far is brought to a new maximum, at which the
 * difference is shift: u is against another constant. */
DK_DEVICE void raise(sums &s, float m, float shift)
{
    const double c = s.m == -dk_inf() ? 0 : exp((double)s.m - (double)m), by = (double)s.shift - (double)shift;

    s.z *= c;
    s.u *= c;
    if (s.z > 0)
        s.u = exp(by) * s.u + expm1(by) * s.z;
    s.m = m;
    s.shift = shift;
}

DK_DEVICE void add(sums &s, const float (&sc)[2], const float (&ds)[2])
{
    float m = -dk_inf(), at = 0, m2 = -dk_inf();

    DK_UNROLL
    for (int i = 0; i < 2; i++) {
        at = sc[i] > m ? ds[i] : at;
        m = dk_max(m, sc[i]);
        m2 = dk_max(m2, sc[i] + ds[i]);
        s.most = sc[i] > -dk_inf() ? dk_max(s.most, ds[i]) : s.most;
    }
    DK_UNROLL
    for (int d = 1; d < 8; d *= 2) {
        const float om = __shfl_xor_sync(DK_ALL_LANES, m, d), oat = __shfl_xor_sync(DK_ALL_LANES, at, d);
        const bool lower = (threadIdx.x & d) != 0;      /* of two equal ones, both take the lower lane's */

        at = om > m || (om == m && lower) ? oat : at;
        m = dk_max(m, om);
        m2 = dk_max(m2, __shfl_xor_sync(DK_ALL_LANES, m2, d));
    }
    if (m > s.m)
        raise(s, m, at);
    if (m2 > s.m2) {
        s.y = s.m2 == -dk_inf() ? 0 : s.y * exp((double)s.m2 - (double)m2);
        s.m2 = m2;
    }
    DK_UNROLL
    for (int i = 0; i < 2; i++)
        if (sc[i] > -dk_inf()) {
            const double w = (double)expf(sc[i] - s.m);

            s.z += w;
            s.u += w * (double)expm1f(ds[i] - s.shift);
            s.y += (double)expf(sc[i] + ds[i] - s.m2);
        }
}

DK_DEVICE double sum8(double v)
{
    DK_UNROLL
    for (int d = 4; d; d /= 2)
        v += __shfl_xor_sync(DK_ALL_LANES, v, d);
    return v;
}

/* The score of a key and its difference: q k, and q dk + dq (k + dk). */
template <int NC>
DK_DEVICE void score(float &sc, float &ds, const float *q, const float *dq, const float *k, const float *dk, float scale)
{
    float a = 0, b = 0, c = 0;

    for (int i = 0; i < 8 * NC; i++) {
        const dk_four x = dk_load4(q, 4 * i, 0, true, 0), dx = dk_load4(dq, 4 * i, 0, true, 0);
        const dk_four y = dk_load4(k, 4 * i, 0, true, 0), dy = dk_load4(dk, 4 * i, 0, true, 0);

        DK_UNROLL
        for (int u = 0; u < 4; u++) {
            a += y.v[u] * x.v[u];
            b += dy.v[u] * x.v[u];
            c += (y.v[u] + dy.v[u]) * dx.v[u];
        }
    }
    sc = a * scale;
    ds = (b + c) * scale;
}

/* hd is at most 32 NC. */
template <int NC>
static __global__ void __launch_bounds__(THREADS)
attend_diff(dk_cu_rag r, dk_cu_attend a, bool vec)
{
    DK_DYN_SHARED(float, qs);
    const unsigned ld = 32 * NC + 4, ty = threadIdx.x / 8, tx = threadIdx.x % 8, parts = DK_CU_QUERIES / ROWS;
    float *dqs = qs + ROWS * ld, *ks = dqs + ROWS * ld, *dks = ks + KEYS * ld, *wv = dks + KEYS * ld;
    float *wd = wv + ROWS * LDS;
    const unsigned from = blockIdx.x % parts * ROWS, piece = r.n_pieces - 1 - blockIdx.x / parts;
    const dk_piece p = dk_piece_of(r, a, piece, blockIdx.y, 0), d = dk_piece_of(r, a, piece, blockIdx.y, blockIdx.z + 1);

    if (p.rows <= from)
        return;
    const unsigned rows = dk_min(p.rows - from, (unsigned)ROWS);
    const uint32_t pos0 = p.first + from, pos = pos0 + ty, end = pos0 + rows;
    const uint32_t low = dk_first_key(pos, a.window), start = dk_first_key(pos0, a.window) / KEYS * KEYS;
    sums s = { -dk_inf(), 0, -dk_inf(), -dk_inf(), 0, 0, 0 };
    dk_four acc[NC] = {};

    dk_load_rows<NC>(qs, p.q + from * p.ldq, p.ldq, 0, rows, ROWS, a.hd, vec);
    dk_load_rows<NC>(dqs, d.q + from * d.ldq, d.ldq, 0, rows, ROWS, a.hd, vec);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t j0 = start; j0 < end; j0 += KEYS) {
            float sc[2], ds[2];

            __syncthreads();
            dk_load_rows<NC>(ks, p.k, p.ldk, j0, end, KEYS, a.hd, vec);
            dk_load_rows<NC>(dks, d.k, d.ldk, j0, end, KEYS, a.hd, vec);
            __syncthreads();
            DK_UNROLL
            for (int i = 0; i < 2; i++) {
                const uint32_t j = j0 + tx + 8 * i;

                score<NC>(sc[i], ds[i], qs + ty * ld, dqs + ty * ld, ks + (tx + 8 * i) * ld, dks + (tx + 8 * i) * ld,
                          a.scale);
                if (a.softcap > 0) {
                    sc[i] = a.softcap * tanhf(sc[i] / a.softcap);
                    ds[i] = dk_capped_diff(ds[i], sc[i], a.softcap);
                }
                if (j < low || j > pos || j >= end)
                    sc[i] = -dk_inf();
            }
            if (pass == 0) {
                add(s, sc, ds);
                continue;
            }
            DK_UNROLL
            for (int i = 0; i < 2; i++) {
                const bool in = sc[i] > -dk_inf();
                float v = 0, dv = 0;

                if (in && s.most - s.shift > 20) {          /* from two whole softmaxes */
                    dv = (float)((double)expf(sc[i] + ds[i] - s.m2) / s.y);
                    v = (float)((double)dv - (double)expf(sc[i] - s.m) / s.z);
                } else if (in) {
                    const float w = (float)((double)expf(sc[i] - s.m) / s.z);
                    const float e = (float)(((double)expm1f(ds[i] - s.shift) - s.u) / (1.0 + s.u));

                    v = w * e;
                    dv = w + w * e;
                }
                wv[ty * LDS + tx + 8 * i] = v;
                wd[ty * LDS + tx + 8 * i] = dv;
            }
            __syncthreads();
            dk_load_rows<NC>(ks, p.v, p.ldk, j0, end, KEYS, a.hd, vec);
            dk_load_rows<NC>(dks, d.v, d.ldk, j0, end, KEYS, a.hd, vec);
            __syncthreads();
            for (int j = 0; j < KEYS; j++) {
                const float wj = wv[ty * LDS + j], dj = wd[ty * LDS + j];

                DK_UNROLL
                for (int i = 0; i < NC; i++) {
                    const dk_four v = dk_load4(ks + j * ld, 4 * tx + 32 * i, 0, true, 0);
                    const dk_four dv = dk_load4(dks + j * ld, 4 * tx + 32 * i, 0, true, 0);

                    DK_UNROLL
                    for (int u = 0; u < 4; u++)
                        acc[i].v[u] += v.v[u] * wj + dv.v[u] * dj;
                }
            }
        }
        if (pass == 0) {
            DK_UNROLL
            for (int o = 4; o; o /= 2)
                s.most = dk_max(s.most, __shfl_xor_sync(DK_ALL_LANES, s.most, o));
            s.z = sum8(s.z);
            s.y = sum8(s.y);
            s.u = sum8(s.u) / s.z;
            if (!(fabs(s.u) < 1e300))       /* large ones on the way: they cancel nothing */
                s.u = s.y / s.z * exp((double)s.m2 - (double)s.m - (double)s.shift) - 1;
        }
    }
    for (int i = 0; i < NC && ty < rows; i++)
        if (4 * tx + 32 * i < a.hd)
            dk_store4(d.out + (from + ty) * d.ldo, 4 * tx + 32 * i, a.hd, vec, acc[i]);
}

template <int NC> static int launch(dk_cu_stream s, const dk_cu_rag &r, const dk_cu_attend &a)
{
    const size_t bytes = (2 * (ROWS + KEYS) * (32 * NC + 4) + 2 * ROWS * LDS) * sizeof(float);
    const int rc = dk_allow_shared(attend_diff<NC>, bytes);

    return rc ? rc : DK_LAUNCH((attend_diff<NC>), dim3(r.n_pieces * (DK_CU_QUERIES / ROWS), a.n_heads, r.n_lanes - 1),
                               dim3(THREADS), bytes, s, r, a, dk_attend_fours(a));
}

int dk_cu_attend_diff(dk_cu_stream s, const dk_cu_rag *rag, const dk_cu_attend *a)
{
    if (rag->n_pieces == 0 || rag->n_lanes < 2)
        return 0;
    if (a->hd == 0 || a->hd > 256 || a->hd % 2 || a->n_kv == 0 || a->n_heads % a->n_kv)
        return DK_INVALID_VALUE;
    return a->hd <= 64 ? launch<2>(s, *rag, *a) : a->hd <= 128 ? launch<4>(s, *rag, *a) : launch<8>(s, *rag, *a);
}
