#include "io/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CURL_DISABLE_TYPECHECK      /* its checks call the functions by their names */
#include <curl/curl.h>

#include "base/dynlib.h"
#include "base/log.h"

enum { MAX_REDIRECTS = 8, MAX_HEADERS = 1 << 16, CONNECT_S = 30, ENOUGH = 1 << 20 };

/* ---- the library ------------------------------------------------------- */

#define FUNCTIONS(X) \
    X(curl_global_init) X(curl_easy_init) X(curl_easy_cleanup) X(curl_easy_reset) \
    X(curl_easy_setopt) X(curl_easy_perform) X(curl_easy_getinfo) X(curl_easy_strerror) \
    X(curl_slist_append) X(curl_slist_free_all) X(curl_url) X(curl_url_cleanup) X(curl_url_set) \
    X(curl_url_get) X(curl_free)

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} lib;

static int load(dk_err *err)
{
#define STR(name) #name
#define X(name) { STR(name), offsetof(__typeof__(lib), name) },
    static const dk_dynlib_name names[] = { FUNCTIONS(X) };
#undef X
    static bool loaded;

    if (loaded)
        return 0;
    if (dk_dynlib_load(DK_CURL_SONAME, "libcurl4-openssl-dev", names, sizeof names / sizeof *names,
                       &lib, err) < 0)
        return DK_EIO;
    if (lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return dk_fail(err, DK_EIO, "cannot start libcurl");
    loaded = true;
    return 0;
}

/* ---- a request --------------------------------------------------------- */

struct dk_http {
    CURL *curl;
    dk_http_limits limits;
    const char *name;           /* the first address, for messages: later ones may hold secrets */
    char *url;                  /* of the exchange under way */
    char why[CURL_ERROR_SIZE];
};

/* Where a body goes, and what became of it. */
struct body {
    bool head;                  /* there is none, and a redirect elsewhere ends it */
    const char *post;           /* what is sent; NULL: nothing */
    size_t n_post;
    dk_buf *text;               /* into memory, or ... */
    int fd;                     /* ... at the end of this file */
    int64_t have, max;          /* bytes there, bytes allowed */
    bool started;               /* the answer was looked at */
    char etag[256];             /* of what is in the file, if the server said */
    dk_http_progress *progress;
    void *arg;
    dk_err *err;                /* a fault of ours, or of the size: no use in trying again */
    int rc;
};

struct transfer { dk_http *h; dk_http_answer *a; struct body *b; };

int dk_http_new(dk_http **out, const dk_http_limits *limits, dk_err *err)
{
    dk_http *h;

    *out = NULL;
    if (load(err) < 0)
        return DK_EIO;
    h = dk_xcalloc(1, sizeof *h);
    h->limits = *limits;
    if (!(h->curl = lib.curl_easy_init())) {
        dk_free(h);
        return dk_fail(err, DK_EIO, "cannot start libcurl");
    }
    *out = h;
    return 0;
}

void dk_http_free(dk_http **h)
{
    if (*h) {
        lib.curl_easy_cleanup((*h)->curl);
        dk_free((*h)->url);
        dk_free(*h);
        *h = NULL;
    }
}

void dk_http_answer_free(dk_http_answer *a)
{
    dk_buf_free(&a->headers);
    *a = (dk_http_answer){0};
}

bool dk_http_header(const dk_http_answer *a, const char *name, char *value, size_t size)
{
    const size_t n = strlen(name);

    for (const char *s = a->headers.n ? a->headers.s : NULL; s; s = strchr(s, '\n')) {
        const char *end;

        s += *s == '\n';
        if (strncasecmp(s, name, n) != 0 || s[n] != ':')
            continue;
        s += n + 1;
        s += strspn(s, " \t");
        end = s + strcspn(s, "\r\n");
        while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        if ((size_t)(end - s) >= size)
            return false;
        memcpy(value, s, (size_t)(end - s));
        value[end - s] = 0;
        return true;
    }
    return false;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    n *= size;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)       /* an answer after a "100 Continue" */
        dk_buf_clear(&t->a->headers);
    if (t->a->headers.n + n > MAX_HEADERS || memchr(p, 0, n)) {
        t->b->rc = dk_fail(t->b->err, DK_EFORMAT, "%s: the answer's headers make no sense", t->h->name);
        return 0;
    }
    dk_buf_add(&t->a->headers, p, n);
    return n;
}

static long status_of(dk_http *h)
{
    long status = 0;

    lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int start_again(struct body *b, const char *name)
{
    if (ftruncate(b->fd, 0) != 0)
        return dk_fail_errno(b->err, "cannot write what comes from %s", name);
    if (b->progress)
        b->progress(b->arg, -(double)b->have);
    b->have = 0;
    return 0;
}

/* "bytes 100-199/200" must be what was asked for. */
static bool range_fits(const dk_http_answer *a, int64_t from, int64_t size)
{
    char text[128], *end;
    long long first, total;

    if (!dk_http_header(a, "content-range", text, sizeof text) || strncmp(text, "bytes ", 6) != 0)
        return false;
    first = strtoll(text + 6, &end, 10);
    if (*end != '-' || !(end = strchr(end, '/')))
        return false;
    total = strcmp(end, "/*") == 0 ? size : strtoll(end + 1, &end, 10);
    return first == from && total == size;
}

/* The first bytes for a file are here: do they belong where it ends? */
static int begin_file(struct transfer *t, long status)
{
    struct body *b = t->b;

    b->started = true;
    if (!dk_http_header(t->a, "etag", b->etag, sizeof b->etag) || b->etag[0] != '"')
        b->etag[0] = 0;
    if (status == 206 && !range_fits(t->a, b->have, b->max))
        return dk_fail(b->err, DK_EFORMAT, "%s: the server sends another part, or a file of another "
                       "size, than it was asked for", t->h->name);
    if (status != 206 && b->have > 0)
        return start_again(b, t->h->name);
    return 0;
}

static int write_all(struct body *b, const char *p, size_t n, const char *name)
{
    while (n > 0) {
        const ssize_t k = pwrite(b->fd, p, n, b->have);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return dk_fail_errno(b->err, "cannot write what comes from %s", name);
        p += k;
        n -= (size_t)k;
        b->have += k;
        if (b->progress)
            b->progress(b->arg, (double)k);
    }
    return 0;
}

static int take(struct transfer *t, const char *p, size_t n)
{
    struct body *b = t->b;
    const long status = status_of(t->h);
    int rc;

    if (b->head || (!b->text && (status < 200 || status > 299)))
        return 0;                               /* an error page says nothing that we print */
    if (!b->text && !b->started && (rc = begin_file(t, status)) < 0)
        return rc;
    if ((int64_t)n > b->max - b->have)
        return dk_fail(b->err, DK_EFORMAT, "%s: the server sends more than the %lld bytes that were "
                       "%s", t->h->name, (long long)b->max, b->text ? "allowed" : "announced");
    if (!b->text)
        return write_all(b, p, n, t->h->name);
    dk_buf_add(b->text, p, n);
    b->have += (int64_t)n;
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    if (t->b->rc == 0)
        t->b->rc = take(t, p, n * size);
    return t->b->rc == 0 ? n * size : 0;
}

/* Scheme, host and port. */
static char *origin_of(const char *url)
{
    CURLU *u = lib.curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;

    if (u && lib.curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        lib.curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        lib.curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        lib.curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        origin = dk_xasprintf("%s://%s:%s", scheme, host, port);
    lib.curl_free(scheme);
    lib.curl_free(host);
    lib.curl_free(port);
    lib.curl_url_cleanup(u);
    return origin;
}

static bool same_origin(const char *a, const char *b)
{
    char *x = origin_of(a), *y = origin_of(b);
    const bool same = x && y && strcasecmp(x, y) == 0;

    dk_free(x);
    dk_free(y);
    return same;
}

static struct curl_slist *headers_for(dk_http *h, const char *token, const struct body *b)
{
    /* Or a server may compress, and then not say how large the file is. */
    struct curl_slist *list = lib.curl_slist_append(NULL, "Accept-Encoding: identity");
    char *text;

    if (token && same_origin(h->name, h->url)) {
        text = dk_xasprintf("Authorization: Bearer %s", token);
        list = lib.curl_slist_append(list, text);
        dk_free(text);
    }
    if (b->post) {
        list = lib.curl_slist_append(list, "Content-Type: application/json");
        list = lib.curl_slist_append(list, "Expect:");
    }
    if (!b->text && b->have > 0) {
        text = dk_xasprintf("Range: bytes=%lld-", (long long)b->have);
        list = lib.curl_slist_append(list, text);
        dk_free(text);
        if (b->etag[0]) {
            text = dk_xasprintf("If-Range: %s", b->etag);
            list = lib.curl_slist_append(list, text);
            dk_free(text);
        }
    }
    return list;
}

static void set_up(dk_http *h, struct transfer *t, struct curl_slist *headers)
{
    CURL *c = h->curl;
    const char *ca = getenv("CURL_CA_BUNDLE");

    lib.curl_easy_reset(c);
    lib.curl_easy_setopt(c, CURLOPT_URL, h->url);
    lib.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.curl_easy_setopt(c, CURLOPT_USERAGENT, "dk");
    lib.curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    lib.curl_easy_setopt(c, CURLOPT_NOBODY, (long)t->b->head);
    if (t->b->post) {
        lib.curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)t->h->limits.stall_s);   /* what was sent counts as speed */
        lib.curl_easy_setopt(c, CURLOPT_POST, 1L);
        lib.curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->b->n_post);
        lib.curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->b->post);
    }
    lib.curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    lib.curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)h->limits.stall_s);
    lib.curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 1L << 18);
    lib.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why);
    lib.curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    lib.curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    lib.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    lib.curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    if (ca && *ca)
        lib.curl_easy_setopt(c, CURLOPT_CAINFO, ca);
    h->why[0] = 0;
}

/* One exchange with h->url. */
static CURLcode exchange(dk_http *h, const char *token, struct body *b, dk_http_answer *a)
{
    struct transfer t = { h, a, b };
    struct curl_slist *headers = headers_for(h, token, b);
    CURLcode cc;

    b->started = false;
    dk_buf_clear(&a->headers);
    set_up(h, &t, headers);
    cc = lib.curl_easy_perform(h->curl);
    a->status = (int)status_of(h);
    lib.curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    lib.curl_slist_free_all(headers);
    return cc;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* 1: h->url is where to ask next; 0: this is the answer. */
static int redirected(dk_http *h, const struct body *b, const dk_http_answer *a, dk_err *err)
{
    char *next = NULL;

    if (b->post || !is_redirect(a->status) ||
        lib.curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &next) != CURLE_OK || !next)
        return 0;
    if (b->head && !same_origin(h->name, next))
        return 0;
    if (strncasecmp(next, "http", 4) != 0 || (strncasecmp(h->url, "https:", 6) == 0 &&
                                              strncasecmp(next, "https:", 6) != 0))
        return dk_fail(err, DK_EIO, "%s: the server leads to a protocol that is not followed", h->name);
    next = dk_xstrdup(next);
    dk_free(h->url);
    h->url = next;
    return 1;
}

/* From the first address along all redirects. */
static CURLcode follow(dk_http *h, const char *token, struct body *b, dk_http_answer *a)
{
    CURLcode cc;
    int more = 1;

    dk_free(h->url);
    h->url = dk_xstrdup(h->name);
    for (int i = 0; more; i++) {
        if (i == MAX_REDIRECTS) {
            b->rc = dk_fail(b->err, DK_EIO, "%s: the server leads in circles", h->name);
            return CURLE_OK;
        }
        if (b->text) {
            dk_buf_clear(b->text);
            b->have = 0;
        }
        if ((cc = exchange(h, token, b, a)) != CURLE_OK || b->rc < 0)
            return cc;
        if ((more = redirected(h, b, a, b->err)) < 0)
            b->rc = more;
        more = more > 0;
    }
    return CURLE_OK;
}

/* ---- again ------------------------------------------------------------- */

static bool may_pass(CURLcode cc, int status)
{
    switch (cc) {
    case CURLE_OK:
        return status == 408 || status == 429 || (status >= 500 && status != 501 && status <= 599);
    case CURLE_COULDNT_CONNECT: case CURLE_OPERATION_TIMEDOUT: case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR: case CURLE_SEND_ERROR: case CURLE_GOT_NOTHING: case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: case CURLE_SSL_CONNECT_ERROR:
        return true;
    default:
        return false;
    }
}

static void sleep_s(double s)
{
    struct timespec t = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Half a second, doubled each time; what the server asks for, if it does. */
static int wait_turn(dk_http *h, int tried, CURLcode cc, int status, dk_err *err)
{
    double s = 0.5 * (double)(1 << (tried < 5 ? tried : 5));
    curl_off_t asked = 0;

    if (cc == CURLE_OK)
        lib.curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &asked);
    if (asked > h->limits.wait_s)
        return dk_fail(err, DK_EIO, "%s: the server is busy (%d) and asks to come back in %lld s",
                       h->name, status, (long long)asked);
    if (asked > 0)
        s = (double)asked;
    if (cc == CURLE_OK)
        dk_log(DK_INFO, "%s: status %d; trying again in %.1f s", h->name, status, s);
    else
        dk_log(DK_INFO, "%s: %s; trying again in %.1f s", h->name, lib.curl_easy_strerror(cc), s);
    sleep_s(s);
    return 0;
}

static int explain(dk_http *h, CURLcode cc, const struct body *b, dk_err *err)
{
    const char *why = h->why[0] ? h->why : lib.curl_easy_strerror(cc);

    if (!b->head && !b->text && b->have > 0)
        return dk_fail(err, DK_EIO, "%s: %s, after %lld of %lld bytes", h->name, why,
                       (long long)b->have, (long long)b->max);
    return dk_fail(err, DK_EIO, "%s: %s", h->name, why);
}

/* A file that ended early, though the connection did not break. */
static bool too_short(const struct body *b, int status)
{
    return !b->head && !b->text && status >= 200 && status <= 299 && b->have < b->max;
}

static int request(dk_http *h, const char *url, const char *token, struct body *b, dk_http_answer *a)
{
    int64_t last = b->have;

    h->name = url;
    for (int tried = 0; ; tried++) {
        CURLcode cc = follow(h, token, b, a);

        if (b->rc < 0)
            return b->rc;
        if (cc == CURLE_OK && too_short(b, a->status))
            cc = CURLE_PARTIAL_FILE;
        if (cc == CURLE_OK && !may_pass(cc, a->status))
            return 0;
        if (b->have - last >= ENOUGH)
            tried = 0;
        last = b->have;
        if (!may_pass(cc, a->status) || tried >= h->limits.retries)
            return cc == CURLE_OK ? 0 : explain(h, cc, b, b->err);
        if (wait_turn(h, tried, cc, a->status, b->err) < 0)
            return DK_EIO;
    }
}

int dk_http_head(dk_http *h, const char *url, const char *token, dk_http_answer *a, dk_err *err)
{
    struct body b = { .head = true, .err = err };

    return request(h, url, token, &b, a);
}

int dk_http_get(dk_http *h, const char *url, const char *token, size_t max, dk_buf *body,
                dk_http_answer *a, dk_err *err)
{
    struct body b = { .text = body, .max = (int64_t)max, .err = err };

    return request(h, url, token, &b, a);
}

int dk_http_post(dk_http *h, const char *url, const char *token, const char *json, size_t n, size_t max,
                 dk_buf *body, dk_http_answer *a, dk_err *err)
{
    struct body b = { .post = json, .n_post = n, .text = body, .max = (int64_t)max, .err = err };

    return request(h, url, token, &b, a);
}

int dk_http_download(dk_http *h, const char *url, const char *token, int fd, int64_t size,
                     dk_http_progress *progress, void *arg, dk_http_answer *a, dk_err *err)
{
    struct body b = { .fd = fd, .max = size, .progress = progress, .arg = arg, .err = err };
    struct stat st;

    if (fstat(fd, &st) != 0)
        return dk_fail_errno(err, "cannot write what comes from %s", url);
    h->name = url;
    b.have = st.st_size;
    if (progress)
        progress(arg, (double)b.have);
    if (b.have > size && start_again(&b, url) < 0)
        return DK_EIO;
    a->status = 200;
    return b.have == size && size > 0 ? 0 : request(h, url, token, &b, a);
}

void dk_http_escape(dk_buf *out, const char *s, bool slashes)
{
    for (; *s; s++)
        if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
            strchr("-._~", *s) || (slashes && *s == '/'))
            dk_buf_addc(out, *s);
        else
            dk_buf_addf(out, "%%%02X", (unsigned char)*s);
}
