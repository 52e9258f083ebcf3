/* Every op of a CUDA device against the CPU's table, at shapes that break tiles;
 * then the same with memory, launches and the card failing at every point.  The
 * device is the emulation (tests/cuemu), or what DK_CUDA_LIB names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cudadev.h"

/* --- values ---------------------------------------------------------------------- */

static uint64_t drawn;

static float draw(void) { return (float)(dk_uniform(dk_mix(++drawn)) * 2 - 1); }

static float *values(size_t n, float scale)
{
    float *x = dk_xmalloc(n * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = draw() * scale;
    return x;
}

/* The largest distance, in units of the largest value; infinite where one is NaN. */
static double apart(const float *a, const float *b, size_t n)
{
    double worst = 0, top = 1e-30;

    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);

        if (!(d <= 1e30))
            return INFINITY;
        worst = d > worst ? d : worst;
        top = fabs((double)a[i]) > top ? fabs((double)a[i]) : top;
    }
    return worst / top;
}

/* What both devices have at d[0] (CPU) and d[1]; frees it. */
static void same(float *d[2], size_t n, double most, const char *what)
{
    float *a = down(cpu, d[0], n), *b = down(gpu, d[1], n);
    const double far = apart(a, b, n);

    if (!tap(far <= most, "%s", what))
        tap_note("%g apart, at most %g", far, most);
    dk_free(a);
    dk_free(b);
    cpu->ops->release(cpu, d[0]);
    gpu->ops->release(gpu, d[1]);
}

static dk_dev *device(int i) { return i ? gpu : cpu; }

/* The same values on both. */
static void both(float *d[2], const float *x, size_t n)
{
    for (int i = 0; i < 2; i++)
        d[i] = up(device(i), x, n);
}

static void drop(float *d[2])
{
    for (int i = 0; i < 2; i++)
        device(i)->ops->release(device(i), d[i]);
}

/* --- memory ------------------------------------------------------------------------ */

static void test_memory(void)
{
    const size_t n = (9u << 20) / 4 + 3;        /* more than two chunks, and a rest */
    float *x = values(n, 1), *d = up(gpu, x, n), *e = up(gpu, NULL, n), *back;
    const float *shared = NULL;
    dk_err err = {0};
    size_t avail, total;

    back = down(gpu, d, n);
    tap(memcmp(back, x, n * sizeof *x) == 0, "what is put comes back");
    dk_free(back);
    gpu->ops->copy(gpu, e, d, n * sizeof *x);
    gpu->ops->zero(gpu, d, n * sizeof *x);
    back = down(gpu, e, n);
    tap(memcmp(back, x, n * sizeof *x) == 0, "a copy is made before its source is cleared");
    dk_free(back);
    back = down(gpu, d, n);
    tap(back[0] == 0 && back[n - 1] == 0, "memory is cleared");
    dk_free(back);
    must(gpu->ops->share(gpu, &shared, x, 1000, &err), &err);
    x[0] = 99;
    back = down(gpu, (float *)(uintptr_t)shared, 1000);
    tap(memcmp(back + 1, x + 1, 999 * sizeof *x) == 0 && back[0] != 99, "constants are on the card");
    dk_free(back);
    gpu->ops->unshare(gpu, shared);
    gpu->ops->memory(gpu, &avail, &total);
    tap(avail > 0 && avail < total, "free memory is known");
    tap(gpu->ops->sync(gpu, &err) == 0, "waiting works");
    gpu->ops->release(gpu, d);
    gpu->ops->release(gpu, e);
    gpu->ops->release(gpu, NULL);
    dk_free(x);
}

/* --- products ---------------------------------------------------------------------- */

struct matrix { const float *x; size_t k; };

static int rows_of(void *arg, float *rows, size_t row0, size_t n_rows, dk_err *err)
{
    const struct matrix *m = arg;

    if (!m->x)
        return dk_fail(err, DK_EFORMAT, "the source has no row %zu", row0 < 40 ? (size_t)0 : row0);
    memcpy(rows, m->x + row0 * m->k, n_rows * m->k * sizeof *rows);
    return 0;
}

static dk_weight *pack(dk_dev *dev, const float *w, size_t n, size_t k, dk_dtype t)
{
    struct matrix src = { w, k };
    dk_weight *out = NULL;
    dk_err err = {0};

    must(dev->ops->weight_pack(dev, &out, n, k, t, rows_of, &src, &err), &err);
    return out;
}

/* y [m, n] = x w^T on a device; x [m, ldx]. */
static float *multiply(dk_dev *dev, const float *x, size_t ldx, size_t m, const dk_weight *w, size_t n, size_t k,
                       dk_dtype t)
{
    float *dx = up(dev, x, m * ldx), *y = up(dev, NULL, dev->ops->padded_rows(dev, m) * n), *back;
    dk_lhs *lhs = NULL;
    dk_err err = {0};

    must(dev->ops->lhs_new(dev, &lhs, m, k, t, &err), &err);
    dev->ops->lhs_set(dev, lhs, dx, ldx, m, k);
    must(dev->ops->product(dev, y, n, lhs, w, &err), &err);
    back = down(dev, y, m * n);
    dev->ops->lhs_free(dev, &lhs);
    dev->ops->release(dev, dx);
    dev->ops->release(dev, y);
    return back;
}

static void test_product(size_t m, size_t n, size_t k, dk_dtype t)
{
    const size_t ldx = k + 8;
    float *x = values(m * ldx, 1), *wv = values(n * k, 1), *y[2], *one;
    dk_weight *w[2];
    size_t same_rows = 0;

    for (int i = 0; i < 2; i++) {
        w[i] = pack(device(i), wv, n, k, t);
        y[i] = multiply(device(i), x, ldx, m, w[i], n, k, t);
    }
    if (!tap(apart(y[0], y[1], m * n) <= 1e-5, "product of %zu rows, %zu x %zu, %s", m, n, k, dk_dtype_name(t)))
        tap_note("%g apart", apart(y[0], y[1], m * n));
    for (size_t r = 0; r < m; r += m > 8 ? m / 8 : 1) {
        one = multiply(gpu, x + r * ldx, ldx, 1, w[1], n, k, t);
        same_rows += memcmp(one, y[1] + r * n, n * sizeof *one) != 0;
        dk_free(one);
    }
    tap(same_rows == 0, "a row of %zu, %zu x %zu, %s, has the same bits alone", m, n, k, dk_dtype_name(t));
    for (int i = 0; i < 2; i++) {
        device(i)->ops->weight_free(device(i), &w[i]);
        dk_free(y[i]);
    }
    dk_free(x);
    dk_free(wv);
}

static void test_products(void)
{
    static const size_t shape[][3] = { { 1, 5, 7 }, { 3, 33, 40 }, { 64, 65, 72 }, { 65, 130, 64 }, { 131, 64, 129 } };
    struct matrix nothing = { NULL, 16 };
    dk_weight *w = NULL;
    dk_err err = {0};

    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        for (int t = 0; t < 2; t++)
            test_product(shape[i][0], shape[i][1], shape[i][2], t ? DK_BF16 : DK_F32);
    tap(gpu->ops->weight_pack(gpu, &w, 100, 16, DK_BF16, rows_of, &nothing, &err) == DK_EFORMAT && !w &&
        strstr(err.msg, "the source has no row"), "a source's error is told");
}

/* --- between products ---------------------------------------------------------------- */

static void test_norms(size_t rows, size_t width)
{
    float *x = values(rows * width, 2), *add = values(rows * width, 1), *w = values(width, 1), *b = values(width, 1);
    float *dx[2], *dadd[2], *dw[2], *db[2], *y[2], *base[2];

    for (int form = 0; form < 4; form++) {      /* RMSNorm, with an addend, LayerNorm, addend alone */
        both(dx, x, rows * width);
        both(dadd, add, rows * width);
        both(dw, w, width);
        both(db, b, width);
        both(y, NULL, rows * width);
        for (int i = 0; i < 2; i++) {
            const dk_norm_args n = { dw[i], form == 2 ? db[i] : NULL, 1e-5 };

            device(i)->ops->add_norm(device(i), form == 3 ? NULL : y[i], dx[i], form == 0 ? NULL : dadd[i], &n, rows,
                                     width, false);
        }
        if (form == 3)
            drop(y);
        else
            same(y, rows * width, 2e-6, form == 2 ? "layer norm" : form ? "RMS norm of a sum" : "RMS norm");
        same(dx, rows * width, 1e-6, "what the norm was of");
        drop(dadd);
        drop(dw);
        drop(db);
    }
    both(base, x, rows * width);
    for (size_t i = 0; i < rows * width; i++)
        add[i] *= 1e-4f;
    both(dx, add, rows * width);
    both(dadd, add, rows * width);
    both(dw, w, width);
    both(y, NULL, rows * width);
    for (int i = 0; i < 2; i++) {
        const dk_norm_args n = { dw[i], NULL, 1e-5 };

        device(i)->ops->add_norm_diff(device(i), y[i], base[i], dx[i], dadd[i], &n, rows, width, false);
    }
    same(y, rows * width, 1e-5, "difference of norms");
    drop(base);
    drop(dx);
    drop(dadd);
    drop(dw);
    dk_free(x);
    dk_free(add);
    dk_free(w);
    dk_free(b);
}

static void test_acts(size_t rows, size_t n)
{
    static const char *const names[] = { "SiLU gate", "GELU gate", "SiLU", "GELU", "difference of SiLU gates",
                                         "difference of GELU gates" };
    float *x = values(rows * 2 * n, 3), *d = values(rows * 2 * n, 1e-3f), *dx[2], *base[2], *y[2];

    for (int form = 0; form < 6; form++) {
        both(dx, form >= 4 ? d : x, rows * 2 * n);
        both(base, x, rows * 2 * n);
        both(y, NULL, rows * n);
        for (int i = 0; i < 2; i++)
            device(i)->ops->act(device(i), (dk_act_form)(form % 4), y[i], dx[i], form >= 4 ? base[i] : NULL, rows, n, false);
        same(y, rows * n, 5e-6, names[form]);
        drop(dx);
        drop(base);
    }
    dk_free(x);
    dk_free(d);
}

/* Two lanes of m rows with one weight, a bias, side paths on the second (and, with
 * plus, its input as a difference to the first). */
static void test_project(size_t m, size_t k, size_t n, bool plus, dk_dtype t)
{
    const size_t rp = 24, third = n / 3;
    float *x = values(2 * m * k, 1), *at = values(k * rp, 1), *bt = values(9 * n, 1), *wv = values(n * k, 1);
    float *dx[2], *dat[2], *dbt[2], *low[2], *y[2], *whole[2], *bias[2];

    both(dx, x, 2 * m * k);
    both(dat, at, k * rp);
    both(dbt, bt, 9 * n);
    both(bias, bt, n);
    both(low, NULL, m * rp);
    both(whole, NULL, m * k);
    for (int i = 0; i < 2; i++) {
        dk_dev *dev = device(i);
        dk_weight *w = pack(dev, wv, n, k, t);
        dk_side_rows side = { .row0 = m, .plus = plus ? dx[i] : NULL, .low = {
            .m = m, .k = k, .rp = rp, .n_parts = 3, .at = dat[i], .t = low[i], .part = {
            { 9, 0, 0, third, 2.0f, dbt[i] }, { 8, 9, third, third, 0, dbt[i] },
            { 4, 17, n - third, third, -0.5f, dbt[i] } } } };
        dk_project_args a = { .m = 2 * m, .n = n, .k = k, .bias_rows = plus ? m : 2 * m, .n_sides = 1, .x = dx[i],
                              .w = w, .bias = bias[i], .side = &side, .whole = whole[i] };
        dk_err err = {0};

        y[i] = up(dev, NULL, dev->ops->padded_rows(dev, 2 * m) * n);
        a.y = y[i];
        must(dev->ops->lhs_new(dev, &a.lhs, 2 * m, k, t, &err), &err);
        must(dev->ops->project(dev, &a, &err), &err);
        must(dev->ops->sync(dev, &err), &err);
        dev->ops->lhs_free(dev, &a.lhs);
        dev->ops->weight_free(dev, &w);
    }
    same(y, 2 * m * n, 1e-5, plus ? "a projection of differences" : "a projection with bias and side paths");
    drop(dx);
    drop(dat);
    drop(dbt);
    drop(low);
    drop(bias);
    drop(whole);
    dk_free(x);
    dk_free(at);
    dk_free(bt);
    dk_free(wv);
}

/* A norm or an activation written for a projection alone, then that projection:
 * with two side paths, with another factor, with none.  t and B are rounded to
 * bf16 there (2^-9 each, relative to the side path), which here they are not. */
static void test_packed(size_t m, size_t k, size_t n, bool gate)
{
    enum { RP = 16 };
    static const float factors[] = { 2, 2, -0.5f, 0 };
    const size_t offset[] = { 0, m }, wide = gate ? 2 * k : k;
    float *x = values(3 * m * wide, 1), *at = values(2 * k * RP, 0.1f), *bt = values(2 * 11 * n, 0.1f), *wv = values(n * k, 1);
    size_t *pos = dk_xcalloc(m, sizeof *pos);
    float *dx[2], *in[2], *norm[2], *dat[2], *dbt[2], *low[2];
    dk_weight *w[2];

    both(norm, x, k);
    both(dat, at, 2 * k * RP);
    both(dbt, bt, 2 * 11 * n);
    both(low, NULL, m * RP);
    for (int i = 0; i < 2; i++)
        w[i] = pack(device(i), wv, n, k, DK_BF16);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        float *y[2];

        both(dx, x, 3 * m * wide);
        both(in, NULL, 3 * m * k);
        for (int i = 0; i < 2; i++) {
            dk_dev *dev = device(i);
            const dk_rag rag = { 3, m, 1, offset, pos, NULL, NULL, DK_BF16, 2 * RP, false };
            const dk_norm_args by = { norm[i], NULL, 1e-5 };
            dk_side_rows side[2];
            dk_project_args a = { .m = 3 * m, .n = n, .k = k, .n_sides = factors[f] != 0 ? 2 : 0, .x = in[i], .w = w[i],
                                  .side = side, .packed = true };
            dk_err err = {0};

            for (size_t s = 0; s < 2; s++)
                side[s] = (dk_side_rows){ .row0 = (s + 1) * m, .low = {
                    .m = m, .k = k, .rp = RP, .n_parts = 1, .at = dat[i] + s * k * RP, .t = low[i],
                    .part = { { 11, 3, n / 2, n - n / 2, factors[f], dbt[i] + s * 11 * n } } } };
            y[i] = up(dev, NULL, dev->ops->padded_rows(dev, 3 * m) * n);
            a.y = y[i];
            must(dev->ops->begin(dev, &rag, &err), &err);
            must(dev->ops->lhs_new(dev, &a.lhs, 3 * m, k, DK_BF16, &err), &err);
            if (gate)
                dev->ops->act(dev, DK_ACT_SILU_GATE, in[i], dx[i], NULL, 3 * m, k, true);
            else
                dev->ops->add_norm(dev, in[i], dx[i], NULL, &by, 3 * m, k, true);
            must(dev->ops->project(dev, &a, &err), &err);
            must(dev->ops->sync(dev, &err), &err);
            dev->ops->lhs_free(dev, &a.lhs);
        }
        same(y, 3 * m * n, factors[f] == 0 ? 1e-5 : 4e-3, gate ? "a packed activation through a projection"
                                                               : "a packed norm through a projection");
        drop(dx);
        drop(in);
    }
    for (int i = 0; i < 2; i++)
        device(i)->ops->weight_free(device(i), &w[i]);
    drop(norm);
    drop(dat);
    drop(dbt);
    drop(low);
    dk_free(x);
    dk_free(at);
    dk_free(bt);
    dk_free(wv);
    dk_free(pos);
}

/* Weights that do not stay on the card: as they were, and in an order that changes, and with
 * one taken away in between, products have the bits that they have with weights that stay. */
static void test_streamed(dk_dtype t)
{
    enum { M = 7, N = 40, K = 24, W = 9 };
    static const int order[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 8, 7, 7, 3, 0, 1, 2, 3, 4, 5 };
    float *x = values(M * K, 1), *v[W], *want[W];
    dk_weight *w[W];
    size_t wrong = 0;

    for (size_t i = 0; i < W; i++) {
        v[i] = values(N * K, 1);
        w[i] = pack(gpu, v[i], i % 3 ? N : N / 2, K, t);
        want[i] = multiply(gpu, x, K, M, w[i], i % 3 ? N : N / 2, K, t);
        gpu->ops->weight_free(gpu, &w[i]);
        gpu->ops->stay(gpu, i < 2 ? SIZE_MAX : 0);
        w[i] = pack(gpu, v[i], i % 3 ? N : N / 2, K, t);
        gpu->ops->stay(gpu, SIZE_MAX);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const size_t k = (size_t)order[i], n = k % 3 ? N : N / 2;
        float *got = multiply(gpu, x, K, M, w[k], n, K, t);

        wrong += memcmp(got, want[k], M * n * sizeof *got) != 0;
        dk_free(got);
        if (i == 20) {              /* what others may expect to follow them */
            gpu->ops->weight_free(gpu, &w[6]);
            gpu->ops->stay(gpu, 0);
            w[6] = pack(gpu, v[6], N / 2, K, t);
            gpu->ops->stay(gpu, SIZE_MAX);
        }
    }
    if (!tap(wrong == 0, "products with weights in host memory, %s", dk_dtype_name(t)))
        tap_note("%zu differ", wrong);
    for (size_t i = 0; i < W; i++) {
        gpu->ops->weight_free(gpu, &w[i]);
        dk_free(v[i]);
        dk_free(want[i]);
    }
    dk_free(x);
}

static void test_small(void)
{
    const size_t rows = 37, d = 45, n = rows * d, pick[] = { 36, 0, 5, 5, 11 };
    float *x = values(n, 4), *v = values(d, 1), *a[2], *y[2];

    both(a, x, n);
    for (int i = 0; i < 2; i++) {
        device(i)->ops->edit(device(i), a[i] + 3 * d, v, -1.5f, 7, d);
        device(i)->ops->softcap(device(i), a[i] + 5 * d, NULL, d * 10, 2.5f);
        device(i)->ops->softcap(device(i), a[i] + 15 * d, a[i] + 5 * d, d * 10, 2.5f);
    }
    both(y, NULL, n);
    for (int i = 0; i < 2; i++)
        device(i)->ops->gather(device(i), y[i], a[i], pick, 5, d);
    same(y, 5 * d, 1e-6, "rows are gathered");
    both(y, NULL, n);
    for (int i = 0; i < 2; i++)
        device(i)->ops->sum(device(i), y[i], a[i], a[i], 1, n);
    for (int i = 0; i < 2; i++)
        device(i)->ops->sum(device(i), y[i], y[i], a[i], -0.5f, n);
    same(y, n, 1e-6, "sums, also in place");
    for (int form = 0; form < 2; form++) {
        float *out[2];
        dk_err err = {0};

        for (int i = 0; i < 2; i++) {
            out[i] = dk_xmalloc(n * sizeof(float));
            must(device(i)->ops->tap(device(i), out[i], a[i], form ? a[i] + d : NULL, -1, n - d, &err), &err);
        }
        tap(apart(out[0], out[1], n - d) <= 1e-6, form ? "a tapped difference" : "a tap");
        dk_free(out[0]);
        dk_free(out[1]);
    }
    same(a, n, 2e-6, "edit and soft cap");
    dk_free(x);
    dk_free(v);
}

/* --- attention --------------------------------------------------------------------------- */

struct heads { size_t n_heads, n_kv, hd, window; float softcap; bool norm, rotate, diff, cache; double most; const char *name; };

/* A batch of five sequences of uneven length, one of them empty; with a cache,
 * twice: the second time one token each. */
static void test_attend(const struct heads *h)
{
    static const size_t first[] = { 0, 1, 64, 64, 141, 150 }, later[] = { 0, 1, 2, 3, 4, 5 };
    const size_t n_seq = 5, lanes = 2, wide = (h->n_heads + 2 * h->n_kv) * h->hd, q = h->n_heads * h->hd, cap = 96;
    const size_t kv = lanes * 6 * cap * h->n_kv * h->hd, half = h->hd / 2, positions = 160;
    float *turn = values(2 * positions * half, 1), *norm = values(2 * h->hd, 1), *kc[2], *vc[2], *dturn[2], *dnorm[2];
    size_t past[5] = {0}, slot[5] = { 4, 0, 5, 2, 1 };

    both(dturn, turn, 2 * positions * half);
    both(dnorm, norm, 2 * h->hd);
    both(kc, NULL, kv);
    both(vc, NULL, kv);
    for (int step = 0; step < (h->cache ? 2 : 1); step++) {
        const size_t *offset = step ? later : first, rows = offset[n_seq];
        size_t *pos = dk_xmalloc(rows * sizeof *pos);
        float *qkv = values(lanes * rows * wide, 1), *x[2], *base[2], *out[2];
        char name[128];

        for (size_t i = 0; h->diff && i < rows * wide; i++)
            qkv[rows * wide + i] *= 1e-3f;
        for (size_t s = 0; s < n_seq; s++)
            for (size_t r = offset[s]; r < offset[s + 1]; r++)
                pos[r] = past[s] + r - offset[s];
        both(x, qkv, lanes * rows * wide);
        both(base, qkv, rows * wide);
        both(out, NULL, lanes * rows * q);
        for (int i = 0; i < 2; i++) {
            dk_dev *dev = device(i);
            const dk_rag rag = { lanes, rows, n_seq, offset, pos, h->cache ? past : NULL, h->cache ? slot : NULL,
                                 DK_F32, 0, step > 0 };
            const dk_place_args p = {
                h->n_heads, h->n_kv, h->hd, { h->norm ? dnorm[i] : NULL, NULL, 1e-6 },
                { h->norm ? dnorm[i] + h->hd : NULL, NULL, 1e-6 }, h->rotate ? dturn[i] : NULL,
                h->rotate ? dturn[i] + positions * half : NULL };
            const dk_attend_args a = {
                .n_heads = h->n_heads, .n_kv = h->n_kv, .hd = h->hd, .scale = 1 / sqrtf((float)h->hd),
                .softcap = h->softcap, .window = h->window, .qkv = x[i], .out = out[i],
                .k_cache = h->cache ? kc[i] : NULL, .v_cache = h->cache ? vc[i] : NULL, .n_slots = 6, .capacity = cap,
                .diff = h->diff };
            dk_err err = {0};

            must(dev->ops->begin(dev, &rag, &err), &err);
            if (h->diff) {
                dev->ops->place(dev, x[i] + rows * wide, base[i], lanes - 1, &p);
                dev->ops->place(dev, x[i], NULL, 1, &p);
            } else
                dev->ops->place(dev, x[i], NULL, lanes, &p);
            must(dev->ops->attend(dev, &a, &err), &err);
        }
        snprintf(name, sizeof name, "queries and keys in place: %s", h->name);
        same(x, lanes * rows * wide, 1e-5, name);
        if (h->diff) {
            float *a = down(cpu, out[0] + rows * q, rows * q), *b = down(gpu, out[1] + rows * q, rows * q);

            tap(apart(a, b, rows * q) <= 1e-4, "differences of attention: %s", h->name);
            dk_free(a);
            dk_free(b);
        }
        snprintf(name, sizeof name, "attention, step %d: %s", step, h->name);
        same(out, lanes * rows * q, h->most, name);
        drop(base);
        for (size_t s = 0; s < n_seq; s++)
            past[s] += offset[s + 1] - offset[s];
        dk_free(qkv);
        dk_free(pos);
    }
    drop(kc);
    drop(vc);
    drop(dturn);
    drop(dnorm);
    dk_free(turn);
    dk_free(norm);
}

static void test_attends(double most)
{
    const struct heads form[] = {
        { 4, 2, 16, 0, 0, false, true, false, false, most, "two heads of keys" },
        { 3, 1, 40, 0, 0, true, true, false, true, most, "one head of keys, norms, a cache" },
        { 2, 2, 64, 9, 0, false, true, false, true, most, "a window, a cache" },
        { 2, 1, 128, 33, 5, true, false, false, false, most, "soft cap, window, no rotation" },
        { 4, 2, 24, 0, 0, true, true, true, false, 1e-5, "differences" },
        { 2, 2, 64, 20, 0, false, true, true, false, 1e-5, "differences in a window" },
        { 2, 2, 32, 20, 2, false, true, true, true, 1e-5, "capped differences in a window, a cache" } };

    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        test_attend(&form[i]);
}

/* --- heads ---------------------------------------------------------------------------------- */

enum { ROWS = 98, VOCAB = 4105, DIM = 40, LANES = 3, K = 7 };

struct seen { float *logits[LANES], *diff[LANES]; size_t begun, ended; bool wrong; };

static void see_begin(void *self, const dk_tile *t)
{
    struct seen *s = self;

    s->begun += t->rows;
    s->wrong |= t->n != 0 || t->rows > DK_HEAD_ROWS_MAX || t->thread != 0;
}

static void see_tile(void *self, const dk_tile *t)
{
    struct seen *s = self;

    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < t->rows; i++) {
            memcpy(s->logits[l] + (t->row0 + i) * VOCAB + t->v0, t->logits[l] + i * t->ld, t->n * sizeof(float));
            if (t->diff && t->diff[l])
                memcpy(s->diff[l] + (t->row0 + i) * VOCAB + t->v0, t->diff[l] + i * t->ld, t->n * sizeof(float));
        }
}

static void see_end(void *self, const dk_tile *t)
{
    struct seen *s = self;

    s->ended += t->rows;
}

/* Results of eyes, and room for them. */
struct found {
    float *kl[LANES], *logp[LANES], *top[LANES], *bottom[LANES], *id_logp[LANES];
    uint32_t *top_id[LANES], *bottom_id[LANES], *id[LANES], next[ROWS];
    int64_t *sum[LANES], *top_count[LANES], *bottom_count[LANES];
    int32_t *positive[LANES];
    int bad_at[LANES], *bad[LANES];
};

static void found_new(struct found *f)
{
    for (size_t l = 0; l < LANES; l++) {
        f->kl[l] = dk_xcalloc(ROWS, 4);
        f->logp[l] = dk_xcalloc(ROWS, 4);
        f->top[l] = dk_xcalloc(ROWS * K, 4);
        f->bottom[l] = dk_xcalloc(ROWS * K, 4);
        f->id_logp[l] = dk_xcalloc(ROWS * K, 4);
        f->top_id[l] = dk_xcalloc(ROWS * K, 4);
        f->bottom_id[l] = dk_xcalloc(ROWS * K, 4);
        f->id[l] = dk_xcalloc(ROWS * K, 4);
        f->sum[l] = dk_xcalloc(VOCAB, 8);
        f->top_count[l] = dk_xcalloc(VOCAB, 8);
        f->bottom_count[l] = dk_xcalloc(VOCAB, 8);
        f->positive[l] = dk_xcalloc(VOCAB, 4);
        f->bad_at[l] = 0;
        f->bad[l] = &f->bad_at[l];
    }
    for (size_t i = 0; i < ROWS; i++)
        f->next[i] = i % 10 == 9 ? UINT32_MAX : (uint32_t)(i * 37 % VOCAB);
}

static void found_free(struct found *f)
{
    for (size_t l = 0; l < LANES; l++) {
        void *all[] = { f->kl[l], f->logp[l], f->top[l], f->bottom[l], f->id_logp[l], f->top_id[l], f->bottom_id[l],
                        f->id[l], f->sum[l], f->top_count[l], f->bottom_count[l], f->positive[l] };

        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            dk_free(all[i]);
    }
}

static double lse(const float *p, double t)
{
    double top = -INFINITY, z = 0;

    for (size_t v = 0; v < VOCAB; v++)
        top = p[v] * t > top ? p[v] * t : top;
    for (size_t v = 0; v < VOCAB; v++)
        z += exp(p[v] * t - top);
    return top + log(z);
}

static void check_kl(const struct found *f, const struct seen *s, bool diff)
{
    const double t = 0.5;
    double worst = 0, worst_logp = 0;
    size_t nan_wrong = 0;

    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < ROWS; i++) {
            const float *p = s->logits[l] + i * VOCAB, *q = s->logits[0] + i * VOCAB, *d = s->diff[l] + i * VOCAB;
            const double zp = lse(p, t), zq = lse(q, t);
            double kl = 0;

            for (size_t v = 0; l > 0 && v < VOCAB; v++) {
                const double x = diff ? d[v] * t : ((double)p[v] - q[v]) * t;

                kl += exp(p[v] * t - zp) * (x - zp + zq);
            }
            if (l > 0)
                worst = fmax(worst, fabs(kl - (double)f->kl[l][i]) / (kl + 1e-7));
            if (f->next[i] == UINT32_MAX)
                nan_wrong += !isnan(f->logp[l][i]);
            else
                worst_logp = fmax(worst_logp, fabs(p[f->next[i]] * t - zp - (double)f->logp[l][i]));
        }
    if (!tap(worst < (diff ? 2e-2 : 1e-3), "divergences%s", diff ? " from differences" : ""))
        tap_note("%g apart", worst);
    if (!tap(worst_logp < 1e-5 && nan_wrong == 0, "probabilities of next tokens%s", diff ? " of differences" : ""))
        tap_note("%g apart, %zu", worst_logp, nan_wrong);
}

/* The k-th best of x by value and id: sign -1 for the smallest. */
static bool best(const uint32_t *id, const float *value, const float *x, float sign)
{
    bool *taken = dk_xcalloc(VOCAB, sizeof *taken), good = true;

    for (size_t j = 0; j < K && good; j++) {
        size_t top = VOCAB;

        for (size_t v = 0; v < VOCAB; v++)
            if (!taken[v] && (top == VOCAB || sign * x[v] > sign * x[top]))
                top = v;
        taken[top] = true;
        good = id[j] == top && (!value || value[j] == x[top]);
    }
    dk_free(taken);
    return good;
}

static void check_topk(const struct found *f, const struct seen *s, bool diff)
{
    size_t wrong = 0, wrong_sum = 0, lens_wrong = 0;
    float *d = dk_xmalloc(VOCAB * sizeof *d);

    for (size_t l = 0; l < LANES; l++) {
        int64_t *sum = dk_xcalloc(VOCAB, 8), *count = dk_xcalloc(VOCAB, 8);
        int32_t *positive = dk_xcalloc(VOCAB, 4);

        for (size_t i = 0; i < ROWS; i++) {
            const float *p = s->logits[l] + i * VOCAB, *q = s->logits[0] + i * VOCAB, *own = s->diff[l] + i * VOCAB;
            double worst = 0;

            for (size_t v = 0; l > 0 && v < VOCAB; v++) {
                d[v] = diff ? own[v] : p[v] - q[v];
                sum[v] += (int64_t)nearbyint((diff ? (double)own[v] : (double)p[v] - q[v]) * 1073741824.0);
                positive[v] += d[v] > 0;
            }
            if (l > 0) {
                wrong += !best(f->top_id[l] + i * K, f->top[l] + i * K, d, 1);
                wrong += !best(f->bottom_id[l] + i * K, f->bottom[l] + i * K, d, -1);
                for (size_t j = 0; j < K; j++) {
                    count[f->top_id[l][i * K + j]]++;
                    count[f->bottom_id[l][i * K + j]] += 1000000;
                }
            }
            lens_wrong += !best(f->id[l] + i * K, NULL, p, 1);
            for (size_t j = 0; j < K; j++)
                worst = fmax(worst, fabs(p[f->id[l][i * K + j]] - lse(p, 1) - f->id_logp[l][i * K + j]));
            lens_wrong += worst > 1e-5;
        }
        for (size_t v = 0; l > 0 && v < VOCAB; v++)
            wrong_sum += f->sum[l][v] != 2 * sum[v] || f->positive[l][v] != 2 * positive[v] ||
                         f->top_count[l][v] + 1000000 * f->bottom_count[l][v] != 2 * count[v] || *f->bad[l];
        dk_free(sum);
        dk_free(count);
        dk_free(positive);
    }
    if (!tap(wrong == 0, "the largest and smallest differences%s", diff ? " as they come" : ""))
        tap_note("%zu lists", wrong);
    if (!tap(wrong_sum == 0, "sums and counts over the vocabulary of two calls%s", diff ? ", of differences" : ""))
        tap_note("%zu ids", wrong_sum);
    if (!tap(lens_wrong == 0, "the likeliest tokens%s", diff ? " with differences" : ""))
        tap_note("%zu rows", lens_wrong);
    dk_free(d);
}

/* Five heads one after the other, their eye aimed elsewhere each time, before anybody waits. */
static void test_later(const struct found *want, const dk_head_args *like, const dk_eye *eye)
{
    enum { N = 5 };
    struct found got[N];
    size_t wrong = 0;
    dk_err err = {0};
    dk_eye e = *eye;
    const dk_visitor vis = { .eye = &e };
    dk_head_args a = *like;

    a.visitor = &vis;
    a.n_visitors = 1;
    for (size_t i = 0; i < N; i++) {
        float *kl[LANES], *logp[LANES];

        found_new(&got[i]);
        memcpy(kl, got[i].kl, sizeof kl);
        memcpy(logp, got[i].logp, sizeof logp);
        e.kl = kl;
        e.logp = logp;
        must(gpu->ops->head(gpu, &a, &err), &err);
        memset(kl, 0, sizeof kl);       /* the lists are the caller's again */
        memset(logp, 0, sizeof logp);
    }
    must(gpu->ops->sync(gpu, &err), &err);
    for (size_t i = 0; i < N; i++) {
        for (size_t l = 0; l < LANES; l++)
            wrong += (l && memcmp(got[i].kl[l], want->kl[l], ROWS * sizeof(float)) != 0) ||
                     memcmp(got[i].logp[l], want->logp[l], ROWS * sizeof(float)) != 0;
        found_free(&got[i]);
    }
    if (!tap(wrong == 0, "what several heads find comes where it was wanted"))
        tap_note("%zu differ", wrong);
}

static void test_head(dk_dtype t, bool diff, float softcap)
{
    const size_t stride = gpu->ops->head_rows(gpu, ROWS);
    float *wv = values((size_t)VOCAB * DIM, 0.5f), *x = values(LANES * stride * DIM, 1), *dx, *exact;
    struct seen seen = {0};
    struct found f;
    dk_weight *w, *lane[LANES];
    dk_err err = {0};
    dk_eye kl, topk, lens;
    dk_visitor vis[4];
    dk_head_args a;

    found_new(&f);
    for (size_t l = 0; l < LANES; l++) {
        seen.logits[l] = dk_xcalloc((size_t)ROWS * VOCAB, sizeof(float));
        seen.diff[l] = dk_xcalloc((size_t)ROWS * VOCAB, sizeof(float));
    }
    for (size_t i = 0; i < (LANES - 1) * stride * DIM; i++)
        x[stride * DIM + i] = diff ? x[stride * DIM + i] * 1e-2f : x[i % (stride * DIM)] + 0.1f * x[stride * DIM + i];
    w = pack(gpu, wv, VOCAB, DIM, t);
    for (size_t l = 0; l < LANES; l++)
        lane[l] = w;
    dx = up(gpu, x, LANES * stride * DIM);
    kl = (dk_eye){ .kind = DK_EYE_KL, .inv_temperature = 0.5f, .kl = f.kl, .logp = f.logp, .next = f.next };
    topk = (dk_eye){ .kind = DK_EYE_TOPK, .k = K, .top_id = f.top_id, .bottom_id = f.bottom_id, .top = f.top,
                     .bottom = f.bottom, .sum_diff = f.sum, .positive = f.positive, .top_count = f.top_count,
                     .bottom_count = f.bottom_count, .bad = f.bad };
    lens = (dk_eye){ .kind = DK_EYE_LENS, .k = K, .id = f.id, .id_logp = f.id_logp };
    vis[0] = (dk_visitor){ .eye = &kl };
    vis[1] = (dk_visitor){ .eye = &topk };
    vis[2] = (dk_visitor){ .eye = &lens };
    vis[3] = (dk_visitor){ &seen, see_begin, see_tile, see_end, NULL };
    a = (dk_head_args){ LANES, ROWS, stride, DIM, VOCAB, dx, (const dk_weight *const *)lane, softcap, diff, vis, 4 };
    must(gpu->ops->head(gpu, &a, &err), &err);
    tap(seen.begun == ROWS && seen.ended == ROWS && !seen.wrong, "every row is shown once, %s", dk_dtype_name(t));
    exact = multiply(gpu, x, DIM, ROWS, w, VOCAB, DIM, t);
    for (size_t i = 0; softcap > 0 && i < (size_t)ROWS * VOCAB; i++)
        exact[i] = softcap * tanhf(exact[i] / softcap);
    tap(apart(exact, seen.logits[0], (size_t)ROWS * VOCAB) <= 1e-6, "tiles hold the logits%s", softcap > 0 ? ", capped" : "");
    must(gpu->ops->head(gpu, &a, &err), &err);
    must(gpu->ops->sync(gpu, &err), &err);
    check_kl(&f, &seen, diff);
    check_topk(&f, &seen, diff);
    test_later(&f, &a, &kl);
    gpu->ops->release(gpu, dx);
    gpu->ops->weight_free(gpu, &w);
    for (size_t l = 0; l < LANES; l++) {
        dk_free(seen.logits[l]);
        dk_free(seen.diff[l]);
    }
    found_free(&f);
    dk_free(exact);
    dk_free(wv);
    dk_free(x);
}

/* --- statistics --------------------------------------------------------------------------------- */

enum { STAT_DOCS = 300, STAT_POS = 5 };

struct stats { dk_exact *exact[4], *pos; float *min, *max; double *doc; };

static void stats_new(struct stats *s, size_t d)
{
    for (int i = 0; i < 4; i++)
        s->exact[i] = dk_xcalloc(d, sizeof(dk_exact));
    s->pos = dk_xcalloc(STAT_POS * d, sizeof(dk_exact));
    s->doc = dk_xcalloc(STAT_DOCS * d, sizeof(double));
    s->min = dk_xcalloc(d, sizeof(float));
    s->max = dk_xcalloc(d, sizeof(float));
}

static bool stats_same(const struct stats *a, const struct stats *b, size_t d)
{
    bool same_bits = memcmp(a->doc, b->doc, STAT_DOCS * d * sizeof(double)) == 0 && memcmp(a->pos, b->pos, STAT_POS * d * sizeof(dk_exact)) == 0 &&
                     memcmp(a->min, b->min, d * sizeof(float)) == 0 && memcmp(a->max, b->max, d * sizeof(float)) == 0;

    for (int i = 0; i < 4; i++)
        same_bits = same_bits && memcmp(a->exact[i], b->exact[i], d * sizeof(dk_exact)) == 0;
    return same_bits;
}

static void stats_free(struct stats *s)
{
    for (int i = 0; i < 4; i++)
        dk_free(s->exact[i]);
    dk_free(s->pos);
    dk_free(s->doc);
    dk_free(s->min);
    dk_free(s->max);
}

/* Two batches of documents, some of them empty; more than are on the card at once. */
static void test_row_sums(size_t d)
{
    struct stats got[2];
    size_t doc[STAT_DOCS + 1] = {0}, rows;
    uint32_t *pos;
    float *x, *on[2];

    for (size_t k = 0; k < STAT_DOCS; k++)
        doc[k + 1] = doc[k] + (k * 7919) % 4;
    rows = doc[STAT_DOCS];
    x = values(rows * d, 3);
    pos = dk_xmalloc(rows * sizeof *pos);
    for (size_t k = 0; k < STAT_DOCS; k++)
        for (size_t r = doc[k]; r < doc[k + 1]; r++)
            pos[r] = (uint32_t)(r - doc[k] + 4 * (k % 2));
    both(on, x, rows * d);
    for (int i = 0; i < 2; i++) {
        stats_new(&got[i], d);
        for (int batch = 0; batch < 3; batch++) {
            dk_row_sums a = {
                .x = on[i], .width = d, .n_docs = batch == 2 ? 1 : STAT_DOCS, .doc = doc, .pos = pos, .sum = got[i].exact[0],
                .sumsq = got[i].exact[1], .doc_mean = got[i].exact[2], .doc_mean_sq = got[i].exact[3],
                .min = got[i].min, .max = got[i].max, .first = batch == 0, .n_pos = STAT_POS, .pos_sum = got[i].pos,
                .doc_sum = batch ? got[i].doc : NULL
            };
            dk_err err = {0};

            must(device(i)->ops->row_sums(device(i), &a, &err), &err);
        }
    }
    tap(stats_same(&got[0], &got[1], d), "sums of %zu rows of %zu are the CPU's, to the bit", rows, d);
    drop(on);
    stats_free(&got[0]);
    stats_free(&got[1]);
    dk_free(x);
    dk_free(pos);
}

static void test_row_products(size_t rows, size_t d)
{
    float *x = values(rows * d, 3), *y = values(rows * d, 3), *e = values(rows * d, 1e-2f), *own[2], *base[2], *diff[2];
    double *out[2];

    both(own, x, rows * d);
    both(base, y, rows * d);
    both(diff, e, rows * d);
    for (int i = 0; i < 2; i++)
        out[i] = dk_xmalloc(rows * DK_ROW_PRODUCTS * sizeof(double));
    for (int form = 0; form < 3; form++) {
        for (int i = 0; i < 2; i++) {
            dk_err err = {0};

            must(device(i)->ops->row_products(device(i), out[i], own[i], form ? base[i] : NULL, form == 2 ? diff[i] : NULL,
                                              rows, d, &err), &err);
        }
        tap(memcmp(out[0], out[1], rows * DK_ROW_PRODUCTS * sizeof(double)) == 0,
            "products of %zu rows of %zu are the CPU's, to the bit: form %d", rows, d, form);
    }
    drop(own);
    drop(base);
    drop(diff);
    for (int i = 0; i < 2; i++)
        dk_free(out[i]);
    dk_free(x);
    dk_free(y);
    dk_free(e);
}

static void test_scatter(size_t n, size_t d)
{
    float *x = values(n * d, 1), *on[2], *c[2];
    double *back[2], worst = 0;

    both(on, x, n * d);
    both(c, NULL, 2 * d * d);
    for (int i = 0; i < 2; i++) {
        dk_dev *dev = device(i);
        dk_err err = {0};

        back[i] = dk_xmalloc(d * d * sizeof(double));
        dev->ops->zero(dev, c[i], d * d * sizeof(double));
        for (int twice = 0; twice < 2; twice++)
            must(dev->ops->scatter(dev, (double *)(void *)c[i], on[i], n, d, &err), &err);
        must(dev->ops->get(dev, back[i], c[i], d * d * sizeof(double), &err), &err);
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++)
            worst = fmax(worst, fabs(back[0][i * d + j] - back[1][i * d + j]));
    if (!tap(worst <= 0x1p-50 * (double)n, "x^T x of %zu rows of %zu", n, d))
        tap_note("%g apart", worst);
    drop(on);
    drop(c);
    dk_free(back[0]);
    dk_free(back[1]);
    dk_free(x);
}

/* --- faults ----------------------------------------------------------------------------------- */

static dk_backend_open_fn *open_device;
static long (*launches)(void);      /* since a device was opened; the emulation's */

/* A little of everything on a device of its own. */
static int exercise(dk_err *err)
{
    enum { M = 9, N = 24, D = 16, V = 50 };
    static const size_t offset[] = { 0, 4, 9 }, pos[] = { 0, 1, 2, 3, 0, 1, 2, 3, 4 }, pick[] = { 8, 3 };
    const dk_rag rag = { 1, M, 2, offset, pos, NULL, NULL, DK_F32, 0, false };
    float *x = values(M * D, 1), *wv = values(V * D, 1), *d = NULL, *y = NULL, *att = NULL, host[M * D];
    float *kl[1] = { NULL }, logp0[M], *logp[1] = { logp0 };
    uint32_t next[M] = {0};
    const dk_eye eye = { .kind = DK_EYE_KL, .inv_temperature = 1, .kl = kl, .logp = logp, .next = next };
    const dk_visitor vis = { .eye = &eye };
    const float *one = NULL;
    struct matrix src = { wv, D };
    dk_weight *w = NULL, *head = NULL, *far[3] = { NULL };
    dk_lhs *lhs = NULL;
    dk_dev *dev = NULL;
    int rc = open_device(&dev, DK_BACKEND_ABI, err);

    if (rc == 0) rc = dev->ops->alloc(dev, (void **)&d, M * D * 4, "rows", err);
    if (rc == 0) rc = dev->ops->alloc(dev, (void **)&y, M * N * 4, "results", err);
    if (rc == 0) rc = dev->ops->alloc(dev, (void **)&att, M * D * 4, "attention", err);
    if (rc == 0) rc = dev->ops->put(dev, d, x, M * D * 4, err);
    if (rc == 0) rc = dev->ops->share(dev, &one, wv, D, err);
    if (rc == 0) rc = dev->ops->weight_pack(dev, &w, N, D, DK_BF16, rows_of, &src, err);
    if (rc == 0) rc = dev->ops->weight_pack(dev, &head, V, D, DK_F32, rows_of, &src, err);
    if (rc == 0) dev->ops->stay(dev, 0);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = dev->ops->weight_pack(dev, &far[i], N, D, DK_BF16, rows_of, &src, err);
    if (rc == 0) rc = dev->ops->lhs_new(dev, &lhs, M, D, DK_BF16, err);
    if (rc == 0) rc = dev->ops->begin(dev, &rag, err);
    if (rc == 0) {
        const dk_norm_args norm = { one, NULL, 1e-5 };

        dev->ops->add_norm(dev, d, d, NULL, &norm, M, D, false);
        dev->ops->lhs_set(dev, lhs, d, D, M, D);
        rc = dev->ops->product(dev, y, N, lhs, w, err);
        for (int i = 0; rc == 0 && i < 6; i++)
            rc = dev->ops->product(dev, y, N, lhs, far[i % 3], err);
    }
    if (rc == 0) {                  /* one of them gets a side path */
        const dk_side_rows side = { .row0 = 0, .low = { .m = M, .k = D, .rp = 8, .n_parts = 1, .at = d, .t = att,
                                                        .part = { { 8, 0, 0, 8, 1, d } } } };
        const dk_rag packed = { 1, M, 2, offset, pos, NULL, NULL, DK_BF16, 8, false };
        const dk_norm_args norm = { one, NULL, 1e-5 };
        float *in = NULL;
        const dk_project_args a = { .y = y, .m = M, .n = N, .k = D, .n_sides = 1, .w = far[1], .side = &side, .lhs = lhs,
                                    .packed = true };
        dk_project_args b = a;

        rc = dev->ops->alloc(dev, (void **)&in, M * 128 * 4, "packed rows", err);
        b.x = in;
        if (rc == 0) rc = dev->ops->begin(dev, &packed, err);
        if (rc == 0) dev->ops->add_norm(dev, in, d, NULL, &norm, M, D, true);
        if (rc == 0) rc = dev->ops->project(dev, &b, err);
        if (rc == 0) rc = dev->ops->begin(dev, &rag, err);
        dev->ops->release(dev, in);
    }
    if (rc == 0) {
        const dk_attend_args a = { .n_heads = 1, .n_kv = 1, .hd = 8, .scale = 1, .qkv = y, .out = att };

        rc = dev->ops->attend(dev, &a, err);
    }
    if (rc == 0) {
        const dk_weight *lane = head;
        const dk_head_args a = { 1, M, M, D, V, d, &lane, 0, false, &vis, 1 };

        dev->ops->edit(dev, d, x, 2, M, D);
        dev->ops->gather(dev, att, d, pick, 2, 8);
        rc = dev->ops->tap(dev, host, d, att, 1, 16, err);
        if (rc == 0)
            rc = dev->ops->head(dev, &a, err);
    }
    if (rc == 0) {
        const uint32_t seen[] = { 3, 3, 7 };
        dk_pick one_more = { .row = 1, .how = { .repetition_penalty = 2 },
                             .seen = { seen }, .n_seen = { 3 } };
        const dk_choose_args a = { .logits = y, .vocab = N, .pick = &one_more, .n = 1, .end = seen, .n_end = 1 };

        rc = dev->ops->choose(dev, &a, err);
    }
    if (rc == 0) {
        dk_exact sums[4][D] = {0};
        float low[D], high[D];
        double products[M * DK_ROW_PRODUCTS], *c = NULL;
        const uint32_t at[M] = {0};
        const dk_row_sums a = { .x = d, .width = D, .n_docs = 2, .doc = offset, .pos = at, .sum = sums[0], .sumsq = sums[1],
                                .doc_mean = sums[2], .doc_mean_sq = sums[3], .min = low, .max = high, .first = true };

        rc = dev->ops->row_sums(dev, &a, err);
        if (rc == 0) rc = dev->ops->row_products(dev, products, d, NULL, NULL, M, D, err);
        if (rc == 0) rc = dev->ops->alloc(dev, (void **)&c, D * D * sizeof *c, "products", err);
        if (rc == 0) rc = dev->ops->scatter(dev, c, d, M, D, err);
        dev->ops->release(dev, c);
    }
    if (rc == 0) rc = dev->ops->get(dev, host, d, M * D * 4, err);
    if (rc == 0) rc = dev->ops->sync(dev, err);
    if (dev) {
        dev->ops->lhs_free(dev, &lhs);
        dev->ops->weight_free(dev, &w);
        dev->ops->weight_free(dev, &head);
        for (int i = 0; i < 3; i++)
            dev->ops->weight_free(dev, &far[i]);
        dev->ops->unshare(dev, one);
        dev->ops->release(dev, d);
        dev->ops->release(dev, y);
        dev->ops->release(dev, att);
        dev->ops->close(dev);
    }
    dk_free(x);
    dk_free(wv);
    return rc;
}

/* The n-th of something fails, for every n until that is never reached.  Only
 * launches that compare algorithms may fail without a word, QUIET at most. */
static void test_fault(const char *variable, const char *text, size_t least, size_t quiet)
{
    size_t n = 1, silent = 0, unclear = 0, unseen = 0;
    const bool launch = quiet > 0;

    for (;; n++) {
        char number[24];
        dk_err err = {0};
        int rc;

        snprintf(number, sizeof number, "%zu", n);
        setenv(variable, number, 1);
        rc = exercise(&err);
        if (rc == 0 && (!launch || (long)n > launches()))
            break;
        if (rc == 0) {
            unseen++;
            continue;
        }
        silent += err.code == 0 || !err.msg[0] || strchr(err.msg, '\n');
        if (!strstr(err.msg, text) && unclear++ == 0)
            tap_note("%s=%zu: %s", variable, n, err.msg);
    }
    unsetenv(variable);
    if (!tap(n - unseen > least && silent == 0 && unclear == 0 && unseen <= quiet, "%s at each of %zu places is told",
             variable, n - 1))
        tap_note("%zu unseen", unseen);
}

static void test_absent(const char *what, const char *text)
{
    dk_err err = {0};
    dk_dev *dev = NULL;
    int rc;

    setenv("DK_CUEMU_NONE", what, 1);
    rc = open_device(&dev, DK_BACKEND_ABI, &err);
    unsetenv("DK_CUEMU_NONE");
    if (!tap(rc < 0 && !dev && strstr(err.msg, text), "no %s: the reason is told", what))
        tap_note("%s", err.msg);
}

static void test_faults(void)
{
    dk_err err = {0};
    dk_dev *dev = NULL;

    tap(exercise(&err) == 0, "a device is opened again");
    if (!emulated)
        return;
    test_absent("driver", "no NVIDIA driver");
    test_absent("old", "driver is too old: it knows CUDA 11.4");
    test_absent("card", "no card is there");
    test_absent("kind", "compute capability 7.0: 8.0 is the least");
    test_absent("image", "holds no kernels");
    test_absent("memory", "out of memory on the card");
    test_absent("heldmemory", "page-locked memory");
    setenv("DK_DEVICES", "7", 1);
    tap(open_device(&dev, DK_BACKEND_ABI, &err) < 0 && strstr(err.msg, "0 to 1"), "a card that is not there is refused");
    setenv("DK_DEVICES", "1,0", 1);
    err = (dk_err){0};
    tap(open_device(&dev, DK_BACKEND_ABI, &err) == 0 && strstr(dev->ops->describe(dev), "Emulated card 1"),
        "the first card of a list is taken");
    unsetenv("DK_DEVICES");
    dev->ops->close(dev);
    tap(open_device(&dev, DK_BACKEND_ABI + 1, &err) < 0, "another version's library is refused");
    test_fault("DK_CUEMU_OOM", "out of memory", 8, 0);
    test_fault("DK_CUEMU_LAUNCH", "", 8, 8);
    test_fault("DK_CUEMU_LOST", "", 60, 0);
}

/* Products as the library's answers vary. */
static void test_library(void)
{
    static const char *const mode[] = { "odd", "none", "refuse" };
    dk_err err = {0};

    for (size_t i = 0; i < 3; i++) {
        setenv("DK_CUEMU_LT", mode[i], 1);
        must(open_device(&gpu, DK_BACKEND_ABI, &err), &err);
        tap_note("cuBLASLt: %s", mode[i]);
        test_product(70, 33, 40, DK_BF16);
        test_product(9, 33, 41, DK_F32);
        gpu->ops->close(gpu);
    }
    setenv("DK_CUEMU_LT", "fail", 1);
    err = (dk_err){0};
    tap(exercise(&err) < 0 && strstr(err.msg, "cuBLASLt status 13"), "a product that fails is told");
    unsetenv("DK_CUEMU_LT");
    unsetenv("DK_CUBLASLT_LIB");
    if (!emulated)
        return;
    setenv("DK_CUBLASLT_LIB", "/nonexistent.so", 1);
    err = (dk_err){0};
    must(open_device(&gpu, DK_BACKEND_ABI, &err), &err);
    tap(strstr(gpu->ops->describe(gpu), "own kernels") != NULL, "the device says that there is no product library");
    test_product(70, 33, 40, DK_BF16);
    test_product(65, 65, 41, DK_F32);
    gpu->ops->close(gpu);
}

int main(void)
{
    void *so = library();
    dk_err err = {0};

    if (!tap(so != NULL, "the library can be loaded"))
        return tap_end();
    *(void **)&open_device = dlsym(so, "dk_backend_open");
    if (!tap(open_device != NULL, "it is a backend"))
        return tap_end();
    *(void **)&launches = dlsym(so, "dk_cuemu_launches");
    cpu = dk_cpu_device();
    if (!tap(open_device(&gpu, DK_BACKEND_ABI, &err) == 0, "it opens")) {
        tap_note("%s", err.msg);
        return tap_end();
    }
    tap_note("%s", gpu->ops->describe(gpu));
    test_memory();
    test_norms(3, 40);
    test_norms(37, 576);
    test_acts(5, 33);
    test_acts(19, 160);
    test_project(1, 40, 24, false, DK_F32);
    test_project(37, 129, 70, true, DK_F32);
    test_small();
    test_attends(1e-5);             /* no bf16 weight is there yet: f32 throughout */
    test_products();
    test_attends(1e-2);             /* now attention may round */
    test_project(33, 72, 96, false, DK_BF16);
    test_packed(5, 64, 48, false);
    test_packed(37, 129, 70, false);
    test_packed(23, 88, 31, true);
    test_packed(3, 20, 31, true);       /* too narrow for side paths behind it */
    test_streamed(DK_F32);
    test_streamed(DK_BF16);
    gpu->ops->stay(gpu, 0);             /* with side paths that come and go */
    test_packed(37, 129, 70, false);
    test_packed(23, 88, 31, true);
    test_project(37, 129, 70, true, DK_F32);
    test_project(33, 72, 96, false, DK_BF16);
    gpu->ops->stay(gpu, SIZE_MAX);
    test_project(67, 129, 70, true, DK_BF16);
    test_head(DK_F32, false, 0);
    test_head(DK_BF16, false, 3);
    test_head(DK_BF16, true, 0);
    test_head(DK_F32, true, 3);
    test_row_sums(1);
    test_row_sums(130);
    test_row_products(1, 7);
    test_row_products(67, 129);
    test_scatter(1, 1);
    test_scatter(70, 130);
    gpu->ops->close(gpu);
    if (emulated)
        test_library();
    if (emulated)
        setenv("DK_CUBLASLT_LIB", "", 1), library();
    test_faults();
    return tap_end();
}
