#include "io/hubside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"

static const int64_t MAX_SMALL = 512 << 20;             /* bytes of a file that holds no weights */
static const int64_t MAX_WEIGHTS = (int64_t)1 << 40;    /* of one that does, or rows */

/* ---- what the hub answers ---------------------------------------------- */

static const char *what(const dk_hubside *h) { return h->data ? "data set" : "model"; }

static int closed(const dk_hubside *h, const char *code, dk_err *err)
{
    if (strcmp(code, "GatedRepo") == 0)
        return dk_fail(err, DK_EIO, "%s is gated: accept its terms on the hub, and set HF_TOKEN to a token "
                       "of the account that did%s", h->repo,
                       h->token ? " (the one that is set belongs to none that may read it)" : "");
    if (h->token)
        return dk_fail(err, DK_EIO, "the hub does not show %s to the account of this HF_TOKEN: is the name "
                       "right, and the token still valid?", h->repo);
    return dk_fail(err, DK_EIO, "there is no local path %s, and the hub does not show such a %s without a "
                   "token: another name, or private (then set HF_TOKEN)", h->repo, what(h));
}

int dk_hubside_refused(const dk_hubside *h, const char *file, dk_err *err)
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
        return dk_fail(err, DK_EIO, "there is neither a local path nor a %s on the hub called %s", what(h), h->repo);
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
static int look_up(dk_hubside *h, blob *b, dk_err *err)
{
    const int64_t max = h->data || dk_hub_is_weights(b->file) ? MAX_WEIGHTS : MAX_SMALL;
    char commit[64];
    int rc = dk_http_head(h->http, b->url, h->token, &h->answer, err);

    if (rc < 0)
        return rc;
    if (h->answer.status != 200 && (h->answer.status < 300 || h->answer.status > 399))
        return dk_hubside_refused(h, b->file, err);
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
static int receive(dk_hubside *h, const blob *b, int fd, dk_err *err)
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
        return dk_hubside_refused(h, b->file, err);
    if (fstat(fd, &st) != 0 || st.st_size != b->size)
        return dk_fail(err, DK_EIO, "%s of %s came with another size than it was announced with", b->file,
                       h->repo);
    return 0;
}

/* Until the digest is right: what an earlier call left may be of another file,
 * and is then fetched once more from its beginning. */
static int receive_checked(dk_hubside *h, const blob *b, int fd, dk_err *err)
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

static int write_blob(dk_hubside *h, const blob *b, dk_err *err)
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

static int fetch_blob(dk_hubside *h, blob *b, dk_err *err)
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

int dk_hubside_fetch(dk_hubside *h, const char *file, dk_err *err)
{
    dk_buf url = {0};
    blob b = { .file = file };
    int rc;

    if (dk_hubcache_has(h->cache, h->commit, file))
        return 0;
    dk_buf_addf(&url, "%s/%s%s/resolve/%s/", h->endpoint, h->data ? "datasets/" : "", h->repo, h->commit);
    dk_http_escape(&url, file, true);
    b.url = url.s;
    rc = fetch_blob(h, &b, err);
    dk_buf_free(&url);
    dk_free(b.path);
    dk_free(b.part);
    return rc;
}
