/* Words of running text: maximal runs of letters, digits and their marks, with
 * single apostrophes and hyphens inside ("don't", "nine-minute"). */
#ifndef DK_TEXT_WORDS_H
#define DK_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

typedef struct dk_word {
    size_t at, n;               /* bytes of the text */
    bool number;                /* of digits alone */
    bool capital;               /* it begins with a capital */
    bool starts;                /* it begins a sentence, a line or the text */
} dk_word;

/* The next word at or behind *at, which is moved behind it; false: there is none. */
bool dk_word_next(dk_word *w, const char *s, size_t n, size_t *at);
/* Appends it as words are compared: lower case, one kind of apostrophe and hyphen. */
void dk_word_fold(dk_buf *out, const char *s, size_t n);
/* Whether s, in this form, is an English word that carries no content by itself:
 * articles, pronouns, prepositions, conjunctions, auxiliaries, common adverbs, single letters. */
bool dk_word_function(const char *s, size_t n);

#endif
