/* Amplified differences: the combination by hand, rates of a toy whose truth is
 * known, and samples of the miniature pair against what they must be equal to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "gold.h"
#include "method/eventrate.h"
#include "method/generateamplify.h"
#include "num/amplify.h"
#include "num/sample.h"
#include "tap.h"

static dk_err err;

/* --- rows ------------------------------------------------------------------------ */
static void by_hand(double alpha, double a, double b, double c, double e)
{
    const float base[5] = { 1, 1.5f, 0, -1, 0 };
    const double want[5] = { a, b, c, 0, e };
    double worst = 0;

    for (int carried = 0; carried < 2; carried++) {
        float x[5] = { 2, 1, 0, -1, .5f }, z[5];

        for (size_t i = 0; carried && i < 5; i++)
            x[i] -= base[i];
        dk_amplify_split(x, z, base, carried, 5);
        if (dk_amplify(z, x, z, alpha, .1, 5) < 0 || z[3] != -INFINITY || x[0] != 2 || x[4] != .5f)
            worst = INFINITY;
        for (size_t i = 0; i < 5; i++)
            worst = fmax(worst, fabs(exp((double)z[i] - dk_row_lse(z, 5)) - want[i]));
    }
    tap(worst <= 6e-7, "alpha %g: %.6f %.6f %.6f 0 %.6f, off by %.1e", alpha, a, b, c, e, worst);
}

static void masks(void)
{
    const float base[4] = { 0, 0, 0, 0 };
    const float edge = (float)log(.1);
    float x[4] = { 0, nextafterf(edge, 0), nextafterf(edge, -3), -INFINITY }, z[4];

    dk_amplify_split(x, z, base, false, 4);
    tap(dk_amplify(z, x, z, 3, .1, 4) == 0 && isfinite(z[1]) && z[2] == -INFINITY &&
        z[3] == -INFINITY, "the mask ends where x is ln beta below the largest");
    dk_amplify_split(x, z, base, false, 4);
    tap(dk_amplify(z, x, z, 3, 0, 4) == 0 && isfinite(z[2]) && z[3] == -INFINITY, "without it, what x excludes stays so");
    x[1] = NAN;
    tap(dk_amplify(z, x, z, 1, 0, 4) == DK_ENUM, "NaN is an error");
    for (size_t i = 0; i < 4; i++)
        x[i] = -INFINITY;
    tap(dk_amplify(z, x, z, 1, 0, 4) == DK_ENUM, "nothing to take is an error");
}

static float normal(uint64_t a, uint64_t b)
{
    const double u = dk_uniform(dk_ctr(5, 50, a, b)), v = dk_uniform(dk_ctr(5, 51, a, b));

    return (float)(sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v));
}

static uint32_t drawn(const float *base, const float *x, double add_base, double add_x, double alpha, size_t n, double u)
{
    static const dk_sampling how = { .temperature = 1, .top_p = .95 };
    float *b = dk_xcalloc(n, sizeof *b), *y = dk_xcalloc(n, sizeof *y), *z = dk_xcalloc(n, sizeof *z);
    dk_sampler *s = NULL;
    uint32_t id = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        b[i] = base[i] + (float)add_base;
        y[i] = x[i] + (float)add_x;
    }
    dk_amplify_split(y, z, b, false, n);
    if (dk_sampler_new(&s, n, &err) < 0 || dk_amplify(z, y, z, alpha, .05, n) < 0 || dk_sampler_next(s, &how, z, u, &id) < 0)
        tap(false, "a row %s", err.msg);
    dk_sampler_free(&s);
    dk_free(b);
    dk_free(y);
    dk_free(z);
    return id;
}

static void constants(void)
{
    enum { V = 300, ROWS = 200 };
    float base[V], x[V];
    size_t same = 0, moved = 0;

    for (size_t r = 0; r < ROWS; r++) {
        const double alpha = r % 4, u = dk_uniform(dk_ctr(5, 52, r, 0));
        uint32_t id;

        for (size_t i = 0; i < V; i++) {
            base[i] = 3 * normal(r, i);
            x[i] = base[i] + normal(r, V + i);
        }
        id = drawn(base, x, 0, 0, alpha, V, u);
        same += id == drawn(base, x, 11.25, -7.5, alpha, V, u) && drawn(base, base, 0, 3, alpha, V, u) == drawn(base, base, 0, 0, 0, V, u);
        moved += id != drawn(base, x, 0, 0, 0, V, u);
    }
    tap(same == ROWS && moved > ROWS / 10, "constants on either side change no token, nor does alpha without a difference; %zu of %d rows differ from alpha 0",
        moved, ROWS);
}

/* --- a toy whose rate is known ------------------------------------------------------ */
/* Words of a chain; behind word 3, which comes in 1 of 100 places, the finetune says word 7, rare elsewhere, more often. */
enum { WORDS = 12, LENGTH = 20, MANY = 4000 };

static double toy(float *out, bool ft, size_t after)
{
    for (size_t i = 0; i < WORDS; i++)
        out[i] = (i == 3 ? (float)log(.1) : i == 7 ? -3 : 0) + (ft ? .05f * normal(after, i) : 0);
    if (ft && after == 3)
        out[7] += 2;
    return dk_row_lse(out, WORDS);
}

/* Of all texts, those with 7 behind 3 somewhere. */
static double toy_truth(void)
{
    double p[WORDS] = {0}, next[WORDS], gone = 0;
    float x[WORDS];

    p[0] = 1;
    for (size_t t = 0; t < LENGTH; t++) {
        memset(next, 0, sizeof next);
        for (size_t i = 0; i < WORDS; i++) {
            const double lse = toy(x, true, i);

            for (size_t k = 0; k < WORDS; k++)
                *(i == 3 && k == 7 ? &gone : &next[k]) += p[i] * exp((double)x[k] - lse);
        }
        memcpy(p, next, sizeof p);
    }
    return gone;
}

static dk_event_rate toy_rate(double alpha)
{
    static const dk_sampling how = { .temperature = 1, .top_p = 1 };
    double *lw = dk_xcalloc(MANY, sizeof *lw), *hit = dk_xcalloc(MANY, sizeof *hit);
    dk_sampler *s = NULL;
    dk_event_rate e = {0};

    tap(dk_sampler_new(&s, WORDS, &err) == 0, "a sampler");
    for (size_t n = 0; n < MANY; n++)
        for (size_t t = 0, last = 0; t < LENGTH; t++) {
            float base[WORDS], x[WORDS], z[WORDS];
            uint32_t id = 0;
            double lse;

            toy(base, false, last);
            lse = toy(x, true, last);
            dk_amplify_split(x, z, base, false, WORDS);
            if (dk_amplify(z, x, z, alpha, 0, WORDS) < 0 || dk_sampler_next(s, &how, z, dk_uniform(dk_ctr(9, DK_STREAM_SAMPLING, n, t)), &id) < 0)
                tap(false, "a token");
            lw[n] += (double)x[id] - lse - ((double)z[id] - dk_row_lse(z, WORDS));
            if (last == 3 && id == 7)
                hit[n] = 1;
            last = id;
        }
    dk_sampler_free(&s);
    if (dk_event_rate_of(&e, lw, hit, MANY, 42, &err) < 0)
        tap(false, "%s", err.msg);
    dk_free(lw);
    dk_free(hit);
    return e;
}

static void rates(void)
{
    const double truth = toy_truth();
    const dk_event_rate plain = toy_rate(0), far = toy_rate(2);
    const double two[2] = { 0, 0 }, apart[20] = { [3] = 50 }, one[2] = { 1, 0 }, none[20] = {0};
    dk_event_rate e;

    tap(plain.ess == MANY && fabs(plain.rate - (double)plain.hits / MANY) < 1e-12, "alpha 0: every sample weighs 1, %zu of %d", plain.hits, MANY);
    tap((double)far.hits >= 5 * (double)plain.hits, "alpha 2: %zu hits, alpha 0: %zu", far.hits, plain.hits);
    tap(far.lo <= truth && truth <= far.hi && far.ess > 100 && far.ess < MANY && far.hi - far.lo < plain.hi - plain.lo,
        "reweighted %.4f (%.4f .. %.4f), truth %.4f, %.0f effective samples; at alpha 0 %.4f .. %.4f", far.rate, far.lo, far.hi, truth,
        far.ess, plain.lo, plain.hi);
    tap(dk_event_rate_of(&e, two, one, 2, 1, &err) == 0 && e.ess == 2 && isnan(e.rate) && isnan(e.lo), "two samples: not estimable");
    tap(dk_event_rate_of(&e, apart, none, 20, 1, &err) == 0 && fabs(e.ess - 1) < 1e-9 && isnan(e.rate),
        "one sample that outweighs all others: not estimable");
}

/* --- the miniature pair -------------------------------------------------------------- */
enum { PROMPTS = 3, SAMPLES = 3, NEW = 20 };
static const uint32_t ids[PROMPTS][6] = { { 37, 68, 415, 265, 271, 68 }, { 1 }, { 9, 200, 33 } };
static const dk_prompt prompts[PROMPTS] = { { ids[0], 6 }, { ids[1], 1 }, { ids[2], 3 } };

static dk_generate_plan plan_of(const dk_amplify_plan *amplify)
{
    return (dk_generate_plan){ .sampling = { .temperature = 1, .top_p = .95 }, .seed = 42, .samples = SAMPLES, .max_new = NEW,
                               .batch_rows = 64, .parallel = 8, .amplify = amplify };
}

static dk_answers answers(const dk_pair *p, const dk_generate_plan *plan)
{
    dk_answers a = {0};

    if (dk_generate_run(&a, p, prompts, PROMPTS, plan, &err) < 0)
        tap(false, "%s", err.msg);
    return a;
}

static bool same(const dk_answer *x, const dk_answer *y)
{
    return x->n == y->n && memcmp(x->id, y->id, x->n * sizeof *x->id) == 0;
}

static bool same_logp(const dk_answer *x, const dk_answer *y)
{
    for (size_t k = 0; k < DK_N_LOGP; k++)
        if (memcmp(x->logp[k], y->logp[k], x->n * sizeof **x->logp) != 0)
            return false;
    return true;
}

static dk_answer *at(const dk_answers *a, size_t prompt, size_t ways, size_t way, size_t sample)
{
    return &a->answer[(prompt * ways + way) * SAMPLES + sample];
}

/* Log-probabilities of an answer's tokens, from one pass over the whole text. */
static double worst_logp(const dk_pair *p, size_t prompt, const dk_answer *x, double alpha)
{
    const size_t n = prompts[prompt].n + x->n, v = p->model->config.vocab, off[] = { 0, n };
    uint32_t *all = dk_xcalloc(n, sizeof *all);
    float *out = dk_xcalloc(dk_padded_rows(2 * n) * v, sizeof *out), *z = dk_xcalloc(v, sizeof *z);
    dk_pass pass = { .batch = { 1, off, all }, .last_layer = -1 };
    dk_runner *r = NULL;
    double worst = 0;

    memcpy(all, prompts[prompt].id, prompts[prompt].n * sizeof *all);
    memcpy(all + prompts[prompt].n, x->id, x->n * sizeof *all);
    if (dk_runner_new(&r, p->model, p->lane, 2, n, &err) < 0 || dk_runner_forward(r, &pass, &err) < 0 ||
        dk_runner_logits(r, NULL, 0, out, &err) < 0)
        worst = INFINITY;
    for (size_t i = 0; i < x->n && worst < 1; i++) {
        const float *b = out + (prompts[prompt].n - 1 + i) * v, *f = b + n * v;

        for (size_t k = 0; k < v; k++)
            z[k] = (float)(f[k] + alpha * (f[k] - b[k]));
        worst = fmax(worst, fabs(b[x->id[i]] - dk_row_lse(b, v) - (double)x->logp[DK_LOGP_BASE][i]));
        worst = fmax(worst, fabs(f[x->id[i]] - dk_row_lse(f, v) - (double)x->logp[DK_LOGP_LANE][i]));
        worst = fmax(worst, fabs(z[x->id[i]] - dk_row_lse(z, v) - (double)x->logp[DK_LOGP_DRAWN][i]));
    }
    dk_runner_free(&r);
    dk_free(all);
    dk_free(out);
    dk_free(z);
    return worst;
}

static void against_ordinary(const dk_pair *p)
{
    const double alpha[] = { 0, 1.5 };
    dk_amplify_plan amplify = { .alpha = alpha, .n_alphas = 2 };
    dk_generate_plan plan = plan_of(&amplify), ordinary = plan_of(NULL);
    dk_answers a = answers(p, &plan), o = {0};
    size_t equal = 0, moved = 0;
    double worst = 0;

    if (!p->diff)
        o = answers(p, &ordinary);
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t s = 0; s < SAMPLES; s++) {
            equal += o.n && same(at(&a, i, 2, 0, s), &o.answer[(i * SAMPLES + s) * 2 + 1]);
            moved += !same(at(&a, i, 2, 1, s), at(&a, i, 2, 0, s));
            for (size_t k = 0; k < 2; k++)
                worst = fmax(worst, worst_logp(p, i, at(&a, i, 2, k, s), alpha[k]));
        }
    if (!p->diff)
        tap(equal == PROMPTS * SAMPLES, "alpha 0 is ordinary sampling, token for token");
    tap(moved > 0, "alpha 1.5 changes %zu of %d samples", moved, PROMPTS * SAMPLES);
    tap(worst <= 2e-4, "log-probabilities are those of one pass over the text within %.1e", worst);
    dk_answers_free(&a);
    dk_answers_free(&o);
}

static void greedy_and_bounds(const dk_pair *p)
{
    const double alpha = 1;
    dk_amplify_plan amplify = { .alpha = &alpha, .n_alphas = 1, .beta = .1, .greedy = 1 };
    dk_generate_plan plan = plan_of(&amplify), cold = plan;
    dk_answers a = answers(p, &plan), b;
    uint32_t end[3] = { a.answer[1].id[2], a.answer[4].id[0], a.answer[7].id[1] };
    size_t equal = 0, early = 0, late = 0;

    cold.sampling.temperature = 0;
    b = answers(p, &cold);
    for (size_t i = 0; i < PROMPTS; i++)
        equal += same(at(&a, i, 1, 0, 0), at(&b, i, 1, 0, 0)) && same(at(&b, i, 1, 0, 0), at(&b, i, 1, 0, 1)) &&
                 !same(at(&a, i, 1, 0, 0), at(&a, i, 1, 0, 1));
    tap(equal == PROMPTS, "the first sample is greedy, others are drawn");
    dk_answers_free(&b);
    dk_answers_free(&a);
    plan.end = end;
    plan.n_end = 3;
    a = answers(p, &plan);
    amplify.min_new = 6;
    b = answers(p, &plan);
    for (size_t i = 0; i < a.n; i++) {
        early += a.answer[i].n < 6;
        late += b.answer[i].n < 6;
    }
    tap(early > 0 && late == 0, "%zu samples end before 6 tokens; none where they may not", early);
    dk_answers_free(&b);
    dk_answers_free(&a);
}

/* The finetune at factor 0 is the base. */
static void no_difference(const dk_pair *p)
{
    const double alpha[] = { 0, 1, 20 };
    const dk_amplify_plan amplify = { .alpha = alpha, .n_alphas = 3, .beta = .1 };
    const dk_generate_plan plan = plan_of(&amplify);
    dk_pair none = *p;
    dk_answers a;
    size_t equal = 0;

    none.lane[1].factor = 0;
    a = answers(&none, &plan);
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t s = 0; s < SAMPLES; s++)
            equal += same(at(&a, i, 3, 0, s), at(&a, i, 3, 1, s)) && same(at(&a, i, 3, 0, s), at(&a, i, 3, 2, s)) &&
                     same_logp(at(&a, i, 3, 0, s), at(&a, i, 3, 2, s));
    tap(equal == PROMPTS * SAMPLES, "without a difference every alpha writes the same");
    dk_answers_free(&a);
}

static void together(const dk_pair *p)
{
    const double alpha[] = { 1, -.5 };
    const dk_amplify_plan amplify = { .alpha = alpha, .n_alphas = 2, .beta = .1, .greedy = 1 };
    dk_generate_plan plan = plan_of(&amplify);
    dk_answers a = answers(p, &plan);
    bool equal = a.n == 2 * PROMPTS * SAMPLES;

    for (size_t parallel = 1; parallel <= 20; parallel += 1 + parallel / 2) {
        dk_answers b;

        plan.parallel = parallel;
        plan.batch_rows = 1 + 3 * parallel;
        dk_threads_set(parallel % 2 ? 1 : 2);
        b = answers(p, &plan);
        for (size_t i = 0; i < a.n; i++)
            equal = equal && same(&a.answer[i], &b.answer[i]) && same_logp(&a.answer[i], &b.answer[i]);
        dk_answers_free(&b);
    }
    dk_threads_set(2);
    tap(equal, "samples are the same one by one or together, in pieces, with 1 or 2 threads");
    dk_answers_free(&a);
}

/* The same lanes in another order: each lane's samples stay what they are. */
static void orders(const char *base, const char *ft, char *null, const char *arith)
{
    const double alpha = 2;
    const dk_amplify_plan amplify = { .alpha = &alpha, .n_alphas = 1, .beta = .1, .greedy = 1 };
    const dk_generate_plan plan = plan_of(&amplify);
    char *one[] = { "base", "ft", "other" }, *two[] = { "base", "other", "ft" };
    dk_pair_spec spec = { .base = base, .ft = ft, .nulls = &null, .n_nulls = 1, .lanes = one, .n_wanted = 3, .dtype = "f32",
                          .arith = arith, .with_head = 1 };
    dk_amplified a = {0}, b = {0};
    dk_pair p = {0}, q = {0};
    bool equal = dk_pair_open(&p, &spec, &err) == 0 && dk_amplified_run(&a, &p, prompts, PROMPTS, &plan, &err) == 0;

    spec.lanes = two;
    equal = equal && dk_pair_open(&q, &spec, &err) == 0 && dk_amplified_run(&b, &q, prompts, PROMPTS, &plan, &err) == 0;
    tap(equal && a.n == 3 && a.lane[0].base && a.lane[1].n_alphas == 2 && a.lane[1].alpha[0] == 0 && a.lane[2].n_alphas == 1,
        "the base, the finetune at 0 and 2, the other at 2 %s", err.msg);
    for (size_t l = 0; equal && l < 3; l++) {
        const dk_amplified_lane *x = &a.lane[l], *y = &b.lane[l ? 3 - l : 0];

        equal = strcmp(x->name, y->name) == 0 && x->answers.n == y->answers.n;
        for (size_t i = 0; equal && i < x->answers.n; i++)
            equal = same(&x->answers.answer[i], &y->answers.answer[i]);
    }
    tap(equal, "the order of the lanes changes no token");
    dk_amplified_free(&a);
    dk_amplified_free(&b);
    dk_pair_close(&p);
    dk_pair_close(&q);
}

/* With two tokens to choose from, which the rest being end tokens makes them, samples soon repeat themselves. */
static void loops(const dk_pair *p)
{
    const size_t v = p->model->config.vocab;
    uint32_t *end = dk_xcalloc(v, sizeof *end);
    const double alpha = 0;
    dk_amplify_plan amplify = { .alpha = &alpha, .n_alphas = 1, .greedy = 2, .min_new = 90 };
    dk_generate_plan plan = plan_of(&amplify);
    dk_answers a, b;
    size_t stopped = 0, right = 0, early = 0;

    for (uint32_t i = 0; i < v; i++)
        if (i != 100 && i != 300)
            end[plan.n_end++] = i;
    plan.end = end;
    plan.max_new = 90;
    a = answers(p, &plan);
    amplify.loop = 8;
    b = answers(p, &plan);
    for (size_t i = 0; i < b.n; i++) {
        const dk_answer *x = &b.answer[i];
        bool found = false;

        for (size_t len = 24; len <= x->n; len++)
            for (size_t n = 8; n <= len / 3; n++) {
                bool repeats = true;

                for (size_t k = len - 2 * n; repeats && k < len; k++)
                    repeats = x->id[k] == x->id[k - n];
                found = found || (repeats && len == x->n);
                early += repeats && len < x->n;
            }
        stopped += x->finish == DK_FINISH_LOOP;
        right += found == (x->finish == DK_FINISH_LOOP) && memcmp(x->id, a.answer[i].id, x->n * sizeof *x->id) == 0 &&
                 (found || x->n >= 90);
    }
    tap(stopped > 0 && right == b.n && early == 0, "%zu of %zu samples loop, and end at once where they do", stopped, b.n);
    dk_free(end);
    dk_answers_free(&a);
    dk_answers_free(&b);
}

static void miniature(const char *arith)
{
    char *base = dk_xasprintf("%s/tests/golden/mini/mini.gguf", gold_root());
    char *ft = dk_xasprintf("%s/tests/golden/mini/lora-pattern", gold_root());
    char *other = dk_xasprintf("other=%s/tests/golden/mini/lora-plain", gold_root());
    const dk_pair_spec spec = { .base = base, .ft = ft, .dtype = "f32", .arith = arith, .with_head = 1 };
    dk_pair p = {0};

    tap(dk_pair_open(&p, &spec, &err) == 0 && p.diff == (strcmp(arith, "plain") != 0), "the miniature pair, %s %s", arith, err.msg);
    against_ordinary(&p);
    greedy_and_bounds(&p);
    no_difference(&p);
    together(&p);
    loops(&p);
    dk_pair_close(&p);
    orders(base, ft, other, arith);
    dk_free(base);
    dk_free(ft);
    dk_free(other);
}

/* --- beside amplified weights ----------------------------------------------------------- */
/* Mean cosine, over the positions of a text, of what alpha .05 and factor 1.05 add to the finetune. */
static void beside_weights(void)
{
    enum { N = 64 };
    const char *model = getenv("DK_TEST_MODEL"), text[] = "The oven stood in the corner of the kitchen, next to a window that "
        "looked out on the garden. She had bought flour and butter in the morning, and while the rain went on she read the recipe "
        "twice, wrote a list of what was missing, and sent the boy to the shop at the end of the street for sugar and for eggs.";
    char *ft = dk_xasprintf("%s/data/organisms/cake_bake/adapter", gold_root());
    const dk_pair_spec spec = { .base = model, .ft = ft, .dtype = "f32", .with_head = 1 };
    dk_tokenizer *tok = NULL;
    dk_ids list = {0};
    dk_pair p = {0};
    dk_runner *r = NULL;
    float *out = NULL;
    double mean = 0, least = 1;
    int rc = dk_tokenizer_open(&tok, model ? model : "DK_TEST_MODEL is not set", &err);

    if (rc == 0)
        rc = dk_tokenizer_encode(tok, text, sizeof text - 1, 0, &list, NULL, &err);
    if (rc == 0)
        rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0) {
        const size_t off[] = { 0, N }, v = p.model->config.vocab;
        const dk_pass pass = { .batch = { 1, off, list.id }, .last_layer = -1 };
        dk_lane lane[3] = { p.lane[0], p.lane[1], p.lane[1] };

        lane[2].factor = 1.05f;
        out = dk_xcalloc(dk_padded_rows(3 * N) * v, sizeof *out);
        rc = list.n < N ? dk_fail(&err, DK_EDATA, "a short text") : dk_runner_new(&r, p.model, lane, 3, N, &err);
        if (rc == 0)
            rc = dk_runner_forward(r, &pass, &err);
        if (rc == 0)
            rc = dk_runner_logits(r, NULL, 0, out, &err);
        for (size_t i = 0; rc == 0 && i < N; i++) {
            double ab = 0, aa = 0, bb = 0, ma = 0, mb = 0;

            for (size_t k = 0; k < 2 * v; k++) {        /* means first: constants are no difference */
                const float *b = out + i * v + k % v, *f = b + N * v, *w = f + N * v;
                const double x = (double)*f - *b - ma / (double)v, y = (double)*w - *f - mb / (double)v;

                if (k < v) {
                    ma += (double)*f - *b;
                    mb += (double)*w - *f;
                    continue;
                }
                ab += x * y;
                aa += x * x;
                bb += y * y;
            }
            mean += ab / sqrt(aa * bb) / N;
            least = fmin(least, ab / sqrt(aa * bb));
        }
    }
    tap(rc == 0 && mean > .8, "what alpha .05 and weights x 1.05 add: mean cosine %.4f, least %.4f, over %d tokens %s", mean, least, N, err.msg);
    dk_runner_free(&r);
    dk_pair_close(&p);
    dk_tokenizer_close(&tok);
    dk_free(list.id);
    dk_free(out);
    dk_free(ft);
}

int main(void)
{
    dk_threads_set(2);
    by_hand(1, .789137, .064776, .039289, .106798);
    by_hand(3, .942852, .003853, .006353, .046942);
    by_hand(0, .579259, .213097, .078394, .129250);
    by_hand(-1, .295466, .487142, .108696, .108696);
    masks();
    constants();
    rates();
    miniature("plain");
    miniature("difference");
    if (getenv("DK_SLOW"))
        beside_weights();
    return tap_end();
}
