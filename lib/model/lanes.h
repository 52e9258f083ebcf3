/* The forward pass in lanes: the same tokens through several variants of one
 * weight set, stacked as rows of the same products.
 *
 * A lane is the base, the base with a LoRA adapter at a factor, or a finetune
 * with weights of its own (a second weight set: its products are its own).  Rows are
 * the tokens of several sequences laid end to end (no padding); lane l of a
 * pass over R rows is rows l R .. (l + 1) R - 1.  A row's numbers do not
 * depend on what else is in the batch.  Blocks before the first in which lanes differ (an
 * adapter's first, that behind an edit) run once for all of them. */
#ifndef DK_MODEL_LANES_H
#define DK_MODEL_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/adapter.h"
#include "model/kvcache.h"
#include "model/model.h"
#include "backend/visitor.h"

enum { DK_MAX_LANES = 32 };

typedef struct dk_lane {
    const char *name;
    const dk_adapter *adapter;      /* NULL: the base; borrowed */
    float factor;                   /* of the adapter: 1 is the finetune, 0 the base */
    const dk_model *model;          /* NULL: the runner's; else a finetune's own weights, compatible
                                     * with them; neighbours of one weight set share products */
} dk_lane;

typedef struct dk_batch {
    size_t n_seq;
    const size_t *offset;           /* [n_seq + 1], first row of each sequence */
    const uint32_t *ids;            /* [offset[n_seq]] */
} dk_batch;

/* Where in a block.  OUT is the residual stream behind it (layer -1: the
 * embedding), IN the same as the block reads it.  The others are what goes into
 * its products and what comes out, biases and the adapter's part included; what
 * O and DOWN give is normed where the architecture does so (else left as it is)
 * and then, as ATTN_ADD and MLP_ADD, added to the residual stream. */
typedef enum dk_site {
    DK_SITE_OUT, DK_SITE_IN,
    DK_SITE_QKV_IN, DK_SITE_QKV, DK_SITE_O_IN, DK_SITE_O,
    DK_SITE_GATE_UP_IN, DK_SITE_GATE_UP, DK_SITE_DOWN_IN, DK_SITE_DOWN,
    DK_SITE_ATTN_ADD, DK_SITE_MLP_ADD
} dk_site;

size_t dk_site_width(const dk_model_config *c, dk_site site);
/* The layer at a relative depth in [0, 1]: trunc(depth (layers - 1)), in double. */
int dk_layer_at(const dk_model_config *c, double depth);

typedef struct dk_tap {
    int layer;
    size_t lane;
    float *out;                     /* [R, width of the site] */
    dk_site site;
    bool diff;                      /* the difference to lane 0 instead */
    bool stays;                     /* out is memory of the device */
} dk_tap;

typedef struct dk_edit {            /* residual (of a lane that is a difference: that) += strength * vector on rows of a lane */
    int layer;
    size_t lane;
    const float *vector;            /* [d] */
    float strength;                 /* 0 changes no bit */
    size_t row0, n_rows;            /* n_rows 0: all from row0 on */
} dk_edit;

typedef struct dk_pass {
    dk_batch batch;
    const uint32_t *const *lane_ids;    /* NULL, or [lane]: what each reads instead of batch.ids */
    const dk_tap *taps;
    size_t n_taps;
    const dk_edit *edits;
    size_t n_edits;
    int last_layer;                 /* stop after this block; -1: run them all */
    dk_kv *kv;                      /* NULL: no cache */
    bool steps;                     /* the next token of each sequence, not a part of a prompt (dk_rag) */
} dk_pass;

typedef struct dk_runner dk_runner;

/* max_rows: the largest R of one pass.  The model and adapters are borrowed. */
int dk_runner_new(dk_runner **out, const dk_model *m, const dk_lane *lanes, size_t n_lanes,
                  size_t max_rows, dk_err *err);
/* From now on every lane but the first, the base, is carried as its difference
 * to it: products round the difference by itself, and norms, gates and attention
 * form it without subtracting.  Results are the same, with the digits that the
 * difference of two lanes loses.  For lanes that are the base or an adapter in
 * the linear maps of a block, without ids of their own; what
 * is not done is refused (DK_EUSAGE). */
int dk_runner_diff(dk_runner *r, dk_err *err);
/* Whether it would be, as far as architecture and adapters say; why not, in err. */
int dk_diff_possible(const dk_model_config *c, const dk_lane *lane, size_t n, dk_err *err);
void dk_runner_free(dk_runner **r);
int dk_runner_forward(dk_runner *r, const dk_pass *pass, dk_err *err);

/* Logits of the rows of the last forward pass.  rows NULL: all R of them. */
int dk_runner_head(dk_runner *r, const size_t *rows, size_t n_rows, const dk_visitor *visitors,
                   size_t n_visitors, dk_err *err);

/* The same, but what eyes (visitor.h) want may come while the caller goes on: it is there after
 * dk_runner_wait, and until then the memory for it has to stay. */
int dk_runner_head_later(dk_runner *r, const size_t *rows, size_t n_rows, const dk_visitor *visitors,
                         size_t n_visitors, dk_err *err);
int dk_runner_wait(dk_runner *r, dk_err *err);

/* The same logits whole, for a few rows (the step of a decoder):
 * out [lane][row][vocab], with room for dk_padded_rows(lanes * rows) rows. */
int dk_runner_logits(dk_runner *r, const size_t *rows, size_t n_rows, float *out, dk_err *err);
/* The same as they are carried: of a lane that is a difference, that of its logits.  out: memory of the
 * device, with room for its padded rows. */
int dk_runner_carried(dk_runner *r, const size_t *rows, size_t n_rows, float *out, dk_err *err);

#endif
