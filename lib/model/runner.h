/* The inside of a dk_runner: shared by the pass (lanes.c), the blocks (block.c)
 * and the head (head.c), by nobody else. */
#ifndef DK_MODEL_RUNNER_H
#define DK_MODEL_RUNNER_H

#include "model/lanes.h"
#include "model/sidepath.h"

/* Cosines and sines of the positions, [positions, hd/2]; on: of the device. */
struct dk_turn { float *cosines, *sines; const float *cosines_on, *sines_on; };

struct dk_runner {
    const dk_model *m;
    dk_dev *dev;                /* whose memory rows are in */
    size_t n_lanes, max_rows, rows;
    size_t alone;               /* of the pass: blocks that lane 0 runs through for all lanes */
    size_t widest;              /* input of a product */
    bool diff;                  /* rows of lanes 1 .. are what is added to those of lane 0 */
    float *whole;               /* diff: rows of one lane, added up for its side path */
    dk_lane *lane;
    const dk_model **model;     /* [lane]: whose weights */
    dk_sidepath **side;         /* [lane], NULL for the base */
    const dk_weight **head;     /* [lane]: whose unembedding */
    dk_weight **own_head;       /* [lane]: where the adapter changes it, else NULL */
    dk_lhs *lhs, *head_lhs;
    /* of the device, rows x width, room for padded rows: */
    float *x, *norm, *qkv, *att, *out, *gate_up, *act, *low;
    float *head_in;             /* [lanes x rows of a head, d] */
    float *logits;              /* of dk_runner_logits, where the device is not the host */
    size_t logits_room;
    struct dk_turn turn[2];     /* of full layers; of those with a window */
    size_t n_positions;
    bool carried;               /* out has still to be added to x: the next norm does it */
    float *ids_in;              /* host: embeddings on their way to the device */
    size_t *pos;                /* [rows] of one lane */
    size_t *past, *slot;        /* [sequence]: what the cache holds, and where */
    size_t seq_room;
    size_t side_width;          /* of all lanes of a weight set, at most */
    dk_rag rag;
};

/* One behind the last of the lanes from first on that share its weights. */
size_t dk_runner_set_end(const dk_runner *r, size_t first);

/* Copies what the taps of the pass want of a site. */
int dk_runner_tap(const dk_runner *r, const dk_pass *p, int layer, dk_site site, const float *x, dk_err *err);
/* One block, in all lanes. */
int dk_runner_block(dk_runner *r, const dk_pass *p, size_t layer, dk_err *err);
/* Which norm of a model (of a layer of it). */
typedef enum dk_norm_at { DK_AT_ATTN, DK_AT_MLP, DK_AT_FINAL } dk_norm_at;
/* x += add (NULL: nothing), then y = norm(x), in all lanes: n rows of each, those of
 * lane l at l n in x and add, at l stride in y (packed: stride n). */
void dk_runner_norm(const dk_runner *r, float *y, size_t stride, float *x, const float *add, size_t n,
                    dk_norm_at at, size_t layer, bool packed);

/* Room for rows x width values of the device and what products write beyond. */
int dk_rows_alloc(float **out, size_t rows, size_t width, dk_err *err);

#endif
