/* What kernels of vectors of eight share. */
#ifndef DK_NUM_KERNEL_TURN_H
#define DK_NUM_KERNEL_TURN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "num/simd.h"

/* Eight rows of eight values, turned. */
DK_INLINE void dk_turn8(dk_v8 r[8])
{
    dk_v8 t[8];

    #pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    #pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        r[4 * i] = __builtin_shufflevector(t[4 * i], t[4 * i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[4 * i + 1] = __builtin_shufflevector(t[4 * i], t[4 * i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        r[4 * i + 2] = __builtin_shufflevector(t[4 * i + 1], t[4 * i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        r[4 * i + 3] = __builtin_shufflevector(t[4 * i + 1], t[4 * i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    #pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        t[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    memcpy(r, t, sizeof t);
}

typedef int32_t mask8 __attribute__((vector_size(32)));

/* The largest of n > 0 values. */
DK_INLINE float dk_max_of(const float *restrict x, size_t n)
{
    float m = x[0];
    size_t j = 0;

    if (n >= 8) {
        dk_v8 v = DK_LOAD8(x);

        for (j = 8; j + 8 <= n; j += 8) {
            const dk_v8 w = DK_LOAD8(x + j);
            const mask8 up = w > v;

            v = (dk_v8)(((mask8)w & up) | ((mask8)v & ~up));
        }
        for (size_t i = 0; i < 8; i++)
            m = v[i] > m ? v[i] : m;
    }
    for (; j < n; j++)
        m = x[j] > m ? x[j] : m;
    return m;
}

#endif
