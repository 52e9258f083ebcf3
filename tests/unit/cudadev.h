/* A CUDA device beside the CPU's, for tests: the emulation (tests/cuemu), or what
 * DK_CUDA_LIB names. */
#ifndef DK_TESTS_CUDADEV_H
#define DK_TESTS_CUDADEV_H

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "tap.h"

static dk_dev *cpu, *gpu;
static bool emulated;

static void must(int rc, const dk_err *err)
{
    if (rc < 0) {
        printf("not ok %d - a call failed: %s\n", ++tap_n, err->msg);
        exit(1);
    }
}

/* n values on a device: of x, or whatever lies there. */
static float *up(dk_dev *dev, const float *x, size_t n)
{
    dk_err err = {0};
    void *d = NULL;

    must(dev->ops->alloc(dev, &d, (n + 4096) * sizeof(float), "a test", &err), &err);
    if (x)
        must(dev->ops->put(dev, d, x, n * sizeof(float), &err), &err);
    return d;
}

__attribute__((unused))
static float *down(dk_dev *dev, float *d, size_t n)
{
    float *x = dk_xmalloc(n * sizeof *x);
    dk_err err = {0};

    must(dev->ops->get(dev, x, d, n * sizeof *x, &err), &err);
    return x;
}

/* The emulation beside this program, unless another library is named. */
static void *library(void)
{
    static char path[2200];
    const char *named = getenv("DK_CUDA_LIB");
    ssize_t n = readlink("/proc/self/exe", path, 2000);
    void *so;

    emulated = !named || !*named;
    path[n > 0 ? n : 0] = 0;
    if (strrchr(path, '/'))
        strcpy(strrchr(path, '/'), "/../lib/libdk_cuda_emu.so");
    if (emulated)
        setenv("DK_CUBLASLT_LIB", path, 1);
    so = dlopen(emulated ? path : named, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        puts(dlerror());
    return so;
}

#endif
