/* adapter_config.json: which modules a LoRA adapter claims and at what scale.
 * The rules are those of PEFT; what it would do beyond plain LoRA on linear
 * maps and at the ends of the model is refused by the name of the key. */
#ifndef DK_MODEL_LORACONFIG_H
#define DK_MODEL_LORACONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/json.h"

typedef struct dk_lora_config dk_lora_config;

/* DK_EFORMAT (nonsense), DK_EDATA (refused).  path stands in messages. */
int dk_lora_config_json(dk_lora_config **out, const dk_json *root, const char *path, dk_err *err);
int dk_lora_config_load(dk_lora_config **out, const char *path, dk_err *err);
void dk_lora_config_free(dk_lora_config **c);

const char *dk_lora_config_base(const dk_lora_config *c);   /* base_model_name_or_path, or "" */
size_t dk_lora_config_rank(const dk_lora_config *c);
double dk_lora_config_alpha(const dk_lora_config *c);
bool dk_lora_config_rslora(const dk_lora_config *c);

/* Does the config target the module?  module is its path in the model,
 * "model.layers.3.mlp.up_proj".  1, 0, or a negative code (a pattern that
 * never ends).  Not for two threads at once, because of the patterns. */
int dk_lora_config_targets(const dk_lora_config *c, const char *module, dk_err *err);
/* Is the module saved whole (modules_to_save)? */
bool dk_lora_config_saves(const dk_lora_config *c, const char *module);
/* The rank and the scale (alpha / r, or alpha / sqrt(r)) for a module. */
int dk_lora_config_scale(const dk_lora_config *c, const char *module, size_t *r, double *scale,
                         dk_err *err);

#endif
