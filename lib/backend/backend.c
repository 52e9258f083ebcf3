/* Which device this process uses. */
#include "backend/backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static dk_dev *device;

dk_dev *dk_device(void)
{
    if (!device)
        device = dk_cpu_device();
    return device;
}

/* DK_CUDA_LIB, else libdk_cuda.so in the folder lib beside the program's own. */
static void library_path(char *out, size_t room)
{
    const char *own = getenv("DK_CUDA_LIB");
    char exe[2048];
    ssize_t n;
    char *slash;

    if (own && *own) {
        snprintf(out, room, "%s", own);
        return;
    }
    n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    slash = strrchr(exe, '/');
    if (slash)
        *slash = '\0';
    snprintf(out, room, "%s/../lib/libdk_cuda.so", exe);
}

static int open_cuda(dk_dev **out, dk_err *err)
{
    char path[2200];
    dk_backend_open_fn *open_fn;
    void *so;

    library_path(path, sizeof path);
    if (access(path, R_OK) != 0)
        return dk_fail(err, DK_EDATA, "no CUDA backend: %s is not there (make CUDA=1 builds it)", path);
    so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return dk_fail(err, DK_EDATA, "no CUDA backend: %s", dlerror());
    *(void **)&open_fn = dlsym(so, "dk_backend_open");
    if (!open_fn)
        return dk_fail(err, DK_EDATA, "no CUDA backend: %s is not one", path);
    return open_fn(out, DK_BACKEND_ABI, err);
}

int dk_device_select(const char *name, dk_err *err)
{
    const bool wanted = strcmp(name, "cuda") == 0;
    dk_err why = {0};
    dk_dev *found = NULL;

    if (!wanted && strcmp(name, "auto") != 0 && strcmp(name, "cpu") != 0)
        return dk_fail(err, DK_EUSAGE, "no backend '%s': cpu, cuda or auto", name);
    if (device && strcmp(device->ops->name, "cpu") != 0 && strcmp(name, "cpu") != 0)
        return 0;
    if (strcmp(name, "cpu") != 0 && open_cuda(&found, &why) < 0 && wanted) {
        *err = why;
        return err->code;
    }
    if (!found && why.code < 0)
        dk_log(DK_INFO, "backend cpu: %s", why.msg);
    if (device && found)
        device->ops->close(device);
    device = found ? found : dk_cpu_device();
    if (found)
        dk_log(DK_INFO, "backend %s: %s", found->ops->name, found->ops->describe(found));
    return 0;
}
