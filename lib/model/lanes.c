/* The forward pass in lanes: what comes before, between and after the blocks. */
#include "model/runner.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/rope.h"

int dk_rows_alloc(float **out, size_t rows, size_t width, dk_err *err)
{
    dk_dev *dev = dk_device();
    size_t n;

    if (!dk_mul_size(&n, dev->ops->padded_rows(dev, rows), width) || !dk_mul_size(&n, n, sizeof **out))
        return dk_fail(err, DK_ENOMEM, "the batch does not fit in memory");
    return dev->ops->alloc(dev, (void **)out, n, "the rows of a batch", err);
}

/* A lane whose adapter changes the unembedding has one of its own. */
static int own_ends(dk_runner *r, size_t lane, dk_err *err)
{
    const dk_adapter *a = r->lane[lane].adapter;
    const float factor = r->lane[lane].factor;
    int rc = 0;

    if (factor != 0 && factor != 1 && (dk_adapter_saved_embed(a) || dk_adapter_saved_head(a)))
        return dk_fail(err, DK_EDATA, "%s holds saved embeddings or a saved head, which can be taken at factor 0 or 1 "
                       "only, not %g", dk_adapter_path(a), (double)factor);
    if (r->m->head && factor != 0 && (dk_adapter_saved_head(a) || dk_adapter_head(a))) {
        rc = dk_model_pack_head(&r->own_head[lane], r->model[lane], a, factor, err);
        r->head[lane] = r->own_head[lane];
    }
    return rc;
}

int dk_runner_new(dk_runner **out, const dk_model *m, const dk_lane *lanes, size_t n_lanes,
                  size_t max_rows, dk_err *err)
{
    const dk_model_config *c = &m->config;
    dk_runner *r = dk_xcalloc(1, sizeof *r);
    const size_t total = n_lanes * max_rows, q = c->n_heads * c->head_dim;
    const size_t widest = c->d_ff > c->d_model ? (c->d_ff > q ? c->d_ff : q)
                                               : (c->d_model > q ? c->d_model : q);
    size_t low = 8;
    int rc = 0;

    DK_ASSERT(n_lanes > 0 && n_lanes <= DK_MAX_LANES);
    r->m = m;
    r->dev = dk_device();
    r->n_lanes = n_lanes;
    r->max_rows = max_rows;
    r->widest = widest;
    r->side = dk_xcalloc(n_lanes, sizeof(dk_sidepath *));
    r->model = dk_xcalloc(n_lanes, sizeof(dk_model *));
    r->lane = dk_xcalloc(n_lanes, sizeof *r->lane);
    memcpy(r->lane, lanes, n_lanes * sizeof *r->lane);
    r->head = dk_xcalloc(n_lanes, sizeof(dk_weight *));
    r->own_head = dk_xcalloc(n_lanes, sizeof(dk_weight *));
    for (size_t i = 0; rc == 0 && i < n_lanes; i++) {
        r->model[i] = lanes[i].model ? lanes[i].model : m;
        if (r->model[i] != m)
            rc = dk_model_compatible(m, r->model[i], err);
        r->head[i] = r->model[i]->head;
    }
    for (size_t i = 0; rc == 0 && i < n_lanes; i++)
        if (lanes[i].adapter) {
            rc = dk_sidepath_new(&r->side[i], lanes[i].adapter, c, lanes[i].factor, err);
            if (rc == 0 && dk_sidepath_width(r->side[i]) > low)
                low = dk_sidepath_width(r->side[i]);
            if (rc == 0)
                rc = own_ends(r, i, err);
        }
    for (size_t first = 0, end; rc == 0 && first < n_lanes; first = end) {
        size_t width = 0;

        end = dk_runner_set_end(r, first);
        for (size_t l = first; l < end; l++)
            width += r->side[l] ? dk_sidepath_width(r->side[l]) : 0;
        r->side_width = width > r->side_width ? width : r->side_width;
    }
    if (rc == 0) rc = r->dev->ops->lhs_new(r->dev, &r->lhs, total, widest, m->dtype, err);
    if (rc == 0) rc = dk_rows_alloc(&r->x, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->norm, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->qkv, total, dk_site_width(c, DK_SITE_QKV), err);
    if (rc == 0) rc = dk_rows_alloc(&r->att, total, q, err);
    if (rc == 0) rc = dk_rows_alloc(&r->out, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->gate_up, total, dk_site_width(c, DK_SITE_GATE_UP), err);
    if (rc == 0) rc = dk_rows_alloc(&r->act, total, c->d_ff, err);
    if (rc == 0) rc = dk_rows_alloc(&r->low, max_rows, low, err);
    if (rc == 0) rc = dk_alloc(&r->pos, max_rows, sizeof *r->pos, "positions", err);
    if (rc < 0)
        dk_runner_free(&r);
    *out = r;
    return rc;
}

static void drop_turn(struct dk_turn *t)
{
    dk_dev *dev = dk_device();

    dev->ops->unshare(dev, t->cosines_on);
    dev->ops->unshare(dev, t->sines_on);
    dk_free(t->cosines);
    dk_free(t->sines);
    *t = (struct dk_turn){0};
}

void dk_runner_free(dk_runner **rp)
{
    dk_runner *r = *rp;
    const dk_ops *ops;

    if (!r)
        return;
    ops = r->dev->ops;
    ops->sync(r->dev, NULL);        /* results on their way go where there is still memory for them */
    for (size_t i = 0; i < r->n_lanes; i++) {
        dk_sidepath_free(&r->side[i]);
        ops->weight_free(r->dev, &r->own_head[i]);
    }
    dk_free(r->side);
    dk_free(r->lane);
    dk_free(r->head);
    dk_free(r->own_head);
    dk_free(r->model);
    ops->lhs_free(r->dev, &r->lhs);
    ops->lhs_free(r->dev, &r->head_lhs);
    float *rows[] = { r->x, r->norm, r->qkv, r->att, r->out, r->gate_up, r->act, r->low, r->whole, r->head_in,
                      r->logits };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ops->release(r->dev, rows[i]);
    for (size_t k = 0; k < 2; k++)
        drop_turn(&r->turn[k]);
    dk_free(r->ids_in);
    dk_free(r->pos);
    dk_free(r->past);
    dk_free(r->slot);
    dk_free(r);
    *rp = NULL;
}

/* Angles as the model library forms them: f32 frequency times f32 position. */
static int fill_turn(struct dk_turn *to, const float *inv, const dk_rope_spec *spec, size_t half, size_t n,
                     dk_err *err)
{
    const float scale = dk_rope_scale(spec);
    dk_dev *dev = dk_device();
    int rc;

    drop_turn(to);
    rc = dk_alloc(&to->cosines, n * half, sizeof(float), "rotary tables", err);
    if (rc == 0)
        rc = dk_alloc(&to->sines, n * half, sizeof(float), "rotary tables", err);
    for (size_t t = 0; rc == 0 && t < half; t++)
        for (size_t p = 0; p < n; p++) {
            const float angle = (float)p * inv[t];

            to->cosines[p * half + t] = (float)cos((double)angle) * scale;
            to->sines[p * half + t] = (float)sin((double)angle) * scale;
        }
    if (rc == 0)
        rc = dev->ops->share(dev, &to->cosines_on, to->cosines, n * half, err);
    if (rc == 0)
        rc = dev->ops->share(dev, &to->sines_on, to->sines, n * half, err);
    return rc;
}

/* The second table is that of layers with a window. */
static int rope_tables(dk_runner *r, size_t n, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    const size_t half = c->head_dim / 2;
    int rc;

    if (n <= r->n_positions || c->learned_positions)
        return 0;
    r->n_positions = 0;
    n = (n + 255) / 256 * 256;
    rc = fill_turn(&r->turn[0], r->m->rope, &c->rope, half, n, err);
    if (rc == 0 && c->window)
        rc = fill_turn(&r->turn[1], r->m->rope_local, &c->rope_local, half, n, err);
    if (rc == 0)
        r->n_positions = n;
    return rc;
}

size_t dk_site_width(const dk_model_config *c, dk_site site)
{
    switch (site) {
    case DK_SITE_QKV:       return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
    case DK_SITE_O_IN:      return c->n_heads * c->head_dim;
    case DK_SITE_GATE_UP:   return (c->gated ? 2 : 1) * c->d_ff;
    case DK_SITE_DOWN_IN:   return c->d_ff;
    default:                return c->d_model;
    }
}

int dk_layer_at(const dk_model_config *c, double depth)
{
    return (int)(depth * (double)(c->n_layers - 1));
}

static int fill_tap(const dk_runner *r, const dk_tap *tap, const float *x, size_t n, dk_err *err)
{
    const size_t at = tap->lane < r->n_lanes ? tap->lane : 0;       /* there for all */
    const float *lane = x + at * n;
    const bool subtract = tap->diff && (!r->diff || at == 0), add = r->diff && !tap->diff && at > 0;
    const float *other = subtract || add ? x : NULL;
    const float sign = add ? 1 : -1;

    if (!tap->stays)
        return r->dev->ops->tap(r->dev, tap->out, lane, other, sign, n, err);
    if (other)
        r->dev->ops->sum(r->dev, tap->out, lane, other, sign, n);
    else
        r->dev->ops->copy(r->dev, tap->out, lane, n * sizeof *lane);
    return 0;
}

int dk_runner_tap(const dk_runner *r, const dk_pass *p, int layer, dk_site site, const float *x, dk_err *err)
{
    const size_t lane = r->rows * dk_site_width(&r->m->config, site);
    int rc = 0;

    for (size_t t = 0; rc == 0 && t < p->n_taps; t++)
        if (p->taps[t].layer == layer && p->taps[t].site == site)
            rc = fill_tap(r, &p->taps[t], x, lane, err);
    return rc;
}

size_t dk_runner_set_end(const dk_runner *r, size_t first)
{
    size_t l = first + 1;

    while (l < r->n_lanes && r->model[l] == r->model[first])
        l++;
    return l;
}

/* Whether two lanes give the same ids the same vectors. */
static bool same_embedding(const dk_runner *r, size_t a, size_t b)
{
    const dk_lane *x = &r->lane[a], *y = &r->lane[b];
    const bool own = (x->adapter && dk_adapter_changes_embed(x->adapter)) ||
                     (y->adapter && dk_adapter_changes_embed(y->adapter));

    return r->model[a] == r->model[b] && (!own || (x->adapter == y->adapter && x->factor == y->factor));
}

/* The rows of a lane, on the host. */
static int embed_lane(dk_runner *r, float *out, size_t l, const uint32_t *ids, dk_err *err)
{
    const size_t d = r->m->config.d_model;
    const int rc = dk_model_embed(r->model[l], r->lane[l].adapter, r->lane[l].factor, out, ids, r->rows, err);

    for (size_t i = 0; rc == 0 && r->m->positions && i < r->rows; i++)
        for (size_t j = 0; j < d; j++)
            out[i * d + j] += r->model[l]->positions[r->pos[i] * d + j];
    return rc;
}

/* The rows of a lane from its unembedding, which is its embedding too. */
static bool embed_tied(dk_runner *r, float *to, size_t l, const uint32_t *ids)
{
    const dk_model *m = r->model[l];
    const dk_adapter *a = r->lane[l].adapter;

    if (!m->head || strcmp(m->head_name, m->embed_name) != 0 || m->config.embed_scaled || m->positions || (a && dk_adapter_changes_embed(a)))
        return false;
    for (size_t i = 0; i < r->rows; i++)
        if (ids[i] >= m->config.vocab)
            return false;
    return r->dev->ops->rows_of(r->dev, to, m->head, ids, r->rows);
}

/* What enters the first block.  Lanes that read the same ids from the same
 * weights share the work. */
static int embed(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const dk_ops *ops = r->dev->ops;
    const size_t each = r->rows * r->m->config.d_model;
    int rc = 0;

    if (!ops->host && !r->ids_in)
        rc = dk_alloc(&r->ids_in, r->max_rows * r->m->config.d_model, sizeof(float), "embeddings", err);
    for (size_t l = 0; rc == 0 && l < r->n_lanes; l++) {
        float *to = r->x + l * each, *from = ops->host ? to : r->ids_in;

        if (l > 0 && r->diff) {
            ops->zero(r->dev, to, each * sizeof(float));
            continue;
        }
        if (l > 0 && !p->lane_ids && same_embedding(r, l, l - 1)) {
            ops->copy(r->dev, to, to - each, each * sizeof(float));
            continue;
        }
        if (embed_tied(r, to, l, p->lane_ids ? p->lane_ids[l] : p->batch.ids))
            continue;
        rc = embed_lane(r, from, l, p->lane_ids ? p->lane_ids[l] : p->batch.ids, err);
        if (rc == 0 && !ops->host)
            rc = ops->put(r->dev, to, from, each * sizeof(float), err);
    }
    return rc;
}

/* Edits first, then taps: a tap sees what the next block sees. */
static int edits_and_taps(dk_runner *r, const dk_pass *p, int layer, dk_err *err)
{
    const size_t d = r->m->config.d_model, lane = r->rows * d;

    for (size_t e = 0; e < p->n_edits; e++) {
        const dk_edit *ed = &p->edits[e];
        const size_t end = ed->n_rows ? ed->row0 + ed->n_rows : r->rows;

        if (ed->layer != layer || ed->strength == 0)
            continue;
        DK_ASSERT(end <= r->rows);
        r->dev->ops->edit(r->dev, r->x + ed->lane * lane + ed->row0 * d, ed->vector, ed->strength, end - ed->row0, d);
    }
    return dk_runner_tap(r, p, layer, DK_SITE_OUT, r->x, err);
}

/* Positions of the rows; the longest key list and position. */
static int place_rows(dk_runner *r, const dk_pass *p, size_t *longest, dk_err *err)
{
    const dk_batch *b = &p->batch;

    *longest = 0;
    for (size_t s = 0; s < b->n_seq; s++) {
        const size_t past = p->kv ? dk_kv_length(p->kv, s) : 0;
        const size_t n = b->offset[s + 1] - b->offset[s];

        if (p->kv && past + n > dk_kv_capacity(p->kv))
            return dk_fail(err, DK_EDATA, "a sequence of %zu tokens exceeds the cache of %zu",
                           past + n, dk_kv_capacity(p->kv));
        for (size_t i = 0; i < n; i++)
            r->pos[b->offset[s] + i] = past + i;
        *longest = past + n > *longest ? past + n : *longest;
    }
    if (*longest > r->m->config.max_positions)
        return dk_fail(err, DK_EDATA, "a sequence of %zu tokens is longer than the model's context of %zu",
                       *longest, (size_t)r->m->config.max_positions);
    return 0;
}

/* The batch as the device wants it. */
static int begin(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const dk_batch *b = &p->batch;
    int rc = 0;

    if (p->kv && b->n_seq > r->seq_room) {
        dk_free(r->past);
        dk_free(r->slot);
        r->slot = NULL;
        r->seq_room = b->n_seq;
        rc = dk_alloc(&r->past, b->n_seq, sizeof *r->past, "sequences", err);
        if (rc == 0)
            rc = dk_alloc(&r->slot, b->n_seq, sizeof *r->slot, "sequences", err);
    }
    for (size_t s = 0; rc == 0 && p->kv && s < b->n_seq; s++) {
        r->past[s] = dk_kv_length(p->kv, s);
        r->slot[s] = dk_kv_slot(p->kv, s);
    }
    r->rag = (dk_rag){ .n_lanes = r->n_lanes, .rows = r->rows, .n_seq = b->n_seq, .offset = b->offset, .pos = r->pos,
                       .past = p->kv ? r->past : NULL, .slot = p->kv ? r->slot : NULL, .dtype = r->m->dtype,
                       .side_width = r->side_width, .steps = p->steps };
    return rc == 0 ? r->dev->ops->begin(r->dev, &r->rag, err) : rc;
}

/* Blocks before the first in which lanes differ: they have the same rows there.  Not in
 * steps of decoding: few rows cost little beside the weights. */
static size_t alike(const dk_runner *r, const dk_pass *p, size_t stop)
{
    size_t n = p->steps || r->n_lanes < 2 ? 0 : stop;

    for (size_t l = 0; n > 0 && l < r->n_lanes; l++) {
        const size_t own = r->side[l] ? dk_sidepath_first(r->side[l]) : n;

        if (r->model[l] != r->model[0] || !same_embedding(r, l, 0) ||
            (p->lane_ids && memcmp(p->lane_ids[l], p->lane_ids[0], r->rows * sizeof(uint32_t)) != 0))
            return 0;
        n = own < n ? own : n;
    }
    for (size_t e = 0; e < p->n_edits; e++)
        n = (size_t)(p->edits[e].layer + 1) < n ? (size_t)(p->edits[e].layer + 1) : n;
    return n;
}

/* From here on all lanes run, from what lane 0 has. */
static int spread(dk_runner *r, const dk_pass *p, size_t lanes, dk_err *err)
{
    const size_t each = r->rows * r->m->config.d_model;

    for (size_t l = 1; l < lanes; l++)
        if (r->diff)
            r->dev->ops->zero(r->dev, r->x + l * each, each * sizeof *r->x);
        else
            r->dev->ops->copy(r->dev, r->x + l * each, r->x, each * sizeof *r->x);
    for (size_t s = 0; p->kv && s < p->batch.n_seq; s++)
        dk_kv_spread(p->kv, r->alone, s, p->batch.offset[s + 1] - p->batch.offset[s], r->diff);
    r->n_lanes = lanes;
    return begin(r, p, err);
}

static int blocks(dk_runner *r, const dk_pass *p, size_t stop, dk_err *err)
{
    const size_t lanes = r->n_lanes;
    int rc;

    r->alone = alike(r, p, stop);
    r->n_lanes = r->alone ? 1 : lanes;
    rc = begin(r, p, err);
    if (rc == 0)
        rc = embed(r, p, err);
    if (rc == 0)
        rc = edits_and_taps(r, p, -1, err);
    for (size_t i = 0; rc == 0 && i < stop; i++) {
        rc = dk_runner_block(r, p, i, err);
        if (rc == 0 && i + 1 == r->alone)
            rc = spread(r, p, lanes, err);
        if (rc == 0)
            rc = edits_and_taps(r, p, (int)i, err);
    }
    r->n_lanes = lanes;
    return rc;
}

int dk_runner_forward(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const size_t rows = p->batch.offset[p->batch.n_seq];
    size_t longest = 0;
    int rc;

    DK_ASSERT(rows > 0 && rows <= r->max_rows);
    DK_ASSERT(!r->diff || !p->lane_ids);
    r->rows = rows;
    r->carried = false;
    rc = place_rows(r, p, &longest, err);
    if (rc == 0)
        rc = rope_tables(r, longest, err);
    if (rc == 0)
        rc = blocks(r, p, p->last_layer < 0 ? r->m->config.n_layers : (size_t)p->last_layer + 1, err);
    for (size_t s = 0; rc == 0 && p->kv && s < p->batch.n_seq; s++)
        dk_kv_grow(p->kv, s, p->batch.offset[s + 1] - p->batch.offset[s]);
    return rc;
}

