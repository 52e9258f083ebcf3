/* The architectures, one description each: what their blocks are made of, and
 * what their configurations mean where they say nothing. */
#ifndef DK_MODEL_ARCH_H
#define DK_MODEL_ARCH_H

#include <stdbool.h>

#include "base/err.h"
#include "model/config.h"

/* Which layers have a window, where config.json has no layer_types. */
typedef enum dk_window_rule {
    DK_WINDOW_NONE, DK_WINDOW_ALL,
    DK_WINDOW_EVEN,         /* layers 0, 2, ... */
    DK_WINDOW_PATTERN,      /* all but every sixth */
    DK_WINDOW_UPPER         /* from max_window_layers on, if use_sliding_window */
} dk_window_rule;

typedef struct dk_arch_info {
    dk_arch arch;
    const char *class;      /* of "architectures" */
    const char *type;       /* "model_type" */
    const char *gguf;       /* "general.architecture"; NULL: such files do not exist */
    const char *text;       /* model_type of its "text_config", where it has one */
    dk_norm_form norm;
    dk_act act;
    dk_window_rule window;
    bool gpt2_keys;         /* n_embd and so on */
    bool learned_positions, fused_qkv, transposed, gated;
    bool qkv_bias;          /* always */
    bool qk_norm, post_norms, embed_scaled, local_rope;
    bool scalar;            /* scores are scaled by query_pre_attn_scalar */
    bool softcaps;
    bool tied;              /* unless the file says otherwise */
    bool sparse;            /* Gemma 3: sizes may be left out */
} dk_arch_info;

/* By class, model_type or (gguf true) general.architecture.  DK_EDATA: not known. */
int dk_arch_find(const dk_arch_info **out, const char *name, bool gguf, const char *path, dk_err *err);
const dk_arch_info *dk_arch_of(dk_arch arch);

/* What follows from the architecture alone. */
void dk_arch_apply(dk_model_config *c, const dk_arch_info *a);

/* What every source of a configuration must keep to. */
int dk_model_config_check(const dk_model_config *c, const char *path, dk_err *err);
/* An id outside the vocabulary is no id. */
void dk_model_config_add_eos(dk_model_config *c, int64_t id);
void dk_model_config_set_bos(dk_model_config *c, int64_t id);
/* A name from a file, for a message of one line: cut, control characters as '?'. */
typedef struct dk_shown { char s[64]; } dk_shown;
dk_shown dk_show(const char *name);
/* Control characters are dropped. */
void dk_model_config_set_name(dk_model_config *c, const char *name);
/* The last part of a path, trailing slashes aside. */
void dk_model_config_name_after(dk_model_config *c, const char *path);
void dk_model_config_slide(dk_model_config *c, size_t layer);

#endif
