/* Statistics of per-token KL, as rows of a table (dk-formats(5)). */
#ifndef DK_METHOD_KLTABLE_H
#define DK_METHOD_KLTABLE_H

#include <stdbool.h>

#include "base/mem.h"
#include "io/actinput.h"

/* Appends one JSON line: lane's per-token and per-sequence statistics, with a
 * bootstrap interval of the mean over documents.  reverse: of KL(against || lane).
 * With the log-probabilities of the tokens that follow (lane's, the other's; NaN:
 * none) also their mean change and p of the sign-flip test on it.  NULL: without. */
int dk_kl_table_row(dk_buf *out, const char *lane, const char *against, bool reverse, const dk_tokens *t,
                    const float *kl, const float *logp, const float *logp_against, uint64_t seed, dk_err *err);
/* The same rows of a statistics file, as far as sums tell: no percentiles, no p. */
int dk_kl_stats_table(dk_buf *out, const dk_act_input *in, dk_err *err);

#endif
