/* What a pair takes of memory, told before it is loaded. */
#ifndef DK_MODEL_BUDGET_H
#define DK_MODEL_BUDGET_H

#include "model/pair.h"

/* Bytes of the packed weights of one weight set. */
double dk_weights_bytes(const dk_model_config *c, dk_dtype dtype, bool head);
/* Bytes that one token of one lane takes on its way through a pass. */
double dk_row_bytes(const dk_model_config *c, bool head);

/* Sets p->free_bytes (what is left beside the weights), p->row_bytes and p->most_rows;
 * p->streamed, where blocks do not fit on a device and come from the host.
 * DK_ENOMEM if the weights and one block of rows do not fit into what spec
 * allows. */
int dk_pair_budget(dk_pair *p, const dk_pair_spec *spec, const dk_model_config *c, dk_dtype dtype, dk_err *err);

/* Tokens of a lane in one pass where nobody asked for a number (wished 0). */
size_t dk_pair_wish(size_t wished);
/* Tokens of a lane in one pass: as wished (0: see above), or as many as fit.  more: bytes that
 * the caller wants beside for one token.  DK_ENOMEM if the longest text, which cannot be cut,
 * does not fit. */
int dk_pair_rows(size_t *rows, const dk_pair *p, double more, size_t wished, size_t longest, dk_err *err);

/* Whether a batch that found no memory on a device is tried again, with half the tokens: err is then
 * told as a note and cleared.  Not where the longest text is as long. */
bool dk_pair_halve(size_t *rows, size_t longest, dk_err *err);
/* The same for answers: sequences at once, and tokens of prompts in one pass, which may be cut anywhere. */
bool dk_pair_halve_answers(size_t *n_seq, size_t *rows, dk_err *err);

#endif
