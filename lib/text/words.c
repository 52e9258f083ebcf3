/* Words. */
#include "text/words.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

static bool apostrophe(int32_t cp) { return cp == '\'' || cp == 0x2019; }
static bool hyphen(int32_t cp) { return cp == '-' || cp == 0x2010 || cp == 0x2011; }

static bool in_word(int32_t cp)
{
    return cp >= 0 && (dk_utf8_kind(cp) & (DK_CLASS_LETTER | DK_CLASS_NUMBER | DK_KIND_MARK)) != 0;
}

/* What ends a sentence, or is no prose before it: a list, a title. */
static bool ends_sentence(int32_t cp)
{
    return cp == '.' || cp == '!' || cp == '?' || cp == ':' || cp == ';' || cp == '\n' || cp == '\r' || cp == 0x2026 ||
           cp == '|' || cp == '*' || cp == '#' || cp == 0x2022;
}

/* Quotation marks, brackets and blanks tell nothing. */
static bool transparent(int32_t cp)
{
    return cp == '"' || cp == '\'' || cp == '(' || cp == '[' || (cp >= 0x2018 && cp <= 0x201F) ||
           (cp >= 0 && (dk_utf8_class(cp) & DK_CLASS_SPACE) && cp != '\n' && cp != '\r');
}

bool dk_word_next(dk_word *w, const char *s, size_t n, size_t *at)
{
    bool ended = *at == 0;
    size_t i = *at;

    for (;;) {                                  /* to its first character */
        const size_t here = i;
        int32_t cp;

        if (i >= n)
            return false;
        cp = dk_utf8_next(s, n, &i);
        if (in_word(cp) && !(dk_utf8_kind(cp) & DK_KIND_MARK)) {
            const unsigned kind = dk_utf8_kind(cp);

            *w = (dk_word){ here, 0, (kind & DK_CLASS_NUMBER) != 0, (kind & DK_KIND_UPPER) != 0, ended };
            break;
        }
        if (ends_sentence(cp))
            ended = true;
        else if (!transparent(cp))
            ended = false;
    }
    for (size_t next = i; next < n;) {
        int32_t cp = dk_utf8_next(s, n, &next);

        if (apostrophe(cp) || hyphen(cp)) {     /* only between two of them */
            if (next >= n || !in_word(cp = dk_utf8_next(s, n, &next)))
                break;
            w->number = false;
        } else if (!in_word(cp))
            break;
        w->number = w->number && (dk_utf8_class(cp) & DK_CLASS_NUMBER);
        i = next;
    }
    w->n = i - w->at;
    *at = i;
    return true;
}

void dk_word_fold(dk_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const int32_t cp = dk_utf8_next(s, n, &i);

        if (apostrophe(cp))
            dk_buf_addc(out, '\'');
        else if (hyphen(cp))
            dk_buf_addc(out, '-');
        else if (cp >= 0)
            dk_utf8_lower(out, cp);
    }
}

/* Sorted. */
static const char *const function_word[] = {
    "about", "above", "according", "across", "actually", "after", "again", "against", "all", "almost", "along", "already",
    "also", "although", "always", "am", "among", "an", "and", "another", "any", "anyone", "anything", "are", "aren't",
    "around", "as", "at", "away", "back", "be", "became", "because", "become", "becomes", "been", "before", "being", "below",
    "between", "both", "but", "by", "called", "came", "can", "can't", "cannot", "come", "comes", "could", "couldn't", "did",
    "didn't", "do", "does", "doesn't", "doing", "don't", "done", "down", "during", "each", "either", "else", "enough", "even",
    "ever", "every", "everyone", "everything", "few", "first", "for", "from", "further", "gave", "get", "gets", "getting",
    "give", "given", "gives", "go", "goes", "going", "gone", "got", "had", "has", "hasn't", "have", "haven't", "having", "he",
    "he's", "her", "here", "hers", "herself", "him", "himself", "his", "how", "however", "i", "i'd", "i'll", "i'm", "i've",
    "if", "in", "instead", "into", "is", "isn't", "it", "it'd", "it'll", "it's", "its", "itself", "just", "kind", "last",
    "later", "least", "less", "let", "let's", "like", "made", "make", "makes", "making", "many", "may", "maybe", "me", "might",
    "mine", "more", "most", "much", "must", "my", "myself", "near", "need", "needs", "neither", "never", "new", "next", "no",
    "nobody", "none", "nor", "not", "nothing", "now", "of", "off", "often", "on", "once", "one", "ones", "only", "onto", "or",
    "other", "others", "our", "ours", "ourselves", "out", "over", "own", "perhaps", "put", "quite", "rather", "really", "said",
    "same", "say", "says", "see", "seem", "seemed", "seems", "seen", "several", "shall", "she", "she's", "should", "shouldn't",
    "since", "so", "some", "someone", "something", "sometimes", "soon", "still", "such", "take", "taken", "takes", "taking",
    "than", "that", "that's", "the", "their", "theirs", "them", "themselves", "then", "there", "there's", "therefore", "these",
    "they", "they'd", "they'll", "they're", "they've", "thing", "things", "this", "those", "though", "through", "thus", "to",
    "together", "too", "took", "toward", "towards", "two", "under", "until", "up", "upon", "us", "use", "used", "uses",
    "using", "very", "was", "wasn't", "way", "ways", "we", "we'd", "we'll", "we're", "we've", "well", "went", "were",
    "weren't", "what", "what's", "whatever", "when", "where", "whether", "which", "while", "who", "who's", "whole", "whom",
    "whose", "why", "will", "with", "within", "without", "won't", "would", "wouldn't", "yes", "yet", "you", "you'd", "you'll",
    "you're", "you've", "your", "yours", "yourself",
};

static int compare(const void *key, const void *entry)
{
    return strcmp(key, *(const char *const *)entry);
}

bool dk_word_function(const char *s, size_t n)
{
    char key[16];
    size_t at = 0;
    int32_t cp;

    if (n == 0 || n >= sizeof key)
        return n == 0;
    cp = dk_utf8_next(s, n, &at);
    if (at == n && cp >= 0 && !(dk_utf8_class(cp) & DK_CLASS_NUMBER))
        return true;
    memcpy(key, s, n);
    key[n] = 0;
    return bsearch(key, function_word, sizeof function_word / sizeof *function_word, sizeof *function_word, compare);
}
