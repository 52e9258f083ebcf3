/* The one-pass KL against worked rows and a long double sum, and the top-k
 * visitor against a full sort. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "method/topk.h"
#include "num/kernel_kl.h"
#include "tap.h"

static double in_tiles(const float *p, const float *q, size_t n, size_t tile, float inv_t, double *lse)
{
    dk_kl_row r;

    dk_kl_begin(&r);
    for (size_t at = 0; at < n; at += tile)
        dk_kl_tile(&r, p + at, q + at, n - at < tile ? n - at : tile, inv_t);
    if (lse)
        *lse = dk_lse_end(&r.q);
    return dk_kl_end(&r);
}

static long double exact(const float *p, const float *q, size_t n)
{
    long double pm = -INFINITY, qm = -INFINITY, zp = 0, zq = 0, dot = 0;

    for (size_t i = 0; i < n; i++) {
        pm = p[i] > pm ? p[i] : pm;
        qm = q[i] > qm ? q[i] : qm;
    }
    for (size_t i = 0; i < n; i++) {
        zp += expl(p[i] - pm);
        zq += expl(q[i] - qm);
    }
    for (size_t i = 0; i < n; i++)      /* E_p[log p - log q], each term nonnegative in effect */
        dot += expl(p[i] - pm) / zp * ((p[i] - pm) - logl(zp) - (q[i] - qm) + logl(zq));
    return dot;
}

static double gauss(uint64_t a, uint64_t b)
{
    const double u = dk_uniform(dk_ctr(1, 1, a, b)) + 1e-17, v = dk_uniform(dk_ctr(2, 1, a, b));

    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void worked_rows(void)
{
    static const float base[3][5] = { { 0, 1, 2, -1, .5f }, { 2, 0, 0, 0, 1 }, { -1, 3, .25f, 0, 0 } };
    static const float ft[3][5] = { { .5f, 1, 1, -1, 0 }, { 2, 0, 0, 0, 1 }, { 1, -2, .25f, 4, 0 } };
    static const double want[2][3] = { { 0.1566988561, 0, 2.8127801755 },
                                       { 0.0376874447, 0, 1.0049325690 } };

    for (int t = 0; t < 2; t++)
        for (size_t tile = 1; tile <= 5; tile++) {
            double worst = 0;

            for (int i = 0; i < 3; i++)
                worst = fmax(worst, fabs(in_tiles(ft[i], base[i], 5, tile, t ? .5f : 1, NULL) - want[t][i]));
            tap(worst <= 2e-7, "worked rows, temperature %d, tiles of %zu: off by %.1e", t + 1, tile, worst);
        }
    tap(in_tiles(base[0], base[0], 5, 2, 1, NULL) == 0, "the base against itself is exactly 0");
}

/* f32 exp has relative error 1e-7; it enters KL as a reweighting. */
static void against_long_double(void)
{
    enum { V = 49152 };
    static float p[V], q[V];
    const double size[] = { 3e-5, 1e-3, 3e-2, .5, 2 };

    for (size_t c = 0; c < 5; c++) {
        double got[3];
        long double want;

        for (size_t i = 0; i < V; i++) {
            q[i] = (float)(3 * gauss(c, i) + 5);
            p[i] = (float)(q[i] + size[c] * gauss(c + 99, i));
        }
        want = exact(p, q, V);
        got[0] = in_tiles(p, q, V, 384, 1, NULL);
        got[1] = in_tiles(p, q, V, 1000, 1, NULL);
        got[2] = in_tiles(p, q, V, V, 1, NULL);
        for (int k = 0; k < 3; k++)
            tap(fabs(got[k] / (double)want - 1) <= 1e-6, "KL %.3Le: relative error %.1e", want,
                got[k] / (double)want - 1);
    }
}

/* The likeliest id comes late and differs from what came before by far more
 * than KL: no sum may be left to cancel. */
static void late_winner(void)
{
    enum { V = 4096 };
    static float p[V], q[V];
    const double off[] = { -9, -3, -.3, .3, 3, 9 }, size[] = { 1e-4, 1e-2, 1 }, lead[] = { 0, 4, 12 };

    for (size_t c = 0; c < 6 * 3 * 3; c++) {
        const double o = off[c / 9], s = size[c / 3 % 3], l = lead[c % 3];
        long double want;
        double worst = 0;

        for (size_t i = 0; i < V; i++) {
            q[i] = (float)(2 * gauss(c, i));
            p[i] = (float)(q[i] + s * gauss(c + 99, i) + (i < 300 && l > 0 ? o - 20 : 0));
            q[i] -= i < 300 && l > 0 ? 20 : 0;
        }
        if (l > 0) {
            q[3000] = (float)(10 + l);
            p[3000] = q[3000] + (float)s;
        }
        want = exact(p, q, V);
        for (size_t tile = 128; tile <= V; tile *= 2)
            worst = fmax(worst, fabs(in_tiles(p, q, V, tile, 1, NULL) - (double)want));
        tap(worst <= 1e-6 * (double)want + 1e-17, "first ids off by %g, size %g, lead %g: KL %.3Le, relative error %.1e", o, s, l,
            want, worst / (double)want);
    }
}

static void infinities(void)
{
    float p[] = { 0, 1, 2, -INFINITY }, q[] = { 1, 1, 1, -INFINITY };
    const double both = in_tiles(p, q, 4, 4, 1, NULL);
    const long double want = exact(p, q, 3);

    tap(fabs(both - (double)want) <= 1e-7, "an id that both exclude counts nothing");
    q[3] = 0;
    tap(isfinite(in_tiles(p, q, 4, 2, 1, NULL)) && in_tiles(p, q, 4, 2, 1, NULL) > both,
        "an id that only the finetune excludes is finite");
    q[3] = -INFINITY;
    p[3] = 0;
    tap(isinf(in_tiles(p, q, 4, 3, 1, NULL)), "an id that only the base excludes is infinite");
    p[3] = NAN;
    tap(isnan(in_tiles(p, q, 4, 3, 1, NULL)), "NaN stays NaN");
    q[3] = 1;
    p[1] = NAN;
    {
        double lse;

        in_tiles(p, q, 4, 2, 1, &lse);
        tap(fabs(lse - (1 + log(4))) <= 1e-6, "... and does not touch the base's normaliser");
    }
}

struct pair { float v; uint32_t id; };

static int by_value(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;

    return x->v > y->v ? -1 : x->v < y->v ? 1 : x->id < y->id ? -1 : x->id > y->id;
}

/* Differences from a coarse grid: ties everywhere. */
static void topk_against_sort(size_t v_n, size_t k, size_t tile)
{
    enum { ROWS = 3 };
    dk_err err = {0};
    dk_topk *t = NULL;
    float *p = dk_xcalloc(ROWS * v_n, 4), *q = dk_xcalloc(ROWS * v_n, 4);
    float *logits_p = dk_xcalloc(ROWS * tile, 4), *logits_q = dk_xcalloc(ROWS * tile, 4);
    const float *logits[2] = { logits_q, logits_p };
    uint32_t top[ROWS * 128], bottom[ROWS * 128];
    float tv[ROWS * 128], bv[ROWS * 128];
    dk_topk_lists lists[2] = { {0}, { top, bottom, tv, bv, NULL } };
    struct pair *all = dk_xcalloc(v_n, sizeof *all);
    double *sum = dk_xcalloc(v_n, 8);
    int64_t *pos = dk_xcalloc(v_n, 8), *tc = dk_xcalloc(v_n, 8), *bc = dk_xcalloc(v_n, 8);
    dk_topk_vocab out = { sum, pos, tc, bc };
    dk_tile at = { .rows = ROWS, .ld = tile, .logits = logits };
    bool same = true, sums = true;
    int64_t total = 0;
    dk_visitor vis;

    for (size_t i = 0; i < ROWS * v_n; i++) {
        q[i] = (float)gauss(7, i);
        p[i] = q[i] + (float)((int)(8 * gauss(8, i)) / 4.0);
    }
    tap(dk_topk_new(&t, 2, k, v_n, &err) == 0, "%zu of %zu in tiles of %zu", k, v_n, tile);
    dk_topk_target(t, lists);
    vis = dk_topk_visitor(t);
    vis.begin(vis.self, &at);
    for (at.v0 = 0; at.v0 < v_n; at.v0 += tile) {
        at.n = v_n - at.v0 < tile ? v_n - at.v0 : tile;
        for (size_t r = 0; r < ROWS; r++) {
            memcpy(logits_p + r * tile, p + r * v_n + at.v0, at.n * 4);
            memcpy(logits_q + r * tile, q + r * v_n + at.v0, at.n * 4);
        }
        vis.tile(vis.self, &at);
    }
    vis.end(vis.self, &at);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t v = 0; v < v_n; v++)
            all[v] = (struct pair){ p[r * v_n + v] - q[r * v_n + v], (uint32_t)v };
        qsort(all, v_n, sizeof *all, by_value);
        for (size_t j = 0; j < k; j++)
            same = same && all[j].id == top[r * k + j] && all[j].v == tv[r * k + j];
        for (size_t v = 0; v < v_n; v++)
            all[v].v = -all[v].v;
        qsort(all, v_n, sizeof *all, by_value);
        for (size_t j = 0; j < k; j++)
            same = same && all[j].id == bottom[r * k + j] && -all[j].v == bv[r * k + j];
    }
    tap(same, "... both ends equal a full sort, ties by id");
    sums = dk_topk_vocab_get(t, 1, &out, &err) == 0;
    for (size_t v = 0; v < v_n; v++) {
        double s = 0;
        int64_t n = 0;

        for (size_t r = 0; r < ROWS; r++) {
            s += (double)p[r * v_n + v] - q[r * v_n + v];
            n += p[r * v_n + v] - q[r * v_n + v] > 0;
        }
        sums = sums && fabs(s - sum[v]) <= 3e-9 && n == pos[v];
        total += tc[v];
    }
    tap(sums && total == (int64_t)(ROWS * k), "... sums and counts over rows");
    dk_topk_free(&t);
    dk_free(p); dk_free(q); dk_free(logits_p); dk_free(logits_q); dk_free(all);
    dk_free(sum); dk_free(pos); dk_free(tc); dk_free(bc);
}

/* Differences that p and q together cannot hold: KL of p = q + d, from d. */
static void from_differences(double size, size_t n, size_t tile, float inv_t)
{
    float *q = dk_xcalloc(n, 4), *d = dk_xcalloc(n, 4), *p = dk_xcalloc(n, 4);
    long double m = -INFINITY, z = 0, x = 0, ph = 0, want;
    dk_kl_row r;
    double got, lost;

    for (size_t i = 0; i < n; i++) {
        q[i] = (float)(4 * gauss(11, i));
        d[i] = (float)(size * gauss(12, i));
        p[i] = q[i] + d[i];
        m = q[i] > m ? q[i] : m;
    }
    /* As the header has it, in long double. */
    for (size_t i = 0; i < n; i++) {
        const long double dx = (long double)d[i] * inv_t, w = expl((q[i] - m) * inv_t + dx);

        z += w;
        x += w * dx;
        ph += w * (expm1l(-dx) + dx);
    }
    want = x / z + log1pl(ph / z - x / z);
    dk_kl_begin(&r);
    for (size_t at = 0; at < n; at += tile)
        dk_kl_tile_diff(&r, q + at, d + at, n - at < tile ? n - at : tile, inv_t);
    got = dk_kl_end(&r);
    lost = in_tiles(p, q, n, tile, inv_t, NULL);
    tap(fabs(got / (double)want - 1) <= 1e-6, "%zu ids in tiles of %zu, differences of %.0e: KL %.2e, relative error %.1e "
        "(p and q: %.1e)", n, tile, size, got, got / (double)want - 1, lost / (double)want - 1);
    dk_free(q);
    dk_free(d);
    dk_free(p);
}

static void bad_differences(void)
{
    const float q[] = { 1, 2, 3 }, d[] = { 0, NAN, 0 };
    dk_kl_row r;

    dk_kl_begin(&r);
    dk_kl_tile_diff(&r, q, d, 3, 1);
    tap(isnan(dk_kl_end(&r)), "a difference that is NaN gives NaN");
}

int main(void)
{
    dk_threads_set(1);
    from_differences(1, 5000, 384, 1);
    from_differences(1e-3, 50000, 1000, .5f);
    from_differences(1e-5, 5000, 5000, 1);
    from_differences(1e-7, 5000, 7, 1);
    bad_differences();
    worked_rows();
    against_long_double();
    late_winner();
    infinities();
    topk_against_sort(5000, 100, 384);
    topk_against_sort(101, 100, 7);
    topk_against_sort(3000, 1, 3000);
    return tap_end();
}
