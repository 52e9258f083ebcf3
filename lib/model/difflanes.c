/* Lanes carried as their difference to the base: what is refused. */
#include "base/mem.h"
#include "model/runner.h"

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

static int check_lane(const dk_runner *r, size_t l, dk_err *err)
{
    const dk_adapter *a = r->lane[l].adapter;

    if (r->model[l] != r->m)
        return dk_fail(err, DK_EUSAGE, "--arith diff: lane '%s' has weights of its own: not with full finetunes yet",
                       r->lane[l].name);
    if (l == 0 && a)
        return dk_fail(err, DK_EUSAGE, "--arith diff: the first lane must be the base, not '%s'", r->lane[l].name);
    if (a && (dk_adapter_changes_embed(a) || dk_adapter_saved_head(a) || dk_adapter_head(a)))
        return dk_fail(err, DK_EUSAGE, "--arith diff: %s changes the embedding or the unembedding: not done yet",
                       dk_adapter_path(a));
    return 0;
}

int dk_runner_diff(dk_runner *r, dk_err *err)
{
    const dk_model_config *c = &r->m->config;
    const char *no = not_done(c);
    int rc = no ? dk_fail(err, DK_EUSAGE, "--arith diff: %s has %s: not done yet", c->arch_name, no) : 0;

    DK_ASSERT(!r->diff);
    for (size_t l = 0; rc == 0 && l < r->n_lanes; l++)
        rc = check_lane(r, l, err);
    if (rc == 0)
        rc = dk_rows_alloc(&r->whole, r->max_rows, r->widest, err);
    r->diff = rc == 0;
    return rc;
}
