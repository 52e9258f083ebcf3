/* Models from a hub that speaks HuggingFace's interface, kept in its cache
 * (io/hubcache.h).
 *
 * Environment: HF_ENDPOINT (the hub's address), HF_TOKEN, HF_TOKEN_PATH or the
 * file HF_HOME/token (the account; it is sent to the hub alone and printed
 * nowhere), HF_HUB_OFFLINE=1 (use the cache only). */
#ifndef DK_IO_HUB_H
#define DK_IO_HUB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/http.h"

typedef struct dk_hub_options {
    bool offline;               /* as HF_HUB_OFFLINE=1 */
    bool update;                /* ask the hub though the cache has a model */
    size_t n_include;           /* patterns (fnmatch) instead of the files that a model needs */
    char *const *include;
    dk_http_limits limits;
} dk_hub_options;

/* "owner/name[/folder or file.gguf][@revision]", by its form alone. */
bool dk_hub_is_id(const char *text);

/* Makes sure that what id names is in the cache, and says where: the folder of
 * its snapshot, or the GGUF file.  A model that the cache has is taken as it
 * is.  What is fetched is checked against the hub's digest; an interrupted
 * call goes on where it ended.  Any number of processes may fetch the same.
 * The caller frees *path. */
int dk_hub_fetch(char **path, const char *id, const dk_hub_options *o, dk_err *err);

#endif
