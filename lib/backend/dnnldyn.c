#define DK_DNNLDYN_PLAIN
#include "backend/dnnldyn.h"

#include "base/dynlib.h"

struct dk_dnnl dk_dnnl;

int dk_dnnl_load(dk_err *err)
{
#define X(name) { #name, offsetof(struct dk_dnnl, name) },
    static const dk_dynlib_name names[] = { DK_DNNL_COMMON(X) DK_DNNL_VERSION(X) };
#undef X

    return dk_dynlib_load(DK_DNNL_SONAME, "libdnnl-dev", names, sizeof names / sizeof *names,
                          &dk_dnnl, err);
}
