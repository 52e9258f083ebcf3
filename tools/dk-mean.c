/* dk-mean: mean activations by position, and of all rows. */
#include <string.h>

#include "base/outfile.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/mean.h"

struct params {
    const char *out, *table;
    int64_t n, before;
    bool fewer;
};

static const dk_opt opts[] = {
    DK_INT(struct params, 'n', "n", n, "0", 0, 1 << 24,
           "the first N positions, in chats from the first answer on; 0: as many as every document has"),
    DK_INT_KEY(struct params, 'k', "pre-assistant", before, "3", 0, 1 << 24, "pre_assistant_k",
               "in chats also the N positions before the answer"),
    DK_FLAG(struct params, 0, "fewer", fewer,
            "where no document has N, as many as the longest; chats without an answer from their start"),
    DK_OUT(struct params, out, NULL, "write the means to FILE (.dir.h5); -: a stream on standard output"),
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "write their norms to FILE (JSON lines), - for stdout (default without -o)", DK_NOSTAMP, NULL },
    DK_END
};

static int write_file(const struct params *p, dk_ctx *ctx, const dk_act_input *in, const dk_means *m, size_t n,
                      dk_err *err)
{
    dk_record record;
    dk_provenance prov;
    int rc;

    dk_record_begin(&record, ctx);
    rc = dk_act_input_lineage(in, &record.inputs, err);
    prov = dk_record_end(&record);
    if (rc == 0)
        rc = dk_means_write(m, n, in->f, dk_act_input_corpus(in), p->out, &prov, err);
    dk_record_free(&record);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_mean_plan plan = { .n = (size_t)p->n, .before = (size_t)p->before, .fewer = p->fewer,
                                .seed = (uint64_t)ctx->seed };
    const char *table = p->table || p->out ? p->table : "-";
    dk_act_input in = {0};
    dk_means *m = NULL;
    dk_buf rows = {0};
    size_t n_means = 0;
    int rc;

    (void)n;
    if (p->out && (rc = dk_h5_check_terminal(p->out, "", err)) < 0)
        return rc;
    if (p->out && table && strcmp(p->out, table) == 0)
        return dk_fail(err, DK_EUSAGE, "means and table have the same name, %s", p->out);
    if ((p->out && dk_outfile_check(p->out, err) < 0) || (table && dk_outfile_check(table, err) < 0))
        return DK_EIO;
    if ((rc = dk_act_input_open(&in, args[0], err)) == 0)
        dk_h5_warn_shard(in.f);
    if (rc == 0)
        rc = in.a ? dk_means_of(&m, &n_means, in.a, &plan, err)
                  : dk_means_of_stats(&m, &n_means, &in, &plan, err);
    if (rc == 0 && p->out)
        rc = write_file(p, ctx, &in, m, n_means, err);
    if (rc == 0 && table) {
        dk_means_table(&rows, m, n_means, dk_act_input_corpus(&in)->corpus_name);
        rc = dk_outfile_write(table, rows.s, rows.n, err);
    }
    dk_buf_free(&rows);
    dk_means_free(m, n_means);
    dk_act_input_close(&in);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-mean", .purpose = "mean activations at each position and of all rows, with their norms",
    .algo = 3, .usage = "[options] [-o FILE] ACTIVATIONS", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
