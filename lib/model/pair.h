/* A pair, as tools name it on their command line: a base model, its finetune,
 * and further lanes (nulls) that run beside it over the same weights. */
#ifndef DK_MODEL_PAIR_H
#define DK_MODEL_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/adapter.h"
#include "model/lanes.h"
#include "model/model.h"

typedef struct dk_pair {
    dk_model *model;
    size_t n_lanes;
    dk_lane lane[DK_MAX_LANES];         /* names are owned here */
    dk_adapter *adapter[DK_MAX_LANES];  /* of the lane; NULL for the base and for full weights */
    dk_model *full[DK_MAX_LANES];       /* of the lane, where it has weights of its own */
    const char *path[DK_MAX_LANES];     /* of adapter or checkpoint; borrowed; NULL for the base */
    bool diff;                          /* difference arithmetic: see dk_runner_diff */
    double free_bytes;                  /* of the memory that may be used, beside the weights */
    double row_bytes;                   /* of one token in all lanes */
    bool streamed;                      /* the blocks are too large for the device: so many bytes of each set stay there */
    size_t stays;
    size_t most_rows;                   /* tokens of a lane in one pass that fit there (budget.h) */
} dk_pair;

/* A folder with an adapter's files is an adapter on the base; anything else is a
 * checkpoint with full weights.  Strings of the spec are borrowed for the life of the pair. */
typedef struct dk_pair_spec {
    const char *base, *ft;              /* ft NULL: no finetune */
    char *const *nulls;                 /* "NAME=PATH" each */
    size_t n_nulls;
    char *const *lanes;                 /* which, by name and in this order; NULL: all */
    size_t n_wanted;
    const char *dtype;                  /* "auto", "f32", "bf16" */
    const char *arith;                  /* "plain" (or NULL), "difference" or "diff"; "auto": where it is done */
    const char *backend;                /* "cpu" (or NULL), "cuda", "auto" */
    double memory;                      /* bytes that may be used; 0: what is free */
    int with_head;
} dk_pair_spec;

/* Lane names: "base", "ft", then the nulls' names. */
bool dk_is_adapter(const char *path);
int dk_pair_open(dk_pair *p, const dk_pair_spec *spec, dk_err *err);
/* A runner over all its lanes, as its arithmetic has it. */
int dk_pair_runner(dk_runner **out, const dk_pair *p, size_t max_rows, dk_err *err);
/* Only the lanes' names, factors and paths; adapters and model stay NULL. */
int dk_pair_name(dk_pair *p, const dk_pair_spec *spec, dk_err *err);
void dk_pair_close(dk_pair *p);

/* *vocab becomes no more than the ids that a lane has, beside a base of `base`
 * ids; a difference is logged. */
int dk_pair_vocab(const dk_pair *p, size_t lane, size_t base, size_t *vocab, dk_err *err);

/* Whether their matrices are stored in two types; *x and *y are then those of
 * the first that differs.  Part of what such a pair shows is rounding. */
bool dk_stored_otherwise(const dk_checkpoint *a, const dk_checkpoint *b, const char **x, const char **y);

/* "auto" is the checkpoint's own dtype: bf16 if its weights are, else f32. */
int dk_dtype_parse(dk_dtype *out, const char *name, const dk_model_config *c, dk_err *err);

#endif
