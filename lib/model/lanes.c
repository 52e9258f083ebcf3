/* The forward pass in lanes (Llama family). */
#include "model/runner.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "num/kernels.h"

static size_t qkv_width(const dk_model_config *c)
{
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

int dk_rows_alloc(float **out, size_t rows, size_t width, dk_err *err)
{
    size_t n;

    if (!dk_mul_size(&n, dk_padded_rows(rows), width))
        return dk_fail(err, DK_ENOMEM, "the batch does not fit in memory");
    return dk_alloc(out, n, sizeof **out, "the rows of a batch", err);
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
    r->n_lanes = n_lanes;
    r->max_rows = max_rows;
    r->side = dk_xcalloc(n_lanes, sizeof(dk_sidepath *));
    r->model = dk_xcalloc(n_lanes, sizeof(dk_model *));
    for (size_t i = 0; rc == 0 && i < n_lanes; i++) {
        r->model[i] = lanes[i].model ? lanes[i].model : m;
        if (r->model[i] != m)
            rc = dk_model_compatible(m, r->model[i], err);
    }
    for (size_t i = 0; rc == 0 && i < n_lanes; i++)
        if (lanes[i].adapter) {
            rc = dk_sidepath_new(&r->side[i], lanes[i].adapter, c, lanes[i].factor, err);
            if (rc == 0 && dk_sidepath_width(r->side[i]) > low)
                low = dk_sidepath_width(r->side[i]);
        }
    if (rc == 0) rc = dk_lhs_new(&r->lhs, total, widest, m->dtype, err);
    if (rc == 0) rc = dk_rows_alloc(&r->x, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->norm, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->qkv, total, qkv_width(c), err);
    if (rc == 0) rc = dk_rows_alloc(&r->att, total, q, err);
    if (rc == 0) rc = dk_rows_alloc(&r->out, total, c->d_model, err);
    if (rc == 0) rc = dk_rows_alloc(&r->gate_up, total, 2 * c->d_ff, err);
    if (rc == 0) rc = dk_rows_alloc(&r->act, total, c->d_ff, err);
    if (rc == 0) rc = dk_rows_alloc(&r->low, max_rows, low, err);
    if (rc == 0) rc = dk_alloc(&r->pos, max_rows, sizeof *r->pos, "positions", err);
    if (rc < 0)
        dk_runner_free(&r);
    *out = r;
    return rc;
}

void dk_runner_free(dk_runner **rp)
{
    dk_runner *r = *rp;

    if (!r)
        return;
    for (size_t i = 0; i < r->n_lanes; i++)
        dk_sidepath_free(&r->side[i]);
    dk_free(r->side);
    dk_free(r->model);
    dk_lhs_free(&r->lhs);
    dk_lhs_free(&r->head_lhs);
    dk_free(r->x);
    dk_free(r->norm);
    dk_free(r->qkv);
    dk_free(r->att);
    dk_free(r->out);
    dk_free(r->gate_up);
    dk_free(r->act);
    dk_free(r->low);
    dk_free(r->head_in);
    dk_free(r->cosines);
    dk_free(r->sines);
    dk_free(r->work);
    dk_free(r->tiles);
    dk_free(r->pos);
    dk_free(r);
    *rp = NULL;
}

/* Angles as the model library forms them: f32 frequency times f32 position. */
static int rope_tables(dk_runner *r, size_t n, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    const size_t half = c->head_dim / 2;
    int rc;

    if (n <= r->n_positions)
        return 0;
    dk_free(r->cosines);
    dk_free(r->sines);
    r->sines = NULL;
    r->n_positions = 0;
    n = (n + 255) / 256 * 256;
    rc = dk_alloc(&r->cosines, n * half, sizeof(float), "rotary tables", err);
    if (rc == 0)
        rc = dk_alloc(&r->sines, n * half, sizeof(float), "rotary tables", err);
    if (rc < 0)
        return rc;
    for (size_t t = 0; t < half; t++) {
        const float freq = r->m->rope[t];

        for (size_t p = 0; p < n; p++) {
            const float angle = (float)p * freq;

            r->cosines[p * half + t] = (float)cos((double)angle);
            r->sines[p * half + t] = (float)sin((double)angle);
        }
    }
    r->n_positions = n;
    return 0;
}

static int attention_scratch(dk_runner *r, size_t n_k, dk_err *err)
{
    const size_t each = (dk_attend_work(n_k, r->m->config.head_dim) + 63) / 64 * 64;

    if (r->work && each <= r->work_each)
        return 0;
    dk_free(r->work);
    r->work_each = each;
    return dk_alloc(&r->work, each * (size_t)dk_threads(), sizeof(float), "attention scratch", err);
}

static void attention(dk_runner *r, const dk_pass *p, size_t layer)
{
    const dk_model_config *c = &r->m->config;
    const size_t hd = c->head_dim, ld = qkv_width(c), q_width = c->n_heads * hd;
    const size_t k_at = q_width, v_at = q_width + c->n_kv_heads * hd;
    const size_t shared = c->n_heads / c->n_kv_heads, n_seq = p->batch.n_seq;
    const float scale = (float)(1.0 / sqrt((double)hd));

    for (size_t l = 0; p->kv && l < r->n_lanes; l++)
        for (size_t s = 0; s < n_seq; s++) {
            const float *row = r->qkv + (l * r->rows + p->batch.offset[s]) * ld;

            dk_kv_put(p->kv, layer, l, s, row + k_at, row + v_at, ld,
                      p->batch.offset[s + 1] - p->batch.offset[s]);
        }
    #pragma omp parallel for schedule(dynamic) collapse(3)
    for (size_t l = 0; l < r->n_lanes; l++)
        for (size_t s = 0; s < n_seq; s++)
            for (size_t h = 0; h < c->n_heads; h++) {
                const size_t row0 = l * r->rows + p->batch.offset[s];
                const size_t n = p->batch.offset[s + 1] - p->batch.offset[s];
                const float *q = r->qkv + row0 * ld, *k = q + k_at, *v = q + v_at;
                size_t n_k = n, ldk = ld;

                if (p->kv) {
                    dk_kv_get(p->kv, layer, l, s, &k, &v, &ldk);
                    n_k += dk_kv_length(p->kv, s);
                }
                dk_attend(r->att + row0 * q_width + h * hd, q_width, q + h * hd, ld,
                          k + h / shared * hd, ldk, v + h / shared * hd, ldk, n, n_k, hd, scale,
                          r->work + (size_t)dk_thread_id() * r->work_each);
            }
}

size_t dk_site_width(const dk_model_config *c, dk_site site)
{
    switch (site) {
    case DK_SITE_QKV:       return qkv_width(c);
    case DK_SITE_O_IN:      return c->n_heads * c->head_dim;
    case DK_SITE_GATE_UP:   return 2 * c->d_ff;
    case DK_SITE_DOWN_IN:   return c->d_ff;
    default:                return c->d_model;
    }
}

int dk_layer_at(const dk_model_config *c, double depth)
{
    return (int)(depth * (double)(c->n_layers - 1));
}

static void tap(const dk_runner *r, const dk_pass *p, int layer, dk_site site, const float *x)
{
    const size_t lane = r->rows * dk_site_width(&r->m->config, site);

    for (size_t t = 0; t < p->n_taps; t++)
        if (p->taps[t].layer == layer && p->taps[t].site == site)
            memcpy(p->taps[t].out, x + p->taps[t].lane * lane, lane * sizeof(float));
}

size_t dk_runner_set_end(const dk_runner *r, size_t first)
{
    size_t l = first + 1;

    while (l < r->n_lanes && r->model[l] == r->model[first])
        l++;
    return l;
}

static const dk_weight *weight_of(const dk_layer *l, enum dk_side_group g)
{
    switch (g) {
    case DK_SIDE_QKV: return l->qkv;
    case DK_SIDE_O: return l->o;
    case DK_SIDE_GATE_UP: return l->gate_up;
    default: return l->down;
    }
}

/* y = x W^T, the lanes of a weight set together, then each lane's side path.
 * A product writes whole blocks: what goes beyond its lanes is written again by
 * the next ones. */
static int project(dk_runner *r, const dk_pass *p, size_t layer, enum dk_side_group g, float *y,
                   const float *x, dk_err *err)
{
    int rc = 0;

    for (size_t first = 0, end; rc == 0 && first < r->n_lanes; first = end) {
        const dk_weight *w = weight_of(&r->model[first]->layer[layer], g);
        const size_t n = dk_weight_rows(w), k = dk_weight_cols(w);

        end = dk_runner_set_end(r, first);
        dk_lhs_set(r->lhs, x + first * r->rows * k, k, (end - first) * r->rows, k);
        rc = dk_product(y + first * r->rows * n, n, r->lhs, w, err);
        for (size_t l = first; rc == 0 && l < end; l++)
            if (r->side[l])
                dk_sidepath_apply(r->side[l], layer, g, y + l * r->rows * n, n, x + l * r->rows * k, k,
                                  r->rows, r->low);
    }
    if (rc == 0) {
        tap(r, p, (int)layer, (dk_site)(DK_SITE_QKV_IN + 2 * (int)g), x);
        tap(r, p, (int)layer, (dk_site)(DK_SITE_QKV + 2 * (int)g), y);
    }
    return rc;
}

static int block(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    const size_t rows = r->n_lanes * r->rows, half = c->head_dim / 2, ld = qkv_width(c), d = c->d_model;
    int rc;

    tap(r, p, (int)i, DK_SITE_IN, r->x);
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        dk_rmsnorm(r->norm + row * d, r->x + row * d, r->model[row / r->rows]->layer[i].attn_norm, d, c->rms_eps);
    rc = project(r, p, i, DK_SIDE_QKV, r->qkv, r->norm, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const size_t at = r->pos[row % r->rows] * half;

        dk_rope(r->qkv + row * ld, c->n_heads + c->n_kv_heads, c->head_dim, r->cosines + at, r->sines + at);
    }
    attention(r, p, i);
    rc = project(r, p, i, DK_SIDE_O, r->out, r->att, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        float *x = r->x + row * d;

        dk_add(x, r->out + row * d, d);
        dk_rmsnorm(r->norm + row * d, x, r->model[row / r->rows]->layer[i].mlp_norm, d, c->rms_eps);
    }
    rc = project(r, p, i, DK_SIDE_GATE_UP, r->gate_up, r->norm, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const float *g = r->gate_up + row * 2 * c->d_ff;

        dk_silu_mul(r->act + row * c->d_ff, g, g + c->d_ff, c->d_ff);
    }
    rc = project(r, p, i, DK_SIDE_DOWN, r->out, r->act, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        dk_add(r->x + row * d, r->out + row * d, d);
    return 0;
}

/* What enters the first block.  Lanes that read the same ids from the same
 * weights share the work. */
static int embed(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const size_t each = r->rows * r->m->config.d_model;
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < r->n_lanes; l++)
        if (l > 0 && !p->lane_ids && r->model[l] == r->model[l - 1])
            memcpy(r->x + l * each, r->x + (l - 1) * each, each * sizeof(float));
        else
            rc = dk_model_embed(r->model[l], r->x + l * each, p->lane_ids ? p->lane_ids[l] : p->batch.ids,
                                r->rows, err);
    return rc;
}

/* Edits first, then taps: a tap sees what the next block sees. */
static void edits_and_taps(dk_runner *r, const dk_pass *p, int layer)
{
    const size_t d = r->m->config.d_model, lane = r->rows * d;

    for (size_t e = 0; e < p->n_edits; e++) {
        const dk_edit *ed = &p->edits[e];
        const size_t end = ed->n_rows ? ed->row0 + ed->n_rows : r->rows;

        if (ed->layer != layer || ed->strength == 0)
            continue;
        DK_ASSERT(end <= r->rows);
        for (size_t i = ed->row0; i < end; i++)
            for (size_t j = 0; j < d; j++)
                r->x[ed->lane * lane + i * d + j] += ed->strength * ed->vector[j];
    }
    tap(r, p, layer, DK_SITE_OUT, r->x);
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

int dk_runner_forward(dk_runner *r, const dk_pass *p, dk_err *err)
{
    const size_t rows = p->batch.offset[p->batch.n_seq];
    const int stop = p->last_layer < 0 ? (int)r->m->config.n_layers : p->last_layer + 1;
    size_t longest = 0;
    int rc;

    DK_ASSERT(rows > 0 && rows <= r->max_rows);
    r->rows = rows;
    rc = place_rows(r, p, &longest, err);
    if (rc == 0)
        rc = rope_tables(r, longest, err);
    if (rc == 0)
        rc = attention_scratch(r, longest, err);
    if (rc == 0)
        rc = embed(r, p, err);
    if (rc < 0)
        return rc;
    edits_and_taps(r, p, -1);
    for (int i = 0; rc == 0 && i < stop; i++) {
        rc = block(r, p, (size_t)i, err);
        if (rc == 0)
            edits_and_taps(r, p, i);
    }
    for (size_t s = 0; rc == 0 && p->kv && s < p->batch.n_seq; s++)
        dk_kv_grow(p->kv, s, p->batch.offset[s + 1] - p->batch.offset[s]);
    return rc;
}

