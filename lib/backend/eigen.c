/* LAPACK's dsyevr, whose columns are the rows here. */
#include "backend/eigen.h"

#include "backend/blasdyn.h"
#include "base/mem.h"
#include "base/thread.h"

int dk_eigen(double *w, double *z, double *a, size_t size, size_t k, dk_err *err)
{
    const int d = (int)size, first = (int)(size - k) + 1, ask = -1;
    const char *const which = k == size ? "A" : "I";
    const double none = 0;
    int *support = dk_xcalloc(2 * size, sizeof *support), *iwork = NULL;
    double *work = NULL, want = 0;
    int found = 0, iwant = 0, info = 0, rc, n, in;
    const int threads = dk_blas_alone();

    dk_blas.dsyevr_("V", which, "U", &d, a, &d, &none, &none, &first, &d, &none, &found, w, z, &d, support, &want, &ask,
                    &iwant, &ask, &info);
    n = (int)want;
    in = iwant;
    iwork = dk_xcalloc((size_t)in + 1, sizeof *iwork);
    if ((rc = dk_alloc(&work, (size_t)n + 1, sizeof *work, "eigenvectors", err)) == 0)
        dk_blas.dsyevr_("V", which, "U", &d, a, &d, &none, &none, &first, &d, &none, &found, w, z, &d, support, work, &n,
                        iwork, &in, &info);
    dk_threads_set(threads);
    if (rc == 0 && (info != 0 || found != (int)k))
        rc = dk_fail(err, DK_ENUM, "the eigenvalues were not found (LAPACK's dsyevr says %d)", info);
    dk_free(support);
    dk_free(iwork);
    dk_free(work);
    return rc;
}
