/* The k largest (or smallest) of a stream of (value, id): a threshold and a
 * buffer of 2k entries.
 *
 * Order: value descending (bottom: ascending), then id ascending; -0 equals +0.
 * Ids must arrive in ascending order, values not NaN. */
#ifndef DK_NUM_TOPHEAP_H
#define DK_NUM_TOPHEAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct dk_heap {
    uint64_t *entry;        /* [2k], the caller's */
    size_t n;
    float limit;            /* offer only what is beyond it */
} dk_heap;

void dk_heap_begin(dk_heap *h, int bottom);
void dk_heap_offer(dk_heap *h, size_t k, float v, uint32_t id, int bottom);
/* The entries in order: the number of them, at most k. */
size_t dk_heap_end(dk_heap *h, size_t k, int bottom, uint32_t *id, float *value);

#endif
