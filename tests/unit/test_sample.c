/* Sampling on worked cases: small rows whose answer can be read off. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "num/sample.h"
#include "tap.h"

static const dk_sampling plain = { .temperature = 1, .top_p = 1 };

/* Whether exactly the ids of want (digits) are kept. */
static bool keeps(const float *x, size_t n, dk_sampling how, const char *want)
{
    dk_sampler *s = NULL;
    dk_err err = {0};
    bool good;

    if (dk_sampler_new(&s, n, &err) < 0 || dk_sampler_keep(s, &how, x) < 0)
        return false;
    good = s->n == strlen(want);
    for (size_t i = 0; good && i < s->n; i++)
        good = s->id[i] == (uint32_t)(want[i] - '0');
    dk_sampler_free(&s);
    return good;
}

static void argmax(void)
{
    uint32_t id = 9;
    const float tie[] = { 1, 3, -2, 3, 3 }, nan[] = { 1, NAN, 2 }, inf[] = { 1, INFINITY }, low[] = { -INFINITY, -5 };
    const float none[] = { -INFINITY, -INFINITY };

    tap(dk_argmax(&id, tie, 5) == 0 && id == 1, "greedy: the lowest id of equals");
    tap(dk_argmax(&id, nan, 3) == DK_ENUM && dk_argmax(&id, inf, 2) == DK_ENUM, "greedy: NaN and infinity are errors");
    tap(dk_argmax(&id, low, 2) == 0 && id == 1, "greedy: -infinity is never taken");
    tap(dk_argmax(&id, none, 2) == DK_ENUM && dk_argmax(&id, none, 0) == DK_ENUM, "greedy: nothing to take is an error");
}

static void top_k(void)
{
    const float x[] = { 2, 1, 2, 3, 1, 0 }, zeros[] = { 0.0f, -0.0f, 1, -1 };
    dk_sampling how = plain;

    how.top_k = 1;
    tap(keeps(x, 6, how, "3"), "top-k 1");
    how.top_k = 2;
    tap(keeps(x, 6, how, "023"), "top-k 2: the tie at the second place stays");
    how.top_k = 4;
    tap(keeps(x, 6, how, "01234"), "top-k 4: the tie at the fourth place stays");
    how.top_k = 6;
    tap(keeps(x, 6, how, "012345"), "top-k of the whole vocabulary keeps all");
    how.top_k = 100;
    tap(keeps(x, 6, how, "012345"), "top-k beyond the vocabulary keeps all");
    how.top_k = 2;
    tap(keeps(zeros, 4, how, "012"), "0 and -0 are a tie");
}

static void penalty(void)
{
    float x[] = { 2, -2, 3, -1, 0 }, y[] = { 2, -2, 3, -1, 0 };
    const uint32_t prompt[] = { 0, 1, 0, 9 }, answer[] = { 2, 1 };
    const float want[] = { 1, -4, 1.5f, -1, 0 };
    dk_sampler *s = NULL;
    dk_err err = {0};
    uint32_t id;

    if (dk_sampler_new(&s, 5, &err) < 0)
        return (void)tap(false, "%s", err.msg);
    dk_sampler_penalise(s, x, 2, prompt, 4, answer, 2);
    tap(memcmp(x, want, sizeof x) == 0, "penalty: each id of both lists once, towards the unlikely");
    dk_sampler_penalise(s, y, 2, prompt, 0, answer, 1);
    tap(y[0] == 2 && y[2] == 1.5f, "... and marks of the row before do not count");
    tap(dk_argmax(&id, x, 5) == 0 && id == 2, "... the choice follows");
    dk_sampler_free(&s);
}

/* Probabilities 1/2, 1/4, 1/8, 1/8 are exact in binary. */
static void top_p(void)
{
    const float x[] = { (float)log(2), (float)log(8), (float)log(2), (float)log(4) };
    const float sure[] = { 100, 0, 0 }, even[] = { 1, 1, 1, 1 };
    dk_sampling how = plain;

    how.top_p = 0.95;
    tap(keeps(x, 4, how, "0123"), "top-p .95: 1/8 > .05, nothing goes");
    how.top_p = 0.87;
    tap(keeps(x, 4, how, "013"), "top-p .87: 1/8 <= .13 goes, the higher id of equals");
    how.top_p = 0.7;
    tap(keeps(x, 4, how, "13"), "top-p .7: 1/8 and 1/4 <= .3 go, 1/2 stays");
    how.top_p = 0.3;
    tap(keeps(x, 4, how, "1"), "top-p .3: 1/8, 1/4, 1/2 <= .7 go");
    how.top_p = 1e-9;
    tap(keeps(x, 4, how, "1"), "top-p of almost nothing keeps the largest");
    how.top_p = 0;
    tap(keeps(x, 4, how, "1") && keeps(sure, 3, how, "0"), "top-p 0 keeps the largest");
    how.top_p = 0.75;
    tap(keeps(even, 4, how, "012"), "c = 1 - p exactly: dropped");
    how.top_p = 0.7500001;
    tap(keeps(even, 4, how, "0123"), "c just above 1 - p: kept");
}

static void together(void)
{
    const float x[] = { (float)log(2), (float)log(8), (float)log(2), (float)log(4), -INFINITY };
    dk_sampling how = plain;

    how.min_p = 0.3;
    tap(keeps(x, 5, how, "13"), "min-p .3: 1/4 of the largest goes, 1/2 stays");
    how.min_p = 1;
    tap(keeps(x, 5, how, "1"), "min-p 1 keeps the largest");
    how = (dk_sampling){ .temperature = 0.5, .top_p = 1, .min_p = 0.3 };
    tap(keeps(x, 5, how, "1"), "temperature comes first: at .5, 1/2 becomes 1/4 of the largest");
    how = (dk_sampling){ .temperature = 1, .top_k = 2, .top_p = 0.7 };
    tap(keeps(x, 5, how, "13"), "top-p after top-k: of 2/3 and 1/3, 1/3 > .3 stays");
    how.top_p = 0.6;
    tap(keeps(x, 5, how, "1"), "top-p after top-k: 1/3 <= .4 goes");
    how = (dk_sampling){ .temperature = 1e-30, .top_p = 1 };
    tap(keeps(x, 5, how, "0123"), "a tiny temperature overflows nothing, and what is excluded stays so");
}

/* The rule of the draw, at its edges. */
static void draws(void)
{
    const float x[] = { -INFINITY, 0, 0, -INFINITY, 0, 0 };
    dk_sampler *s = NULL;
    dk_err err = {0};
    uint32_t id = 0;

    dk_sampler_new(&s, 6, &err);
    dk_sampler_keep(s, &plain, x);
    tap(dk_sampler_draw(s, 0) == 1, "draw: uniform 0 is the first id of positive weight");
    tap(dk_sampler_draw(s, 0.2499) == 1 && dk_sampler_draw(s, 0.25) == 2, "draw: the sum must exceed the goal");
    tap(dk_sampler_draw(s, 0.75) == 5 && dk_sampler_draw(s, 1 - 0x1p-53) == 5, "draw: the last id");
    tap(dk_sampler_next(s, &(dk_sampling){ .temperature = 0, .top_p = 1 }, x, 0.9, &id) == 0 && id == 1,
        "temperature 0 draws nothing");
    dk_sampler_free(&s);
}

/* Draws from a skewed row against its probabilities: chi-square, a fixed seed. */
static void distribution(double temperature, size_t top_k)
{
    enum { N = 40, DRAWS = 20000 };
    const dk_sampling how = { temperature, top_k, 1, 0, 1 };
    float x[N];
    double p[N], total = 0, chi2 = 0, limit;
    size_t count[N] = {0}, free_cells = 0;
    dk_sampler *s = NULL;
    dk_err err = {0};
    bool inside = true;

    dk_sampler_new(&s, N, &err);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(3 * dk_uniform(dk_ctr(5, DK_STREAM_SAMPLING, 0, i)));
    for (size_t i = 0; i < N; i++) {
        size_t above = 0;

        for (size_t j = 0; j < N; j++)
            above += x[j] > x[i];
        p[i] = top_k && above >= top_k ? 0 : exp(x[i] / temperature);
        total += p[i];
    }
    for (size_t d = 0; d < DRAWS; d++) {
        uint32_t id = 0;

        dk_sampler_next(s, &how, x, dk_uniform(dk_ctr(42, DK_STREAM_SAMPLING, d, 0)), &id);
        count[id]++;
    }
    for (size_t i = 0; i < N; i++) {
        const double want = DRAWS * p[i] / total;

        if (want == 0)
            inside = inside && count[i] == 0;
        else {
            chi2 += ((double)count[i] - want) * ((double)count[i] - want) / want;
            free_cells++;
        }
    }
    free_cells--;
    /* Mean and four standard deviations of chi-square. */
    limit = (double)free_cells + 4 * sqrt(2 * (double)free_cells);
    tap(inside && chi2 < limit && chi2 > 0.2 * (double)free_cells,
        "temperature %g, top-k %zu: chi-square %.1f with %zu degrees of freedom", temperature, top_k, chi2, free_cells);
    dk_sampler_free(&s);
}

/* A row as wide as a vocabulary: the sort against the definition. */
static void wide(void)
{
    enum { N = 5000 };
    float *x = dk_xmalloc(N * sizeof *x);
    dk_sampling how = plain;
    dk_sampler *s = NULL;
    dk_err err = {0};
    size_t wrong = 0;

    for (size_t i = 0; i < N; i++)      /* coarse steps: many ties, both signs */
        x[i] = (float)(dk_mix(i) % 64) * 0.25f - 8;
    dk_sampler_new(&s, N, &err);
    for (how.top_k = 1; how.top_k < N; how.top_k = how.top_k * 3 + 1) {
        size_t kept = 0, at = 0;

        dk_sampler_keep(s, &how, x);
        for (size_t i = 0; i < N; i++) {
            size_t above = 0;

            for (size_t j = 0; j < N; j++)
                above += x[j] > x[i];
            if (above < how.top_k) {
                wrong += at >= s->n || s->id[at] != i;
                at++;
                kept++;
            }
        }
        wrong += kept != s->n;
    }
    tap(wrong == 0, "top-k on %d logits with ties: as the definition says", N);
    dk_sampler_free(&s);
    dk_free(x);
}

int main(void)
{
    argmax();
    top_k();
    penalty();
    top_p();
    together();
    draws();
    distribution(1, 0);
    distribution(0.5, 0);
    distribution(2, 0);
    distribution(1, 7);
    wide();
    return tap_end();
}
