/* Normal numbers of the Mersenne Twister as PyTorch's CPU generator draws them:
 * by these a factorisation starts where the reference toolkit's does. */
#ifndef DK_NUM_MTNORMAL_H
#define DK_NUM_MTNORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dk_mt {
    uint32_t word[624];
    size_t at;
    bool has_next;              /* of a pair drawn for an array below 16 */
    double next;
} dk_mt;

void dk_mt_seed(dk_mt *g, uint64_t seed);
uint32_t dk_mt_next(dk_mt *g);
/* One array of n f32 values: how they are drawn depends on its size. */
void dk_mt_normal(dk_mt *g, float *out, size_t n);

#endif
