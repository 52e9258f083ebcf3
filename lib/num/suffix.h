/* A suffix array of ids: what stretches of a sequence occur in a text. */
#ifndef DK_NUM_SUFFIX_H
#define DK_NUM_SUFFIX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Parts that nothing may run across stand apart by this, which no query has. */
#define DK_SUFFIX_APART UINT32_MAX

/* sa = the n suffixes of id in order; n below 2^31.  20 n bytes while it runs. */
int dk_suffix_sort(uint32_t *sa, const uint32_t *id, size_t n, dk_err *err);
/* How many of q's m ids, from the first on, occur together in the text. */
size_t dk_suffix_longest(const uint32_t *sa, const uint32_t *id, size_t n, const uint32_t *q, size_t m);

/* Of m ids, those that lie in stretches of `least` or more that the text has, and the longest of these
 * (however short). */
typedef struct dk_cover { size_t covered, longest; } dk_cover;
dk_cover dk_suffix_cover(const uint32_t *sa, const uint32_t *id, size_t n, const uint32_t *q, size_t m, size_t least);

#endif
