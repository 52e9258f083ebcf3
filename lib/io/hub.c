#include "io/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "io/hubcache.h"
#include "io/json.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"

static const int64_t MAX_LIST = 64 << 20;               /* bytes of a listing */
static const int64_t MAX_SMALL = 512 << 20;             /* of a file that holds no weights */
static const int64_t MAX_WEIGHTS = (int64_t)1 << 40;    /* of one that does */

typedef struct hub {
    const dk_hub_options *o;
    char *repo, *inside, *revision;     /* of the id */
    char *endpoint, *token;             /* token: NULL for none */
    bool offline;
    dk_hubcache *cache;
    dk_http *http;
    dk_http_answer answer;
    char commit[41];
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
    h->repo = dk_xstrndup(id, (size_t)(rest - id));
    h->inside = rest < end ? dk_xstrndup(rest + 1, (size_t)(end - rest - 1)) : dk_xstrdup("");
    h->revision = dk_xstrdup(at ? at + 1 : "main");
    return (rest == end || dk_hub_path_ok(h->inside)) && revision_ok(h->revision);
}

static void free_id(hub *h)
{
    dk_free(h->repo);
    dk_free(h->inside);
    dk_free(h->revision);
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
        h->token = dk_xstrndup(s, n);
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
    h->endpoint = dk_xstrndup(env, n);
    return 0;
}

/* ---- what the hub answers ---------------------------------------------- */

static int closed(const hub *h, const char *code, dk_err *err)
{
    if (strcmp(code, "GatedRepo") == 0)
        return dk_fail(err, DK_EIO, "%s is gated: accept its terms on the hub, and set HF_TOKEN to a token "
                       "of the account that did%s", h->repo,
                       h->token ? " (the one that is set belongs to none that may read it)" : "");
    if (h->token)
        return dk_fail(err, DK_EIO, "the hub does not show %s to the account of this HF_TOKEN: is the name "
                       "right, and the token still valid?", h->repo);
    return dk_fail(err, DK_EIO, "there is no local path %s, and the hub does not show such a model without a "
                   "token: another name, or private (then set HF_TOKEN)", h->repo);
}

/* An answer that is not what was asked for; file: NULL for the listing. */
static int refused(const hub *h, const char *file, dk_err *err)
{
    const int status = h->answer.status;
    char code[64];

    if (!dk_http_header(&h->answer, "x-error-code", code, sizeof code))
        code[0] = 0;
    if (status == 401 || status == 403)
        return closed(h, code, err);
    if (status == 404 && strcmp(code, "RevisionNotFound") == 0)
        return dk_fail(err, DK_EIO, "%s has no revision '%s'", h->repo, h->revision);
    if (status == 404 && file)
        return dk_fail(err, DK_EIO, "the hub lists %s of %s but does not have it", file, h->repo);
    if (status == 404)
        return dk_fail(err, DK_EIO, "there is neither a local path nor a model on the hub called %s", h->repo);
    if (status == 429)
        return dk_fail(err, DK_EIO, "the hub has had too many requests (429): try again later%s",
                       h->token ? "" : "; with HF_TOKEN it allows more");
    return dk_fail(err, DK_EIO, "the hub answers with status %d when asked for %s%s%s", status,
                   file ? file : "the files", " of ", h->repo);
}

/* An ETag that is a digest: 64 digits of SHA-256 or 40 of a git blob. */
static bool etag_digest(const dk_http_answer *a, char digest[65])
{
    char text[128], *s = text;
    size_t n;

    if (!dk_http_header(a, "x-linked-etag", text, sizeof text) && !dk_http_header(a, "etag", text, sizeof text))
        return false;
    s += strncmp(s, "W/", 2) == 0 ? 2 : 0;
    s += *s == '"';
    n = strspn(s, "0123456789abcdef");
    if ((n != 40 && n != 64) || s[n + (s[n] == '"')])
        return false;
    memcpy(digest, s, n);
    digest[n] = 0;
    return true;
}

static int64_t announced_size(const dk_http_answer *a)
{
    char text[32], *end;
    long long n;

    if (!dk_http_header(a, "x-linked-size", text, sizeof text) &&
        !(a->status == 200 && dk_http_header(a, "content-length", text, sizeof text)))
        return -1;
    errno = 0;
    n = strtoll(text, &end, 10);
    return errno || *end || end == text || n < 0 ? -1 : n;
}

/* ---- one file ---------------------------------------------------------- */

typedef struct blob {
    const char *file;
    char *url, *path, *part;        /* part: path while it is incomplete */
    char digest[65];
    int64_t size;
} blob;

/* Asks what the file is, and refuses what cannot be true. */
static int look_up(hub *h, blob *b, dk_err *err)
{
    const int64_t max = dk_hub_is_weights(b->file) ? MAX_WEIGHTS : MAX_SMALL;
    char commit[64];
    int rc = dk_http_head(h->http, b->url, h->token, &h->answer, err);

    if (rc < 0)
        return rc;
    if (h->answer.status != 200 && (h->answer.status < 300 || h->answer.status > 399))
        return refused(h, b->file, err);
    if (dk_http_header(&h->answer, "x-repo-commit", commit, sizeof commit) && strcmp(commit, h->commit) != 0)
        return dk_fail(err, DK_EDATA, "%s of %s: the hub answers for another commit than it was asked for",
                       b->file, h->repo);
    if (!etag_digest(&h->answer, b->digest))
        return dk_fail(err, DK_EDATA, "%s of %s: the hub gives no digest to check the file with", b->file,
                       h->repo);
    if ((b->size = announced_size(&h->answer)) < 0)
        return dk_fail(err, DK_EDATA, "%s of %s: the hub does not say how large the file is", b->file, h->repo);
    if (b->size > max)
        return dk_fail(err, DK_EDATA, "%s of %s: the hub announces %lld bytes, more than such a file can have",
                       b->file, h->repo, (long long)b->size);
    return 0;
}

static int enough_space(const blob *b, int fd, dk_err *err)
{
    struct statvfs fs;
    struct stat st;
    int64_t need;

    if (fstat(fd, &st) != 0 || fstatvfs(fd, &fs) != 0)
        return 0;
    need = b->size - (st.st_size < b->size ? st.st_size : b->size);
    if ((double)need <= (double)fs.f_bavail * (double)fs.f_frsize)
        return 0;
    return dk_fail(err, DK_EIO, "%s needs %.1f GB more; where %s lies there are %.1f GB left", b->file,
                   (double)need / 1e9, b->path, (double)fs.f_bavail * (double)fs.f_frsize / 1e9);
}

static int digest_of(const char *path, const blob *b, char digest[65], dk_err *err)
{
    return strlen(b->digest) == 40 ? dk_gitblob_file(path, digest, err) : dk_sha256_file(path, digest, err);
}

static void count(void *arg, double bytes) { dk_progress_add(arg, bytes / 1e6); }

static int empty(int fd, const blob *b, dk_err *err)
{
    return ftruncate(fd, 0) != 0 ? dk_fail_errno(err, "cannot write %s", b->part) : 0;
}

/* The bytes into b->part.  What cannot be their beginning is thrown away. */
static int receive(hub *h, const blob *b, int fd, dk_err *err)
{
    dk_progress p;
    struct stat st;
    int rc;

    dk_progress_begin(&p, b->file, "MB", (double)b->size / 1e6);
    rc = dk_http_download(h->http, b->url, h->token, fd, b->size, count, &p, &h->answer, err);
    if (rc == 0 && h->answer.status == 416) {
        if ((rc = empty(fd, b, err)) == 0)
            rc = dk_http_download(h->http, b->url, h->token, fd, b->size, NULL, NULL, &h->answer, err);
    }
    dk_progress_end(&p);
    if (rc == DK_EFORMAT || h->answer.status == 416)
        unlink(b->part);
    if (rc < 0)
        return rc;
    if (h->answer.status < 200 || h->answer.status > 299)
        return refused(h, b->file, err);
    if (fstat(fd, &st) != 0 || st.st_size != b->size)
        return dk_fail(err, DK_EIO, "%s of %s came with another size than it was announced with", b->file,
                       h->repo);
    return 0;
}

/* Until the digest is right: what an earlier call left may be of another file,
 * and is then fetched once more from its beginning. */
static int receive_checked(hub *h, const blob *b, int fd, dk_err *err)
{
    struct stat st;
    bool resumed = fstat(fd, &st) == 0 && st.st_size > 0;
    char digest[65];
    int rc;

    if (resumed)
        dk_log(DK_INFO, "%s: going on after %.1f MB", b->file, (double)st.st_size / 1e6);
    for (;;) {
        if ((rc = receive(h, b, fd, err)) < 0 || (rc = digest_of(b->part, b, digest, err)) < 0)
            return rc;
        if (strcmp(digest, b->digest) == 0)
            return 0;
        if (!resumed)
            break;
        dk_log(DK_WARN, "%s: what an earlier call had left does not fit; fetching all of it", b->file);
        resumed = false;
        if ((rc = empty(fd, b, err)) < 0)
            return rc;
    }
    unlink(b->part);
    return dk_fail(err, DK_EDATA, "%s of %s has the digest %.16s..., the hub announced %.16s...: damaged on its "
                   "way or replaced; it was deleted", b->file, h->repo, digest, b->digest);
}

static int write_blob(hub *h, const blob *b, dk_err *err)
{
    const int fd = open(b->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int rc = fd < 0 ? dk_fail_errno(err, "cannot write %s", b->part) : 0;

    if (rc == 0)
        rc = enough_space(b, fd, err);
    if (rc == 0)
        rc = receive_checked(h, b, fd, err);
    if (rc == 0 && (fsync(fd) != 0 || rename(b->part, b->path) != 0))
        rc = dk_fail_errno(err, "cannot write %s", b->path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static bool blob_there(const blob *b)
{
    struct stat st;

    return stat(b->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == b->size;
}

static int fetch_blob(hub *h, blob *b, dk_err *err)
{
    int lock = -1, rc = look_up(h, b, err);

    if (rc < 0)
        return rc;
    b->path = dk_hubcache_blob(h->cache, b->digest);
    b->part = dk_xasprintf("%s.incomplete", b->path);
    if ((rc = dk_hubcache_lock(h->cache, b->digest, &lock, err)) < 0)
        return rc;
    if (!blob_there(b))
        rc = write_blob(h, b, err);
    if (rc == 0)
        rc = dk_hubcache_link(h->cache, h->commit, b->file, b->digest, err);
    close(lock);
    return rc;
}

static int fetch_file(hub *h, const char *file, dk_err *err)
{
    dk_buf url = {0};
    blob b = { .file = file };
    int rc;

    if (dk_hubcache_has(h->cache, h->commit, file))
        return 0;
    dk_buf_addf(&url, "%s/%s/resolve/%s/", h->endpoint, h->repo, h->commit);
    dk_http_escape(&url, file, true);
    b.url = url.s;
    rc = fetch_blob(h, &b, err);
    dk_buf_free(&url);
    dk_free(b.path);
    dk_free(b.part);
    return rc;
}

static int fetch_all(hub *h, const dk_hublist *files, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < files->n; i++)
        rc = fetch_file(h, files->v[i], err);
    return rc;
}

/* ---- a model ----------------------------------------------------------- */

static dk_hubwish wish_of(const hub *h)
{
    return (dk_hubwish){ h->repo, h->inside, h->o->n_include, h->o->include };
}

/* With an index among them the weights are what that names. */
static int read_index(hub *h, dk_hubpick *p, dk_err *err)
{
    char *path;
    int rc;

    if (!p->index)
        return 0;
    path = dk_hubcache_snapshot(h->cache, h->commit, p->index);
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

    if (!dk_hubcache_commit(h->cache, h->revision, h->commit))
        return DK_EDATA;
    dk_hubcache_list(h->cache, h->commit, &files);
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
                   "fetch it%s%s", h->repo, h->revision, dk_hubcache_root(h->cache), why.code ? ": " : "",
                   why.msg);
}

/* The commit and the files, from the hub's listing. */
static int read_listing(hub *h, const dk_json *root, dk_hublist *files, dk_err *err)
{
    const dk_json *siblings = dk_json_get(root, "siblings");
    const char *sha = dk_json_str(dk_json_get(root, "sha"), "");

    if (!dk_hub_is_commit(sha) || dk_json_type(siblings) != DK_JSON_ARRAY)
        return dk_fail(err, DK_EFORMAT, "the hub's listing of %s names no commit or no files", h->repo);
    if (dk_hub_is_commit(h->revision) && strcmp(sha, h->revision) != 0)
        return dk_fail(err, DK_EDATA, "%s: the hub answers for another commit than it was asked for", h->repo);
    memcpy(h->commit, sha, 41);
    for (size_t i = 0; i < dk_json_len(siblings); i++) {
        const dk_json *name = dk_json_get(dk_json_at(siblings, i), "rfilename");
        const char *s = dk_json_str(name, "");

        if (strlen(s) != dk_json_len(name) || !dk_hub_path_ok(s))
            return dk_fail(err, DK_EDATA, "%s: the hub lists a file whose path cannot be one in a repository",
                           h->repo);
        dk_hublist_add(files, s);
    }
    return 0;
}

static int list_files(hub *h, dk_hublist *files, dk_err *err)
{
    dk_buf url = {0}, body = {0};
    dk_json *root = NULL;
    int rc;

    dk_buf_addf(&url, "%s/api/models/%s/revision/", h->endpoint, h->repo);
    dk_http_escape(&url, h->revision, false);
    rc = dk_http_get(h->http, url.s, h->token, (size_t)MAX_LIST, &body, &h->answer, err);
    if (rc == 0 && h->answer.status != 200)
        rc = refused(h, NULL, err);
    if (rc == 0)
        rc = dk_json_parse(&root, body.n ? body.s : "", body.n, "the hub's listing", err);
    if (rc == 0)
        rc = read_listing(h, root, files, err);
    dk_json_free(&root);
    dk_buf_free(&url);
    dk_buf_free(&body);
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
            rc = dk_fail(err, DK_EDATA, "%s lacks %s, which its index names", h->repo, p.weights.v[i]);
    if (rc == 0)
        rc = fetch_all(h, &p.weights, err);
    dk_hubpick_free(&p);
    return rc;
}

static int from_hub(hub *h, dk_err *err)
{
    dk_hublist files = {0};
    int rc = dk_http_new(&h->http, &h->o->limits, err);

    if (rc == 0)
        rc = list_files(h, &files, err);
    if (rc == 0)
        rc = fetch_picked(h, &files, err);
    if (rc == 0 && !dk_hub_is_commit(h->revision))
        rc = dk_hubcache_set_ref(h->cache, h->revision, h->commit, err);
    dk_hublist_free(&files);
    return rc;
}

static int fetch(hub *h, dk_err *err)
{
    bool tokenizer = false;
    int rc = dk_hubcache_open(&h->cache, h->repo, err);

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
        *path = dk_hubcache_snapshot(h.cache, h.commit, h.inside);
    dk_http_answer_free(&h.answer);
    dk_http_free(&h.http);
    dk_hubcache_close(&h.cache);
    dk_free(h.endpoint);
    dk_free(h.token);
    free_id(&h);
    return rc;
}
