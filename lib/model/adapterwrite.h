/* Writing an adapter that is another with other numbers: the same tensors under
 * the same names, in f32, beside the same adapter_config.json. */
#ifndef DK_MODEL_ADAPTERWRITE_H
#define DK_MODEL_ADAPTERWRITE_H

#include "base/err.h"
#include "model/adapter.h"

/* What a module gets instead, [r, in] and [out, r]; NULL: its own. */
typedef struct dk_adapter_new { const float *a, *b; } dk_adapter_new;

/* module [dk_adapter_n(a)]; embed and head are read where the adapter has such a
 * module.  DK_EDATA: it saves modules whole, for which there is no such thing.
 * meta as in io/stwrite.h. */
int dk_adapter_write(const dk_adapter *a, const dk_model_config *cfg, const char *folder, const dk_adapter_new *module,
                     const dk_adapter_new *embed, const dk_adapter_new *head, const char *const *meta, dk_err *err);

#endif
