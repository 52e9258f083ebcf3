/* Heads.  What needs logits is a visitor: it sees them tile by tile and keeps
 * what it wants; the vocabulary-wide matrix never exists.  begin, tile ..., end
 * are called by one thread for one block of rows; blocks run in parallel, so a
 * visitor keeps its running state per thread.
 *
 * A visitor may also say in data what it computes (its eye): a device that has a
 * kernel for that fills the eye's results and calls none of the functions. */
#ifndef DK_BACKEND_VISITOR_H
#define DK_BACKEND_VISITOR_H

#include <stddef.h>
#include <stdint.h>

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

typedef enum dk_eye_kind { DK_EYE_KL, DK_EYE_TOPK, DK_EYE_LENS } dk_eye_kind;

/* All arrays are on the host; [lane][row] and [lane][row, k] are filled for the
 * rows of the head call, [lane][vocab] are added to. */
typedef struct dk_eye {
    dk_eye_kind kind;
    float inv_temperature;          /* KL */
    float *const *kl;               /* KL: [lane][row], lanes 1 .. (formula: num/kernel_kl.h) */
    float *const *logp;             /* KL: [lane][row] of next[row], all lanes; NULL: not wanted */
    const uint32_t *next;           /* KL: [row], UINT32_MAX: none (NaN is stored); NULL: no row has one */
    size_t k;                       /* TOPK, LENS */
    /* TOPK, lanes 1 ..: largest and smallest differences to lane 0; value
     * descending (bottom: ascending), then id ascending. */
    uint32_t *const *top_id, *const *bottom_id;
    float *const *top, *const *bottom;
    int64_t *const *sum_diff;       /* in units of 2^-30, each difference rounded to nearest even */
    int32_t *const *positive;       /* differences above 0 */
    int64_t *const *top_count, *const *bottom_count;
    int *const *bad;                /* [lane]: set to 1 where a difference is NaN or not below 2^20 */
    /* LENS: the likeliest ids of all lanes, by logit descending, then id. */
    uint32_t *const *id;
    float *const *id_logp;
} dk_eye;

typedef struct dk_visitor {
    void *self;
    void (*begin)(void *self, const dk_tile *t);    /* n = 0, logits NULL */
    void (*tile)(void *self, const dk_tile *t);
    void (*end)(void *self, const dk_tile *t);      /* n = 0, logits NULL */
    const dk_eye *eye;                              /* NULL: only the functions know */
} dk_visitor;

/* The largest number of rows that a visitor sees at once. */
enum { DK_HEAD_ROWS_MAX = DK_BLOCK_ROWS_MAX };

#endif
