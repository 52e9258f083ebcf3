/* The inside of a dk_runner: shared by the blocks (lanes.c) and the head
 * (head.c), by nobody else. */
#ifndef DK_MODEL_RUNNER_H
#define DK_MODEL_RUNNER_H

#include "model/lanes.h"
#include "model/sidepath.h"

struct dk_runner {
    const dk_model *m;
    size_t n_lanes, max_rows, rows;
    const dk_model **model;     /* [lane]: whose weights */
    dk_sidepath **side;         /* [lane], NULL for the base */
    dk_lhs *lhs, *head_lhs;
    /* rows x width, room for padded rows: */
    float *x, *norm, *qkv, *att, *out, *gate_up, *act, *low;
    float *head_in;             /* [lanes x padded head rows, d] */
    float *cosines, *sines;     /* [positions, hd/2] */
    size_t n_positions;
    float *work;                /* attention scratch, per thread */
    size_t work_each;
    float *tiles;               /* logits tiles, per thread */
    size_t *pos;                /* [rows] of one lane */
};

/* One behind the last of the lanes from first on that share its weights. */
size_t dk_runner_set_end(const dk_runner *r, size_t first);

/* Room for rows x width values and what products write beyond. */
int dk_rows_alloc(float **out, size_t rows, size_t width, dk_err *err);

#endif
