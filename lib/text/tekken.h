/* tekken.json, and merges that a vocabulary implies. */
#ifndef DK_TEXT_TEKKEN_H
#define DK_TEXT_TEKKEN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/json.h"
#include "text/tokspec.h"

/* Whether the tree is that of a tekken.json. */
bool dk_tekken_is(const dk_json *root);

/* Fills spec from the tree, which must outlive its use, and store, which holds
 * the spellings and must too.  DK_EFORMAT. */
int dk_tekken_read(dk_tokenizer_spec *spec, dk_buf *store, const dk_json *root, dk_err *err);

/* Fills the merges of spec with all pairs of tokens that make a token: by
 * score[id], the highest first, then by id; without scores in the order of ids. */
int dk_merges_of_vocab(dk_tokenizer_spec *spec, const float *score, dk_err *err);

#endif
