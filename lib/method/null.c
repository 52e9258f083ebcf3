/* Null adapters: rotations of their factors. */
#include "method/null.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "num/haar.h"

/* One adapter being turned. */
struct work {
    dk_null *to;
    const dk_model_config *cfg;
    uint64_t seed, index;
    double *q;                      /* [d, d] of a rigid null */
    dk_null_inputs *in;             /* of a whitened one, */
    double *turn;                   /* and what turns those that read there instead of q: */
    int turn_layer;
    bool turn_mlp;
    dk_err *err;
};

/* --- products ------------------------------------------------------------------- */
/* b [d, r] <- q [d, k] b0 [k, r] */
static void times(float *b, const double *q, const float *b0, size_t d, size_t k, size_t r)
{
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < r; j += 32) {
            const size_t m = r - j < 32 ? r - j : 32;
            double sum[32] = {0};

            for (size_t l = 0; l < k; l++)
                for (size_t c = 0; c < m; c++)
                    sum[c] += q[i * k + l] * b0[l * r + j + c];
            for (size_t c = 0; c < m; c++)
                b[i * r + j + c] = (float)sum[c];
        }
}

/* a [r, d] <- a0 [r, k] q^T */
static void times_back(float *a, const double *q, const float *a0, size_t d, size_t k, size_t r)
{
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < r; j++) {
            double sum = 0;

            for (size_t l = 0; l < k; l++)
                sum += q[i * k + l] * a0[j * k + l];
            a[j * d + i] = (float)sum;
        }
}

/* --- kinds ------------------------------------------------------------------------ */
static int copy(dk_null_module *to, const dk_adapter_module *m, dk_err *err)
{
    int rc = dk_alloc(&to->a, m->r * m->in, sizeof *to->a, "a null", err);

    if (rc == 0)
        rc = dk_alloc(&to->b, m->r * m->out, sizeof *to->b, "a null", err);
    if (rc == 0) {
        memcpy(to->a, m->a, m->r * m->in * sizeof *to->a);
        memcpy(to->b, m->b, m->r * m->out * sizeof *to->b);
    }
    return rc;
}

static void scale(float *x, size_t n, float by)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= by;
}

static bool writes(const dk_adapter_module *m) { return m->which == DK_LINEAR_O || m->which == DK_LINEAR_DOWN; }

static int not_of_width(const struct work *w, const dk_adapter_module *m, size_t width)
{
    return width == w->cfg->d_model ? 0 : dk_fail(w->err, DK_EDATA, "%s has width %zu, not that of the residual stream",
                                                  m->path, width);
}

/* Maps that share an input share what turns them. */
static int whiten(struct work *w, const dk_adapter_module *m)
{
    const bool mlp = m->which == DK_LINEAR_GATE || m->which == DK_LINEAR_UP;
    int rc = 0;

    if (w->turn && w->turn_layer == m->layer && w->turn_mlp == mlp)
        return 0;
    if (!w->turn)
        rc = dk_alloc(&w->turn, w->cfg->d_model * w->cfg->d_model, sizeof *w->turn, "a rotation", w->err);
    w->turn_layer = m->layer;
    w->turn_mlp = mlp;
    return rc < 0 ? rc : dk_null_whiten(w->turn, w->in, m->layer, m->which, w->q, w->err);
}

static int turn_rigid(struct work *w, dk_null_module *to, const dk_adapter_module *m, bool writer)
{
    const size_t d = w->cfg->d_model;
    int rc = not_of_width(w, m, writer ? m->out : m->in);

    if (rc == 0 && w->in && !writer)
        rc = whiten(w, m);
    if (rc == 0 && writer)
        times(to->b, w->q, m->b, d, d, m->r);
    else if (rc == 0)
        times_back(to->a, w->in ? w->turn : w->q, m->a, d, d, m->r);
    return rc;
}

/* x [n, r] = Q R becomes S R with random columns S: x turned by a rotation of
 * its own, of which only r columns matter. */
static int turn_columns(const struct work *w, float *x, size_t n, size_t r, uint64_t draw)
{
    double *in = NULL, *s = NULL, *tri = NULL;
    float *low = NULL;
    int rc = dk_alloc(&in, n * r, sizeof *in, "a null", w->err);

    if (rc == 0) rc = dk_alloc(&s, n * r, sizeof *s, "a null", w->err);
    if (rc == 0) rc = dk_alloc(&tri, r * r, sizeof *tri, "a null", w->err);
    if (rc == 0) rc = dk_alloc(&low, r * r, sizeof *low, "a null", w->err);
    for (size_t i = 0; rc == 0 && i < n * r; i++)
        in[i] = x[i];
    if (rc == 0) rc = dk_qr(NULL, tri, in, n, r, w->err);
    if (rc == 0) rc = dk_haar(s, n, r, w->seed, draw, w->err);
    for (size_t i = 0; rc == 0 && i < r * r; i++)
        low[i] = (float)tri[i];
    if (rc == 0)
        times(x, s, low, n, r, r);
    dk_free(in);
    dk_free(s);
    dk_free(tri);
    dk_free(low);
    return rc;
}

static void transpose(float *out, const float *x, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[j * rows + i] = x[i * cols + j];
}

/* Each module and side has draws of its own beside those of the null's number. */
static int turn_haar(const struct work *w, dk_null_module *to, const dk_adapter_module *m, uint64_t number)
{
    const uint64_t draw = w->index + ((2 * number + 1) << 32);
    float *at = NULL;
    int rc;

    if (m->r > m->in || m->r > m->out)
        return dk_fail(w->err, DK_EDATA, "%s: rank %zu is beyond its sizes", m->path, m->r);
    rc = dk_alloc(&at, m->r * m->in, sizeof *at, "a null", w->err);
    if (rc == 0)
        rc = turn_columns(w, to->b, m->out, m->r, draw);
    if (rc == 0) {
        transpose(at, m->a, m->r, m->in);
        rc = turn_columns(w, at, m->in, m->r, draw + ((uint64_t)1 << 32));
    }
    if (rc == 0)
        transpose(to->a, at, m->in, m->r);
    dk_free(at);
    return rc;
}

static bool alike(const dk_adapter_module *x, const dk_adapter_module *y)
{
    return x->which == y->which && x->r == y->r && x->in == y->in && x->out == y->out && !(x->scale < y->scale) &&
           !(x->scale > y->scale);
}

struct card { uint64_t draw; size_t layer; };

static int by_draw(const void *a, const void *b)
{
    const struct card *x = a, *y = b;

    return x->draw < y->draw ? -1 : x->draw > y->draw ? 1 : (x->layer > y->layer) - (x->layer < y->layer);
}

/* from [n]: layers, ascending, become those that they take from. */
static void deal(size_t *from, size_t n, uint64_t seed, uint64_t index)
{
    struct card *card = dk_xcalloc(n + 1, sizeof *card);
    size_t stay = 1;

    for (size_t i = 0; i < n; i++)
        card[i] = (struct card){ dk_ctr(seed, DK_STREAM_ROTATION, index, from[i]), from[i] };
    qsort(card, n, sizeof *card, by_draw);
    for (size_t i = 1; i < n; i++)
        stay &= card[i - 1].layer < card[i].layer;
    for (size_t i = 0; i < n; i++)
        from[i] = card[(i + stay) % n].layer;
    dk_free(card);
}

void dk_null_deal(size_t *from, size_t layers, uint64_t seed, uint64_t index)
{
    for (size_t i = 0; i < layers; i++)
        from[i] = i;
    deal(from, layers, seed, index);
}

/* The modules like module i are dealt out to the layers that have them, all kinds of maps alike. */
static void deal_module(const struct work *w, size_t i)
{
    const dk_adapter *a = w->to->from;
    const dk_adapter_module *m = dk_adapter_at(a, i);
    size_t *from = dk_xcalloc(dk_adapter_n(a), sizeof *from), n = 0, place = 0;

    for (size_t j = 0; j < dk_adapter_n(a); j++) {
        const dk_adapter_module *x = dk_adapter_at(a, j);

        if (!alike(x, m))
            continue;
        place = x == m ? n : place;
        from[n++] = (size_t)x->layer;
    }
    deal(from, n, w->seed, w->index);
    m = dk_adapter_find(a, (int)from[place], m->which);
    memcpy(w->to->module[i].a, m->a, m->r * m->in * sizeof *m->a);
    memcpy(w->to->module[i].b, m->b, m->r * m->out * sizeof *m->b);
    dk_free(from);
}

/* number: of the module among all; the ends come last. */
static int turn(struct work *w, dk_null_kind kind, dk_null_module *to, const dk_adapter_module *m, bool writer,
                uint64_t number)
{
    int rc = copy(to, m, w->err);

    if (rc == 0 && (kind == DK_NULL_RIGID || kind == DK_NULL_WHITENED))
        rc = turn_rigid(w, to, m, writer);
    else if (rc == 0 && kind == DK_NULL_HAAR)
        rc = turn_haar(w, to, m, number);
    else if (rc == 0 && (kind == DK_NULL_SAME || kind == DK_NULL_NEGATE))
        scale(to->b, m->r * m->out, kind == DK_NULL_SAME ? 0 : -1);
    return rc;
}

int dk_null_make(dk_null *out, const dk_adapter *from, const dk_model_config *cfg, dk_null_kind kind, uint64_t seed,
                 uint64_t index, dk_null_inputs *in, dk_err *err)
{
    struct work w = { .to = out, .cfg = cfg, .seed = seed, .index = index, .err = err,
                      .in = kind == DK_NULL_WHITENED ? in : NULL };
    const bool rotated = kind == DK_NULL_RIGID || kind == DK_NULL_WHITENED;
    const dk_adapter_module *embed = dk_adapter_embed(from), *head = dk_adapter_head(from);
    size_t dd;
    int rc = 0;

    *out = (dk_null){ .from = from, .n = dk_adapter_n(from), .module = dk_xcalloc(dk_adapter_n(from) + 1, sizeof *out->module) };
    if (kind == DK_NULL_NUMERIC)
        rc = dk_fail(err, DK_EDATA, "%s is an adapter: --kind numeric is made of full weights alone, the base's own will do",
                     dk_adapter_path(from));
    if (rc == 0 && kind == DK_NULL_LAYERS && (embed || head))
        rc = dk_fail(err, DK_EDATA, "%s changes %s: that has no other layer to go to", dk_adapter_path(from),
                     embed ? "the embedding" : "the unembedding");
    if (rc == 0 && (dk_adapter_saved_embed(from) || dk_adapter_saved_head(from)))
        rc = dk_fail(err, DK_EDATA, "%s saves %s whole; nulls are made of low-rank modules alone", dk_adapter_path(from),
                     dk_adapter_saved_embed(from) ? "the embedding" : "the unembedding");
    if (rc == 0 && kind == DK_NULL_WHITENED && head)
        rc = dk_fail(err, DK_EDATA, "%s changes the unembedding: a whitened null does not do that", dk_adapter_path(from));
    if (rc == 0 && rotated)
        rc = dk_mul_size(&dd, cfg->d_model, cfg->d_model) ? dk_alloc(&w.q, dd, sizeof *w.q, "a rotation", err)
                                                          : dk_fail(err, DK_ENOMEM, "a rotation does not fit in memory");
    if (rc == 0 && rotated)
        rc = dk_haar(w.q, cfg->d_model, cfg->d_model, seed, index, err);
    for (size_t i = 0; rc == 0 && i < out->n; i++) {
        const dk_adapter_module *m = dk_adapter_at(from, i);

        rc = turn(&w, kind, &out->module[i], m, writes(m), i);
        if (rc == 0 && kind == DK_NULL_LAYERS)
            deal_module(&w, i);
    }
    if (rc == 0 && embed)
        rc = turn(&w, kind, &out->embed, embed, true, out->n);
    if (rc == 0 && head)
        rc = turn(&w, kind, &out->head, head, false, out->n + 1);
    dk_free(w.q);
    dk_free(w.turn);
    if (rc < 0)
        dk_null_free(out);
    return rc;
}

void dk_null_free(dk_null *n)
{
    for (size_t i = 0; i < n->n; i++) {
        dk_free(n->module[i].a);
        dk_free(n->module[i].b);
    }
    dk_free(n->embed.a);
    dk_free(n->embed.b);
    dk_free(n->head.a);
    dk_free(n->head.b);
    dk_free(n->module);
    *n = (dk_null){0};
}
