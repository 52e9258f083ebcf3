/* Documents in the order that a seed puts their rows into (base/permute.h). */
#ifndef DK_TEXT_SHUFFLE_H
#define DK_TEXT_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

#include "text/corpus.h"

/* Adds the rows of all files, which are read once to count them and again for
 * those rows that come first, as often as it takes until the corpus is full:
 * in memory is what one such pass picks, about twice max_docs rows. */
int dk_corpus_add_shuffled(dk_corpus *c, size_t n, char *const *path, size_t max_docs, uint64_t seed, dk_err *err);

#endif
