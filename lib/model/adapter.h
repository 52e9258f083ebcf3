/* LoRA adapters: a PEFT directory (adapter_config.json and
 * adapter_model.safetensors) read against the configuration of its base.
 *
 * A module adds  scale * B (A x)  to the output of one linear map.  The tensors
 * of the file are authoritative: every pair found is a module; the config gives
 * the scale and is checked against them.  Embedding and unembedding may be
 * low-rank modules too, or be saved whole.  What would change the result in a way
 * that is not done here (DoRA, other saved modules, trained biases, ...) is refused. */
#ifndef DK_MODEL_ADAPTER_H
#define DK_MODEL_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/config.h"
#include "model/tensors.h"

typedef struct dk_adapter_module {
    char *path;             /* "model.layers.0.self_attn.q_proj" */
    int layer;
    dk_linear which;
    size_t r, in, out;
    float scale;            /* alpha / r, or alpha / sqrt(r) */
    const float *a;         /* [r, in] */
    const float *b;         /* [out, r] */
} dk_adapter_module;

typedef struct dk_names { size_t n; char **v; } dk_names;

typedef struct dk_adapter dk_adapter;

/* Strict: an adapter whose tensors and config disagree is an error.  DK_EIO,
 * DK_EFORMAT, DK_EDATA (refused, or of another model), DK_ENUM (NaN, infinity). */
int dk_adapter_open(dk_adapter **out, const char *path, const dk_model_config *cfg, dk_err *err);
/* The same, but disagreements only fill the lists below, and a module of a
 * shape that the model has not is left out. */
int dk_adapter_inspect(dk_adapter **out, const char *path, const dk_model_config *cfg, dk_err *err);
void dk_adapter_close(dk_adapter **a);

/* Sorted by (layer, which).  Borrowed, like all that follows, until close. */
size_t dk_adapter_n(const dk_adapter *a);
const dk_adapter_module *dk_adapter_at(const dk_adapter *a, size_t i);
/* NULL where the adapter does not touch that map. */
const dk_adapter_module *dk_adapter_find(const dk_adapter *a, int layer, dk_linear which);

/* The ends of the model: E'[id] = E[id] + scale B A[:, id], with a [r, V], b [d, r];
 * the unembedding's module, which is like any other.  NULL: not touched. */
const dk_adapter_module *dk_adapter_embed(const dk_adapter *a);
const dk_adapter_module *dk_adapter_head(const dk_adapter *a);
/* [at least dk_adapter_vocab, d], in the place of the base's; NULL: the base's. */
const float *dk_adapter_saved_embed(const dk_adapter *a);
const float *dk_adapter_saved_head(const dk_adapter *a);
size_t dk_adapter_vocab(const dk_adapter *a);           /* ids that base and adapter both have */
bool dk_adapter_changes_embed(const dk_adapter *a);
bool dk_adapter_changes_head(const dk_adapter *a);

const char *dk_adapter_path(const dk_adapter *a);       /* as given to open */
const char *dk_adapter_name(const dk_adapter *a);       /* the directory's name; its parent's when
                                                         * it is called "adapter" */
const char *dk_adapter_base(const dk_adapter *a);       /* base_model_name_or_path, "" if absent */
const char *dk_adapter_dtype(const dk_adapter *a);      /* of the stored tensors: "BF16" */
const char *dk_adapter_sha256(const dk_adapter *a);     /* of adapter_model.safetensors */
size_t dk_adapter_rank(const dk_adapter *a);            /* r of the config */
size_t dk_adapter_max_rank(const dk_adapter *a);        /* the largest of the modules */
double dk_adapter_alpha(const dk_adapter *a);           /* lora_alpha of the config */
bool dk_adapter_rslora(const dk_adapter *a);

/* For checks. */
const dk_names *dk_adapter_zero(const dk_adapter *a);       /* modules whose A or B is all zero */
const dk_names *dk_adapter_unmatched(const dk_adapter *a);  /* tensors that are no pair of this model */
const dk_names *dk_adapter_missing(const dk_adapter *a);    /* modules the config targets, no tensors */
const dk_names *dk_adapter_untargeted(const dk_adapter *a); /* modules with tensors, not targeted */
/* Sentences, paths left out: what has no place in this model by its shape or
 * layer, or lacks its other half; modules whose rank is not that of the config. */
const dk_names *dk_adapter_misfit(const dk_adapter *a);
const dk_names *dk_adapter_wrong_rank(const dk_adapter *a);

#endif
