/* dk-topk: the vocabulary entries that a finetune raises and lowers most, at
 * every token. */
#include <string.h>

#include "cli/pairopts.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/scorejob.h"

struct params {
    dk_pair_opts pair;
    const char *out, *shard, *extraction, *prompt, *chat;
    int64_t max_samples, max_tokens, top_k, window, stride, before, max_vocab;
    double lens_depth, patch_depth;
    dk_strs words;
    bool logp;
};

static const dk_opt opts[] = {
    DK_PAIR_OPTS(struct params),
    DK_ARITH_OPT(struct params),
    DK_GROUP("what to score"),
    DK_INT_KEY(struct params, 0, "max-samples", max_samples, "8192", 0, 1e15, "max_samples",
               "the first N documents, or windows of them; 0: all"),
    DK_INT_KEY(struct params, 0, "max-tokens", max_tokens, "64", 0, 1e9, "max_tokens_per_sample",
               "the first N tokens of each; of answers exactly N; 0: all"),
    DK_INT(struct params, 0, "window", window, "0", 0, 1e9,
           "cut documents into windows of N tokens, as many as each holds; 0: do not"),
    DK_INT(struct params, 0, "stride", stride, "0", 0, 1e9, "tokens from one window to the next; 0: as --window"),
    DK_CHOICE(struct params, 0, "chat", chat, "answer", "answer|whole", "of chats, score the first answer, or all of it"),
    DK_INT_KEY(struct params, 0, "pre-assistant", before, "3", 0, 500, "pre_assistant_k", "and N positions before that answer"),
    DK_INT_KEY(struct params, 'k', "top-k", top_k, "100", 1, 1 << 20, "top_k",
               "keep the N largest and the N smallest logit differences"),
    { DK_OPT_STR, 0, "shard", offsetof(struct params, shard), NULL, 0, 0, NULL,
      "only part I of N of the documents, I/N with I from 0; dk-merge joins the files", DK_NOSTAMP, NULL },
    DK_INT_KEY(struct params, 0, "max-vocab", max_vocab, "0", 0, 1e9, "max_vocab_size", "look only at ids below N; 0: at all"),
    { DK_OPT_LIST, 0, "watch", offsetof(struct params, words), NULL, 0, 0, NULL,
      "keep every difference of these tokens too (repeat the option)", 0, "per_token_analysis.token_shortlist" },
    DK_FLAG(struct params, 0, "logp", logp, "and how likely each lane holds the token that follows"),
    DK_GROUP("which logits"),
    { DK_OPT_CHOICE, 0, "extraction", offsetof(struct params, extraction), "logits", 0, 0, "logits|logit_lens|patchscope_lens",
      "of the last block, of an earlier one, or of a prompt that it is put into", 0, "logit_extraction.method" },
    DK_REAL_KEY(struct params, 0, "lens-depth", lens_depth, "0.75", 0, 1, "logit_extraction.logit_lens.layer",
                "where logit_lens looks, from 0, the first block, to 1"),
    DK_REAL_KEY(struct params, 0, "patch-depth", patch_depth, "0.75", 0, 1, "logit_extraction.patchscope_lens.layer",
                "where patchscope_lens reads and writes"),
    { DK_OPT_STR, 0, "patch-prompt", offsetof(struct params, prompt), "man -> man\\n1135 -> 1135\\nhello -> hello\\n?", 0, 0, NULL,
      "its prompt, whose last token is replaced; \\n is a line end", 0, "logit_extraction.patchscope_lens.patch_prompt" },
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the lists and sums to FILE (.score.h5); -: a stream on standard output"),
    DK_END
};

/* With line ends for "\\n"; dk_free it. */
static char *prompt_text(const char *s)
{
    dk_buf b = {0};

    dk_buf_adds(&b, "");
    for (; *s; s++) {
        const bool line = s[0] == '\\' && s[1] == 'n';

        dk_buf_addc(&b, line ? '\n' : *s);
        s += line;
    }
    return b.s;
}

static dk_provenance provenance(void *record) { return dk_record_end(record); }

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_record record;
    char *prompt = prompt_text(p->prompt);
    const dk_extraction how = strcmp(p->extraction, "logits") == 0 ? DK_LAST_LOGITS
                            : strcmp(p->extraction, "logit_lens") == 0 ? DK_LOGIT_LENS : DK_PATCHSCOPE;
    dk_score_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 1),
        .plan = { .temperature = 1, .kl = p->logp, .top_k = (size_t)p->top_k, .batch_rows = (size_t)p->pair.batch,
                  .max_vocab = (size_t)p->max_vocab },
        .extraction = how, .depth = how == DK_PATCHSCOPE ? p->patch_depth : p->lens_depth, .prompt = prompt,
        .words = p->words.v, .n_words = p->words.n, .tokens = n ? args[0] : "-",
        .samples = { .max_samples = (size_t)p->max_samples, .max_tokens = (size_t)p->max_tokens, .min_tokens = 1,
                     .window = (size_t)p->window, .stride = (size_t)p->stride,
                     .answers = strcmp(p->chat, "answer") == 0, .before = (size_t)p->before },
        .out = p->out, .inputs = &record.inputs, .provenance = provenance, .arg = &record
    };
    int rc = 0;

    if (!p->pair.model)
        rc = dk_fail(err, DK_EUSAGE, "name the base model with --model");
    else if (!p->out)
        rc = dk_fail(err, DK_EUSAGE, "name the score file with -o");
    if (rc == 0)
        rc = dk_shard_parse(&job.shard, p->shard, err);
    if (rc == 0) {
        dk_record_begin(&record, ctx);
        rc = dk_score_job_run(&job, err);
        dk_record_free(&record);
    }
    dk_free(prompt);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-topk", .purpose = "top and bottom k of the logit difference finetune - base, at every token",
    .algo = 1, .usage = "[options] -m MODEL -f ADAPTER -o FILE [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
