#include "backend/blasdyn.h"

#include "base/dynlib.h"

struct dk_blas dk_blas;

int dk_blas_load(dk_err *err)
{
#define X(name) { #name, offsetof(struct dk_blas, name) }
    static const dk_dynlib_name names[] = { X(cblas_dgemm), X(dsyevr_), X(dgesvd_), X(openblas_set_num_threads) };
#undef X
    const int rc = dk_dynlib_load(DK_BLAS_SONAME, "libopenblas-openmp-dev", names, sizeof names / sizeof *names,
                                  &dk_blas, err);

    if (rc == 0)
        dk_blas.openblas_set_num_threads(1);
    return rc;
}
