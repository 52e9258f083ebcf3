/* Norms, activations, sums: at widths around fours, warps and tiles. */
#include "cutest.h"

static const size_t widths[] = { 1, 3, 4, 31, 64, 127, 256, 260, 1021, 1024, 1028 };
enum { ROWS = 5 };

/* Sums in double; then one rounding of 1 / sqrt and two products. */
static void norms(size_t d, bool layer, bool add)
{
    mem<float> x(ROWS * d), a(ROWS * d), w(d), b(d), y(ROWS * d, 9);
    std::vector<float> want(ROWS * d), sum;
    const dk_cu_norm norm = { w.p, layer ? b.p : NULL, 1e-5 };

    randomize(x);
    randomize(a, .5);
    randomize(w);
    randomize(b);
    sum = x.copy();
    for (size_t i = 0; i < sum.size(); i++)
        sum[i] += add ? a[i] : 0;
    for (size_t i = 0; i < ROWS; i++)
        if (layer)
            dk_layernorm(&want[i * d], &sum[i * d], w.p, b.p, d, norm.eps);
        else
            dk_rmsnorm(&want[i * d], &sum[i * d], w.p, d, norm.eps);
    const std::vector<float> old = x.copy();
    const bool same = orders(y, [&] {
        x.set(old);
        return dk_cu_add_norm(NULL, y.p, x.p, add ? a.p : NULL, norm, ROWS, d);
    });

    /* The result is a sum of a product and b, where it has one: absolute to the parts. */
    compare(same, y, want, layer ? 16 * EPS : 0, 4 * EPS, name("%s of %zu%s", layer ? "layer norm" : "rms norm", d,
                                                              add ? " behind a sum" : ""));
    compare(true, x, sum, 0, 0, name("the sum before it, %zu", d));
}

static void norm_diff(size_t d, double size)
{
    mem<float> x(ROWS * d), dx(ROWS * d), a(ROWS * d), w(d), y(ROWS * d, 9);
    std::vector<float> want(ROWS * d), sum;
    const dk_cu_norm norm = { w.p, NULL, 1e-6 };

    randomize(x);
    randomize(dx, size);
    randomize(a, size);
    randomize(w);
    sum = dx.copy();
    for (size_t i = 0; i < sum.size(); i++)
        sum[i] += a[i];
    for (size_t i = 0; i < ROWS; i++)
        dk_rmsnorm_diff(&want[i * d], x.p + i * d, &sum[i * d], w.p, d, norm.eps);
    const std::vector<float> old = dx.copy();
    const bool same = orders(y, [&] {
        dx.set(old);
        return dk_cu_add_norm_diff(NULL, y.p, x.p, dx.p, a.p, norm, ROWS, d);
    });

    compare(same, y, want, 16 * EPS * size, 4 * EPS, name("difference of norms of %zu, %g", d, size));
    compare(true, dx, sum, 0, 0, name("the difference before it, %zu", d));
}

/* exp here and there are within 2e-7 of the real one, 4 EPS each; the quotient and
 * the products add a few.  gelu's exponent grows with |x|: its own error is x EPS. */
static void acts(size_t n)
{
    static const char *const names[] = { "silu gate", "gelu gate", "silu", "gelu" };

    for (int form = 0; form < 4; form++) {
        const bool gated = form < 2;
        const size_t wide = gated ? 2 * n : n;
        mem<float> x(ROWS * wide), y(ROWS * n, 9);
        std::vector<float> want(ROWS * n);

        randomize(x, 3);
        for (size_t i = 0; i < ROWS; i++) {
            const float *row = x.p + i * wide;
            float *to = &want[i * n];

            switch (form) {
            case DK_CU_SILU_GATE:   dk_silu_mul(to, row, row + n, n); break;
            case DK_CU_GELU_GATE:   dk_gelu_mul(to, row, row + n, n); break;
            case DK_CU_SILU_PLAIN:  dk_silu(to, row, n); break;
            default:                dk_gelu(to, row, n);
            }
        }
        compare(orders(y, [&] { return dk_cu_act(NULL, form, y.p, x.p, NULL, ROWS, n); }), y, want, 1e-30,
                (form % 2 ? 800 : 16) * EPS, name("%s of %zu", names[form], n));
    }
}

static void act_diff(size_t n, double size, bool gelu)
{
    mem<float> x(ROWS * 2 * n), base(ROWS * 2 * n), y(ROWS * n, 9);
    std::vector<float> want(ROWS * n);

    randomize(base, 3);
    randomize(x, size);
    for (size_t i = 0; i < ROWS; i++) {
        const float *b = base.p + i * 2 * n, *d = x.p + i * 2 * n;

        (gelu ? dk_gelu_mul_diff : dk_silu_mul_diff)(&want[i * n], b, d, b + n, d + n, n);
    }
    compare(orders(y, [&] { return dk_cu_act(NULL, gelu ? DK_CU_GELU_GATE : DK_CU_SILU_GATE, y.p, x.p, base.p, ROWS, n); }),
            y, want, 400 * EPS * size, 16 * EPS, name("difference of %s gates of %zu, %g", gelu ? "gelu" : "silu", n, size));
}

static void simple(size_t n)
{
    mem<float> x(ROWS * n), v(n), y(ROWS * n, 9), z(ROWS * n);
    const uint32_t list[] = { 4, 0, 0, 3, 2, 1, 4 };
    mem<uint32_t> rows(7);
    std::vector<float> want(ROWS * n), picked(7 * n);
    mem<float> out(7 * n, 9);

    randomize(x);
    randomize(v);
    randomize(z);
    memcpy(rows.p, list, sizeof list);
    for (size_t i = 0; i < ROWS * n; i++)
        want[i] = x[i] + v[i % n];
    y.set(x.copy());
    compare(orders(y, [&] { return dk_cu_add_bias(NULL, y.p, v.p, ROWS, n); }), y, want, 0, 0, name("bias of %zu", n));
    for (size_t i = 0; i < ROWS * n; i++)
        want[i] = x[i] + -1.5f * v[i % n];
    y.set(x.copy());
    compare(orders(y, [&] { return dk_cu_edit(NULL, y.p, v.p, -1.5f, ROWS, n); }), y, want, 4 * EPS, 2 * EPS,
            name("edit of %zu", n));
    for (size_t i = 0; i < 7 * n; i++)
        picked[i] = x[list[i / n] * n + i % n];
    compare(orders(out, [&] { return dk_cu_gather(NULL, out.p, x.p, rows.p, 7, n); }), out, picked, 0, 0,
            name("gather of %zu", n));
    for (float sign : { 1.f, -1.f }) {
        for (size_t i = 0; i < ROWS * n; i++)
            want[i] = x[i] + sign * z[i];
        compare(orders(y, [&] { return dk_cu_sum(NULL, y.p, x.p, z.p, sign, ROWS * n); }), y, want, 0, 0,
                name("sum of %zu values, sign %g", ROWS * n, (double)sign));
    }
    want = x.copy();
    dk_softcap(want.data(), ROWS * n, .7f);
    y.set(x.copy());
    compare(orders(y, [&] { return dk_cu_softcap(NULL, y.p, NULL, ROWS * n, .7f); }), y, want, 0, 12 * EPS,
            name("soft cap of %zu values", ROWS * n));
    want = x.copy();
    dk_softcap(want.data(), ROWS * n, 5);
    x.set(want);
    want = z.copy();
    dk_softcap_diff(want.data(), x.p, ROWS * n, 5);
    y.set(z.copy());
    compare(orders(y, [&] { return dk_cu_softcap(NULL, y.p, x.p, ROWS * n, 5); }), y, want, 0, 40 * EPS,
            name("soft cap of %zu differences", ROWS * n));
}

static void halves(size_t n, size_t ldx, size_t ldy)
{
    mem<float> x((ROWS - 1) * ldx + n);
    mem<uint16_t> y((ROWS - 1) * ldy + n, 7);
    std::vector<uint16_t> want = y.copy();

    randomize(x, 100);
    x[0] = -0.0f;
    x[n / 2] = INFINITY;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < n; j++)
            want[i * ldy + j] = dk_f32_bf16(x[i * ldx + j]);
    compare(orders(y, [&] { return dk_cu_to_bf16(NULL, y.p, ldy, x.p, ldx, ROWS, n); }), y, want, 0, 0,
            name("%zu values in bf16, strides %zu and %zu", n, ldx, ldy));
}

/* Packed rows are the f32 rows rounded, with zeros behind them. */
static std::vector<uint16_t> rounded(const mem<float> &y, size_t n, size_t ld)
{
    std::vector<uint16_t> to(ROWS * ld, 0);

    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < n; j++)
            to[i * ld + j] = dk_f32_bf16(y.p[i * n + j]);
    return to;
}

static void packed(size_t n, size_t ld)
{
    mem<float> x(ROWS * n), w(n), y(ROWS * n), wide(ROWS * 2 * n), base(ROWS * 2 * n);
    mem<uint16_t> to(ROWS * ld, 7);
    const dk_cu_norm norm = { w.p, NULL, 1e-5 };

    randomize(x);
    randomize(w);
    randomize(wide, 3);
    randomize(base, 3);
    finished(dk_cu_add_norm(NULL, y.p, x.p, NULL, norm, ROWS, n));
    compare(orders(to, [&] { return dk_cu_add_norm_packed(NULL, to.p, ld, x.p, NULL, norm, ROWS, n); }), to,
            rounded(y, n, ld), 0, 0, name("a packed norm of %zu in %zu", n, ld));
    finished(dk_cu_act(NULL, DK_CU_GELU_GATE, y.p, wide.p, NULL, ROWS, n));
    compare(orders(to, [&] { return dk_cu_act_packed(NULL, DK_CU_GELU_GATE, to.p, ld, wide.p, NULL, ROWS, n); }), to,
            rounded(y, n, ld), 0, 0, name("a packed activation of %zu in %zu", n, ld));
    compare(orders(to, [&] { return dk_cu_pack(NULL, to.p, ld, x.p, n, ROWS, n); }), to, rounded(x, n, ld), 0, 0,
            name("%zu values packed in %zu", n, ld));
    finished(dk_cu_add_norm_diff(NULL, y.p, x.p, wide.p, NULL, norm, ROWS, n));
    compare(orders(to, [&] { return dk_cu_add_norm_diff_packed(NULL, to.p, ld, x.p, wide.p, NULL, norm, ROWS, n); }), to,
            rounded(y, n, ld), 0, 0, name("a packed difference of norms of %zu in %zu", n, ld));
    finished(dk_cu_act(NULL, DK_CU_SILU_GATE, y.p, wide.p, base.p, ROWS, n));
    compare(orders(to, [&] { return dk_cu_act_packed(NULL, DK_CU_SILU_GATE, to.p, ld, wide.p, base.p, ROWS, n); }), to,
            rounded(y, n, ld), 0, 0, name("a packed difference of activations of %zu in %zu", n, ld));
}

static void packed_side()
{
    const size_t r = 5, rows = 67, row0 = 3, col0 = 9, ld = 16, n = 71;
    mem<float> bt(r * rows);
    mem<uint16_t> w(n * ld, 7);
    std::vector<uint16_t> want = w.copy();

    randomize(bt);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < r; j++)
            want[(row0 + i) * ld + col0 + j] = dk_f32_bf16(0.3f * bt[j * rows + i]);
    compare(orders(w, [&] { return dk_cu_pack_side(NULL, w.p, ld, bt.p, 0.3f, row0, rows, col0, r); }), w, want, 0, 0,
            "a side path beside a weight");
}

/* A row's numbers do not depend on its neighbours: the same row alone. */
static void row_alone()
{
    const size_t d = 260;
    mem<float> x(ROWS * d), w(d), y(ROWS * d), alone(d), one(d);
    const dk_cu_norm norm = { w.p, NULL, 1e-5 };

    randomize(x);
    randomize(w);
    memcpy(one.p, x.p + 3 * d, d * sizeof(float));
    finished(dk_cu_add_norm(NULL, y.p, x.p, NULL, norm, ROWS, d));
    finished(dk_cu_add_norm(NULL, alone.p, one.p, NULL, norm, 1, d));
    check(memcmp(alone.p, y.p + 3 * d, d * sizeof(float)) == 0, "a norm is the same in a batch and alone");
}

void test_rows()
{
    for (size_t d : widths) {
        norms(d, false, d % 2);
        norms(d, true, d % 2 == 0);
        norm_diff(d, d % 2 ? 1e-4 : 1);
        acts(d);
        for (bool gelu : { false, true })
            act_diff(d, d % 2 ? 1e-4 : 1, gelu);
        simple(d);
        halves(d, d, d);
    }
    halves(12, 20, 16);
    halves(12, 13, 15);
    packed(1, 2);
    packed(7, 12);
    packed(64, 72);
    packed(260, 260);
    packed(261, 300);
    packed_side();
    row_alone();
    check(dk_cu_act(NULL, 9, NULL, NULL, NULL, 1, 1) != 0, "an unknown activation is refused");
}
