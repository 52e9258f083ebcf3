/* dk-topk: the vocabulary entries that a finetune raises and lowers most, at
 * every token. */
#include "cli/pairopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/scorejob.h"

struct params {
    dk_pair_opts pair;
    const char *out, *shard;
    int64_t max_samples, max_tokens, top_k;
};

static const dk_opt opts[] = {
    DK_PAIR_OPTS(struct params),
    DK_ARITH_OPT(struct params),
    DK_GROUP("what to score"),
    DK_INT_KEY(struct params, 0, "max-samples", max_samples, "8192", 0, 1e15, "max_samples",
               "the first N documents; 0: all"),
    DK_INT_KEY(struct params, 0, "max-tokens", max_tokens, "64", 0, 1e9, "max_tokens_per_sample",
               "the first N tokens of each; 0: all"),
    DK_INT_KEY(struct params, 'k', "top-k", top_k, "100", 1, 1 << 20, "top_k",
               "keep the N largest and the N smallest logit differences"),
    { DK_OPT_STR, 0, "shard", offsetof(struct params, shard), NULL, 0, 0, NULL,
      "only part I of N of the documents, I/N with I from 0; dk-merge joins the files", DK_NOSTAMP, NULL },
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the lists and sums to FILE (.score.h5); -: a stream on standard output"),
    DK_END
};

static dk_provenance provenance(void *record) { return dk_record_end(record); }

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_record record;
    dk_score_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 1),
        .plan = { .temperature = 1, .top_k = (size_t)p->top_k, .batch_rows = (size_t)p->pair.batch },
        .tokens = n ? args[0] : "-", .max_docs = (size_t)p->max_samples,
        .max_tokens = (size_t)p->max_tokens, .min_tokens = 1, .out = p->out,
        .inputs = &record.inputs, .provenance = provenance, .arg = &record
    };
    int rc;

    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if (!p->out)
        return dk_fail(err, DK_EUSAGE, "name the score file with -o");
    if ((rc = dk_shard_parse(&job.shard, p->shard, err)) < 0)
        return rc;
    dk_record_begin(&record, ctx);
    rc = dk_score_job_run(&job, err);
    dk_record_free(&record);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-topk", .purpose = "top and bottom k of the logit difference finetune - base, at every token",
    .algo = 1, .usage = "[options] -m MODEL -f ADAPTER -o FILE [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
