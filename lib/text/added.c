/* Searching added tokens: a table by first byte, and their white space. */
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

size_t dk_spaces_after(const char *s, size_t n)
{
    size_t at = 0, next = 0;

    while (next < n && dk_utf8_class(dk_utf8_next(s, n, &next)) == DK_CLASS_SPACE)
        at = next;
    return at;
}

size_t dk_spaces_before(const char *s, size_t n)
{
    size_t end = n;

    while (end > 0) {
        size_t at = end, next;

        while (at > 0 && ((uint8_t)s[--at] & 0xC0) == 0x80)
            ;
        next = at;
        if (dk_utf8_class(dk_utf8_next(s, n, &next)) != DK_CLASS_SPACE)
            break;
        end = at;
    }
    return n - end;
}

/* The longest added token that starts at s[at]. */
static const dk_added *added_at(const dk_added_set *set, const char *s, size_t n, size_t at)
{
    const uint8_t c = (uint8_t)s[at];

    for (uint32_t i = set->first[c]; i < set->first[c + 1]; i++)
        if (set->v[i].text.n <= n - at && memcmp(set->v[i].text.s, s + at, set->v[i].text.n) == 0)
            return &set->v[i];
    return NULL;
}

const dk_added *dk_added_next(const dk_added_set *set, const char *s, size_t n, size_t from,
                              size_t *start)
{
    for (size_t at = from; at < n; at++) {
        const dk_added *a;

        if (set->only >= 0) {
            const char *p = memchr(s + at, set->only, n - at);

            if (!p)
                return NULL;
            at = (size_t)(p - s);
        }
        a = added_at(set, s, n, at);
        if (a) {
            *start = at;
            return a;
        }
    }
    return NULL;
}

static int longest_first(const void *va, const void *vb)
{
    const dk_added *a = va, *b = vb;
    const int x = (uint8_t)a->text.s[0], y = (uint8_t)b->text.s[0];

    if (x != y)
        return x - y;
    if (a->text.n != b->text.n)
        return a->text.n < b->text.n ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void dk_added_fill(dk_added_set *set, const dk_tokenizer_spec *spec, bool normalized, char *store)
{
    set->v = dk_xcalloc(spec->n_added, sizeof *set->v);
    for (size_t i = 0; i < spec->n_added; i++) {
        const dk_added *a = &spec->added[i];

        if (a->normalized == normalized && a->text.n > 0) {
            set->v[set->n] = *a;
            set->v[set->n++].text.s = store;
            memcpy(store, a->text.s, a->text.n);
        }
        store += a->text.n;
    }
    qsort(set->v, set->n, sizeof *set->v, longest_first);
    for (size_t c = 0, i = 0; c < 256; c++) {
        while (i < set->n && (uint8_t)set->v[i].text.s[0] == c)
            i++;
        set->first[c + 1] = (uint32_t)i;
    }
    set->only = set->n && set->v[0].text.s[0] == set->v[set->n - 1].text.s[0]
        ? (uint8_t)set->v[0].text.s[0] : -1;
}
