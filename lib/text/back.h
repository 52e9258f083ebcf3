/* Decoders: from the spellings of tokens back to a text. */
#ifndef DK_TEXT_BACK_H
#define DK_TEXT_BACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/tokspec.h"

typedef struct dk_back dk_back;

/* Copies what it needs of steps.  DK_EFORMAT for a faulty expression. */
int dk_back_new(dk_back **out, const dk_back_step *steps, size_t n, dk_err *err);
void dk_back_free(dk_back **b);

/* The texts of n tokens, one after the other, through the whole chain; what is
 * not UTF-8 becomes U+FFFD.  Appends to out.  Thread-safe unless a step has an
 * expression. */
void dk_back_decode(const dk_back *b, const dk_span *token, size_t n, dk_buf *out);
/* The bytes that one token stands for wherever it stands: perhaps a part of a
 * character. */
void dk_back_bytes(const dk_back *b, dk_span token, dk_buf *out);

/* Byte that stands for a code point of the byte-level alphabet, or -1. */
int dk_alphabet_byte(int32_t cp);
/* Byte of a spelling <0xHH>, or -1. */
int dk_fallback_byte(dk_span t);

#endif
