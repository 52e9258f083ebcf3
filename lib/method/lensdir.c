/* Directions through the head. */
#include "method/lensdir.h"

#include <math.h>
#include <string.h>

#include "backend/product.h"
#include "io/json.h"
#include "num/topheap.h"

enum { SLICE = 32, MAX_NULLS = 32 };        /* vectors in one product */

/* --- views --------------------------------------------------------------------- */
static int sum_up(dk_lens_view *v, size_t i, dk_err *err)
{
    const float *l = v->logit + i * v->vocab;
    double max = l[0], sum = 0;

    for (size_t t = 0; t < v->vocab; t++) {
        if (!isfinite(l[t]))
            return dk_fail(err, DK_ENUM, "logits are NaN or infinite");
        max = l[t] > max ? l[t] : max;
    }
    for (size_t t = 0; t < v->vocab; t++)
        sum += exp(l[t] - max);
    v->lse[i] = max + log(sum);
    return 0;
}

int dk_lens_view_of(dk_lens_view *v, const dk_model *m, const float *x, size_t n, float sign, dk_err *err)
{
    size_t total;
    int rc;

    *v = (dk_lens_view){ .n = n, .vocab = m->config.vocab };
    if (!dk_mul_size(&total, dk_padded_rows(n), v->vocab))
        return dk_fail(err, DK_ENOMEM, "the logits do not fit in memory");
    rc = dk_alloc(&v->logit, total, sizeof *v->logit, "logits", err);
    if (rc == 0)
        rc = dk_alloc(&v->lse, n, sizeof *v->lse, "logits", err);
    if (rc == 0)
        rc = dk_model_unembed(m, x, n, sign, v->logit, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = sum_up(v, i, err);
    if (rc < 0)
        dk_lens_view_free(v);
    return rc;
}

void dk_lens_view_free(dk_lens_view *v)
{
    dk_free(v->logit);
    dk_free(v->lse);
    *v = (dk_lens_view){0};
}

double dk_lens_entropy(const dk_lens_view *v, size_t i)
{
    const float *l = v->logit + i * v->vocab;
    double sum = 0;

    for (size_t t = 0; t < v->vocab; t++) {
        const double logp = l[t] - v->lse[i];

        sum -= exp(logp) * logp;
    }
    return sum;
}

double dk_lens_kurtosis(const dk_lens_view *v, size_t i)
{
    const float *l = v->logit + i * v->vocab;
    const double n = (double)v->vocab;
    double mean = 0, m2 = 0, m4 = 0;

    for (size_t t = 0; t < v->vocab; t++)
        mean += l[t] / n;
    for (size_t t = 0; t < v->vocab; t++) {
        const double sq = (l[t] - mean) * (l[t] - mean);

        m2 += sq / n;
        m4 += sq * sq / n;
    }
    return m2 > 0 ? m4 / (m2 * m2) - 3 : NAN;
}

double dk_lens_prob(const dk_lens_view *v, size_t i, uint32_t id)
{
    return exp(v->logit[i * v->vocab + id] - v->lse[i]);
}

size_t dk_lens_rank(const dk_lens_view *v, size_t i, uint32_t id)
{
    const float *l = v->logit + i * v->vocab;
    size_t rank = 1;

    for (size_t t = 0; t < v->vocab; t++)
        rank += l[t] > l[id] || (l[t] == l[id] && t < id);
    return rank;
}

size_t dk_lens_top(const dk_lens_view *v, size_t i, size_t k, uint32_t *id)
{
    const float *l = v->logit + i * v->vocab;
    uint64_t *entry = dk_xmalloc(2 * k * sizeof *entry);
    float *value = dk_xmalloc(k * sizeof *value);
    dk_heap h = { .entry = entry };
    size_t n;

    dk_heap_begin(&h, 0);
    for (size_t t = 0; t < v->vocab; t++)
        if (l[t] > h.limit)
            dk_heap_offer(&h, k, l[t], (uint32_t)t, 0);
    n = dk_heap_end(&h, k, 0, id, value);
    dk_free(entry);
    dk_free(value);
    return n;
}

/* --- the table ------------------------------------------------------------------- */
struct query { const char *text; uint32_t id; };

struct work {
    dk_buf *out;
    const dk_model *m;
    const dk_tokenizer *tok;
    const dk_dirs *d;
    size_t k, first;
    struct query *query;            /* a token each */
    size_t n_query;
    uint32_t *id;                   /* [k] */
};

/* One list: entry i of a set, and the same entry of the nulls' sets. */
struct place {
    const dk_dir_set *s;
    size_t at;                      /* in the set */
    bool inverse;
    const dk_lens_view *view;       /* [1 + n_nulls] */
    size_t i;                       /* in the views */
    double entropy, kurtosis;
    const dk_dir_set *const *null;
    size_t n_nulls;
};

static void put_nulls(dk_jw *j, const struct place *p, uint32_t id)
{
    dk_jw_key(j, "null");
    dk_jw_obj_begin(j);
    for (size_t n = 0; n < p->n_nulls; n++) {
        dk_jw_key(j, p->null[n]->what + strlen("diff."));
        dk_jw_obj_begin(j);
        dk_jw_key(j, "value"); dk_jw_num(j, dk_lens_prob(&p->view[1 + n], p->i, id));
        dk_jw_key(j, "rank"); dk_jw_u64(j, dk_lens_rank(&p->view[1 + n], p->i, id));
        dk_jw_obj_end(j);
    }
    dk_jw_obj_end(j);
}

static void put_direction(dk_jw *j, const struct place *p, const char *dataset)
{
    dk_jw_key(j, "layer"); dk_jw_int(j, p->s->layer);
    dk_jw_key(j, "site"); dk_jw_str(j, p->s->site);
    dk_jw_key(j, "what"); dk_jw_str(j, p->s->what);
    dk_jw_key(j, "name"); dk_jw_str(j, p->s->name[p->at]);
    dk_jw_key(j, "position");
    if (p->s->position[p->at] == DK_NO_POSITION)
        dk_jw_null(j);
    else
        dk_jw_int(j, p->s->position[p->at]);
    dk_jw_key(j, "inverse"); dk_jw_bool(j, p->inverse);
    dk_jw_key(j, "dataset_id"); dk_jw_str(j, dataset);
}

static void put_row(const struct work *w, const struct place *p, uint32_t id, size_t rank, const char *query)
{
    const dk_span piece = dk_tokenizer_piece(w->tok, id);
    dk_jw j = { .out = w->out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    dk_jw_key(&j, "id"); dk_jw_u64(&j, id);
    dk_tokenizer_put(w->tok, &j, "token", &id, 1);
    dk_jw_key(&j, "piece"); dk_jw_strn(&j, piece.n ? piece.s : "", piece.n);
    dk_jw_key(&j, "value"); dk_jw_num(&j, dk_lens_prob(&p->view[0], p->i, id));
    put_direction(&j, p, dk_dirs_corpus(w->d)->corpus_name);
    dk_jw_key(&j, "entropy"); dk_jw_num(&j, p->entropy);
    dk_jw_key(&j, "kurtosis"); dk_jw_num(&j, p->kurtosis);
    put_nulls(&j, p, id);
    if (query) {
        dk_jw_key(&j, "query");
        dk_jw_str(&j, query);
    }
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

static void put_list(const struct work *w, const struct place *p)
{
    const size_t n = w->k ? dk_lens_top(&p->view[0], p->i, w->k, w->id) : 0;

    for (size_t r = 0; r < n; r++)
        put_row(w, p, w->id[r], r + 1, NULL);
    for (size_t q = 0; q < w->n_query; q++)
        put_row(w, p, w->query[q].id, dk_lens_rank(&p->view[0], p->i, w->query[q].id), w->query[q].text);
}

/* The differences of nulls that stand beside diff: with the same entries. */
static size_t nulls_of(const dk_dirs *d, const dk_dir_set *s, const dk_dir_set *null[MAX_NULLS])
{
    size_t n = 0;

    if (strcmp(s->what, "diff") != 0)
        return 0;
    for (size_t i = 0; i < dk_dirs_n(d) && n < MAX_NULLS; i++) {
        const dk_dir_set *x = dk_dirs_at(d, i);
        bool same = x->layer == s->layer && strcmp(x->site, s->site) == 0 &&
                    strncmp(x->what, "diff.", 5) == 0 && x->n == s->n && x->d == s->d;

        for (size_t e = 0; same && e < s->n; e++)
            same = strcmp(x->name[e], s->name[e]) == 0;
        if (same)
            null[n++] = x;
    }
    return n;
}

static int put_slice(const struct work *w, const dk_dir_set *s, size_t first, size_t n, bool inverse,
                     const dk_dir_set *const *null, size_t n_nulls, dk_lens_view *view, dk_err *err)
{
    const float sign = inverse ? -1 : 1;
    int rc = dk_lens_view_of(&view[0], w->m, s->vector + first * s->d, n, sign, err);

    for (size_t i = 0; rc == 0 && i < n_nulls; i++)
        rc = dk_lens_view_of(&view[1 + i], w->m, null[i]->vector + first * s->d, n, sign, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct place p = { s, first + i, inverse, view, i, dk_lens_entropy(&view[0], i), dk_lens_kurtosis(&view[0], i), null, n_nulls };

        put_list(w, &p);
    }
    for (size_t i = 0; i <= n_nulls; i++)
        dk_lens_view_free(&view[i]);
    return rc;
}

static int put_set(const struct work *w, const dk_dir_set *s, dk_err *err)
{
    const dk_dir_set *null[MAX_NULLS];
    dk_lens_view view[1 + MAX_NULLS] = {{0}};
    const size_t n_nulls = nulls_of(w->d, s, null), all = w->first && w->first < s->n ? w->first : s->n;
    int rc = 0;

    for (int inverse = 0; inverse < 2; inverse++)
        for (size_t first = 0, n; rc == 0 && first < all; first += n) {
            n = all - first < SLICE ? all - first : SLICE;
            rc = put_slice(w, s, first, n, inverse, null, n_nulls, view, err);
        }
    return rc;
}

static int find_queries(struct work *w, dk_tokenizer *tok, const dk_lens_plan *plan, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < plan->n_query; i++) {
        dk_ids ids = {0};

        rc = dk_tokenizer_encode(tok, plan->query[i], strlen(plan->query[i]), 0, &ids, NULL, err);
        if (rc == 0 && ids.n == 0)
            rc = dk_fail(err, DK_EDATA, "the query '%s' is no token", plan->query[i]);
        for (size_t t = 0; rc == 0 && t < ids.n; t++) {
            if (ids.id[t] >= w->m->config.vocab)
                rc = dk_fail(err, DK_EDATA, "a token of the query '%s' is outside the model's %zu ids",
                             plan->query[i], w->m->config.vocab);
            w->query = dk_xrealloc(w->query, (w->n_query + 1) * sizeof *w->query);
            w->query[w->n_query++] = (struct query){ plan->query[i], ids.id[t] };
        }
        dk_free(ids.id);
    }
    return rc;
}

static bool wanted(const dk_lens_plan *plan, const char *what)
{
    for (size_t i = 0; i < plan->n_what; i++)
        if (strcmp(plan->what[i], what) == 0)
            return true;
    return plan->n_what == 0;
}

static int check_names(const dk_dirs *d, const dk_lens_plan *plan, const char *path, dk_err *err)
{
    for (size_t i = 0; i < plan->n_what; i++) {
        size_t k = 0;

        while (k < dk_dirs_n(d) && strcmp(dk_dirs_at(d, k)->what, plan->what[i]) != 0)
            k++;
        if (k == dk_dirs_n(d))
            return dk_fail(err, DK_EDATA, "%s has no directions of '%s'", path, plan->what[i]);
    }
    return 0;
}

int dk_lens_table(dk_buf *out, const dk_model *m, dk_tokenizer *tok, const dk_dirs *d,
                  const dk_lens_plan *plan, const char *path, dk_err *err)
{
    struct work w = { .out = out, .m = m, .tok = tok, .d = d, .first = plan->first };
    int rc = check_names(d, plan, path, err);

    w.k = plan->k < m->config.vocab ? plan->k : m->config.vocab;
    w.id = dk_xmalloc((w.k ? w.k : 1) * sizeof *w.id);
    if (rc == 0)
        rc = find_queries(&w, tok, plan, err);
    for (size_t i = 0; rc == 0 && i < dk_dirs_n(d); i++) {
        const dk_dir_set *s = dk_dirs_at(d, i);

        if (s->d != m->config.d_model)
            rc = dk_fail(err, DK_EDATA, "%s: directions of %zu values, and a model of %zu: they do not belong "
                         "together", path, s->d, m->config.d_model);
        else if (wanted(plan, s->what) && (rc = put_set(&w, s, err)) < 0)
            dk_err_prefix(err, "%s: %s at layer %d", path, s->what, s->layer);
    }
    dk_free(w.query);
    dk_free(w.id);
    return rc;
}
