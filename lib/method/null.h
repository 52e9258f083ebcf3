/* Null adapters: an adapter with what makes it uninteresting, so that a
 * difference that it makes too is no finding.
 *
 *   same      adds nothing: B is zero
 *   rigid     everything that writes the residual stream turned by one random
 *             rotation, everything that reads it turned back: sizes, ranks and what
 *             modules do to one another stay, the relation to the base's features goes
 *   whitened  the same, but what reads is turned so that it answers the base's own
 *             inputs as strongly, and two such readers as alike
 *   haar      each module turned by rotations of its own, on both sides
 *   negate    the other way round
 *   layers    the layers' modules dealt out anew among layers
 *   numeric   of full weights alone: the base's own, rounded to bfloat16 */
#ifndef DK_METHOD_NULL_H
#define DK_METHOD_NULL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "method/nullinputs.h"
#include "model/adapterwrite.h"

typedef enum dk_null_kind { DK_NULL_SAME, DK_NULL_RIGID, DK_NULL_HAAR, DK_NULL_NEGATE, DK_NULL_LAYERS, DK_NULL_WHITENED,
                            DK_NULL_NUMERIC } dk_null_kind;

/* The factors of one module: A [r, in], B [out, r]; owned. */
typedef struct dk_null_module { float *a, *b; } dk_null_module;

typedef struct dk_null {
    const dk_adapter *from;         /* borrowed */
    size_t n;
    dk_null_module *module;         /* [n], as of dk_adapter_at */
    dk_null_module embed, head;     /* a NULL: the adapter has no such module */
} dk_null;

/* Null number `index` of a seed.  in: for whitened ones; others take NULL.
 * DK_EDATA: the adapter cannot be turned so. */
int dk_null_make(dk_null *out, const dk_adapter *from, const dk_model_config *cfg, dk_null_kind kind, uint64_t seed,
                 uint64_t index, dk_null_inputs *in, dk_err *err);
void dk_null_free(dk_null *n);

/* Scales each module so that what it adds to its map is as large, in the mean
 * square over the tokens of the base's own pass, as what the original adds there.
 * *least, *most (may be NULL): of the factors. */
int dk_null_match(dk_null *n, dk_null_inputs *in, double *least, double *most, dk_err *err);

/* The places of layers dealt out anew: the layer that each takes from.  If that
 * would leave each where it is, all move on by one. */
void dk_null_deal(size_t *from, size_t layers, uint64_t seed, uint64_t index);

#endif
