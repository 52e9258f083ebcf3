/* One block of the forward pass, in all lanes at once, as the architecture's
 * description has it: norms before and after, biases, norms of queries and
 * keys, rotation, windows, soft caps, a gated MLP or a plain one. */
#include "model/runner.h"

/* Lanes from here on are differences to lane 0. */
static size_t first_diff(const dk_runner *r) { return r->diff ? 1 : r->n_lanes; }

static const dk_norm_args *norm_of(const dk_model *m, dk_norm_at at, size_t layer)
{
    return at == DK_AT_FINAL ? &m->final_norm.on
         : at == DK_AT_MLP ? &m->layer[layer].mlp_norm.on : &m->layer[layer].attn_norm.on;
}

void dk_runner_norm(const dk_runner *r, float *y, size_t stride, float *x, const float *add, size_t n,
                    dk_norm_at at, size_t layer, bool packed)
{
    const dk_ops *ops = r->dev->ops;
    const size_t d = r->m->config.d_model, lane = n * d;

    for (size_t l = 0, end; l < r->n_lanes; l = end) {
        const dk_norm_args *norm = norm_of(r->model[l], at, layer);
        const float *a = add ? add + l * lane : NULL;
        float *to = packed ? ops->packed_row(r->dev, y, l * n, d) : y + l * stride * d;

        end = stride == n && !r->diff ? dk_runner_set_end(r, l) : l + 1;
        if (l >= first_diff(r))
            ops->add_norm_diff(r->dev, to, x, x + l * lane, a, norm, n, d, packed);
        else
            ops->add_norm(r->dev, to, x + l * lane, a, norm, (end - l) * n, d, packed);
    }
}

/* Whether what goes into the products of a pass is read by nobody else. */
static bool packed(const dk_pass *p)
{
    bool seen = false;

    for (size_t t = 0; t < p->n_taps; t++)
        seen |= p->taps[t].site == DK_SITE_QKV_IN || p->taps[t].site == DK_SITE_O_IN ||
                p->taps[t].site == DK_SITE_GATE_UP_IN || p->taps[t].site == DK_SITE_DOWN_IN;
    return !seen;
}

/* The side paths of lanes first .. end - 1; rows are counted from the first. */
static size_t sides(const dk_runner *r, size_t layer, dk_group g, const float *x, size_t first, size_t end,
                    dk_side_rows *to)
{
    size_t n = 0;

    for (size_t l = first; l < end; l++)
        if (r->side[l] && dk_sidepath_of(r->side[l], layer, g, &to[n].low)) {
            to[n].row0 = (l - first) * r->rows;
            to[n].plus = l >= first_diff(r) ? x : NULL;
            to[n].low.m = r->rows;
            to[n++].low.t = r->low;
        }
    return n;
}

/* y = x W^T + b and side paths, the lanes of a weight set together.  A product
 * writes whole blocks: what goes beyond its lanes is written again by the next ones. */
static int project(dk_runner *r, const dk_pass *p, size_t layer, dk_group g, float *y, float *x, dk_err *err)
{
    const dk_site in_site = (dk_site)(DK_SITE_QKV_IN + 2 * (int)g), out_site = (dk_site)(in_site + 1);
    const size_t n = dk_site_width(&r->m->config, out_site), k = dk_site_width(&r->m->config, in_site);
    dk_side_rows side[DK_MAX_LANES];
    int rc = 0;

    for (size_t first = 0, end; rc == 0 && first < r->n_lanes; first = end) {
        const dk_layer *set = &r->model[first]->layer[layer];
        dk_project_args a = {
            .y = y + first * r->rows * n, .n = n, .k = k, .w = set->w[g],
            .x = packed(p) ? r->dev->ops->packed_row(r->dev, x, first * r->rows, k) : x + first * r->rows * k,
            .bias = set->bias_on[g], .side = side, .lhs = r->lhs, .whole = r->whole, .packed = packed(p)
        };

        end = dk_runner_set_end(r, first);
        a.m = (end - first) * r->rows;
        a.bias_rows = r->diff ? r->rows : a.m;
        a.n_sides = sides(r, layer, g, x, first, end, side);
        rc = r->dev->ops->project(r->dev, &a, err);
    }
    if (rc == 0)
        rc = dk_runner_tap(r, p, (int)layer, in_site, x, err);
    return rc == 0 ? dk_runner_tap(r, p, (int)layer, out_site, y, err) : rc;
}

/* What a half of the block gives, normed where the architecture does so. */
static int norm_out(dk_runner *r, const dk_pass *p, size_t i, bool mlp, dk_err *err)
{
    const size_t each = r->rows * r->m->config.d_model;

    if (r->m->config.post_norms) {
        float *normed = r->norm;

        for (size_t l = 0, end; l < r->n_lanes; l = end) {
            const dk_layer *layer = &r->model[l]->layer[i];
            const dk_norm_args *norm = mlp ? &layer->post_mlp_norm.on : &layer->post_attn_norm.on;
            const size_t d = r->m->config.d_model;

            end = r->diff ? l + 1 : dk_runner_set_end(r, l);
            if (l >= first_diff(r))
                r->dev->ops->add_norm_diff(r->dev, normed + l * each, r->out, r->out + l * each, NULL, norm, r->rows, d,
                                           false);
            else
                r->dev->ops->add_norm(r->dev, normed + l * each, r->out + l * each, NULL, norm, (end - l) * r->rows, d,
                                      false);
        }
        r->norm = r->out;
        r->out = normed;
    }
    return dk_runner_tap(r, p, (int)i, mlp ? DK_SITE_MLP_ADD : DK_SITE_ATTN_ADD, r->out, err);
}

/* Queries and keys in their places.  The base last: differences are formed from
 * what it still is. */
static void place(const dk_runner *r, size_t i)
{
    const dk_model_config *c = &r->m->config;
    const struct dk_turn *turn = &r->turn[dk_layer_window(c, i) > 0];
    const size_t lane = r->rows * dk_site_width(c, DK_SITE_QKV);
    dk_place_args a = { .n_heads = c->n_heads, .n_kv = c->n_kv_heads, .hd = c->head_dim };

    if (!c->learned_positions) {
        a.cosines = turn->cosines_on;
        a.sines = turn->sines_on;
    }
    for (size_t l = 0, end; l < r->n_lanes; l = end) {
        const dk_layer *set = &r->model[l]->layer[i];

        end = dk_runner_set_end(r, l);
        if (c->qk_norm) {
            a.q_norm = set->q_norm.on;
            a.k_norm = set->k_norm.on;
        }
        if (r->diff && end > 1)
            r->dev->ops->place(r->dev, r->qkv + lane, r->qkv, end - 1, &a);
        r->dev->ops->place(r->dev, r->qkv + l * lane, NULL, r->diff ? 1 : end - l, &a);
    }
}

static int attend(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    dk_attend_args a = {
        .n_heads = c->n_heads, .n_kv = c->n_kv_heads, .hd = c->head_dim, .scale = (float)c->attn_scale,
        .softcap = (float)c->attn_softcap, .window = dk_layer_window(c, i), .qkv = r->qkv, .out = r->att,
        .diff = r->diff, .packed = packed(p)
    };

    if (p->kv) {
        dk_kv_layer(p->kv, i, &a.k_cache, &a.v_cache);
        a.n_slots = dk_kv_slots(p->kv);
        a.capacity = dk_kv_capacity(p->kv);
    }
    return r->dev->ops->attend(r->dev, &a, err);
}

static int attention_half(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    int rc;

    dk_runner_norm(r, r->norm, r->rows, r->x, r->carried ? r->out : NULL, r->rows, DK_AT_ATTN, i, packed(p));
    r->carried = false;
    rc = project(r, p, i, DK_GROUP_QKV, r->qkv, r->norm, err);
    if (rc < 0)
        return rc;
    place(r, i);
    rc = attend(r, p, i, err);
    if (rc == 0)
        rc = project(r, p, i, DK_GROUP_O, r->out, r->att, err);
    return rc == 0 ? norm_out(r, p, i, false, err) : rc;
}

static void activate(const dk_runner *r, const dk_pass *p)
{
    const dk_model_config *c = &r->m->config;
    const dk_act_form form = c->act == DK_ACT_SILU ? (c->gated ? DK_ACT_SILU_GATE : DK_ACT_SILU_PLAIN)
                                                   : (c->gated ? DK_ACT_GELU_GATE : DK_ACT_GELU_PLAIN);
    const size_t lane = r->rows * dk_site_width(c, DK_SITE_GATE_UP);
    const bool own_form = packed(p);

    r->dev->ops->act(r->dev, form, r->act, r->gate_up, NULL, first_diff(r) * r->rows, c->d_ff, own_form);
    for (size_t l = first_diff(r); l < r->n_lanes; l++) {
        float *to = own_form ? r->dev->ops->packed_row(r->dev, r->act, l * r->rows, c->d_ff)
                             : r->act + l * r->rows * c->d_ff;

        r->dev->ops->act(r->dev, form, to, r->gate_up + l * lane, r->gate_up, r->rows, c->d_ff, own_form);
    }
}

/* Whether somebody looks at the residual stream, or changes it, before the next block's norm. */
static bool looked_at(const dk_runner *r, const dk_pass *p, size_t i)
{
    const size_t last = p->last_layer < 0 ? r->m->config.n_layers - 1 : (size_t)p->last_layer;
    bool yes = i >= last || i + 1 == r->alone;

    for (size_t t = 0; t < p->n_taps; t++)
        yes |= (p->taps[t].site == DK_SITE_OUT && p->taps[t].layer == (int)i) ||
               (p->taps[t].site == DK_SITE_IN && p->taps[t].layer == (int)i + 1);
    for (size_t e = 0; e < p->n_edits; e++)
        yes |= p->edits[e].layer == (int)i;
    return yes;
}

int dk_runner_block(dk_runner *r, const dk_pass *p, size_t i, dk_err *err)
{
    int rc = dk_runner_tap(r, p, (int)i, DK_SITE_IN, r->x, err);

    if (rc == 0)
        rc = attention_half(r, p, i, err);
    if (rc < 0)
        return rc;
    dk_runner_norm(r, r->norm, r->rows, r->x, r->out, r->rows, DK_AT_MLP, i, packed(p));
    rc = project(r, p, i, DK_GROUP_GATE_UP, r->gate_up, r->norm, err);
    if (rc < 0)
        return rc;
    activate(r, p);
    rc = project(r, p, i, DK_GROUP_DOWN, r->out, r->act, err);
    if (rc == 0)
        rc = norm_out(r, p, i, true, err);
    if (rc == 0 && looked_at(r, p, i))
        r->dev->ops->add_norm(r->dev, NULL, r->x, r->out, NULL, r->n_lanes * r->rows, r->m->config.d_model, false);
    else
        r->carried = rc == 0;
    return rc;
}
