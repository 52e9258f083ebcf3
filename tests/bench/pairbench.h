/* What the benches of a pair share: its arguments, and the time of the processor. */
#ifndef DK_BENCH_PAIRBENCH_H
#define DK_BENCH_PAIRBENCH_H

#include <stdio.h>
#include <time.h>

#include "base/thread.h"
#include "io/tokfile.h"
#include "model/pair.h"

static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* NAME MODEL ADAPTER TOKENS: measures on all cores; the status of the program. */
static int bench_of_pair(const char *name, int argc, char **argv, int (*bench)(const dk_pair *, const dk_tokens *, dk_err *))
{
    dk_pair_spec spec = { .dtype = "bf16" };
    dk_pair p = {0};
    dk_tokens t = {0};
    dk_err err = {0};
    int rc;

    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL ADAPTER TOKENS\n", name);
        return 2;
    }
    spec.base = argv[1];
    spec.ft = argv[2];
    dk_threads_set(0);
    rc = dk_tokens_read(&t, argv[3], &err);
    if (rc == 0)
        rc = dk_pair_open(&p, &spec, &err);
    if (rc == 0)
        rc = bench(&p, &t, &err);
    if (rc < 0)
        fprintf(stderr, "%s: error: %s\n", name, err.msg);
    dk_pair_close(&p);
    dk_tokens_free(&t);
    return rc < 0;
}

#endif
