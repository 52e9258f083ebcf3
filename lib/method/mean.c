/* Means of activations.  Sums run in double, document by document, so that
 * results do not depend on anything but the rows. */
#include "method/mean.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "method/lane.h"
#include "num/docmeans.h"

enum { MAX_START = 512 };           /* a longer question than this is left out */

/* --- which rows ---------------------------------------------------------------- */
struct rows {
    size_t n_pos;
    int32_t first;
    size_t docs, longest;
    size_t *start;                  /* [docs of the file] row of the first position; SIZE_MAX: left out */
};

/* Row of position 0 within document d: SIZE_MAX where a chat has no answer. */
static size_t origin(const dk_tokens *t, size_t d, bool chat)
{
    const size_t n = t->offset[d + 1] - t->offset[d];
    size_t i = 0;

    if (!chat)
        return 0;
    while (i < n && !(t->flags[t->offset[d] + i] & DK_TOK_ASSISTANT))
        i++;
    return i < n ? i : SIZE_MAX;
}

static bool usable(size_t at, size_t before) { return at != SIZE_MAX && at >= before && at <= MAX_START; }

/* The most positions that a document has. */
static size_t most_positions(const dk_tokens *t, bool chat, size_t before)
{
    size_t most = 0;

    for (size_t d = 0; d < t->docs; d++) {
        const size_t at = origin(t, d, chat), len = t->offset[d + 1] - t->offset[d];

        if (usable(at, before) && len > at && len - at > most)
            most = len - at;
    }
    return most;
}

static void make_do(const dk_tokens *t, const char *path, bool *chat, size_t *before, size_t *n)
{
    size_t most = most_positions(t, *chat, *before);

    if (*chat && most == 0) {
        dk_log(DK_WARN, "%s: no chat reaches an answer: positions count from its start", path);
        *chat = false;
        *before = 0;
        most = most_positions(t, false, 0);
    }
    if (*n > most) {
        dk_log(DK_WARN, "%s: no document has %zu positions: the first %zu are taken", path, *n, most);
        *n = most;
    }
}

static int choose_rows(struct rows *r, const dk_tokens *t, const dk_mean_plan *plan, const char *path,
                       dk_err *err)
{
    bool chat = t->format && strcmp(t->format, "chat") == 0;
    size_t before = chat ? plan->before : 0, n = plan->n;

    if (plan->fewer)
        make_do(t, path, &chat, &before, &n);
    *r = (struct rows){ .first = -(int32_t)before, .start = dk_xcalloc(t->docs + 1, sizeof *r->start) };
    for (size_t d = 0; d < t->docs; d++) {
        const size_t at = origin(t, d, chat), len = t->offset[d + 1] - t->offset[d];

        r->longest = len > r->longest ? len : r->longest;
        if (plan->n == 0 && len > 0 && usable(at, before) && (n == 0 || len - at < n))
            n = len - at;
    }
    for (size_t d = 0; d < t->docs; d++) {
        const size_t at = origin(t, d, chat), len = t->offset[d + 1] - t->offset[d];
        const bool good = n > 0 && usable(at, before) && len >= at + n;

        r->start[d] = good ? at - before : SIZE_MAX;
        r->docs += good;
    }
    r->n_pos = n + before;
    return r->docs ? 0 : dk_fail(err, DK_EDATA, "%s: no document has the positions asked for "
                                 "(%zu tokens%s)", path, n, chat ? " from the first answer on" : "");
}

/* --- sums ------------------------------------------------------------------------ */
static void add_row(double *sum, double *norm, const float *x, size_t d)
{
    double sq = 0;

    for (size_t j = 0; j < d; j++) {
        sum[j] += x[j];
        sq += (double)x[j] * x[j];
    }
    *norm += sqrt(sq);
}

static void divide(dk_means *m)
{
    double rest = 0;

    for (size_t p = 0; p < m->n_pos; p++) {
        for (size_t j = 0; j < m->d; j++)
            m->pos[p * m->d + j] /= (double)m->docs;
        m->pos_norm[p] /= (double)m->docs;
        rest += p >= DK_MEAN_SKIP ? m->pos_norm[p] : 0;
    }
    for (size_t j = 0; j < m->d; j++)
        m->whole[j] /= (double)m->rows;
    m->whole_norm /= (double)m->rows;
    m->act_norm = m->n_pos > DK_MEAN_SKIP ? rest / (double)(m->n_pos - DK_MEAN_SKIP) : NAN;
}

static int room(dk_means *m, const struct rows *r, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, r->n_pos, m->d) ? dk_alloc(&m->pos, n, sizeof *m->pos, "means", err)
                                             : dk_fail(err, DK_ENOMEM, "the means do not fit in memory");

    if (rc == 0) rc = dk_alloc(&m->pos_norm, r->n_pos, sizeof *m->pos_norm, "means", err);
    if (rc == 0) rc = dk_alloc(&m->whole, m->d, sizeof *m->whole, "means", err);
    return rc;
}

static void add_rows(dk_means *m, const float *x, size_t n, size_t start, size_t n_pos)
{
    for (size_t j = 0; j < n; j++)
        add_row(m->whole, &m->whole_norm, x + j * m->d, m->d);
    for (size_t p = 0; start != SIZE_MAX && p < n_pos; p++)
        add_row(m->pos + p * m->d, &m->pos_norm[p], x + (start + p) * m->d, m->d);
}

/* --- lanes of one layer and site --------------------------------------------------- */
struct list { dk_means *m; dk_lane_rows *s; size_t n; };

static int add(struct list *l, dk_acts *f, const char *what, const dk_lane_rows *s, const struct rows *r,
               dk_err *err)
{
    l->m = dk_xrealloc(l->m, (l->n + 1) * sizeof *l->m);
    l->s = dk_xrealloc(l->s, (l->n + 1) * sizeof *l->s);
    l->s[l->n] = *s;
    l->m[l->n++] = (dk_means){
        .layer = s->a->layer, .site = dk_xstrdup(s->a->site), .what = dk_xstrdup(what), .d = s->a->d,
        .n_pos = r->n_pos, .first = r->first, .docs = r->docs, .rows = dk_acts_tokens(f)->rows
    };
    return room(&l->m[l->n - 1], r, err);
}

static bool is_diff(const char *what) { return strcmp(what, "diff") == 0 || strncmp(what, "diff.", 5) == 0; }

/* Of differences also what each document adds; the memory for it has a bound. */
static int keep_documents(const struct list *l, dk_doc_means **docs, const dk_tokens *t, const char *path, dk_err *err)
{
    double bytes = 0;
    int rc = 0;

    for (size_t k = 0; k < l->n; k++)
        bytes += is_diff(l->m[k].what) ? (double)dk_doc_means_bytes(t->docs, l->m[k].n_pos, l->m[k].d) : 0;
    if (bytes > DK_DOC_MEANS_MOST) {
        dk_log(DK_WARN, "%s: too many documents and positions for intervals: there are none", path);
        return 0;
    }
    for (size_t k = 0; rc == 0 && k < l->n; k++)
        if (is_diff(l->m[k].what))
            rc = dk_doc_means_new(&docs[k], t->docs, l->m[k].n_pos, l->m[k].d, err);
    return rc;
}

static int intervals(dk_means *m, const dk_doc_means *docs, uint64_t seed, dk_err *err)
{
    int rc = dk_alloc(&m->lo, m->n_pos + 1, sizeof *m->lo, "intervals", err);

    if (rc == 0) rc = dk_alloc(&m->hi, m->n_pos + 1, sizeof *m->hi, "intervals", err);
    if (rc == 0) rc = dk_alloc(&m->p, m->n_pos + 1, sizeof *m->p, "intervals", err);
    if (rc == 0) rc = dk_doc_means_end(docs, m->lo, m->hi, m->p, seed, err);
    return rc < 0 ? dk_err_prefix(err, "L%02d/%s/%s", m->layer, m->site, m->what) : 0;
}

/* All lanes at once, document by document: so a stream can be read, too. */
static int sum(struct list *l, dk_acts *f, const struct rows *r, uint64_t seed, dk_err *err)
{
    const dk_tokens *t = dk_acts_tokens(f);
    dk_doc_means **docs = dk_xcalloc(l->n, sizeof *docs);
    float *x = NULL, *work = NULL;
    size_t d = 1;
    int rc;

    for (size_t k = 0; k < l->n; k++)
        d = l->m[k].d > d ? l->m[k].d : d;
    rc = dk_alloc(&x, r->longest * d, sizeof *x, "rows of a document", err);
    if (rc == 0)
        rc = dk_alloc(&work, r->longest * d, sizeof *work, "rows of a document", err);
    if (rc == 0)
        rc = keep_documents(l, docs, t, dk_h5_path(dk_acts_file(f)), err);
    for (size_t i = 0; rc == 0 && i < t->docs; i++) {
        const size_t n = t->offset[i + 1] - t->offset[i];

        for (size_t k = 0; rc == 0 && n && k < l->n; k++) {
            if ((rc = dk_lane_read(f, &l->s[k], t->offset[i], n, x, work, err)) < 0)
                break;
            add_rows(&l->m[k], x, n, r->start[i], r->n_pos);
            if (docs[k])
                dk_doc_means_add(docs[k], t->id[i], x, n, r->start[i]);
        }
        dk_acts_done(f, t->offset[i + 1]);
    }
    dk_free(x);
    dk_free(work);
    for (size_t k = 0; rc == 0 && k < l->n; k++)
        divide(&l->m[k]);
    if (rc == 0)
        rc = dk_acts_finish(f, err);
    for (size_t k = 0; k < l->n; k++) {
        if (rc == 0 && docs[k])
            rc = intervals(&l->m[k], docs[k], seed, err);
        dk_doc_means_free(&docs[k]);
    }
    dk_free(docs);
    return rc;
}

/* A lane and its difference to the base, stored or worked out from the other.
 * Of nulls only what is stored, and the difference. */
static int add_lane(struct list *l, dk_acts *f, const dk_act_info *like, const char *lane, const struct rows *r,
                    dk_err *err)
{
    const bool ft = strcmp(lane, "ft") == 0;
    char *diff_name = ft ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);
    const dk_lane_rows own = dk_lane_find(f, like->layer, like->site, lane),
                       diff = dk_lane_find(f, like->layer, like->site, diff_name);
    int rc = own.a ? add(l, f, lane, &own, r, err) : 0;

    if (rc == 0 && diff.a)
        rc = add(l, f, diff_name, &diff, r, err);
    dk_free(diff_name);
    return rc;
}

static int add_layer(struct list *l, dk_acts *f, const dk_act_info *like, char *lanes, const struct rows *r,
                     dk_err *err)
{
    const dk_lane_rows base = dk_lane_find(f, like->layer, like->site, "base");
    char *copy = dk_xstrdup(lanes), *save = NULL;
    int rc = base.a ? add(l, f, "base", &base, r, err) : 0;

    for (char *lane = strtok_r(copy, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save))
        if (strcmp(lane, "base") != 0)
            rc = add_lane(l, f, like, lane, r, err);
    dk_free(copy);
    return rc;
}

int dk_means_of(dk_means **out, size_t *n, dk_acts *f, const dk_mean_plan *plan, dk_err *err)
{
    struct list l = {0};
    struct rows r;
    char *lanes = NULL;
    int rc = choose_rows(&r, dk_acts_tokens(f), plan, dk_h5_path(dk_acts_file(f)), err);

    if (rc == 0)
        rc = dk_h5_get_str(dk_acts_file(f), "/", "lanes", &lanes, err);
    for (size_t i = 0; rc == 0 && i < dk_acts_n(f); i++) {
        const dk_act_info *x = dk_acts_at(f, i), *last = i ? dk_acts_at(f, i - 1) : NULL;

        if (!last || last->layer != x->layer || strcmp(last->site, x->site) != 0)
            rc = add_layer(&l, f, x, lanes, &r, err);
    }
    if (rc == 0)
        rc = sum(&l, f, &r, plan->seed, err);
    dk_free(l.s);
    dk_free(lanes);
    dk_free(r.start);
    *out = l.m;
    *n = l.n;
    if (rc < 0) {
        dk_means_free(l.m, l.n);
        *out = NULL;
        *n = 0;
    }
    return rc;
}

/* --- from statistics ---------------------------------------------------------------- */
static const dk_stats *find_stats(const dk_stats *s, size_t n, const dk_stats *like, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].layer == like->layer && strcmp(s[i].site, like->site) == 0 && strcmp(s[i].what, what) == 0)
            return &s[i];
    return NULL;
}

/* Positions must be those of all documents: one that lacks some cannot be left out any more. */
static int choose_positions(size_t *n, const dk_stats *s, const dk_tokens *corpus, const dk_mean_plan *plan,
                            const char *path, dk_err *err)
{
    const bool chat = corpus->format && strcmp(corpus->format, "chat") == 0;

    *n = 0;
    if (chat)
        return plan->n == 0 ? 0 : dk_fail(err, DK_EDATA, "%s: statistics know no positions from an answer on; "
                                          "extract the rows of chats", path);
    while (*n < s->n_pos && s->pos_count[*n] == s->pos_count[0] && s->pos_count[0] && (plan->n == 0 || *n < plan->n))
        ++*n;
    return *n >= plan->n ? 0 : dk_fail(err, DK_EDATA, "%s: these statistics have no %zu positions of every document",
                                       path, plan->n);
}

/* own, or where b is there the sum of a and sign times b: their norms are not known. */
static int add_stats(struct list *l, const dk_stats *a, const dk_stats *b, double sign, const char *what, size_t n_pos,
                     dk_err *err)
{
    const struct rows r = { .n_pos = n_pos };
    dk_means *m;
    int rc;

    if (b && (b->d != a->d || b->n_pos != a->n_pos || b->count != a->count))
        return dk_fail(err, DK_EFORMAT, "statistics of %s and %s do not fit together", a->what, b->what);
    l->m = dk_xrealloc(l->m, (l->n + 1) * sizeof *l->m);
    m = &l->m[l->n++];
    *m = (dk_means){ .layer = a->layer, .site = dk_xstrdup(a->site), .what = dk_xstrdup(what), .d = a->d, .n_pos = n_pos,
                     .docs = n_pos ? a->pos_count[0] : 0, .rows = a->count };
    if ((rc = room(m, &r, err)) < 0)
        return rc;
    for (size_t j = 0; j < m->d; j++)
        m->whole[j] = a->sum[j] + (b ? sign * b->sum[j] : 0);
    for (size_t i = 0; i < n_pos * m->d; i++)
        m->pos[i] = a->pos_sum[i] + (b ? sign * b->pos_sum[i] : 0);
    m->whole_norm = b ? NAN : a->norm_sum;
    for (size_t p = 0; p < n_pos; p++)
        m->pos_norm[p] = b ? NAN : a->pos_norm_sum[p];
    divide(m);
    return 0;
}

static int add_stats_lane(struct list *l, const dk_stats *s, size_t n, const dk_stats *like, const char *lane, size_t n_pos,
                          dk_err *err)
{
    const bool ft = strcmp(lane, "ft") == 0;
    char *name = ft ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);
    const dk_stats *base = find_stats(s, n, like, "base"), *own = find_stats(s, n, like, lane),
                   *diff = find_stats(s, n, like, name);
    int rc = 0;

    if (own)
        rc = add_stats(l, own, NULL, 0, lane, n_pos, err);
    else if (ft && base && diff)
        rc = add_stats(l, base, diff, 1, lane, n_pos, err);
    if (rc == 0 && diff)
        rc = add_stats(l, diff, NULL, 0, name, n_pos, err);
    else if (rc == 0 && own && base)
        rc = add_stats(l, own, base, -1, name, n_pos, err);
    dk_free(name);
    return rc;
}

static int add_stats_place(struct list *l, const dk_stats *s, size_t n, const dk_stats *like, char *lanes,
                           const dk_tokens *corpus, const dk_mean_plan *plan, const char *path, dk_err *err)
{
    const dk_stats *base = find_stats(s, n, like, "base");
    char *copy = dk_xstrdup(lanes), *save = NULL;
    size_t n_pos;
    int rc = choose_positions(&n_pos, like, corpus, plan, path, err);

    if (rc == 0 && base)
        rc = add_stats(l, base, NULL, 0, "base", n_pos, err);
    for (char *lane = strtok_r(copy, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save))
        if (strcmp(lane, "base") != 0)
            rc = add_stats_lane(l, s, n, like, lane, n_pos, err);
    dk_free(copy);
    return rc;
}

int dk_means_of_stats(dk_means **out, size_t *n, dk_h5 *f, const dk_tokens *corpus, const dk_mean_plan *plan, dk_err *err)
{
    struct list l = {0};
    dk_stats *s = NULL;
    size_t n_stats = 0;
    char *lanes = NULL;
    int rc = dk_stats_get(f, &s, &n_stats, err);

    if (rc == 0)
        rc = dk_h5_get_str(f, "/", "lanes", &lanes, err);
    for (size_t i = 0; rc == 0 && i < n_stats; i++)
        if (i == 0 || s[i].layer != s[i - 1].layer || strcmp(s[i].site, s[i - 1].site) != 0)
            rc = add_stats_place(&l, s, n_stats, &s[i], lanes, corpus, plan, dk_h5_path(f), err);
    for (size_t i = 0; i < n_stats; i++)
        dk_stats_free(&s[i]);
    dk_free(s);
    dk_free(lanes);
    if (rc < 0) {
        dk_means_free(l.m, l.n);
        l = (struct list){0};
    }
    *out = l.m;
    *n = l.n;
    return rc;
}

void dk_means_free(dk_means *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dk_free(m[i].site);
        dk_free(m[i].what);
        dk_free(m[i].pos);
        dk_free(m[i].whole);
        dk_free(m[i].pos_norm);
        dk_free(m[i].lo);
        dk_free(m[i].hi);
        dk_free(m[i].p);
    }
    dk_free(m);
}
