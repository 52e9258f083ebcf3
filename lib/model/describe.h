/* What files say about the models of a pair. */
#ifndef DK_MODEL_DESCRIBE_H
#define DK_MODEL_DESCRIBE_H

#include "io/scorefile.h"
#include "model/pair.h"

/* Adds the checkpoint and the adapters of the lanes to a list of inputs. */
int dk_pair_inputs(dk_buf *inputs, const dk_pair *p, dk_err *err);
/* What a file says of a lane; strings are borrowed, hex among them. */
int dk_pair_model_info(dk_model_info *m, const dk_pair *p, size_t lane, const dk_tokens *t, char hex[65],
                       dk_err *err);
/* /models/NAME for every lane. */
int dk_pair_put_models(dk_scores_writer *w, const dk_pair *p, const dk_tokens *t, dk_err *err);
/* The tokens must come from a tokenizer with as many ids as the model at most. */
int dk_pair_check_tokens(const dk_pair *p, const dk_tokens *t, const char *path, dk_err *err);

#endif
