/* The counter generator: every random draw is a pure function of (seed,
 * stream, a, b), so a result depends on no order and on no thread count.
 * mix is the output function of SplitMix64 (Steele, Lea, Flood 2014). */
#ifndef DK_BASE_RNG_H
#define DK_BASE_RNG_H

#include <stdint.h>

enum dk_stream {
    DK_STREAM_BOOTSTRAP = 1, DK_STREAM_SIGNFLIP = 2, DK_STREAM_ROTATION = 3,
    DK_STREAM_SAMPLING = 4, DK_STREAM_ORDER = 5, DK_STREAM_SKETCH = 6
};

static inline uint64_t dk_mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t dk_ctr(uint64_t seed, uint64_t stream, uint64_t a, uint64_t b)
{
    return dk_mix(dk_mix(dk_mix(dk_mix(seed) ^ stream) ^ a) ^ b);
}

/* In [0, 1), 53 bits. */
static inline double dk_uniform(uint64_t u) { return (double)(u >> 11) * 0x1p-53; }

#endif
