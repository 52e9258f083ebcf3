/* Our declarations of the CUDA runtime and of cuBLASLt against the real headers,
 * where they are; nothing is left of it in the object. */
#if __has_include(<cuda_runtime_api.h>)
#define DK_CUDA_REAL_HEADERS
#include <cuda_runtime_api.h>

#include "backend/cuda/curt.h"

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(DK_CUDA_OK, cudaSuccess);
SAME(DK_CUDA_ERR_MEMORY, cudaErrorMemoryAllocation);
SAME(DK_CUDA_ERR_OLD_DRIVER, cudaErrorInsufficientDriver);
SAME(DK_CUDA_ERR_NO_DEVICE, cudaErrorNoDevice);
SAME(DK_CUDA_ERR_NO_IMAGE, cudaErrorNoKernelImageForDevice);
SAME(DK_CUDA_ERR_OLD_PTX, cudaErrorUnsupportedPtxVersion);
SAME(DK_CUDA_TO_DEVICE, cudaMemcpyHostToDevice);
SAME(DK_CUDA_TO_HOST, cudaMemcpyDeviceToHost);
SAME(DK_CUDA_ON_DEVICE, cudaMemcpyDeviceToDevice);
SAME(DK_CUDA_CC_MAJOR, cudaDevAttrComputeCapabilityMajor);
SAME(DK_CUDA_CC_MINOR, cudaDevAttrComputeCapabilityMinor);
SAME(DK_CUDA_STREAM_APART, cudaStreamNonBlocking);
SAME(DK_CUDA_EVENT_PLAIN, cudaEventDisableTiming);
_Static_assert(sizeof(struct cudaDeviceProp) <= DK_CUDA_PROP_ROOM, "cudaDeviceProp");
_Static_assert(__builtin_offsetof(struct cudaDeviceProp, name) == 0, "the name comes first");

/* Enumerations are as wide as int; the rest is compared by calling with what we pass. */
#define CALL(f) _Static_assert(sizeof(f) == sizeof(int), #f)
CALL(cudaDriverGetVersion((int *)0));
CALL(cudaGetDeviceCount((int *)0));
CALL(cudaSetDevice(0));
CALL(cudaDeviceGetAttribute((int *)0, (enum cudaDeviceAttr)0, 0));
CALL(cudaMemGetInfo((size_t *)0, (size_t *)0));
CALL(cudaGetLastError());
CALL(cudaMalloc((void **)0, (size_t)0));
CALL(cudaFree((void *)0));
CALL(cudaMallocHost((void **)0, (size_t)0));
CALL(cudaFreeHost((void *)0));
CALL(cudaMemcpyAsync((void *)0, (const void *)0, (size_t)0, (enum cudaMemcpyKind)0, (cudaStream_t)0));
CALL(cudaMemcpy2DAsync((void *)0, (size_t)0, (const void *)0, (size_t)0, (size_t)0, (size_t)0, (enum cudaMemcpyKind)0,
                       (cudaStream_t)0));
CALL(cudaMemsetAsync((void *)0, 0, (size_t)0, (cudaStream_t)0));
CALL(cudaMemset2DAsync((void *)0, (size_t)0, 0, (size_t)0, (size_t)0, (cudaStream_t)0));
CALL(cudaStreamCreateWithFlags((cudaStream_t *)0, 0u));
CALL(cudaStreamDestroy((cudaStream_t)0));
CALL(cudaStreamSynchronize((cudaStream_t)0));
CALL(cudaStreamWaitEvent((cudaStream_t)0, (cudaEvent_t)0, 0u));
CALL(cudaEventCreateWithFlags((cudaEvent_t *)0, 0u));
CALL(cudaEventDestroy((cudaEvent_t)0));
CALL(cudaEventRecord((cudaEvent_t)0, (cudaStream_t)0));
CALL(cudaEventSynchronize((cudaEvent_t)0));

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>

#include "backend/cuda/cult.h"

SAME(DK_LT_R_32F, CUDA_R_32F);
SAME(DK_LT_R_16BF, CUDA_R_16BF);
SAME(DK_LT_COMPUTE_32F, CUBLAS_COMPUTE_32F);
SAME(DK_LT_OP_T, CUBLAS_OP_T);
SAME(DK_LT_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(DK_LT_PREF_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(DK_LT_PREF_REDUCTION, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(DK_LT_PREF_ALIGN_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(DK_LT_PREF_ALIGN_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(DK_LT_PREF_ALIGN_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(DK_LT_PREF_ALIGN_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(DK_LT_REDUCTION_NONE, CUBLASLT_REDUCTION_SCHEME_NONE);
_Static_assert(sizeof(dk_lt_algo) == sizeof(cublasLtMatmulAlgo_t), "cublasLtMatmulAlgo_t");
_Static_assert(sizeof(dk_lt_found) == sizeof(cublasLtMatmulHeuristicResult_t), "cublasLtMatmulHeuristicResult_t");
SAME(__builtin_offsetof(dk_lt_found, state), __builtin_offsetof(cublasLtMatmulHeuristicResult_t, state));
CALL(cublasLtMatmul((cublasLtHandle_t)0, (cublasLtMatmulDesc_t)0, (const void *)0, (const void *)0,
                    (cublasLtMatrixLayout_t)0, (const void *)0, (cublasLtMatrixLayout_t)0, (const void *)0,
                    (const void *)0, (cublasLtMatrixLayout_t)0, (void *)0, (cublasLtMatrixLayout_t)0,
                    (const cublasLtMatmulAlgo_t *)0, (void *)0, (size_t)0, (cudaStream_t)0));
CALL(cublasLtMatmulAlgoGetHeuristic((cublasLtHandle_t)0, (cublasLtMatmulDesc_t)0, (cublasLtMatrixLayout_t)0,
                                    (cublasLtMatrixLayout_t)0, (cublasLtMatrixLayout_t)0, (cublasLtMatrixLayout_t)0,
                                    (cublasLtMatmulPreference_t)0, 0, (cublasLtMatmulHeuristicResult_t *)0, (int *)0));
#endif
#endif
typedef int dk_cuda_checked;
