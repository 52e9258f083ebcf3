/* Where a model or an adapter that a configuration names lies. */
#ifndef DK_CLI_CONFPLACE_H
#define DK_CLI_CONFPLACE_H

#include <stdbool.h>

#include "cli/registry.h"

/* A path that begins with a folder which is here must be here itself; anything
 * else may be the id of a repository. */
bool dk_conf_must_be_here(const dk_conf *c, const char *text);

/* *path: what TEXT names, where it is here; a snapshot in the hub's cache counts.
 * Else *hub: the id to fetch (dk_hub_fetch).  KEY is for the message when it is
 * neither.  The caller frees both. */
int dk_conf_place(char **path, char **hub, const dk_conf *c, const char *key, const char *text, dk_err *err);

#endif
