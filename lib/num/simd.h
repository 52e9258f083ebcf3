/* Vector types and per-CPU clones for the kernels of lib/num.
 *
 * Kernels are written in GNU C vectors of eight floats and compiled for the
 * baseline, AVX2 + FMA and AVX-512; the loader picks.  A result is the same on
 * every run on one machine; between machines the last bits may differ. */
#ifndef DK_NUM_SIMD_H
#define DK_NUM_SIMD_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define DK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DK_CLONES       /* the sanitizers start before the loader can pick */
#endif
#define DK_INLINE static inline __attribute__((always_inline))

typedef float dk_v8 __attribute__((vector_size(32)));
typedef float dk_v8u __attribute__((vector_size(32), aligned(4), may_alias));

/* Macros, not functions: passing 32-byte vectors by value would change the
 * calling convention between clones. */
#define DK_LOAD8(p) ((dk_v8)*(const dk_v8u *)(p))
#define DK_STORE8(p, v) ((void)(*(dk_v8u *)(p) = (dk_v8u)(v)))

#endif
