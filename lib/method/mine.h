/* Diff mining: ranked lists of the tokens that a finetune raises, from the
 * sums that the top-k pass leaves for every vocabulary id.
 *
 *   top_k_occurring         share of positions (in percent) where the id is
 *                           among the k largest differences
 *   fraction_positive_diff  share of positions (0 to 1) where it rises at all
 *   nmf                     topics: tokens that are raised at the same positions
 *
 * Ranked by count, ties by id (the reference leaves ties open). */
#ifndef DK_METHOD_MINE_H
#define DK_METHOD_MINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "method/minewords.h"
#include "method/topk.h"

typedef enum dk_ordering { DK_ORDER_TOPK, DK_ORDER_POSITIVE, DK_ORDER_NMF } dk_ordering;

const char *dk_ordering_name(dk_ordering o);
/* The value of a token that nothing raises: half of all signs are positive. */
double dk_ordering_chance(dk_ordering o);

typedef struct dk_mined {
    uint32_t id;
    float value;                /* the ordering's, as f32 */
    float avg_diff;             /* mean logit difference over positions */
    int64_t count_positive, count_negative;
} dk_mined;

/* One id's numbers; positions > 0. */
dk_mined dk_mine_one(const dk_topk_vocab *v, uint32_t id, size_t positions, dk_ordering o);
/* The n first of vocab ids: out[n], n <= vocab. */
int dk_mine_rank(dk_mined *out, size_t n, const dk_topk_vocab *v, size_t vocab, size_t positions,
                 dk_ordering o, dk_err *err);

/* The sums of words: those of a group's tokens are added up at its first; sum_diff
 * is their mean.  In place, once. */
void dk_mine_merge(dk_topk_vocab *v, size_t vocab, const dk_words *w);

#endif
