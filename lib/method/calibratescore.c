/* Statistics out of score files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/scorefile.h"
#include "method/calibrate.h"
#include "num/infer.h"
#include "num/resample.h"

/* --- divergence ------------------------------------------------------------------- */
/* Mean, with its interval; high quantiles; and the share of all divergence on the
 * hundredth of the tokens that has the most: content, for it does not grow with size. */
static int divergence(dk_cal *c, const dk_tokens *t, const char *lane, const float *kl, dk_err *err)
{
    static const struct { const char *name; double p; } high[] = { { "q95", .95 }, { "q99.9", .999 } };
    double *sorted = NULL, *sum = NULL, *n = NULL, total = 0, top = 0;
    const size_t most = (t->rows + 99) / 100;
    dk_cal_row *r;
    int rc = dk_alloc(&sorted, t->rows, sizeof *sorted, "a score", err);

    if (rc == 0) rc = dk_alloc(&sum, t->docs, sizeof *sum, "a score", err);
    if (rc == 0) rc = dk_alloc(&n, t->docs, sizeof *n, "a score", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        n[d] = (double)(t->offset[d + 1] - t->offset[d]);
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++) {
            if (!isfinite(kl[i])) {
                rc = dk_fail(err, DK_ENUM, "kl/%s: row %zu is NaN or infinite", lane, i);
                break;
            }
            sum[d] += kl[i];
            sorted[i] = kl[i];
        }
        total += sum[d];
    }
    if (rc == 0) {
        dk_sort(sorted, t->rows);
        r = dk_cal_new_row(c, "kl", "mean", t->corpus_name, lane);
        r->value = total / (double)t->rows;
        r->docs = (double)t->docs;
        rc = dk_bootstrap_ratio(&r->lo, &r->hi, sum, n, t->id, t->docs, c->seed, err);
        for (size_t k = 0; k < 2; k++) {
            r = dk_cal_new_row(c, "kl", high[k].name, t->corpus_name, lane);
            r->value = dk_quantile_sorted(sorted, t->rows, high[k].p);
            r->docs = (double)t->docs;
        }
        for (size_t i = 0; i < most; i++)
            top += sorted[t->rows - 1 - i];
        r = dk_cal_new_row(c, "kl", "share_on_top_percent", t->corpus_name, lane);
        r->value = total > 0 ? top / total : 0;
        r->docs = (double)t->docs;
        r->content = true;
    }
    dk_free(sorted);
    dk_free(sum);
    dk_free(n);
    return rc;
}

int dk_cal_new_rates(dk_cal_rates **out, dk_cal *c, dk_cal_unit unit, const char *set, const char *lane, size_t vocab,
                     dk_err *err)
{
    dk_cal_rates *r;
    int rc;

    c->rates = dk_xrealloc(c->rates, (c->n_rates + 1) * sizeof *c->rates);
    r = *out = &c->rates[c->n_rates++];
    *r = (dk_cal_rates){ .unit = unit, .set = dk_xstrdup(set), .lane = dk_xstrdup(lane), .vocab = vocab };
    rc = dk_alloc(&r->x, vocab, sizeof *r->x, "rates", err);
    if (rc == 0) rc = dk_alloc(&r->xx, vocab, sizeof *r->xx, "rates", err);
    if (rc == 0) rc = dk_alloc(&r->xn, vocab, sizeof *r->xn, "rates", err);
    if (unit == DK_CAL_RAISED)
        return rc;
    if (rc == 0) rc = dk_alloc(&r->own_n, vocab, sizeof *r->own_n, "rates", err);
    if (rc == 0) rc = dk_alloc(&r->own_nn, vocab, sizeof *r->own_nn, "rates", err);
    return rc < 0 ? rc : dk_alloc(&r->own_docs, vocab, sizeof *r->own_docs, "rates", err);
}

/* The divergence where each token stands, in parts of the lane's mean: it tells where the
 * models part, and does not grow with how far. */
static int types(dk_cal *c, const dk_tokens *t, const char *lane, const float *kl, dk_err *err)
{
    dk_cal_rates *r;
    double *x = NULL, *n = NULL, mean = 0;
    int rc = dk_cal_new_rates(&r, c, DK_CAL_TYPE, t->corpus_name, lane, t->vocab, err);

    if (rc == 0) rc = dk_alloc(&x, t->vocab, sizeof *x, "rates", err);
    if (rc == 0) rc = dk_alloc(&n, t->vocab, sizeof *n, "rates", err);
    for (size_t i = 0; rc == 0 && i < t->rows; i++)
        mean += kl[i] / (double)t->rows;
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++) {
            x[t->token[i]] += mean > 0 ? kl[i] / mean : 0;
            n[t->token[i]]++;
        }
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++) {
            const size_t v = t->token[i];

            if (n[v] <= 0)
                continue;
            r->x[v] += x[v];
            r->xx[v] += x[v] * x[v];
            r->xn[v] += x[v] * n[v];
            r->own_n[v] += n[v];
            r->own_nn[v] += n[v] * n[v];
            r->own_docs[v]++;
            x[v] = n[v] = 0;
        }
    }
    dk_free(x);
    dk_free(n);
    return rc;
}

static int change(dk_cal *c, const dk_tokens *t, const char *lane, const float *own, const float *base, dk_err *err)
{
    dk_change m;
    const int rc = dk_mean_change(&m, own, base, t->offset, t->id, t->docs, c->seed, err);

    if (rc == 0 && m.docs) {
        dk_cal_row *r = dk_cal_new_row(c, "kl", "logp_change", t->corpus_name, lane);

        r->two_sided = true;
        r->value = m.value;
        r->lo = m.lo;
        r->hi = m.hi;
        r->docs = (double)m.docs;
        r->p_any = m.p;
    }
    return rc;
}

static bool dense(dk_scores *s, const char *name)
{
    const dk_score_info *x = dk_scores_find(s, name, false);

    return x && x->kind == DK_SCORE_DENSE && x->k == 1;
}

static int add_kl(dk_cal *c, dk_scores *s, const char *lane, const char *as, dk_err *err)
{
    const dk_tokens *t = dk_scores_tokens(s);
    char kl[256], own[256];
    float *x = NULL, *y = NULL;
    int rc;

    snprintf(kl, sizeof kl, "kl/%s", lane);
    snprintf(own, sizeof own, "logp/%s", lane);
    if (!dense(s, kl) || t->rows == 0)
        return 0;
    rc = dk_alloc(&x, t->rows, sizeof *x, "a score", err);
    if (rc == 0) rc = dk_alloc(&y, t->rows, sizeof *y, "a score", err);
    if (rc == 0) rc = dk_scores_read(s, kl, 0, t->rows, x, err);
    if (rc == 0) rc = divergence(c, t, as, x, err);
    if (rc == 0) rc = types(c, t, as, x, err);
    if (rc == 0 && dense(s, own) && dense(s, "logp/base")) {
        rc = dk_scores_read(s, own, 0, t->rows, x, err);
        if (rc == 0) rc = dk_scores_read(s, "logp/base", 0, t->rows, y, err);
        if (rc == 0) rc = change(c, t, as, x, y, err);
    }
    dk_free(x);
    dk_free(y);
    return rc;
}

/* --- lists ------------------------------------------------------------------------- */
/* One lane's top lists, document by document. */
struct lists {
    dk_scores *s;
    const dk_tokens *t;
    char index[256], value[256];
    size_t k, longest;
    uint32_t *id;                   /* [longest, k] */
    float *diff;
};

static int open_lists(struct lists *l, dk_scores *s, const char *lane, dk_err *err)
{
    const dk_score_info *x;
    size_t n;
    int rc;

    *l = (struct lists){ .s = s, .t = dk_scores_tokens(s) };
    snprintf(l->index, sizeof l->index, "topk/%s/top/index", lane);
    snprintf(l->value, sizeof l->value, "topk/%s/top/value", lane);
    x = dk_scores_find(s, l->index, false);
    l->k = x ? x->k : 0;
    for (size_t d = 0; d < l->t->docs; d++)
        l->longest = l->t->offset[d + 1] - l->t->offset[d] > l->longest ? l->t->offset[d + 1] - l->t->offset[d] : l->longest;
    if (!dk_mul_size(&n, l->longest, l->k))
        return dk_fail(err, DK_ENOMEM, "the lists of a document do not fit in memory");
    rc = dk_alloc(&l->id, n, sizeof *l->id, "lists", err);
    return rc < 0 ? rc : dk_alloc(&l->diff, n, sizeof *l->diff, "lists", err);
}

static void close_lists(struct lists *l)
{
    dk_free(l->id);
    dk_free(l->diff);
}

/* Counts by document into sums, and the mean of the listed values.  Where a lane does not
 * differ the list still has k entries, whose values are zero: these are not raised.  What
 * is below zero may be: a constant added to all logits means nothing. */
static int sum_rates(dk_cal_rates *r, struct lists *l, double *sum, double *n, dk_err *err)
{
    uint32_t *count = NULL, *seen = NULL;
    size_t all;
    int rc = dk_mul_size(&all, l->longest, l->k) ? dk_alloc(&count, r->vocab, sizeof *count, "counts", err)
                                                 : dk_fail(err, DK_ENOMEM, "the lists do not fit in memory");

    if (rc == 0) rc = dk_alloc(&seen, all, sizeof *seen, "counts", err);
    for (size_t d = 0; rc == 0 && d < l->t->docs; d++) {
        const size_t first = l->t->offset[d], rows = l->t->offset[d + 1] - first;
        size_t n_seen = 0;

        if (rows == 0)
            continue;
        rc = dk_scores_read_index(l->s, l->index, first, rows, l->id, err);
        if (rc == 0)
            rc = dk_scores_read(l->s, l->value, first, rows, l->diff, err);
        for (size_t i = 0; rc == 0 && i < rows * l->k; i++) {
            sum[d] += l->diff[i];
            if (l->diff[i] != 0 && l->id[i] < r->vocab && count[l->id[i]]++ == 0)
                seen[n_seen++] = l->id[i];
        }
        for (size_t i = 0; i < n_seen; i++) {
            const double x = count[seen[i]];

            r->x[seen[i]] += x;
            r->xx[seen[i]] += x * x;
            r->xn[seen[i]] += x * (double)rows;
            count[seen[i]] = 0;
        }
        n[d] = (double)(rows * l->k);
        r->n += (double)rows;
        r->nn += (double)rows * (double)rows;
        r->docs++;
    }
    dk_free(count);
    dk_free(seen);
    return rc;
}

/* By count, then by id, as dk-mine ranks them. */
static void best_of(const dk_cal_rates *r, dk_cal_list *l)
{
    for (size_t v = 0; v < r->vocab; v++) {
        size_t at = l->n;

        while (at > 0 && r->x[l->id[at - 1]] < r->x[v])
            at--;
        if (r->x[v] <= 0 || at >= DK_CAL_TOP)
            continue;
        l->n += l->n < DK_CAL_TOP;
        memmove(l->id + at + 1, l->id + at, (l->n - at - 1) * sizeof *l->id);
        l->id[at] = (uint32_t)v;
    }
}

/* How often two of the list's tokens stand in one row, in the mean over pairs. */
static int together(double *out, struct lists *l, const dk_cal_list *list, dk_err *err)
{
    const size_t pairs = list->n * (list->n - 1) / 2;
    double sum = 0;
    int rc = 0;

    for (size_t d = 0; rc == 0 && d < l->t->docs; d++) {
        const size_t first = l->t->offset[d], rows = l->t->offset[d + 1] - first;

        rc = rows ? dk_scores_read_index(l->s, l->index, first, rows, l->id, err) : 0;
        if (rc == 0 && rows)
            rc = dk_scores_read(l->s, l->value, first, rows, l->diff, err);
        for (size_t i = 0; rc == 0 && i < rows; i++) {
            double in = 0;

            for (size_t j = 0; j < l->k; j++)
                for (size_t k = 0; k < list->n; k++)
                    in += l->diff[i * l->k + j] != 0 && l->id[i * l->k + j] == list->id[k];
            sum += in * (in - 1) / 2;
        }
    }
    *out = pairs && l->t->rows ? sum / (double)pairs / (double)l->t->rows : 0;
    return rc;
}

static int add_lists(dk_cal *c, dk_scores *s, const char *lane, const char *as, dk_err *err)
{
    const dk_tokens *t = dk_scores_tokens(s);
    char sums[256];
    struct lists l;
    dk_cal_rates *r = NULL;
    dk_cal_list list = { .layer = -1, .position = INT32_MIN, .component = -1 };
    double *sum = NULL, *n = NULL, total = 0, values = 0, joint = NAN;
    dk_cal_row *row;
    int rc = open_lists(&l, s, lane, err);

    snprintf(sums, sizeof sums, "%s/sum_logit_diff", lane);
    if (rc < 0 || l.k == 0 || t->rows == 0 || !dk_scores_find(s, sums, true)) {
        close_lists(&l);
        return rc;
    }
    rc = dk_cal_new_rates(&r, c, DK_CAL_RAISED, t->corpus_name, as, dk_scores_find(s, sums, true)->rows, err);
    if (rc == 0) rc = dk_alloc(&sum, t->docs, sizeof *sum, "sums", err);
    if (rc == 0) rc = dk_alloc(&n, t->docs, sizeof *n, "sums", err);
    if (rc == 0) rc = sum_rates(r, &l, sum, n, err);
    if (rc == 0) {
        best_of(r, &list);
        rc = together(&joint, &l, &list, err);
    }
    if (rc == 0) {
        for (size_t d = 0; d < t->docs; d++) {
            total += sum[d];
            values += n[d];
        }
        row = dk_cal_new_row(c, "diff_mining", "mean_top_value", t->corpus_name, as);
        row->value = total / values;
        row->docs = (double)t->docs;
        rc = dk_bootstrap_ratio(&row->lo, &row->hi, sum, n, t->id, t->docs, c->seed, err);
        row = dk_cal_new_row(c, "diff_mining", "coherence", t->corpus_name, as);
        row->content = true;
        row->value = joint;
        row->docs = (double)t->docs;
        list.method = dk_xstrdup("diff_mining");
        list.set = dk_xstrdup(t->corpus_name);
        list.site = dk_xstrdup("");
        list.lane = dk_xstrdup(as);
        c->list = dk_xrealloc(c->list, (c->n_lists + 1) * sizeof *c->list);
        c->list[c->n_lists++] = list;
    }
    dk_free(sum);
    dk_free(n);
    close_lists(&l);
    return rc;
}

/* --- the file ------------------------------------------------------------------------ */
static int count_ids(dk_cal *c, const dk_tokens *t, const char *path, dk_err *err)
{
    if (c->count && (t->vocab != c->vocab || strcmp(t->tokenizer_sha256, c->tokenizer_sha256) != 0))
        return dk_fail(err, DK_EDATA, "%s: its tokens are not those of the tokenizer of the files before it", path);
    if (!c->count) {
        const int rc = dk_alloc(&c->count, t->vocab, sizeof *c->count, "counts", err);

        if (rc < 0)
            return rc;
        c->vocab = t->vocab;
        snprintf(c->tokenizer_sha256, sizeof c->tokenizer_sha256, "%s", t->tokenizer_sha256);
    }
    for (size_t i = 0; i < t->rows; i++)
        c->count[t->token[i]]++;
    return 0;
}

int dk_cal_add_scores(dk_cal *c, const char *path, const char *as_null, dk_err *err)
{
    const size_t before = c->n;
    dk_scores *s = NULL;
    int rc = dk_scores_open(&s, path, err);

    if (rc == 0)
        rc = count_ids(c, dk_scores_tokens(s), path, err);
    for (size_t i = 0; rc == 0 && i < dk_scores_n_models(s); i++) {
        const char *lane, *as;

        dk_scores_model(s, i, &lane);
        as = dk_cal_lane(c, lane, as_null);
        if (as)
            rc = add_kl(c, s, lane, as, err);
        if (rc == 0 && as)
            rc = add_lists(c, s, lane, as, err);
    }
    dk_scores_close(&s);
    if (rc < 0)
        return dk_err_prefix(err, "%s", path);
    return c->n > before ? 0 : dk_fail(err, DK_EDATA, "%s holds no divergence and no top lists of a finetune or a null", path);
}
