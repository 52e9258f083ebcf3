#include "base/dynlib.h"

#include <dlfcn.h>
#include <string.h>

int dk_dynlib_load(const char *soname, const char *package, const dk_dynlib_name *name, size_t n,
                   void *table, dk_err *err)
{
    void *lib = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

    if (!lib)
        return dk_fail(err, DK_EIO, "cannot load a library (install the package %s): %s", package,
                       dlerror());
    for (size_t i = 0; i < n; i++) {
        void *p = dlsym(lib, name[i].name);

        if (!p)
            return dk_fail(err, DK_EIO, "%s has no %s: not the version that dk was built with "
                           "(build again with the package %s)", soname, name[i].name, package);
        memcpy((char *)table + name[i].at, &p, sizeof p);
    }
    return 0;
}
