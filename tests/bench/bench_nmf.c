/* What topics cost: the matrix of a score file's top lists, factorised from a
 * given start for a given number of iterations.
 *
 * usage: bench_nmf SCORES LANE FILE ITERATIONS BETA...
 * Leaves FILE.at, FILE.col, FILE.value and the start FILE.w0, FILE.h0 for a peer;
 * prints for each beta: beta, seconds, of all cores, loss, rows, columns, entries. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/scorefile.h"
#include "method/minematrix.h"

enum { TOPICS = 3 };

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void leave(const char *file, const char *end, const void *p, size_t bytes)
{
    char *name = dk_xasprintf("%s.%s", file, end);
    FILE *out = fopen(name, "wb");

    if (out) {
        fwrite(p, 1, bytes, out);
        fclose(out);
    }
    dk_free(name);
}

static float *start(const char *file, const char *end, size_t n, uint64_t seed)
{
    float *x = dk_xmalloc(n * TOPICS * sizeof *x);

    for (size_t i = 0; i < n * TOPICS; i++)
        x[i] = (float)(0.1 + dk_uniform(dk_ctr(seed, 9, i, 0)));
    leave(file, end, x, n * TOPICS * sizeof *x);
    return x;
}

static int matrix(dk_mine_matrix *m, const char *path, const char *lane, dk_err *err)
{
    char *index = dk_xasprintf("topk/%s/top/index", lane), *value = dk_xasprintf("topk/%s/top/value", lane);
    const dk_score_info *info;
    dk_scores *s = NULL;
    uint32_t *id;
    float *v;
    int rc = dk_scores_open(&s, path, err);

    if (rc < 0 || !(info = dk_scores_find(s, index, false)))
        return -1;
    id = dk_xmalloc(info->rows * info->k * sizeof *id);
    v = dk_xmalloc(info->rows * info->k * sizeof *v);
    rc = dk_scores_read_index(s, index, 0, info->rows, id, err);
    if (rc == 0)
        rc = dk_scores_read(s, value, 0, info->rows, v, err);
    if (rc == 0)
        rc = dk_mine_matrix_new(m, dk_scores_tokens(s), id, v, info->k, dk_scores_tokens(s)->vocab, NULL, false, DK_MINE_BATCH, err);
    dk_free(id);
    dk_free(v);
    dk_scores_close(&s);
    return rc;
}

int main(int argc, char **argv)
{
    dk_mine_matrix m = {0};
    dk_nmf_plan p = { .topics = TOPICS, .tolerance = 1e-300 };
    dk_err err = {0};
    uint64_t nnz;

    if (argc < 6)
        return 2;
    dk_threads_set(0);
    if (matrix(&m, argv[1], argv[2], &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    nnz = m.m.at[m.m.rows];
    leave(argv[3], "at", m.m.at, (m.m.rows + 1) * sizeof *m.m.at);
    leave(argv[3], "col", m.m.col, nnz * sizeof *m.m.col);
    leave(argv[3], "value", m.m.value, nnz * sizeof *m.m.value);
    p.w0 = start(argv[3], "w0", m.m.cols, 1);
    p.h0 = start(argv[3], "h0", m.m.rows, 2);
    p.iterations = strtoul(argv[4], NULL, 10);
    for (int i = 5; i < argc; i++) {
        double best = 1e300, least = 1e300, loss = 0;

        p.beta = strtod(argv[i], NULL);
        for (int k = 0; k < 3; k++) {
            const double t0 = now(CLOCK_MONOTONIC), c0 = now(CLOCK_PROCESS_CPUTIME_ID);
            dk_nmf f;

            if (dk_nmf_fit(&f, &m.m, &p, &err) < 0) {
                fprintf(stderr, "%s\n", err.msg);
                return 1;
            }
            best = fmin(best, now(CLOCK_MONOTONIC) - t0);
            least = fmin(least, now(CLOCK_PROCESS_CPUTIME_ID) - c0);
            loss = f.start[0].loss;
            dk_nmf_free(&f);
        }
        printf("%g %.3f %.3f %.6f %zu %zu %llu\n", p.beta, best, least, loss, m.m.rows, m.m.cols, (unsigned long long)nnz);
    }
    return 0;
}
