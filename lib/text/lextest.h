/* The lexicon test: how many of a list's entries are in a lexicon, and how likely
 * so many are among entries that are as frequent, by tenths of frequency. */
#ifndef DK_TEXT_LEXTEST_H
#define DK_TEXT_LEXTEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/infer.h"

enum { DK_LEXTEST_TENTHS = 10 };

typedef struct dk_lextest {
    size_t n;                               /* entries */
    uint8_t *stratum;                       /* [n] tenth of frequency, 0 the most frequent */
    uint8_t *marked;                        /* [n] in the lexicon */
    dk_stratum size[DK_LEXTEST_TENTHS];     /* entries, and those in the lexicon */
} dk_lextest;

/* count: how often each of n entries occurs; of equals the first is the more frequent. */
int dk_lextest_make(dk_lextest *t, const uint32_t *count, size_t n, dk_err *err);
void dk_lextest_free(dk_lextest *t);
void dk_lextest_mark(dk_lextest *t, size_t i);
/* Of m different entries those in the lexicon; *p the probability of as many. */
size_t dk_lextest_hits(const dk_lextest *t, const uint32_t *entry, size_t m, double *p);

#endif
