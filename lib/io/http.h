/* HTTP: the one home of libcurl, which is loaded at the first request.
 *
 * A request is tried again after what may pass: a cut or stalled connection,
 * 408, 429 (after Retry-After) and 5xx.  Redirects are followed, never from
 * https to http; a token goes to the scheme, host and port of the first
 * address alone.  Proxies and certificates are those of libcurl's environment.
 *
 * Not thread-safe: one dk_http a thread. */
#ifndef DK_IO_HTTP_H
#define DK_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_http dk_http;

typedef struct dk_http_limits {
    int64_t stall_s;        /* seconds without a byte that end a try */
    int64_t retries;        /* tries after the first; one that brought 1 MiB is not counted */
    int64_t wait_s;         /* a longer Retry-After is an error at once */
} dk_http_limits;

/* What a server said last.  Start with {0}; reused by every call. */
typedef struct dk_http_answer {
    int status;
    dk_buf headers;
} dk_http_answer;

int dk_http_new(dk_http **out, const dk_http_limits *limits, dk_err *err);
void dk_http_free(dk_http **h);
void dk_http_answer_free(dk_http_answer *a);

/* The value of a header, without blanks around it; false when it is absent or
 * does not fit. */
bool dk_http_header(const dk_http_answer *a, const char *name, char *value, size_t size);

/* Each returns 0 with the last status, whatever it is, when there was an answer.
 * token: sent as bearer, NULL for none. */

/* The headers alone.  A redirect to another host is not followed: it is the answer. */
int dk_http_head(dk_http *h, const char *url, const char *token, dk_http_answer *a, dk_err *err);

/* The body onto *body; more than max bytes are an error (DK_EFORMAT). */
int dk_http_get(dk_http *h, const char *url, const char *token, size_t max, dk_buf *body,
                dk_http_answer *a, dk_err *err);

/* Sends n bytes of JSON; the answer's body, of whatever status, onto *body as above.
 * A redirect is not followed: it is the answer.  A try takes stall_s at most. */
int dk_http_post(dk_http *h, const char *url, const char *token, const char *json, size_t n, size_t max,
                 dk_buf *body, dk_http_answer *a, dk_err *err);

typedef void dk_http_progress(void *arg, double bytes);

/* The body of exactly size bytes into the file fd.  What fd holds already is
 * its beginning and is not asked for again; a server that cannot begin in the
 * middle, or whose file has changed since the last try, sends all of it.  More
 * or fewer bytes than size are an error, after which fd keeps what came.  With
 * another status than 2xx fd is as it was. */
int dk_http_download(dk_http *h, const char *url, const char *token, int fd, int64_t size,
                     dk_http_progress *progress, void *arg, dk_http_answer *a, dk_err *err);

/* Adds s with all but letters, digits, "-._~" (and "/" if slashes) as %XX. */
void dk_http_escape(dk_buf *out, const char *s, bool slashes);

#endif
