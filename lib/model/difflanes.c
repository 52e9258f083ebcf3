/* Lanes carried as their difference to the base: what is refused. */
#include "base/mem.h"
#include "model/runner.h"

static const char *not_done(const dk_model_config *c)
{
    if (c->norm == DK_NORM_LAYER || c->learned_positions)
        return "layer norms or learned positions";
    return c->gated ? NULL : "no gate in its MLP";
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
