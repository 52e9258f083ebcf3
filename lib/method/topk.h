/* Top and bottom k of the logit difference (lane - base) at each row, and its
 * sums over rows for every vocabulary id, as a head visitor: no row of the
 * vocabulary's width is held.
 *
 * Order: value descending (bottom: ascending), then id ascending.  Sums over
 * rows are kept in fixed point (2^-30), so they are exact whatever the order
 * of rows, threads and batches; |difference| must stay below 2^20. */
#ifndef DK_METHOD_TOPK_H
#define DK_METHOD_TOPK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "backend/visitor.h"

typedef struct dk_topk dk_topk;

/* Where one lane's lists of the next head pass go: [row, k] each. */
typedef struct dk_topk_lists {
    uint32_t *top_id, *bottom_id;
    float *top, *bottom;
    float *watched;             /* [row, watched ids]; may be NULL */
} dk_topk_lists;

/* Sums over all rows seen so far, each [V]. */
typedef struct dk_topk_vocab {
    double *sum_diff;
    int64_t *count_positive, *top_count, *bottom_count;
} dk_topk_vocab;

/* vocab: ids from there on are not looked at. */
int dk_topk_new(dk_topk **out, size_t n_lanes, size_t k, size_t vocab, dk_err *err);
/* Ids below vocab whose difference is kept at every row; borrowed. */
void dk_topk_watch(dk_topk *t, const uint32_t *ids, size_t n);
void dk_topk_free(dk_topk **t);
void dk_topk_target(dk_topk *t, const dk_topk_lists *lists);    /* [lane], lane 0 unused */
dk_visitor dk_topk_visitor(dk_topk *t);
/* Fails if a difference was NaN, infinite or too large. */
int dk_topk_vocab_get(const dk_topk *t, size_t lane, const dk_topk_vocab *out, dk_err *err);

#endif
