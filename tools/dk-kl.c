/* dk-kl: per-token KL divergence of a finetune's next-token distributions. */
#include <string.h>

#include "base/outfile.h"
#include "cli/pairopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "io/actinput.h"
#include "method/kltable.h"
#include "method/scorejob.h"

struct params {
    dk_pair_opts pair;
    const char *out, *table, *shard;
    int64_t max_samples, max_tokens, top_k, top_tokens;
    double temperature;
    bool reverse;
};

static const dk_opt opts[] = {
    DK_PAIR_OPTS(struct params),
    DK_ARITH_OPT(struct params),
    DK_GROUP("what to score"),
    DK_INT_KEY(struct params, 0, "max-samples", max_samples, "10000", 0, 1e15, "method_params.max_samples",
               "the first N documents; 0: all"),
    DK_INT_KEY(struct params, 0, "max-tokens", max_tokens, "1024", 0, 1e9,
               "method_params.max_tokens_per_sample", "cut documents at N tokens; 0: not"),
    DK_REAL_KEY(struct params, 0, "temperature", temperature, "1", 1e-6, 1e6, "method_params.temperature",
                "divide all logits by X"),
    DK_FLAG(struct params, 0, "reverse", reverse, "also KL(base || finetune), of every lane"),
    DK_INT(struct params, 'k', "top-k", top_k, "0", 0, 1 << 20,
           "also keep the N largest and smallest logit differences, as dk-topk does"),
    DK_INT(struct params, 0, "top-tokens", top_tokens, "0", 0, 1 << 20,
           "also keep the N likeliest next tokens of every lane"),
    { DK_OPT_STR, 0, "shard", offsetof(struct params, shard), NULL, 0, 0, NULL,
      "only part I of N of the documents, I/N with I from 0; dk-merge joins the files", DK_NOSTAMP, NULL },
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the scores to FILE (.score.h5); -: a stream on standard output"),
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "write the statistics to FILE (JSON lines), - for stdout (default without -o)", DK_NOSTAMP, NULL },
    DK_END
};

static dk_provenance provenance(void *record) { return dk_record_end(record); }

/* Without a model: are there statistics to read instead?  A stream can be nothing else, and
 * a name may say so of a file that cannot be opened. */
static bool is_statistics(const char *path)
{
    const char *dot = strstr(path, ".stats.h5");
    dk_err none = {0};
    dk_h5 *f = NULL;
    bool yes;

    if (strcmp(path, "-") == 0 || (dot && dot[strlen(".stats.h5")] == 0))
        return true;
    if (dk_h5_open(&f, path, NULL, &none) < 0)
        return false;
    yes = strcmp(dk_h5_root_of(f)->encoding, "dk-statistics") == 0;
    dk_h5_close(&f);
    return yes;
}

/* Sums do not tell more than this. */
static int table_of_stats(const struct params *p, const char *path, dk_err *err)
{
    const char *wants = p->out ? "-o" : p->shard ? "--shard" : p->reverse ? "--reverse" : p->top_k ? "--top-k"
                      : p->top_tokens ? "--top-tokens" : p->pair.ft ? "--ft" : p->pair.nulls.n ? "--null"
                      : p->pair.lanes.n ? "--lanes" : NULL;
    const char *const table = p->table ? p->table : "-";
    dk_act_input in = {0};
    dk_buf rows = {0};
    int rc = wants ? dk_fail(err, DK_EUSAGE, "%s has sums, and %s needs the model", path, wants) : dk_outfile_check(table, err);

    if (rc == 0 && (rc = dk_act_input_open(&in, path, err)) == 0) {
        dk_h5_warn_shard(in.f);
        rc = dk_kl_stats_table(&rows, &in, err);
    }
    if (rc == 0)
        rc = dk_outfile_write(table, rows.s, rows.n, err);
    dk_buf_free(&rows);
    dk_act_input_close(&in);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_record record;
    dk_score_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 1),
        .plan = { .temperature = p->temperature, .kl = 1, .reverse = p->reverse, .top_k = (size_t)p->top_k,
                  .lens_k = (size_t)p->top_tokens, .batch_rows = (size_t)p->pair.batch },
        .tokens = n ? args[0] : "-",
        .samples = { .max_samples = (size_t)p->max_samples, .max_tokens = (size_t)p->max_tokens, .min_tokens = 2 },
        .out = p->out, .table = p->table || p->out ? p->table : "-", .seed = (uint64_t)ctx->seed,
        .inputs = &record.inputs, .provenance = provenance, .arg = &record
    };
    int rc;

    if (!p->pair.model && n && is_statistics(args[0]))
        return table_of_stats(p, args[0], err);
    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if ((rc = dk_shard_parse(&job.shard, p->shard, err)) < 0)
        return rc;
    dk_record_begin(&record, ctx);
    rc = dk_score_job_run(&job, err);
    dk_record_free(&record);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-kl", .purpose = "KL(finetune || base) of the next-token distributions, token by token",
    .algo = 2, .usage = "[options] -m MODEL -f ADAPTER [-o FILE] [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
