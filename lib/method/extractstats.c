/* Collecting statistics. */
#include "method/extractstats.h"

#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/gram.h"
#include "num/resample.h"
#include "num/stats.h"

enum { METRICS = 4 };

/* Sums of squares of longer rows might run over. */
static const double longest = 0x1p24;

static const struct { const char *name, *unit; } metric[METRICS] = {
    { "norm", "norm" }, { "norm_diff", "norm" }, { "cos_dist", "cosine" }, { "relative", "ratio" }
};

struct vectors {
    dk_sums s;
    const float *rows;              /* d */
    dk_gram *gram;                  /* NULL: not wanted */
    double *norm;                   /* [rows of a batch] */
    double *doc_sum;                /* [documents of a batch, d], where there are replicates */
};

struct lane { dk_collect_lane at; size_t measure; };      /* the first of its metrics */

struct values {
    dk_measure m;
    const float *given;             /* NULL: own */
    float *own;                     /* [rows of a batch] */
    bool gaps;
};

struct dk_collect {
    size_t d, room, doc_room;       /* rows and documents that a batch may have so far */
    dk_collect_plan plan;
    size_t n_vectors, n_lanes, n_values;
    struct vectors *v;
    struct lane *lane;
    struct values *m;
    double *products;               /* [rows of a batch, DK_ROW_PRODUCTS] */
    size_t *doc;                    /* [documents of a batch + 1] */
    uint8_t weight[DK_STAT_REPLICATES];     /* of a document */
    int8_t sign[DK_FLIPS + 1];
    size_t *doc_rows, *at;          /* [documents of a batch] */
    float *gathered, *fetched;      /* d, host: [documents of a batch, d] */
};

int dk_collect_new(dk_collect **out, size_t d, const dk_collect_plan *plan, dk_err *err)
{
    (void)err;
    *out = dk_xcalloc(1, sizeof **out);
    (*out)->d = d;
    (*out)->plan = *plan;
    return 0;
}

void dk_collect_free(dk_collect **cp)
{
    dk_collect *c = cp ? *cp : NULL;

    if (!c)
        return;
    for (size_t i = 0; i < c->n_vectors; i++) {
        dk_sums_free(&c->v[i].s);
        dk_gram_free(&c->v[i].gram);
        dk_free(c->v[i].norm);
        dk_free(c->v[i].doc_sum);
    }
    dk_free(c->doc_rows);
    dk_free(c->at);
    dk_free(c->fetched);
    dk_device()->ops->release(dk_device(), c->gathered);
    for (size_t i = 0; i < c->n_values; i++) {
        dk_measure_free(&c->m[i].m);
        dk_free(c->m[i].own);
    }
    dk_free(c->v);
    dk_free(c->lane);
    dk_free(c->m);
    dk_free(c->products);
    dk_free(c->doc);
    dk_free(c);
    *cp = NULL;
}

/* --- what is wanted -------------------------------------------------------------- */
int dk_collect_rows(dk_collect *c, int layer, const char *site, const char *what, const float *rows, bool gram, bool diff,
                    dk_err *err)
{
    struct vectors *v;
    int rc;

    c->v = dk_xrealloc(c->v, (c->n_vectors + 1) * sizeof *c->v);
    v = &c->v[c->n_vectors];
    memset(v, 0, sizeof *v);
    if ((rc = dk_sums_new(&v->s, layer, site, what, c->d, c->plan.positions, err)) < 0)
        return rc;
    v->rows = rows;
    v->s.products = gram;
    c->n_vectors++;
    if (diff && c->plan.replicates && (rc = dk_sums_replicate(&v->s, c->plan.rep_positions, c->plan.seed, err)) < 0)
        return rc;
    return gram ? dk_gram_new(&v->gram, c->d, c->plan.first_leaf, err) : 0;
}

int dk_collect_values(dk_collect *c, const char *name, const char *unit, const float *values, bool gaps, bool flips,
                      dk_err *err)
{
    struct values *m;
    int rc;

    c->m = dk_xrealloc(c->m, (c->n_values + 1) * sizeof *c->m);
    m = &c->m[c->n_values];
    memset(m, 0, sizeof *m);
    if ((rc = dk_measure_new(&m->m, name, unit, c->plan.seed, err)) < 0)
        return rc;
    m->given = values;
    m->gaps = gaps;
    m->m.flips = flips;
    c->n_values++;
    return 0;
}

int dk_collect_norms(dk_collect *c, const dk_collect_lane *lane, dk_err *err)
{
    int rc = 0;

    c->lane = dk_xrealloc(c->lane, (c->n_lanes + 1) * sizeof *c->lane);
    c->lane[c->n_lanes++] = (struct lane){ *lane, c->n_values };
    for (size_t k = 0; rc == 0 && k < (lane->base ? METRICS : 1); k++) {
        char *name = dk_xasprintf("%s/L%02d/%s/%s", metric[k].name, lane->layer, lane->site, lane->lane);

        rc = dk_collect_values(c, name, metric[k].unit, NULL, false, false, err);
        dk_free(name);
    }
    return rc;
}

/* --- rows as vectors --------------------------------------------------------------- */
static int room(dk_collect *c, size_t rows, dk_err *err)
{
    int rc = 0;

    if (rows <= c->room)
        return 0;
    dk_free(c->products);
    rc = dk_alloc(&c->products, rows * DK_ROW_PRODUCTS, sizeof *c->products, "statistics", err);
    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++) {
        dk_free(c->v[i].norm);
        rc = dk_alloc(&c->v[i].norm, rows, sizeof(double), "statistics", err);
    }
    for (size_t i = 0; rc == 0 && i < c->n_values; i++) {
        dk_free(c->m[i].own);
        c->m[i].own = NULL;
        if (!c->m[i].given)
            rc = dk_alloc(&c->m[i].own, rows, sizeof(float), "statistics", err);
    }
    c->room = rc == 0 ? rows : 0;
    return rc;
}

static int norms(struct dk_collect *c, struct vectors *v, size_t rows, dk_err *err)
{
    dk_dev *dev = dk_device();
    const int rc = dev->ops->row_products(dev, c->products, v->rows, NULL, NULL, rows, c->d, err);

    for (size_t r = 0; rc == 0 && r < rows; r++)
        v->norm[r] = sqrt(c->products[r * DK_ROW_PRODUCTS + DK_ROW_OWN]);
    return rc;
}

static int add_columns(struct dk_collect *c, struct vectors *v, const dk_tokens *t, size_t first, size_t last, dk_err *err)
{
    dk_dev *dev = dk_device();
    dk_sums *s = &v->s;
    const dk_row_sums a = {
        .x = v->rows, .width = c->d, .n_docs = last - first, .doc = c->doc, .pos = t->pos + t->offset[first],
        .sum = s->sum, .sumsq = s->sumsq, .doc_mean = s->doc_mean, .doc_mean_sq = s->doc_mean_sq, .min = s->min,
        .max = s->max, .first = s->count == 0, .n_pos = s->n_pos, .pos_sum = s->pos_sum, .doc_sum = v->doc_sum
    };

    return dev->ops->row_sums(dev, &a, err);
}

static void add_scalars(struct vectors *v, const dk_tokens *t, size_t first, size_t last)
{
    dk_sums *s = &v->s;
    const size_t row0 = t->offset[first];

    for (size_t doc = first; doc < last; doc++) {
        s->docs += t->offset[doc + 1] > t->offset[doc];
        for (size_t i = t->offset[doc]; i < t->offset[doc + 1]; i++) {
            const dk_exact e = dk_exact_of(v->norm[i - row0]);

            s->count++;
            s->norm_sum += e;
            s->norm_hist[dk_stat_bin(v->norm[i - row0])]++;
            if (t->pos[i] < s->n_pos) {
                s->pos_count[t->pos[i]]++;
                s->pos_norm_sum[t->pos[i]] += e;
            }
        }
    }
}

static size_t doc_of(const dk_tokens *t, size_t first, size_t row)
{
    while (t->offset[first + 1] <= row)
        first++;
    return first;
}

static int refuse_row(const dk_sums *s, double norm, const dk_tokens *t, size_t first, size_t row,
                      const char *path, dk_err *err)
{
    const unsigned long long doc = t->id[doc_of(t, first, row)];

    return isfinite(norm)
        ? dk_fail(err, DK_ENUM, "%s: L%02d/%s/%s, document %llu, position %u: activations of length %g are more than exact "
                  "sums hold", path, s->layer, s->site, s->what, doc, t->pos[row], norm)
        : dk_fail(err, DK_ENUM, "%s: L%02d/%s/%s, document %llu, position %u: activations are NaN or infinite", path,
                  s->layer, s->site, s->what, doc, t->pos[row]);
}

/* --- replicates -------------------------------------------------------------------- */
static int doc_room(dk_collect *c, size_t docs, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, docs, c->d) ? 0 : dk_fail(err, DK_ENOMEM, "sums of documents do not fit in memory");

    if (rc < 0 || docs <= c->doc_room)
        return rc;
    dk_free(c->doc_rows);
    dk_free(c->at);
    dk_free(c->fetched);
    dk_device()->ops->release(dk_device(), c->gathered);
    c->doc_rows = c->at = NULL;
    c->gathered = c->fetched = NULL;
    rc = dk_alloc(&c->doc_rows, docs, sizeof *c->doc_rows, "statistics", err);
    if (rc == 0) rc = dk_alloc(&c->at, docs, sizeof *c->at, "statistics", err);
    if (rc == 0) rc = dk_alloc(&c->fetched, n, sizeof *c->fetched, "statistics", err);
    if (rc == 0) rc = dk_device()->ops->alloc(dk_device(), (void **)&c->gathered, n * sizeof(float), "statistics", err);
    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++)
        if (c->v[i].s.n_reps) {
            dk_free(c->v[i].doc_sum);
            rc = dk_alloc(&c->v[i].doc_sum, n, sizeof(double), "statistics", err);
        }
    c->doc_room = rc == 0 ? docs : 0;
    return rc;
}

/* The row of each document at a position; documents have it once or not at all. */
static int rows_at(dk_collect *c, const struct vectors *v, const dk_tokens *t, size_t first, size_t last, uint32_t position,
                   dk_err *err)
{
    const size_t row0 = t->offset[first];
    dk_dev *dev = dk_device();
    size_t n = 0;
    int rc = 0;

    for (size_t doc = first; doc < last; doc++) {
        size_t i = t->offset[doc];

        while (i < t->offset[doc + 1] && t->pos[i] != position)
            i++;
        c->doc_rows[doc - first] = i < t->offset[doc + 1];
        if (i < t->offset[doc + 1])
            c->at[n++] = i - row0;
    }
    if (n) {
        dev->ops->gather(dev, c->gathered, v->rows, c->at, n, c->d);
        rc = dev->ops->get(dev, c->fetched, c->gathered, n * c->d * sizeof(float), err);
    }
    n = 0;
    for (size_t doc = 0; rc == 0 && doc < last - first; doc++)
        if (c->doc_rows[doc]) {
            for (size_t j = 0; j < c->d; j++)
                v->doc_sum[doc * c->d + j] = c->fetched[n * c->d + j];
            n++;
        }
    return rc;
}

static int add_replicates(dk_collect *c, struct vectors *v, const dk_tokens *t, size_t first, size_t last, const char *path,
                          dk_err *err)
{
    int rc = v->s.n_reps ? dk_sums_check(&v->s, path, err) : 0;

    for (size_t k = 0; rc == 0 && k < v->s.n_reps; k++) {
        for (size_t doc = first; k == 0 && doc < last; doc++)
            c->doc_rows[doc - first] = t->offset[doc + 1] - t->offset[doc];
        if (k)
            rc = rows_at(c, v, t, first, last, (uint32_t)(k - 1), err);
        if (rc == 0)
            rc = dk_replicates_add(&v->s.reps[k], v->doc_sum, c->doc_rows, t->id + first, last - first, c->plan.seed, err);
    }
    return rc;
}

static int add_gram(struct vectors *v, const dk_tokens *t, size_t first, size_t last, dk_err *err)
{
    int rc = 0;

    for (size_t doc = first; rc == 0 && v->gram && doc < last; doc++)
        rc = dk_gram_add(v->gram, t->id[doc], v->rows + (t->offset[doc] - t->offset[first]) * v->s.d,
                         t->offset[doc + 1] - t->offset[doc], err);
    return rc;
}

static int add_vectors(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err)
{
    const size_t row0 = t->offset[first], rows = t->offset[last] - row0;
    int rc = c->plan.replicates ? doc_room(c, last - first, err) : 0;

    c->doc = dk_xrealloc(c->doc, (last - first + 1) * sizeof *c->doc);
    for (size_t doc = first; doc <= last; doc++)
        c->doc[doc - first] = t->offset[doc] - row0;
    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++) {
        rc = norms(c, &c->v[i], rows, err);
        for (size_t r = 0; rc == 0 && r < rows; r++)
            if (!(c->v[i].norm[r] < longest))
                return refuse_row(&c->v[i].s, c->v[i].norm[r], t, first, row0 + r, path, err);
    }
    for (size_t i = 0; rc == 0 && rows && i < c->n_vectors; i++) {
        struct vectors *v = &c->v[i];

        rc = add_columns(c, v, t, first, last, err);
        if (rc == 0) {
            add_scalars(v, t, first, last);
            rc = add_replicates(c, v, t, first, last, path, err);
        }
        if (rc == 0)
            rc = add_gram(v, t, first, last, err);
    }
    return rc;
}

/* --- values of rows ------------------------------------------------------------------ */
/* Of equal rows the cosine is exactly 1; a row of zeros has none with anything. */
static int measure(dk_collect *c, const struct lane *l, size_t rows, dk_err *err)
{
    dk_dev *dev = dk_device();
    struct values *m = &c->m[l->measure];
    const int rc = dev->ops->row_products(dev, c->products, l->at.own, l->at.base, l->at.diff, rows, c->d, err);

    for (size_t r = 0; rc == 0 && r < rows; r++) {
        const double *p = c->products + r * DK_ROW_PRODUCTS, own = p[DK_ROW_OWN], base = p[DK_ROW_BASE];
        const double lengths = sqrt(base) + sqrt(own);

        m[0].own[r] = (float)sqrt(own);
        if (l->at.base) {
            m[1].own[r] = (float)sqrt(p[DK_ROW_DIFF]);
            m[2].own[r] = (float)fmax(1 - (base > 0 && own > 0 ? p[DK_ROW_BOTH] / sqrt(base * own) : 0), 0);
            m[3].own[r] = lengths > 0 ? (float)(sqrt(p[DK_ROW_DIFF]) / lengths) : 0;
        }
    }
    return rc;
}

static int add_values(dk_collect *c, struct values *v, const float *x, const dk_tokens *t, size_t doc, const char *path,
                      dk_err *err)
{
    dk_measure *m = &v->m;
    const size_t n = t->offset[doc + 1] - t->offset[doc];
    dk_exact sum = 0;
    uint64_t count = 0;
    double mean;

    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) && v->gaps)
            continue;
        if (!(fabsf(x[i]) < (float)longest))
            return dk_fail(err, DK_ENUM, "%s: %s, document %llu, position %u: %g is not to be summed", path, m->name,
                           (unsigned long long)t->id[doc], t->pos[t->offset[doc] + i], (double)x[i]);
        m->min = m->count + count == 0 || x[i] < m->min ? x[i] : m->min;
        m->max = m->count + count == 0 || x[i] > m->max ? x[i] : m->max;
        m->hist[dk_stat_bin(x[i])]++;
        m->sumsq += dk_exact_of((double)x[i] * x[i]);
        sum += dk_exact_of(x[i]);
        count++;
    }
    if (count == 0)
        return 0;
    mean = dk_exact_double(sum) / (double)count;
    m->docs++;
    m->count += count;
    m->sum += sum;
    m->doc_mean += dk_exact_of(mean);
    m->doc_mean_sq += dk_exact_of(mean * mean);
    for (size_t b = 0; b < DK_STAT_REPLICATES; b++) {
        m->boot_count[b] += c->weight[b] * count;
        m->boot_sum[b] += c->weight[b] * sum;
    }
    for (size_t b = 0; m->flips && b <= DK_FLIPS; b++)
        m->flip_sum[b] += c->sign[b] * dk_exact_of(mean);
    return 0;
}

/* Of one document, for all measures. */
static void draw(dk_collect *c, uint64_t doc)
{
    bool flips = false;

    for (size_t i = 0; i < c->n_values; i++)
        flips = flips || c->m[i].m.flips;
    for (uint64_t b = 0; b < DK_STAT_REPLICATES; b++)
        c->weight[b] = (uint8_t)dk_boot_weight(c->plan.seed, b, doc);
    for (uint64_t b = 0; flips && b <= DK_FLIPS; b++)
        c->sign[b] = (int8_t)dk_flip_sign(c->plan.seed, b, doc);
}

static int add_measures(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err)
{
    const size_t row0 = t->offset[first];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->n_lanes; i++)
        rc = measure(c, &c->lane[i], t->offset[last] - row0, err);
    for (size_t doc = first; rc == 0 && c->n_values && doc < last; doc++) {
        /* A text of one token has nothing that a model could have told from it. */
        if (t->offset[doc + 1] - t->offset[doc] < 2)
            continue;
        draw(c, t->id[doc]);
        for (size_t i = 0; rc == 0 && i < c->n_values; i++)
            rc = add_values(c, &c->m[i], (c->m[i].given ? c->m[i].given : c->m[i].own) + (t->offset[doc] - row0), t, doc,
                            path, err);
    }
    return rc;
}

/* --- in all -------------------------------------------------------------------------- */
int dk_collect_batch(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err)
{
    int rc = room(c, t->offset[last] - t->offset[first], err);

    if (rc == 0)
        rc = add_vectors(c, t, first, last, path, err);
    return rc < 0 ? rc : add_measures(c, t, first, last, path, err);
}

int dk_collect_put(dk_collect *c, dk_h5 *f, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++) {
        struct vectors *v = &c->v[i];

        if (v->gram)
            rc = dk_gram_end(v->gram, c->plan.end_leaf, &v->s.gram, err);
        if (rc == 0)
            rc = dk_sums_put(f, &v->s, err);
    }
    for (size_t i = 0; rc == 0 && i < c->n_values; i++)
        rc = dk_measure_put(f, &c->m[i].m, err);
    return rc;
}
