/* Collecting statistics. */
#include "method/extractstats.h"

#include <math.h>
#include <string.h>

#include "backend/gram.h"
#include "base/rng.h"
#include "num/resample.h"
#include "num/stats.h"

enum { COLUMNS = 64, METRICS = 4 };

/* Sums of squares of longer rows might run over. */
static const double longest = 0x1p24;

static const struct { const char *name, *unit; } metric[METRICS] = {
    { "norm", "norm" }, { "norm_diff", "norm" }, { "cos_dist", "cosine" }, { "relative", "ratio" }
};

struct vectors {
    dk_sums s;
    const float *rows;
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
    uint8_t weight[DK_STAT_REPLICATES];     /* of a document */
    size_t *doc_rows;               /* [documents of a batch] */
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
    for (size_t i = 0; i < c->n_values; i++) {
        dk_measure_free(&c->m[i].m);
        dk_free(c->m[i].own);
    }
    dk_free(c->v);
    dk_free(c->lane);
    dk_free(c->m);
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

int dk_collect_values(dk_collect *c, const char *name, const char *unit, const float *values, bool gaps, dk_err *err)
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

        rc = dk_collect_values(c, name, metric[k].unit, NULL, false, err);
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

static void norms(struct vectors *v, size_t rows)
{
#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const float *x = v->rows + r * v->s.d;
        double sq = 0;

        for (size_t j = 0; j < v->s.d; j++)
            sq += (double)x[j] * x[j];
        v->norm[r] = sqrt(sq);
    }
}

/* Sums of n columns: those of all rows, and those of the row's position (NULL: none are kept). */
struct columns { dk_exact *sum, *sumsq; float *min, *max; };

static void add_row(const struct columns *restrict c, dk_exact *restrict by_pos, const float *restrict x, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        const dk_exact e = dk_exact_of(x[j]);

        c->sum[j] += e;
        c->sumsq[j] += dk_exact_of((double)x[j] * x[j]);
        if (by_pos)
            by_pos[j] += e;
    }
    for (size_t j = 0; j < n; j++) {
        c->min[j] = x[j] < c->min[j] ? x[j] : c->min[j];
        c->max[j] = x[j] > c->max[j] ? x[j] : c->max[j];
    }
}

/* Columns j0 .. j0 + n - 1 of the rows of whole documents. */
static void add_columns(dk_sums *s, double *doc_sum, const float *rows, const dk_tokens *t, size_t first, size_t last,
                        size_t j0, size_t n)
{
    const struct columns c = { s->sum + j0, s->sumsq + j0, s->min + j0, s->max + j0 };
    dk_exact before[COLUMNS];
    const float *x = rows + j0;

    if (s->count == 0 && t->offset[last] > t->offset[first]) {
        memcpy(c.min, x, n * sizeof *x);
        memcpy(c.max, x, n * sizeof *x);
    }
    for (size_t doc = first; doc < last; doc++) {
        const size_t len = t->offset[doc + 1] - t->offset[doc];

        memcpy(before, c.sum, n * sizeof *before);
        for (size_t r = 0; r < len; r++, x += s->d) {
            const size_t pos = t->pos[t->offset[doc] + r];

            add_row(&c, pos < s->n_pos ? s->pos_sum + pos * s->d + j0 : NULL, x, n);
        }
        for (size_t j = 0; len && j < n; j++) {
            const double sum = dk_exact_double(c.sum[j] - before[j]), mean = sum / (double)len;

            if (doc_sum)
                doc_sum[(doc - first) * s->d + j0 + j] = sum;
            s->doc_mean[j0 + j] += dk_exact_of(mean);
            s->doc_mean_sq[j0 + j] += dk_exact_of(mean * mean);
        }
    }
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
    rc = dk_alloc(&c->doc_rows, docs, sizeof *c->doc_rows, "statistics", err);
    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++)
        if (c->v[i].s.n_reps) {
            dk_free(c->v[i].doc_sum);
            rc = dk_alloc(&c->v[i].doc_sum, n, sizeof(double), "statistics", err);
        }
    c->doc_room = rc == 0 ? docs : 0;
    return rc;
}

/* The row of each document at a position; documents have it once or not at all. */
static void rows_at(dk_collect *c, const struct vectors *v, const dk_tokens *t, size_t first, size_t last, uint32_t position)
{
    const size_t row0 = t->offset[first];

    for (size_t doc = first; doc < last; doc++) {
        size_t i = t->offset[doc];

        while (i < t->offset[doc + 1] && t->pos[i] != position)
            i++;
        c->doc_rows[doc - first] = i < t->offset[doc + 1];
        for (size_t j = 0; i < t->offset[doc + 1] && j < c->d; j++)
            v->doc_sum[(doc - first) * c->d + j] = v->rows[(i - row0) * c->d + j];
    }
}

static int add_replicates(dk_collect *c, struct vectors *v, const dk_tokens *t, size_t first, size_t last, const char *path,
                          dk_err *err)
{
    int rc = v->s.n_reps ? dk_sums_check(&v->s, path, err) : 0;

    for (size_t k = 0; rc == 0 && k < v->s.n_reps; k++) {
        for (size_t doc = first; k == 0 && doc < last; doc++)
            c->doc_rows[doc - first] = t->offset[doc + 1] - t->offset[doc];
        if (k)
            rows_at(c, v, t, first, last, (uint32_t)(k - 1));
        rc = dk_replicates_add(&v->s.reps[k], v->doc_sum, c->doc_rows, t->id + first, last - first, c->plan.seed, err);
    }
    return rc;
}

static int add_vectors(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err)
{
    const size_t row0 = t->offset[first], rows = t->offset[last] - row0, blocks = (c->d + COLUMNS - 1) / COLUMNS;
    int rc = c->plan.replicates ? doc_room(c, last - first, err) : 0;

    for (size_t i = 0; rc == 0 && i < c->n_vectors; i++) {
        norms(&c->v[i], rows);
        for (size_t r = 0; r < rows; r++)
            if (!(c->v[i].norm[r] < longest))
                return refuse_row(&c->v[i].s, c->v[i].norm[r], t, first, row0 + r, path, err);
    }
    if (rc < 0)
        return rc;
#pragma omp parallel for schedule(dynamic)
    for (size_t k = 0; k < c->n_vectors * blocks; k++) {
        struct vectors *v = &c->v[k / blocks];
        const size_t j0 = k % blocks * COLUMNS;

        add_columns(&v->s, v->doc_sum, v->rows, t, first, last, j0, c->d - j0 < COLUMNS ? c->d - j0 : COLUMNS);
    }
    for (size_t i = 0; i < c->n_vectors; i++) {
        add_scalars(&c->v[i], t, first, last);
        if (rc == 0)
            rc = add_replicates(c, &c->v[i], t, first, last, path, err);
        for (size_t doc = first; rc == 0 && c->v[i].gram && doc < last; doc++)
            rc = dk_gram_add(c->v[i].gram, t->id[doc], c->v[i].rows + (t->offset[doc] - row0) * c->d,
                             t->offset[doc + 1] - t->offset[doc], err);
    }
    return rc;
}

/* --- values of rows ------------------------------------------------------------------ */
struct products { double base, own, diff, both; };

static struct products products_of(const dk_collect_lane *l, size_t r, size_t d)
{
    const float *own = l->own + r * d, *base = l->base ? l->base + r * d : NULL, *diff = l->diff ? l->diff + r * d : NULL;
    struct products p = {0};

    for (size_t j = 0; j < d; j++) {
        p.own += (double)own[j] * own[j];
        if (base) {
            const float e = diff ? diff[j] : own[j] - base[j];

            p.base += (double)base[j] * base[j];
            p.both += (double)base[j] * own[j];
            p.diff += (double)e * e;
        }
    }
    return p;
}

/* Of equal rows the cosine is exactly 1; a row of zeros has none with anything. */
static void measure(dk_collect *c, const struct lane *l, size_t rows)
{
    struct values *m = &c->m[l->measure];

#pragma omp parallel for
    for (size_t r = 0; r < rows; r++) {
        const struct products p = products_of(&l->at, r, c->d);
        const double lengths = sqrt(p.base) + sqrt(p.own);

        m[0].own[r] = (float)sqrt(p.own);
        if (l->at.base) {
            m[1].own[r] = (float)sqrt(p.diff);
            m[2].own[r] = (float)fmax(1 - (p.base > 0 && p.own > 0 ? p.both / sqrt(p.base * p.own) : 0), 0);
            m[3].own[r] = lengths > 0 ? (float)(sqrt(p.diff) / lengths) : 0;
        }
    }
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
    return 0;
}

static int add_measures(dk_collect *c, const dk_tokens *t, size_t first, size_t last, const char *path, dk_err *err)
{
    const size_t row0 = t->offset[first];
    int rc = 0;

    for (size_t i = 0; i < c->n_lanes; i++)
        measure(c, &c->lane[i], t->offset[last] - row0);
    for (size_t doc = first; rc == 0 && c->n_values && doc < last; doc++) {
        /* A text of one token has nothing that a model could have told from it. */
        if (t->offset[doc + 1] - t->offset[doc] < 2)
            continue;
        for (uint64_t b = 0; b < DK_STAT_REPLICATES; b++)
            c->weight[b] = (uint8_t)dk_poisson1(dk_ctr(c->plan.seed, DK_STREAM_BOOTSTRAP, b, t->id[doc]));
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
