/* Products: f32 sums of k terms about 1 in another order than the reference's, which
 * runs in double: each of k additions rounds what is about sqrt(k) once. */
#include "cutest.h"

static double sum_tolerance(size_t k) { return 4 * EPS * (double)(k + 4); }

static void plain(size_t m, size_t n, size_t k, bool bf16, size_t more)
{
    const size_t lda = k + more, ldb = k + 2 * more, ldc = n + more;
    mem<float> a((m - 1) * lda + k), b((n - 1) * ldb + k), c((m - 1) * ldc + n, 9);
    mem<uint16_t> ha(a.n), hb(b.n);
    std::vector<float> want = c.copy();

    randomize(a);
    randomize(b);
    for (size_t i = 0; bf16 && i < a.n; i++)
        a[i] = dk_bf16_f32(ha[i] = dk_f32_bf16(a[i]));
    for (size_t i = 0; bf16 && i < b.n; i++)
        b[i] = dk_bf16_f32(hb[i] = dk_f32_bf16(b[i]));
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double s = 0;

            for (size_t t = 0; t < k; t++)
                s += (double)a[i * lda + t] * (double)b[j * ldb + t];
            want[i * ldc + j] = (float)s;
        }
    const void *pa = bf16 ? (const void *)ha.p : a.p, *pb = bf16 ? (const void *)hb.p : b.p;

    compare(orders(c, [&] { return dk_cu_product(NULL, c.p, ldc, pa, lda, pb, ldb, m, n, k, bf16); }), c, want,
            sum_tolerance(k), 0, name("product %zu x %zu x %zu %s, strides %zu more", m, n, k, bf16 ? "bf16" : "f32", more));
}

static void lowrank(size_t m, size_t k, size_t rp, size_t r, size_t n, size_t more)
{
    const size_t ldx = k + more, ldy = n + more;
    mem<float> x((m - 1) * ldx + k), at(k * rp), t(m * rp, 9), bt(r * n), y((m - 1) * ldy + n);
    std::vector<float> want(m * rp), out;

    randomize(x);
    randomize(at);
    randomize(bt);
    randomize(y);
    dk_lowrank_in(want.data(), rp, x.p, ldx, at.p, m, k, rp);
    compare(orders(t, [&] { return dk_cu_lowrank_in(NULL, t.p, x.p, ldx, at.p, m, k, rp); }), t, want,
            2 * sum_tolerance(k), 0, name("low rank in, %zu x %zu x %zu", m, k, rp));
    randomize(t);
    out = y.copy();
    dk_lowrank_out(out.data(), ldy, t.p + (rp - r), rp, bt.p, n, m, r, n, .25f);
    compare(orders(y, [&] { return dk_cu_lowrank_out(NULL, y.p, ldy, t.p + (rp - r), rp, bt.p, m, r, n, .25f); }), y, out,
            2 * sum_tolerance(r), 0, name("low rank out, %zu x %zu x %zu", m, r, n));
}

void test_products()
{
    plain(1, 1, 1, false, 0);
    plain(67, 45, 53, false, 3);
    plain(64, 64, 16, false, 0);
    plain(65, 63, 17, true, 1);
    plain(3, 130, 128, true, 0);
    lowrank(1, 1, 8, 1, 1, 0);
    lowrank(5, 128, 8, 8, 16, 0);
    lowrank(33, 131, 40, 37, 130, 3);
    lowrank(65, 256, 72, 64, 128, 4);
    lowrank(31, 127, 32, 3, 132, 1);
}
