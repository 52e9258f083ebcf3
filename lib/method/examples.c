/* Examples: every text has one value, and all of them are ranked. */
#include "method/examples.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

enum { EXTREME, MEAN };
enum { TOP, BOTTOM };

/* What a score says of one text. */
struct sum { float max, min, mean; size_t max_at, min_at, n; };     /* rows; n 0: nothing */

struct work {
    dk_scores *s;
    const dk_tokens *t;
    const dk_tokenizer *tok;
    const dk_example_plan *plan;
    size_t *first;                  /* [docs] the first document with the same tokens */
    size_t *copies;                 /* [docs] how many there are, at the first */
    float *value;                   /* [rows] of the score at hand */
    struct sum *sum;                /* [docs] of it */
    size_t n_lanes;
    const char **lane;              /* [n_lanes] others that have the same score */
    struct sum **other;             /* [n_lanes][docs] */
};

/* --- texts that occur twice -------------------------------------------------------- */
static int by_tokens(const void *a, const void *b, void *arg)
{
    const dk_tokens *t = arg;
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const size_t n = t->offset[x + 1] - t->offset[x], m = t->offset[y + 1] - t->offset[y];
    int c = n != m ? (n > m) - (n < m) : 0;

    if (c == 0 && n)
        c = memcmp(t->token + t->offset[x], t->token + t->offset[y], n * sizeof *t->token);
    return c ? c : (x > y) - (x < y);
}

static bool same_tokens(const dk_tokens *t, size_t x, size_t y)
{
    const size_t n = t->offset[x + 1] - t->offset[x];

    return n == t->offset[y + 1] - t->offset[y] &&
           (n == 0 || memcmp(t->token + t->offset[x], t->token + t->offset[y], n * sizeof *t->token) == 0);
}

static int find_copies(struct work *w, dk_err *err)
{
    const size_t docs = w->t->docs;
    size_t *order = NULL;
    int rc = dk_alloc(&order, docs, sizeof *order, "texts", err);

    if (rc == 0) rc = dk_alloc(&w->first, docs, sizeof *w->first, "texts", err);
    if (rc == 0) rc = dk_alloc(&w->copies, docs, sizeof *w->copies, "texts", err);
    for (size_t d = 0; rc == 0 && d < docs; d++)
        order[d] = d;
    if (rc == 0 && docs)
        qsort_r(order, docs, sizeof *order, by_tokens, (void *)w->t);
    for (size_t i = 0; rc == 0 && i < docs; i++) {
        const bool again = i > 0 && same_tokens(w->t, order[i], order[i - 1]);

        w->first[order[i]] = again ? w->first[order[i - 1]] : order[i];
        w->copies[w->first[order[i]]]++;
    }
    dk_free(order);
    return rc;
}

/* --- values -------------------------------------------------------------------------- */
static void summarise(struct sum *out, const dk_tokens *t, const float *v)
{
    for (size_t d = 0; d < t->docs; d++) {
        struct sum s = { .max = -INFINITY, .min = INFINITY };
        double sum = 0;

        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++) {
            if (isnan(v[i]))
                continue;
            if (s.n == 0 || v[i] > s.max) {
                s.max = v[i];
                s.max_at = i;
            }
            if (s.n == 0 || v[i] < s.min) {
                s.min = v[i];
                s.min_at = i;
            }
            sum += v[i];
            s.n++;
        }
        s.mean = (float)(sum / (double)s.n);
        out[d] = s;
    }
}

static int read_sums(struct work *w, const char *name, struct sum *out, dk_err *err)
{
    const int rc = dk_scores_read(w->s, name, 0, w->t->rows, w->value, err);

    if (rc == 0)
        summarise(out, w->t, w->value);
    return rc;
}

/* The same score of every other lane: what a null shows.  The score's own values
 * are read last, and stay. */
static int read_score(struct work *w, const char *name, dk_err *err)
{
    const char *slash = strrchr(name, '/');
    int rc = 0;

    w->n_lanes = 0;
    for (size_t i = 0; rc == 0 && slash && i < dk_scores_n_models(w->s); i++) {
        const dk_score_info *x;
        const char *lane;
        char *other;

        dk_scores_model(w->s, i, &lane);
        other = dk_xasprintf("%.*s/%s", (int)(slash - name), name, lane);
        x = dk_scores_find(w->s, other, false);
        if (strcmp(lane, "base") != 0 && strcmp(lane, slash + 1) != 0 && x && x->kind == DK_SCORE_DENSE && x->k == 1 &&
            (rc = read_sums(w, other, w->other[w->n_lanes], err)) == 0)
            w->lane[w->n_lanes++] = lane;
        dk_free(other);
    }
    return rc < 0 ? rc : read_sums(w, name, w->sum, err);
}

static float value_of(const struct sum *s, int by, int side)
{
    return by == MEAN ? s->mean : side == TOP ? s->max : s->min;
}

/* --- ranking -------------------------------------------------------------------------- */
struct entry { float value; size_t doc; };

static int ascending(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->doc < y->doc ? 1 : -1;        /* of equals the first is the highest */
}

static int descending_docs(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->doc < y->doc ? -1 : 1;        /* for the bottom side: of equals the first is the lowest */
}

/* --- output --------------------------------------------------------------------------- */
static void put_text(dk_jw *j, const struct work *w, const char *key, size_t from, size_t to)
{
    dk_tokenizer_put(w->tok, j, key, w->t->token + from, to - from);
}

static void put_place(dk_jw *j, const struct work *w, size_t doc, size_t row)
{
    const size_t first = w->t->offset[doc], end = w->t->offset[doc + 1], n = w->plan->context;

    dk_jw_key(j, "pos"); dk_jw_u64(j, w->t->pos[row]);
    dk_jw_key(j, "id"); dk_jw_u64(j, w->t->token[row]);
    put_text(j, w, "before", row - first > n ? row - n : first, row);
    put_text(j, w, "token", row, row + 1);
    put_text(j, w, "after", row + 1, end - row - 1 > n ? row + 1 + n : end);
}

static void put_nulls(dk_jw *j, const struct work *w, size_t doc, int by, int side)
{
    dk_jw_key(j, "null");
    dk_jw_obj_begin(j);
    for (size_t l = 0; l < w->n_lanes; l++) {
        dk_jw_key(j, w->lane[l]);
        if (w->other[l][doc].n)
            dk_jw_f32(j, value_of(&w->other[l][doc], by, side));
        else
            dk_jw_null(j);
    }
    dk_jw_obj_end(j);
}

static void put_values(dk_jw *j, const struct work *w, size_t doc)
{
    dk_jw_key(j, "ids");
    dk_jw_arr_begin(j);
    for (size_t i = w->t->offset[doc]; i < w->t->offset[doc + 1]; i++)
        dk_jw_u64(j, w->t->token[i]);
    dk_jw_arr_end(j);
    dk_jw_key(j, "values");
    dk_jw_arr_begin(j);
    for (size_t i = w->t->offset[doc]; i < w->t->offset[doc + 1]; i++)
        dk_jw_f32(j, w->value[i]);
    dk_jw_arr_end(j);
}

static void put_row(dk_buf *out, const struct work *w, const dk_score_info *x, int by, int side, size_t band,
                    size_t rank, const struct entry *e)
{
    const struct sum *s = &w->sum[e->doc];
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    dk_jw_key(&j, "score"); dk_jw_str(&j, x->name);
    dk_jw_key(&j, "by"); dk_jw_str(&j, by == MEAN ? "mean" : "extreme");
    dk_jw_key(&j, "side"); dk_jw_str(&j, side == TOP ? "top" : "bottom");
    if (w->plan->n_edges) {
        dk_jw_key(&j, "quantile"); dk_jw_num(&j, w->plan->edge[band]);
    }
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, w->t->corpus_name);
    dk_jw_key(&j, "doc"); dk_jw_u64(&j, w->t->id[e->doc]);
    dk_jw_key(&j, "copies"); dk_jw_u64(&j, w->copies[e->doc]);
    dk_jw_key(&j, "value"); dk_jw_f32(&j, e->value);
    dk_jw_key(&j, "unit"); dk_jw_str(&j, x->attr.unit);
    dk_jw_key(&j, "length"); dk_jw_u64(&j, w->t->offset[e->doc + 1] - w->t->offset[e->doc]);
    put_place(&j, w, e->doc, side == TOP ? s->max_at : s->min_at);
    put_nulls(&j, w, e->doc, by, side);
    if (!w->plan->no_text)
        put_text(&j, w, "text", w->t->offset[e->doc], w->t->offset[e->doc + 1]);
    if (!w->plan->no_values)
        put_values(&j, w, e->doc);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* Text i of n in ascending order belongs to the first band whose edge is at or above (i + 1) / n. */
static size_t band_end(const dk_example_plan *p, size_t band, size_t n)
{
    return p->n_edges == 0 ? n : (size_t)floor(p->edge[band] * (double)n + 1e-9);
}

static int put_lists(dk_buf *out, const struct work *w, const dk_score_info *x, int by, int side, dk_err *err)
{
    const dk_example_plan *p = w->plan;
    struct entry *e = NULL;
    size_t n = 0, from = 0;
    int rc = dk_alloc(&e, w->t->docs, sizeof *e, "a ranking", err);

    for (size_t d = 0; rc == 0 && d < w->t->docs; d++)
        if (w->sum[d].n && w->first[d] == d)
            e[n++] = (struct entry){ value_of(&w->sum[d], by, side), d };
    if (n)
        qsort(e, n, sizeof *e, side == TOP ? ascending : descending_docs);
    for (size_t b = 0; rc == 0 && b < (p->n_edges ? p->n_edges : 1); b++) {
        const size_t to = band_end(p, b, n), size = to > from ? to - from : 0;

        for (size_t i = 0; i < size && i < p->k; i++)
            put_row(out, w, x, by, side, b, i + 1, &e[side == TOP ? to - 1 - i : from + i]);
        from = to > from ? to : from;
    }
    dk_free(e);
    return rc;
}

static int one_score(dk_buf *out, struct work *w, const dk_score_info *x, dk_err *err)
{
    int rc = read_score(w, x->name, err);

    for (int by = 0; rc == 0 && by < 2; by++)
        for (int side = 0; rc == 0 && side < 2; side++)
            if (w->plan->by[by] && w->plan->side[side])
                rc = put_lists(out, w, x, by, side, err);
    return rc;
}

/* --- which scores ----------------------------------------------------------------------- */
static bool default_score(const struct work *w, const dk_score_info *x)
{
    const char *slash = strrchr(x->name, '/');

    return x->kind == DK_SCORE_DENSE && x->k == 1 && x->attr.higher && strcmp(x->attr.higher, "more different") == 0 &&
           slash && strcmp(slash + 1, w->plan->lane) == 0;
}

/* All that a pattern names; what has no values of single tokens is no match, unless it is named itself. */
static int named_scores(dk_buf *out, struct work *w, const char *pattern, dk_err *err)
{
    const char *path = dk_h5_path(dk_scores_file(w->s));
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_scores_n(w->s); i++) {
        const dk_score_info *x = dk_scores_at(w->s, i);

        if (fnmatch(pattern, x->name, 0) != 0 || x->kind >= DK_SCORE_VOCAB_I64)
            continue;
        if (x->kind == DK_SCORE_DENSE && x->k == 1)
            rc = one_score(out, w, x, err);
        else if (strcmp(pattern, x->name) == 0)
            rc = dk_fail(err, DK_EDATA, "%s: %s is not one value a token", path, x->name);
        else
            continue;
        n++;
    }
    return rc < 0 || n ? rc : dk_fail(err, DK_EDATA, "%s has no score %s", path, pattern);
}

static int all_scores(dk_buf *out, struct work *w, dk_err *err)
{
    const char *path = dk_h5_path(dk_scores_file(w->s));
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < w->plan->n_scores; i++)
        rc = named_scores(out, w, w->plan->score[i], err);
    for (size_t i = 0; rc == 0 && w->plan->n_scores == 0 && i < dk_scores_n(w->s); i++)
        if (default_score(w, dk_scores_at(w->s, i))) {
            rc = one_score(out, w, dk_scores_at(w->s, i), err);
            n++;
        }
    if (rc == 0 && w->plan->n_scores == 0 && n == 0)
        rc = dk_fail(err, DK_EDATA, "%s has no score of lane '%s' that says how different it is; name one with --score",
                     path, w->plan->lane);
    return rc;
}

int dk_examples_table(dk_buf *out, dk_scores *s, const dk_tokenizer *tok, const dk_example_plan *plan, dk_err *err)
{
    struct work w = { .s = s, .t = dk_scores_tokens(s), .tok = tok, .plan = plan };
    const size_t models = dk_scores_n_models(s);
    int rc = find_copies(&w, err);

    w.lane = dk_xcalloc(models + 1, sizeof *w.lane);
    w.other = dk_xcalloc(models + 1, sizeof *w.other);
    if (rc == 0) rc = dk_alloc(&w.value, w.t->rows, sizeof *w.value, "scores", err);
    if (rc == 0) rc = dk_alloc(&w.sum, w.t->docs, sizeof *w.sum, "scores", err);
    for (size_t i = 0; rc == 0 && i < models; i++)
        rc = dk_alloc(&w.other[i], w.t->docs, sizeof **w.other, "scores", err);
    if (rc == 0)
        rc = all_scores(out, &w, err);
    for (size_t i = 0; i < models; i++)
        dk_free(w.other[i]);
    dk_free(w.other);
    dk_free(w.lane);
    dk_free(w.value);
    dk_free(w.sum);
    dk_free(w.first);
    dk_free(w.copies);
    return rc;
}
