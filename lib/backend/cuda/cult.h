/* What is used of cuBLASLt, which is loaded at run time.  Own declarations:
 * cucheck.c compares them with cublasLt.h where that is. */
#ifndef DK_BACKEND_CUDA_CULT_H
#define DK_BACKEND_CUDA_CULT_H

#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/curt.h"
#include "base/err.h"

typedef struct { uint64_t data[8]; } dk_lt_algo;
typedef struct { dk_lt_algo algo; size_t workspace; int state; float waves; int reserved[4]; } dk_lt_found;

enum {
    DK_LT_R_32F = 0, DK_LT_R_16BF = 14,         /* cudaDataType */
    DK_LT_COMPUTE_32F = 68,                     /* no TF32 */
    DK_LT_OP_T = 1,
    DK_LT_DESC_TRANSA = 3,
    DK_LT_PREF_WORKSPACE = 1, DK_LT_PREF_REDUCTION = 3, DK_LT_PREF_ALIGN_A = 5, DK_LT_PREF_ALIGN_B = 6,
    DK_LT_PREF_ALIGN_C = 7, DK_LT_PREF_ALIGN_D = 8,
    DK_LT_REDUCTION_NONE = 0
};

/* Handles, descriptors, layouts and preferences are opaque. */
struct dk_lt {
    int (*cublasLtCreate)(void **handle);
    int (*cublasLtDestroy)(void *handle);
    size_t (*cublasLtGetVersion)(void);
    int (*cublasLtMatmulDescCreate)(void **desc, int compute, int scale);
    int (*cublasLtMatmulDescDestroy)(void *desc);
    int (*cublasLtMatmulDescSetAttribute)(void *desc, int what, const void *value, size_t bytes);
    int (*cublasLtMatrixLayoutCreate)(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
    int (*cublasLtMatrixLayoutDestroy)(void *layout);
    int (*cublasLtMatmulPreferenceCreate)(void **pref);
    int (*cublasLtMatmulPreferenceDestroy)(void *pref);
    int (*cublasLtMatmulPreferenceSetAttribute)(void *pref, int what, const void *value, size_t bytes);
    int (*cublasLtMatmulAlgoGetHeuristic)(void *handle, void *desc, void *a, void *b, void *c, void *d, void *pref,
                                          int wanted, dk_lt_found *found, int *n);
    int (*cublasLtMatmul)(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                          void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                          const dk_lt_algo *algo, void *workspace, size_t bytes, cudaStream_t s);
};

/* Loads the library for the rest of the process: DK_CUBLASLT_LIB, or where the
 * system and the usual folders have it.  DK_EIO where there is none. */
int dk_cuda_lt_load(struct dk_lt *lt, dk_err *err);

#endif
