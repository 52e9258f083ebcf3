/* dk-mine: ranked tokens that a finetune raises, from a top-k score file. */
#include <string.h>

#include "base/outfile.h"
#include "cli/tool.h"
#include "method/minetable.h"

struct params {
    const char *model, *lane, *ordering, *out;
    int64_t n, snippets, context;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer made the ids"),
    DK_CHOICE(struct params, 0, "ordering", ordering, "top_k_occurring",
              "top_k_occurring|fraction_positive_diff", "rank tokens by this"),
    DK_STR(struct params, 'l', "lane", lane, "ft", "whose tokens; the other lanes stand beside it"),
    DK_INT_KEY(struct params, 'n', "num-tokens", n, "100", 1, 1 << 24, "visualization.num_tokens_to_plot",
               "list N tokens"),
    DK_INT(struct params, 0, "snippets", snippets, "3", 0, 1000, "show N places in the texts for each token"),
    DK_INT(struct params, 0, "context", context, "12", 0, 1000, "with N tokens before and after"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_mine_plan plan = {
        .ordering = strcmp(p->ordering, "top_k_occurring") == 0 ? DK_ORDER_TOPK : DK_ORDER_POSITIVE,
        .lane = p->lane, .n = (size_t)p->n, .snippets = (size_t)p->snippets, .context = (size_t)p->context,
        .seed = (uint64_t)ctx->seed
    };
    dk_tokenizer *tok = NULL;
    dk_scores *s = NULL;
    dk_buf table = {0};
    int rc;

    (void)n;
    if (!p->model)
        return dk_fail(err, DK_EUSAGE, "name the model with --model");
    if ((rc = dk_scores_open(&s, args[0], err)) == 0)
        dk_h5_warn_shard(dk_scores_file(s));
    if (rc == 0)
        rc = dk_tokenizer_open(&tok, p->model, err);
    if (rc == 0)
        rc = dk_tokenizer_check(tok, dk_scores_tokens(s)->tokenizer_sha256, args[0], p->model, err);
    if (rc == 0)
        rc = dk_mine_table(&table, s, tok, &plan, args[0], err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_buf_free(&table);
    dk_tokenizer_close(&tok);
    dk_scores_close(&s);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-mine", .purpose = "rank the tokens that a finetune raises, from the lists of dk-topk",
    .algo = 1, .usage = "[options] -m MODEL [-o FILE] SCORES", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
