/* The inside of the CPU's device: shared by cpu.c, cpuhead.c and cpustats.c, by nobody else. */
#ifndef DK_BACKEND_CPUDEV_H
#define DK_BACKEND_CPUDEV_H

#include "backend/backend.h"

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
};

int dk_cpu_head(dk_dev *dev, const dk_head_args *a, dk_err *err);

/* cpustats.c */
int dk_cpu_row_sums(dk_dev *dev, const dk_row_sums *a, dk_err *err);
int dk_cpu_row_products(dk_dev *dev, double *out, const float *own, const float *base, const float *diff, size_t rows,
                        size_t width, dk_err *err);
int dk_cpu_scatter(dk_dev *dev, double *c, const float *x, size_t n, size_t width, dk_err *err);

#endif
