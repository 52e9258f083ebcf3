/* Statistics of a score, one value a token: over tokens, over the means of texts
 * and over their maxima, with the interval of the mean over texts. */
#ifndef DK_IO_ROWSTATS_H
#define DK_IO_ROWSTATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/json.h"
#include "io/tokfile.h"

/* Room for the values of one score; zero-initialise. */
typedef struct dk_rowstats {
    float *value, *mean, *max;      /* [n] that are no NaN; [docs] that have such */
    double *sum, *square, *count;   /* [docs]; square: sums of squares */
    uint64_t *id;                   /* [docs] */
    size_t n, docs;
} dk_rowstats;

int dk_rowstats_room(dk_rowstats *g, const dk_tokens *t, dk_err *err);
void dk_rowstats_free(dk_rowstats *g);
/* Of v[rows], as members of the object at hand: value, lo, hi, docs and
 * {per_token,mean_per_sample,max_per_sample}_statistics (dk-formats(5)). */
int dk_rowstats_put(dk_jw *w, dk_rowstats *g, const dk_tokens *t, const float *v, uint64_t seed, dk_err *err);
/* Of what was last put: rms, rms_lo, rms_hi, the root mean square and its interval over texts. */
int dk_rowstats_rms(dk_jw *w, const dk_rowstats *g, uint64_t seed, dk_err *err);

#endif
