/* dk-info: look into any dk file. */
#include <stdbool.h>

#include "cli/tool.h"
#include "io/h5info.h"

struct params { bool lineage, json, check; };

static const dk_opt opts[] = {
    DK_FLAG(struct params, 'j', "json",    json,    "one JSON object for each file"),
    DK_FLAG(struct params, 'l', "lineage", lineage, "the tree of inputs, as far as the file tells"),
    DK_FLAG(struct params, 0,   "check",   check,   "read and verify everything in the file"),
    DK_END
};

static int run(dk_ctx *ctx, const void *vp, int n, char **files, dk_err *err)
{
    const struct params *p = vp;
    int rc = 0;

    (void)ctx;
    if (p->lineage + p->json + p->check > 1)
        return dk_fail(err, DK_EUSAGE, "choose one of --json, --lineage and --check");
    for (int i = 0; rc == 0 && i < n; i++)
        rc = dk_h5_info_print(files[i], p->json ? DK_INFO_JSON : p->lineage ? DK_INFO_LINEAGE
                              : p->check ? DK_INFO_CHECK : DK_INFO_TEXT, err);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-info", .purpose = "tell what is in a dk file", .algo = 1,
    .usage = "[options] FILE...", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = -1, .run = run,
};
