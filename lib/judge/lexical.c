/* Labels by words alone. */
#include "judge/lexical.h"

#include <string.h>

#include "judge/frequent.h"
#include "text/words.h"

int dk_lexical_make(dk_lexical *l, const dk_lexicon *texts, const char *description, dk_err *err)
{
    const size_t n = description ? strlen(description) : 0;
    dk_buf words = {0}, folded = {0};
    size_t at = 0;
    dk_word w;
    int rc = 0;

    *l = (dk_lexical){ .texts = texts };
    while (dk_word_next(&w, description, n, &at)) {
        dk_buf_clear(&folded);
        dk_word_fold(&folded, description + w.at, w.n);
        if (w.number || dk_word_function(folded.s, folded.n) || dk_token_generic(folded.s, folded.n))
            continue;
        dk_buf_add(&words, folded.s, folded.n);
        dk_buf_addc(&words, '\n');
    }
    if (description)
        rc = dk_lexicon_of(&l->said, words.n ? words.s : "", words.n, "the description", err);
    dk_buf_free(&words);
    dk_buf_free(&folded);
    return rc;
}

void dk_lexical_free(dk_lexical *l)
{
    dk_lexicon_free(&l->said);
    *l = (dk_lexical){0};
}

dk_label dk_lexical_label(const dk_lexical *l, const char *token, size_t n)
{
    return (l->texts && dk_lexicon_has(l->texts, token, n)) || (l->said && dk_lexicon_has(l->said, token, n)) ? DK_RELEVANT
                                                                                                          : DK_IRRELEVANT;
}
