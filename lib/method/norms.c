/* Norms of activations.  Products are summed in double, row by row, so that
 * results depend on nothing but the rows. */
#include "method/norms.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "io/dirfile.h"
#include "num/docmeans.h"

enum { LATE = 5 };                 /* scales are of rows from this position on, as dk-mean has them */

static const char *const metric[DK_NORM_METRICS] = { "norm", "norm_diff", "cos_dist", "relative" };

const char *dk_norm_metric_name(size_t m) { return metric[m]; }

/* --- lanes -------------------------------------------------------------------- */
/* Where the rows of a lane come from: two of them, or one alone; the base has only own. */
struct source { const dk_act_info *base, *own, *diff; };

struct list { dk_norms *n; struct source *s; size_t rows; dk_doc_means **docs; };

static int room(dk_norm_lane *l, const struct source *s, size_t rows, dk_err *err)
{
    const bool wanted[DK_NORM_METRICS] = { s->own || s->base, s->diff || s->base, s->base, s->base };
    int rc = 0;

    for (size_t m = 0; rc == 0 && m < DK_NORM_METRICS; m++) {
        if (!wanted[m])
            continue;
        rc = dk_alloc(&l->value[m], rows, sizeof **l->value, "norms", err);
        for (size_t i = 0; rc == 0 && i < rows; i++)
            l->value[m][i] = NAN;
    }
    return rc;
}

static int add_mean(dk_norm_lane *l, char *name, int32_t position, int64_t token, dk_err *err)
{
    l->mean = dk_xrealloc(l->mean, (l->n_means + 1) * sizeof *l->mean);
    l->mean[l->n_means] = (dk_norm_mean){ .name = name, .position = position, .token = token, .length = { NAN, NAN, NAN, NAN } };
    return dk_alloc(&l->mean[l->n_means++].sum, l->d, sizeof(double), "mean differences", err);
}

static int add_means(dk_norm_lane *l, const dk_norm_plan *plan, dk_err *err)
{
    int rc = add_mean(l, dk_xstrdup("mean_all"), DK_NO_POSITION, -1, err);

    for (size_t p = 0; rc == 0 && p < plan->positions; p++)
        rc = add_mean(l, dk_xasprintf("mean_pos_%zu", p), (int32_t)p, -1, err);
    for (size_t i = 0; rc == 0 && i < plan->n_tokens; i++)
        rc = add_mean(l, dk_xasprintf("mean_token_%u", plan->token[i]), DK_NO_POSITION, plan->token[i], err);
    return rc;
}

static int add(struct list *l, dk_acts *a, const char *name, const struct source *s, const dk_norm_plan *plan,
               dk_err *err)
{
    const dk_act_info *like = s->own ? s->own : s->diff;
    dk_norms *n = l->n;
    int rc;

    if ((s->base && s->base->d != like->d) || (s->diff && s->diff->d != like->d))
        return dk_fail(err, DK_EFORMAT, "%s: lanes of different widths", dk_h5_path(dk_acts_file(a)));
    n->lane = dk_xrealloc(n->lane, (n->n + 1) * sizeof *n->lane);
    l->s = dk_xrealloc(l->s, (n->n + 1) * sizeof *l->s);
    l->s[n->n] = *s;
    n->lane[n->n] = (dk_norm_lane){ .layer = like->layer, .site = like->site, .computed_in = like->computed_in,
                                    .lane = dk_xstrdup(name), .d = like->d };
    rc = room(&n->lane[n->n++], s, l->rows, err);
    return rc == 0 && (s->diff || s->base) ? add_means(&n->lane[n->n - 1], plan, err) : rc;
}

static int add_place(struct list *l, dk_acts *a, const dk_act_info *like, const char *lanes, const dk_norm_plan *plan,
                     dk_err *err)
{
    const dk_act_info *base = dk_acts_find(a, like->layer, like->site, "base");
    const struct source alone = { .own = base };
    char *copy = dk_xstrdup(lanes), *save = NULL;
    int rc = base ? add(l, a, "base", &alone, plan, err) : 0;

    for (char *lane = strtok_r(copy, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save)) {
        char *name = strcmp(lane, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);
        const struct source s = { base, dk_acts_find(a, like->layer, like->site, lane),
                                  dk_acts_find(a, like->layer, like->site, name) };

        if (strcmp(lane, "base") != 0 && (s.own || s.diff))
            rc = add(l, a, lane, &s, plan, err);
        dk_free(name);
    }
    dk_free(copy);
    return rc;
}

/* --- rows ----------------------------------------------------------------------- */
struct work { float *base, *own, *diff; };      /* rows of one document */

/* All that a lane has of a document; what is not stored is worked out. */
static int read_rows(struct work *w, dk_acts *a, const struct source *s, size_t d, size_t first, size_t n, dk_err *err)
{
    int rc = s->base ? dk_acts_read(a, s->base, first, n, w->base, err) : 0;

    if (rc == 0 && s->own)
        rc = dk_acts_read(a, s->own, first, n, w->own, err);
    if (rc == 0 && s->diff)
        rc = dk_acts_read(a, s->diff, first, n, w->diff, err);
    for (size_t i = 0; rc == 0 && s->base && i < n * d; i++) {
        if (!s->own)
            w->own[i] = w->base[i] + w->diff[i];
        if (!s->diff)
            w->diff[i] = w->own[i] - w->base[i];
    }
    return rc;
}

static double product(const float *x, const float *y, size_t d)
{
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += (double)x[j] * y[j];
    return sum;
}

/* Of equal rows exactly 1.  A row of zeros has no direction: its cosine with anything is 0. */
static double cosine(double xy, double xx, double yy) { return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0; }

/* Row i of the document, which is `row` of the file.  The base and a lone difference have only their own norm. */
static void measure(dk_norm_lane *l, const struct source *s, const struct work *w, size_t i, size_t row)
{
    const float *own = w->own + i * l->d, *diff = w->diff + i * l->d, *base = w->base + i * l->d;
    const double ff = l->value[DK_NORM] ? product(own, own, l->d) : NAN;
    const double delta = l->value[DK_NORM_DIFF] ? sqrt(product(diff, diff, l->d)) : NAN;

    if (l->value[DK_NORM])
        l->value[DK_NORM][row] = (float)sqrt(ff);
    if (l->value[DK_NORM_DIFF])
        l->value[DK_NORM_DIFF][row] = (float)delta;
    if (s->base) {
        const double bb = product(base, base, l->d), lengths = sqrt(bb) + sqrt(ff);

        l->value[DK_NORM_COS][row] = (float)fmax(1 - cosine(product(base, own, l->d), bb, ff), 0);
        l->value[DK_NORM_RELATIVE][row] = lengths > 0 ? (float)(delta / lengths) : 0;
    }
}

static void add_row(dk_norm_lane *l, const struct work *w, size_t i, uint32_t pos, uint32_t token)
{
    for (size_t k = 0; k < l->n_means; k++) {
        dk_norm_mean *m = &l->mean[k];

        if ((m->position != DK_NO_POSITION && (uint32_t)m->position != pos) || (m->token >= 0 && m->token != token))
            continue;
        m->count++;
        for (size_t j = 0; j < l->d; j++)
            m->sum[j] += w->diff[i * l->d + j];
    }
    if (pos >= LATE && l->value[DK_NORM]) {
        l->late_norm += sqrt(product(w->own + i * l->d, w->own + i * l->d, l->d));
        l->n_late++;
    }
}

/* A text of one token has nothing that a model could have told from it. */
static int document(struct list *l, dk_acts *a, struct work *w, size_t doc, const dk_norm_plan *plan, dk_err *err)
{
    const dk_tokens *t = dk_acts_tokens(a);
    const size_t first = t->offset[doc], n = t->offset[doc + 1] - first;
    size_t used = 0;
    int rc = 0;

    for (size_t k = 0; rc == 0 && n > 1 && k < l->n->n; k++) {
        dk_norm_lane *lane = &l->n->lane[k];

        rc = read_rows(w, a, &l->s[k], lane->d, first, n, err);
        if (rc == 0 && l->docs[k])
            dk_doc_means_add(l->docs[k], t->id[doc], w->diff, n, SIZE_MAX);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            add_row(lane, w, i, t->pos[first + i], t->token[first + i]);
            if (t->pos[first + i] >= plan->skip)
                measure(lane, &l->s[k], w, i, first + i);
        }
    }
    for (size_t i = 0; n > 1 && i < n; i++)
        used += t->pos[first + i] >= plan->skip;
    l->n->rows += used;
    l->n->docs += used > 0;
    l->n->too_short += used == 0;
    return rc;
}

/* Of mean_all also what each document adds. */
static int keep_documents(struct list *l, const dk_tokens *t, const char *path, dk_err *err)
{
    double bytes = 0;
    int rc = 0;

    l->docs = dk_xcalloc(l->n->n, sizeof *l->docs);
    for (size_t k = 0; k < l->n->n; k++)
        bytes += l->n->lane[k].n_means ? (double)dk_doc_means_bytes(t->docs, 0, l->n->lane[k].d) : 0;
    if (bytes > DK_DOC_MEANS_MOST)
        dk_log(DK_WARN, "%s: too many documents and lanes for intervals of mean differences: there are none", path);
    for (size_t k = 0; rc == 0 && bytes <= DK_DOC_MEANS_MOST && k < l->n->n; k++)
        if (l->n->lane[k].n_means)
            rc = dk_doc_means_new(&l->docs[k], t->docs, 0, l->n->lane[k].d, err);
    return rc;
}

static int all_rows(struct list *l, dk_acts *a, const dk_norm_plan *plan, dk_err *err)
{
    const dk_tokens *t = dk_acts_tokens(a);
    struct work w = {0};
    size_t d = 1, longest = 0, n;
    int rc;

    for (size_t k = 0; k < l->n->n; k++)
        d = l->n->lane[k].d > d ? l->n->lane[k].d : d;
    for (size_t i = 0; i < t->docs; i++)
        longest = t->offset[i + 1] - t->offset[i] > longest ? t->offset[i + 1] - t->offset[i] : longest;
    rc = dk_mul_size(&n, longest, d) ? dk_alloc(&w.base, n, sizeof(float), "rows of a document", err)
                                     : dk_fail(err, DK_ENOMEM, "the rows of a document do not fit in memory");
    if (rc == 0) rc = dk_alloc(&w.own, n, sizeof(float), "rows of a document", err);
    if (rc == 0) rc = dk_alloc(&w.diff, n, sizeof(float), "rows of a document", err);
    if (rc == 0) rc = keep_documents(l, t, dk_h5_path(dk_acts_file(a)), err);
    for (size_t i = 0; rc == 0 && i < t->docs; i++) {
        rc = document(l, a, &w, i, plan, err);
        dk_acts_done(a, t->offset[i + 1]);
    }
    dk_free(w.base);
    dk_free(w.own);
    dk_free(w.diff);
    if (rc == 0)
        rc = dk_acts_finish(a, err);
    for (size_t k = 0; l->docs && k < l->n->n; k++) {
        dk_norm_mean *all = l->n->lane[k].mean;         /* mean_all is the first */

        if (rc == 0 && l->docs[k])
            rc = dk_doc_means_end(l->docs[k], &all->length, plan->seed, err);
        dk_doc_means_free(&l->docs[k]);
    }
    dk_free(l->docs);
    return rc;
}

int dk_norms_of(dk_norms *out, dk_acts *a, const dk_norm_plan *plan, dk_err *err)
{
    struct list l = { .n = out, .rows = dk_acts_tokens(a)->rows };
    char *lanes = NULL;
    int rc = dk_h5_get_str(dk_acts_file(a), "/", "lanes", &lanes, err);

    *out = (dk_norms){0};
    for (size_t i = 0; rc == 0 && i < dk_acts_n(a); i++) {
        const dk_act_info *x = dk_acts_at(a, i), *last = i ? dk_acts_at(a, i - 1) : NULL;

        if (!last || last->layer != x->layer || strcmp(last->site, x->site) != 0)
            rc = add_place(&l, a, x, lanes, plan, err);
    }
    if (rc == 0)
        rc = all_rows(&l, a, plan, err);
    if (rc == 0 && out->rows == 0)
        rc = dk_fail(err, DK_EDATA, "%s: no document has more than %zu tokens", dk_h5_path(dk_acts_file(a)),
                     plan->skip > 1 ? plan->skip : 1);
    dk_free(lanes);
    dk_free(l.s);
    if (rc < 0)
        dk_norms_free(out);
    return rc;
}

void dk_norms_free(dk_norms *n)
{
    for (size_t k = 0; k < n->n; k++) {
        dk_norm_lane *l = &n->lane[k];

        for (size_t i = 0; i < l->n_means; i++) {
            dk_free(l->mean[i].name);
            dk_free(l->mean[i].sum);
        }
        for (size_t m = 0; m < DK_NORM_METRICS; m++)
            dk_free(l->value[m]);
        dk_free(l->mean);
        dk_free(l->lane);
    }
    dk_free(n->lane);
    *n = (dk_norms){0};
}
