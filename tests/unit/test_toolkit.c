/* What the reference toolkit itself printed on the default pair (f32, CPU),
 * reproduced: diff mining of 64 x 64 tokens with its topics, and KL of the first texts of three
 * data sets (all 160 with DK_SLOW=1).
 *
 * Differences that remain have these reasons: the toolkit's own f32 softmax and
 * padded batches (5e-5 in KL, 4e-5 in a logit difference), ids whose differences
 * stand closer than that at the edge of a top list or at zero, and rows that f32
 * does not hold: one token (general64, text 16, position 5), whose residual falls
 * from 800 to 116 and rises to 2,900, is off by 1.1e-4 of its KL 1.26 against
 * float64 here; PyTorch's f32 logits of it are off by 4e-4. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gold.h"
#include "io/json.h"
#include "method/mine.h"
#include "method/minematrix.h"
#include "method/score.h"
#include "num/stats.h"
#include "tap.h"

enum { V = 49152, POSITIONS = 4096, K = 100 };

static dk_pair pair;

static void open_pair(void)
{
    char ft[1024];
    dk_pair_spec spec = { .base = getenv("DK_TEST_MODEL"), .ft = ft, .dtype = "f32", .with_head = 1 };
    dk_err err = {0};

    snprintf(ft, sizeof ft, "%s/data/organisms/cake_bake/adapter", gold_root());
    if (!spec.base || dk_pair_open(&pair, &spec, &err) < 0) {
        tap(false, "%s", spec.base ? err.msg : "DK_TEST_MODEL is not set");
        exit(tap_end());
    }
}

/* --- KL ---------------------------------------------------------------------- */
static double stat_of(const dk_json *j, const char *group, const char *key)
{
    return dk_json_num(dk_json_get(dk_json_get(j, group), key), NAN);
}

static void compare_stats(const char *set, const dk_json *want, const char *group, const float *x, size_t n)
{
    const char *key[] = { "mean", "std", "median", "min", "max", "percentile_25", "percentile_50", "percentile_75" };
    dk_err err = {0};
    dk_stats s;
    double worst = 0;

    dk_stats_of(&s, x, n, &err);
    const double got[] = { s.mean, s.std, s.median, s.min, s.max, s.p25, s.p50, s.p75 };

    for (int i = 0; i < 8; i++) {
        const double e = fabs(got[i] - stat_of(want, group, key[i]));

        worst = e <= worst ? worst : e;
    }
    tap(worst <= 1e-4, "%s: %s within %.1e", set, group, worst);
}

static void kl_of(const char *set, const char *json_name, size_t texts)
{
    char name[256];
    size_t n, n_ranges;
    int32_t *ids, *ranges;
    float *want, *means;
    dk_tokens t = { .vocab = V };
    const dk_score_plan plan = { .temperature = 1, .kl = 1, .batch_rows = 1152 };
    dk_score s = {0};
    dk_err err = {0};
    double worst = 0, sum = 0, sum_want = 0;
    bool all;

    snprintf(name, sizeof name, "toolkit/tokens_%s.i32", set);
    ids = gold_read(name, 4, &n);
    snprintf(name, sizeof name, "toolkit/ranges_%s.i32", set);
    ranges = gold_read(name, 4, &n_ranges);
    snprintf(name, sizeof name, "toolkit/kl_%s_kl_per_token.f32", set);
    want = gold_read(name, 4, &n);
    all = texts >= n_ranges - 1;
    texts = all ? n_ranges - 1 : texts;
    means = dk_xcalloc(texts, sizeof *means);
    for (size_t d = 0; d < texts; d++)
        dk_tokens_add_doc(&t, d, (const uint32_t *)ids + ranges[d], NULL, (size_t)(ranges[d + 1] - ranges[d]), &err);
    tap(dk_score_run(&s, &pair, &t, &plan, &err) == 0, "%s: KL of %zu texts, %zu tokens %s", set, texts, t.rows, err.msg);
    for (size_t i = 0; i < t.rows; i++) {
        const double e = fabs((double)s.kl[1][i] - want[i]) / (1 + want[i]);

        worst = e <= worst ? worst : e;
        sum += s.kl[1][i];
        sum_want += want[i];
    }
    tap(worst <= 1e-4, "%s: every token within %.1e (1 + KL)", set, worst);
    tap(fabs(sum / sum_want - 1) <= 1e-5, "%s: mean %.7f, relative difference %.1e", set, sum / (double)t.rows, sum / sum_want - 1);
    for (size_t d = 0; d < texts; d++) {
        for (size_t i = t.offset[d]; i < t.offset[d + 1]; i++)
            means[d] += s.kl[1][i] / (float)(t.offset[d + 1] - t.offset[d]);
    }
    if (all) {
        char path[1024];
        dk_json *j = NULL;

        snprintf(path, sizeof path, "%s/tests/golden/toolkit/%s", gold_root(), json_name);
        if (dk_json_load(&j, path, &err) < 0)
            exit(tap(false, "%s", err.msg));
        compare_stats(set, j, "per_token_statistics", s.kl[1], t.rows);
        compare_stats(set, j, "mean_per_sample_statistics", means, texts);
        dk_json_free(&j);
    }
    dk_score_free(&s);
    dk_tokens_free(&t);
    dk_free(means);
}

/* --- diff mining ---------------------------------------------------------------- */
static void compare_counts(const char *name, const int64_t *got, int64_t most, int64_t total_most)
{
    char file[256];
    const int32_t *want;
    int64_t worst = 0, total = 0;

    snprintf(file, sizeof file, "toolkit/mining_%s.i32.zst", name);
    want = gold_unpack(file, V * 4);
    for (size_t v = 0; v < V; v++) {
        const int64_t e = llabs(got[v] - want[v]);

        worst = e > worst ? e : worst;
        total += e;
    }
    tap(worst <= most && total <= total_most, "%s: off by at most %lld of %d positions, %lld in all", name,
        (long long)worst, POSITIONS, (long long)total);
}

/* The same tokens at the same ranks, but for counts that are equal or nearly. */
static void compare_ordering(const dk_topk_vocab *sums, dk_ordering o)
{
    char path[1024];
    dk_json *j = NULL;
    dk_mined list[K];
    dk_err err = {0};
    double worst = 0, worst_avg = 0;
    size_t moved = 0, bad = 0;
    const dk_json *tokens;

    snprintf(path, sizeof path, "%s/tests/golden/toolkit/mining_%s.json", gold_root(), dk_ordering_name(o));
    if (dk_json_load(&j, path, &err) < 0 || dk_mine_rank(list, K, sums, V, POSITIONS, o, &err) < 0)
        exit(tap(false, "%s", err.msg));
    tokens = dk_json_get(j, "tokens");
    for (size_t i = 0; i < K; i++) {
        const dk_json *want = dk_json_at(tokens, i);
        const uint32_t id = (uint32_t)dk_json_int(dk_json_get(want, "token_id"), -1);
        const dk_mined m = dk_mine_one(sums, id, POSITIONS, o);
        const double e = fabs(m.value / dk_json_num(dk_json_get(want, "ordering_value"), NAN) - 1);
        const double a = fabs(m.avg_diff - dk_json_num(dk_json_get(want, "avg_logit_diff"), NAN));

        worst = e <= worst ? worst : e;
        worst_avg = a <= worst_avg ? worst_avg : a;
        moved += list[i].id != id;
        bad += list[i].id != id && llabs(list[i].count_positive - m.count_positive) > 2;
    }
    tap(dk_json_len(tokens) == K && bad == 0 && worst <= 3e-3 && worst_avg <= 1e-5,
        "%s: values within %.1e, averages within %.1e; %zu ranks differ, all by counts that tie within 2",
        dk_ordering_name(o), worst, worst_avg, moved);
    dk_json_free(&j);
}

static void compare_top10(const dk_score *s)
{
    size_t n, rows = 0, wrong = 0;
    char *text = gold_read("toolkit/mining_positions_top10.jsonl", 1, &n);
    double worst = 0;
    dk_err err = {0};

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), rows++) {
        dk_json *j = NULL;
        size_t row;

        if (dk_json_parse(&j, line, strlen(line), "positions", &err) < 0)
            exit(tap(false, "%s", err.msg));
        row = (size_t)(dk_json_int(dk_json_get(j, "sample"), 0) * 64 + dk_json_int(dk_json_get(j, "pos"), 0));
        for (size_t i = 0; i < 10; i++) {
            const double top = dk_json_num(dk_json_at(dk_json_get(j, "top"), i), NAN);
            const double e = fabs(s->topk[1].top[row * K + i] - top);

            worst = e <= worst ? worst : e;
            wrong += s->topk[1].top_id[row * K + i] != (uint32_t)dk_json_int(dk_json_at(dk_json_get(j, "top_ids"), i), -1);
        }
        dk_json_free(&j);
    }
    tap(rows == 128 && worst <= 1e-4 && wrong <= 4, "ten largest differences of %zu positions within %.1e, %zu neighbours swapped", rows, worst, wrong);
}

/* --- its topics -------------------------------------------------------------------- */
enum { TOPICS = 3, COLS = 20600, LISTED = 100 };

static double loss_of(const dk_nmf_matrix *v, const float *w, const float *h)
{
    double inner = 0, square = 0, ww[TOPICS][TOPICS] = {{0}}, hh[TOPICS][TOPICS] = {{0}};

    for (size_t r = 0; r < v->rows; r++)
        for (uint64_t i = v->at[r]; i < v->at[r + 1]; i++) {
            square += (double)v->value[i] * v->value[i];
            for (size_t j = 0; j < TOPICS; j++)
                inner += (double)v->value[i] * w[v->col[i] * TOPICS + j] * h[r * TOPICS + j];
        }
    for (size_t j = 0; j < TOPICS; j++)
        for (size_t k = 0; k < TOPICS; k++) {
            for (size_t c = 0; c < v->cols; c++)
                ww[j][k] += (double)w[c * TOPICS + j] * w[c * TOPICS + k];
            for (size_t r = 0; r < v->rows; r++)
                hh[j][k] += (double)h[r * TOPICS + j] * h[r * TOPICS + k];
            square += ww[j][k] * hh[j][k];
        }
    return sqrt(square - 2 * inner);
}

static double column_cosine(const double *a, const float *b, size_t n, size_t j)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        ab += a[i * TOPICS + j] * b[i * TOPICS + j];
        aa += a[i * TOPICS + j] * a[i * TOPICS + j];
        bb += (double)b[i * TOPICS + j] * b[i * TOPICS + j];
    }
    return ab / sqrt(aa * bb);
}

static const double *weight_of;
static size_t topic_of;

static int by_weight(const void *va, const void *vb)
{
    const double a = weight_of[*(const uint32_t *)va * TOPICS + topic_of], b = weight_of[*(const uint32_t *)vb * TOPICS + topic_of];

    return a < b ? 1 : a > b ? -1 : 0;
}

/* Its first tokens of a topic are ours, but for neighbours of nearly the same weight. */
static void compare_topic(const dk_nmf *f, const uint32_t *token, const float *want, size_t j)
{
    uint32_t *mine = dk_xcalloc(f->cols, sizeof *mine), *its = dk_xcalloc(f->cols, sizeof *its);
    double *w = dk_xcalloc(f->cols * TOPICS, sizeof *w), worst = 0;
    size_t moved = 0;

    for (size_t c = 0; c < f->cols * TOPICS; c++)
        w[c] = want[c];
    for (uint32_t c = 0; c < f->cols; c++)
        mine[c] = its[c] = c;
    topic_of = j;
    weight_of = f->w;
    qsort(mine, f->cols, sizeof *mine, by_weight);
    weight_of = w;
    qsort(its, f->cols, sizeof *its, by_weight);
    for (size_t i = 0; i < LISTED; i++) {
        moved += mine[i] != its[i];
        worst = fmax(worst, fabs(f->w[mine[i] * TOPICS + j] / w[its[i] * TOPICS + j] - 1));
        worst = fmax(worst, mine[i] != its[i] ? fabs(w[mine[i] * TOPICS + j] / w[its[i] * TOPICS + j] - 1) : 0);
    }
    tap(worst < 5e-3 && moved < LISTED / 5, "topic %zu, first is token %u: %d tokens, %zu ranks differ, by weights within %.1e", j,
        token[mine[0]], LISTED, moved, worst);
    dk_free(mine);
    dk_free(its);
    dk_free(w);
}

/* Its lists end in ties that f32 breaks either way, so the columns are nearly its
 * own: where they are not, the start of the column beside them will do. */
static void topics(const dk_score *s, const dk_tokens *t)
{
    size_t n;
    const int32_t *cols = gold_read("toolkit/mining_nmf_cols.i32", 4, &n);
    const float *h0 = gold_read("toolkit/mining_nmf_H0.f32", 4, &n), *h = gold_read("toolkit/mining_nmf_H.f32", 4, &n);
    const float *its_w0 = gold_unpack("toolkit/mining_nmf_W0.f32.zst", COLS * TOPICS * 4);
    const float *its_w = gold_unpack("toolkit/mining_nmf_W.f32.zst", COLS * TOPICS * 4);
    uint32_t *at = dk_xcalloc(V, sizeof *at);
    dk_nmf_plan p = { .topics = TOPICS, .beta = 2, .seed = 42 };
    dk_mine_matrix m = {0};
    dk_err err = {0};
    dk_nmf f = {0};
    float *w0, *w;
    size_t moved = 0, other = 0;
    double want;

    if (dk_mine_matrix_new(&m, t, s->topk[1].top_id, s->topk[1].top, K, V, NULL, false, DK_MINE_BATCH, &err) < 0)
        exit(tap(false, "%s", err.msg));
    tap(m.m.rows == POSITIONS, "a matrix of %zu columns, %llu entries", m.m.cols, (unsigned long long)m.m.at[m.m.rows]);
    w0 = dk_xcalloc(m.m.cols * TOPICS, sizeof *w0);
    w = dk_xcalloc(m.m.cols * TOPICS, sizeof *w);
    for (uint32_t c = 0; c < COLS; c++)
        at[cols[c]] = c + 1;
    for (size_t c = 0; c < m.m.cols; c++) {
        const size_t from = at[m.token[c]] ? at[m.token[c]] - 1 : c % COLS;

        moved += from != c;
        other += !at[m.token[c]];
        memcpy(w0 + c * TOPICS, its_w0 + from * TOPICS, TOPICS * sizeof *w0);
        if (at[m.token[c]])
            memcpy(w + c * TOPICS, its_w + from * TOPICS, TOPICS * sizeof *w);
    }
    tap(other <= 5 && labs((long)m.m.cols - COLS) <= 5, "%zu columns are not of its tokens, %zu in another place", other, moved);
    p.w0 = w0;
    p.h0 = h0;
    if (dk_nmf_fit(&f, &m.m, &p, &err) < 0)
        exit(tap(false, "%s", err.msg));
    tap(f.start[0].iterations == 60, "%zu iterations, loss %.6f, explained %.4f", f.start[0].iterations, f.start[0].loss,
        f.start[0].explained);
    want = loss_of(&m.m, w, h);
    tap(fabs(f.start[0].loss / want - 1) <= 1e-5, "its factors leave the same loss: %.6f, relative difference %.1e", want,
        f.start[0].loss / want - 1);
    for (size_t j = 0; j < TOPICS; j++) {
        const double cw = column_cosine(f.w, w, m.m.cols, j), ch = column_cosine(f.h, h, POSITIONS, j);

        tap(cw >= 0.9999 && ch >= 0.9999, "topic %zu: cosines to its columns %.7f, %.7f", j, cw, ch);
        compare_topic(&f, m.token, w, j);
    }
    dk_nmf_free(&f);
    dk_mine_matrix_free(&m);
    dk_free(at);
    dk_free(w0);
    dk_free(w);
}

static void mining(void)
{
    size_t n;
    const uint32_t *ids = gold_read("toolkit/mining_input_ids.i32", 4, &n);
    const float *want_sum = gold_unpack("toolkit/mining_sum_logit_diff.f32.zst", V * 4);
    const dk_score_plan plan = { .temperature = 1, .top_k = K, .batch_rows = 1152 };
    dk_tokens t = { .vocab = V };
    dk_score s = {0};
    dk_err err = {0};
    double worst = 0;

    for (size_t d = 0; d < 64; d++)
        dk_tokens_add_doc(&t, d, ids + d * 64, NULL, 64, &err);
    tap(n == POSITIONS && dk_score_run(&s, &pair, &t, &plan, &err) == 0, "diff mining of 64 x 64 tokens %s", err.msg);
    for (size_t v = 0; v < V; v++) {
        const double e = fabs(s.sums[1].sum_diff[v] - want_sum[v]);

        worst = e <= worst ? worst : e;
    }
    /* the toolkit sums 4096 f32 values of size up to 10 in f32 */
    tap(worst <= 2e-2, "sum_logit_diff: within %.1e of sums up to 2e4", worst);
    compare_counts("count_positive", s.sums[1].count_positive, 3, 2000);
    compare_counts("topk_pos_counts", s.sums[1].top_count, 3, 400);
    compare_counts("topk_neg_counts", s.sums[1].bottom_count, 3, 400);
    compare_ordering(&s.sums[1], DK_ORDER_TOPK);
    compare_ordering(&s.sums[1], DK_ORDER_POSITIVE);
    compare_top10(&s);
    topics(&s, &t);
    dk_score_free(&s);
    dk_tokens_free(&t);
}

int main(void)
{
    const size_t texts = getenv("DK_SLOW") ? 1000 : 5;

    dk_threads_set(0);
    open_pair();
    mining();
    kl_of("cake64", "kl_cake64.json", texts);
    kl_of("general64", "kl_general64.json", texts);
    kl_of("chat32", "kl_chat32.json", texts);
    dk_pair_close(&pair);
    return tap_end();
}
