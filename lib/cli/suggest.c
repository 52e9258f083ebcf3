/* Edit distance with swaps of neighbours (restricted Damerau-Levenshtein): the
 * usual typing errors cost one. */
#include "cli/suggest.h"

#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 100 };

static size_t least(size_t a, size_t b, size_t c)
{
    const size_t m = a < b ? a : b;

    return m < c ? m : c;
}

static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[3][MAX_WORD + 1];

    for (size_t j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = least(now[j - 1] + 1, up[j] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < now[j])
                now[j] = up2[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

void dk_suggest_begin(dk_suggest *s, const char *word)
{
    s->word = word;
    s->best[0] = 0;
    s->distance = strlen(word) / 3 + 1;     /* farther than this is another word */
}

void dk_suggest_try(dk_suggest *s, const char *known)
{
    const size_t na = strlen(s->word), nb = strlen(known);
    size_t d;

    if (na > MAX_WORD || nb > MAX_WORD)
        return;
    d = distance(s->word, na, known, nb);
    if (d < s->distance || (d == s->distance && !s->best[0])) {
        s->distance = d;
        snprintf(s->best, sizeof s->best, "%s", known);
    }
}

const char *dk_suggest_text(const dk_suggest *s, char *buf, size_t size)
{
    buf[0] = 0;
    if (s->best[0])
        snprintf(buf, size, "; did you mean '%s'?", s->best);
    return buf;
}
