/* dk-rate: how often a model writes something, from amplified samples. */
#include "base/outfile.h"
#include "cli/tool.h"
#include "method/eventrate.h"

struct params {
    const char *match, *text, *out;
};

static const dk_opt opts[] = {
    DK_STR(struct params, 'e', "match", match, NULL, "count samples whose text matches this regular expression (PCRE)"),
    DK_STR(struct params, 'x', "text", text, NULL, "count samples that hold this text"),
    DK_GROUP("output"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_event event = { .text = p->text };
    dk_buf table = {0};
    int rc = 0;

    if (!p->match == !p->text)
        return dk_fail(err, DK_EUSAGE, "say what to count: --match REGEX or --text TEXT");
    if (p->text && !*p->text)
        return dk_fail(err, DK_EUSAGE, "--text is empty: every sample holds that");
    if (dk_outfile_check(p->out, err) < 0)
        return DK_EIO;
    if (p->match && dk_regex_new(&event.match, p->match, err) < 0) {
        dk_err_prefix(err, "--match");
        rc = DK_EUSAGE;
    }
    if (rc == 0)
        rc = dk_event_rate_table(&table, args, (size_t)n, &event, (uint64_t)ctx->seed, err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s, table.n, err);
    dk_regex_free(&event.match);
    dk_buf_free(&table);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-rate", .purpose = "how often a finetune writes something, from samples of its amplified difference",
    .algo = 1, .usage = "[options] -e REGEX | -x TEXT SAMPLES...", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = -1, .run = run,
};
