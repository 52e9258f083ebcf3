#define DK_H5DYN_PLAIN
#include "io/h5dyn.h"

#include "base/dynlib.h"

struct dk_h5dyn dk_h5dyn;

int dk_h5dyn_load(dk_err *err)
{
#define STR(name) #name
#define X(name) { STR(name), offsetof(struct dk_h5dyn, name) },
    static const dk_dynlib_name names[] = { DK_H5_FUNCTIONS(X) DK_H5_VARIABLES(X) };
#undef X

    return dk_dynlib_load(DK_HDF5_SONAME, "libhdf5-dev", names, sizeof names / sizeof *names,
                          &dk_h5dyn, err);
}
