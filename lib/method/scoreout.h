/* From tokens to a score file: what dk-kl and dk-topk share. */
#ifndef DK_METHOD_SCOREOUT_H
#define DK_METHOD_SCOREOUT_H

#include "io/scorefile.h"
#include "method/score.h"

/* Writes all of s: kl/LANE, logp/LANE, topk/LANE/... and the vocabulary sums. */
int dk_score_write(const dk_score *s, const dk_pair *pair, const dk_tokens *t, const dk_score_plan *plan,
                   const char *path, const dk_provenance *prov, dk_err *err);

#endif
