/* Kernels that form a difference from the difference of their inputs, against
 * two results in long double subtracted: down to differences of which f32 has
 * no digit left; and the visitors, which must take a difference where they get one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "method/kl.h"
#include "method/topk.h"
#include "num/kernels.h"
#include "tap.h"

static const double sizes[] = { 30, 1, 1e-3, 1e-6, 1e-9 };
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static float *numbers(size_t n, uint64_t stream, double size)
{
    float *x = dk_xcalloc(n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = (float)(size * (4 * dk_uniform(dk_ctr(7, stream, 0, i)) - 2));
    return x;
}

/* |got - want| over |want|. */
static double off(const float *got, const long double *want, size_t n)
{
    long double e = 0, w = 0;

    for (size_t i = 0; i < n; i++) {
        e += (got[i] - want[i]) * (got[i] - want[i]);
        w += want[i] * want[i];
    }
    return (double)sqrtl(e / w);
}

static void norm(double size, size_t d)
{
    float *x = numbers(d, 1, 1), *dx = numbers(d, 2, size), *w = numbers(d, 3, 1), *y = numbers(d, 4, 1);
    long double *want = dk_xcalloc(d, sizeof *want), a = 0, b = 0;

    for (size_t i = 0; i < d; i++) {
        a += (long double)x[i] * x[i];
        b += ((long double)x[i] + dx[i]) * ((long double)x[i] + dx[i]);
    }
    for (size_t i = 0; i < d; i++)
        want[i] = (((long double)x[i] + dx[i]) / sqrtl(b / (long double)d + 1e-5) -
                   x[i] / sqrtl(a / (long double)d + 1e-5)) * w[i];
    dk_rmsnorm_diff(y, x, dx, w, d, 1e-5);
    tap(off(y, want, d) <= 3e-7, "norm of %zu, differences of %.0e: %.1e", d, size, off(y, want, d));
    dk_free(x); dk_free(dx); dk_free(w); dk_free(y); dk_free(want);
}

static void softcap(double size, size_t n)
{
    float *x = numbers(n, 5, 30), *d = numbers(n, 6, size), *y = dk_xcalloc(n, sizeof *y);
    long double *want = dk_xcalloc(n, sizeof *want);

    for (size_t i = 0; i < n; i++) {
        const long double one = tanhl(x[i] / 30.L), two = tanhl(((long double)x[i] + d[i]) / 30.L);

        want[i] = 30 * (two - one);
        y[i] = d[i];
    }
    dk_softcap(x, n, 30);
    dk_softcap_diff(y, x, n, 30);
    tap(off(y, want, n) <= 3e-7, "soft cap of %zu, differences of %.0e: %.1e", n, size, off(y, want, n));
    dk_free(x); dk_free(d); dk_free(y); dk_free(want);
}

static long double silu(long double x) { return x / (1 + expl(-x)); }

static long double gelu(long double x)
{
    return x / 2 * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}

static void gate(double size, size_t n, bool is_gelu)
{
    long double (*const act)(long double) = is_gelu ? gelu : silu;
    float *g = numbers(n, 5, 4), *dg = numbers(n, 6, size), *u = numbers(n, 7, 1), *du = numbers(n, 8, size);
    float *y = numbers(n, 9, 1);
    long double *want = dk_xcalloc(n, sizeof *want);

    for (size_t i = 0; i < n; i++)
        want[i] = act((long double)g[i] + dg[i]) * ((long double)u[i] + du[i]) - act(g[i]) * u[i];
    (is_gelu ? dk_gelu_mul_diff : dk_silu_mul_diff)(y, g, dg, u, du, n);
    tap(off(y, want, n) <= 5e-7, "%s gate of %zu, differences of %.0e: %.1e", is_gelu ? "GELU" : "SiLU", n, size,
        off(y, want, n));
    dk_free(g); dk_free(dg); dk_free(u); dk_free(du); dk_free(y); dk_free(want);
}

/* One row of attention of q + t dq over the keys from .. i. */
static void attend(long double *out, const float *const *x, const float *const *dx, int t, size_t i, size_t from,
                   size_t ld, size_t hd, long double scale, long double cap)
{
    long double m = -INFINITY, z = 0, s[64];

    memset(out, 0, hd * sizeof *out);
    for (size_t j = from; j <= i; j++) {
        s[j] = 0;
        for (size_t c = 0; c < hd; c++)
            s[j] += ((long double)x[0][i * ld + c] + t * (long double)dx[0][i * ld + c]) *
                    ((long double)x[1][j * ld + c] + t * (long double)dx[1][j * ld + c]) * scale;
        s[j] = cap > 0 ? cap * tanhl(s[j] / cap) : s[j];
        m = s[j] > m ? s[j] : m;
    }
    for (size_t j = from; j <= i; j++)
        z += expl(s[j] - m);
    for (size_t j = from; j <= i; j++)
        for (size_t c = 0; c < hd; c++)
            out[c] += expl(s[j] - m) / z * ((long double)x[2][j * ld + c] + t * (long double)dx[2][j * ld + c]);
}

/* Whether the rows of a whole text are those of its queries one by one, and of its second half. */
static bool behind(const float *whole, const dk_head_rows *x, const dk_head_rows *dx, size_t ld, size_t n, size_t hd,
                   size_t window, float cap, float *work)
{
    float *y = dk_xcalloc(n * hd, sizeof *y);
    bool same = true;

    for (size_t i = 0; i <= n; i++) {
        const size_t at = i < n ? i : n / 2, n_q = i < n ? 1 : n - at;
        const dk_head_rows q = { x->q + at * ld, x->k, x->v }, dq = { dx->q + at * ld, dx->k, dx->v };

        dk_attend_diff(y, hd, &q, &dq, ld, ld, n_q, at + n_q, hd, .25f, cap, window, work);
        same = same && memcmp(y, whole + at * hd, n_q * hd * sizeof *y) == 0;
    }
    dk_free(y);
    return same;
}

static void attention(double size, size_t n, size_t hd, size_t window, float cap)
{
    const size_t ld = 3 * hd;
    float *x = numbers(n * ld, 10, 1), *dx = numbers(n * ld, 11, size), *y = numbers(n * hd, 12, 1);
    float *work = dk_xcalloc(dk_attend_diff_work(n, hd), sizeof *work);
    const float *a[3] = { x, x + hd, x + 2 * hd }, *b[3] = { dx, dx + hd, dx + 2 * hd };
    const dk_head_rows rows = { a[0], a[1], a[2] }, diffs = { b[0], b[1], b[2] };
    long double *want = dk_xcalloc(n * hd, sizeof *want), one[64], two[64];

    for (size_t i = 0; i < n; i++) {
        const size_t from = window && i + 1 > window ? i + 1 - window : 0;

        attend(one, a, b, 0, i, from, ld, hd, .25L, cap);
        attend(two, a, b, 1, i, from, ld, hd, .25L, cap);
        for (size_t c = 0; c < hd; c++)
            want[i * hd + c] = two[c] - one[c];
    }
    dk_attend_diff(y, hd, &rows, &diffs, ld, ld, n, n, hd, .25f, cap, window, work);
    /* Far apart, it is the rounding of large scores that counts. */
    tap(off(y, want, n * hd) <= (size > 1 ? 2e-5 : 1e-6), "attention of %zu x %zu, window %zu, cap %g, differences of %.0e: %.1e",
        n, hd, window, (double)cap, size, off(y, want, n * hd));
    tap(behind(y, &rows, &diffs, ld, n, hd, window, cap, work), "... and equal bit for bit behind keys that are there already");
    dk_free(x); dk_free(dx); dk_free(y); dk_free(work); dk_free(want);
}

/* Logits that hold no difference, beside one that has it. */
static void visitors(void)
{
    enum { V = 300, K = 10 };
    float *q = numbers(V, 13, 4), *d = numbers(V, 14, 1e-7), kl_out[1], top[K], bottom[K];
    const float *logits[2] = { q, q }, *diff[2] = { NULL, d };
    float *kl_at[2] = { NULL, kl_out };
    uint32_t id[K], low[K];
    dk_topk_lists lists[2] = { {0}, { id, low, top, bottom, NULL } };
    dk_tile t = { .rows = 1, .n = V, .ld = V, .logits = logits, .diff = diff };
    long double z = 0, x = 0, x2 = 0;
    dk_kl *kl = NULL;
    dk_topk *topk = NULL;
    dk_visitor vis[2];
    dk_err err = {0};
    bool same = true;

    tap(dk_kl_new(&kl, 2, 1, &err) == 0 && dk_topk_new(&topk, 2, K, V, &err) == 0, "visitors %s", err.msg);
    dk_kl_target(kl, kl_at, NULL, NULL);
    dk_topk_target(topk, lists);
    vis[0] = dk_kl_visitor(kl);
    vis[1] = dk_topk_visitor(topk);
    for (int i = 0; i < 2; i++) {
        vis[i].begin(vis[i].self, &t);
        vis[i].tile(vis[i].self, &t);
        vis[i].end(vis[i].self, &t);
    }
    for (size_t v = 0; v < V; v++) {
        z += expl(q[v]);
        x += expl(q[v]) * d[v];
        x2 += expl(q[v]) * d[v] * d[v];
    }
    x2 = (x2 / z - x / z * x / z) / 2;      /* half the variance: the next order is 1e-7 of it */
    tap(fabs(kl_out[0] / (double)x2 - 1) <= 2e-6, "KL of a given difference: %.3e, off by %.1e", (double)kl_out[0],
        kl_out[0] / (double)x2 - 1);
    for (size_t k = 0; k < K; k++) {
        size_t above = 0;

        for (size_t v = 0; v < V; v++)
            above += d[v] > top[k];
        same = same && above == k && d[id[k]] == top[k] && d[low[k]] == bottom[k];
    }
    tap(same, "lists of a given difference");
    dk_kl_free(&kl);
    dk_topk_free(&topk);
    dk_free(q);
    dk_free(d);
}

int main(void)
{
    dk_threads_set(1);
    for (size_t s = 0; s < N_SIZES; s++) {
        norm(sizes[s], 65);
        norm(sizes[s], 1024);
        for (int k = 0; k < 2; k++) {
            gate(sizes[s], 65, k);
            gate(sizes[s], 1000, k);
        }
        attention(sizes[s], 1, 12, 0, 0);
        attention(sizes[s], 40, 16, 0, 0);
        attention(sizes[s], 33, 12, 7, 0);
        attention(sizes[s], 33, 16, 7, 5);
        softcap(sizes[s], 65);
    }
    visitors();
    return tap_end();
}
