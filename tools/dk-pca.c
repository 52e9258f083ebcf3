/* dk-pca: principal components of activations or of their differences. */
#include <string.h>

#include "base/outfile.h"
#include "base/parse.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "io/actinput.h"
#include "method/pca.h"

struct params {
    const char *out, *table, *what;
    int64_t k, skip, max_rows, batch;
    dk_strs layers;
    bool negate, whiten, uncentred, incremental, drop_last, halves;
};

static const dk_opt opts[] = {
    DK_INT_KEY(struct params, 'k', "components", k, "0", 0, 1 << 24, "training.n_components",
               "the first N components; 0: as many as there are"),
    DK_STR(struct params, 0, "what", what, "diff", "of which rows: base, ft, diff, diff.NAME"),
    DK_FLAG(struct params, 0, "negate", negate,
            "rows times -1, so of diff base minus finetune: other means, the same components"),
    DK_FLAG(struct params, 0, "uncentred", uncentred,
            "of the rows as they are, not less their mean: the mean difference takes part"),
    DK_FLAG(struct params, 0, "whiten", whiten,
            "in the base's measure: directions along which rows vary most against the base's own variation; of statistics alone"),
    DK_LIST(struct params, 0, "layers", layers, NULL, "only these blocks (default: all that the first file has)"),
    DK_INT_KEY(struct params, 0, "skip-first", skip, "0", 0, 1 << 24,
               "datasets.ignore_first_n_tokens_per_sample_during_training", "leave out the first N tokens of each document"),
    DK_INT_KEY(struct params, 0, "max-rows", max_rows, "0", 0, 9e9, "training.num_samples",
               "at most N rows of all files, each giving its first ones in proportion to its length; 0: all"),
    DK_FLAG(struct params, 0, "halves", halves,
            "also find components of two halves of the documents, and say how far they agree"),
    DK_FLAG(struct params, 0, "incremental", incremental,
            "batch by batch, as the reference toolkit and scikit-learn's IncrementalPCA, not exactly"),
    DK_INT_KEY(struct params, 0, "batch-size", batch, "32768", 1, 1 << 24, "training.batch_size",
               "with --incremental: rows of a batch"),
    DK_FLAG(struct params, 0, "drop-last", drop_last,
            "with --incremental: leave out the last rows that fill no batch, as the toolkit does"),
    DK_OUT(struct params, out, NULL, "write the components to FILE (.dir.h5); -: a stream on standard output"),
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "write their variances to FILE (JSON lines), - for stdout (default without -o)", DK_NOSTAMP, NULL },
    DK_END
};

static int write_file(const struct params *p, dk_ctx *ctx, const dk_act_input *in, size_t n_in, const dk_pca_place *x,
                      size_t n, dk_err *err)
{
    dk_record record;
    dk_provenance prov;
    int rc = 0;

    dk_record_begin(&record, ctx);
    for (size_t i = 0; rc == 0 && i < n_in; i++)
        rc = dk_act_input_lineage(&in[i], &record.inputs, err);
    prov = dk_record_end(&record);
    if (rc == 0)
        rc = dk_pca_write(x, n, in[0].f, n_in == 1 ? dk_act_input_corpus(&in[0]) : NULL, p->out, &prov, err);
    dk_record_free(&record);
    return rc;
}

static int write_table(const char *path, const dk_act_input *in, size_t n_in, const dk_pca_place *x, size_t n, dk_err *err)
{
    dk_buf rows = {0}, names = {0};
    int rc;

    for (size_t i = 0; i < n_in; i++) {
        const char *name = dk_act_input_corpus(&in[i])->corpus_name;

        dk_buf_addf(&names, "%s%s", i ? "," : "", name ? name : "");
    }
    dk_pca_table(&rows, x, n, names.s);
    rc = dk_outfile_write(path, rows.s, rows.n, err);
    dk_buf_free(&rows);
    dk_buf_free(&names);
    return rc;
}

static int check(const struct params *p, const char *table, int n, char **args, dk_err *err)
{
    int rc;

    if (p->out && (rc = dk_h5_check_terminal(p->out, "", err)) < 0)
        return rc;
    if (p->out && table && strcmp(p->out, table) == 0)
        return dk_fail(err, DK_EUSAGE, "components and table have the same name, %s", p->out);
    if (p->drop_last && !p->incremental)
        return dk_fail(err, DK_EUSAGE, "--drop-last needs --incremental: there are no batches otherwise");
    if (p->uncentred && (p->incremental || p->whiten))
        return dk_fail(err, DK_EUSAGE, "--uncentred goes neither with --incremental nor with --whiten");
    for (int i = 0; n > 1 && i < n; i++)
        if (strcmp(args[i], "-") == 0)
            return dk_fail(err, DK_EUSAGE, "standard input is read alone, not among other files");
    if ((p->out && dk_outfile_check(p->out, err) < 0) || (table && dk_outfile_check(table, err) < 0))
        return DK_EIO;
    return 0;
}

static int of_stats(dk_pca_place **x, size_t *places, const dk_act_input *in, size_t n, const dk_pca_job *job, dk_err *err)
{
    const dk_statistics **s = dk_xcalloc(n, sizeof(dk_statistics *));
    const char **path = dk_xcalloc(n, sizeof(char *));
    int rc = 0;

    for (size_t i = 0; i < n; i++) {
        s[i] = &in[i].stats;
        path[i] = in[i].path;
    }
    if (job->skip || job->max_rows || job->plan.batch || job->halves)
        rc = dk_fail(err, DK_EUSAGE, "%s has no rows: --skip-first, --max-rows, --halves and --incremental need them", path[0]);
    else
        rc = dk_pca_of_stats(x, places, s, path, n, job, err);
    dk_free(s);
    dk_free(path);
    return rc;
}

/* Of rows or of statistics, not of both. */
static int components(dk_pca_place **x, size_t *places, const dk_act_input *in, size_t n, const dk_pca_job *job, dk_err *err)
{
    dk_acts **a = dk_xcalloc(n, sizeof(dk_acts *));
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        a[i] = in[i].a;
        if (!in[i].a != !in[0].a)
            rc = dk_fail(err, DK_EUSAGE, "%s and %s are rows and statistics; name files of one kind", in[0].path, in[i].path);
    }
    if (rc == 0 && a[0] && job->whiten)
        rc = dk_fail(err, DK_EUSAGE, "%s has rows, and --whiten needs their products: dk-extract --kind stats --gram base,%s",
                     in[0].path, job->what);
    if (rc == 0)
        rc = a[0] ? dk_pca_of(x, places, a, n, job, err) : of_stats(x, places, in, n, job, err);
    dk_free(a);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *table = p->table || p->out ? p->table : "-";
    int64_t *layer = dk_xcalloc(p->layers.n + 1, sizeof *layer);
    dk_act_input *in = dk_xcalloc((size_t)n, sizeof *in);
    const dk_pca_job job = {
        .what = p->what, .negate = p->negate, .whiten = p->whiten, .skip = (size_t)p->skip, .max_rows = (uint64_t)p->max_rows, .layer = layer,
        .n_layers = p->layers.n, .halves = p->halves, .seed = (uint64_t)ctx->seed,
        .plan = { .k = (size_t)p->k, .batch = p->incremental ? (size_t)p->batch : 0, .drop_last = p->drop_last,
                  .uncentred = p->uncentred }
    };
    dk_pca_place *x = NULL;
    size_t places = 0;
    int rc = check(p, table, n, args, err);

    for (size_t i = 0; rc == 0 && i < p->layers.n; i++)
        rc = dk_parse_int(&layer[i], p->layers.v[i], 0, 1 << 16, "--layers", err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_act_input_open(&in[i], args[i], err);
    if (rc == 0 && n == 1)
        dk_h5_warn_shard(in[0].f);
    if (rc == 0)
        rc = components(&x, &places, in, (size_t)n, &job, err);
    if (rc == 0 && p->out)
        rc = write_file(p, ctx, in, (size_t)n, x, places, err);
    if (rc == 0 && table)
        rc = write_table(table, in, (size_t)n, x, places, err);
    dk_pca_places_free(x, places);
    for (int i = 0; i < n; i++)
        dk_act_input_close(&in[i]);
    dk_free(in);
    dk_free(layer);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-pca", .purpose = "principal components of activations or of their differences",
    .algo = 2, .usage = "[options] [-o FILE] ACTIVATIONS...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .run = run,
};
