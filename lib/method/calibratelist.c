/* Lists of tokens: which entries are raised beyond the nulls, and whether a list
 * has a theme.  A rate is no evidence of content: every adapter, a random one too,
 * has tokens of its own; what a null lacks is a theme. */
#include "method/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/infer.h"
#include "num/resample.h"
#include "text/lextest.h"

enum { STRATA = DK_LEXTEST_TENTHS, MOST = 256, SEEN = 4 };     /* entries seen less often, in all lanes together, are no units */

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

struct work {
    const dk_cal *c;
    const dk_cal_words *w;
    dk_buf *out;
    size_t vocab;
    dk_lextest test;                /* of the vocabulary; without strata: frequencies are not known */
    bool marked;                    /* there is a lexicon */
};

/* --- the lexicon test ----------------------------------------------------------------- */
static int strata(struct work *k, dk_err *err)
{
    const uint32_t *count = k->w->count ? k->w->count : k->c->count;

    k->vocab = k->w->count ? k->w->vocab : k->c->vocab;
    return count ? dk_lextest_make(&k->test, count, k->vocab, err) : 0;
}

static void mark(struct work *k)
{
    dk_buf text = {0};

    if (!k->w->lexicon || !k->w->tok || !k->test.stratum)
        return;
    k->marked = true;
    for (size_t v = 0; v < k->vocab; v++) {
        const uint32_t id = (uint32_t)v;

        dk_buf_clear(&text);
        dk_tokenizer_decode(k->w->tok, &id, 1, false, &text);
        if (text.n && dk_lexicon_has(k->w->lexicon, text.s, text.n))
            dk_lextest_mark(&k->test, v);
    }
    dk_buf_free(&text);
}

/* One list and those of the nulls. */
static void put_test(const struct work *k, const dk_cal_list *own, const char *statistic, const dk_cal_list *const *null,
                     size_t m)
{
    const dk_cal_place at = { own->method, own->set, own->site, own->layer, own->position, own->component };
    dk_jw j = { .out = k->out };
    double p, null_p[MOST], most = -INFINITY;
    size_t null_x[MOST];
    const size_t x = dk_lextest_hits(&k->test, own->id, own->n, &p);

    for (size_t i = 0; i < m; i++) {
        null_x[i] = dk_lextest_hits(&k->test, null[i]->id, null[i]->n, &null_p[i]);
        most = fmax(most, (double)null_x[i]);
    }
    dk_cal_put_place(&j, statistic, &at);
    if (own->inverse) {
        dk_jw_key(&j, "inverse"); dk_jw_bool(&j, true);
    }
    dk_jw_key(&j, "lane"); dk_jw_str(&j, own->lane);
    dk_jw_key(&j, "kind"); dk_jw_str(&j, "content");
    dk_jw_key(&j, "value"); dk_jw_u64(&j, x);
    dk_jw_key(&j, "of"); dk_jw_u64(&j, own->n);
    dk_jw_key(&j, "p_lexicon"); dk_jw_num(&j, p);
    dk_jw_key(&j, "tokens");
    dk_jw_arr_begin(&j);
    for (size_t i = 0; i < own->n; i++) {
        dk_buf text = {0};

        dk_tokenizer_decode(k->w->tok, &own->id[i], 1, false, &text);
        dk_jw_strn(&j, text.n ? text.s : "", text.n);
        dk_buf_free(&text);
    }
    dk_jw_arr_end(&j);
    if (m) {
        dk_jw_key(&j, "null");
        dk_jw_obj_begin(&j);
        dk_jw_key(&j, "m"); dk_jw_u64(&j, m);
        dk_jw_key(&j, "values");
        dk_jw_obj_begin(&j);
        for (size_t i = 0; i < m; i++) {
            dk_jw_key(&j, null[i]->lane);
            dk_jw_u64(&j, null_x[i]);
        }
        dk_jw_obj_end(&j);
        dk_jw_key(&j, "p_lexicon");
        dk_jw_obj_begin(&j);
        for (size_t i = 0; i < m; i++) {
            dk_jw_key(&j, null[i]->lane);
            dk_jw_num(&j, null_p[i]);
        }
        dk_jw_obj_end(&j);
        dk_jw_obj_end(&j);
    }
    dk_jw_key(&j, "verdict");
    dk_jw_str(&j, m == 0 ? "not calibrated" : p <= .05 && (double)x > most ? "above null" : "within null");
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

static bool same_place(const dk_cal_list *a, const dk_cal_list *b)
{
    return is(a->method, b->method) && is(a->set, b->set) && is(a->site, b->site) && a->layer == b->layer &&
           a->position == b->position && a->component == b->component && a->inverse == b->inverse;
}

static void test_lists(const struct work *k)
{
    const dk_cal *c = k->c;

    for (size_t i = 0; i < c->n_lists; i++) {
        const dk_cal_list *null[MOST];
        size_t m = 0;
        bool again = false;

        if (!is(c->list[i].lane, c->lane))
            continue;
        for (size_t o = 0; o < c->n_lists; o++) {
            const dk_cal_list *l = &c->list[o];
            bool known = !same_place(l, &c->list[i]);

            again = again || (o < i && !known && is(l->lane, c->lane));
            for (size_t q = 0; q < m; q++)
                known = known || is(null[q]->lane, l->lane);
            if (!known && !is(l->lane, c->lane) && m < MOST)
                null[m++] = l;
        }
        if (!again)
            put_test(k, &c->list[i], "lexicon", null, m);
    }
}

/* --- entries ------------------------------------------------------------------------- */
/* z as dk-mine has it, but for what method/minerate.h says. */
/* Lanes of one data set: [0] the finetune's, then its nulls. */
struct lanes {
    const dk_cal_rates *r[MOST];
    size_t n, vocab;
    double *z;                      /* [n, vocab]; NaN: no unit */
    double *q[2];                   /* [vocab] of the finetune: q_bh, or p_pool and fdr_td */
};

static const struct { const char *method, *entry, *count; double unit; } words[] = {
    [DK_CAL_RAISED] = { "diff_mining", "rate", "tokens", 100 },     /* percent */
    [DK_CAL_TYPE]   = { "kl", "type", "types", 1 },
};

/* A rate and its error, which is no less than that of as many independent positions; of
 * divergence of ones that deviate by their mean. */
static double rate(const dk_cal_rates *r, size_t v, double *se)
{
    const bool type = r->unit == DK_CAL_TYPE;
    const dk_rate_sums s = { r->x[v], r->xx[v], r->xn[v], type ? r->own_n[v] : r->n, type ? r->own_nn[v] : r->nn,
                             type ? r->own_docs[v] : r->docs };
    const double value = dk_rate(se, &s), p = (r->x[v] + .5) / (s.n + 1), least = sqrt((type ? p * p : p * (1 - p)) / s.n);

    *se = isfinite(*se) && *se > least ? *se : least;
    return value;
}

static bool unit(const struct lanes *l, size_t v)
{
    double seen = 0;

    if (l->r[0]->unit == DK_CAL_TYPE) {
        bool good = true;

        for (size_t i = 0; i < l->n; i++)
            good = good && l->r[i]->own_n[v] >= SEEN && l->r[i]->own_docs[v] > 1;
        return good;
    }
    for (size_t i = 0; i < l->n; i++)
        seen += l->r[i]->x[v];
    return seen >= SEEN;
}

/* Of few nulls the one with the largest rate is what a lane must exceed; a lone
 * null has the finetune as its own. */
static double against_largest(const struct lanes *l, size_t lane, size_t v, size_t *which)
{
    double best = -1, se, se_null = 0, value = rate(l->r[lane], v, &se);

    for (size_t i = l->n == 2 ? 0 : 1; i < l->n; i++) {
        double e;
        const double r = rate(l->r[i], v, &e);

        if (i != lane && r > best) {
            best = r;
            se_null = e;
            *which = i;
        }
    }
    return dk_null_z(value, se, best, se_null);
}

/* Mean and deviation of the nulls' rates but `left`. */
static void moments(const struct lanes *l, size_t left, size_t v, double *mean, double *sd)
{
    double r[MOST], se;
    size_t n = 0;

    for (size_t i = 1; i < l->n; i++)
        if (i != left)
            r[n++] = rate(l->r[i], v, &se);
    *mean = dk_mean_sd(sd, r, n);
}

/* The median deviation of each stratum, below which none is taken. */
static int floors(double least[STRATA], const struct work *k, const struct lanes *l, dk_err *err)
{
    double *sd = NULL, mean;
    int rc = dk_alloc(&sd, l->vocab, sizeof *sd, "deviations", err);

    for (size_t s = 0; rc == 0 && s < STRATA; s++) {
        size_t n = 0;

        for (size_t v = 0; v < l->vocab; v++)
            if (k->test.stratum[v] == s && unit(l, v))
                moments(l, 0, v, &mean, &sd[n++]);
        least[s] = dk_lower_median(sd, n);
    }
    dk_free(sd);
    return rc;
}

static int find_z(const struct work *k, struct lanes *l, dk_err *err)
{
    const bool few = l->n - 1 < DK_CAL_FEW;
    double least[STRATA] = {0};
    size_t all;
    int rc = dk_mul_size(&all, l->n, l->vocab) ? dk_alloc(&l->z, all, sizeof *l->z, "units", err)
                                               : dk_fail(err, DK_ENOMEM, "the rates do not fit in memory");

    if (rc == 0 && !few)
        rc = floors(least, k, l, err);
    for (size_t v = 0; rc == 0 && v < l->vocab; v++)
        for (size_t i = 0; i < l->n; i++) {
            double *z = &l->z[i * l->vocab + v], mean, sd, se;
            size_t which;

            if (!unit(l, v))
                *z = NAN;
            else if (few)
                *z = against_largest(l, i, v, &which);
            else {
                const double r = rate(l->r[i], v, &se);

                moments(l, i, v, &mean, &sd);
                sd = fmax(sd, least[k->test.stratum[v]]);
                *z = dk_null_z(r, se, mean, sd);
            }
        }
    return rc;
}

static int find_q(const struct work *k, struct lanes *l, dk_err *err)
{
    const size_t m = l->n - 1;
    double *p = NULL;
    uint8_t *strata = NULL;
    int rc = dk_alloc(&l->q[0], l->vocab, sizeof *p, "units", err);

    if (rc == 0) rc = dk_alloc(&l->q[1], l->vocab, sizeof *p, "units", err);
    if (rc == 0) rc = dk_alloc(&p, l->vocab, sizeof *p, "units", err);
    if (rc == 0) rc = dk_alloc(&strata, m * l->vocab, sizeof *strata, "units", err);
    if (rc == 0 && m < DK_CAL_FEW) {
        for (size_t v = 0; v < l->vocab; v++)
            p[v] = isnan(l->z[v]) ? NAN : dk_normal_p(l->z[v]);
        rc = dk_q_bh(l->q[0], p, l->vocab, err);
    } else if (rc == 0) {
        for (size_t i = 0; i < m; i++)
            memcpy(strata + i * l->vocab, k->test.stratum, l->vocab);
        rc = dk_p_pool(l->q[0], l->z, k->test.stratum, l->vocab, l->z + l->vocab, strata, m * l->vocab, err);
        if (rc == 0)
            rc = dk_fdr_td(l->q[1], l->z, l->vocab, l->z + l->vocab, m * l->vocab, err);
    }
    dk_free(p);
    dk_free(strata);
    return rc;
}

struct ranked { double z; uint32_t id; };

static int by_z(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->z > y->z ? -1 : x->z < y->z ? 1 : (x->id > y->id) - (x->id < y->id);
}

/* The units of a lane, largest z first. */
static int rank(struct ranked **out, size_t *n, const struct lanes *l, size_t lane, dk_err *err)
{
    const int rc = dk_alloc(out, l->vocab, sizeof **out, "a ranking", err);

    *n = 0;
    for (size_t v = 0; rc == 0 && v < l->vocab; v++)
        if (!isnan(l->z[lane * l->vocab + v]))
            (*out)[(*n)++] = (struct ranked){ l->z[lane * l->vocab + v], (uint32_t)v };
    if (rc == 0)
        qsort(*out, *n, sizeof **out, by_z);
    return rc;
}

static void put_entry(const struct work *k, const struct lanes *l, size_t place, const struct ranked *e)
{
    const bool few = l->n - 1 < DK_CAL_FEW;
    const dk_cal_rates *own = l->r[0];
    const double unit = words[own->unit].unit;
    const dk_cal_place at = { words[own->unit].method, own->set, "", -1, INT32_MIN, -1 };
    dk_jw j = { .out = k->out };
    double se, value = rate(own, e->id, &se);
    size_t which = 0;

    dk_cal_put_place(&j, words[own->unit].entry, &at);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, own->lane);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, place + 1);
    dk_jw_key(&j, "id"); dk_jw_u64(&j, e->id);
    if (k->w->tok)
        dk_tokenizer_put(k->w->tok, &j, "token", &e->id, 1);
    dk_jw_key(&j, "value"); dk_jw_num(&j, unit * value);
    dk_jw_key(&j, "se"); dk_jw_num(&j, unit * se);
    dk_jw_key(&j, "docs"); dk_jw_u64(&j, own->unit == DK_CAL_TYPE ? own->own_docs[e->id] : own->docs);
    if (own->unit == DK_CAL_TYPE) {
        dk_jw_key(&j, "count"); dk_jw_num(&j, own->own_n[e->id]);
    }
    dk_jw_key(&j, "z"); dk_jw_num(&j, e->z);
    if (few) {
        against_largest(l, 0, e->id, &which);
        dk_jw_key(&j, "against"); dk_jw_str(&j, l->r[which]->lane);
        dk_jw_key(&j, "null_value"); dk_jw_num(&j, unit * rate(l->r[which], e->id, &se));
        dk_jw_key(&j, "q_bh"); dk_jw_num(&j, l->q[0][e->id]);
    } else {
        double mean, sd;

        moments(l, 0, e->id, &mean, &sd);
        dk_jw_key(&j, "null_value"); dk_jw_num(&j, unit * mean);
        dk_jw_key(&j, "null_sd"); dk_jw_num(&j, unit * sd);
        dk_jw_key(&j, "p_pool"); dk_jw_num(&j, l->q[0][e->id]);
        dk_jw_key(&j, "fdr_td"); dk_jw_num(&j, l->q[1][e->id]);
    }
    if (k->marked) {
        dk_jw_key(&j, "lexicon"); dk_jw_bool(&j, k->test.marked[e->id]);
    }
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* How many units there are, and how many have a q of .05 or less. */
static void put_count(const struct work *k, const struct lanes *l, size_t units, size_t passing)
{
    const dk_cal_place at = { words[l->r[0]->unit].method, l->r[0]->set, "", -1, INT32_MIN, -1 };
    dk_jw j = { .out = k->out };

    dk_cal_put_place(&j, words[l->r[0]->unit].count, &at);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, l->r[0]->lane);
    dk_jw_key(&j, "kind"); dk_jw_str(&j, "content");
    dk_jw_key(&j, "value"); dk_jw_u64(&j, passing);
    dk_jw_key(&j, "of"); dk_jw_u64(&j, units);
    dk_jw_key(&j, "by"); dk_jw_str(&j, l->n - 1 < DK_CAL_FEW ? "q_bh" : "fdr_td");
    dk_jw_key(&j, "limit"); dk_jw_num(&j, .05);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* The lexicon test of the twenty that stand out most, in the finetune and in each null. */
static int test_ranked(const struct work *k, const struct lanes *l, dk_err *err)
{
    dk_cal_list *list = dk_xcalloc(l->n, sizeof *list);
    const dk_cal_list **null = dk_xcalloc(l->n, sizeof *null);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        struct ranked *e = NULL;
        size_t n = 0;

        list[i] = (dk_cal_list){ .method = (char *)words[l->r[0]->unit].method, .set = l->r[i]->set, .site = (char *)"",
                                 .lane = l->r[i]->lane, .layer = -1, .position = INT32_MIN, .component = -1 };
        rc = rank(&e, &n, l, i, err);
        for (size_t t = 0; rc == 0 && t < n && t < DK_CAL_TOP; t++)
            list[i].id[list[i].n++] = e[t].id;
        if (i > 0)
            null[i - 1] = &list[i];
        dk_free(e);
    }
    if (rc == 0)
        put_test(k, &list[0], "lexicon_beyond_null", null, l->n - 1);
    dk_free(list);
    dk_free(null);
    return rc;
}

static int entries(const struct work *k, const dk_cal_rates *own, dk_err *err)
{
    struct lanes l = { .r = { own }, .n = 1, .vocab = own->vocab };
    struct ranked *e = NULL;
    size_t n = 0, passing = 0;
    int rc;

    for (size_t i = 0; i < k->c->n_rates; i++) {
        const dk_cal_rates *r = &k->c->rates[i];
        bool known = r == own || r->unit != own->unit || !is(r->set, own->set) || is(r->lane, own->lane);

        for (size_t q = 1; q < l.n; q++)
            known = known || is(l.r[q]->lane, r->lane);
        if (!known && r->vocab != own->vocab)
            return dk_fail(err, DK_EDATA, "lanes '%s' and '%s' have different vocabularies", own->lane, r->lane);
        if (!known && l.n < MOST)
            l.r[l.n++] = r;
    }
    if (l.n == 1)
        return 0;
    if (own->vocab > k->vocab)
        return dk_fail(err, DK_EDATA, "the rates have %zu entries, the tokens %zu", own->vocab, k->vocab);
    rc = find_z(k, &l, err);
    if (rc == 0) rc = find_q(k, &l, err);
    if (rc == 0) rc = rank(&e, &n, &l, 0, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        passing += l.q[l.n - 1 < DK_CAL_FEW ? 0 : 1][e[i].id] <= .05;
    if (rc == 0)
        put_count(k, &l, n, passing);
    if (rc == 0 && k->marked)
        rc = test_ranked(k, &l, err);
    for (size_t i = 0; rc == 0 && i < n && i < passing && i < k->w->list; i++)
        put_entry(k, &l, i, &e[i]);
    dk_free(e);
    dk_free(l.z);
    dk_free(l.q[0]);
    dk_free(l.q[1]);
    return rc;
}

int dk_cal_list_table(dk_buf *out, const dk_cal *c, const dk_cal_words *w, dk_err *err)
{
    struct work k = { .c = c, .w = w, .out = out };
    int rc = strata(&k, err);

    if (rc == 0)
        mark(&k);
    if (rc == 0 && k.marked)
        test_lists(&k);
    for (size_t i = 0; rc == 0 && i < c->n_rates; i++) {
        bool again = !is(c->rates[i].lane, c->lane);

        for (size_t q = 0; q < i; q++)
            again = again || (c->rates[q].unit == c->rates[i].unit && is(c->rates[q].lane, c->lane) &&
                              is(c->rates[q].set, c->rates[i].set));
        if (!again)
            rc = entries(&k, &c->rates[i], err);
    }
    dk_lextest_free(&k.test);
    return rc;
}
