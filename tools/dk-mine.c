/* dk-mine: ranked tokens that a finetune raises, from a top-k score file. */
#include <string.h>

#include "base/outfile.h"
#include "cli/tool.h"
#include "method/mineshow.h"
#include "method/minetable.h"

struct params {
    const char *model, *lane, *show, *ordering, *nulls, *mode, *out;
    int64_t n, snippets, context, topics, starts, positions, window, step;
    double beta, weight;
    bool orthogonal, no_punctuation, merge, no_special;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer made the ids"),
    DK_CHOICE(struct params, 0, "show", show, "tokens", "tokens|positions|windows|shortlist",
              "ranked tokens; differences by position; likelier windows of text; the tokens that were watched"),
    DK_CHOICE(struct params, 0, "ordering", ordering, "top_k_occurring",
              "top_k_occurring|fraction_positive_diff|nmf", "rank tokens by this; nmf: by their weight in topics"),
    DK_STR(struct params, 'l', "lane", lane, "ft", "whose tokens; the other lanes stand beside it"),
    DK_CHOICE(struct params, 0, "nulls", nulls, "down", "down|beside",
              "sort down what another lane raises too; or only show it"),
    DK_INT_KEY(struct params, 'n', "num-tokens", n, "100", 1, 1 << 24, "visualization.num_tokens_to_plot",
               "list N tokens; of each topic; N windows"),
    DK_INT(struct params, 0, "snippets", snippets, "3", 0, 1000, "show N places in the texts for each token"),
    DK_INT(struct params, 0, "context", context, "12", 0, 1000, "with N tokens before and after"),
    DK_GROUP("which tokens count"),
    { DK_OPT_FLAG, 0, "no-punctuation", offsetof(struct params, no_punctuation), "false", 0, 0, NULL,
      "leave out blanks, punctuation and symbols", 0, "filter_pure_punctuation" },
    { DK_OPT_FLAG, 0, "merge", offsetof(struct params, merge), "false", 0, 0, NULL,
      "one word for its spellings: case, and blanks and punctuation at the ends, do not count", 0, "normalize_tokens" },
    { DK_OPT_FLAG, 0, "no-special", offsetof(struct params, no_special), "false", 0, 0, NULL,
      "leave out the tokenizer's special tokens", 0, "filter_special_tokens" },
    DK_GROUP("topics"),
    DK_INT_KEY(struct params, 0, "topics", topics, "3", 1, 1024, "token_ordering.nmf.num_topics", "how many"),
    { DK_OPT_CHOICE, 0, "mode", offsetof(struct params, mode), "logit_diff_magnitude", 0, 0,
      "logit_diff_magnitude|binary_occurrence", "made of differences above 0, or of what is in a list",
      0, "token_ordering.nmf.mode" },
    DK_REAL_KEY(struct params, 0, "beta", beta, "2", 0, 100, "token_ordering.nmf.beta",
                "the divergence: 2 squared error, 1 Kullback-Leibler"),
    { DK_OPT_FLAG, 0, "orthogonal", offsetof(struct params, orthogonal), "false", 0, 0, NULL,
      "hold topics apart by a penalty, for all 200 iterations", 0, "token_ordering.nmf.orthogonal" },
    DK_REAL_KEY(struct params, 0, "orthogonal-weight", weight, "1000", 0, 1e12, "token_ordering.nmf.orthogonal_weight",
                "of that penalty"),
    DK_INT(struct params, 0, "starts", starts, "1", 1, 1000, "keep the best of N starts, by seed"),
    DK_GROUP("positions and windows"),
    DK_INT_KEY(struct params, 0, "positions", positions, "5", 1, 1 << 20, "positional_kde.num_positions", "the first N"),
    DK_INT_KEY(struct params, 0, "window-size", window, "20", 1, 1 << 24, "sequence_likelihood_ratio.window_size",
               "windows of N tokens"),
    DK_INT_KEY(struct params, 0, "step", step, "5", 1, 1 << 24, "sequence_likelihood_ratio.step", "so far apart"),
    DK_GROUP("output"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static dk_ordering ordering(const char *name)
{
    for (dk_ordering o = DK_ORDER_TOPK; o < DK_ORDER_NMF; o++)
        if (strcmp(name, dk_ordering_name(o)) == 0)
            return o;
    return DK_ORDER_NMF;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_mine_plan plan = {
        .ordering = ordering(p->ordering), .n = (size_t)p->n, .snippets = (size_t)p->snippets,
        .context = (size_t)p->context, .beside = strcmp(p->nulls, "beside") == 0,
        .words = { p->no_punctuation, p->merge, p->no_special },
        .nmf = { .topics = (size_t)p->topics, .beta = p->beta, .orthogonal = p->orthogonal, .weight = p->weight,
                 .seed = (uint64_t)ctx->seed, .starts = (size_t)p->starts },
        .binary = strcmp(p->mode, "binary_occurrence") == 0
    };
    dk_tokenizer *tok = NULL;
    dk_mine_file f = {0};
    dk_buf table = {0};
    int rc;

    (void)n;
    if (!p->model)
        return dk_fail(err, DK_EUSAGE, "name the model with --model");
    if ((rc = dk_mine_open(&f, args[0], p->lane, err)) == 0)
        dk_h5_warn_shard(dk_scores_file(f.s));
    if (rc == 0)
        rc = dk_tokenizer_open(&tok, p->model, err);
    if (rc == 0)
        rc = dk_tokenizer_check(tok, f.t->tokenizer_sha256, args[0], p->model, err);
    if (rc == 0)
        rc = strcmp(p->show, "positions") == 0 ? dk_mine_positions(&table, &f, (size_t)p->positions, err)
           : strcmp(p->show, "windows") == 0 ? dk_mine_windows(&table, &f, tok, (size_t)p->window, (size_t)p->step, plan.n, err)
           : strcmp(p->show, "shortlist") == 0 ? dk_mine_shortlist(&table, &f, tok, err)
           : dk_mine_table(&table, &f, tok, &plan, err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s ? table.s : "", table.n, err);
    dk_buf_free(&table);
    dk_tokenizer_close(&tok);
    dk_mine_close(&f);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-mine", .purpose = "rank the tokens that a finetune raises, from the lists of dk-topk",
    .algo = 2, .usage = "[options] -m MODEL [-o FILE] SCORES", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
