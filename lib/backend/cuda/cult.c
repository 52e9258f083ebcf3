/* Finding and loading cuBLASLt. */
#include "backend/cuda/cult.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void *find(dk_err *err)
{
    static const char *const names[] = {
        "libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13",
        "/usr/local/cuda/lib64/libcublasLt.so.12"
    };
    const char *named = getenv("DK_CUBLASLT_LIB");
    void *lib = NULL;

    if (named && *named) {
        lib = dlopen(named, RTLD_NOW | RTLD_LOCAL);
        if (!lib)
            dk_fail(err, DK_EIO, "DK_CUBLASLT_LIB: %s", dlerror());
        return lib;
    }
    for (size_t i = 0; !lib && i < sizeof names / sizeof *names; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        dk_fail(err, DK_EIO, "libcublasLt.so.13 is not installed");
    return lib;
}

int dk_cuda_lt_load(struct dk_lt *lt, dk_err *err)
{
#define X(name) { #name, offsetof(struct dk_lt, name) }
    static const struct { const char *name; size_t at; } names[] = {
        X(cublasLtCreate), X(cublasLtDestroy), X(cublasLtGetVersion), X(cublasLtMatmulDescCreate),
        X(cublasLtMatmulDescDestroy), X(cublasLtMatmulDescSetAttribute), X(cublasLtMatrixLayoutCreate),
        X(cublasLtMatrixLayoutDestroy), X(cublasLtMatmulPreferenceCreate), X(cublasLtMatmulPreferenceDestroy),
        X(cublasLtMatmulPreferenceSetAttribute), X(cublasLtMatmulAlgoGetHeuristic), X(cublasLtMatmul)
    };
#undef X
    void *lib = find(err);

    if (!lib)
        return DK_EIO;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *p = dlsym(lib, names[i].name);

        if (!p)
            return dk_fail(err, DK_EIO, "cuBLASLt has no %s", names[i].name);
        memcpy((char *)lt + names[i].at, &p, sizeof p);
    }
    return 0;
}
