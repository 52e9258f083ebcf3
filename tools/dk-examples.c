/* dk-examples: the texts where a score is highest. */
#include <string.h>

#include "base/outfile.h"
#include "base/parse.h"
#include "cli/tool.h"
#include "method/examples.h"

enum { MAX_EDGES = 1000 };

struct params {
    const char *model, *lane, *by, *side, *out;
    dk_strs score, quantiles;
    int64_t n, context;
    bool no_text, no_values;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "the model whose tokenizer made the ids"),
    DK_GROUP("what to rank"),
    DK_LIST(struct params, 0, "score", score, NULL, "by this score, or those of a pattern as norm/*/ft (default: all that say how different the lane is)"),
    DK_STR(struct params, 'l', "lane", lane, "ft", "whose scores; the other lanes stand beside it"),
    DK_CHOICE(struct params, 0, "by", by, "both", "extreme|mean|both", "rank texts by their extreme value or their mean"),
    DK_CHOICE(struct params, 0, "side", side, "top", "top|bottom|both", "list the highest, the lowest"),
    DK_INT_KEY(struct params, 'k', "num-examples", n, "100", 1, 1 << 24, "analysis.max_activating_examples.num_examples",
               "list N texts of each data set"),
    DK_LIST(struct params, 0, "quantiles", quantiles, NULL,
            "split the texts at these shares (0.25,0.5,0.75,1) and list N of each part"),
    DK_GROUP("output"),
    DK_INT(struct params, 0, "context", context, "12", 0, 1 << 20, "show N tokens before and after the extreme"),
    DK_FLAG(struct params, 0, "no-text", no_text, "leave out the whole texts"),
    DK_FLAG(struct params, 0, "no-values", no_values, "leave out the values of all tokens"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int edges(double *out, const dk_strs *words, dk_err *err)
{
    if (words->n > MAX_EDGES)
        return dk_fail(err, DK_EUSAGE, "--quantiles: more than %d", MAX_EDGES);
    for (size_t i = 0; i < words->n; i++) {
        if (dk_parse_real(&out[i], words->v[i], 0, 1, "--quantiles", err) < 0)
            return err->code;
        if (!(out[i] > (i ? out[i - 1] : 0)))
            return dk_fail(err, DK_EUSAGE, "--quantiles: %s does not rise above what is before it", words->v[i]);
    }
    return 0;
}

static int one_file(dk_buf *out, const dk_tokenizer *tok, const dk_example_plan *plan, const char *model,
                    const char *path, dk_err *err)
{
    dk_scores *s = NULL;
    int rc = dk_scores_open(&s, path, err);

    if (rc == 0)
        dk_h5_warn_shard(dk_scores_file(s));

    if (rc == 0)
        rc = dk_tokenizer_check(tok, dk_scores_tokens(s)->tokenizer_sha256, path, model, err);
    if (rc == 0)
        rc = dk_examples_table(out, s, tok, plan, err);
    dk_scores_close(&s);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    double edge[MAX_EDGES];
    const dk_example_plan plan = {
        .score = p->score.v, .n_scores = p->score.n, .lane = p->lane,
        .by = { strcmp(p->by, "mean") != 0, strcmp(p->by, "extreme") != 0 },
        .side = { strcmp(p->side, "bottom") != 0, strcmp(p->side, "top") != 0 },
        .k = (size_t)p->n, .edge = edge, .n_edges = p->quantiles.n, .context = (size_t)p->context,
        .no_text = p->no_text, .no_values = p->no_values
    };
    dk_tokenizer *tok = NULL;
    dk_buf table = {0};
    int rc;

    (void)ctx;
    if (!p->model)
        return dk_fail(err, DK_EUSAGE, "name the model with --model");
    if ((rc = edges(edge, &p->quantiles, err)) < 0)
        return rc;
    if (dk_outfile_check(p->out, err) < 0)
        return DK_EIO;
    rc = dk_tokenizer_open(&tok, p->model, err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = one_file(&table, tok, &plan, p->model, args[i], err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_buf_free(&table);
    dk_tokenizer_close(&tok);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-examples", .purpose = "the texts where a score is highest, with the value of every token",
    .algo = 1, .usage = "[options] -m MODEL [-o FILE] SCORES...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
