/* Lanes carried as their difference to the base: what is refused, and the
 * parts of a block that are not linear. */
#include <string.h>

#include "base/mem.h"
#include "model/runner.h"
#include "num/kernels.h"

static const char *not_done(const dk_model_config *c)
{
    if (c->norm == DK_NORM_LAYER || c->learned_positions)
        return "layer norms or learned positions";
    if (!c->gated || c->act != DK_ACT_SILU)
        return "an activation other than the SiLU gate";
    if (c->post_norms)
        return "norms behind attention and MLP";
    return c->attn_softcap > 0 || c->final_softcap > 0 ? "soft caps" : NULL;
}

int dk_diff_possible(const dk_model_config *c, const dk_lane *lane, size_t n, dk_err *err)
{
    const char *no = not_done(c);

    if (no)
        return dk_fail(err, DK_EUSAGE, "%s has %s: not done yet", c->arch_name, no);
    for (size_t l = 0; l < n; l++) {
        const dk_adapter *a = lane[l].adapter;

        if (l == 0 && a)
            return dk_fail(err, DK_EUSAGE, "the first lane must be the base, not '%s'", lane[l].name);
        if (a && (dk_adapter_changes_embed(a) || dk_adapter_saved_head(a) || dk_adapter_head(a)))
            return dk_fail(err, DK_EUSAGE, "%s changes the embedding or the unembedding: not done yet",
                           dk_adapter_path(a));
    }
    return 0;
}

int dk_runner_diff(dk_runner *r, dk_err *err)
{
    int rc = dk_diff_possible(&r->m->config, r->lane, r->n_lanes, err);

    DK_ASSERT(!r->diff);
    for (size_t l = 0; rc == 0 && l < r->n_lanes; l++)
        if (r->model[l] != r->m)
            rc = dk_fail(err, DK_EUSAGE, "lane '%s' has weights of its own: not with full finetunes yet",
                         r->lane[l].name);
    if (rc < 0)
        dk_err_prefix(err, "--arith difference");
    if (rc == 0)
        rc = dk_rows_alloc(&r->whole, r->max_rows, r->widest, err);
    r->diff = rc == 0;
    return rc;
}

void dk_diff_norm(const dk_runner *r, float *dy, const float *x, const float *dx, const float *w, size_t width)
{
    dk_rmsnorm_diff(dy, x, dx, w, width, r->m->config.norm_eps);
}

void dk_diff_whole(dk_runner *r, const float *x, const float *dx, size_t n)
{
    #pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        r->whole[i] = x[i] + dx[i];
}

static dk_head_rows head_rows(const dk_runner *r, size_t row, size_t h)
{
    const dk_model_config *c = &r->m->config;
    const size_t hd = c->head_dim, at = h / (c->n_heads / c->n_kv_heads) * hd;
    const float *x = r->qkv + row * dk_site_width(c, DK_SITE_QKV);

    return (dk_head_rows){ x + h * hd, x + c->n_heads * hd + at, x + (c->n_heads + c->n_kv_heads) * hd + at };
}

void dk_diff_attend(const dk_runner *r, size_t layer, size_t lane, size_t first, size_t n, size_t h, float *work)
{
    const dk_model_config *c = &r->m->config;
    const dk_head_rows x = head_rows(r, first, h), dx = head_rows(r, lane * r->rows + first, h);
    const size_t q = c->n_heads * c->head_dim;

    dk_attend_diff(r->att + (lane * r->rows + first) * q + h * c->head_dim, q, &x, &dx,
                   dk_site_width(c, DK_SITE_QKV), n, c->head_dim, (float)c->attn_scale, dk_layer_window(c, layer), work);
}

void dk_diff_tap(const dk_runner *r, const dk_tap *tap, const float *x, size_t n)
{
    const float *base = x, *lane = x + tap->lane * n;

    if (tap->diff && (!r->diff || tap->lane == 0))
        for (size_t i = 0; i < n; i++)
            tap->out[i] = lane[i] - base[i];
    else if (r->diff && !tap->diff && tap->lane > 0)
        for (size_t i = 0; i < n; i++)
            tap->out[i] = base[i] + lane[i];
    else
        memcpy(tap->out, lane, n * sizeof *lane);
}
