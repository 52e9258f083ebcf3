/* One block of the forward pass, in all lanes at once, as the architecture's
 * description has it: norms before and after, biases, norms of queries and
 * keys, rotation, windows, soft caps, a gated MLP or a plain one. */
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/runner.h"
#include "num/kernels.h"

enum { MAX_HEAD = 4096 };       /* dk_model_config_check */

/* Lanes from here on are differences to lane 0. */
static size_t first_diff(const dk_runner *r) { return r->diff ? 1 : r->n_lanes; }

static const dk_layer *layer_of(const dk_runner *r, size_t row, size_t i)
{
    return &r->model[row / r->rows]->layer[i];
}

/* One head of one sequence. */
static void attend(const dk_runner *r, const dk_pass *p, size_t layer, size_t l, size_t s, size_t h)
{
    const dk_model_config *c = &r->m->config;
    const size_t hd = c->head_dim, ld = dk_site_width(c, DK_SITE_QKV), q_width = c->n_heads * hd;
    const size_t row0 = l * r->rows + p->batch.offset[s], at = h / (c->n_heads / c->n_kv_heads) * hd;
    const size_t n = p->batch.offset[s + 1] - p->batch.offset[s], window = dk_layer_window(c, layer);
    const float *q = r->qkv + row0 * ld, *k = q + q_width, *v = k + c->n_kv_heads * hd;
    const float scale = (float)c->attn_scale;
    float *out = r->att + row0 * q_width + h * hd;
    float *work = r->work + (size_t)dk_thread_id() * r->work_each;
    size_t n_k = n, ldk = ld;

    if (r->diff && l > 0) {
        dk_diff_attend(r, layer, l, p->batch.offset[s], n, h, work);
        return;
    }
    if (p->kv) {
        dk_kv_get(p->kv, layer, l, s, &k, &v, &ldk);
        n_k += dk_kv_length(p->kv, s);
    }
    if (window || c->attn_softcap > 0)
        dk_attend_local(out, q_width, q + h * hd, ld, k + at, ldk, v + at, ldk, n, n_k, hd, scale,
                        (float)c->attn_softcap, window, work);
    else
        dk_attend(out, q_width, q + h * hd, ld, k + at, ldk, v + at, ldk, n, n_k, hd, scale, work);
}

static void attention(dk_runner *r, const dk_pass *p, size_t layer)
{
    const dk_model_config *c = &r->m->config;
    const size_t hd = c->head_dim, ld = dk_site_width(c, DK_SITE_QKV), n_seq = p->batch.n_seq;
    const size_t k_at = c->n_heads * hd, v_at = k_at + c->n_kv_heads * hd;

    for (size_t l = 0; p->kv && l < r->n_lanes; l++)
        for (size_t s = 0; s < n_seq; s++) {
            const float *row = r->qkv + (l * r->rows + p->batch.offset[s]) * ld;

            dk_kv_put(p->kv, layer, l, s, row + k_at, row + v_at, ld,
                      p->batch.offset[s + 1] - p->batch.offset[s]);
        }
    #pragma omp parallel for schedule(dynamic) collapse(3)
    for (size_t l = 0; l < r->n_lanes; l++)
        for (size_t s = 0; s < n_seq; s++)
            for (size_t h = 0; h < c->n_heads; h++)
                attend(r, p, layer, l, s, h);
}

/* Queries and keys of a row: normed head by head, then rotated. */
static void place(const dk_runner *r, size_t layer, size_t row)
{
    const dk_model_config *c = &r->m->config;
    const struct dk_turn *turn = &r->turn[dk_layer_window(c, layer) > 0];
    const size_t hd = c->head_dim, n = c->n_heads + c->n_kv_heads, at = r->pos[row % r->rows] * (hd / 2);
    float *x = r->qkv + row * dk_site_width(c, DK_SITE_QKV);
    const float *base = r->qkv + row % r->rows * dk_site_width(c, DK_SITE_QKV);

    if (c->qk_norm) {
        const dk_layer *l = layer_of(r, row, layer);
        float head[MAX_HEAD];

        for (size_t h = 0; h < n; h++) {
            const dk_norm *norm = h < c->n_heads ? &l->q_norm : &l->k_norm;

            memcpy(head, x + h * hd, hd * sizeof *head);
            if (r->diff && row >= r->rows)
                dk_diff_norm(r, x + h * hd, base + h * hd, head, norm->w, hd);
            else
                dk_model_norm(c, x + h * hd, head, norm, hd);
        }
    }
    if (!c->learned_positions)
        dk_rope(x, n, hd, turn->cosines + at, turn->sines + at);
}

static void add_bias(float *y, const float *bias, size_t rows, size_t n)
{
    if (!bias)
        return;
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows; i++)
        dk_add(y + i * n, bias, n);
}

/* y = x W^T + b, the lanes of a weight set together, then each lane's side path.
 * A product writes whole blocks: what goes beyond its lanes is written again by
 * the next ones. */
static int project(dk_runner *r, const dk_pass *p, size_t layer, dk_group g, float *y, const float *x, dk_err *err)
{
    int rc = 0;

    for (size_t first = 0, end; rc == 0 && first < r->n_lanes; first = end) {
        const dk_layer *set = &r->model[first]->layer[layer];
        const size_t n = dk_weight_rows(set->w[g]), k = dk_weight_cols(set->w[g]);

        end = dk_runner_set_end(r, first);
        dk_lhs_set(r->lhs, x + first * r->rows * k, k, (end - first) * r->rows, k);
        rc = dk_product(y + first * r->rows * n, n, r->lhs, set->w[g], err);
        if (rc == 0)
            add_bias(y + first * r->rows * n, set->bias[g], (r->diff ? 1 : end - first) * r->rows, n);
        for (size_t l = first; rc == 0 && l < end; l++)
            if (r->side[l]) {
                const float *in = x + l * r->rows * k;

                if (l >= first_diff(r)) {
                    dk_diff_whole(r, x, in, r->rows * k);
                    in = r->whole;
                }
                dk_sidepath_apply(r->side[l], layer, g, y + l * r->rows * n, n, in, k, r->rows, r->low);
            }
    }
    if (rc == 0) {
        dk_runner_tap(r, p, (int)layer, (dk_site)(DK_SITE_QKV_IN + 2 * (int)g), x);
        dk_runner_tap(r, p, (int)layer, (dk_site)(DK_SITE_QKV + 2 * (int)g), y);
    }
    return rc;
}

/* What a half of the block gives, normed where the architecture does so. */
static void norm_out(dk_runner *r, const dk_pass *p, size_t i, bool mlp)
{
    const size_t rows = r->n_lanes * r->rows, d = r->m->config.d_model;

    if (r->m->config.post_norms) {
        #pragma omp parallel for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            const dk_layer *l = layer_of(r, row, i);

            dk_model_norm(&r->m->config, r->norm + row * d, r->out + row * d,
                          mlp ? &l->post_mlp_norm : &l->post_attn_norm, d);
            memcpy(r->out + row * d, r->norm + row * d, d * sizeof(float));
        }
    }
    dk_runner_tap(r, p, (int)i, mlp ? DK_SITE_MLP_ADD : DK_SITE_ATTN_ADD, r->out);
}

/* x of a row through the norm before attention or MLP, in all lanes. */
static void norm_in(const dk_runner *r, size_t row, size_t i, bool mlp)
{
    const size_t d = r->m->config.d_model;

    for (size_t l = 0; l < r->n_lanes; l++) {
        const size_t at = l * r->rows + row;
        const dk_layer *layer = layer_of(r, at, i);
        const dk_norm *norm = mlp ? &layer->mlp_norm : &layer->attn_norm;

        if (l >= first_diff(r))
            dk_diff_norm(r, r->norm + at * d, r->x + row * d, r->x + at * d, norm->w, d);
        else
            dk_model_norm(&r->m->config, r->norm + at * d, r->x + at * d, norm, d);
    }
}

static int attention_half(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    int rc;

    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < r->rows; row++)
        norm_in(r, row, i, false);
    rc = project(r, p, i, DK_GROUP_QKV, r->qkv, r->norm, err);
    if (rc < 0)
        return rc;
    /* The base last: differences are formed from what it still is. */
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < r->rows; row++)
        for (size_t l = r->n_lanes; l-- > 0;)
            place(r, i, l * r->rows + row);
    attention(r, p, i);
    rc = project(r, p, i, DK_GROUP_O, r->out, r->att, err);
    if (rc == 0)
        norm_out(r, p, i, false);
    return rc;
}

static void activate(const dk_model_config *c, float *y, const float *x)
{
    const size_t ff = c->d_ff;

    if (c->gated && c->act == DK_ACT_SILU)
        dk_silu_mul(y, x, x + ff, ff);
    else if (c->gated)
        dk_gelu_mul(y, x, x + ff, ff);
    else if (c->act == DK_ACT_SILU)
        dk_silu(y, x, ff);
    else
        dk_gelu(y, x, ff);
}

int dk_runner_block(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    const size_t rows = r->n_lanes * r->rows, d = c->d_model, wide = dk_site_width(c, DK_SITE_GATE_UP);
    int rc;

    dk_runner_tap(r, p, (int)i, DK_SITE_IN, r->x);
    rc = attention_half(r, p, i, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < r->rows; row++) {
        for (size_t at = row; at < rows; at += r->rows)
            dk_add(r->x + at * d, r->out + at * d, d);
        norm_in(r, row, i, true);
    }
    rc = project(r, p, i, DK_GROUP_GATE_UP, r->gate_up, r->norm, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const float *base = r->gate_up + row % r->rows * wide, *x = r->gate_up + row * wide;

        if (row >= first_diff(r) * r->rows)
            dk_silu_mul_diff(r->act + row * c->d_ff, base, x, base + c->d_ff, x + c->d_ff, c->d_ff);
        else
            activate(c, r->act + row * c->d_ff, x);
    }
    rc = project(r, p, i, DK_GROUP_DOWN, r->out, r->act, err);
    if (rc < 0)
        return rc;
    norm_out(r, p, i, true);
    #pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        dk_add(r->x + row * d, r->out + row * d, d);
    return 0;
}
