/* The inside of the CPU's device: shared by cpu.c and cpuhead.c, by nobody else. */
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
};

int dk_cpu_head(dk_dev *dev, const dk_head_args *a, dk_err *err);

#endif
