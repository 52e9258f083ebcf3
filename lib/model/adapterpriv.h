/* The inside of a dk_adapter: shared by reading (adapterload.c,
 * adapternames.c) and asking (adapter.c), by nobody else. */
#ifndef DK_MODEL_ADAPTERPRIV_H
#define DK_MODEL_ADAPTERPRIV_H

#include "model/adapter.h"
#include "model/loraconfig.h"

struct dk_adapter {
    char *path, *name;
    dk_lora_config *config;
    dk_adapter_module *module;
    size_t n;
    dk_adapter_module embed, head;      /* path NULL: none */
    float *weights;             /* all of A and B, one allocation */
    float *saved_embed, *saved_head;
    bool head_follows;          /* the saved embedding is the unembedding too */
    size_t vocab;
    char dtype[16], sha256[65];
    dk_names zero, unmatched, missing, untargeted, misfit, wrong_rank;
};

/* What the name of a tensor says. */
typedef struct dk_lora_name {
    enum { DK_LORA_OTHER, DK_LORA_A, DK_LORA_B, DK_LORA_SAVED } kind;
    enum { DK_LORA_LAYER, DK_LORA_EMBED, DK_LORA_HEAD } place;
    size_t layer;               /* of DK_LORA_LAYER, unless saved */
    dk_linear which;
    size_t tree, tree_len;      /* where in the name stands what comes before the list of layers */
} dk_lora_name;

dk_lora_name dk_lora_name_of(const dk_model_config *c, const char *name);

#endif
