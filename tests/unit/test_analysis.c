/* What the reference toolkit's activation analysis printed on the default pair
 * (f32, CPU), reproduced: norms and cosines of every token of block 14, its
 * statistics, its mean differences and its lists of texts.
 *
 * Values of the first texts are computed anew (all 160 with DK_SLOW=1); statistics
 * and lists are made of the toolkit's own values.  Its lists have every text twice. */
#include <math.h>

#include "gold.h"
#include "h5make.h"
#include "io/json.h"
#include "io/dirfile.h"
#include "method/examples.h"
#include "method/extract.h"
#include "method/normsout.h"
#include "tap.h"

enum { D = 576, V = 49152, PARTS = 4 };     /* of a token: norm_diff, cosine, norms of base and finetune */

static char *dir, ft[1024];

static dk_provenance no_provenance(void *arg)
{
    (void)arg;
    return (dk_provenance){0};
}

static void *set_file(const char *pattern, const char *set, size_t size, size_t *n)
{
    char name[256];
    const char *star = strchr(pattern, '*');

    snprintf(name, sizeof name, "toolkit/%.*s%s%s", (int)(star - pattern), pattern, set, star + 1);
    return gold_read(name, size, n);
}

static float *values_of(const char *set, size_t rows)
{
    char name[128];

    snprintf(name, sizeof name, "toolkit/aa_%s_per_token.f32.zst", set);
    return gold_unpack(name, rows * PARTS * sizeof(float));
}

static void tokens_of(dk_tokens *t, const char *set, size_t texts, const char *tokenizer)
{
    size_t n, n_ranges;
    int32_t *ids = set_file("tokens_*.i32", set, 4, &n), *ranges = set_file("ranges_*.i32", set, 4, &n_ranges);
    dk_err err = {0};

    *t = (dk_tokens){ .vocab = V, .format = dk_xstrdup("text"), .bos = dk_xstrdup("none"), .corpus_name = dk_xstrdup(set),
                      .tokenizer_sha256 = dk_xstrdup(tokenizer) };
    for (size_t d = 0; d < texts && d + 1 < n_ranges; d++)
        dk_tokens_add_doc(t, d, (const uint32_t *)ids + ranges[d], NULL, (size_t)(ranges[d + 1] - ranges[d]), &err);
    dk_free(ids);
    dk_free(ranges);
}

/* --- computed anew ------------------------------------------------------------------ */
static dk_acts *extract(dk_tokens *t)
{
    static char *const layer[] = { (char *)"0.5" };
    char *in = dk_xasprintf("%s/t.tok.h5", dir), *out = dk_xasprintf("%s/x.act.h5", dir);
    dk_buf inputs = {0};
    const dk_extract_job job = {
        .pair = { .base = getenv("DK_TEST_MODEL"), .ft = ft, .dtype = "f32" }, .layers = layer, .n_layers = 1,
        .site = { false, false, true }, .base = true, .diff = true, .dtype = DK_H5_F32, .batch_rows = 1152, .tokens = in,
        .out = out, .inputs = &inputs, .provenance = no_provenance
    };
    dk_acts *a = NULL;
    dk_err err = {0};

    if (dk_tokens_write(t, in, NULL, &err) < 0 || dk_extract_run(&job, &err) < 0 || dk_acts_open(&a, out, &err) < 0) {
        tap(false, "%s", err.msg);
        exit(tap_end());
    }
    dk_buf_free(&inputs);
    dk_free(in);
    dk_free(out);
    return a;
}

static void compare_means(const char *set, const dk_norm_lane *l)
{
    size_t n, size, at = 0;
    float *want = set_file("aa_*_means.f32", set, 4, &n);
    char *text = set_file("aa_*_means.jsonl", set, 1, &size);
    double worst = 0;
    size_t wrong = 0;
    dk_err err = {0};

    text = dk_xrealloc(text, size + 1);
    text[size] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), at++) {
        dk_json *j = NULL;
        const dk_norm_mean *m = NULL;
        double e = 0, norm = 0;
        int64_t position, token;

        if (dk_json_parse(&j, line, strlen(line), "means", &err) < 0)
            exit(tap(false, "%s", err.msg));
        position = dk_json_int(dk_json_get(j, "position"), DK_NO_POSITION);
        token = dk_json_int(dk_json_get(j, "token_id"), -1);
        for (size_t i = 0; i < l->n_means; i++)
            if (l->mean[i].position == position && l->mean[i].token == token)
                m = &l->mean[i];
        if (!m || m->count != (uint64_t)dk_json_int(dk_json_get(j, "count"), -1)) {
            wrong++;
        } else {
            for (int i = 0; i < D; i++) {
                e += pow(m->sum[i] / (double)m->count - want[at * D + (size_t)i], 2);
                norm += pow(want[at * D + (size_t)i], 2);
            }
            worst = fmax(worst, sqrt(e / norm));
        }
        dk_json_free(&j);
    }
    tap(at * D == n && wrong == 0 && worst < 5e-5, "%s: %zu mean differences, counts equal, within %.1e", set, at, worst);
    dk_free(want);
    dk_free(text);
}

/* The ids that the toolkit took from the chat template. */
static size_t template_ids(uint32_t *out, const char *set)
{
    size_t size, n = 0;
    char *text = set_file("aa_*_means.jsonl", set, 1, &size);

    text = dk_xrealloc(text, size + 1);
    text[size] = 0;
    for (char *p = text; (p = strstr(p, "\"token_id\": ")); p++)
        if (p[12] != 'n')
            out[n++] = (uint32_t)strtoul(p + 12, NULL, 10);
    dk_free(text);
    return n;
}

static void anew(const char *set, size_t texts)
{
    uint32_t token[100];
    const dk_norm_plan plan = { .positions = 5, .token = token, .n_tokens = template_ids(token, set) };
    const dk_norm_lane *l;
    double worst[PARTS] = {0};
    size_t all;
    dk_tokens t;
    dk_norms m;
    dk_acts *a;
    float *want;
    dk_err err = {0};

    tokens_of(&t, set, 1000, "");
    all = t.rows;
    dk_tokens_free(&t);
    tokens_of(&t, set, texts, "");
    a = extract(&t);
    want = values_of(set, all);
    if (!tap(dk_norms_of(&m, a, &plan, &err) == 0 && m.n == 2, "%s: norms of %zu texts, %zu tokens %s", set, t.docs, t.rows, err.msg))
        exit(tap_end());
    l = &m.lane[1];
    for (size_t i = 0; i < t.rows; i++) {
        const float *w = want + i * PARTS;
        const double e[PARTS] = { l->value[DK_NORM_DIFF][i] / w[0] - 1, 1 - l->value[DK_NORM_COS][i] - w[1],
                                  m.lane[0].value[DK_NORM][i] / w[2] - 1, l->value[DK_NORM][i] / w[3] - 1 };

        for (int p = 0; p < PARTS; p++)
            worst[p] = fabs(e[p]) <= worst[p] ? worst[p] : fabs(e[p]);
    }
    tap(worst[0] < 1e-3 && worst[2] < 5e-5 && worst[3] < 5e-5, "%s: norms within %.1e (difference), %.1e, %.1e (relative)",
        set, worst[0], worst[2], worst[3]);
    tap(worst[1] < 3e-5, "%s: cosines within %.1e", set, worst[1]);
    if (t.rows == all)
        compare_means(set, l);
    dk_norms_free(&m);
    dk_acts_close(&a);
    dk_tokens_free(&t);
    dk_free(want);
}

/* --- statistics and lists of its own values -------------------------------------------- */
static void statistics(const char *set, const dk_tokens *t, const float *v)
{
    static const char *const key[] = { "mean", "std", "median", "min", "max" };
    char *path = dk_xasprintf("%s/tests/golden/toolkit/aa_%s.json", gold_root(), set);
    float *diff = dk_xcalloc(t->rows, sizeof *diff);
    dk_norm_lane lane = { .layer = 14, .site = "resid_post", .lane = (char *)"ft" };
    const dk_norms m = { .lane = &lane, .n = 1, .rows = t->rows, .docs = t->docs };
    dk_json *want = NULL, *got = NULL;
    dk_buf out = {0};
    dk_err err = {0};
    double worst = 0;

    for (size_t i = 0; i < t->rows; i++)
        diff[i] = v[i * PARTS];
    lane.value[DK_NORM_DIFF] = diff;
    if (dk_json_load(&want, path, &err) < 0 || dk_norms_table(&out, &m, t, 0, 42, &err) < 0 ||
        dk_json_parse(&got, out.s, out.n - 1, "table", &err) < 0)
        exit(tap(false, "%s", err.msg));
    for (int i = 0; i < 5; i++) {
        const double e = dk_json_num(dk_json_get(dk_json_get(got, "per_token_statistics"), key[i]), NAN) /
                         dk_json_num(dk_json_get(dk_json_get(want, "statistics"), key[i]), NAN) - 1;

        worst = fabs(e) <= worst ? worst : fabs(e);
    }
    tap(worst < 1e-6, "%s: statistics within %.1e", set, worst);
    tap(dk_json_int(dk_json_get(got, "total_tokens_processed"), -1) == dk_json_int(dk_json_get(want, "total_tokens_processed"), -2) &&
        dk_json_int(dk_json_get(got, "total_samples_processed"), -1) == dk_json_int(dk_json_get(want, "total_samples_processed"), -2),
        "%s: as many tokens and texts", set);
    dk_json_free(&want);
    dk_json_free(&got);
    dk_buf_free(&out);
    dk_free(diff);
    dk_free(path);
}

static const struct { const char *metric; int part, by; } list[] = {
    { "cos_dist", 1, 0 }, { "mean_cos_dist", 1, 1 }, { "norm_diff", 0, 0 }, { "mean_norm_diff", 0, 1 },
    { "norm_base", 2, 0 }, { "norm_finetuned", 3, 0 }
};

/* Our list of all texts of a set. */
struct ranked { size_t n, doc[100]; double value[100]; };

static void rank(struct ranked *r, char *rows)
{
    dk_err err = {0};

    r->n = 0;
    for (char *line = strtok(rows, "\n"); line && r->n < 100; line = strtok(NULL, "\n")) {
        dk_json *j = NULL;

        if (dk_json_parse(&j, line, strlen(line), "list", &err) < 0)
            exit(tap(false, "%s", err.msg));
        r->doc[r->n] = (size_t)dk_json_int(dk_json_get(j, "doc"), 0);
        r->value[r->n++] = dk_json_num(dk_json_get(j, "value"), NAN);
        dk_json_free(&j);
    }
}

/* Its length, then its first ids. */
static bool same_ids(const dk_tokens *t, size_t doc, const dk_json *id)
{
    bool same = t->offset[doc + 1] - t->offset[doc] == (uint64_t)dk_json_int(dk_json_at(id, 0), -1);

    for (size_t k = 1; k < dk_json_len(id); k++)
        same = same && t->token[t->offset[doc] + k - 1] == (uint32_t)dk_json_int(dk_json_at(id, k), -1);
    return same;
}

/* Of each of its texts, once: our value of that rank, and our value of that text.  Many have the same
 * (their first token is), and it leaves their order open. */
static void compare_list(const char *set, const char *metric, const dk_json *want, const struct ranked *r, const dk_tokens *t)
{
    const dk_json *seen[100];
    double worst = 0;
    size_t n = 0, missing = 0;

    for (size_t i = 0; i < dk_json_len(want); i++) {
        const dk_json *w = dk_json_at(want, i), *id = dk_json_at(w, 2);
        const double score = dk_json_num(dk_json_at(w, 1), NAN);
        bool again = strcmp(dk_json_str(dk_json_at(w, 0), ""), set) != 0;
        size_t at = 0;

        for (size_t k = 0; k < n && !again; k++) {
            again = true;
            for (size_t x = 0; x < dk_json_len(id); x++)
                again = again && dk_json_int(dk_json_at(id, x), -1) == dk_json_int(dk_json_at(seen[k], x), -2);
        }
        if (again)
            continue;
        while (at < r->n && !(same_ids(t, r->doc[at], id) && fabs(r->value[at] / score - 1) < 2e-6))
            at++;
        missing += at == r->n;
        worst = fmax(worst, fabs(r->value[n] / score - 1));
        seen[n++] = id;
    }
    tap(n >= 5 && missing == 0 && worst < 2e-6, "%s: %s: its %zu texts in order, values within %.1e", set, metric, n, worst);
}

static void lists(const char *set, const dk_tokens *t, const float *v, const dk_tokenizer *tok, const dk_json *want)
{
    static const char *const name[PARTS] = { "norm_diff/ft", "cos_dist/ft", "norm/base", "norm/ft" };
    char *path = dk_xasprintf("%s/x.score.h5", dir);
    float *column = dk_xcalloc(t->rows, sizeof *column);
    const dk_score_attr attr = { .unit = "norm" };
    dk_scores_writer *w;
    dk_scores *s = NULL;
    dk_err err = {0};
    int rc = dk_scores_new(&w, path, t, &sample_prov, &err);

    for (int p = 0; rc == 0 && p < PARTS; p++) {
        for (size_t i = 0; i < t->rows; i++)
            column[i] = p == 1 ? 1 - v[i * PARTS + 1] : v[i * PARTS + (size_t)p];
        rc = dk_scores_add_dense(w, name[p], column, 0, &attr, &err);
    }
    if (rc < 0 || dk_scores_commit(&w, &err) < 0 || dk_scores_open(&s, path, &err) < 0)
        exit(tap(false, "%s", err.msg));
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char *score = (char *)name[list[i].part];
        const dk_example_plan plan = { .score = &score, .n_scores = 1, .lane = "ft", .by = { !list[i].by, list[i].by },
                                       .side = { true, false }, .k = 100, .no_text = true, .no_values = true };
        struct ranked r;
        dk_buf rows = {0};

        if (dk_examples_table(&rows, s, tok, &plan, &err) < 0)
            exit(tap(false, "%s", err.msg));
        rank(&r, rows.s);
        compare_list(set, list[i].metric, dk_json_get(want, list[i].metric), &r, t);
        dk_buf_free(&rows);
    }
    dk_scores_close(&s);
    dk_free(column);
    dk_free(path);
}

int main(void)
{
    static const char *const set[] = { "general64", "cake64", "chat32" };
    const size_t texts = getenv("DK_SLOW") ? 1000 : 3;
    char *path = dk_xasprintf("%s/tests/golden/toolkit/aa_top.json", gold_root());
    dk_tokenizer *tok = NULL;
    dk_json *top = NULL;
    dk_err err = {0};

    snprintf(ft, sizeof ft, "%s/data/organisms/cake_bake/adapter", gold_root());
    if (!getenv("DK_TEST_MODEL") || dk_tokenizer_open(&tok, getenv("DK_TEST_MODEL"), &err) < 0 ||
        dk_json_load(&top, path, &err) < 0) {
        tap(false, "%s", *err.msg ? err.msg : "DK_TEST_MODEL is not set");
        return tap_end();
    }
    dir = work_dir();
    for (int i = 0; i < 3; i++) {
        dk_tokens t;
        float *v;

        tokens_of(&t, set[i], 1000, "");
        v = values_of(set[i], t.rows);
        statistics(set[i], &t, v);
        lists(set[i], &t, v, tok, top);
        dk_free(v);
        dk_tokens_free(&t);
        anew(set[i], texts);
    }
    remove_dir(dir);
    dk_json_free(&top);
    dk_tokenizer_close(&tok);
    dk_free(path);
    return tap_end();
}
