/* Byte-pair encoding of single pieces of text, of their bytes or characters.
 *
 * Equal to the usual definition: repeat "merge the adjacent pair of lowest
 * rank, the leftmost of equals".  Short pieces search their few pairs, long
 * ones keep a heap, so that a hostile text costs n log n; pieces met before
 * come from a cache. */
#ifndef DK_TEXT_BPE_H
#define DK_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/back.h"
#include "text/tokspec.h"

typedef struct dk_bpe dk_bpe;

/* A growing array of ids; zero-initialise, dk_free(id). */
typedef struct dk_ids {
    size_t n, cap;
    uint32_t *id;
} dk_ids;

void dk_ids_add(dk_ids *a, uint32_t id);

/* back gives the bytes of tokens. */
int dk_bpe_new(dk_bpe **out, const dk_tokenizer_spec *spec, const dk_back *back, dk_err *err);
void dk_bpe_free(dk_bpe **b);

/* Appends the ids of one piece.  Uses scratch space and the cache of b: one
 * thread at a time.  Fails only for want of memory or at 2^31 bytes. */
int dk_bpe_piece(dk_bpe *b, const char *s, size_t n, dk_ids *out, dk_err *err);

/* Id of a spelling, DK_NO_ID if there is none. */
uint32_t dk_bpe_find(const dk_bpe *b, const char *s, size_t n);
/* The spelling in the vocabulary, and the bytes that it stands for; {NULL, 0}
 * for an id without token.  Borrowed, valid while b is. */
dk_span dk_bpe_spelling(const dk_bpe *b, uint32_t id);
dk_span dk_bpe_bytes(const dk_bpe *b, uint32_t id);
/* Where the next token of the piece s[0, n) starts, when the last one ended at
 * at; where token id ends that starts at at. */
size_t dk_bpe_start(const dk_bpe *b, const char *s, size_t n, size_t at);
size_t dk_bpe_end(const dk_bpe *b, const char *s, size_t n, size_t at, uint32_t id);

#endif
