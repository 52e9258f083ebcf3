/* A lane's adapter prepared for the fused products: y += s (x A^T) B^T for the
 * modules that share an input. */
#ifndef DK_MODEL_SIDEPATH_H
#define DK_MODEL_SIDEPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/adapter.h"
#include "model/model.h"

typedef struct dk_sidepath dk_sidepath;

int dk_sidepath_new(dk_sidepath **out, const dk_adapter *a, const dk_model_config *c, float factor,
                    dk_err *err);
void dk_sidepath_free(dk_sidepath **s);
/* Width of the low-rank row of a group, at most. */
size_t dk_sidepath_width(const dk_sidepath *s);
/* The first layer with a module, or the number of layers. */
size_t dk_sidepath_first(const dk_sidepath *s);
/* The group's update as the device takes it; m and t are left to the caller.
 * False if the group of this layer has no module. */
bool dk_sidepath_of(const dk_sidepath *s, size_t layer, dk_group g, dk_lowrank_args *out);

#endif
