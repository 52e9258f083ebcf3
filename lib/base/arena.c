/* Chunks that double up to a size, a piece larger than that in a chunk of its own. */
#include "base/arena.h"

#include <string.h>

#include "base/mem.h"

enum { ALIGN = 16, FIRST = 1 << 12, MOST = 1 << 20 };

struct dk_arena_chunk {
    struct dk_arena_chunk *before;
    size_t n, cap;
    _Alignas(ALIGN) char s[];
};

static size_t rounded(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

void *dk_arena_get(dk_arena *a, size_t n)
{
    struct dk_arena_chunk *c = a->last;
    void *p;

    if (n > a->limit || rounded(n) > a->limit - a->used)
        return NULL;
    n = rounded(n);
    if (!c || n > c->cap - c->n) {
        size_t cap = !c ? FIRST : c->cap < MOST ? 2 * c->cap : MOST;

        cap = cap < n ? n : cap;
        c = dk_xmalloc(sizeof *c + cap);
        *c = (struct dk_arena_chunk){ a->last, 0, cap };
        a->last = c;
    }
    p = c->s + c->n;
    c->n += n;
    a->used += n;
    return memset(p, 0, n);
}

void *dk_arena_grow(dk_arena *a, void *p, size_t n, size_t more)
{
    struct dk_arena_chunk *c = a->last;
    const size_t old = rounded(n);
    void *new;

    if (p && (char *)p == c->s + c->n - old && more <= a->limit &&
        rounded(more) <= c->cap - c->n + old && rounded(more) <= a->limit - a->used + old) {
        memset((char *)p + n, 0, rounded(more) - n);
        c->n += rounded(more) - old;
        a->used += rounded(more) - old;
        return p;
    }
    new = dk_arena_get(a, more);
    if (new && n)
        memcpy(new, p, n);
    return new;
}

void dk_arena_free(dk_arena *a)
{
    while (a->last) {
        struct dk_arena_chunk *before = a->last->before;

        dk_free(a->last);
        a->last = before;
    }
    a->used = 0;
}
