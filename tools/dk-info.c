/* dk-info: look into any dk file. */
#include <stdbool.h>

#include "base/child.h"
#include "cli/tool.h"
#include "io/h5info.h"
#include "method/export.h"

struct params { bool lineage, json, check, deep; const char *export, *model; };

static const dk_opt opts[] = {
    DK_FLAG(struct params, 'j', "json",    json,    "one JSON object for each file"),
    DK_FLAG(struct params, 'l', "lineage", lineage, "the tree of inputs, as far as the file tells"),
    DK_FLAG(struct params, 0,   "check",   check,   "read everything; verify hashes, offsets, content id"),
    DK_FLAG(struct params, 0,   "deep",    deep,    "with --check: also whether the numbers make sense"),
    DK_PATH(struct params, 'x', "export",  export,  NULL, "write FILE as .npy and JSON into this new folder"),
    DK_PATH(struct params, 'm', "model",   model,   NULL, "with --export: whose tokenizer spells token ids"),
    DK_END
};

typedef struct job { const char *path, *folder; const dk_tokenizer *tok; } job;

static int export(void *arg, dk_buf *text, dk_err *err)
{
    const job *j = arg;

    (void)text;
    return dk_export(j->path, j->folder, j->tok, err);
}

static int run_export(const struct params *p, int n, char **files, dk_err *err)
{
    dk_tokenizer *tok = NULL;
    job j = { files[0], p->export, NULL };
    int rc = 0;

    if (n != 1)
        return dk_fail(err, DK_EUSAGE, "--export takes one FILE");
    if (p->model)
        rc = dk_tokenizer_open(&tok, p->model, err);
    j.tok = tok;
    if (rc == 0)
        rc = dk_in_child(export, &j, files[0], err);
    dk_tokenizer_close(&tok);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **files, dk_err *err)
{
    const struct params *p = vp;
    const dk_info_form form = p->json ? DK_INFO_JSON : p->lineage ? DK_INFO_LINEAGE
                            : p->deep ? DK_INFO_DEEP : p->check ? DK_INFO_CHECK : DK_INFO_TEXT;
    int rc = 0;

    (void)ctx;
    if (p->lineage + p->json + p->check + (p->export != NULL) > 1)
        return dk_fail(err, DK_EUSAGE, "choose one of --json, --lineage, --check and --export");
    if (p->deep && !p->check)
        return dk_fail(err, DK_EUSAGE, "--deep belongs to --check");
    if (p->model && !p->export)
        return dk_fail(err, DK_EUSAGE, "--model belongs to --export");
    if (p->export)
        return run_export(p, n, files, err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_h5_info_print(files[i], form, err);
    /* A file that cannot be had is a failure, one that is not good has not passed. */
    return p->check && rc < 0 && rc != DK_EIO && rc != DK_ENOMEM ? DK_ECHECK : rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-info", .purpose = "tell what is in a dk file", .algo = 1,
    .usage = "[options] FILE...", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = -1, .run = run,
};
