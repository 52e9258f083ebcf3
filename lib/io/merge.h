/* Joining shards: of activations, scores or statistics that one tool made of one
 * corpus with one pair.  The result is, byte for byte, the file that a run without
 * shards writes, so it says nothing of the joining.
 *
 * All shards are read and checked before anything is written: none missing, none
 * there twice, none from another run, none damaged. */
#ifndef DK_IO_MERGE_H
#define DK_IO_MERGE_H

#include <stddef.h>

#include "base/err.h"

/* In any order.  out "-": a stream. */
int dk_merge(char *const *path, size_t n, const char *out, dk_err *err);

#endif
