/* Shards of a corpus: which documents a run takes, so that several runs share
 * one and dk-merge joins what they make. */
#ifndef DK_METHOD_SCORESHARD_H
#define DK_METHOD_SCORESHARD_H

#include <stddef.h>
#include <stdint.h>

#include "io/tokfile.h"

/* Shard index of count, from 0; count 0: all, not cut. */
typedef struct dk_shard { uint32_t index, count; } dk_shard;

/* "I/N"; NULL or "": not cut. */
int dk_shard_parse(dk_shard *s, const char *text, dk_err *err);
/* Keeps the shard's documents: of the groups of `unit` document numbers that
 * have some, its part.  *first and *end (may be NULL): the groups that it covers,
 * from 0 for the first shard and to UINT64_MAX for the last. */
int dk_shard_cut(dk_tokens *t, dk_shard s, uint64_t unit, uint64_t *first, uint64_t *end, dk_err *err);

/* Keeps documents a .. b - 1. */
void dk_docs_keep(dk_tokens *t, size_t a, size_t b);

/* Documents that a budget of tokens leaves: the first ones, to the end of the
 * one that reaches it.  As the reference toolkit has it, batch > 0: it looks only
 * when a part of more than 10^7 tokens is full, and that at the ends of batches. */
size_t dk_budget_docs(const dk_tokens *t, uint64_t budget, size_t batch);

#endif
