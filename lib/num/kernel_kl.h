/* KL divergence of two next-token distributions in one pass over the logits.
 *
 * p are the finetune's logits, q the base's, x = (p - q) - d0 for any constant
 * d0 (that of p's largest logit is best: it moves as the maximum does).  With weights relative to the running maximum m of p,
 *     Z = sum w,  X = sum w x,  P = sum w phi(x),  phi(x) = exp(-x) - 1 + x >= 0,
 *     KL(p || q) = X/Z + ln(1 + P/Z - X/Z),
 * since q is proportional to p exp(-x).  Subtracting two rounded logarithms,
 * the usual form, loses a KL below 1e-6; this one keeps it.  Sums in double,
 * exp in f32. */
#ifndef DK_NUM_KERNEL_KL_H
#define DK_NUM_KERNEL_KL_H

#include <stddef.h>

typedef struct dk_lse { float m; double z; } dk_lse;    /* ln sum exp = m + ln z */

typedef struct dk_kl_row {
    dk_lse p, q;
    double x, phi, d0;              /* d0 = p - q at the id of p's maximum so far */
    double lo, hi;                  /* the range of p - q */
    int base_inf, ft_inf;           /* an id that only the base, only the finetune excludes */
    int bad;                        /* a NaN or +infinity was met */
} dk_kl_row;

/* Ready for the first tile. */
void dk_kl_begin(dk_kl_row *r);
/* The next n ids; logits are multiplied by inv_temperature (> 0). */
void dk_kl_tile(dk_kl_row *r, const float *p, const float *q, size_t n, float inv_temperature);
/* The same from d = p - q where that is known by itself, with more digits than
 * the two subtracted would give. */
void dk_kl_tile_diff(dk_kl_row *r, const float *q, const float *d, size_t n, float inv_temperature);
/* Nats; +infinity if the base excludes an id that the finetune allows; NaN
 * after bad logits. */
double dk_kl_end(const dk_kl_row *r);

void dk_lse_begin(dk_lse *s);
void dk_lse_tile(dk_lse *s, const float *p, size_t n, float inv_temperature);
double dk_lse_end(const dk_lse *s);

#endif
