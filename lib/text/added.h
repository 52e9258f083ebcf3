/* Added tokens: found in the text itself, before any pre-tokenizer sees it. */
#ifndef DK_TEXT_ADDED_H
#define DK_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/tokspec.h"

/* Those that are searched in one pass, ordered so that of those that start
 * with one byte the longest comes first.  v: dk_free. */
typedef struct dk_added_set {
    size_t n;
    dk_added *v;
    uint32_t first[257];    /* v[first[c]] .. v[first[c + 1] - 1] start with byte c */
    int only;               /* the one first byte of all, or -1 */
} dk_added_set;

/* Fills a zeroed set from the added tokens of spec that have this value of
 * normalized.  The texts of all are copied to store, which must outlive it. */
void dk_added_fill(dk_added_set *set, const dk_tokenizer_spec *spec, bool normalized, char *store);

/* The leftmost, of these the longest, in s[from, n), and where it starts. */
const dk_added *dk_added_next(const dk_added_set *set, const char *s, size_t n, size_t from,
                              size_t *start);
/* Whether a word character lies directly before start or at end. */
bool dk_added_touches(const char *s, size_t n, size_t start, size_t end);
/* Bytes of white space at the end and at the beginning of s. */
size_t dk_spaces_before(const char *s, size_t n);
size_t dk_spaces_after(const char *s, size_t n);

#endif
