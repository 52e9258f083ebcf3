/* The table of diff mining. */
#include "method/minetable.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "num/resample.h"

enum { MAX_LANES = 64 };

struct lane { const char *name; dk_topk_vocab sums; };

/* A place where a token stands in a top list. */
struct place { float diff; size_t row; };

struct work {
    dk_scores *s;
    const dk_tokens *t;
    const dk_tokenizer *tok;
    const dk_mine_plan *plan;
    size_t vocab, k, n_lanes;
    struct lane lane[MAX_LANES];        /* [0] is the plan's */
    uint32_t *id;                       /* [rows, k] */
    float *value;
    struct place *places;               /* [n, snippets], diff descending */
    size_t *n_places;
    struct spread { double lo, hi, p; } *spread;    /* [n] of the ordering's value; NULL: not known */
};

static int read_sums(struct work *w, struct lane *l, dk_err *err)
{
    const struct { const char *name; int64_t **to; } count[] = {
        { "count_positive", &l->sums.count_positive }, { "topk_pos_counts", &l->sums.top_count },
        { "topk_neg_counts", &l->sums.bottom_count }
    };
    char name[256];
    int rc = dk_alloc(&l->sums.sum_diff, w->vocab, sizeof(double), "vocabulary sums", err);

    snprintf(name, sizeof name, "%s/sum_logit_diff", l->name);
    if (rc == 0)
        rc = dk_scores_read_vocab_f64(w->s, name, l->sums.sum_diff, w->vocab, err);
    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = dk_alloc(count[i].to, w->vocab, sizeof(int64_t), "vocabulary counts", err);
        snprintf(name, sizeof name, "%s/%s", l->name, count[i].name);
        if (rc == 0)
            rc = dk_scores_read_vocab_i64(w->s, name, *count[i].to, w->vocab, err);
    }
    return rc;
}

/* The lane asked for first, then every other lane that has lists. */
static int find_lanes(struct work *w, const char *path, dk_err *err)
{
    char name[256];
    int rc = 0;

    w->lane[0].name = w->plan->lane;
    w->n_lanes = 1;
    for (size_t i = 0; i < dk_scores_n_models(w->s) && w->n_lanes < MAX_LANES; i++) {
        const char *lane;

        dk_scores_model(w->s, i, &lane);
        snprintf(name, sizeof name, "%s/sum_logit_diff", lane);
        if (strcmp(lane, w->plan->lane) != 0 && dk_scores_find(w->s, name, true))
            w->lane[w->n_lanes++].name = lane;
    }
    snprintf(name, sizeof name, "%s/sum_logit_diff", w->plan->lane);
    if (!dk_scores_find(w->s, name, true))
        return dk_fail(err, DK_EDATA, "%s has no top-k sums of a lane '%s': was it made by dk-topk?",
                       path, w->plan->lane);
    w->vocab = dk_scores_find(w->s, name, true)->rows;
    for (size_t i = 0; rc == 0 && i < w->n_lanes; i++)
        rc = read_sums(w, &w->lane[i], err);
    return rc;
}

static int read_lists(struct work *w, const char *path, dk_err *err)
{
    char index[256], value[256];
    const dk_score_info *info;
    size_t n;
    int rc;

    snprintf(index, sizeof index, "topk/%s/top/index", w->plan->lane);
    snprintf(value, sizeof value, "topk/%s/top/value", w->plan->lane);
    info = dk_scores_find(w->s, index, false);
    if (!info || !dk_mul_size(&n, info->rows, info->k))
        return dk_fail(err, DK_EDATA, "%s has no top lists of lane '%s'", path, w->plan->lane);
    w->k = info->k;
    rc = dk_alloc(&w->id, n, sizeof *w->id, "top lists", err);
    if (rc == 0)
        rc = dk_alloc(&w->value, n, sizeof *w->value, "top lists", err);
    if (rc == 0)
        rc = dk_scores_read_index(w->s, index, 0, info->rows, w->id, err);
    if (rc == 0)
        rc = dk_scores_read(w->s, value, 0, info->rows, w->value, err);
    return rc;
}

/* In how many rows of each document the listed tokens stand in a list: [n, docs]. */
static int count_by_document(struct work *w, const dk_mined *list, const char *end, double *count, dk_err *err)
{
    uint32_t *slot = NULL, *id = NULL;  /* [vocab]: index in the list + 1 */
    char name[256];
    const dk_score_info *info;
    size_t n;
    int rc;

    snprintf(name, sizeof name, "topk/%s/%s/index", w->plan->lane, end);
    info = dk_scores_find(w->s, name, false);
    if (!info || !dk_mul_size(&n, info->rows, info->k))
        return dk_fail(err, DK_EDATA, "the lists %s are missing", name);
    rc = dk_alloc(&slot, w->vocab, sizeof *slot, "counts", err);
    if (rc == 0) rc = dk_alloc(&id, n, sizeof *id, "lists", err);
    if (rc == 0) rc = dk_scores_read_index(w->s, name, 0, info->rows, id, err);
    for (size_t i = 0; rc == 0 && i < w->plan->n; i++)
        slot[list[i].id] = (uint32_t)i + 1;
    for (size_t d = 0; rc == 0 && d < w->t->docs; d++)
        for (size_t j = w->t->offset[d] * info->k; j < w->t->offset[d + 1] * info->k; j++)
            if (id[j] < w->vocab && slot[id[j]])
                count[(slot[id[j]] - 1) * w->t->docs + d]++;
    dk_free(slot);
    dk_free(id);
    return rc;
}

/* The interval of a rate, and p of the sign-flip test.  Where base and finetune
 * change places, so do top and bottom lists: the test is of their difference. */
static int spread_of(struct spread *out, const dk_tokens *t, const double *top, const double *bottom, double *mean,
                     uint64_t seed, dk_err *err)
{
    dk_rate_sums s = {0};
    double r, se;
    uint64_t *id = NULL;
    size_t used = 0;
    int rc = dk_alloc(&id, t->docs, sizeof *id, "documents", err);

    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        const double n = (double)(t->offset[d + 1] - t->offset[d]);

        if (n <= 0)
            continue;
        s.x += top[d];
        s.xx += top[d] * top[d];
        s.xn += top[d] * n;
        s.n += n;
        s.nn += n * n;
        s.docs++;
        mean[used] = (top[d] - bottom[d]) / n;
        id[used++] = t->id[d];
    }
    if (rc == 0) {
        r = dk_rate(&se, &s);
        out->lo = 100 * fmax(r - 1.959963984540054 * se, 0);
        out->hi = 100 * fmin(r + 1.959963984540054 * se, 1);
        rc = dk_signflip_p(&out->p, mean, id, used, 1, seed, err);
    }
    dk_free(id);
    return rc;
}

static bool has_lists(const struct work *w)
{
    char top[256], bottom[256];

    snprintf(top, sizeof top, "topk/%s/top/index", w->plan->lane);
    snprintf(bottom, sizeof bottom, "topk/%s/bottom/index", w->plan->lane);
    return dk_scores_find(w->s, top, false) && dk_scores_find(w->s, bottom, false);
}

static int find_spread(struct work *w, const dk_mined *list, dk_err *err)
{
    const size_t docs = w->t->docs;
    double *top = NULL, *bottom = NULL, *mean = NULL;
    size_t n;
    int rc = dk_mul_size(&n, w->plan->n, docs) ? 0 : dk_fail(err, DK_ENOMEM, "counts do not fit in memory");

    if (rc == 0) rc = dk_alloc(&top, n, sizeof *top, "counts", err);
    if (rc == 0) rc = dk_alloc(&bottom, n, sizeof *bottom, "counts", err);
    if (rc == 0) rc = dk_alloc(&mean, docs, sizeof *mean, "counts", err);
    if (rc == 0) rc = dk_alloc(&w->spread, w->plan->n, sizeof *w->spread, "intervals", err);
    if (rc == 0) rc = count_by_document(w, list, "top", top, err);
    if (rc == 0) rc = count_by_document(w, list, "bottom", bottom, err);
    for (size_t i = 0; rc == 0 && i < w->plan->n; i++)
        rc = spread_of(&w->spread[i], w->t, top + i * docs, bottom + i * docs, mean, w->plan->seed, err);
    dk_free(top);
    dk_free(bottom);
    dk_free(mean);
    return rc;
}

static void offer_place(struct work *w, size_t token, float diff, size_t row)
{
    struct place *p = w->places + token * w->plan->snippets;
    size_t n = w->n_places[token], at = n;

    while (at > 0 && p[at - 1].diff < diff)
        at--;
    if (at >= w->plan->snippets)
        return;
    n = n < w->plan->snippets ? n + 1 : n;
    memmove(p + at + 1, p + at, (n - at - 1) * sizeof *p);
    p[at] = (struct place){ diff, row };
    w->n_places[token] = n;
}

/* For every listed token the places where its difference is largest, one a
 * document: the last row of a document has no next token to show. */
static int find_places(struct work *w, const dk_mined *list, dk_err *err)
{
    uint32_t *slot = NULL;              /* [vocab]: index in the list + 1 */
    struct place *best = NULL;          /* [n] of the document at hand */
    const size_t n = w->plan->n;
    int rc = dk_alloc(&slot, w->vocab, sizeof *slot, "snippets", err);

    if (rc == 0) rc = dk_alloc(&best, n, sizeof *best, "snippets", err);
    if (rc == 0) rc = dk_alloc(&w->places, n * w->plan->snippets, sizeof *w->places, "snippets", err);
    if (rc == 0) rc = dk_alloc(&w->n_places, n, sizeof *w->n_places, "snippets", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        slot[list[i].id] = (uint32_t)i + 1;
    for (size_t d = 0; rc == 0 && d < w->t->docs; d++) {
        memset(best, 0, n * sizeof *best);
        for (size_t r = w->t->offset[d]; r + 1 < w->t->offset[d + 1]; r++)
            for (size_t j = 0; j < w->k; j++) {
                const uint32_t id = w->id[r * w->k + j];
                const size_t i = id < w->vocab ? slot[id] : 0;

                if (i && w->value[r * w->k + j] > best[i - 1].diff)
                    best[i - 1] = (struct place){ w->value[r * w->k + j], r };
            }
        for (size_t i = 0; i < n; i++)
            if (best[i].diff > 0)
                offer_place(w, i, best[i].diff, best[i].row);
    }
    dk_free(slot);
    dk_free(best);
    return rc;
}

static void put_text(dk_jw *j, const struct work *w, const char *key, size_t from, size_t to)
{
    dk_tokenizer_put(w->tok, j, key, w->t->token + from, to - from);
}

static void put_snippet(dk_jw *j, const struct work *w, const struct place *p)
{
    size_t d = 0, from, to;

    while (w->t->offset[d + 1] <= p->row)
        d++;
    from = p->row + 1 > w->t->offset[d] + w->plan->context ? p->row + 1 - w->plan->context : w->t->offset[d];
    to = p->row + 2 + w->plan->context;
    to = to < w->t->offset[d + 1] ? to : w->t->offset[d + 1];
    dk_jw_obj_begin(j);
    dk_jw_key(j, "doc"); dk_jw_u64(j, w->t->id[d]);
    dk_jw_key(j, "pos"); dk_jw_u64(j, p->row - w->t->offset[d]);
    dk_jw_key(j, "diff"); dk_jw_f32(j, p->diff);
    put_text(j, w, "before", from, p->row + 1);
    put_text(j, w, "next", p->row + 1, p->row + 2);
    put_text(j, w, "after", p->row + 2, to);
    dk_jw_obj_end(j);
}

static void put_nulls(dk_jw *j, const struct work *w, uint32_t id)
{
    dk_jw_key(j, "null");
    dk_jw_obj_begin(j);
    for (size_t l = 1; l < w->n_lanes; l++) {
        const dk_mined m = dk_mine_one(&w->lane[l].sums, id, w->t->rows, w->plan->ordering);

        dk_jw_key(j, w->lane[l].name);
        dk_jw_obj_begin(j);
        dk_jw_key(j, "value"); dk_jw_f32(j, m.value);
        dk_jw_key(j, "avg_logit_diff"); dk_jw_f32(j, m.avg_diff);
        dk_jw_obj_end(j);
    }
    dk_jw_obj_end(j);
}

static void put_row(dk_buf *out, const struct work *w, size_t i, const dk_mined *m)
{
    dk_jw j = { .out = out };
    const dk_span piece = dk_tokenizer_piece(w->tok, m->id);

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, i + 1);
    dk_jw_key(&j, "id"); dk_jw_u64(&j, m->id);
    dk_tokenizer_put(w->tok, &j, "token", &m->id, 1);
    dk_jw_key(&j, "piece"); dk_jw_strn(&j, piece.n ? piece.s : "", piece.n);
    dk_jw_key(&j, "value"); dk_jw_f32(&j, m->value);
    if (w->spread && isfinite(w->spread[i].p)) {
        dk_jw_key(&j, "lo"); dk_jw_num(&j, w->spread[i].lo);
        dk_jw_key(&j, "hi"); dk_jw_num(&j, w->spread[i].hi);
        dk_jw_key(&j, "p_any"); dk_jw_num(&j, w->spread[i].p);
    }
    dk_jw_key(&j, "avg_logit_diff"); dk_jw_f32(&j, m->avg_diff);
    dk_jw_key(&j, "count_positive"); dk_jw_int(&j, m->count_positive);
    dk_jw_key(&j, "count_negative"); dk_jw_int(&j, m->count_negative);
    dk_jw_key(&j, "ordering"); dk_jw_str(&j, dk_ordering_name(w->plan->ordering));
    dk_jw_key(&j, "lane"); dk_jw_str(&j, w->plan->lane);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, w->t->corpus_name);
    dk_jw_key(&j, "positions"); dk_jw_u64(&j, w->t->rows);
    put_nulls(&j, w, m->id);
    if (w->plan->snippets) {
        dk_jw_key(&j, "snippets");
        dk_jw_arr_begin(&j);
        for (size_t p = 0; p < w->n_places[i]; p++)
            put_snippet(&j, w, &w->places[i * w->plan->snippets + p]);
        dk_jw_arr_end(&j);
    }
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

int dk_mine_table(dk_buf *out, dk_scores *s, const dk_tokenizer *tok, const dk_mine_plan *given,
                  const char *path, dk_err *err)
{
    dk_mine_plan plan = *given;
    struct work w = { .s = s, .t = dk_scores_tokens(s), .tok = tok, .plan = &plan };
    dk_mined *list = NULL;
    int rc = find_lanes(&w, path, err);

    if (rc == 0 && w.t->rows == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no positions", path);
    plan.n = plan.n < w.vocab ? plan.n : w.vocab;
    if (rc == 0)
        rc = dk_alloc(&list, plan.n, sizeof *list, "an ordering", err);
    if (rc == 0)
        rc = dk_mine_rank(list, plan.n, &w.lane[0].sums, w.vocab, w.t->rows, plan.ordering, err);
    if (rc == 0 && plan.ordering == DK_ORDER_TOPK && has_lists(&w))
        rc = find_spread(&w, list, err);
    if (rc == 0 && plan.snippets)
        rc = read_lists(&w, path, err);
    if (rc == 0 && plan.snippets)
        rc = find_places(&w, list, err);
    for (size_t i = 0; rc == 0 && i < plan.n; i++)
        put_row(out, &w, i, &list[i]);
    for (size_t l = 0; l < w.n_lanes; l++) {
        dk_free(w.lane[l].sums.sum_diff);
        dk_free(w.lane[l].sums.count_positive);
        dk_free(w.lane[l].sums.top_count);
        dk_free(w.lane[l].sums.bottom_count);
    }
    dk_free(list);
    dk_free(w.id);
    dk_free(w.value);
    dk_free(w.places);
    dk_free(w.n_places);
    dk_free(w.spread);
    return rc;
}
