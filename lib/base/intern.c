/* Strings as numbers. */
#include "base/intern.h"

#include <string.h>

static uint64_t hash(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ h >> 29;
}

const char *dk_intern_text(const dk_intern *t, uint32_t id, size_t *n)
{
    if (n)
        *n = t->at[id + 1] - t->at[id] - 1;
    return t->text.s + t->at[id];
}

/* Where the string is, or would be. */
static size_t place_of(const dk_intern *t, const char *s, size_t n)
{
    size_t p = hash(s, n) & (t->cap - 1), len;

    for (; t->place[p]; p = (p + 1) & (t->cap - 1)) {
        const char *have = dk_intern_text(t, t->place[p] - 1, &len);

        if (len == n && memcmp(have, s, n) == 0)
            break;
    }
    return p;
}

static void grow(dk_intern *t)
{
    const size_t cap = t->cap ? 2 * t->cap : 1024;

    dk_free(t->place);
    t->place = dk_xcalloc(cap, sizeof *t->place);
    t->at = dk_xrealloc(t->at, (cap / 2 + 2) * sizeof *t->at);
    t->cap = cap;
    t->at[0] = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t n;
        const char *s = dk_intern_text(t, (uint32_t)i, &n);

        t->place[place_of(t, s, n)] = (uint32_t)i + 1;
    }
}

uint32_t dk_intern_add(dk_intern *t, const char *s, size_t n)
{
    size_t p;

    if (2 * (t->n + 1) > t->cap)
        grow(t);
    p = place_of(t, s, n);
    if (t->place[p] == 0) {
        DK_ASSERT(t->n < UINT32_MAX - 1);
        dk_buf_add(&t->text, s, n);
        dk_buf_addc(&t->text, 0);
        t->at[++t->n] = t->text.n;
        t->place[p] = (uint32_t)t->n;
    }
    return t->place[p] - 1;
}

int64_t dk_intern_find(const dk_intern *t, const char *s, size_t n)
{
    return t->n ? (int64_t)t->place[place_of(t, s, n)] - 1 : DK_INTERN_NONE;
}

void dk_intern_free(dk_intern *t)
{
    dk_buf_free(&t->text);
    dk_free(t->at);
    dk_free(t->place);
    *t = (dk_intern){0};
}
