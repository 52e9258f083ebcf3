/* The factorisation: worked numbers (made in double with NumPy and repeated in
 * f32), the start of PyTorch's generator, a plain dense computation beside it,
 * and what must hold of any. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "num/mtnormal.h"
#include "num/nmf.h"
#include "tap.h"

static dk_err err;

static bool close_to(double got, double want, double tolerance) { return fabs(got - want) <= tolerance; }

/* --- the start ---------------------------------------------------------------- */
static void draws(void)
{
    static const struct { uint64_t seed; size_t n; double want[8]; size_t known; } c[] = {
        { 42, 16, { 1.9269, 1.4873, 0.9007, -2.1055, 0.6784, -1.2345, -0.0431, -1.6047 }, 8 },
        { 42, 37, { 1.9269, 1.4873, 0.9007, -2.1055, 0.6784, -1.2345, -0.0431, -1.6047 }, 8 },
        { 0, 32, { -1.1258, -1.1524, -0.2506, -0.4339 }, 4 },
        { 42, 4, { 0.3367, 0.1288, 0.2345, 0.2303 }, 4 }
    };
    float x[64], y[64];
    dk_mt g;

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        bool ok = true;

        dk_mt_seed(&g, c[i].seed);
        dk_mt_normal(&g, x, c[i].n);
        for (size_t j = 0; j < c[i].known; j++)
            ok &= close_to(x[j], c[i].want[j], 5e-5);
        tap(ok, "normal numbers: seed %d, %zu of them", (int)c[i].seed, c[i].n);
    }
    dk_mt_seed(&g, 42);
    dk_mt_normal(&g, x, 3);
    dk_mt_normal(&g, x + 3, 1);
    dk_mt_seed(&g, 42);
    dk_mt_normal(&g, y, 4);
    tap(memcmp(x, y, 16) == 0, "the second of a pair is kept for the next array");
}

/* --- worked numbers ------------------------------------------------------------- */
enum { M = 12, C = 8, R = 2 };

static dk_nmf_matrix sparse_of(const double *v, size_t rows, size_t cols)
{
    dk_nmf_matrix m = { .rows = rows, .cols = cols, .at = dk_xcalloc(rows + 1, sizeof *m.at),
                        .col = dk_xcalloc(rows * cols, sizeof *m.col), .value = dk_xcalloc(rows * cols, sizeof *m.value) };
    uint64_t n = 0;

    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < cols; c++)
            if (v[i * cols + c] > 0) {
                m.col[n] = (uint32_t)c;
                m.value[n++] = (float)v[i * cols + c];
            }
        m.at[i + 1] = n;
    }
    return m;
}

static void drop(dk_nmf_matrix *m)
{
    dk_free(m->at);
    dk_free(m->col);
    dk_free(m->value);
}

static dk_nmf_matrix worked(void)
{
    double v[M * C];

    for (int n = 0; n < M; n++)
        for (int c = 0; c < C; c++)
            v[n * C + c] = (n < 6) == (c < 4) ? 1 + ((3 * n + 5 * c) % 7) / 4.0 : (n + 2 * c) % 9 == 0 ? 0.5 : 0;
    return sparse_of(v, M, C);
}

struct worked {
    double beta;
    bool orthogonal;
    size_t iterations;
    double loss[5];                 /* after 0, 10, ... */
    double w[2][C], h[2][2];        /* H: first and last row */
    double mass[2], concentration[2], cosine;
};

static void compare(const struct worked *want)
{
    dk_nmf_matrix v = worked();
    dk_nmf_plan p = { .topics = R, .beta = want->beta, .seed = 42, .orthogonal = want->orthogonal, .weight = 1 };
    dk_nmf_topic topic[R];
    double cosine[R * R], worst = 0;
    dk_nmf f = {0};
    bool ok;

    for (size_t i = 1; !want->orthogonal && i * 10 <= want->iterations; i++) {
        p.iterations = i * 10;
        ok = dk_nmf_fit(&f, &v, &p, &err) == 0;
        tap(ok && close_to(f.start[0].loss, want->loss[i], 1e-5 * want->loss[i]), "beta %g: loss %.6f after %zu", want->beta,
            ok ? f.start[0].loss : NAN, i * 10);
        dk_nmf_free(&f);
    }
    p.iterations = 0;
    ok = dk_nmf_fit(&f, &v, &p, &err) == 0 && dk_nmf_topics(&f, topic, cosine, &err) == 0;
    tap(ok && f.start[0].iterations == want->iterations, "beta %g%s: %zu iterations %s", want->beta,
        want->orthogonal ? ", orthogonal" : "", ok ? f.start[0].iterations : 0, err.msg);
    for (size_t j = 0; ok && j < R; j++) {
        for (size_t c = 0; c < C; c++)
            worst = fmax(worst, fabs(f.w[c * R + j] - want->w[j][c]));
        worst = fmax(worst, fabs(f.h[j] - want->h[0][j]));
        worst = fmax(worst, fabs(f.h[(M - 1) * R + j] - want->h[1][j]));
    }
    tap(ok && worst <= 1e-4, "... factors within %.1e", worst);
    ok = close_to(cosine[1], want->cosine, 1e-4) && close_to(cosine[0], 1, 1e-12) && cosine[1] == cosine[2];
    for (size_t j = 0; j < R; j++)
        ok &= close_to(topic[j].mass, want->mass[j], 1e-4 * want->mass[j]) && close_to(topic[j].prevalence, 0.5, 1e-12) &&
              (want->orthogonal || close_to(topic[j].concentration, want->concentration[j], 1e-4));
    tap(ok, "... mass %.5f %.5f, concentration %.5f %.5f, cosine %.6f", topic[0].mass, topic[1].mass,
        topic[0].concentration, topic[1].concentration, cosine[1]);
    tap(f.start[0].explained > 0.8 && f.start[0].explained < 1, "... explained %.4f", f.start[0].explained);
    dk_nmf_free(&f);
    drop(&v);
}

static const struct worked golden[] = {
    { 2, false, 30, { 17.646862, 3.429360, 3.420718, 3.420660 },
      { { .023362, .015034, 0, 0, .738716, .656535, .685462, .724776 },
        { .902844, .935635, .976139, .880899, .031394, 0, 0, .026686 } },
      { { 0, 1.70046 }, { 2.422322, .000013 } }, { 44.112914, 43.737375 }, { .304097, .300469 }, .029907 },
    { 1, false, 40, { 14.776003, 3.506510, 3.447105, 3.435721, 3.435356 },
      { { 0, 0, 0, 0, .906641, .771609, .810190, .887341 },
        { 1.112324, 1.164060, 1.164060, 1.034720, 0, 0, 0, .000013 } },
      { { 0, 1.396592 }, { 1.999537, 0 } }, { 43.749910, 43.250085 }, { .334366, .333860 }, .000003 },
    { 1.5, false, 30, { 15.533778, 3.192205, 3.185518, 3.185496 },
      { { .015082, .009145, 0, 0, .797770, .703826, .736693, .781192 },
        { .970730, 1.012782, 1.048669, .939758, .016171, 0, 0, .016291 } },
      { { 0, 1.577284 }, { 2.241472, 0 } }, { 43.928515, 43.421849 }, { .314363, .313794 }, .016483 },
    { 2, true, 200, { 0 },
      { { 0, 0, 0, 0, 1.108549, .986382, 1.029873, 1.087247 }, { 1.173301, 1.215392, 1.270369, 1.146386, 0, 0, 0, 0 } },
      { { 0, 1.308242 }, { 1.613844, 0 } }, { 42.748475, 42.260532 }, { 0 }, 0 }
};

/* A weight that drives a topic out leaves it empty. */
static void collapse(void)
{
    dk_nmf_matrix v = worked();
    const dk_nmf_plan p = { .topics = R, .beta = 2, .seed = 42, .orthogonal = true, .weight = 1000 };
    dk_nmf_topic topic[R];
    double cosine[R * R];
    dk_nmf f = {0};
    bool ok = dk_nmf_fit(&f, &v, &p, &err) == 0 && dk_nmf_topics(&f, topic, cosine, &err) == 0;

    tap(ok && topic[0].mass < 1e-3 && topic[1].mass > 1, "weight 1000: topic 0 is empty (mass %g)", ok ? topic[0].mass : NAN);
    dk_nmf_free(&f);
    drop(&v);
}

/* --- beside a plain dense computation -------------------------------------------- */
static void plain_update(double *x, const double *o, const double *v, size_t nx, size_t no, size_t k, const dk_nmf_plan *p,
                         bool turned)
{
    const double e = 0x1p-23, g = p->beta < 1 ? 1 / (2 - p->beta) : p->beta > 2 ? 1 / (p->beta - 1) : 1;
    double *to = dk_xcalloc(nx * k, sizeof *to);

    for (size_t i = 0; i < nx; i++)
        for (size_t j = 0; j < k; j++) {
            double num = 0, den = 0, all = 0;

            for (size_t c = 0; c < no; c++) {
                double u = p->beta == 2 ? 0 : e;

                for (size_t t = 0; t < k; t++)
                    u += x[i * k + t] * o[c * k + t];
                num += (p->beta == 2 ? 1 : pow(u, p->beta - 2)) * v[turned ? c * nx + i : i * no + c] * o[c * k + j];
                den += (p->beta == 1 ? 1 : pow(u, p->beta - 1)) * o[c * k + j];
            }
            for (size_t t = 0; t < k; t++)
                all += x[i * k + t];
            den += p->orthogonal ? p->weight * (all - x[i * k + j]) : 0;
            to[i * k + j] = x[i * k + j] * pow((num + e) / (den + (p->beta == 1 && !p->orthogonal ? 0 : e)), g);
        }
    memcpy(x, to, nx * k * sizeof *x);
    dk_free(to);
}

static void beside(double beta, size_t k, bool orthogonal)
{
    enum { NR = 61, NC = 137, MOST = 20 };
    double v[NR * NC], w[NC * MOST], h[NR * MOST], worst = 0, before = INFINITY;
    float w0[NC * MOST], h0[NR * MOST];
    dk_nmf_plan p = { .topics = k, .beta = beta, .w0 = w0, .h0 = h0, .orthogonal = orthogonal, .weight = 0.5 };
    dk_nmf_matrix m;
    dk_nmf f = {0};
    bool ok, falls = true;

    for (size_t i = 0; i < NR * NC; i++) {
        const double u = dk_uniform(dk_ctr(3, 1, i, 0));

        v[i] = u < 0.15 ? (float)(u * 40) : 0;
    }
    for (size_t i = 0; i < NC * k; i++)
        w[i] = w0[i] = (float)dk_uniform(dk_ctr(3, 2, i, k));
    for (size_t i = 0; i < NR * k; i++)
        h[i] = h0[i] = (float)dk_uniform(dk_ctr(3, 4, i, k));
    m = sparse_of(v, NR, NC);
    for (size_t i = 0; i < 5; i++) {
        plain_update(w, h, v, NC, NR, k, &p, true);
        plain_update(h, w, v, NR, NC, k, &p, false);
        p.iterations = i + 1;
        dk_nmf_free(&f);
        ok = dk_nmf_fit(&f, &m, &p, &err) == 0;
        falls &= ok && f.start[0].loss <= before * (1 + 1e-12);
        before = ok ? f.start[0].loss : NAN;
    }
    for (size_t i = 0; ok && i < NC * k; i++)
        worst = fmax(worst, fabs(f.w[i] - w[i]) / (1 + w[i]));
    for (size_t i = 0; ok && i < NR * k; i++)
        worst = fmax(worst, fabs(f.h[i] - h[i]) / (1 + h[i]));
    tap(ok && worst <= 1e-9, "beta %g, %zu topics%s: five iterations beside plain ones, within %.1e %s", beta, k,
        orthogonal ? ", orthogonal" : "", worst, err.msg);
    if (beta >= 1 && beta <= 2 && !orthogonal)
        tap(falls, "... and the loss falls");
    dk_nmf_free(&f);
    drop(&m);
}

/* --- starts, threads, refusals ---------------------------------------------------- */
static void starts(void)
{
    enum { NR = 700, NC = 300 };
    double *v = dk_xcalloc(NR * NC, sizeof *v);
    dk_nmf_plan p = { .topics = 3, .beta = 2, .seed = 7, .starts = 4 };
    dk_nmf_matrix m;
    dk_nmf a = {0}, b = {0}, one = {0};
    bool ok, least = true;

    for (size_t i = 0; i < NR * NC; i++)
        v[i] = dk_ctr(5, 1, i, 0) % 20 == 0 || (i / NC) % 3 == (i % NC) / 100 ? 1 + dk_uniform(dk_ctr(5, 2, i, 0)) : 0;
    m = sparse_of(v, NR, NC);
    dk_threads_set(1);
    ok = dk_nmf_fit(&a, &m, &p, &err) == 0;
    dk_threads_set(3);
    ok &= dk_nmf_fit(&b, &m, &p, &err) == 0;
    tap(ok && memcmp(a.w, b.w, NC * 3 * sizeof *a.w) == 0 && memcmp(a.h, b.h, NR * 3 * sizeof *a.h) == 0 && a.best == b.best &&
        memcmp(a.start, b.start, 4 * sizeof *a.start) == 0, "the same bits for any number of threads");
    for (size_t s = 0; s < 4; s++)
        least &= a.start[s].loss >= a.start[a.best].loss && a.start[s].seed == 7 + s;
    tap(least && close_to(a.start[a.best].agreement, 1, 1e-12), "of four starts that with the least loss (%zu)", a.best);
    p.starts = 1;
    p.seed = 7 + a.best;
    ok = dk_nmf_fit(&one, &m, &p, &err) == 0;
    tap(ok && memcmp(a.w, one.w, NC * 3 * sizeof *a.w) == 0, "which is what its seed alone gives");
    dk_nmf_free(&a);
    dk_nmf_free(&b);
    dk_nmf_free(&one);
    drop(&m);
    dk_free(v);
}

static void refused(const dk_nmf_matrix *m, dk_nmf_plan p, int code, const char *text)
{
    dk_nmf f = {0};
    dk_err e = {0};

    tap(dk_nmf_fit(&f, m, &p, &e) == code && strstr(e.msg, text), "refused: %s", e.msg);
}

static void refusals(void)
{
    static uint64_t none[4] = {0}, at[100001];
    static uint32_t col[1] = {0};
    static float value[1] = { 1 };
    const dk_nmf_matrix empty = { .rows = 3, .cols = 2, .at = none }, large = { 100000, 100000, at, col, value };

    for (size_t i = 1; i <= 100000; i++)
        at[i] = 1;
    refused(&empty, (dk_nmf_plan){ .topics = 2, .beta = 2 }, DK_EDATA, "no positive entries");
    refused(&large, (dk_nmf_plan){ .topics = 0, .beta = 2 }, DK_EUSAGE, "topics");
    refused(&large, (dk_nmf_plan){ .topics = 2, .beta = 0 }, DK_EUSAGE, "above 0");
    refused(&large, (dk_nmf_plan){ .topics = 2, .beta = NAN }, DK_EUSAGE, "beta");
    refused(&large, (dk_nmf_plan){ .topics = 2, .beta = 1.5 }, DK_EDATA, "1e+10 elements");
}

int main(void)
{
    static const double beta[] = { 0.5, 1, 1.5, 2, 3 };

    dk_threads_set(0);
    draws();
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
        compare(&golden[i]);
    collapse();
    for (size_t i = 0; i < 5; i++) {
        beside(beta[i], 3, false);
        beside(beta[i], 3, true);
    }
    beside(0, 3, true);
    beside(1, 7, false);
    beside(2, 16, false);
    beside(1, 20, false);
    starts();
    refusals();
    return tap_end();
}
