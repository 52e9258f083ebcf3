/* A configuration as variables of a makefile, with what a graph needs besides
 * the plain values. */
#ifndef DK_CLI_CONFMAKE_H
#define DK_CLI_CONFMAKE_H

#include "cli/registry.h"

/* Appends "PREFIX.KEY := VALUE" for every key, then PREFIX.model, model.path,
 * model.fetch (its name if dk-fetch must get it), adapter, nulls, null.NAME,
 * METHOD.sets, set.NAME.{path,shuffle,format,column}, set.NAME.fetch (the words for
 * dk-fetch of a data set that a hub has), hubsets (those that are not here),
 * diff_mining.orderings, METHOD.depths, probes, facts. */
int dk_conf_make(const dk_conf_places *at, const char *prefix, const dk_conf *c, dk_buf *result,
                 dk_err *err);

#endif
