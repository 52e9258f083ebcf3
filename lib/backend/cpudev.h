/* The inside of the CPU's device: shared by cpu.c, cpuhead.c, cpuchoose.c and
 * cpustats.c, by nobody else. */
#ifndef DK_BACKEND_CPUDEV_H
#define DK_BACKEND_CPUDEV_H

#include "backend/backend.h"

/* What a thread needs to choose a token. */
struct cpu_chooser { dk_sampler *sampler; float *z; };      /* z [vocab]: amplified logits, once they were wanted */

struct cpu {
    dk_dev dev;
    const dk_rag *rag;          /* of the pass; the caller's */
    size_t longest;             /* keys of a sequence */
    float *work;                /* attention scratch, per thread */
    size_t work_each, work_threads;
    dk_lhs *head_lhs;
    size_t head_room, head_width;
    dk_dtype head_dtype;
    float *tiles;               /* logits tiles, per thread; diff: those of differences behind them */
    size_t tiles_room;
    double *wide;               /* rows of a scatter */
    size_t wide_room;
    struct cpu_chooser *chooser;    /* per thread */
    size_t n_choosers, choose_vocab;
};

int dk_cpu_head(dk_dev *dev, const dk_head_args *a, dk_err *err);

/* cpuchoose.c */
int dk_cpu_choose(dk_dev *dev, const dk_choose_args *a, dk_err *err);
void dk_cpu_choose_end(struct cpu *c);

/* cpustats.c */
int dk_cpu_row_sums(dk_dev *dev, const dk_row_sums *a, dk_err *err);
int dk_cpu_row_products(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                        size_t width, dk_err *err);
int dk_cpu_scatter(dk_dev *dev, double *c, const float *x, size_t n, size_t width, dk_err *err);

#endif
