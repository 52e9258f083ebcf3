/* The HuggingFace cache on disk, in the layout that its other users know:
 *
 *     models--OWNER--NAME/blobs/ETAG              each content once; datasets--...: of data sets
 *     models--OWNER--NAME/refs/REVISION           the commit that a revision was
 *     models--OWNER--NAME/snapshots/COMMIT/FILE   a relative link to its blob
 *     datasets--OWNER--NAME/picks/COMMIT/NAME     the files of a split, one a line (ours alone)
 *     .locks/models--OWNER--NAME/ETAG.lock        held while a blob is written
 *
 * It lies in HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in the
 * user's cache.  Nothing is made before something is written. */
#ifndef DK_IO_HUBCACHE_H
#define DK_IO_HUBCACHE_H

#include <stdbool.h>

#include "base/err.h"
#include "io/hubpick.h"

typedef struct dk_hubcache dk_hubcache;

/* repo: "owner/name", of a model or a data set; checked by the caller, as are all names below. */
int dk_hubcache_open(dk_hubcache **out, const char *repo, bool data, dk_err *err);
void dk_hubcache_close(dk_hubcache **c);
const char *dk_hubcache_root(const dk_hubcache *c);

/* HF_HOME, or what stands for it; NULL when nothing says where.  The caller frees it. */
char *dk_hubcache_home(void);

bool dk_hub_is_commit(const char *s);       /* 40 lower-case hexadecimal digits */

/* The commit that revision names here; false: none. */
bool dk_hubcache_commit(const dk_hubcache *c, const char *revision, char commit[41]);
int dk_hubcache_set_ref(dk_hubcache *c, const char *revision, const char *commit, dk_err *err);

/* The caller frees what these return. */
char *dk_hubcache_snapshot(const dk_hubcache *c, const char *commit, const char *inside);
char *dk_hubcache_picks(const dk_hubcache *c, const char *commit, const char *name);
char *dk_hubcache_blob(const dk_hubcache *c, const char *etag);

/* Paths of the files of a snapshot whose content is there. */
void dk_hubcache_list(const dk_hubcache *c, const char *commit, dk_hublist *out);
bool dk_hubcache_has(const dk_hubcache *c, const char *commit, const char *file);

/* Makes the folders that a blob needs and waits until no other process writes
 * it; *fd is closed to let the next one in. */
int dk_hubcache_lock(dk_hubcache *c, const char *etag, int *fd, dk_err *err);
int dk_hubcache_link(dk_hubcache *c, const char *commit, const char *file, const char *etag,
                     dk_err *err);

#endif
