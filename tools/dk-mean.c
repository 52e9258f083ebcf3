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

/* Activations or their statistics. */
struct input {
    dk_acts *a;
    dk_h5 *f;                       /* of the activations: borrowed */
    dk_tokens corpus;               /* of statistics */
};

static int open_input(struct input *in, const char *path, dk_err *err)
{
    const char *kind;
    int rc = dk_h5_open(&in->f, path, NULL, err);

    if (rc < 0)
        return rc;
    kind = dk_h5_root_of(in->f)->encoding;
    if (strcmp(kind, "dk-statistics") == 0)
        return dk_tokens_get_corpus(in->f, &in->corpus, err);
    if (strcmp(kind, "dk-activations") != 0)
        return dk_fail(err, DK_EFORMAT, "%s holds %s, expected dk-activations or dk-statistics", dk_h5_path(in->f), kind);
    rc = dk_acts_from(&in->a, &in->f, err);
    in->f = rc < 0 ? NULL : dk_acts_file(in->a);
    return rc;
}

static void close_input(struct input *in)
{
    if (in->a)
        dk_acts_close(&in->a);
    else
        dk_h5_close(&in->f);
    dk_tokens_free(&in->corpus);
}

static const dk_tokens *corpus_of(const struct input *in) { return in->a ? dk_acts_tokens(in->a) : &in->corpus; }

static int write_file(const struct params *p, dk_ctx *ctx, const struct input *in, const dk_means *m, size_t n,
                      dk_err *err)
{
    dk_record record;
    dk_provenance prov;
    dk_buf lineage = {0};
    int rc;

    dk_record_begin(&record, ctx);
    rc = dk_h5_lineage(in->f, in->a ? "activations" : "statistics", &lineage, err);
    if (rc == 0)
        dk_inputs_add_object(&record.inputs, lineage.s);
    prov = dk_record_end(&record);
    if (rc == 0)
        rc = dk_means_write(m, n, in->f, corpus_of(in), p->out, &prov, err);
    dk_buf_free(&lineage);
    dk_record_free(&record);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_mean_plan plan = { .n = (size_t)p->n, .before = (size_t)p->before, .fewer = p->fewer,
                                .seed = (uint64_t)ctx->seed };
    const char *table = p->table || p->out ? p->table : "-";
    struct input in = {0};
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
    if ((rc = open_input(&in, args[0], err)) == 0)
        rc = in.a ? dk_means_of(&m, &n_means, in.a, &plan, err)
                  : dk_means_of_stats(&m, &n_means, in.f, &in.corpus, &plan, err);
    if (rc == 0 && p->out)
        rc = write_file(p, ctx, &in, m, n_means, err);
    if (rc == 0 && table) {
        dk_means_table(&rows, m, n_means, corpus_of(&in)->corpus_name);
        rc = dk_outfile_write(table, rows.s, rows.n, err);
    }
    dk_buf_free(&rows);
    dk_means_free(m, n_means);
    close_input(&in);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-mean", .purpose = "mean activations at each position and of all rows, with their norms",
    .algo = 1, .usage = "[options] [-o FILE] ACTIVATIONS", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
