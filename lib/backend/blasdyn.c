#include "backend/blasdyn.h"

#include "base/dynlib.h"
#include "base/thread.h"

struct dk_blas dk_blas;

int dk_blas_load(dk_err *err)
{
#define X(name) { #name, offsetof(struct dk_blas, name) }
    static const dk_dynlib_name names[] = { X(cblas_dgemm), X(dsyevr_), X(dgesvd_), X(openblas_set_num_threads) };
#undef X
    const int threads = dk_threads();
    const int rc = dk_dynlib_load(DK_BLAS_SONAME, "libopenblas-openmp-dev", names, sizeof names / sizeof *names,
                                  &dk_blas, err);

    if (rc == 0) {
        dk_blas.openblas_set_num_threads(1);
        dk_threads_set(threads);        /* it sets OpenMP's number, too */
    }
    return rc;
}

int dk_blas_alone(void)
{
    const int threads = dk_threads();

    dk_threads_set(1);
    return threads;
}

void dk_blas_products(double *c, const double *x, size_t n, size_t d, dk_triangle which)
{
    enum { TILE = 128 };
    const size_t side = (d + TILE - 1) / TILE, tiles = side * (side + 1) / 2;

#pragma omp parallel for schedule(dynamic)
    for (size_t t = 0; t < tiles; t++) {
        size_t i = 0, j = t, row, col;

        while (j > i)
            j -= ++i;
        row = TILE * (which == DK_LOWER ? i : j);
        col = TILE * (which == DK_LOWER ? j : i);
        dk_blas.cblas_dgemm(DK_BLAS_ROWS, DK_BLAS_TURNED, DK_BLAS_PLAIN, (int)(d - row < TILE ? d - row : TILE),
                            (int)(d - col < TILE ? d - col : TILE), (int)n, 1, x + row, (int)d, x + col, (int)d, 1,
                            c + row * d + col, (int)d);
    }
}

void dk_blas_times(double *c, const double *a, const double *b, size_t m, size_t n, size_t k, dk_turn b_is)
{
    enum { PIECE = 64 };

#pragma omp parallel for schedule(dynamic)
    for (size_t row = 0; row < m; row += PIECE)
        dk_blas.cblas_dgemm(DK_BLAS_ROWS, DK_BLAS_PLAIN, b_is == DK_TURNED ? DK_BLAS_TURNED : DK_BLAS_PLAIN,
                            (int)(m - row < PIECE ? m - row : PIECE), (int)n, (int)k, 1, a + row * k, (int)k, b,
                            (int)(b_is == DK_TURNED ? k : n), 0, c + row * n, (int)n);
}
