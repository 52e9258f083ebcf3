/* Added tokens: found in the text itself, before any pre-tokenizer sees it. */
#ifndef DK_TEXT_ADDED_H
#define DK_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/tokspec.h"

/* Those that are searched in one pass, in the order of their bytes. */
typedef struct dk_added_set {
    size_t n;
    dk_added *v;
    char *store;            /* their texts */
    uint32_t first[257];    /* v[first[c]] .. v[first[c + 1] - 1] start with byte c */
    int only;               /* the one first byte of all, or -1 */
} dk_added_set;

/* Fills a zeroed set from the added tokens of spec that have this value of
 * normalized; text[i] is what is searched for added token i. */
void dk_added_fill(dk_added_set *set, const dk_tokenizer_spec *spec, bool normalized,
                   const dk_span *text);
void dk_added_free(dk_added_set *set);

/* The leftmost, of these the longest, in s[from, n), and its bytes [*start, *end). */
const dk_added *dk_added_next(const dk_added_set *set, const char *s, size_t n, size_t from,
                              size_t *start, size_t *end);
/* Whether a word character lies directly before start or at end. */
bool dk_added_touches(const char *s, size_t n, size_t start, size_t end);

#endif
