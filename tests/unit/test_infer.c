/* Inference on worked values; the sign-flip test by what it must satisfy: the
 * p of pairs whose roles were swapped at random is uniform. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "num/docmeans.h"
#include "num/infer.h"
#include "num/replicate.h"
#include "num/resample.h"
#include "tap.h"

static dk_err err;
static bool near(double got, double want, double tol) { return fabs(got - want) <= tol * (1 + fabs(want)); }

static void lists(void)
{
    static const double p[] = { .001, .008, .039, .041, .042, .06, .074, .205, .212, .216, .222, .251, .269, .275, .34 };
    static const double want[] = { .015, .06, .126, .126, .126, .15, .158571429, .294642857, .294642857, .294642857,
                                   .294642857, .294642857, .294642857, .294642857, .34 };
    const double some[] = { .3, NAN, .01 }, z[] = { 3, 1, 2, NAN, 2 }, null_z[] = { 2, 0, 1, .5, -1, NAN, 2.5, -3, 0, 0 };
    const uint8_t s[] = { 0, 0, 1, 0, 0 }, null_s[] = { 0, 0, 0, 1, 1, 0, 1, 0, 0, 0 };
    double q[15], back[15], shuffled[15];
    bool good = dk_q_bh(q, p, 15, &err) == 0;
    int n05 = 0, n25 = 0;

    for (size_t i = 0; i < 15; i++) {
        good = good && near(q[i], want[i], 1e-9);
        n05 += q[i] <= .05;
        n25 += q[i] <= .25;
        shuffled[i] = p[i * 7 % 15];
    }
    tap(good && n05 == 1 && n25 == 7, "q_bh of 15 p-values");
    dk_q_bh(back, shuffled, 15, &err);
    for (size_t i = 0; i < 15; i++)
        good = good && back[i] == q[i * 7 % 15];
    tap(good, "in any order");
    tap(dk_q_bh(q, some, 3, &err) == 0 && q[0] == .3 && isnan(q[1]) && q[2] == .02, "what has no p has no q, and is not counted");

    tap(dk_p_pool(q, z, s, 5, null_z, null_s, 10, &err) == 0 && q[0] == 1 / 7. && q[1] == 3 / 7. && q[2] == 2 / 4. &&
        isnan(q[3]) && q[4] == 2 / 7., "p_pool: within strata, ties count against");
    /* 4 real, 9 nulls: from 3: (1 + 0) / 1, from 2: (1 + 2) / 3, from 1: (1 + 3) / 4, each times 4 / 9 */
    tap(dk_fdr_td(q, z, 5, null_z, 10, &err) == 0 && near(q[0], 4 / 9., 1e-12) && near(q[2], 4 / 9., 1e-12) &&
        near(q[1], 4 / 9., 1e-12) && isnan(q[3]) && q[4] == q[2], "fdr_td");
    {
        const double real[] = { 5, 4, 0, 0 }, null[] = { 4.5, 1, 1, 0 };

        /* From 0: 5/4; from 4: 2/2; from 5: 1/1, and no more than what lies below. */
        dk_fdr_td(q, real, 4, null, 4, &err);
        tap(q[0] == 1 && q[1] == 1 && q[2] == 1 && q[3] == 1, "fdr_td is at most 1");
        dk_fdr_td(q, real, 4, null + 1, 3, &err);
        tap(near(q[0], 2 / 3., 1e-12) && near(q[1], 2 / 3., 1e-12) && q[2] == 1,
            "and monotone from the bottom: an entry has what a list down to a lower one has");
    }
    tap(dk_fdr_td(q, z, 5, NULL, 0, &err) == 0 && isnan(q[0]), "no nulls, no fdr_td");
}

static void single(void)
{
    const double null[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 };
    const dk_stratum strata[] = { { 100, 10, 5 }, { 80, 2, 4 }, { 60, 0, 3 } };
    double lo, hi, p = 0;

    tap(dk_ensemble_p(20, null, 19) == .05 && dk_ensemble_p(19, null, 19) == .1 && dk_ensemble_p(0, null, 19) == 1 &&
        dk_ensemble_p(1, NULL, 0) == 1, "p against 19 nulls is never below 1/20");
    tap(dk_quantile(null, 19, .5) == 10 && near(dk_quantile(null, 19, .95), 18.1, 1e-12) && isnan(dk_quantile(null, 0, .5)),
        "quantiles");
    dk_wilson(&lo, &hi, 4, 16);
    tap(near(lo, .101820675, 1e-8) && near(hi, .494983165, 1e-8), "Wilson, 4 of 16: %.9f %.9f", lo, hi);
    dk_wilson(&lo, &hi, 0, 14);
    tap(lo == 0 && near(hi, .215310803, 1e-8), "0 of 14");
    dk_wilson(&lo, &hi, 14, 14);
    tap(near(lo, .784689197, 1e-8) && hi == 1, "14 of 14");
    tap(near(dk_normal_p(1.959963984540054), .025, 1e-12) && dk_normal_p(0) == .5, "tails of the normal");

    tap(near(dk_hypergeometric_p(3, 50, 10, 8), .1877729073413517, 1e-14), "hypergeometric, 3 of 8");
    tap(fabs(dk_hypergeometric_p(8, 4915, 250, 20) / 2.9638335278434543e-06 - 1) < 1e-10 &&
        fabs(dk_hypergeometric_p(12, 49152, 600, 20) / 1.1311179780681798e-18 - 1) < 1e-10, "and far out");
    tap(dk_hypergeometric_p(0, 50, 10, 8) == 1 && dk_hypergeometric_p(9, 50, 10, 8) == 0 &&
        near(dk_hypergeometric_p(5, 5, 5, 5), 1, 1e-15), "its edges");
    tap(dk_strata_p(&p, 2, strata, 3, &err) == 0 && near(p, .11125979061858333, 1e-14), "the sum over strata: %.12g", p);
    tap(dk_strata_p(&p, 4, strata, 3, &err) == 0 && near(p, .001013943831005407, 1e-14), "further out: %.12g", p);
    tap(dk_strata_p(&p, 8, strata, 3, &err) == 0 && p == 0 && dk_strata_p(&p, 0, strata, 3, &err) == 0 && p == 1,
        "what cannot be, and what must");
}

static void rates(void)
{
    static const double x[] = { 3, 0, 5, 2, 7, 1 }, n[] = { 10, 8, 12, 9, 20, 6 };
    dk_rate_sums s = {0};
    double se = NAN;

    for (size_t i = 0; i < 6; i++) {
        s.x += x[i];
        s.xx += x[i] * x[i];
        s.xn += x[i] * n[i];
        s.n += n[i];
        s.nn += n[i] * n[i];
        s.docs++;
    }
    tap(near(dk_rate(&se, &s), .276923077, 1e-8) && near(se, .0548418, 1e-6), "a rate and its error: %.6f %.7f", dk_rate(NULL, &s), se);
    s.docs = 1;
    dk_rate(&se, &s);
    tap(isnan(se), "one document has no error");
}

/* Heavy tails: a t with 3 degrees, roughly. */
static double heavy(uint64_t a, uint64_t b)
{
    double g[4];

    for (uint64_t k = 0; k < 4; k++) {
        const double u = dk_uniform(dk_ctr(11, 100 + k, a, 2 * b)), v = dk_uniform(dk_ctr(11, 100 + k, a, 2 * b + 1));

        g[k] = sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
    }
    return g[0] / sqrt((g[1] * g[1] + g[2] * g[2] + g[3] * g[3]) / 3 + 1e-12);
}

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* p of 200 pairs without a difference: sorted by it. */
static void uniform_p(const char *of, double *p, int n)
{
    double ks = 0;
    int low = 0;

    qsort(p, (size_t)n, sizeof *p, by_double);
    for (int i = 0; i < n; i++) {
        ks = fmax(ks, fmax(fabs((i + 1.) / n - p[i]), fabs((double)i / n - p[i])));
        low += p[i] <= .05;
    }
    /* The critical distance at .001 is 1.949 / sqrt(n). */
    tap(ks < 1.949 / sqrt(n), "p of %d %s with half of the documents swapped: distance %.3f from uniform", n, of, ks);
    tap(low >= .02 * n && low <= .09 * n, "%d of them are no more than .05", low);
}

/* The same at the width of a model, from rows as the tools have them: by way of the documents'
 * means, and of the replicates of statistics. */
static void wide_pairs(void)
{
    enum { PAIRS = 200, DOCS = 120, ROWS = 2, DIM = 576, WITH_REPLICATES = 10 };
    static double at_first[PAIRS], of_all[PAIRS];
    static float x[ROWS * DIM];
    static double sum[DIM], mean[DIM];
    const size_t rows = ROWS;
    int differ = 0;

    for (uint64_t k = 0; k < PAIRS; k++) {
        dk_doc_means *m = NULL;
        dk_replicates r = {0};
        dk_length l[2], again;

        dk_doc_means_new(&m, DOCS, 1, DIM, &err);
        if (k < WITH_REPLICATES)
            dk_replicates_new(&r, DIM, &err);
        memset(mean, 0, sizeof mean);
        for (uint64_t i = 0; i < DOCS; i++) {
            const double swap = dk_ctr(4, 78, k, i) >> 63 ? -1 : 1, scale = exp(heavy(5000 + k, i) * .3);

            memset(sum, 0, sizeof sum);
            for (uint64_t j = 0; j < ROWS * DIM; j++) {
                x[j] = (float)(swap * scale * (.2 + heavy(6000 + k, i * ROWS * DIM + j)));
                sum[j % DIM] += x[j];
            }
            dk_doc_means_add(m, 7 * i + 1, x, ROWS, 0);
            for (size_t j = 0; j < DIM; j++)
                mean[j] += sum[j] / (DOCS * ROWS);
            if (k < WITH_REPLICATES)
                dk_replicates_add(&r, sum, &rows, &(uint64_t){ 7 * i + 1 }, 1, k, &err);
        }
        dk_doc_means_end(m, l, k, &err);
        at_first[k] = l[0].p;
        of_all[k] = l[1].p;
        if (k < WITH_REPLICATES) {
            dk_replicates_length(&again, &r, mean, DOCS, &err);
            differ += !(fabs(again.p - l[1].p) < 1e-9 && near(again.lo, l[1].lo, 1e-6) && near(again.hi, l[1].hi, 1e-6));
        }
        dk_replicates_free(&r);
        dk_doc_means_free(&m);
    }
    uniform_p("means of one position", at_first, PAIRS);
    uniform_p("means of all rows", of_all, PAIRS);
    tap(differ == 0, "statistics give the same p and intervals (%d do not)", differ);
}

static void sign_flip(void)
{
    enum { PAIRS = 200, DOCS = 60, DIM = 6 };
    static double d[DOCS * DIM], p[PAIRS];
    uint64_t doc[DOCS], back[DOCS];
    static double other[DOCS * DIM];
    double one, again;

    for (uint64_t i = 0; i < DOCS; i++)
        doc[i] = 2 * i + 1;
    for (uint64_t k = 0; k < PAIRS; k++) {
        for (uint64_t i = 0; i < DOCS; i++) {
            const double swap = dk_ctr(3, 77, k, i) >> 63 ? -1 : 1;

            for (uint64_t j = 0; j < DIM; j++)      /* not centred: half of the documents swapped */
                d[i * DIM + j] = swap * (0.3 + heavy(k, i * DIM + j));
        }
        dk_signflip_p(&p[k], d, doc, DOCS, DIM, k, &err);
    }
    uniform_p("pairs", p, PAIRS);

    for (uint64_t i = 0; i < DOCS; i++)
        for (uint64_t j = 0; j < DIM; j++) {
            d[i * DIM + j] = 1 + heavy(999, i * DIM + j) * .3;
            back[DOCS - 1 - i] = doc[i];
            other[(DOCS - 1 - i) * DIM + j] = d[i * DIM + j];
        }
    dk_signflip_p(&one, d, doc, DOCS, DIM, 42, &err);
    tap(one == .001, "a difference in all documents has the smallest p");
    for (uint64_t i = 0; i < DOCS * DIM; i++) {
        d[i] = i % DIM ? 0 : (i / DIM < 8 ? 1 : 0) + heavy(7, i);
        other[(DOCS - 1 - i / DIM) * DIM + i % DIM] = d[i];
    }
    dk_signflip_p(&one, d, doc, DOCS, DIM, 42, &err);
    dk_signflip_p(&again, other, back, DOCS, DIM, 42, &err);
    tap(one == again && one > .001 && one < 1, "signs go with the document's number, and sums are exact in any order: p %g", one);
    dk_threads_set(3);
    dk_signflip_p(&again, d, doc, DOCS, DIM, 42, &err);
    dk_threads_set(1);
    tap(one == again, "threads change nothing");
    memset(d, 0, sizeof d);
    dk_signflip_p(&one, d, doc, DOCS, DIM, 42, &err);
    tap(one == 1, "no difference at all: p 1");
    tap(dk_signflip_p(&one, d, doc, 1, DIM, 42, &err) == 0 && isnan(one), "one document has none");
    d[5] = 1e9;
    tap(dk_signflip_p(&one, d, doc, DOCS, DIM, 42, &err) == DK_ENUM, "too large for exact sums: refused");
    err = (dk_err){0};
    d[5] = NAN;
    tap(dk_signflip_p(&one, d, doc, DOCS, DIM, 42, &err) == DK_ENUM, "NaN: refused");
}

/* Each flip makes two halves of the documents; their means' cosine, half by half. */
static void halves(void)
{
    enum { DOCS = 9, DIM = 5 };
    static double sum[DOCS * DIM], rows[DOCS], half[2][DIM];
    uint64_t doc[DOCS];
    double want = 0, noise = 0;
    size_t n = 0;
    dk_length l;

    for (uint64_t i = 0; i < DOCS; i++) {
        doc[i] = 3 * i + 2;
        rows[i] = (double)(1 + i % 4);
        for (uint64_t j = 0; j < DIM; j++)
            sum[i * DIM + j] = rows[i] * rint((j == 2) * 0x1p24 + heavy(31, i * DIM + j) * 0x1p23) * 0x1p-24;
    }
    for (uint64_t b = 1; b <= DK_FLIPS; b++) {
        double dot = 0, sq[2] = {0};

        memset(half, 0, sizeof half);
        for (uint64_t i = 0; i < DOCS; i++)
            for (uint64_t j = 0; j < DIM; j++)
                half[dk_ctr(5, DK_STREAM_SIGNFLIP, b, doc[i]) >> 63][j] += sum[i * DIM + j] / rows[i];
        for (uint64_t j = 0; j < DIM; j++) {
            dot += half[0][j] * half[1][j];
            sq[0] += half[0][j] * half[0][j];
            sq[1] += half[1][j] * half[1][j];
        }
        if (sq[0] > 0 && sq[1] > 0) {
            want += dot / sqrt(sq[0] * sq[1]);
            n++;
        }
    }
    want /= (double)n;
    dk_mean_length(&l, sum, rows, doc, DOCS, DIM, 5, &err);
    tap(near(l.halves, want, 1e-9) && n < DK_FLIPS,
        "halves of the documents: cosine %.6f, one by one %.6f (%zu flips made two)", l.halves, want, n);
    for (uint64_t k = 0; k < 100; k++) {
        for (uint64_t i = 0; i < DOCS * DIM; i++)
            sum[i] = heavy(400 + k, i) * rows[i / DIM];
        dk_mean_length(&l, sum, rows, doc, DOCS, DIM, k, &err);
        noise += l.halves / 100;
    }
    tap(fabs(noise) < .1, "halves of noise agree on nothing: %.3f", noise);
    for (uint64_t i = 0; i < DOCS * DIM; i++)
        sum[i] = rows[i / DIM] * (double)(i % DIM);
    dk_mean_length(&l, sum, rows, doc, DOCS, DIM, 5, &err);
    tap(near(l.halves, 1, 1e-9), "equal documents: %.12g", l.halves);
    memset(sum, 0, sizeof sum);
    tap(dk_mean_length(&l, sum, rows, doc, DOCS, DIM, 5, &err) == 0 && isnan(l.halves), "of nothing there are none");
}

int main(void)
{
    lists();
    single();
    rates();
    sign_flip();
    halves();
    if (getenv("DK_SLOW"))
        wide_pairs();
    return tap_end();
}
