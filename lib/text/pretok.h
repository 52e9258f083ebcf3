/* Known expressions of pre-tokenizers: where a text may be cut before BPE.
 *
 * Published tokenizers state them as regular expressions.  There are few, so
 * each is recognised by its exact text and scanned by hand, in one pass with
 * no backtracking; the others go through pieces.h. */
#ifndef DK_TEXT_PRETOK_H
#define DK_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef enum dk_pretok {
    DK_PRETOK_GPT2,     /* GPT-2's expression */
    DK_PRETOK_SMOLLM,   /* single numerals cut out first, then GPT-2's on what is between */
    DK_PRETOK_LLAMA3,
    DK_PRETOK_QWEN2,
    DK_PRETOK_TEKKEN,   /* Mistral's since Nemo: cuts before capitals too */
    DK_PRETOK_GPT4O,    /* the same with contractions and numerals in threes */
    DK_PRETOK_DEEPSEEK3 /* three expressions, one after the other */
} dk_pretok;

enum { DK_N_PRETOK = DK_PRETOK_DEEPSEEK3 + 1 };

const char *dk_pretok_name(dk_pretok kind);
/* By the expressions of a tokenizer.json, which are applied one after the other;
 * false: not among the known. */
bool dk_pretok_from_regex(dk_pretok *out, const char *const *regex, size_t n);
/* By tokenizer.ggml.pre of a GGUF. */
int dk_pretok_from_name(dk_pretok *out, const char *pre, dk_err *err);

/* End of the piece that starts at at < n.  Pieces cover the text without gaps.
 * Any bytes are safe; an invalid sequence counts as one character that is
 * neither letter, number nor space. */
size_t dk_pretok_next(dk_pretok kind, const char *s, size_t n, size_t at);

#endif
