/* Pre-tokenizers of byte-level models: where a text may be cut before BPE.
 *
 * Published tokenizers state them as regular expressions.  There are few, so
 * each is recognised by its exact text and scanned by hand, in one pass with
 * no backtracking; an expression that is not known is refused. */
#ifndef DK_TEXT_PRETOK_H
#define DK_TEXT_PRETOK_H

#include <stddef.h>

#include "base/err.h"

typedef enum dk_pretok {
    DK_PRETOK_GPT2,     /* GPT-2's expression */
    DK_PRETOK_SMOLLM,   /* single numerals cut out first, then GPT-2's on what is between */
    DK_PRETOK_LLAMA3,
    DK_PRETOK_QWEN2
} dk_pretok;

const char *dk_pretok_name(dk_pretok kind);
/* By the expression of a tokenizer.json, and by tokenizer.ggml.pre of a GGUF. */
int dk_pretok_from_regex(dk_pretok *out, const char *regex, dk_err *err);
int dk_pretok_from_name(dk_pretok *out, const char *pre, dk_err *err);

/* End of the piece that starts at at < n.  Pieces cover the text without gaps.
 * Any bytes are safe; an invalid sequence counts as one character that is
 * neither letter, number nor space. */
size_t dk_pretok_next(dk_pretok kind, const char *s, size_t n, size_t at);

#endif
