/* A lexicon: the words that mark a set of texts against neutral ones, fixed
 * before any result is seen.
 *
 * Words are runs of letters, three or more, in lower case, less their English
 * endings (-s, -ing, -ed, -ly, -e); each counts once a document.  The n stems with
 * the largest z of the log-odds of occurring in a document make the lexicon. */
#ifndef DK_TEXT_LEXICON_H
#define DK_TEXT_LEXICON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_lexicon dk_lexicon;

/* Files as in io/textfile.h; of chats what all messages say.  column NULL: the
 * usual one.  At most most_docs documents of each (0: all). */
int dk_lexicon_make(dk_lexicon **out, const char *texts, const char *column, const char *neutral, size_t n,
                    size_t most_docs, dk_err *err);
/* All words of a text; name stands in the message. */
int dk_lexicon_of(dk_lexicon **out, const char *text, size_t n, const char *name, dk_err *err);
/* The same of a file, which has one a line. */
int dk_lexicon_load(dk_lexicon **out, const char *path, dk_err *err);

/* What a tool was given: a list, or else texts and neutral ones, or neither (*out is NULL). */
typedef struct dk_lexicon_from {
    const char *words, *texts, *column, *neutral;
    size_t n, most_docs;
} dk_lexicon_from;
int dk_lexicon_open(dk_lexicon **out, const dk_lexicon_from *from, dk_err *err);
void dk_lexicon_free(dk_lexicon **l);

size_t dk_lexicon_n(const dk_lexicon *l);
const char *dk_lexicon_at(const dk_lexicon *l, size_t i);      /* the i-th stem, strongest first */
/* Whether s, blanks around it aside, is one word whose stem is in the lexicon. */
bool dk_lexicon_has(const dk_lexicon *l, const char *s, size_t n);

/* Appends the stem of the letters s. */
void dk_stem(dk_buf *out, const char *s, size_t n);

#endif
