#include "io/hubrepo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/hub.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"

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
static bool parse_id(dk_hubrepo *h, const char *id)
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

static void free_id(dk_hubrepo *h)
{
    dk_free(h->side.repo);
    dk_free(h->inside);
    dk_free(h->side.revision);
}

bool dk_hub_is_id(const char *text)
{
    dk_hubrepo h = {0};
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

static int find_token(dk_hubrepo *h, dk_err *err)
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

static int find_endpoint(dk_hubrepo *h, dk_err *err)
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

/* ---- together ---------------------------------------------------------- */

int dk_hubrepo_open(dk_hubrepo *h, const char *id, bool data, bool offline, dk_err *err)
{
    *h = (dk_hubrepo){ .offline = offline || env_true("HF_HUB_OFFLINE"), .side.data = data };
    if (!parse_id(h, id))
        return dk_fail(err, DK_EUSAGE, "'%s' is not owner/name[/folder][@revision]", id);
    return dk_hubcache_open(&h->side.cache, h->side.repo, data, err);
}

int dk_hubrepo_connect(dk_hubrepo *h, const dk_http_limits *limits, dk_err *err)
{
    int rc = find_endpoint(h, err);

    if (rc == 0)
        rc = find_token(h, err);
    return rc == 0 ? dk_http_new(&h->side.http, limits, err) : rc;
}

int dk_hubrepo_ask(dk_hubrepo *h, const char *url, dk_json **root, dk_err *err)
{
    enum { MAX_LIST = 64 << 20 };       /* bytes of a listing */
    dk_buf body = {0};
    int rc = dk_http_get(h->side.http, url, h->side.token, (size_t)MAX_LIST, &body, &h->side.answer, err);

    if (rc == 0 && h->side.answer.status != 200)
        rc = dk_hubside_refused(&h->side, NULL, err);
    if (rc == 0)
        rc = dk_json_parse(root, body.n ? body.s : "", body.n, "the hub's listing", err);
    dk_buf_free(&body);
    return rc;
}

int dk_hubrepo_commit(dk_hubrepo *h, const dk_json *root, dk_err *err)
{
    const char *sha = dk_json_str(dk_json_get(root, "sha"), "");

    if (!dk_hub_is_commit(sha))
        return dk_fail(err, DK_EFORMAT, "the hub's listing of %s names no commit or no files", h->side.repo);
    if (dk_hub_is_commit(h->side.revision) && strcmp(sha, h->side.revision) != 0)
        return dk_fail(err, DK_EDATA, "%s: the hub answers for another commit than it was asked for",
                       h->side.repo);
    memcpy(h->side.commit, sha, 41);
    return 0;
}

int dk_hubrepo_add(const dk_hubrepo *h, dk_hublist *files, const dk_json *name, dk_err *err)
{
    const char *s = dk_json_str(name, "");

    if (strlen(s) != dk_json_len(name) || !dk_hub_path_ok(s))
        return dk_fail(err, DK_EDATA, "%s: the hub lists a file whose path cannot be one in a repository",
                       h->side.repo);
    dk_hublist_add(files, s);
    return 0;
}

int dk_hubrepo_keep(dk_hubrepo *h, dk_err *err)
{
    return dk_hub_is_commit(h->side.revision) ? 0
           : dk_hubcache_set_ref(h->side.cache, h->side.revision, h->side.commit, err);
}

void dk_hubrepo_close(dk_hubrepo *h)
{
    dk_http_answer_free(&h->side.answer);
    dk_http_free(&h->side.http);
    dk_hubcache_close(&h->side.cache);
    dk_free(h->side.endpoint);
    dk_free(h->side.token);
    free_id(h);
}
