/* dk-encode: how far each token's activations lie along directions. */
#include <stddef.h>
#include <string.h>

#include "base/outfile.h"
#include "base/parse.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/encode.h"

struct params {
    const char *dirs, *what, *out, *table;
    dk_strs names, layers;
    int64_t first, skip, max_samples;
    bool raw;
};

static const dk_opt opts[] = {
    DK_GROUP("directions"),
    { DK_OPT_PATH, 'd', "dirs", offsetof(struct params, dirs), NULL, 0, 0, NULL,
      "along those of FILE (.dir.h5): components, means; -: a stream on standard input", DK_NOSTAMP, NULL },
    DK_STR(struct params, 0, "what", what, NULL,
           "directions of base, ft, diff, diff.NAME (default: diff, or what there is where there is none)"),
    DK_LIST(struct params, 0, "name", names, NULL, "only directions with these names, or those of a pattern as pc_? (default: all)"),
    DK_INT_KEY(struct params, 0, "first", first, "0", 0, 1 << 24, "analysis.max_activating_examples.n_components",
               "only the first N of each layer and site; 0: all"),
    DK_LIST(struct params, 0, "layers", layers, NULL, "only at these blocks (default: all that both files have)"),
    DK_FLAG(struct params, 0, "raw", raw, "not about the mean that components have: the plain product"),
    DK_GROUP("rows"),
    DK_INT(struct params, 0, "skip-first", skip, "0", 0, 1 << 24, "no values at the first N tokens of a text"),
    DK_INT_KEY(struct params, 0, "max-samples", max_samples, "0", 0, 1e15, "analysis.max_activating_examples.max_num_samples",
               "values in the first N texts only; 0: in all"),
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the values to FILE (.score.h5); -: a stream on standard output"),
    { DK_OPT_PATH, 0, "table", offsetof(struct params, table), NULL, 0, 0, NULL,
      "write their statistics to FILE (JSON lines), - for stdout (default without -o)", DK_NOSTAMP, NULL },
    DK_END
};

static int write_file(const struct params *p, dk_ctx *ctx, const dk_encoding *e, dk_acts *a, dk_dirs *d, dk_err *err)
{
    dk_record record;
    dk_provenance prov;
    dk_buf acts = {0}, dirs = {0};
    int rc;

    dk_record_begin(&record, ctx);
    if ((rc = dk_h5_lineage(dk_dirs_file(d), "directions", &dirs, err)) == 0 &&
        (rc = dk_h5_lineage(dk_acts_file(a), "activations", &acts, err)) == 0) {
        dk_inputs_add_object(&record.inputs, dirs.s);
        dk_inputs_add_object(&record.inputs, acts.s);
    }
    prov = dk_record_end(&record);
    if (rc == 0)
        rc = dk_encode_write(e, a, p->out, &prov, err);
    dk_buf_free(&acts);
    dk_buf_free(&dirs);
    dk_record_free(&record);
    return rc;
}

static int check(const struct params *p, const char *table, const char *acts, dk_err *err)
{
    int rc;

    if (!p->dirs)
        return dk_fail(err, DK_EUSAGE, "name the directions with --dirs");
    if (strcmp(p->dirs, "-") == 0 && strcmp(acts, "-") == 0)
        return dk_fail(err, DK_EUSAGE, "directions and activations cannot both be standard input");
    if (p->out && (rc = dk_h5_check_terminal(p->out, "", err)) < 0)
        return rc;
    if (p->out && table && strcmp(p->out, table) == 0)
        return dk_fail(err, DK_EUSAGE, "values and table have the same name, %s", p->out);
    if ((p->out && dk_outfile_check(p->out, err) < 0) || (table && dk_outfile_check(table, err) < 0))
        return DK_EIO;
    return 0;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *table = p->table || p->out ? p->table : "-";
    int64_t *layer = dk_xcalloc(p->layers.n + 1, sizeof *layer);
    const dk_encode_plan plan = {
        .dirs = { p->what, p->names.v, p->names.n, (size_t)p->first, layer, p->layers.n }, .skip = (size_t)p->skip, .max_docs = (size_t)p->max_samples, .raw = p->raw
    };
    dk_encoding e = {0};
    dk_buf rows = {0};
    dk_acts *a = NULL;
    dk_dirs *d = NULL;
    int rc = check(p, table, args[0], err);

    (void)n;
    for (size_t i = 0; rc == 0 && i < p->layers.n; i++)
        rc = dk_parse_int(&layer[i], p->layers.v[i], 0, 1 << 16, "--layers", err);
    if (rc == 0 && (rc = dk_dirs_open(&d, p->dirs, err)) == 0 && (rc = dk_acts_open(&a, args[0], err)) == 0)
        rc = dk_encode(&e, a, d, &plan, err);
    if (rc == 0 && table)
        rc = dk_encode_table(&rows, &e, dk_acts_tokens(a), plan.skip, (uint64_t)ctx->seed, err);
    if (rc == 0 && p->out)
        rc = write_file(p, ctx, &e, a, d, err);
    if (rc == 0 && table)
        rc = dk_outfile_write(table, rows.s, rows.n, err);
    dk_buf_free(&rows);
    dk_encoding_free(&e);
    dk_acts_close(&a);
    dk_dirs_close(&d);
    dk_free(layer);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-encode", .purpose = "how far the activations of each token lie along directions",
    .algo = 2, .usage = "[options] -d DIRECTIONS [-o FILE] ACTIVATIONS", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
