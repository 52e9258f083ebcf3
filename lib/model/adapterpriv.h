/* The inside of a dk_adapter: shared by reading (adapterload.c) and asking
 * (adapter.c), by nobody else. */
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

#endif
