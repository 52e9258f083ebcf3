/* What is used of the CUDA runtime, declared here so that the host side compiles
 * without a toolkit (cucheck.c compares with the real headers where they are).
 * Error codes are ints, streams and events opaque. */
#ifndef DK_BACKEND_CUDA_CURT_H
#define DK_BACKEND_CUDA_CURT_H

#include <stddef.h>

enum {
    DK_CUDA_OK = 0, DK_CUDA_ERR_MEMORY = 2, DK_CUDA_ERR_OLD_DRIVER = 35, DK_CUDA_ERR_NO_DEVICE = 100,
    DK_CUDA_ERR_NO_IMAGE = 209, DK_CUDA_ERR_OLD_PTX = 222,
    DK_CUDA_TO_DEVICE = 1, DK_CUDA_TO_HOST = 2, DK_CUDA_ON_DEVICE = 3,      /* cudaMemcpyKind */
    DK_CUDA_CC_MAJOR = 75, DK_CUDA_CC_MINOR = 76,                           /* cudaDeviceAttr */
    DK_CUDA_STREAM_APART = 1,       /* cudaStreamNonBlocking */
    DK_CUDA_EVENT_PLAIN = 2,        /* cudaEventDisableTiming */
    DK_CUDA_PROP_ROOM = 8192        /* more than any cudaDeviceProp; the name comes first */
};

#ifndef DK_CUDA_REAL_HEADERS
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;

int cudaDriverGetVersion(int *version);
int cudaGetDeviceCount(int *n);
int cudaSetDevice(int card);
int cudaDeviceGetAttribute(int *value, int attribute, int card);
int cudaGetDeviceProperties(void *prop, int card);
int cudaMemGetInfo(size_t *avail, size_t *total);
const char *cudaGetErrorString(int code);
int cudaGetLastError(void);
int cudaMalloc(void **p, size_t bytes);
int cudaFree(void *p);
int cudaMallocHost(void **p, size_t bytes);
int cudaFreeHost(void *p);
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, cudaStream_t s);
int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t pitch, size_t width, size_t height, int kind,
                      cudaStream_t s);
int cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s);
int cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width, size_t height, cudaStream_t s);
int cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
int cudaStreamDestroy(cudaStream_t s);
int cudaStreamSynchronize(cudaStream_t s);
int cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags);
int cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
int cudaEventDestroy(cudaEvent_t e);
int cudaEventRecord(cudaEvent_t e, cudaStream_t s);
int cudaEventSynchronize(cudaEvent_t e);
#endif

#endif
