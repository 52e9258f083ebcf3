/* Summary statistics on worked values, the counter generator and its Poisson
 * weights on golden ones, the bootstrap by what it must satisfy. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "num/resample.h"
#include "num/stats.h"
#include "tap.h"

static bool near(double got, double want) { return fabs(got - want) <= 1e-7 * (1 + fabs(want)); }

static void worked(void)
{
    const float x[] = { 4, 1, 3, 2 }, one[] = { 7 }, five[] = { 5, -1, 0, 10, 2 };
    float seven[] = { 9, 1, 8, 2, 7, 3, 6 };
    dk_stats s;
    dk_err err = {0};
    int rc;

    rc = dk_stats_of(&s, x, 4, &err);
    tap(rc == 0 && s.n == 4 && s.mean == 2.5 && s.min == 1 && s.max == 4, "mean, min, max");
    tap(s.median == 2, "the median of an even number is the lower");
    tap(s.p25 == 1.75 && s.p50 == 2.5 && s.p75 == 3.25, "percentiles are linear: %g %g %g", s.p25, s.p50, s.p75);
    tap(near(s.std, 1.2909944), "the deviation is unbiased: %.9g", s.std);
    tap(x[0] == 4 && x[3] == 2, "the values stay as they are");
    tap(dk_stats_of(&s, one, 1, &err) == 0 && s.mean == 7 && s.median == 7 && s.p25 == 7 && s.p75 == 7 && isnan(s.std),
        "one value: no deviation");
    rc = dk_stats_of(&s, five, 5, &err);
    tap(rc == 0 && s.median == 2 && s.p50 == 2 && s.p25 == 0 && s.p75 == 5 &&
        near(s.std, sqrt(19.7)), "five values: %.9g", s.std);
    tap(dk_stats_of(&s, seven, 7, &err) == 0 && s.median == 6 && s.p25 == 2.5 && s.p75 == 7.5, "seven values");
    tap(dk_stats_of(&s, x, 0, &err) == DK_EDATA, "no values are an error");
}

static void generator(void)
{
    tap(dk_mix(0) == 0xe220a8397b1dcdaf && dk_mix(1) == 0x910a2dec89025cc1, "mix");
    tap(dk_ctr(42, 1, 0, 0) == 0x3e4a12d70b0af178 && dk_ctr(42, 1, 7, 3) == 0x2c434c2add5c1f60, "ctr");
    tap(dk_uniform(0) == 0 && dk_uniform(UINT64_MAX) < 1 && dk_uniform(UINT64_MAX) > 1 - 1e-15, "uniform: [0, 1)");
}

static void poisson(void)
{
    static const char want[2][17] = { "0143011110003120", "2213002512011210" };
    double mean = 0, square = 0;
    enum { N = 200000 };

    for (uint64_t b = 0; b < 2; b++) {
        bool same = true;

        for (uint64_t i = 0; i < 16; i++)
            same = same && dk_poisson1(dk_ctr(42, DK_STREAM_BOOTSTRAP, b, i)) == want[b][i] - '0';
        tap(same, "weights of 16 documents, replicate %d", (int)b);
    }
    tap(dk_poisson1(0) == 0 && dk_poisson1(0x5e2d58d8b3bcdf19) == 0 && dk_poisson1(0x5e2d58d8b3bcdf1a) == 1 &&
        dk_poisson1(UINT64_MAX) == 14, "edges of the thresholds");
    for (uint64_t i = 0; i < N; i++) {
        const int w = dk_poisson1(dk_ctr(1, 1, 0, i));

        mean += w;
        square += w * w;
    }
    mean /= N;
    square = square / N - mean * mean;
    /* Standard errors: 0.0022 and 0.0039. */
    tap(fabs(mean - 1) < 0.011 && fabs(square - 1) < 0.02, "mean %.4f and variance %.4f are those of Poisson(1)", mean, square);
}

static void bootstrap(void)
{
    enum { DOCS = 400 };
    double x[DOCS], n[DOCS], y[DOCS], lo, hi, lo2, hi2, ratio = 0, rows = 0, spread = 0;
    uint64_t doc[DOCS], back[DOCS];
    double xb[DOCS], nb[DOCS];
    dk_err err = {0};
    int rc;

    for (size_t i = 0; i < DOCS; i++) {
        doc[i] = 3 * i;
        n[i] = 10 + (double)(dk_ctr(5, 9, 0, i) % 20);
        x[i] = n[i] * (0.5 + dk_uniform(dk_ctr(5, 9, 1, i)));
        y[i] = 2 * n[i];
        ratio += x[i];
        rows += n[i];
        back[DOCS - 1 - i] = doc[i];
        xb[DOCS - 1 - i] = x[i];
        nb[DOCS - 1 - i] = n[i];
    }
    ratio /= rows;
    rc = dk_bootstrap_ratio(&lo, &hi, x, n, doc, DOCS, 42, &err);
    tap(rc == 0 && lo < ratio && ratio < hi, "the ratio %.4f lies in %.4f..%.4f", ratio, lo, hi);
    for (size_t i = 0; i < DOCS; i++)
        spread += (x[i] - ratio * n[i]) * (x[i] - ratio * n[i]);
    spread = 1.96 * sqrt(spread) / rows;
    /* 1000 replicates: an order statistic near 2.5% is good to 8% of the half width. */
    tap(fabs((hi - lo) / 2 / spread - 1) < 0.16, "its half width %.5f is that of the linearised error, %.5f", (hi - lo) / 2, spread);
    dk_bootstrap_ratio(&lo2, &hi2, x, n, doc, DOCS, 42, &err);
    tap(memcmp(&lo, &lo2, 8) == 0 && memcmp(&hi, &hi2, 8) == 0, "the same again, bit for bit");
    dk_bootstrap_ratio(&lo2, &hi2, xb, nb, back, DOCS, 42, &err);
    tap(fabs(lo - lo2) < 1e-12 && fabs(hi - hi2) < 1e-12, "weights go with the document's number, not its place");
    dk_bootstrap_ratio(&lo2, &hi2, x, n, doc, DOCS, 43, &err);
    tap(lo != lo2 && hi != hi2, "another seed, another draw");
    tap(dk_bootstrap_ratio(&lo, &hi, y, n, doc, DOCS, 42, &err) == 0 && lo == 2 && hi == 2, "no spread, no width");
    tap(dk_bootstrap_ratio(&lo, &hi, x, n, doc, 1, 42, &err) == 0 && isnan(lo) && isnan(hi), "one document has no interval");
    tap(dk_bootstrap_ratio(&lo, &hi, x, n, doc, 0, 42, &err) == 0 && isnan(lo) && isnan(hi), "none has none");
    tap(dk_bootstrap_ratio(&lo, &hi, x, n, doc, 2, 42, &err) == 0 && lo >= fmin(x[0] / n[0], x[1] / n[1]) - 1e-12 &&
        hi <= fmax(x[0] / n[0], x[1] / n[1]) + 1e-12, "two: between them");
}

int main(void)
{
    worked();
    generator();
    poisson();
    bootstrap();
    return tap_end();
}
