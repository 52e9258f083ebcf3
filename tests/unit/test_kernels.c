/* The arithmetic between products against the definitions in double, at sizes
 * that leave tails of 4, 8, 16 and 32 columns. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "num/kernels.h"
#include "tap.h"

static const size_t sizes[] = { 1, 2, 7, 8, 16, 33, 64, 65 };
enum { N_SIZES = sizeof sizes / sizeof *sizes, GUARD = 16 };

static float number(uint64_t stream, uint64_t i) { return (float)(4 * dk_uniform(dk_ctr(7, stream, 0, i)) - 2); }

/* n numbers and, behind them, values that nobody may touch. */
static float *numbers(size_t n, uint64_t stream)
{
    float *x = dk_xcalloc(n + GUARD, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = number(stream, i);
    for (size_t i = n; i < n + GUARD; i++)
        x[i] = 12345;
    return x;
}

static bool guarded(const float *x, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++)
        if (x[i] != 12345)
            return false;
    return true;
}

/* Largest |got - want| in units of scale; NaN counts as infinite. */
static double worse(double worst, double got, double want, double scale)
{
    const double d = fabs(got - want) / scale;

    return d <= worst ? worst : d >= 0 ? d : INFINITY;
}

/* Inverse root and two products, rounded to f32 each: 3 half units, 1.8e-7. */
static void rmsnorm(void)
{
    for (size_t s = 0; s < N_SIZES; s++) {
        const size_t d = sizes[s];
        float *x = numbers(d, 1), *w = numbers(d, 2), *y = numbers(d, 3);
        double sum = 0, worst = 0;

        for (size_t i = 0; i < d; i++)
            sum += (double)x[i] * x[i];
        dk_rmsnorm(y, x, w, d, 1e-5);
        for (size_t i = 0; i < d; i++) {
            const double want = x[i] / sqrt(sum / (double)d + 1e-5) * w[i];

            worst = worse(worst, y[i], want, fabs(want));
        }
        tap(worst <= 2e-7 && guarded(y, d), "rmsnorm of %zu: relative error %.1e", d, worst);
        dk_free(x); dk_free(w); dk_free(y);
    }
}

static void rope(void)
{
    const size_t dims[] = { 2, 6, 14, 16, 64, 66, 128 };

    for (size_t s = 0; s < sizeof dims / sizeof *dims; s++) {
        const size_t hd = dims[s], half = hd / 2, heads = 3;
        float *x = numbers(heads * hd, 4), *y = numbers(heads * hd, 4), *c = numbers(half, 5), *z = numbers(half, 6);
        double worst = 0, norm = 0;

        for (size_t t = 0; t < half; t++) {
            c[t] = (float)cos(0.3 * (double)t + 1);
            z[t] = (float)sin(0.3 * (double)t + 1);
        }
        dk_rope(y, heads, hd, c, z);
        for (size_t h = 0; h < heads; h++)
            for (size_t t = 0; t < half; t++) {
                const double a = x[h * hd + t], b = x[h * hd + half + t];

                worst = worse(worst, y[h * hd + t], a * c[t] - b * z[t], 1);
                worst = worse(worst, y[h * hd + half + t], b * c[t] + a * z[t], 1);
                norm = worse(norm, hypot(y[h * hd + t], y[h * hd + half + t]), hypot(a, b), 1);
            }
        tap(worst <= 4e-7 && norm <= 5e-7 && guarded(y, heads * hd), "rope of %zu: %.1e, lengths kept to %.1e", hd, worst, norm);
        dk_free(x); dk_free(y); dk_free(c); dk_free(z);
    }
}

static void exponential(void)
{
    enum { N = 40001 };
    float *x = numbers(N, 7), *y = numbers(N, 8);
    const float edge[] = { 0, -0.0f, -87, -87.1f, -88, -104, -1e30f, -INFINITY, 88, 1 };
    float e[10];
    double worst = 0;

    for (size_t i = 0; i < N; i++)
        x[i] = -87 + 175.0f * (float)i / (N - 1);
    dk_expf_row(y, x, N);
    for (size_t i = 0; i < N; i++)
        worst = worse(worst, y[i], exp((double)x[i]), exp((double)x[i]));
    tap(worst <= 2e-7 && guarded(y, N), "exp from -87 to 88: relative error %.1e", worst);
    dk_expf_row(e, edge, 10);
    tap(e[0] == 1 && e[1] == 1 && e[2] > 0 && e[3] == 0 && e[4] == 0 && e[5] == 0 && e[6] == 0 && e[7] == 0 &&
        isfinite(e[8]) && fabs(e[9] - M_E) < 5e-7, "exp at its ends");
    for (size_t s = 0; s < N_SIZES; s++) {
        float *z = numbers(sizes[s], 9);

        worst = 0;
        dk_expf_row(z, x + 20000, sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++)
            worst = worse(worst, z[i], y[20000 + i], 1e-30);
        tap(worst == 0 && guarded(z, sizes[s]), "exp of %zu: as in a long row", sizes[s]);
        dk_free(z);
    }
    dk_free(x); dk_free(y);
}

static void silu(void)
{
    for (size_t s = 0; s < N_SIZES; s++) {
        const size_t n = sizes[s];
        float *g = numbers(n, 10), *u = numbers(n, 11), *y = numbers(n, 12), *x = numbers(n, 11);
        double worst = 0, sum = 0;

        for (size_t i = 0; i < n; i++)
            g[i] *= i % 5 == 4 ? 40 : 3;
        dk_silu_mul(y, g, u, n);
        for (size_t i = 0; i < n; i++) {
            const double want = g[i] / (1 + exp(-(double)g[i])) * u[i];

            worst = worse(worst, y[i], want, fabs(want) + 1e-30);
        }
        dk_add(x, y, n);
        for (size_t i = 0; i < n; i++)
            sum = worse(sum, x[i], u[i] + y[i], 1e-30);
        tap(worst <= 5e-7 && guarded(y, n), "silu of %zu: relative error %.1e", n, worst);
        tap(sum == 0 && guarded(x, n), "add of %zu: exact", n);
        dk_free(g); dk_free(u); dk_free(y); dk_free(x);
    }
}

/* Rows that stand apart as heads do in a joint matrix: leading dimensions are
 * larger than a head, and differ. */
static void attend_case(size_t n_q, size_t n_k, size_t hd, float softcap, size_t window)
{
    const size_t ldq = 3 * hd + 1, ldk = 2 * hd, ldv = 2 * hd + 5, ldo = 3 * hd, past = n_k - n_q;
    float *q = numbers(n_q * ldq, 13), *k = numbers(n_k * ldk, 14), *v = numbers(n_k * ldv, 15);
    float *o = numbers(n_q * ldo, 16), *was = numbers(n_q * ldo, 16), *work = numbers(dk_attend_work(n_k, hd), 17);
    double *p = dk_xcalloc(n_k, sizeof *p);
    const float scale = 1 / sqrtf((float)hd);
    double worst = 0;
    bool beside = true;

    if (softcap > 0 || window)
        dk_attend_local(o, ldo, q, ldq, k, ldk, v, ldv, n_q, n_k, hd, scale, softcap, window, work);
    else
        dk_attend(o, ldo, q, ldq, k, ldk, v, ldv, n_q, n_k, hd, scale, work);
    for (size_t i = 0; i < n_q; i++) {
        const size_t n = past + i + 1, from = window && n > window ? n - window : 0;
        double m = -INFINITY, z = 0;

        for (size_t j = from; j < n; j++) {
            p[j] = 0;
            for (size_t t = 0; t < hd; t++)
                p[j] += (double)q[i * ldq + t] * k[j * ldk + t];
            p[j] *= scale;
            p[j] = softcap > 0 ? softcap * tanh(p[j] / softcap) : p[j];
            m = fmax(m, p[j]);
        }
        for (size_t j = from; j < n; j++)
            z += p[j] = exp(p[j] - m);
        for (size_t t = 0; t < hd; t++) {
            double want = 0;

            for (size_t j = from; j < n; j++)
                want += p[j] / z * v[j * ldv + t];
            worst = worse(worst, o[i * ldo + t], want, 1);
        }
        for (size_t t = hd; t < ldo; t++)
            beside = beside && o[i * ldo + t] == was[i * ldo + t];
    }
    /* Scores of hd products below 4 sqrt(hd), relative weights as much, values
     * below 2; sums of n_k in f32. */
    tap(worst <= 1e-6 * (4 + sqrt((double)(hd + n_k))), "attention of %zu on %zu keys, heads of %zu, cap %g, window %zu: %.1e", n_q,
        n_k, hd, (double)softcap, window, worst);
    tap(beside && guarded(o, n_q * ldo) && guarded(work, dk_attend_work(n_k, hd)), "... and nothing beside it");
    dk_free(q); dk_free(k); dk_free(v); dk_free(o); dk_free(was); dk_free(work); dk_free(p);
}

static void attend(void)
{
    const size_t hd[] = { 16, 33, 64, 1 }, keys[] = { 1, 7, 33, 64, 65 };

    for (size_t h = 0; h < 4; h++)
        for (size_t k = 0; k < 5; k++) {
            attend_case(keys[k], keys[k], hd[h], 0, 0);           /* a whole sequence */
            if (keys[k] > 1)
                attend_case(1, keys[k], hd[h], 0, 0);             /* one new token after a past */
            if (keys[k] > 5)
                attend_case(5, keys[k], hd[h], 0, 0);             /* a few */
        }
}

/* Windows of one key, of a group of eight and around it, of as many as there are, of more. */
static void attend_local(void)
{
    const size_t windows[] = { 0, 1, 2, 7, 8, 9, 33, 64, 65, 100 };

    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        attend_case(65, 65, 16, w % 2 ? 1.5f : 0, windows[w]);
        attend_case(1, 65, 33, w % 2 ? 0 : 1.5f, windows[w]);
        attend_case(6, 40, 16, 50, windows[w]);
    }
}

/* A step of a decoder, and a whole pass: the same bits, wherever windows begin. */
static void attend_steps(void)
{
    enum { N = 41, HD = 24, W = 11 };
    float *q = numbers(N * HD, 30), *k = numbers(N * HD, 31), *v = numbers(N * HD, 32);
    float *all = numbers(N * HD, 33), *one = numbers(HD, 34), *work = numbers(dk_attend_work(N, HD), 35);
    size_t same = 0;

    dk_attend_local(all, HD, q, HD, k, HD, v, HD, N, N, HD, 0.3f, 2, W, work);
    for (size_t i = 0; i < N; i++) {
        dk_attend_local(one, HD, q + i * HD, HD, k, HD, v, HD, 1, i + 1, HD, 0.3f, 2, W, work);
        same += memcmp(one, all + i * HD, HD * sizeof *one) == 0;
    }
    tap(same == N, "%zu of %d steps in a window have the bits of the whole", same, N);
    dk_free(q); dk_free(k); dk_free(v); dk_free(all); dk_free(one); dk_free(work);
}

static double gelu_of(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* Published values, and the definition in double over the whole range. */
static void gelu(void)
{
    const float x[] = { -3, -1, -0.5f, 0.5f, 1, 3 };
    const double want[] = { -0.003637392, -0.158808009, -0.154285990, 0.345714010, 0.841191991, 2.996362608 };
    float y[6];
    double worst = 0;

    dk_gelu(y, x, 6);
    for (size_t i = 0; i < 6; i++)
        worst = worse(worst, y[i], want[i], fabs(want[i]));
    tap(worst <= 1e-6, "gelu: published values within %.1e", worst);
    for (size_t s = 0; s < N_SIZES; s++) {
        const size_t n = sizes[s];
        float *g = numbers(n, 10), *u = numbers(n, 11), *z = numbers(n, 12), *plain = numbers(n, 12), *si = numbers(n, 12);
        double mul = 0, one = 0, silu_one = 0;

        for (size_t i = 0; i < n; i++)
            g[i] *= i % 5 == 4 ? 40 : 3;
        dk_gelu_mul(z, g, u, n);
        dk_gelu(plain, g, n);
        dk_silu(si, g, n);
        for (size_t i = 0; i < n; i++) {
            mul = worse(mul, z[i], gelu_of(g[i]) * u[i], fabs(g[i] * u[i]) + 1e-30);
            one = worse(one, plain[i], gelu_of(g[i]), fabs(g[i]) + 1e-30);
            silu_one = worse(silu_one, si[i], g[i] / (1 + exp(-(double)g[i])), fabs(g[i]) + 1e-30);
        }
        tap(mul <= 6e-7 && one <= 6e-7 && silu_one <= 5e-7 && guarded(z, n) && guarded(plain, n) && guarded(si, n),
            "gelu of %zu: %.1e of its argument, alone %.1e; silu alone %.1e", n, mul, one, silu_one);
        dk_free(g); dk_free(u); dk_free(z); dk_free(plain); dk_free(si);
    }
}

static void softcap(void)
{
    float y[4001];
    double worst = 0;

    for (size_t i = 0; i < 4001; i++)
        y[i] = ((float)i - 2000) * 0.1f;
    dk_softcap(y, 4001, 30);
    for (size_t i = 0; i < 4001; i++) {
        const double x = ((float)i - 2000) * 0.1f, want = 30 * tanh(x / 30);

        worst = worse(worst, y[i], want, fabs(want) + 1e-30);
    }
    tap(worst <= 5e-7, "soft cap: relative error %.1e", worst);
}

/* Mean and variance in double: the rest is a few roundings. */
static void layernorm(void)
{
    for (size_t s = 0; s < N_SIZES; s++) {
        const size_t d = sizes[s];
        float *x = numbers(d, 1), *w = numbers(d, 2), *b = numbers(d, 4), *y = numbers(d, 3);
        double mean = 0, var = 0, worst = 0;

        for (size_t i = 0; i < d; i++)
            x[i] += 5;
        for (size_t i = 0; i < d; i++)
            mean += (double)x[i] / (double)d;
        for (size_t i = 0; i < d; i++)
            var += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)d;
        dk_layernorm(y, x, w, b, d, 1e-5);
        for (size_t i = 0; i < d; i++)
            worst = worse(worst, y[i], ((double)x[i] - mean) / sqrt(var + 1e-5) * w[i] + b[i], 1);
        tap(worst <= 5e-7 && guarded(y, d), "layernorm of %zu: %.1e", d, worst);
        dk_free(x); dk_free(w); dk_free(b); dk_free(y);
    }
}

/* Two kv heads of a joint matrix, each for two query heads. */
static void shared_heads(void)
{
    enum { N = 7, HD = 16, H = 4, KV = 2 };
    float *q = numbers(N * H * HD, 18), *kv = numbers(N * 2 * KV * HD, 19), *o = numbers(N * H * HD, 20);
    float *one = numbers(N * HD, 21), *work = numbers(dk_attend_work(N, HD), 22), *kc = numbers(N * HD, 0), *vc = numbers(N * HD, 0);
    double worst = 0;

    for (size_t h = 0; h < H; h++)
        dk_attend(o + h * HD, H * HD, q + h * HD, H * HD, kv + h / 2 * HD, 2 * KV * HD, kv + (KV + h / 2) * HD, 2 * KV * HD,
                  N, N, HD, 0.25f, work);
    for (size_t h = 0; h < H; h++) {
        for (size_t i = 0; i < N; i++) {
            memcpy(kc + i * HD, kv + i * 2 * KV * HD + h / 2 * HD, HD * 4);
            memcpy(vc + i * HD, kv + i * 2 * KV * HD + (KV + h / 2) * HD, HD * 4);
        }
        dk_attend(one, HD, q + h * HD, H * HD, kc, HD, vc, HD, N, N, HD, 0.25f, work);
        for (size_t i = 0; i < N; i++)
            for (size_t t = 0; t < HD; t++)
                worst = worse(worst, o[i * H * HD + h * HD + t], one[i * HD + t], 1e-30);
    }
    tap(worst == 0, "heads that share keys: as with their own copies");
    dk_free(q); dk_free(kv); dk_free(o); dk_free(one); dk_free(work); dk_free(kc); dk_free(vc);
}

static void lowrank_case(size_t m, size_t k, size_t r, size_t n)
{
    const size_t rp = (r + 7) / 8 * 8, ldx = k + 3, ldt = rp + 8, ldy = n + 2;
    float *x = numbers(m * ldx, 23), *at = numbers(k * rp, 24), *t = numbers(m * ldt, 25), *bt = numbers(r * n, 26);
    float *y = numbers(m * ldy, 27), *was = numbers(m * ldy, 27);
    double in = 0, out = 0;
    bool beside = true;

    for (size_t j = 0; j < k; j++)
        for (size_t c = r; c < rp; c++)
            at[j * rp + c] = 0;
    dk_lowrank_in(t, ldt, x, ldx, at, m, k, rp);
    dk_lowrank_out(y, ldy, t, ldt, bt, n, m, r, n, 0.5f);
    for (size_t i = 0; i < m; i++) {
        for (size_t c = 0; c < rp; c++) {
            double want = 0;

            for (size_t j = 0; j < k; j++)
                want += (double)x[i * ldx + j] * at[j * rp + c];
            in = worse(in, t[i * ldt + c], want, 1);
        }
        for (size_t c = 0; c < n; c++) {
            double want = 0;

            for (size_t j = 0; j < r; j++)
                want += (double)t[i * ldt + j] * bt[j * n + c];
            out = worse(out, y[i * ldy + c], was[i * ldy + c] + 0.5 * want, 1);
        }
        for (size_t c = n; c < ldy; c++)
            beside = beside && y[i * ldy + c] == was[i * ldy + c];
    }
    /* Products below 4, k of them in f32: partial sums below 4 k, an ulp each
     * at worst; what comes in is below 4 sqrt(k) as a rule, r of them go out. */
    tap(in <= 2.4e-7 * (double)k * 2 && out <= 2.4e-7 * (4 + 8 * sqrt((double)k) * (double)r),
        "low rank, %zu rows, %zu -> %zu -> %zu: %.1e, %.1e", m, k, r, n, in, out);
    tap(beside && guarded(t, m * ldt) && guarded(y, m * ldy), "... and nothing beside it");
    dk_free(x); dk_free(at); dk_free(t); dk_free(bt); dk_free(y); dk_free(was);
}

static void lowrank(void)
{
    static const size_t m[] = { 1, 3, 7, 33 }, k[] = { 1, 64, 65 }, r[] = { 1, 4, 9, 16 }, n[] = { 1, 7, 33, 64, 65 };

    for (size_t a = 0; a < 4; a++)
        for (size_t b = 0; b < 3; b++)
            for (size_t c = 0; c < 4; c++)
                lowrank_case(m[a], k[b], r[c], n[(a + b + c) % 5]);
}

int main(void)
{
    rmsnorm();
    rope();
    exponential();
    silu();
    gelu();
    softcap();
    layernorm();
    attend();
    attend_local();
    attend_steps();
    shared_heads();
    lowrank();
    return tap_end();
}
