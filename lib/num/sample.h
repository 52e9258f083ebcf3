/* The next token from one row of logits.
 *
 * Order of operations, as in the model library: repetition penalty (of the
 * greedy choice too), temperature, top-k, top-p, min-p, then a draw from what
 * was kept.
 *   top-k  drops what is strictly below the k-th largest logit: ties stay.
 *   top-p  goes through the kept tokens from the least likely on, summing
 *          probabilities; drops a token while that sum, itself included, is
 *          <= 1 - p.  The most likely token always stays.
 *   min-p  drops tokens less likely than min_p times the most likely one.
 * Of equal logits, the lower id counts as the more likely token.  One of
 * -infinity is no token at all.
 *
 * A draw is the smallest id whose cumulative weight, in double over ascending
 * ids, exceeds uniform times the total. */
#ifndef DK_NUM_SAMPLE_H
#define DK_NUM_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "num/idset.h"

typedef struct dk_sampling {
    double temperature;         /* 0: greedy, the rest is then without effect */
    size_t top_k;               /* 0: off */
    double top_p;               /* 1: off */
    double min_p;               /* 0: off */
    double repetition_penalty;  /* > 0; 1 (and 0): off */
} dk_sampling;

static inline bool dk_sampling_penalises(const dk_sampling *how)
{
    return how->repetition_penalty > 0 && how->repetition_penalty != 1;
}

/* Room for one row at a time: a thread needs one of its own. */
typedef struct dk_sampler {
    size_t vocab, live, n;      /* of the last row: tokens that it does not exclude; tokens kept */
    uint32_t *id;               /* [n] ascending */
    double *weight;             /* [n] the most likely token has 1 */
    double total;
    uint32_t *order, *key, *spare_order, *spare_key;
    dk_idset seen;              /* ids met in the row's context */
} dk_sampler;

int dk_sampler_new(dk_sampler **out, size_t vocab, dk_err *err);
void dk_sampler_free(dk_sampler **s);

/* Of every id in two lists (a prompt and its answer), once: a positive logit
 * divided by the penalty, a negative one times it.  Ids beyond the vocabulary
 * are passed over. */
void dk_sampler_penalise(dk_sampler *s, float *logits, double penalty, const uint32_t *a, size_t n_a,
                         const uint32_t *b, size_t n_b);

/* What may be drawn from a row [vocab].  DK_ENUM for logits with a NaN or
 * +infinity. */
int dk_sampler_keep(dk_sampler *s, const dk_sampling *how, const float *logits);
/* uniform in [0, 1); after dk_sampler_keep. */
uint32_t dk_sampler_draw(const dk_sampler *s, double uniform);

/* The largest logit, the lowest id of equals; DK_ENUM as above. */
int dk_argmax(uint32_t *id, const float *logits, size_t n);

/* Both: greedy at temperature 0, else keep and draw. */
int dk_sampler_next(dk_sampler *s, const dk_sampling *how, const float *logits, double uniform,
                    uint32_t *id);

#endif
