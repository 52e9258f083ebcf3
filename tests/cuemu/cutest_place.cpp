/* Norms and rotation of queries and keys; the difference of the two. */
#include "cutest.h"

static void place(uint32_t nh, uint32_t nkv, uint32_t hd, int norm, bool turn, bool diff)
{
    const size_t rows = 3, lanes = 2, wide = (nh + 2 * nkv) * hd, half = hd / 2, positions = 9;
    mem<float> x(lanes * rows * wide), base(rows * wide), wq(hd), wk(hd), bq(hd), bk(hd), co(positions * half),
               si(positions * half);
    mem<uint32_t> pos(rows);
    dk_cu_rag rag = {};
    dk_cu_place a = {};
    std::vector<float> want, head(hd);

    randomize(x, diff ? 1e-3 : 1);
    randomize(base);
    randomize(wq);
    randomize(wk);
    randomize(bq);
    randomize(bk);
    for (size_t i = 0; i < co.n; i++) {
        const double angle = uniform() * 7;

        co[i] = (float)cos(angle);
        si[i] = (float)sin(angle);
    }
    pos[0] = 0;
    pos[1] = 8;
    pos[2] = 3;
    rag.n_lanes = 2;
    rag.rows = rows;
    rag.pos = pos.p;
    a.n_heads = nh;
    a.n_kv = nkv;
    a.hd = hd;
    if (norm) {
        a.q_norm = { wq.p, norm == 2 ? bq.p : NULL, 1e-6 };
        a.k_norm = { wk.p, norm == 2 ? bk.p : NULL, 1e-6 };
    }
    a.cosines = turn ? co.p : NULL;
    a.sines = turn ? si.p : NULL;
    want = x.copy();
    for (size_t r = 0; r < lanes * rows; r++) {
        for (size_t h = 0; norm && h < nh + nkv; h++) {
            float *own = &want[r * wide + h * hd];
            const dk_cu_norm &n = h < nh ? a.q_norm : a.k_norm;

            memcpy(head.data(), own, hd * sizeof(float));
            if (diff)
                dk_rmsnorm_diff(own, base.p + r % rows * wide + h * hd, head.data(), n.w, hd, n.eps);
            else if (n.b)
                dk_layernorm(own, head.data(), n.w, n.b, hd, n.eps);
            else
                dk_rmsnorm(own, head.data(), n.w, hd, n.eps);
        }
        if (turn)
            dk_rope(&want[r * wide], nh + nkv, hd, co.p + pos[r % rows] * half, si.p + pos[r % rows] * half);
    }
    /* Values of a few units, at most ten roundings. */
    compare(orders(x, [&] { return dk_cu_place_rows(NULL, x.p, diff ? base.p : NULL, lanes, &rag, &a); }), x, want,
            (diff ? 1e-2 : 10) * 10 * EPS, 10 * EPS, name("%u + %u heads of %u, norm %d%s%s", nh, nkv, hd, norm,
            turn ? ", rotated" : "", diff ? ", differences" : ""));
}

void test_place()
{
    place(3, 1, 2, 0, true, false);
    place(1, 1, 64, 1, true, false);
    place(4, 2, 66, 1, true, true);
    place(5, 5, 130, 2, true, false);
    place(2, 1, 256, 1, false, false);
    place(7, 1, 80, 0, true, true);
    place(3, 3, 128, 1, true, true);
}
