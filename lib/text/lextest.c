/* The lexicon test. */
#include "text/lextest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct frequency { uint32_t count, id; };

/* Ties by number: of a vocabulary of merges the earlier is the more frequent. */
static int by_frequency(const void *a, const void *b)
{
    const struct frequency *x = a, *y = b;

    return x->count > y->count ? -1 : x->count < y->count ? 1 : (x->id > y->id) - (x->id < y->id);
}

int dk_lextest_make(dk_lextest *t, const uint32_t *count, size_t n, dk_err *err)
{
    struct frequency *f = NULL;
    int rc = dk_alloc(&f, n, sizeof *f, "frequencies", err);

    *t = (dk_lextest){ .n = n };
    if (rc == 0)
        rc = dk_alloc(&t->stratum, n, sizeof *t->stratum, "frequencies", err);
    if (rc == 0)
        rc = dk_alloc(&t->marked, n, sizeof *t->marked, "a lexicon", err);
    for (size_t v = 0; rc == 0 && v < n; v++)
        f[v] = (struct frequency){ count[v], (uint32_t)v };
    if (rc == 0)
        qsort(f, n, sizeof *f, by_frequency);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        t->stratum[f[i].id] = (uint8_t)(i * DK_LEXTEST_TENTHS / n);
        t->size[i * DK_LEXTEST_TENTHS / n].population++;
    }
    dk_free(f);
    return rc;
}

void dk_lextest_free(dk_lextest *t)
{
    dk_free(t->stratum);
    dk_free(t->marked);
    *t = (dk_lextest){0};
}

void dk_lextest_mark(dk_lextest *t, size_t i)
{
    t->size[t->stratum[i]].successes += !t->marked[i];
    t->marked[i] = 1;
}

size_t dk_lextest_hits(const dk_lextest *t, const uint32_t *entry, size_t m, double *p)
{
    dk_stratum s[DK_LEXTEST_TENTHS];
    size_t x = 0;

    memcpy(s, t->size, sizeof s);
    for (size_t i = 0; i < m; i++)
        if (entry[i] < t->n) {
            x += t->marked[entry[i]];
            s[t->stratum[entry[i]]].draws++;
        }
    *p = NAN;
    return dk_strata_p(p, x, s, DK_LEXTEST_TENTHS, NULL) == 0 ? x : 0;
}
