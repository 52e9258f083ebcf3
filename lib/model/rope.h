/* Rotary frequencies of a model: inv[t] = theta^(-2t/hd), scaled as its
 * configuration says (linear; by wavelength as Llama 3 does; yarn; by the
 * factors that a GGUF file carries). */
#ifndef DK_MODEL_ROPE_H
#define DK_MODEL_ROPE_H

#include "base/err.h"
#include "model/config.h"

/* factors [hd/2]: of DK_ROPE_FACTORS, else NULL.  inv [hd/2]. */
void dk_rope_frequencies(float *inv, const dk_rope_spec *r, size_t head_dim, const float *factors);
/* What cosines and sines are multiplied by. */
float dk_rope_scale(const dk_rope_spec *r);

#endif
