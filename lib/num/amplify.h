/* The difference between a model and its base, amplified in the next token's distribution.
 *
 * z = x + alpha (x - b) of the logits x of a lane and b of its base is the
 * distribution x^(1 + alpha) b^(-alpha): alpha 0 is the lane, -1 the base.
 * Constants added to either drop out, so raw logits serve. */
#ifndef DK_NUM_AMPLIFY_H
#define DK_NUM_AMPLIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Log-probabilities of a token that was drawn amplified: the base's, the lane's, those of what
 * it was drawn from (masked; before temperature and what follows). */
enum { DK_LOGP_BASE, DK_LOGP_LANE, DK_LOGP_DRAWN, DK_N_LOGP };

/* x, d [n] both: from x (carried: what is added to base, else the logits) the
 * logits and what they differ by.  An id that both exclude (-infinity) differs by 0. */
void dk_amplify_split(float *x, float *d, const float *base, bool carried, size_t n);

/* z = x + alpha d, but -infinity where x < max x + ln beta (beta 0: nowhere); z may be d.
 * What x excludes stays excluded.  DK_ENUM where x holds a NaN, +infinity or nothing else
 * than -infinity. */
int dk_amplify(float *z, const float *x, const float *d, double alpha, double beta, size_t n);

/* ln sum exp of a row. */
double dk_row_lse(const float *x, size_t n);

#endif
