#include "io/hub.h"

#include <string.h>

#include "io/hubrepo.h"

typedef struct hub {
    dk_hubrepo repo;
    const dk_hub_options *o;
} hub;

/* ---- a model ----------------------------------------------------------- */

static dk_hubwish wish_of(const hub *h)
{
    return (dk_hubwish){ h->repo.side.repo, h->repo.inside, h->o->n_include, h->o->include };
}

/* With an index among them the weights are what that names. */
static int read_index(hub *h, dk_hubpick *p, dk_err *err)
{
    char *path;
    int rc;

    if (!p->index)
        return 0;
    path = dk_hubcache_snapshot(h->repo.side.cache, h->repo.side.commit, p->index);
    rc = dk_hubpick_shards(p, path, err);
    dk_free(path);
    return rc;
}

/* Are the weights here, and what they need?  *tokenizer: and what chats and texts need? */
static int in_cache(hub *h, bool *tokenizer, dk_err *err)
{
    const dk_hubwish w = wish_of(h);
    dk_hublist files = {0};
    dk_hubpick p = {0};
    int rc;

    if (!dk_hubcache_commit(h->repo.side.cache, h->repo.side.revision, h->repo.side.commit))
        return DK_EDATA;
    dk_hubcache_list(h->repo.side.cache, h->repo.side.commit, &files);
    rc = dk_hubpick_from(&p, &files, &w, err);
    if (rc == 0)
        rc = read_index(h, &p, err);
    for (size_t i = 0; rc == 0 && i < p.weights.n; i++)
        if (!dk_hublist_has(&files, p.weights.v[i]))
            rc = dk_fail(err, DK_EDATA, "%s is missing", p.weights.v[i]);
    *tokenizer = p.tokenizer || p.adapter;
    dk_hubpick_free(&p);
    dk_hublist_free(&files);
    return rc;
}

static int from_cache(hub *h, dk_err *err)
{
    bool tokenizer;
    dk_err why = {0};

    if (in_cache(h, &tokenizer, &why) == 0)
        return 0;
    return dk_fail(err, DK_EIO, "%s@%s is not, or not whole, in %s, and --offline (HF_HUB_OFFLINE) forbids to "
                   "fetch it%s%s", h->repo.side.repo, h->repo.side.revision, dk_hubcache_root(h->repo.side.cache),
                   why.code ? ": " : "", why.msg);
}

/* The commit and the files, from the hub's listing. */
static int read_listing(hub *h, const dk_json *root, dk_hublist *files, dk_err *err)
{
    const dk_json *siblings = dk_json_get(root, "siblings");
    int rc = 0;

    if (dk_json_type(siblings) != DK_JSON_ARRAY)
        return dk_fail(err, DK_EFORMAT, "the hub's listing of %s names no commit or no files", h->repo.side.repo);
    rc = dk_hubrepo_commit(&h->repo, root, err);
    for (size_t i = 0; rc == 0 && i < dk_json_len(siblings); i++)
        rc = dk_hubrepo_add(&h->repo, files, dk_json_get(dk_json_at(siblings, i), "rfilename"), err);
    return rc;
}

static int list_files(hub *h, dk_hublist *files, dk_err *err)
{
    dk_json *root = NULL;
    dk_buf url = {0};
    int rc;

    dk_buf_addf(&url, "%s/api/models/%s/revision/", h->repo.side.endpoint, h->repo.side.repo);
    dk_http_escape(&url, h->repo.side.revision, false);
    rc = dk_hubrepo_ask(&h->repo, url.s, &root, err);
    if (rc == 0)
        rc = read_listing(h, root, files, err);
    dk_json_free(&root);
    dk_buf_free(&url);
    return rc;
}

static int fetch_all(hub *h, const dk_hublist *files, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < files->n; i++)
        rc = dk_hubside_fetch(&h->repo.side, files->v[i], err);
    return rc;
}

/* Weights come last: a snapshot that has them has all that belongs to them. */
static int fetch_picked(hub *h, const dk_hublist *files, dk_err *err)
{
    const dk_hubwish w = wish_of(h);
    dk_hubpick p = {0};
    int rc = dk_hubpick_from(&p, files, &w, err);

    if (rc == 0)
        rc = fetch_all(h, &p.small, err);
    if (rc == 0)
        rc = read_index(h, &p, err);
    for (size_t i = 0; rc == 0 && i < p.weights.n; i++)
        if (!dk_hublist_has(files, p.weights.v[i]))
            rc = dk_fail(err, DK_EDATA, "%s lacks %s, which its index names", h->repo.side.repo, p.weights.v[i]);
    if (rc == 0)
        rc = fetch_all(h, &p.weights, err);
    dk_hubpick_free(&p);
    return rc;
}

static int from_hub(hub *h, dk_err *err)
{
    dk_hublist files = {0};
    int rc = dk_hubrepo_connect(&h->repo, &h->o->limits, err);

    if (rc == 0)
        rc = list_files(h, &files, err);
    if (rc == 0)
        rc = fetch_picked(h, &files, err);
    if (rc == 0)
        rc = dk_hubrepo_keep(&h->repo, err);
    dk_hublist_free(&files);
    return rc;
}

static int fetch(hub *h, dk_err *err)
{
    bool tokenizer = false;

    if (h->repo.offline)
        return from_cache(h, err);
    if (!h->o->update && h->o->n_include == 0 && in_cache(h, &tokenizer, NULL) == 0 && tokenizer)
        return 0;
    return from_hub(h, err);
}

int dk_hub_fetch(char **path, const char *id, const dk_hub_options *o, dk_err *err)
{
    hub h = { .o = o };
    int rc = dk_hubrepo_open(&h.repo, id, false, o->offline, err);

    *path = NULL;
    if (rc == 0)
        rc = fetch(&h, err);
    if (rc == 0)
        *path = dk_hubcache_snapshot(h.repo.side.cache, h.repo.side.commit, h.repo.inside);
    dk_hubrepo_close(&h.repo);
    return rc;
}
