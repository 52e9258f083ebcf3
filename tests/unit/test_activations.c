/* What the reference toolkit itself extracted on the default pair (f32, CPU),
 * reproduced: rows of block 14, means over three data sets, their principal
 * components and the texts at the ends of these (with DK_SLOW=1),
 * and the means, norms and logit lenses of its activation difference lens. */
#include <math.h>
#include <unistd.h>

#include "backend/pcafit.h"
#include "gold.h"
#include "h5make.h"
#include "io/json.h"
#include "method/encode.h"
#include "method/extract.h"
#include "method/lensdir.h"
#include "method/mean.h"
#include "method/pca.h"
#include "model/lanes.h"
#include "tap.h"

enum { D = 576, V = 49152, N = 8, LISTED = 30 };

static char *dir, ft[1024];

/* --- the last layer of every pass ------------------------------------------------- */
static int deepest = -1;
int __real_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);
int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);

int __wrap_dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err)
{
    deepest = pass->last_layer < 0 ? 1000 : pass->last_layer > deepest ? pass->last_layer : deepest;
    return __real_dk_runner_forward(r, pass, err);
}

/* --- extraction --------------------------------------------------------------------- */
static dk_provenance no_provenance(void *arg)
{
    (void)arg;
    return (dk_provenance){0};
}

/* The first texts of a golden list as a token file, in chats with the flags of
 * the last n tokens of each. */
static char *token_file(const char *ids_name, const char *ranges_name, size_t texts, bool chat)
{
    char *path = dk_xasprintf("%s/t.tok.h5", dir);
    dk_tokens t = { .vocab = V, .format = dk_xstrdup(chat ? "chat" : "text"), .bos = dk_xstrdup("none") };
    size_t n, n_ranges;
    int32_t *ids = gold_read(ids_name, 4, &n), *ranges = gold_read(ranges_name, 4, &n_ranges);
    dk_err err = {0};

    for (size_t d = 0; d < texts && d + 1 < n_ranges; d++) {
        const size_t len = (size_t)(ranges[d + 1] - ranges[d]);
        uint8_t *flags = dk_xcalloc(len, 1);

        for (size_t i = len - N; chat && i < len; i++)
            flags[i] = DK_TOK_ASSISTANT;
        dk_tokens_add_doc(&t, d, (const uint32_t *)ids + ranges[d], flags, len, &err);
        dk_free(flags);
    }
    if (dk_tokens_write(&t, path, NULL, &err) < 0)
        tap(false, "%s", err.msg);
    dk_tokens_free(&t);
    dk_free(ids);
    dk_free(ranges);
    return path;
}

static dk_acts *extract(char *tokens, const char *what)
{
    static char *const layer[] = { (char *)"0.5" };
    char *out = dk_xasprintf("%s/x.act.h5", dir);
    dk_buf inputs = {0};
    const dk_extract_job job = {
        .pair = { .base = getenv("DK_TEST_MODEL"), .ft = ft, .dtype = "f32" }, .layers = layer, .n_layers = 1,
        .site = { false, false, true }, .base = true, .diff = true, .dtype = DK_H5_F32, .batch_rows = 1152, .tokens = tokens, .out = out,
        .inputs = &inputs, .provenance = no_provenance
    };
    dk_acts *a = NULL;
    dk_err err = {0};
    bool good;

    deepest = -1;
    good = dk_extract_run(&job, &err) == 0 && dk_acts_open(&a, out, &err) == 0;
    tap(good && deepest == 14 && dk_acts_at(a, 0)->layer == 14, "%s: extracted, the last block run is %d %s", what,
        deepest, err.msg);
    if (!good)
        exit(tap_end());
    dk_buf_free(&inputs);
    dk_free(out);
    dk_free(tokens);
    return a;
}

static double norm_of(const double *x) { double s = 0; for (int j = 0; j < D; j++) s += x[j] * x[j]; return sqrt(s); }

/* Largest distance of a row to the wanted one, relative to the wanted one's length. */
static double apart(const double *got, const double *want)
{
    double e[D];

    for (int j = 0; j < D; j++)
        e[j] = got[j] - want[j];
    return norm_of(e) / norm_of(want);
}

static void rows_of_general64(void)
{
    dk_acts *a = extract(token_file("toolkit/tokens_general64.i32", "toolkit/ranges_general64.i32", 1, false), "rows");
    size_t n;
    float *want = gold_read("toolkit/acts_general64_rows.f32", 4, &n), base[8 * D], diff[8 * D];
    double worst_base = 0, worst_ft = 0, worst_diff = 0;
    dk_err err = {0};

    dk_acts_read(a, dk_acts_find(a, 14, "resid_post", "base"), 0, 8, base, &err);
    dk_acts_read(a, dk_acts_find(a, 14, "resid_post", "diff"), 0, 8, diff, &err);
    for (int r = 0; r < 8; r++) {
        double b[D], wb[D], f[D], wf[D], d[D], wd[D];

        for (int j = 0; j < D; j++) {
            b[j] = base[r * D + j];
            d[j] = diff[r * D + j];
            f[j] = b[j] + d[j];
            wb[j] = want[(2 * r) * D + j];
            wf[j] = want[(2 * r + 1) * D + j];
            wd[j] = wf[j] - wb[j];
        }
        worst_base = fmax(worst_base, apart(b, wb));
        worst_ft = fmax(worst_ft, apart(f, wf));
        worst_diff = fmax(worst_diff, apart(d, wd));
    }
    tap(n == 2 * 8 * D && worst_base < 1e-5 && worst_ft < 1e-5, "rows of block 14: base within %.1e, ft %.1e",
        worst_base, worst_ft);
    tap(worst_diff < 5e-5, "their difference within %.1e", worst_diff);
    dk_free(want);
    dk_acts_close(&a);
}

/* --- means ---------------------------------------------------------------------------- */
static const dk_means *find(const dk_means *m, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(m[i].what, what) == 0)
            return &m[i];
    return NULL;
}

/* --- principal components of three data sets, without the rows that the toolkit left out ---- */
enum { SETS = 3, TEXTS = 8 };
/* A score may be a hundredth of its row's length, which is right to 1e-5. */
#define END 5e-4

static dk_pca_fit *all_rows;
static size_t rows_seen, n_sets;
static const char *sets[SETS];      /* those whose rows are kept, in SET.act.h5 */

static void add_to_components(dk_acts *a)
{
    const dk_act_info *diff = dk_acts_find(a, 14, "resid_post", "diff");
    size_t n;
    int32_t *dropped = gold_read("toolkit/pca_dropped.i32", 4, &n);
    float x[D];
    dk_err err = {0};
    int rc = all_rows ? 0 : dk_pca_fit_new(&all_rows, D, &(dk_pca_plan){0}, &err);

    for (size_t i = 0, at = 0; rc == 0 && i < dk_acts_tokens(a)->rows; i++, rows_seen++) {
        while (at < n && (size_t)dropped[at] < rows_seen)
            at++;
        if ((rc = dk_acts_read(a, diff, i, 1, x, &err)) == 0 && (at == n || (size_t)dropped[at] != rows_seen))
            rc = dk_pca_fit_add(all_rows, x, 1, &err);
    }
    if (rc < 0)
        tap(false, "components: %s", err.msg);
    dk_free(dropped);
}

/* --- the texts at either end of each component ------------------------------------------- */
static double farthest(const float *v, const dk_tokens *t, size_t doc, double sign)
{
    double most = -INFINITY;

    for (size_t i = t->offset[doc]; i < t->offset[doc + 1]; i++)
        most = fmax(most, sign * v[i]);
    return most;
}

/* The texts of one end, highest first; returns how far off the worst score is.  Chats
 * begin alike, and so tie: a text is another if none as long as it has that score. */
static double one_end(const dk_json *want, const dk_encoded *e, const dk_tokens *t, double sign, size_t *other)
{
    double score[TEXTS], worst = 0;

    for (size_t d = 0; d < TEXTS; d++) {
        const double s = farthest(e->value, t, d, sign);
        size_t at = d;

        for (; at > 0 && score[at - 1] < s; at--)
            score[at] = score[at - 1];
        score[at] = s;
    }
    for (size_t r = 0; r < dk_json_len(want); r++) {
        const dk_json *x = dk_json_at(want, r);
        const double s = dk_json_num(dk_json_at(x, 0), NAN);
        bool found = false;

        for (size_t d = 0; d < TEXTS; d++)
            found = found || (t->offset[d + 1] - t->offset[d] == (size_t)dk_json_int(dk_json_at(x, 1), 0) &&
                              fabs(farthest(e->value, t, d, sign) / s - 1) < END);
        worst = fmax(worst, fabs(score[r] / s - 1));
        *other += !found;
    }
    return worst;
}

static void check_ends(const char *set, const dk_encoding *e, const dk_tokens *t)
{
    static const char *const end[] = { "positive", "negative" };
    char *path = dk_xasprintf("%s/tests/golden/toolkit/pca_examples.json", gold_root());
    dk_json *root = NULL;
    dk_err err = {0};
    double worst = 0;
    size_t other = 0, n = 0;

    dk_json_load(&root, path, &err);
    for (int s = 0; s < 2; s++)
        for (size_t c = 0; c < e->n; c++) {
            const dk_json *want = dk_json_at(dk_json_get(dk_json_get(root, set), end[s]), c);

            worst = fmax(worst, one_end(want, &e->of[c], t, s ? -1 : 1, &other));
            n += dk_json_len(want);
        }
    tap(n == 2 * 16 * 4 && worst < END && other == 0, "%s: %zu texts at the ends of 16 components: scores within %.1e, "
        "%zu other texts", set, n, worst, other);
    dk_json_free(&root);
    dk_free(path);
}

static void ends(const dk_pca *p)
{
    const dk_pca_place place = { .layer = 14, .site = (char *)"resid_post", .what = (char *)"diff", .pca = *p };
    const dk_encode_plan plan = { .dirs = { .first = 16 }, .max_docs = TEXTS };
    char *dirs = dk_xasprintf("%s/pc.dir.h5", dir);

    for (size_t i = 0; i < n_sets; i++) {
        char *path = dk_xasprintf("%s/%s.act.h5", dir, sets[i]);
        dk_encoding e = {0};
        dk_dirs *d = NULL;
        dk_acts *a = NULL;
        dk_err err = {0};
        int rc = dk_acts_open(&a, path, &err);

        if (rc == 0) rc = dk_pca_write(&place, 1, dk_acts_file(a), NULL, dirs, &sample_prov, &err);
        if (rc == 0) rc = dk_dirs_open(&d, dirs, &err);
        if (rc == 0) rc = dk_encode(&e, a, d, &plan, &err);
        if (rc == 0 && e.n == 16)
            check_ends(sets[i], &e, dk_acts_tokens(a));
        else
            tap(false, "%s: projections on components: %s", sets[i], err.msg);
        dk_encoding_free(&e);
        dk_dirs_close(&d);
        dk_acts_close(&a);
        dk_free(path);
    }
    dk_free(dirs);
}

static void components(void)
{
    size_t n;
    double *want = gold_read("toolkit/pca_model.f64", 8, &n), value = 0, ratio = 0, var = 0, least = 1, mean;
    float *v = gold_read("toolkit/pca_components.f32", 4, &n);
    dk_err err = {0};
    dk_pca p;
    const int rc = dk_pca_fit_end(all_rows, &p, &err);

    if (!tap(rc == 0 && p.n == 24576 && n == 16 * D, "components of %ju rows %s", (uintmax_t)p.n, err.msg))
        return;
    mean = apart(p.mean, want);
    for (int j = 0; j < D; j++) {
        var = fmax(var, fabs(p.var[j] / want[D + j] - 1));
        value = fmax(value, fabs(p.value[j] / want[2 * D + j] - 1));
        ratio = fmax(ratio, fabs(p.value[j] / p.total - want[3 * D + j]));
    }
    for (int k = 0; k < 16; k++) {
        double dot = 0;

        for (int j = 0; j < D; j++)
            dot += p.vector[k * D + j] * v[k * D + j];
        least = fmin(least, dot);
    }
    tap(mean < 2e-5 && var < 1e-4, "their mean within %.1e, variances of the columns %.1e", mean, var);
    tap(value < 1e-4 && ratio < 1e-6, "explained variances within %.1e, ratios %.1e", value, ratio);
    tap(least > 1 - 1e-6, "16 components: the least cosine is 1 - %.1e", 1 - least);
    ends(&p);
    dk_pca_free(&p);
    dk_pca_fit_free(&all_rows);
    dk_free(want);
    dk_free(v);
}

/* The rows of the last extraction, for the ends. */
static void keep(const char *set)
{
    char *from = dk_xasprintf("%s/x.act.h5", dir), *to = dk_xasprintf("%s/%s.act.h5", dir, set);

    tap(n_sets < SETS && rename(from, to) == 0, "%s: its rows are kept", set);
    sets[n_sets++] = set;
    dk_free(from);
    dk_free(to);
}

static void whole_mean(const char *set)
{
    char tokens[256], ranges[256], stats[256], diff[256];
    const dk_mean_plan plan = { .n = 1, .before = 0 };
    dk_means *m;
    size_t n, count;
    dk_acts *a;
    float *want;
    double *want_diff, base[D], wf[D];
    dk_err err = {0};

    snprintf(tokens, sizeof tokens, "toolkit/tokens_%s.i32", set);
    snprintf(ranges, sizeof ranges, "toolkit/ranges_%s.i32", set);
    snprintf(stats, sizeof stats, "toolkit/acts_%s_stats.f32", set);
    snprintf(diff, sizeof diff, "toolkit/acts_%s_mean_diff.f64", set);
    a = extract(token_file(tokens, ranges, 1000, false), set);
    tap(dk_means_of(&m, &n, a, &plan, &err) == 0, "%s: means of %zu rows %s", set, dk_acts_tokens(a)->rows, err.msg);
    want = gold_read(stats, 4, &count);
    want_diff = gold_read(diff, 8, &count);
    for (int j = 0; j < D; j++) {
        base[j] = want[j];
        wf[j] = want[2 * D + j];
    }
    tap(apart(find(m, n, "base")->whole, base) < 1e-5 && apart(find(m, n, "ft")->whole, wf) < 1e-5,
        "%s: base within %.1e, ft %.1e", set, apart(find(m, n, "base")->whole, base), apart(find(m, n, "ft")->whole, wf));
    tap(apart(find(m, n, "diff")->whole, want_diff) < 2e-5, "%s: difference within %.1e", set,
        apart(find(m, n, "diff")->whole, want_diff));
    dk_free(want);
    dk_free(want_diff);
    dk_means_free(m, n);
    add_to_components(a);
    dk_acts_close(&a);
    keep(set);
}

static void check_norms(const char *set, const dk_means *m, size_t n)
{
    char *path = dk_xasprintf("%s/tests/golden/toolkit/adl_norms.json", gold_root());
    dk_json *root = NULL;
    dk_err err = {0};
    double base, tuned;

    dk_json_load(&root, path, &err);
    base = find(m, n, "base")->act_norm / dk_json_num(dk_json_at(dk_json_get(root, set), 0), NAN) - 1;
    tuned = find(m, n, "ft")->act_norm / dk_json_num(dk_json_at(dk_json_get(root, set), 1), NAN) - 1;
    tap(fabs(base) < 1e-5 && fabs(tuned) < 1e-5, "%s: norms within %.1e, %.1e %s", set, fabs(base), fabs(tuned), err.msg);
    dk_json_free(&root);
    dk_free(path);
}

/* Lists of one lane: the ids wanted, with their probabilities; where an id is
 * another, both must be equally likely.  id and prob: [positions, 2, LISTED]. */
static void check_lens(const char *set, const dk_model *head, const dk_means *m, const int32_t *id, const float *prob)
{
    float *x = dk_xcalloc(m->n_pos * D, sizeof *x);
    uint32_t top[LISTED];
    dk_lens_view v;
    dk_err err = {0};
    double worst = 0;
    int other = 0, n = 0;

    for (size_t i = 0; i < m->n_pos * D; i++)
        x[i] = (float)m->pos[i];
    for (int inverse = 0; inverse < 2; inverse++) {
        if (dk_lens_view_of(&v, head, x, m->n_pos, inverse ? -1 : 1, &err) < 0) {
            tap(false, "%s", err.msg);
            return;
        }
        for (size_t p = 0; p < m->n_pos; p++) {
            dk_lens_top(&v, p, LISTED, top);
            for (size_t r = 0; r < LISTED; r++, n++) {
                const size_t at = (p * 2 + (size_t)inverse) * LISTED + r;
                const double got = dk_lens_prob(&v, p, (uint32_t)id[at]), want = prob[at];

                worst = fmax(worst, fabs(got / want - 1));
                other += (uint32_t)id[at] != top[r] && fabs(dk_lens_prob(&v, p, top[r]) / want - 1) > 1e-3;
            }
        }
        dk_lens_view_free(&v);
    }
    tap(n > 0 && worst < 1e-3 && other == 0, "%s: lens of %s: %d probabilities within %.1e, %d other ids", set, m->what, n,
        worst, other);
    dk_free(x);
}

static void lenses(const char *set, const dk_means *m, size_t n)
{
    static const char *const what[] = { "diff", "base", "ft" };
    char ids[256], probs[256];
    size_t count;
    int32_t *id;
    float *prob;
    dk_model *head = NULL;
    dk_err err = {0};

    snprintf(ids, sizeof ids, "toolkit/adl_%s_lens.i32", set);
    snprintf(probs, sizeof probs, "toolkit/adl_%s_lens.f32", set);
    id = gold_read(ids, 4, &count);
    prob = gold_read(probs, 4, &count);
    tap(count == 3 * m->n_pos * 2 * LISTED && dk_model_load_head(&head, getenv("DK_TEST_MODEL"), DK_F32, &err) == 0,
        "%s: the head alone is loaded %s", set, err.msg);
    for (size_t w = 0; head && w < 3; w++)
        check_lens(set, head, find(m, n, what[w]), id + w * m->n_pos * 2 * LISTED, prob + w * m->n_pos * 2 * LISTED);
    dk_model_free(&head);
    dk_free(id);
    dk_free(prob);
}

static void adl(const char *set, bool chat)
{
    static const char *const what[] = { "diff", "base", "ft" }, *const prefix[] = { "", "base_", "ft_" };
    char ids[256], ranges[256], name[256];
    const dk_mean_plan plan = { .n = N, .before = 3 };
    dk_means *m = NULL;
    size_t n = 0, count;
    dk_acts *a;
    dk_err err = {0};

    snprintf(ids, sizeof ids, "toolkit/adl_%s_ids.i32", set);
    snprintf(ranges, sizeof ranges, "toolkit/adl_%s_ranges.i32", set);
    a = extract(token_file(ids, ranges, 1000, chat), set);
    if (!tap(dk_means_of(&m, &n, a, &plan, &err) == 0 && n == 3, "%s: three lanes of means %s", set, err.msg))
        return;
    tap(m[0].first == (chat ? -3 : 0) && m[0].n_pos == (chat ? 11 : 8) && m[0].docs == dk_acts_tokens(a)->docs,
        "%s: positions from %d on, %zu of them, %zu documents", set, m[0].first, m[0].n_pos, m[0].docs);
    for (int w = 0; w < 3; w++) {
        const dk_means *x = find(m, n, what[w]);
        double worst = 0, row[D];
        float *want;

        snprintf(name, sizeof name, "toolkit/adl_%s_%smean.f32", set, prefix[w]);
        want = gold_read(name, 4, &count);
        for (size_t p = 0; p < x->n_pos; p++) {
            for (int j = 0; j < D; j++)
                row[j] = want[p * D + (size_t)j];
            worst = fmax(worst, apart(x->pos + p * D, row));
        }
        tap(count == x->n_pos * D && worst < 5e-5, "%s: %s within %.1e at every position", set, what[w], worst);
        dk_free(want);
    }
    check_norms(set, m, n);
    lenses(set, m, n);
    dk_means_free(m, n);
    dk_acts_close(&a);
}

int main(void)
{
    snprintf(ft, sizeof ft, "%s/data/organisms/cake_bake/adapter", gold_root());
    if (!getenv("DK_TEST_MODEL")) {
        tap(false, "DK_TEST_MODEL is not set");
        return tap_end();
    }
    dir = work_dir();
    rows_of_general64();
    adl("general200", false);
    adl("chat110", true);
    if (getenv("DK_SLOW")) {
        whole_mean("chat32");
        whole_mean("general64");
        whole_mean("cake64");
        components();
    }
    remove_dir(dir);
    return tap_end();
}
