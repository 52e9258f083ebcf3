/* An entry is one integer whose order is the wanted order: the value's bits,
 * made monotone, above the id. */
#include "num/topheap.h"

#include <math.h>
#include <stdlib.h>

#include "num/half.h"

static uint32_t ordered(float v)        /* ascending with v */
{
    const uint32_t b = dk_f32_bits(v + 0.0f);       /* -0 becomes +0 */

    return b & 0x80000000u ? ~b : b | 0x80000000u;
}

static float unordered(uint32_t o)
{
    return dk_bits_f32(o & 0x80000000u ? o & 0x7fffffffu : ~o);
}

static float value_of(uint64_t entry, int bottom)
{
    const uint32_t o = (uint32_t)(entry >> 32);

    return unordered(bottom ? o : ~o);
}

static int by_entry(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Puts the k smallest of n entries first, in any order (Hoare's FIND). */
static void choose(uint64_t *e, size_t n, size_t k)
{
    ptrdiff_t from = 0, to = (ptrdiff_t)n - 1;
    const ptrdiff_t last = (ptrdiff_t)k - 1;

    while (from < to) {
        const uint64_t pivot = e[last];
        ptrdiff_t i = from, j = to;

        do {
            while (e[i] < pivot)
                i++;
            while (e[j] > pivot)
                j--;
            if (i <= j) {
                const uint64_t moved = e[i];

                e[i++] = e[j];
                e[j--] = moved;
            }
        } while (i <= j);
        from = j < last ? i : from;
        to = last < i ? j : to;
    }
}

/* Keeps the best k of more; the limit becomes the worst of their values. */
static void compact(dk_heap *h, size_t k, int bottom)
{
    uint64_t last = 0;

    choose(h->entry, h->n, k);
    h->n = k;
    for (size_t i = 0; i < k; i++)
        last = h->entry[i] > last ? h->entry[i] : last;
    h->limit = value_of(last, bottom);
}

void dk_heap_begin(dk_heap *h, int bottom)
{
    h->n = 0;
    h->limit = bottom ? INFINITY : -INFINITY;
}

void dk_heap_offer(dk_heap *h, size_t k, float v, uint32_t id, int bottom)
{
    const uint32_t o = ordered(v);

    h->entry[h->n++] = (uint64_t)(bottom ? o : ~o) << 32 | id;
    if (h->n == 2 * k)
        compact(h, k, bottom);
}

size_t dk_heap_end(dk_heap *h, size_t k, int bottom, uint32_t *id, float *value)
{
    qsort(h->entry, h->n, sizeof *h->entry, by_entry);
    h->n = h->n < k ? h->n : k;
    for (size_t j = 0; j < h->n; j++) {
        id[j] = (uint32_t)h->entry[j];
        value[j] = value_of(h->entry[j], bottom);
    }
    return h->n;
}
