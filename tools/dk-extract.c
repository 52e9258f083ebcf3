/* dk-extract: activations of a pair at chosen layers. */
#include <string.h>

#include "cli/pairopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/extract.h"

struct params {
    dk_pair_opts pair;
    const char *out, *store, *kind;
    dk_strs layers, site, what;
    int64_t max_samples, max_tokens, positions;
};

static const dk_opt opts[] = {
    DK_PAIR_OPTS(struct params),
    DK_ARITH_OPT(struct params),
    DK_GROUP("what to keep"),
    DK_LIST(struct params, 'l', "layers", layers, "0.5",
            "of these blocks: numbers from 0, or shares of the depth with a point (0.0 to 1.0)"),
    DK_LIST(struct params, 0, "site", site, "resid_post",
            "where: resid_post, resid_pre (residual stream after the block, before it), attn_out, mlp_out (what they add to it)"),
    DK_LIST(struct params, 0, "what", what, "base,diff",
            "of the base, ft (finetune and nulls themselves; ft_delta: as deltas to base), diff (their differences to base)"),
    DK_CHOICE(struct params, 0, "kind", kind, "rows", "rows|stats", "every row, or only sums over them (.stats.h5)"),
    DK_INT(struct params, 0, "positions", positions, "128", 0, 1 << 20, "--kind stats: sums of their own for the first N positions"),
    DK_CHOICE(struct params, 0, "store", store, "bf16", "bf16|f16|f32", "dtype of the values in the file"),
    DK_INT(struct params, 0, "max-samples", max_samples, "0", 0, 1e15, "the first N documents; 0: all"),
    DK_INT(struct params, 0, "max-tokens", max_tokens, "0", 0, 1e9, "the first N tokens of each; 0: all"),
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the activations to FILE (.act.h5); -: a stream on standard output"),
    DK_END
};

static dk_provenance provenance(void *record) { return dk_record_end(record); }

static int what_of(dk_extract_job *job, const dk_strs *what, dk_err *err)
{
    for (size_t i = 0; i < what->n; i++)
        if (strcmp(what->v[i], "base") == 0)
            job->base = true;
        else if (strcmp(what->v[i], "ft") == 0)
            job->ft = true;
        else if (strcmp(what->v[i], "ft_delta") == 0)
            job->ft = job->ft_delta = true;
        else if (strcmp(what->v[i], "diff") == 0)
            job->diff = true;
        else
            return dk_fail(err, DK_EUSAGE, "--what: '%s' is none of base, ft, ft_delta, diff", what->v[i]);
    if (job->ft_delta && (!job->base || job->dtype != DK_H5_BF16))
        return dk_fail(err, DK_EUSAGE, "--what: ft_delta needs base beside it, and --store bf16");
    return what->n ? 0 : dk_fail(err, DK_EUSAGE, "--what: name one of base, ft, ft_delta, diff");
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_record record;
    dk_extract_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 0),
        .layers = p->layers.v, .n_layers = p->layers.n,
        .stats = strcmp(p->kind, "stats") == 0, .positions = (size_t)p->positions,
        .dtype = dk_act_dtype(p->store), .batch_rows = (size_t)p->pair.batch,
        .tokens = n ? args[0] : "-", .max_docs = (size_t)p->max_samples,
        .max_tokens = (size_t)p->max_tokens, .out = p->out,
        .inputs = &record.inputs, .provenance = provenance, .arg = &record
    };
    int rc;

    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if (!p->out)
        return dk_fail(err, DK_EUSAGE, "name the activation file with -o");
    if ((rc = what_of(&job, &p->what, err)) < 0 ||
        (job.stats && job.ft_delta && (rc = dk_fail(err, DK_EUSAGE, "--kind stats: ft has no deltas there")) < 0) ||
        (rc = dk_extract_sites(job.site, p->site.v, p->site.n, err)) < 0)
        return rc;
    dk_record_begin(&record, ctx);
    rc = dk_extract_run(&job, err);
    dk_record_free(&record);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-extract", .purpose = "activations of a base and its finetune at chosen layers",
    .algo = 1, .usage = "[options] -m MODEL [-f ADAPTER] -o FILE [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
