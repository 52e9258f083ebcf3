/* Per-token KL(lane || base), log-sum-exp and log-probability of the token
 * that follows, as a head visitor (formula: num/kernel_kl.h). */
#ifndef DK_METHOD_KL_H
#define DK_METHOD_KL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "backend/visitor.h"

typedef struct dk_kl dk_kl;

/* Lane 0 is the base; every other lane is compared with it. */
int dk_kl_new(dk_kl **out, size_t n_lanes, double temperature, dk_err *err);
void dk_kl_free(dk_kl **k);

/* Where the rows of the next head pass go: kl[lane][row] for lanes 1.. and
 * logp[lane][row] for all (logp NULL: not wanted).  next[row] is the id whose
 * log-probability is meant, UINT32_MAX none (NaN is stored). */
void dk_kl_target(dk_kl *k, float *const *kl, float *const *logp, const uint32_t *next);
dk_visitor dk_kl_visitor(dk_kl *k);

#endif
