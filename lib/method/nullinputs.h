/* What goes into the linear maps of the base's blocks, over given tokens: by what
 * nulls are matched or whitened.  One pass gives as many layers as fit in memory,
 * so ask layer by layer. */
#ifndef DK_METHOD_NULLINPUTS_H
#define DK_METHOD_NULLINPUTS_H

#include <stddef.h>

#include "base/err.h"
#include "io/tokfile.h"
#include "model/pair.h"

typedef struct dk_null_inputs dk_null_inputs;

/* The pair's first lane is run; both are borrowed.  DK_EDATA: there are no tokens. */
int dk_null_inputs_new(dk_null_inputs **out, const dk_pair *base, const dk_tokens *t, dk_err *err);
void dk_null_inputs_free(dk_null_inputs **in);
size_t dk_null_inputs_rows(const dk_null_inputs *in);
/* *x [rows, in of the map]; borrowed until the next call. */
int dk_null_inputs_of(dk_null_inputs *in, int layer, dk_linear which, const float **x, dk_err *err);

/* turn [d, d] = C^-1/2 Q C^1/2, C the second moment of what goes into the maps
 * beside `which` (which read the residual stream), Q a rotation: rows times its
 * transpose keep their products over these inputs.  DK_EDATA: there are too few
 * tokens for that. */
int dk_null_whiten(double *turn, dk_null_inputs *in, int layer, dk_linear which, const double *q, dk_err *err);

#endif
