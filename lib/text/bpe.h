/* Byte-level byte-pair encoding of single pieces of text.
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
#include "text/tokspec.h"

typedef struct dk_bpe dk_bpe;

/* A growing array of ids; zero-initialise, dk_free(id). */
typedef struct dk_ids {
    size_t n, cap;
    uint32_t *id;
} dk_ids;

void dk_ids_add(dk_ids *a, uint32_t id);

int dk_bpe_new(dk_bpe **out, const dk_tokenizer_spec *spec, dk_err *err);
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
/* Whether the byte has a symbol of its own. */
int dk_bpe_has_byte(const dk_bpe *b, uint8_t c);

#endif
