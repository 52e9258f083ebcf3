#include "io/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/hubside.h"
#include "io/json.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"

enum { MAX_LIST = 64 << 20 };           /* bytes of a listing */

typedef struct hub {
    const dk_hub_options *o;
    char *inside;                       /* of the id */
    bool offline;
    dk_hubside side;
} hub;

/* ---- ids --------------------------------------------------------------- */

static bool word_ok(const char *s, size_t n)
{
    return n > 0 && n <= 96 && s[0] != '.' && s[0] != '-' && s[n - 1] != '.' &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") >= n &&
           !memmem(s, n, "..", 2) && !memmem(s, n, "--", 2);
}

static bool revision_ok(const char *s)
{
    return dk_hub_path_ok(s) && strlen(s) <= 200 &&
           !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/+")];
}

/* Fills repo, inside and revision; false leaves them to be freed as well. */
static bool parse_id(hub *h, const char *id)
{
    const char *at = strchr(id, '@'), *end = at ? at : id + strlen(id), *slash = strchr(id, '/'), *rest;

    if (!slash || slash > end)
        return false;
    rest = memchr(slash + 1, '/', (size_t)(end - slash - 1));
    rest = rest ? rest : end;
    if (!word_ok(id, (size_t)(slash - id)) || !word_ok(slash + 1, (size_t)(rest - slash - 1)))
        return false;
    h->side.repo = dk_xstrndup(id, (size_t)(rest - id));
    h->inside = rest < end ? dk_xstrndup(rest + 1, (size_t)(end - rest - 1)) : dk_xstrdup("");
    h->side.revision = dk_xstrdup(at ? at + 1 : "main");
    return (rest == end || dk_hub_path_ok(h->inside)) && revision_ok(h->side.revision);
}

static void free_id(hub *h)
{
    dk_free(h->side.repo);
    dk_free(h->inside);
    dk_free(h->side.revision);
}

bool dk_hub_is_id(const char *text)
{
    hub h = {0};
    const bool is = parse_id(&h, text);

    free_id(&h);
    return is;
}

/* ---- the environment --------------------------------------------------- */

static bool env_true(const char *name)
{
    const char *v = getenv(name);

    return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0 || strcasecmp(v, "yes") == 0 ||
                 strcasecmp(v, "on") == 0);
}

static char *first_line(const char *path)
{
    char text[1024] = "";
    FILE *f = fopen(path, "re");

    if (f && !fgets(text, sizeof text, f))
        text[0] = 0;
    if (f)
        fclose(f);
    return dk_xstrdup(text);
}

static char *token_text(void)
{
    const char *env = getenv("HF_TOKEN"), *at = getenv("HF_TOKEN_PATH");
    char *home, *path, *text;

    if (env && env[strspn(env, " \t\r\n")])
        return dk_xstrdup(env);
    if (at && *at)
        return first_line(at);
    if (!(home = dk_hubcache_home()))
        return dk_xstrdup("");
    path = dk_xasprintf("%s/token", home);
    text = first_line(path);
    dk_free(home);
    dk_free(path);
    return text;
}

static int find_token(hub *h, dk_err *err)
{
    char *text = token_text();
    const char *s = text + strspn(text, " \t\r\n");
    size_t n = strlen(s);
    int rc = 0;

    while (n > 0 && strchr(" \t\r\n", s[n - 1]))
        n--;
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (s[i] <= ' ' || s[i] > '~')
            rc = dk_fail(err, DK_EUSAGE, "HF_TOKEN, or the file that stands for it, holds a character "
                         "that no token has");
    if (rc == 0 && n > 0)
        h->side.token = dk_xstrndup(s, n);
    dk_free(text);
    return rc;
}

static int find_endpoint(hub *h, dk_err *err)
{
    const char *env = getenv("HF_ENDPOINT");
    size_t n;

    env = env && *env ? env : DEFAULT_ENDPOINT;
    if ((strncmp(env, "https://", 8) != 0 && strncmp(env, "http://", 7) != 0) || strpbrk(env, " \t\r\n@?#"))
        return dk_fail(err, DK_EUSAGE, "HF_ENDPOINT is not the address of a hub: it begins with http:// or "
                       "https:// and holds no account");
    for (n = strlen(env); n > 0 && env[n - 1] == '/'; n--)
        ;
    h->side.endpoint = dk_xstrndup(env, n);
    return 0;
}

/* ---- a model ----------------------------------------------------------- */

static dk_hubwish wish_of(const hub *h)
{
    return (dk_hubwish){ h->side.repo, h->inside, h->o->n_include, h->o->include };
}

/* With an index among them the weights are what that names. */
static int read_index(hub *h, dk_hubpick *p, dk_err *err)
{
    char *path;
    int rc;

    if (!p->index)
        return 0;
    path = dk_hubcache_snapshot(h->side.cache, h->side.commit, p->index);
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

    if (!dk_hubcache_commit(h->side.cache, h->side.revision, h->side.commit))
        return DK_EDATA;
    dk_hubcache_list(h->side.cache, h->side.commit, &files);
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
                   "fetch it%s%s", h->side.repo, h->side.revision, dk_hubcache_root(h->side.cache),
                   why.code ? ": " : "", why.msg);
}

/* The commit and the files, from the hub's listing. */
static int read_listing(hub *h, const dk_json *root, dk_hublist *files, dk_err *err)
{
    const dk_json *siblings = dk_json_get(root, "siblings");
    const char *sha = dk_json_str(dk_json_get(root, "sha"), "");

    if (!dk_hub_is_commit(sha) || dk_json_type(siblings) != DK_JSON_ARRAY)
        return dk_fail(err, DK_EFORMAT, "the hub's listing of %s names no commit or no files", h->side.repo);
    if (dk_hub_is_commit(h->side.revision) && strcmp(sha, h->side.revision) != 0)
        return dk_fail(err, DK_EDATA, "%s: the hub answers for another commit than it was asked for",
                       h->side.repo);
    memcpy(h->side.commit, sha, 41);
    for (size_t i = 0; i < dk_json_len(siblings); i++) {
        const dk_json *name = dk_json_get(dk_json_at(siblings, i), "rfilename");
        const char *s = dk_json_str(name, "");

        if (strlen(s) != dk_json_len(name) || !dk_hub_path_ok(s))
            return dk_fail(err, DK_EDATA, "%s: the hub lists a file whose path cannot be one in a repository",
                           h->side.repo);
        dk_hublist_add(files, s);
    }
    return 0;
}

static int list_files(hub *h, dk_hublist *files, dk_err *err)
{
    dk_buf url = {0}, body = {0};
    dk_json *root = NULL;
    int rc;

    dk_buf_addf(&url, "%s/api/models/%s/revision/", h->side.endpoint, h->side.repo);
    dk_http_escape(&url, h->side.revision, false);
    rc = dk_http_get(h->side.http, url.s, h->side.token, (size_t)MAX_LIST, &body, &h->side.answer, err);
    if (rc == 0 && h->side.answer.status != 200)
        rc = dk_hubside_refused(&h->side, NULL, err);
    if (rc == 0)
        rc = dk_json_parse(&root, body.n ? body.s : "", body.n, "the hub's listing", err);
    if (rc == 0)
        rc = read_listing(h, root, files, err);
    dk_json_free(&root);
    dk_buf_free(&url);
    dk_buf_free(&body);
    return rc;
}

static int fetch_all(hub *h, const dk_hublist *files, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < files->n; i++)
        rc = dk_hubside_fetch(&h->side, files->v[i], err);
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
            rc = dk_fail(err, DK_EDATA, "%s lacks %s, which its index names", h->side.repo, p.weights.v[i]);
    if (rc == 0)
        rc = fetch_all(h, &p.weights, err);
    dk_hubpick_free(&p);
    return rc;
}

static int from_hub(hub *h, dk_err *err)
{
    dk_hublist files = {0};
    int rc = dk_http_new(&h->side.http, &h->o->limits, err);

    if (rc == 0)
        rc = list_files(h, &files, err);
    if (rc == 0)
        rc = fetch_picked(h, &files, err);
    if (rc == 0 && !dk_hub_is_commit(h->side.revision))
        rc = dk_hubcache_set_ref(h->side.cache, h->side.revision, h->side.commit, err);
    dk_hublist_free(&files);
    return rc;
}

static int fetch(hub *h, dk_err *err)
{
    bool tokenizer = false;
    int rc = dk_hubcache_open(&h->side.cache, h->side.repo, err);

    if (rc < 0)
        return rc;
    if (h->offline)
        return from_cache(h, err);
    if (!h->o->update && h->o->n_include == 0 && in_cache(h, &tokenizer, NULL) == 0 && tokenizer)
        return 0;
    if ((rc = find_endpoint(h, err)) == 0)
        rc = find_token(h, err);
    return rc == 0 ? from_hub(h, err) : rc;
}

int dk_hub_fetch(char **path, const char *id, const dk_hub_options *o, dk_err *err)
{
    hub h = { .o = o, .offline = o->offline || env_true("HF_HUB_OFFLINE") };
    int rc = 0;

    *path = NULL;
    if (!parse_id(&h, id))
        rc = dk_fail(err, DK_EUSAGE, "'%s' is not owner/name[/folder][@revision]", id);
    if (rc == 0)
        rc = fetch(&h, err);
    if (rc == 0)
        *path = dk_hubcache_snapshot(h.side.cache, h.side.commit, h.inside);
    dk_http_answer_free(&h.side.answer);
    dk_http_free(&h.side.http);
    dk_hubcache_close(&h.side.cache);
    dk_free(h.side.endpoint);
    dk_free(h.side.token);
    free_id(&h);
    return rc;
}
