/* What principal components cost: rows in memory, all components, exactly.
 *
 * usage: bench_pca FILE ROWS D    (threads: all cores; the rows are left in FILE for a peer) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backend/pcafit.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

enum { PIECE = 1024 };

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fit(dk_pca *p, const float *x, size_t n, size_t d, dk_err *err)
{
    const dk_pca_plan plan = {0};
    dk_pca_fit *f = NULL;
    int rc = dk_pca_fit_new(&f, d, &plan, err);

    for (size_t i = 0; rc == 0 && i < n; i += PIECE)
        rc = dk_pca_fit_add(f, x + i * d, n - i < PIECE ? n - i : PIECE, err);
    if (rc == 0)
        rc = dk_pca_fit_end(f, p, err);
    dk_pca_fit_free(&f);
    return rc;
}

int main(int argc, char **argv)
{
    const size_t n = argc == 4 ? strtoul(argv[2], NULL, 10) : 0, d = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    double best = 1e300, least = 1e300, first = 0;
    float *x = NULL;
    dk_err err = {0};
    FILE *out;

    if (n < 2 || d < 1 || dk_alloc(&x, n * d, sizeof *x, "rows", &err) < 0)
        return 2;
    dk_threads_set(0);
    for (size_t i = 0; i < n * d; i++)      /* variances that fall with the column */
        x[i] = (float)((dk_uniform(dk_ctr(1, 2, i, 0)) - 0.5) * 20 / (double)(1 + i % d) + 1);
    if ((out = fopen(argv[1], "wb"))) {
        fwrite(x, sizeof *x, n * d, out);
        fclose(out);
    }
    for (int k = 0; k < 3; k++) {
        const double t0 = now(CLOCK_MONOTONIC), c0 = now(CLOCK_PROCESS_CPUTIME_ID);
        dk_pca p;

        if (fit(&p, x, n, d, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            return 1;
        }
        best = fmin(best, now(CLOCK_MONOTONIC) - t0);
        least = fmin(least, now(CLOCK_PROCESS_CPUTIME_ID) - c0);
        first = p.value[0];
        dk_pca_free(&p);
    }
    printf("%.2f %.2f %.9g\n", best, least, first);
    dk_free(x);
    return 0;
}
