/* The permutation that numpy.random.default_rng(seed).permutation(n) gives, bit
 * for bit: PCG64 seeded through a pool of entropy, and Fisher and Yates from the
 * last item down.  Loaders of data sets shuffle with it, so that a seed means
 * the same rows here as there. */
#ifndef DK_BASE_PERMUTE_H
#define DK_BASE_PERMUTE_H

#include <stdint.h>

/* Fills out[n]. */
void dk_permute(uint64_t seed, uint32_t *out, uint32_t n);

#endif
