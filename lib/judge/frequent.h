/* The frequent tokens of the finetuning texts, as a judge is shown them. */
#ifndef DK_JUDGE_FREQUENT_H
#define DK_JUDGE_FREQUENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "text/tokenizer.h"

typedef struct dk_frequent {
    size_t n;
    char **piece;               /* in the vocabulary's spelling, the most frequent first */
} dk_frequent;

/* Whether a token says nothing whatever the texts are: one character, signs alone,
 * endings, prepositions and the like.  Blanks' marks do not count. */
bool dk_token_generic(const char *piece, size_t n);

/* Of all documents of the file (0: all of them) the tokens, less special ones, that
 * occur min_count times or more; of equals that comes first which occurs first. */
int dk_frequent_make(dk_frequent *f, dk_tokenizer *tok, const char *texts, const char *column, size_t max_docs,
                     size_t n, size_t min_count, dk_err *err);
void dk_frequent_free(dk_frequent *f);
bool dk_frequent_has(const dk_frequent *f, const char *s);

#endif
