/* Sums that do not depend on their order.
 *
 * A value is rounded once, half to even, to a multiple of 2^-60 and added as an
 * integer of 128 bits; integers can be added in any order, by any thread and in
 * any shard.  What is read off in the end is rounded once more. */
#ifndef DK_NUM_EXACT_H
#define DK_NUM_EXACT_H

#include <math.h>
#include <stdint.h>

typedef __int128 dk_exact;

/* |v| < 2^48, which the caller makes sure of.  In two steps, as a conversion
 * gives 64 bits: the second is of what the first leaves, and has no rounding. */
static inline dk_exact dk_exact_of(double v)
{
    const double s = v * 0x1p60;
    const int64_t high = llrint(s * 0x1p-46);

    return (dk_exact)high * ((dk_exact)1 << 46) + llrint(s - (double)high * 0x1p46);
}

/* To the nearest double, half to even. */
double dk_exact_double(dk_exact x);
/* n s2 - s1^2, over n n: the variance of n values whose sum is s1 and the sum of
 * whose squares s2.  The difference is taken in integers of 256 bits, so nothing
 * cancels; n = 0 gives NaN. */
double dk_exact_variance(dk_exact s1, dk_exact s2, uint64_t n);

/* In files: two u64, the low one first, in two's complement. */
static inline void dk_exact_split(uint64_t out[2], dk_exact x)
{
    out[0] = (uint64_t)x;
    out[1] = (uint64_t)((unsigned __int128)x >> 64);
}

static inline dk_exact dk_exact_join(const uint64_t in[2])
{
    return (dk_exact)((unsigned __int128)in[1] << 64 | in[0]);
}

#endif
