/* Searching added tokens: a table by first byte, then byte by byte in a sorted
 * list. */
#include "text/added.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/utf8.h"

static bool starts_with_word(const char *s, size_t n)
{
    size_t at = 0;

    return n > 0 && dk_utf8_is_word(dk_utf8_next(s, n, &at));
}

static bool ends_with_word(const char *s, size_t n)
{
    size_t at = n;

    while (at > 0 && ((uint8_t)s[--at] & 0xC0) == 0x80)
        ;
    return n > 0 && starts_with_word(s + at, n - at);
}

bool dk_added_touches(const char *s, size_t n, size_t start, size_t end)
{
    return ends_with_word(s, start) || starts_with_word(s + end, n - end);
}

/* The first of v[lo, hi), whose first depth bytes are equal, with a byte >= c
 * there; one that ends there has none and comes first. */
static uint32_t lower_bound(const dk_added *v, uint32_t lo, uint32_t hi, size_t depth, int c)
{
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;

        if (v[mid].text.n <= depth || (uint8_t)v[mid].text.s[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest added token that starts at s[0]. */
static const dk_added *added_at(const dk_added_set *set, const char *s, size_t n)
{
    uint32_t lo = set->first[(uint8_t)s[0]], hi = set->first[(uint8_t)s[0] + 1];
    const dk_added *best = NULL;

    for (size_t depth = 1; lo < hi; depth++) {
        if (set->v[lo].text.n == depth)
            best = &set->v[lo];
        if (depth == n)
            break;
        lo = lower_bound(set->v, lo, hi, depth, (uint8_t)s[depth]);
        hi = lower_bound(set->v, lo, hi, depth, (uint8_t)s[depth] + 1);
    }
    return best;
}

const dk_added *dk_added_next(const dk_added_set *set, const char *s, size_t n, size_t from,
                              size_t *start, size_t *end)
{
    if (set->n == 0)
        return NULL;
    for (size_t at = from; at < n; at++) {
        const dk_added *a;

        if (set->only >= 0) {
            const char *p = memchr(s + at, set->only, n - at);

            if (!p)
                return NULL;
            at = (size_t)(p - s);
        } else {
            while (at < n && set->first[(uint8_t)s[at]] == set->first[(uint8_t)s[at] + 1])
                at++;
            if (at == n)
                return NULL;
        }
        if ((a = added_at(set, s + at, n - at)) != NULL) {
            *start = at;
            *end = at + a->text.n;
            return a;
        }
    }
    return NULL;
}

/* Of two with one text the smaller id comes first, which is the one that counts. */
static int by_text(const void *va, const void *vb)
{
    const dk_added *a = va, *b = vb;
    const int order = memcmp(a->text.s, b->text.s, a->text.n < b->text.n ? a->text.n : b->text.n);

    if (order)
        return order;
    if (a->text.n != b->text.n)
        return a->text.n < b->text.n ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void dk_added_fill(dk_added_set *set, const dk_tokenizer_spec *spec, bool normalized,
                   const dk_span *text)
{
    size_t bytes = 0, kept = 0;
    char *store;

    for (size_t i = 0; i < spec->n_added; i++)
        bytes += spec->added[i].normalized == normalized ? text[i].n : 0;
    set->v = dk_xcalloc(spec->n_added, sizeof *set->v);
    set->store = store = dk_xmalloc(bytes + 1);
    for (size_t i = 0; i < spec->n_added; i++) {
        if (spec->added[i].normalized != normalized || text[i].n == 0)
            continue;
        set->v[set->n] = spec->added[i];
        set->v[set->n++].text = (dk_span){ store, text[i].n };
        memcpy(store, text[i].s, text[i].n);
        store += text[i].n;
    }
    if (set->n)
        qsort(set->v, set->n, sizeof *set->v, by_text);
    for (size_t i = 0; i < set->n; i++)     /* each text once */
        if (kept == 0 || set->v[kept - 1].text.n != set->v[i].text.n ||
            memcmp(set->v[kept - 1].text.s, set->v[i].text.s, set->v[i].text.n) != 0)
            set->v[kept++] = set->v[i];
    set->n = kept;
    for (size_t c = 0, i = 0; c < 256; c++) {
        while (i < set->n && (uint8_t)set->v[i].text.s[0] == c)
            i++;
        set->first[c + 1] = (uint32_t)i;
    }
    set->only = set->n && set->v[0].text.s[0] == set->v[set->n - 1].text.s[0]
        ? (uint8_t)set->v[0].text.s[0] : -1;
}

void dk_added_free(dk_added_set *set)
{
    dk_free(set->v);
    dk_free(set->store);
    *set = (dk_added_set){0};
}
