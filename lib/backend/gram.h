/* Products of the values of rows, summed over documents in the fixed order of
 * num/tree.h: the same bits for any threads, batches and shards.  A block is
 * summed on the device, in pieces of a fixed number of its rows; the host keeps
 * the sums of blocks. */
#ifndef DK_BACKEND_GRAM_H
#define DK_BACKEND_GRAM_H

#include "base/err.h"
#include "num/tree.h"

typedef struct dk_gram dk_gram;

/* first: the leaf where this shard begins. */
int dk_gram_new(dk_gram **g, size_t d, uint64_t first, dk_err *err);
void dk_gram_free(dk_gram **g);
/* All rows d [n, d] of a document; documents come in ascending order. */
int dk_gram_add(dk_gram *g, uint64_t doc, const float *rows, size_t n, dk_err *err);
/* The nodes of everything; end: the leaf where the next shard begins, UINT64_MAX: none. */
int dk_gram_end(dk_gram *g, uint64_t end, dk_tree *out, dk_err *err);

#endif
