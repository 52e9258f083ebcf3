/* An arena: memory that is handed out piece by piece and given back as a whole. */
#ifndef DK_BASE_ARENA_H
#define DK_BASE_ARENA_H

#include <stddef.h>

/* Start with { .limit = bytes }. */
typedef struct dk_arena {
    struct dk_arena_chunk *last;
    size_t used, limit;
} dk_arena;

/* n zeroed bytes, aligned to 16; NULL beyond the limit. */
void *dk_arena_get(dk_arena *a, size_t n);
/* p, the latest piece, grows from n to more bytes in place, or moves. */
void *dk_arena_grow(dk_arena *a, void *p, size_t n, size_t more);
void dk_arena_free(dk_arena *a);

#endif
