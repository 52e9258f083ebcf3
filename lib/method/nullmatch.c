/* How much a module adds to its map, in the mean over tokens. */
#include <math.h>

#include "base/mem.h"
#include "method/null.h"
#include "method/score.h"
#include "model/budget.h"

enum { ROWS = 256 };

/* B^T B of one module, the original's and the null's; what they add, summed. */
struct module { double *own, *turned, e_own, e_turned; };

static dk_site site_of(dk_linear which)
{
    switch (which) {
    case DK_LINEAR_O:       return DK_SITE_O_IN;
    case DK_LINEAR_GATE:
    case DK_LINEAR_UP:      return DK_SITE_GATE_UP_IN;
    case DK_LINEAR_DOWN:    return DK_SITE_DOWN_IN;
    default:                return DK_SITE_QKV_IN;
    }
}

static int gram(double **g, const float *b, size_t out, size_t r, dk_err *err)
{
    const int rc = dk_alloc(g, r * r, sizeof **g, "a module's square", err);

    for (size_t i = 0; rc == 0 && i < out; i++)
        for (size_t j = 0; j < r; j++)
            for (size_t k = 0; k < r; k++)
                (*g)[j * r + k] += (double)b[i * r + j] * b[i * r + k];
    return rc;
}

/* |B A x|^2 = (A x)^T (B^T B) (A x) */
static double added(const float *a, const double *g, const float *x, size_t r, size_t in, double *y)
{
    double sum = 0;

    for (size_t j = 0; j < r; j++) {
        double s[4] = {0};
        size_t i = 0;

        for (; i + 4 <= in; i += 4)
            for (size_t c = 0; c < 4; c++)
                s[c] += (double)a[j * in + i + c] * x[i + c];
        for (; i < in; i++)
            s[0] += (double)a[j * in + i] * x[i];
        y[j] = s[0] + s[1] + s[2] + s[3];
    }
    for (size_t j = 0; j < r; j++)
        for (size_t k = 0; k < r; k++)
            sum += y[j] * g[j * r + k] * y[k];
    return sum;
}

struct work {
    dk_null *n;
    struct module *m;
    dk_tap *tap;                    /* of the sites that modules read, in all layers */
    size_t n_taps;
    double *room;                   /* [n, the largest rank] */
    size_t most_rank;
};

static const float *input_of(const struct work *w, const dk_adapter_module *m)
{
    for (size_t i = 0; i < w->n_taps; i++)
        if (w->tap[i].layer == m->layer && w->tap[i].site == site_of(m->which))
            return w->tap[i].out;
    return NULL;
}

static int open_taps(struct work *w, const dk_model_config *c, size_t rows, dk_err *err)
{
    int rc = 0;

    w->tap = dk_xcalloc(w->n->n + 1, sizeof *w->tap);
    for (size_t i = 0; rc == 0 && i < w->n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(w->n->from, i);
        const dk_site site = site_of(m->which);
        size_t all;

        if (input_of(w, m))
            continue;
        DK_ASSERT(m->in == dk_site_width(c, site));
        w->tap[w->n_taps] = (dk_tap){ .layer = m->layer, .site = site };
        rc = dk_mul_size(&all, rows, m->in) ? dk_alloc(&w->tap[w->n_taps++].out, all, sizeof(float), "inputs of modules", err)
                                            : dk_fail(err, DK_ENOMEM, "the inputs of modules do not fit in memory");
    }
    return rc;
}

static int squares(struct work *w, dk_err *err)
{
    size_t all;
    int rc = 0;

    w->m = dk_xcalloc(w->n->n + 1, sizeof *w->m);
    w->most_rank = dk_adapter_max_rank(w->n->from);
    for (size_t i = 0; rc == 0 && i < w->n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(w->n->from, i);

        rc = gram(&w->m[i].own, m->b, m->out, m->r, err);
        if (rc == 0)
            rc = gram(&w->m[i].turned, w->n->module[i].b, m->out, m->r, err);
    }
    if (rc == 0)
        rc = dk_mul_size(&all, w->n->n, w->most_rank) ? dk_alloc(&w->room, all, sizeof *w->room, "inputs of modules", err)
                                                      : dk_fail(err, DK_ENOMEM, "the modules do not fit in memory");
    return rc;
}

static void add_rows(struct work *w, size_t rows)
{
    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < w->n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(w->n->from, i);
        const float *x = input_of(w, m);

        for (size_t t = 0; t < rows; t++) {
            w->m[i].e_own += added(m->a, w->m[i].own, x + t * m->in, m->r, m->in, w->room + i * w->most_rank);
            w->m[i].e_turned += added(w->n->module[i].a, w->m[i].turned, x + t * m->in, m->r, m->in,
                                      w->room + i * w->most_rank);
        }
    }
}

static int pass(struct work *w, const dk_pair *base, const dk_tokens *t, size_t budget, dk_err *err)
{
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    dk_runner *r = NULL;
    int rc = dk_pair_runner(&r, base, dk_tokens_batch_most(t, budget), err);

    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        dk_pass p = { .taps = w->tap, .n_taps = w->n_taps, .last_layer = -1 };

        last = dk_tokens_batch(t, first, budget, offset);
        if (t->offset[last] == t->offset[first])
            continue;
        p.batch = (dk_batch){ last - first, offset, t->token + t->offset[first] };
        rc = dk_runner_forward(r, &p, err);
        if (rc == 0)
            add_rows(w, t->offset[last] - t->offset[first]);
    }
    dk_runner_free(&r);
    dk_free(offset);
    return rc;
}

/* The factor goes into A; where either adds nothing there is none. */
static int apply(struct work *w, double *least, double *most, dk_err *err)
{
    *least = INFINITY;
    *most = 0;
    for (size_t i = 0; i < w->n->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(w->n->from, i);
        const double f = sqrt(w->m[i].e_own / w->m[i].e_turned);

        if (!isfinite(w->m[i].e_own) || !isfinite(w->m[i].e_turned))
            return dk_fail(err, DK_ENUM, "%s: what it adds is NaN or infinite", m->path);
        if (!isfinite(f) || f <= 0)
            continue;
        *least = fmin(*least, f);
        *most = fmax(*most, f);
        for (size_t j = 0; j < m->r * m->in; j++)
            w->n->module[i].a[j] *= (float)f;
    }
    return 0;
}

int dk_null_match(dk_null *n, const dk_pair *base, const dk_tokens *t, double *least, double *most, dk_err *err)
{
    struct work w = { .n = n };
    double lo, hi;
    size_t budget;
    int rc;

    if (n->head.a)
        return dk_fail(err, DK_EDATA, "%s changes the unembedding: --match effect does not do that", dk_adapter_path(n->from));
    if (t->rows == 0)
        return dk_fail(err, DK_EDATA, "there are no tokens to match on");
    rc = dk_pair_rows(&budget, base, 0, ROWS, dk_tokens_batch_most(t, 1), err);
    if (rc == 0) rc = open_taps(&w, &base->model->config, dk_tokens_batch_most(t, budget), err);
    if (rc == 0) rc = squares(&w, err);
    if (rc == 0) rc = pass(&w, base, t, budget, err);
    if (rc == 0) rc = apply(&w, &lo, &hi, err);
    if (rc == 0 && least) *least = lo;
    if (rc == 0 && most) *most = hi;
    for (size_t i = 0; w.m && i < n->n; i++) {
        dk_free(w.m[i].own);
        dk_free(w.m[i].turned);
    }
    for (size_t i = 0; i < w.n_taps; i++)
        dk_free(w.tap[i].out);
    dk_free(w.m);
    dk_free(w.tap);
    dk_free(w.room);
    return rc;
}
