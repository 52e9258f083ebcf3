/* How often each token stands in a lane's top lists, with the error that comes
 * of the texts: a text is drawn as a whole, so its positions are not independent.
 *
 *   r = X / N,  se^2 = D / (D - 1) (sum x^2 - 2 r sum x n + r^2 sum n^2) / N^2
 *
 * over D texts with x of n positions; x counts a position once, however many
 * spellings of a word its list holds. */
#ifndef DK_METHOD_MINERATE_H
#define DK_METHOD_MINERATE_H

#include "method/minefile.h"
#include "method/minewords.h"

typedef struct dk_rates {
    size_t texts;
    double *rate, *se;          /* [vocab]; se NaN with fewer than two texts */
} dk_rates;

int dk_rates_make(dk_rates *r, const dk_mine_file *f, const dk_mine_lists *l, const dk_words *w, dk_err *err);
void dk_rates_free(dk_rates *r);

/* What the nulls' rates make of the first's, for each token.  With fewer than
 * five nulls it is set against the one with the highest rate,
 *   z = (r - m) / sqrt(se^2 + se_m^2);
 * else against their mean and standard deviation, that no less than the median
 * one of tokens about as frequent in the texts (deciles).
 *
 * dk-calibrate's z of the same rates is the same formula (num/infer.h) with three
 * differences, each for its purpose.  Here the list is the reference toolkit's, of
 * one run: deciles are those of the texts that were run, all tokens are in them, and
 * an error is the documents' alone.  There z of nulls are compared with z of the
 * finetune: a null is left out of its own ensemble, deciles come from neutral texts
 * and hold the tokens that some list has, and an error is no less than that of as
 * many independent positions, so that what was never seen is no unit of error 0. */
typedef struct dk_rates_z {
    double *z;                  /* [vocab]; NaN: no error to compare with */
    uint8_t *null;              /* [vocab] which lane (from 1) has the highest rate */
} dk_rates_z;

int dk_rates_compare(dk_rates_z *out, const dk_rates *ft, const dk_rates *nulls, size_t n_nulls, const dk_tokens *t,
                     size_t vocab, dk_err *err);
void dk_rates_z_free(dk_rates_z *z);

#endif
