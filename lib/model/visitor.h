/* Heads.  What needs logits is a visitor: it sees them tile by tile and keeps
 * what it wants; the vocabulary-wide matrix never exists.  begin, tile ..., end
 * are called by one thread for one block of rows; blocks run in parallel, so a
 * visitor keeps its running state per thread. */
#ifndef DK_MODEL_VISITOR_H
#define DK_MODEL_VISITOR_H

#include <stddef.h>

#include "backend/product.h"

typedef struct dk_tile {
    size_t row0, rows;              /* rows row0 .. row0 + rows - 1 of the head's row list */
    size_t v0, n;                   /* vocabulary ids v0 .. v0 + n - 1 */
    const float *const *logits;     /* [lane]: [rows, ld] */
    const float *const *diff;       /* [lane]: logits less those of lane 0, laid out alike, where the
                                     * pass has them by themselves; NULL entry: subtract */
    size_t ld;
    int thread;
} dk_tile;

typedef struct dk_visitor {
    void *self;
    void (*begin)(void *self, const dk_tile *t);    /* n = 0, logits NULL */
    void (*tile)(void *self, const dk_tile *t);
    void (*end)(void *self, const dk_tile *t);      /* n = 0, logits NULL */
} dk_visitor;

/* The largest number of rows that a visitor sees at once. */
enum { DK_HEAD_ROWS_MAX = DK_BLOCK_ROWS_MAX };

#endif
