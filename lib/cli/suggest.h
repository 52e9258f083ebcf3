/* "did you mean": the nearest of a set of known words. */
#ifndef DK_CLI_SUGGEST_H
#define DK_CLI_SUGGEST_H

#include <stddef.h>

typedef struct dk_suggest {
    const char *word;       /* what was typed */
    char best[128];         /* the nearest so far, empty: none near enough */
    size_t distance;
} dk_suggest;

void dk_suggest_begin(dk_suggest *s, const char *word);
void dk_suggest_try(dk_suggest *s, const char *known);
/* "; did you mean 'best'?" or "", borrowed until buf changes. */
const char *dk_suggest_text(const dk_suggest *s, char *buf, size_t size);

#endif
