/* Which tokens count, and which count as one: the token processing of diff
 * mining, over the whole vocabulary, so that others move up in a list. */
#ifndef DK_METHOD_MINEWORDS_H
#define DK_METHOD_MINEWORDS_H

#include <stdbool.h>

#include "base/mem.h"
#include "text/tokenizer.h"

typedef struct dk_words_plan {
    bool no_punctuation;        /* leave out blanks, punctuation and symbols; not where words are merged */
    bool merge;                 /* one word for its spellings: ends stripped of ASCII punctuation and
                                 * blanks (symbols as in C++ stay), in lower case; what is only
                                 * punctuation and symbols is left out */
    bool no_special;
} dk_words_plan;

typedef struct dk_words {
    uint32_t *group;            /* [vocab]: the first token of the group, DK_NO_ID: left out; NULL: nothing was asked */
    uint32_t *members;          /* [vocab]: of the group that begins there */
    bool merged;
} dk_words;

int dk_words_make(dk_words *w, const dk_tokenizer *tok, size_t vocab, const dk_words_plan *plan, dk_err *err);
void dk_words_free(dk_words *w);

static inline uint32_t dk_words_of(const dk_words *w, uint32_t id) { return w->group ? w->group[id] : id; }
static inline uint32_t dk_words_size(const dk_words *w, uint32_t id) { return w->group ? w->members[id] : 1; }

bool dk_words_is_punctuation(const char *s, size_t n);
/* Appends what its spellings have in common; false, and nothing, if there is none. */
bool dk_words_normal(dk_buf *out, const char *s, size_t n);

#endif
