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

/* Keeps the best k; the limit becomes the k-th value. */
static void compact(dk_heap *h, size_t k, int bottom)
{
    qsort(h->entry, h->n, sizeof *h->entry, by_entry);
    h->n = h->n < k ? h->n : k;
    if (h->n == k)
        h->limit = value_of(h->entry[k - 1], bottom);
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
    compact(h, k, bottom);
    for (size_t j = 0; j < h->n; j++) {
        id[j] = (uint32_t)h->entry[j];
        value[j] = value_of(h->entry[j], bottom);
    }
    return h->n;
}
