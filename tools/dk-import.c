/* dk-import: activations that the reference toolkit has stored. */
#include <stdlib.h>
#include <string.h>

#include "base/outfile.h"
#include "base/parse.h"
#include "cli/record.h"
#include "cli/tool.h"
#include "method/import.h"

struct params {
    const char *out, *model, *name;
    dk_strs layers, what;
    int64_t skip;
};

static const dk_opt opts[] = {
    DK_LIST(struct params, 'l', "layers", layers, NULL, "only these blocks, numbers from 0 (default: all that are there)"),
    DK_LIST(struct params, 0, "what", what, "base,ft", "store these of base, ft, diff (ft less base, rounded to their type)"),
    DK_INT_KEY(struct params, 0, "skip-first", skip, "0", 0, 1 << 24,
               "model.ignore_first_n_tokens_per_sample_during_collection",
               "the first N tokens of each sequence were left out when they were stored"),
    DK_PATH(struct params, 'm', "model", model, NULL, "the tokens are of the tokenizer of MODEL"),
    DK_STR(struct params, 0, "name", name, NULL, "call the data set NAME instead of after its folder"),
    DK_OUT(struct params, out, NULL, "write the activations to FILE (.act.h5); -: a stream on standard output"),
    DK_END
};

static dk_provenance provenance(void *record) { return dk_record_end(record); }

static int what_of(dk_import_job *job, const dk_strs *what, dk_err *err)
{
    for (size_t i = 0; i < what->n; i++)
        if (strcmp(what->v[i], "base") == 0)
            job->put_base = true;
        else if (strcmp(what->v[i], "ft") == 0)
            job->put_ft = job->ft != NULL;
        else if (strcmp(what->v[i], "diff") == 0)
            job->put_diff = true;
        else
            return dk_fail(err, DK_EUSAGE, "--what: '%s' is none of base, ft, diff", what->v[i]);
    if (job->put_diff && !job->ft)
        return dk_fail(err, DK_EUSAGE, "--what: a difference needs the finetune's folder, too");
    return job->put_base || job->put_ft || job->put_diff ? 0 : dk_fail(err, DK_EUSAGE, "--what: name one of base, ft, diff");
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int layers_of(dk_import_job *job, int **layer, const dk_strs *text, dk_err *err)
{
    int rc = 0;

    *layer = dk_xcalloc(text->n, sizeof **layer);
    for (size_t i = 0; rc == 0 && i < text->n; i++) {
        int64_t l = 0;

        rc = dk_parse_int(&l, text->v[i], 0, 999999, "a layer", err);
        (*layer)[i] = (int)l;
    }
    qsort(*layer, text->n, sizeof **layer, ascending);
    for (size_t i = 0; i < text->n; i++)
        if (i == 0 || (*layer)[i] != (*layer)[job->n_layers - 1])
            (*layer)[job->n_layers++] = (*layer)[i];
    job->layer = *layer;
    return rc;
}

/* .../DATASET/SPLIT: the last but `up` part of the path. */
static char *part(const char *path, int up)
{
    size_t end = strlen(path), at;

    for (;; up--) {
        while (end > 0 && path[end - 1] == '/')
            end--;
        for (at = end; at > 0 && path[at - 1] != '/';)
            at--;
        if (up == 0)
            return dk_xstrndup(path + at, end - at);
        end = at;
    }
}

static int import(const dk_ctx *ctx, const struct params *p, dk_import_job *job, dk_err *err)
{
    dk_tokenizer *tok = NULL;
    dk_record record;
    int rc = p->model ? dk_tokenizer_open(&tok, p->model, err) : 0;

    dk_record_begin(&record, ctx);
    if (tok)
        dk_inputs_add(&record.inputs, "tokenizer", p->model, dk_tokenizer_about(tok)->sha256, 0);
    job->tokenizer = tok;
    job->inputs = &record.inputs;
    job->arg = &record;
    if (rc == 0)
        rc = dk_import_run(job, err);
    dk_tokenizer_close(&tok);
    dk_record_free(&record);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    dk_import_job job = { .base = args[0], .ft = n > 1 ? args[1] : NULL, .skipped = (size_t)p->skip, .out = p->out,
                          .provenance = provenance };
    char *name = part(args[0], 1), *split = part(args[0], 0);
    int *layer = NULL;
    int rc = p->out ? 0 : dk_fail(err, DK_EUSAGE, "name the activation file with -o");

    job.name = p->name ? p->name : name;
    job.split = split;
    if (rc == 0 && (rc = what_of(&job, &p->what, err)) == 0 && (rc = layers_of(&job, &layer, &p->layers, err)) == 0 &&
        (rc = dk_outfile_check(p->out, err)) == 0 && (rc = dk_h5_check_terminal(p->out, "", err)) == 0)
        rc = import(ctx, p, &job, err);
    dk_free(layer);
    dk_free(name);
    dk_free(split);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-import", .purpose = "activations that the reference toolkit has stored, as an activation file",
    .algo = 1, .usage = "[options] -o FILE BASE [FT]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 2, .run = run,
};
