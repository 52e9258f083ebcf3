/* One repository of a hub, seen from the cache: a file is asked about, fetched,
 * checked against the hub's digest and put into its place.  Nothing that the
 * hub says is believed before it is checked. */
#ifndef DK_IO_HUBSIDE_H
#define DK_IO_HUBSIDE_H

#include "base/err.h"
#include "io/http.h"
#include "io/hubcache.h"

typedef struct dk_hubside {
    bool data;                  /* a data set, no model */
    char *repo, *revision;
    char *endpoint, *token;     /* the hub's address without a slash at its end; NULL for none */
    char commit[41];            /* that the revision is */
    dk_hubcache *cache;
    dk_http *http;
    dk_http_answer answer;      /* the last one */
} dk_hubside;

/* Makes sure that the snapshot of the commit has the file.  DK_EIO: what came
 * is kept, and the next call goes on from there; DK_EDATA, DK_EFORMAT: the hub
 * gave what cannot be right, and that was deleted. */
int dk_hubside_fetch(dk_hubside *h, const char *file, dk_err *err);

/* The sentence for an answer that is not what was asked for; file: NULL when
 * that was the listing. */
int dk_hubside_refused(const dk_hubside *h, const char *file, dk_err *err);

#endif
