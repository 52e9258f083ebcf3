/* The inside of a dk_runner: shared by the pass (lanes.c), the blocks (block.c)
 * and the head (head.c), by nobody else. */
#ifndef DK_MODEL_RUNNER_H
#define DK_MODEL_RUNNER_H

#include "model/lanes.h"
#include "model/sidepath.h"

/* Cosines and sines of the positions, [positions, hd/2]. */
struct dk_turn { float *cosines, *sines; };

struct dk_runner {
    const dk_model *m;
    size_t n_lanes, max_rows, rows;
    size_t widest;              /* input of a product */
    bool diff;                  /* rows of lanes 1 .. are what is added to those of lane 0 */
    float *whole;               /* diff: rows of one lane, added up for its side path */
    dk_lane *lane;
    const dk_model **model;     /* [lane]: whose weights */
    dk_sidepath **side;         /* [lane], NULL for the base */
    const dk_weight **head;     /* [lane]: whose unembedding */
    dk_weight **own_head;       /* [lane]: where the adapter changes it, else NULL */
    dk_lhs *lhs, *head_lhs;
    /* rows x width, room for padded rows: */
    float *x, *norm, *qkv, *att, *out, *gate_up, *act, *low;
    float *head_in;             /* [lanes x padded head rows, d] */
    struct dk_turn turn[2];     /* of full layers; of those with a window */
    size_t n_positions;
    float *work;                /* attention scratch, per thread */
    size_t work_each;
    float *tiles;               /* logits tiles, per thread; diff: those of differences behind them */
    size_t *pos;                /* [rows] of one lane */
};

/* One behind the last of the lanes from first on that share its weights. */
size_t dk_runner_set_end(const dk_runner *r, size_t first);

/* Copies what the taps of the pass want of a site. */
void dk_runner_tap(const dk_runner *r, const dk_pass *p, int layer, dk_site site, const float *x);
/* One block, in all lanes. */
int dk_runner_block(dk_runner *r, const dk_pass *p, size_t layer, dk_err *err);

/* Lanes as differences (difflanes.c): x and dx are rows of the base and of the lane. */
void dk_diff_norm(const dk_runner *r, float *dy, const float *x, const float *dx, const float *w, size_t width);
void dk_diff_whole(dk_runner *r, const float *x, const float *dx, size_t n);     /* to r->whole */
/* Head h of the n rows from first on. */
void dk_diff_attend(const dk_runner *r, size_t layer, size_t lane, size_t first, size_t n, size_t h, float *work);
/* Fills the tap from rows of all lanes, n values in each. */
void dk_diff_tap(const dk_runner *r, const dk_tap *tap, const float *x, size_t n);

/* Room for rows x width values and what products write beyond. */
int dk_rows_alloc(float **out, size_t rows, size_t width, dk_err *err);

#endif
