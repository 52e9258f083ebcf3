/* A grader without a model: a token belongs to the finetune's subject if it is a
 * word whose stem is in the lexicon of the finetuning texts, or in what is said of
 * the finetune.  The same always. */
#ifndef DK_JUDGE_LEXICAL_H
#define DK_JUDGE_LEXICAL_H

#include "judge/relevance.h"
#include "text/lexicon.h"

typedef struct dk_lexical {
    const dk_lexicon *texts;        /* NULL: none */
    dk_lexicon *said;               /* content words of the description; NULL: none */
} dk_lexical;

/* description NULL: there is none. */
int dk_lexical_make(dk_lexical *l, const dk_lexicon *texts, const char *description, dk_err *err);
void dk_lexical_free(dk_lexical *l);
dk_label dk_lexical_label(const dk_lexical *l, const char *token, size_t n);

#endif
