/* dk-extract: activations of a pair at chosen layers. */
#include <string.h>

#include "cli/pairopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/extract.h"

struct params {
    dk_pair_opts pair;
    const char *out, *store, *kind, *rule, *shard;
    dk_strs layers, site, what, gram, only, drop;
    int64_t max_samples, max_tokens, positions, replicates, skip, budget, limit_batch, shards;
    bool kl, reverse;
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
    DK_CHOICE(struct params, 0, "store", store, "bf16", "bf16|f16|f32", "dtype of the values in the file"),
    DK_GROUP("of which tokens"),
    DK_INT(struct params, 0, "max-samples", max_samples, "0", 0, 1e15, "the first N documents; 0: all"),
    DK_INT(struct params, 0, "max-tokens", max_tokens, "0", 0, 1e9, "the first N tokens of each; 0: all"),
    DK_INT_KEY(struct params, 0, "skip-first", skip, "0", 0, 1 << 24,
               "model.ignore_first_n_tokens_per_sample_during_collection", "run, but do not keep the first N tokens of each"),
    DK_LIST(struct params, 0, "only", only, NULL, "keep only tokens that are one of: special, bos, user, assistant, template, masked"),
    DK_LIST(struct params, 0, "drop", drop, NULL, "keep none of these"),
    DK_INT_KEY(struct params, 0, "budget", budget, "0", 0, 1e15, "preprocessing.max_tokens_per_dataset_train",
               "keep at most N tokens of all, to the end of the document that reaches it; 0: no limit"),
    DK_CHOICE(struct params, 0, "limit-rule", rule, "document", "document|shard",
              "shard: look at --budget as the reference toolkit does, when more than 10^7 tokens are full"),
    DK_INT_KEY(struct params, 0, "limit-batch", limit_batch, "32", 1, 1 << 24, "preprocessing.batch_size",
               "documents between two looks of --limit-rule shard"),
    { DK_OPT_STR, 0, "shard", offsetof(struct params, shard), NULL, 0, 0, NULL,
      "only part I of N of the documents, I/N with I from 0; dk-merge joins the files", DK_NOSTAMP, NULL },
    { DK_OPT_INT, 0, "shards", offsetof(struct params, shards), "0", 0, 10000, NULL,
      "work in N parts beside FILE, go on from those that are there, and join them; 0: at once", DK_NOSTAMP, NULL },
    DK_GROUP("statistics"),
    DK_CHOICE(struct params, 0, "kind", kind, "rows", "rows|stats", "every row, or only sums over them (.stats.h5)"),
    DK_INT(struct params, 0, "positions", positions, "128", 0, 1 << 20, "sums of their own for the first N positions"),
    DK_LIST(struct params, 0, "gram", gram, "diff", "products of values, for dk-pca, of: base, ft, diff, none"),
    DK_INT(struct params, 0, "replicates", replicates, "-1", -1, 4096,
           "also sums for intervals of mean differences: of all rows, and at each of the first N positions; -1: none"),
    DK_FLAG(struct params, 0, "kl", kl, "run all blocks and the head: KL to the base, log-probabilities"),
    DK_FLAG(struct params, 0, "reverse", reverse, "with --kl: also KL(base || finetune), of every lane"),
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

static int gram_of(dk_extract_job *job, const dk_strs *gram, dk_err *err)
{
    for (size_t i = 0; job->stats && i < gram->n; i++)
        if (strcmp(gram->v[i], "base") == 0)
            job->gram_base = true;
        else if (strcmp(gram->v[i], "ft") == 0)
            job->gram_ft = true;
        else if (strcmp(gram->v[i], "diff") == 0)
            job->gram_diff = true;
        else if (strcmp(gram->v[i], "none") != 0 || gram->n > 1)
            return dk_fail(err, DK_EUSAGE, "--gram: '%s' is none of base, ft, diff%s", gram->v[i],
                           gram->n > 1 ? "" : ", none");
    return 0;
}

static int rows_of(dk_row_rule *rule, const struct params *p, dk_err *err)
{
    int rc = 0;

    rule->skip = (size_t)p->skip;
    for (size_t i = 0; rc == 0 && i < p->only.n; i++)
        rc = dk_row_flag(&rule->only, p->only.v[i], "--only", err);
    for (size_t i = 0; rc == 0 && i < p->drop.n; i++)
        rc = dk_row_flag(&rule->drop, p->drop.v[i], "--drop", err);
    return rc;
}

/* What does not go together. */
static int check(const dk_extract_job *job, dk_err *err)
{
    if (job->stats && job->ft_delta)
        return dk_fail(err, DK_EUSAGE, "--kind stats: ft has no deltas there");
    if (job->kl && !job->stats)
        return dk_fail(err, DK_EUSAGE, "--kl needs --kind stats; dk-kl writes a value a token");
    if (job->reverse && !job->kl)
        return dk_fail(err, DK_EUSAGE, "--reverse needs --kl");
    if (job->replicates && (!job->stats || !job->diff))
        return dk_fail(err, DK_EUSAGE, "--replicates needs %s", job->stats ? "diff among --what" : "--kind stats");
    if (job->rep_positions > job->positions)
        return dk_fail(err, DK_EUSAGE, "--replicates at %zu positions, but --positions keeps sums at %zu", job->rep_positions,
                       job->positions);
    if (job->shards && (job->shard.count || strcmp(job->out, "-") == 0))
        return dk_fail(err, DK_EUSAGE, "--shards needs a file, and no --shard beside it");
    return 0;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_record record;
    dk_extract_job job = {
        .pair = DK_PAIR_SPEC(p->pair, p->kl),
        .layers = p->layers.v, .n_layers = p->layers.n,
        .stats = strcmp(p->kind, "stats") == 0, .positions = (size_t)p->positions,
        .dtype = dk_act_dtype(p->store), .batch_rows = (size_t)p->pair.batch,
        .tokens = n ? args[0] : "-", .max_docs = (size_t)p->max_samples,
        .max_tokens = (size_t)p->max_tokens, .kl = p->kl, .reverse = p->reverse, .seed = (uint64_t)ctx->seed,
        .shards = (uint32_t)p->shards, .budget = (uint64_t)p->budget,
        .budget_batch = strcmp(p->rule, "shard") == 0 ? (size_t)p->limit_batch : 0, .out = p->out,
        .replicates = p->replicates >= 0, .rep_positions = p->replicates > 0 ? (size_t)p->replicates : 0,
        .inputs = &record.inputs, .provenance = provenance, .arg = &record
    };
    int rc;

    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if (!p->out)
        return dk_fail(err, DK_EUSAGE, "name the activation file with -o");
    if ((rc = what_of(&job, &p->what, err)) < 0 ||
        (rc = gram_of(&job, &p->gram, err)) < 0 || (rc = rows_of(&job.rows, p, err)) < 0 ||
        (rc = dk_shard_parse(&job.shard, p->shard, err)) < 0 || (rc = check(&job, err)) < 0 ||
        (rc = dk_extract_sites(job.site, p->site.v, p->site.n, err)) < 0)
        return rc;
    dk_record_begin(&record, ctx);
    rc = dk_extract_run(&job, err);
    dk_record_free(&record);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-extract", .purpose = "activations of a base and its finetune at chosen layers",
    .algo = 3, .usage = "[options] -m MODEL [-f ADAPTER] -o FILE [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
