/* Statistics without rows: exact sums on golden and worked values, the tree for
 * any cuts, and what is collected for any threads, batches and shards, against
 * two passes in double. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/thread.h"
#include "io/statfile.h"
#include "method/extractstats.h"
#include "tap.h"

/* --- exact sums --------------------------------------------------------------- */
static void exact(void)
{
    const double v[] = { .1, .2, .3, -.7, 1e-5 };
    dk_exact sum = 0, back = 0, x;
    uint64_t split[2];
    double lo = 0x1p-60;

    for (int i = 0; i < 5; i++) {
        sum += dk_exact_of(v[i]);
        back += dk_exact_of(v[4 - i]);
    }
    tap(sum == -115280621245638572 && back == sum, "five values, in either order");
    tap(dk_exact_double(sum) == -115280621245638572.0 * 0x1p-60, "read off: %.17g", dk_exact_double(sum));
    tap(dk_exact_of(lo) == 1 && dk_exact_of(lo / 2) == 0 && dk_exact_of(lo * 1.5) == 2 && dk_exact_of(lo * 2.5) == 2 &&
        dk_exact_of(-lo * 1.5) == -2, "half to even");
    tap(dk_exact_of(0x1p47) == (dk_exact)1 << 107 && dk_exact_of(-0x1p47 - 0x1p-5) == -((dk_exact)1 << 107) - ((dk_exact)1 << 55),
        "large values");
    x = ((dk_exact)1 << 107) + 1;
    tap(dk_exact_double(x) == 0x1p47 && dk_exact_double(x + ((dk_exact)1 << 54)) == 0x1p47 + 0x1p-5 &&
        dk_exact_double(-x) == -0x1p47, "to the nearest double");
    for (int i = -70; i < 48; i++)
        if (dk_exact_double(dk_exact_of(ldexp(1, i))) != (i < -60 ? 0 : ldexp(1, i)))
            tap(false, "2^%d", i);
    x = dk_exact_of(-3.25);
    dk_exact_split(split, x);
    tap(dk_exact_join(split) == x && split[1] == UINT64_MAX, "to a file and back");
}

static void variance(void)
{
    dk_exact s1 = 0, s2 = 0;
    long double m = 0, q = 0;
    enum { N = 1000 };
    double got;
    float v[N];

    for (int i = 0; i < N; i++) {
        v[i] = (float)(1000 + dk_uniform(dk_ctr(1, 1, 1, (uint64_t)i)) * .01);
        s1 += dk_exact_of(v[i]);
        s2 += dk_exact_of((double)v[i] * v[i]);
        m += (long double)v[i] / N;
    }
    for (int i = 0; i < N; i++)
        q += (v[i] - m) * (v[i] - m) / N;
    got = dk_exact_variance(s1, s2, N);
    tap(fabs(got - (double)q) < 1e-12 * (double)q, "a large mean: %.9g, wanted %.9g", got, (double)q);
    tap(isnan(dk_exact_variance(0, 0, 0)) && dk_exact_variance(dk_exact_of(3), dk_exact_of(9), 1) == 0, "none, one");
    tap(dk_exact_variance(dk_exact_of(6), dk_exact_of(14), 3) == 2.0 / 3, "1, 2, 3");
    s1 = s2 = 0;
    for (int i = 0; i < 5; i++) {
        s1 += dk_exact_of(7.25);
        s2 += dk_exact_of((double)7.25f * 7.25f);
    }
    tap(dk_exact_variance(s1, s2, 5) == 0, "equal values");
}

/* --- the tree --------------------------------------------------------------------- */
static double leaf_value(uint64_t i) { return dk_uniform(dk_ctr(3, 1, 0, i)) * ldexp(1, (int)(i % 40)); }

/* Leaves of [from, to) but every `hole`-th as a shard has them; d = 1. */
static void shard(dk_tree *t, uint64_t from, uint64_t to, uint64_t hole, uint64_t end)
{
    *t = (dk_tree){ .d = 1, .first = from };
    for (uint64_t i = from; i < to; i++) {
        dk_node leaf = { .index = i };

        if (hole && i % hole == hole - 1)
            continue;
        dk_alloc(&leaf.m, 1, sizeof(double), "a leaf", NULL);
        leaf.m[0] = leaf_value(i);
        if (dk_tree_push(t, leaf, NULL) < 0)
            tap(false, "a leaf is refused");
    }
    dk_tree_close(t, end);
}

static bool same_sum(uint64_t n, uint64_t cut, uint64_t cut2, uint64_t hole)
{
    const uint64_t at[] = { 0, cut, cut2, n };
    dk_tree whole, part[3];
    bool good;

    shard(&whole, 0, n, hole, UINT64_MAX);
    for (int k = 0; k < 3; k++)
        shard(&part[k], at[k], at[k + 1], hole, k == 2 ? UINT64_MAX : at[k + 1]);
    for (int k = 1; k < 3; k++) {
        for (size_t i = 0; i < part[k].n; i++) {
            if (dk_tree_push(&part[0], part[k].node[i], NULL) < 0)
                return false;
            part[k].node[i].m = NULL;
        }
    }
    dk_tree_close(&part[0], UINT64_MAX);
    good = whole.n == 1 && part[0].n == 1 && whole.node[0].m[0] == part[0].node[0].m[0] &&
           whole.node[0].level == part[0].node[0].level && whole.node[0].index == 0 && part[0].node[0].index == 0;
    dk_tree_free(&whole);
    for (int k = 0; k < 3; k++)
        dk_tree_free(&part[k]);
    return good;
}

static void tree(void)
{
    double plain = 0;
    dk_tree t;
    int bad = 0, differ = 0;
    dk_err err = {0};

    for (uint64_t n = 1; n < 40; n++)
        for (uint64_t a = 0; a <= n; a++)
            for (uint64_t b = a; b <= n; b++)
                for (uint64_t hole = 0; hole < 4; hole++)
                    bad += hole != 1 && !same_sum(n, a, b, hole);
    tap(bad == 0, "one sum, wherever three shards are cut (%d differ)", bad);
    for (uint64_t n = 3; n < 40; n++) {
        plain = 0;
        for (uint64_t i = 0; i < n; i++)
            plain += leaf_value(i);
        shard(&t, 0, n, 0, UINT64_MAX);
        differ += t.node[0].m[0] != plain;
        dk_tree_free(&t);
    }
    tap(differ > 3, "a plain sum is another one: the values tell");
    shard(&t, 0, 5, 0, 5);
    tap(t.n == 2 && t.node[0].level == 2 && t.node[1].level == 0 && t.node[1].index == 4, "a shard keeps what is whole");
    tap(dk_tree_push(&t, (dk_node){ .index = 3 }, &err) == DK_EDATA && strstr(err.msg, "twice"), "a leaf that is there: %s", err.msg);
    dk_tree_free(&t);
}

/* --- collecting ---------------------------------------------------------------------- */
enum { D = 70, DOCS = 113, POSITIONS = 6 };

struct corpus { dk_tokens t; float *base, *own, *diff; };

static double normal(uint64_t a, uint64_t b)
{
    double s = 0;

    for (uint64_t k = 0; k < 12; k++)
        s += dk_uniform(dk_ctr(9, 1, a, 12 * b + k));
    return s - 6;
}

/* Documents of 0, 1 and more tokens; numbers with gaps. */
static void make(struct corpus *c)
{
    const uint32_t token[32] = {0};
    size_t n;

    *c = (struct corpus){ .t = { .vocab = 2, .format = dk_xstrdup("text"), .bos = dk_xstrdup("none"), .corpus_name = dk_xstrdup("x"),
                                 .corpus_sha256 = dk_xstrdup(""), .split = dk_xstrdup(""), .tokenizer_sha256 = dk_xstrdup(""),
                                 .template_sha256 = dk_xstrdup("") } };
    for (uint64_t d = 0, id = 0; d < DOCS; d++, id += 1 + d % 3 + (d == 60 ? 100 : 0))
        dk_tokens_add_doc(&c->t, id, token, NULL, d % 11 == 3 ? 0 : d % 11 == 5 ? 1 : d % 29 + 1, NULL);
    n = c->t.rows * D;
    dk_alloc(&c->base, n, sizeof(float), "rows", NULL);
    dk_alloc(&c->own, n, sizeof(float), "rows", NULL);
    dk_alloc(&c->diff, n, sizeof(float), "rows", NULL);
    for (size_t i = 0; i < n; i++) {
        c->base[i] = (float)(normal(1, i) * ldexp(1, (int)(i % D % 12)) + (i % D == 3 ? 900 : 0));
        c->diff[i] = (float)(normal(2, i) * .1 + .05);
        c->own[i] = c->base[i] + c->diff[i];
    }
}

struct buffers { float *base, *own, *diff, *logp, *other; };

/* Scores of a row, none of every seventh; another lane's are a little below on average. */
static float score(size_t row) { return row % 7 == 0 ? NAN : (float)exp(normal(4, row) * 3 - 4); }
static float other_score(size_t row) { return score(row) + (float)(normal(5, row) * .02 - .002); }

/* Collects documents from .. to - 1 in batches, as a shard; into memory by way of a file. */
static int run(dk_statistics *out, const struct corpus *c, size_t from, size_t to, uint64_t first, uint64_t end, size_t batch,
               bool backwards, dk_err *err)
{
    const dk_collect_plan plan = { .positions = POSITIONS, .seed = 42, .first_leaf = first, .end_leaf = end,
                                   .replicates = true, .rep_positions = 2 };
    const char *path = "test_sums.stats.h5";
    struct buffers b = {0};
    dk_collect *k = NULL;
    dk_h5 *f = NULL;
    int rc;

    *out = (dk_statistics){0};
    dk_alloc(&b.base, c->t.rows * D, sizeof(float), "rows", NULL);
    dk_alloc(&b.own, c->t.rows * D, sizeof(float), "rows", NULL);
    dk_alloc(&b.diff, c->t.rows * D, sizeof(float), "rows", NULL);
    dk_alloc(&b.logp, c->t.rows, sizeof(float), "rows", NULL);
    dk_alloc(&b.other, c->t.rows, sizeof(float), "rows", NULL);
    const dk_collect_lane ft = { .layer = 3, .site = "resid_post", .lane = "ft", .base = b.base, .own = b.own, .diff = b.diff };

    rc = dk_collect_new(&k, D, &plan, err);
    if (rc == 0) rc = dk_collect_rows(k, 3, "resid_post", "base", b.base, false, false, err);
    if (rc == 0) rc = dk_collect_rows(k, 3, "resid_post", "diff", b.diff, !backwards, true, err);
    if (rc == 0) rc = dk_collect_norms(k, &ft, err);
    if (rc == 0) rc = dk_collect_values(k, "logp/ft", "nats", b.logp, true, true, err);
    if (rc == 0) rc = dk_collect_values(k, "logp/base", "nats", b.other, true, true, err);
    for (size_t at = from, last; rc == 0 && at < to; at = last) {
        const size_t a = backwards ? to - 1 - (at - from) : at;
        size_t row, rows;

        last = backwards || at + batch > to ? (backwards ? at + 1 : to) : at + batch;
        row = c->t.offset[a];
        rows = c->t.offset[backwards ? a + 1 : last] - row;
        memcpy(b.base, c->base + row * D, rows * D * sizeof(float));
        memcpy(b.own, c->own + row * D, rows * D * sizeof(float));
        memcpy(b.diff, c->diff + row * D, rows * D * sizeof(float));
        for (size_t i = 0; i < rows; i++) {
            b.logp[i] = score(row + i);
            b.other[i] = other_score(row + i);
        }
        rc = dk_collect_batch(k, &c->t, a, backwards ? a + 1 : last, "here", err);
    }
    if (rc == 0) rc = dk_h5_create(&f, path, "dk-statistics", NULL, err);
    if (rc == 0) rc = dk_collect_put(k, f, err);
    if (rc == 0) rc = dk_h5_commit(&f, 1, 1, NULL, err);
    dk_h5_close(&f);
    if (rc == 0) rc = dk_h5_open(&f, path, "dk-statistics", err);
    if (rc == 0) rc = dk_statistics_get(f, out, err);
    dk_h5_close(&f);
    remove(path);
    dk_collect_free(&k);
    dk_free(b.base);
    dk_free(b.own);
    dk_free(b.diff);
    dk_free(b.logp);
    dk_free(b.other);
    return rc;
}

static bool same(const void *a, const void *b, size_t bytes) { return memcmp(a, b, bytes) == 0; }

static bool same_sums(const dk_sums *a, const dk_sums *b, bool gram)
{
    bool good = a->count == b->count && a->docs == b->docs && a->norm_sum == b->norm_sum && same(a->sum, b->sum, D * 16) &&
                same(a->sumsq, b->sumsq, D * 16) && same(a->doc_mean, b->doc_mean, D * 16) &&
                same(a->doc_mean_sq, b->doc_mean_sq, D * 16) && same(a->min, b->min, D * 4) && same(a->max, b->max, D * 4) &&
                same(a->norm_hist, b->norm_hist, sizeof a->norm_hist) && same(a->pos_count, b->pos_count, POSITIONS * 8) &&
                same(a->pos_sum, b->pos_sum, POSITIONS * D * 16) && same(a->pos_norm_sum, b->pos_norm_sum, POSITIONS * 16);

    good = good && a->n_reps == b->n_reps && a->seed == b->seed;
    for (size_t k = 0; good && k < a->n_reps; k++)
        good = same(a->reps[k].boot_count, b->reps[k].boot_count, DK_BOOT * 8) &&
               same(a->reps[k].boot_sum, b->reps[k].boot_sum, DK_BOOT * D * 8) &&
               same(a->reps[k].flip_sum, b->reps[k].flip_sum, DK_BOOT * D * 8);
    if (good && gram && a->gram.n + b->gram.n)
        good = a->gram.n == 1 && b->gram.n == 1 && same(a->gram.node[0].m, b->gram.node[0].m, D * D * 8) &&
               a->gram.node[0].level == b->gram.node[0].level;
    return good;
}

static bool same_measure(const dk_measure *a, const dk_measure *b)
{
    return strcmp(a->name, b->name) == 0 && a->count == b->count && a->docs == b->docs && same(a->hist, b->hist, sizeof a->hist) &&
           a->min == b->min && a->max == b->max && a->sum == b->sum && a->sumsq == b->sumsq && a->doc_mean == b->doc_mean &&
           a->doc_mean_sq == b->doc_mean_sq && same(a->boot_count, b->boot_count, sizeof a->boot_count) &&
           same(a->boot_sum, b->boot_sum, sizeof a->boot_sum) && a->flips == b->flips &&
           same(a->flip_sum, b->flip_sum, sizeof a->flip_sum);
}

static bool same_all(const dk_statistics *a, const dk_statistics *b, bool gram)
{
    bool good = a->n_sums == b->n_sums && a->n_measures == b->n_measures;

    for (size_t i = 0; good && i < a->n_sums; i++)
        good = same_sums(&a->sums[i], &b->sums[i], gram);
    for (size_t i = 0; good && i < a->n_measures; i++)
        good = same_measure(&a->measure[i], &b->measure[i]);
    return good;
}

/* Against two passes in long double. */
static void right(const struct corpus *c, const dk_statistics *s)
{
    const dk_sums *x = dk_sums_find(s, 3, "resid_post", "diff");
    const double n = (double)c->t.rows;
    double mean_err = 0, var_err = 0, gram_err = 0, trace = 0;
    long double mean[D] = {0}, var[D] = {0};

    for (size_t r = 0; r < c->t.rows; r++)
        for (size_t j = 0; j < D; j++)
            mean[j] += c->diff[r * D + j] / (long double)n;
    for (size_t r = 0; r < c->t.rows; r++)
        for (size_t j = 0; j < D; j++)
            var[j] += (c->diff[r * D + j] - mean[j]) * (c->diff[r * D + j] - mean[j]) / (long double)n;
    for (size_t j = 0; j < D; j++) {
        mean_err = fmax(mean_err, fabs(dk_exact_double(x->sum[j]) / n / (double)mean[j] - 1));
        var_err = fmax(var_err, fabs(dk_exact_variance(x->sum[j], x->sumsq[j], x->count) / (double)var[j] - 1));
        trace += x->gram.node[0].m[j * D + j];
    }
    for (size_t i = 0; i < D; i++)
        for (size_t j = i; j < D; j++) {
            long double want = 0;

            for (size_t r = 0; r < c->t.rows; r++)
                want += (long double)c->diff[r * D + i] * c->diff[r * D + j];
            gram_err = fmax(gram_err, fabs(x->gram.node[0].m[i * D + j] - (double)want));
        }
    tap(x->count == c->t.rows && mean_err < 1e-12, "means: relative error %.2g", mean_err);
    tap(var_err < 1e-10, "variances: %.2g", var_err);
    tap(gram_err < 1e-12 * trace, "products: %.2g of the trace", gram_err / trace);
}

/* Twelve rows whose moments are known, in pieces of any size; and many batches, whose
 * deviation must not shrink with their number. */
static void moments(void)
{
    static const double mean[] = { -0.0687285229, -0.1237113380, -0.0120274909, 0.0163230239 },
                        unbiased[] = { 0.3074873, 0.2747871, 0.3135085, 0.3182230 },
                        variance[] = { 0.0866693795, 0.0692156422, 0.0900969500, 0.0928270484 };
    const dk_collect_plan plan = { .end_leaf = UINT64_MAX };
    float x[12 * 4];

    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 4; j++)
            x[i * 4 + j] = (float)((37 * i + 101 * j + 13 * i * j) % 97 / 97.0 - .5);
    for (size_t piece = 1; piece <= 12; piece += piece == 1 ? 4 : 7) {
        float room[12 * 4];
        dk_collect *k = NULL;
        dk_statistics s = {0};
        dk_tokens t = { .vocab = 1 };
        dk_h5 *f = NULL;
        dk_err err = {0};
        const uint32_t id[12] = {0};
        double worst = 0;
        int rc = dk_collect_new(&k, 4, &plan, &err);

        for (size_t at = 0; at < 12; at += piece)
            dk_tokens_add_doc(&t, at, id, NULL, piece < 12 - at ? piece : 12 - at, NULL);
        if (rc == 0) rc = dk_collect_rows(k, 0, "resid_post", "base", room, false, false, &err);
        for (size_t d = 0; rc == 0 && d < t.docs; d++) {
            memcpy(room, x + t.offset[d] * 4, (t.offset[d + 1] - t.offset[d]) * 4 * sizeof *x);
            rc = dk_collect_batch(k, &t, d, d + 1, "here", &err);
        }
        if (rc == 0) rc = dk_h5_create(&f, "test_moments.stats.h5", "dk-statistics", NULL, &err);
        if (rc == 0) rc = dk_collect_put(k, f, &err);
        if (rc == 0) rc = dk_h5_commit(&f, 12, t.docs, NULL, &err);
        if (rc == 0) rc = dk_h5_open(&f, "test_moments.stats.h5", "dk-statistics", &err);
        if (rc == 0) rc = dk_statistics_get(f, &s, &err);
        for (size_t j = 0; rc == 0 && j < 4; j++) {
            const double v = dk_exact_variance(s.sums[0].sum[j], s.sums[0].sumsq[j], 12);

            worst = fmax(worst, fabs(dk_exact_double(s.sums[0].sum[j]) / 12 - mean[j]));
            worst = fmax(worst, fabs(v - variance[j]));
            worst = fmax(worst, fabs(sqrt(v * 12 / 11) - unbiased[j]));
        }
        tap(rc == 0 && worst < 1e-7, "twelve rows, %zu at a time: within %.1e %s", piece, worst, err.msg);
        dk_h5_close(&f);
        remove("test_moments.stats.h5");
        dk_statistics_free(&s);
        dk_collect_free(&k);
        dk_tokens_free(&t);
    }
}

/* Sums kept in few digits would stand still after some hundred of these. */
static void many_batches(void)
{
    dk_exact s1 = 0, s2 = 0;
    enum { BATCHES = 3000, ROWS = 100 };

    for (uint64_t b = 0; b < BATCHES; b++)
        for (uint64_t i = 0; i < ROWS; i++) {
            const float x = (float)(1 + 2 * normal(6, b * ROWS + i));

            s1 += dk_exact_of(x);
            s2 += dk_exact_of((double)x * x);
        }
    const double std = sqrt(dk_exact_variance(s1, s2, BATCHES * ROWS));

    tap(fabs(std / 2 - 1) < .005, "3000 batches with a deviation of 2 have one of %.4f", std);
}

/* Interval and p are those that the documents themselves give: of all rows, of each position that has replicates. */
static void lengths(const struct corpus *c, const dk_statistics *s)
{
    const dk_sums *x = dk_sums_find(s, 3, "resid_post", "diff");
    double *sum = dk_xcalloc(DOCS * D, sizeof *sum), *rows = dk_xcalloc(DOCS, sizeof *rows);
    dk_err err = {0};

    for (int pos = -1; pos < 2; pos++) {
        dk_length a, b;
        int rc;

        memset(sum, 0, DOCS * D * sizeof *sum);
        memset(rows, 0, DOCS * sizeof *rows);
        for (size_t d = 0; d < DOCS; d++)
            for (size_t i = c->t.offset[d]; i < c->t.offset[d + 1]; i++)
                if (pos < 0 || (int)c->t.pos[i] == pos) {
                    rows[d]++;
                    for (size_t j = 0; j < D; j++)
                        sum[d * D + j] += c->diff[i * D + j];
                }
        rc = dk_mean_length(&a, sum, rows, c->t.id, DOCS, D, 42, &err);
        if (rc == 0)
            rc = dk_sums_length(&b, x, pos, &err);
        tap(rc == 0 && fabs(a.lo - b.lo) < 1e-7 && fabs(a.hi - b.hi) < 1e-7 && a.hi > a.lo && fabs(a.p - b.p) < 1e-9 &&
            fabs(a.halves - b.halves) < 1e-6,
            "position %d: from %.9g to %.9g, p %g, halves at %g, as the documents say", pos, b.lo, b.hi, b.p, b.halves);
    }
    dk_length none;

    tap(dk_sums_length(&none, x, 2, &err) == 0 && isnan(none.lo) && isnan(none.p), "a position without replicates has none");
    x = dk_sums_find(s, 3, "resid_post", "base");
    tap(dk_sums_length(&none, x, -1, &err) == 0 && isnan(none.lo) && isnan(none.p), "and what is no difference");
    dk_free(sum);
    dk_free(rows);
}

/* Change, interval and p of one lane's scores against another's, as all of them give it. */
static void change(const struct corpus *c, const dk_statistics *s)
{
    const dk_measure *own = dk_measure_find(s, "logp/ft"), *other = dk_measure_find(s, "logp/base");
    float *x = dk_xcalloc(c->t.rows, sizeof *x), *y = dk_xcalloc(c->t.rows, sizeof *y);
    dk_change want, got;
    dk_measure without;
    dk_err err = {0};

    for (size_t d = 0; d < DOCS; d++)
        for (size_t i = c->t.offset[d]; i < c->t.offset[d + 1]; i++) {
            x[i] = c->t.offset[d + 1] - c->t.offset[d] > 1 ? score(i) : NAN;
            y[i] = other_score(i);
        }
    tap(dk_mean_change(&want, x, y, c->t.offset, c->t.id, DOCS, 42, &err) == 0, "the change of all scores %s", err.msg);
    dk_measure_change(&got, own, other);
    tap(fabs(got.value - want.value) < 1e-9 && fabs(got.lo - want.lo) < 1e-9 && fabs(got.hi - want.hi) < 1e-9 &&
        got.docs == want.docs, "changed by %.6g, %.3g to %.3g, as scores say", got.value, got.lo, got.hi);
    tap(fabs(got.p - want.p) < .0011 && got.p > .001 && got.p < 1, "p %g of flipped signs, as scores say (%g)", got.p, want.p);
    without = *own;
    without.flips = false;
    dk_measure_change(&got, &without, other);
    tap(fabs(got.value - want.value) < 1e-9 && isnan(got.p), "without sums of flips there is no p");
    without.seed++;
    dk_measure_change(&got, &without, other);
    tap(isnan(got.value) && isnan(got.lo) && got.docs == 0, "and of another run no change");
    dk_free(x);
    dk_free(y);
}

/* Leaves are cut between documents of different sixteens. */
static size_t cut(const struct corpus *c, size_t d)
{
    while (d > 0 && d < DOCS && c->t.id[d] / DK_TREE_DOCS == c->t.id[d - 1] / DK_TREE_DOCS)
        d++;
    return d;
}

static bool shards(const struct corpus *c, const dk_statistics *whole, const size_t *wish, size_t n)
{
    dk_statistics all = {0}, own;
    dk_err err = {0};
    bool good = true;

    for (size_t k = 0; good && k < n; k++) {
        const size_t from = cut(c, wish[k]), to = cut(c, wish[k + 1]);
        const uint64_t first = k ? c->t.id[from] / DK_TREE_DOCS : 0, end = k + 1 < n ? c->t.id[to] / DK_TREE_DOCS : UINT64_MAX;

        good = run(k ? &own : &all, c, from, to, first, end, 5, false, &err) == 0;
        for (size_t i = 0; k == 0 && i < all.n_sums; i++)
            all.sums[i].gram.first = 0;
        if (good && k) {
            good = dk_statistics_add(&all, &own, "shard", &err) == 0;
            dk_statistics_free(&own);
        }
    }
    for (size_t i = 0; i < all.n_sums; i++)
        dk_tree_close(&all.sums[i].gram, UINT64_MAX);
    good = good && same_all(&all, whole, true);
    dk_statistics_free(&all);
    return good;
}

static void collecting(void)
{
    const size_t three[] = { 0, 40, 41, DOCS }, seven[] = { 0, 3, 20, 50, 70, 80, 100, DOCS };
    const struct { int threads; size_t batch; } how[] = { { 1, 1 }, { 2, 64 }, { 5, 7 }, { 5, DOCS } };
    dk_statistics whole, other;
    struct corpus c;
    dk_err err = {0};

    make(&c);
    dk_threads_set(2);
    tap(run(&whole, &c, 0, DOCS, 0, UINT64_MAX, 9, false, &err) == 0 && whole.n_sums == 2 && whole.n_measures == 6, "collected %s", err.msg);
    right(&c, &whole);
    lengths(&c, &whole);
    change(&c, &whole);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        dk_threads_set(how[i].threads);
        tap(run(&other, &c, 0, DOCS, 0, UINT64_MAX, how[i].batch, false, &err) == 0 && same_all(&whole, &other, true),
            "the same with %d threads, %zu documents at a time", how[i].threads, how[i].batch);
        dk_statistics_free(&other);
    }
    tap(run(&other, &c, 0, DOCS, 0, UINT64_MAX, 1, true, &err) == 0 && same_all(&whole, &other, false),
        "the same with documents last to first");
    dk_statistics_free(&other);
    tap(shards(&c, &whole, three, 3), "the same of three shards");
    tap(shards(&c, &whole, seven, 7), "the same of seven");

    const dk_measure *kl = dk_measure_find(&whole, "logp/ft"), *norm = dk_measure_find(&whole, "norm/L03/resid_post/ft");
    double mean, std, lo, hi, sum = 0;
    size_t n = 0, docs = 0;

    for (size_t d = 0; d < DOCS; d++)
        docs += c.t.offset[d + 1] - c.t.offset[d] > 1;
    for (size_t d = 0; d < DOCS; d++)
        for (size_t i = c.t.offset[d]; c.t.offset[d + 1] - c.t.offset[d] > 1 && i < c.t.offset[d + 1]; i++)
            if (i % 7) {
                sum += score(i);
                n++;
            }
    dk_measure_moments(kl, false, &mean, &std);
    dk_measure_interval(kl, &lo, &hi);
    tap(kl->count == n && fabs(mean - sum / (double)n) < 1e-12 && lo < mean && mean < hi && std > 0,
        "a measure: %.9g, %.3g to %.3g; what is not a number is left out", mean, lo, hi);
    tap(norm->docs == docs && norm->docs < DOCS, "documents of no token and of one are not measured: %zu of %d", docs, DOCS);
    dk_statistics_free(&whole);

    c.diff[c.t.offset[10] * D + 5] = NAN;
    tap(run(&other, &c, 0, DOCS, 0, UINT64_MAX, 9, false, &err) == DK_ENUM && strstr(err.msg, "L03/resid_post/diff") &&
        strstr(err.msg, "position 0") && strstr(err.msg, "NaN"), "what is not a number is refused by name: %s", err.msg);
    c.diff[c.t.offset[10] * D + 5] = 1e30f;
    err = (dk_err){0};
    tap(run(&other, &c, 0, DOCS, 0, UINT64_MAX, 9, false, &err) == DK_ENUM && strstr(err.msg, "1e+30"), "and what is too large: %s", err.msg);
    dk_tokens_free(&c.t);
    dk_free(c.base);
    dk_free(c.own);
    dk_free(c.diff);
}

static void run_over(void)
{
    dk_err err = {0};
    dk_sums s;

    dk_sums_new(&s, 0, "resid_post", "base", 2, 0, &err);
    s.count = UINT64_C(1) << 40;
    s.max[0] = 4096;
    tap(dk_sums_check(&s, "x", &err) == 0, "2^40 rows of 2^12");
    s.max[0] = 16384;
    tap(dk_sums_check(&s, "x", &err) == DK_ENUM, "sums that may have run over: %s", err.msg);
    s.max[0] = 1;
    dk_sums_replicate(&s, 0, 42, &err);
    tap(dk_sums_check(&s, "x", &err) == DK_ENUM, "replicates that may have");
    s.count = UINT64_C(1) << 34;
    tap(dk_sums_check(&s, "x", &err) == 0, "and such that have not");
    dk_sums_free(&s);
}

int main(void)
{
    exact();
    variance();
    tree();
    moments();
    many_batches();
    collecting();
    run_over();
    return tap_end();
}
