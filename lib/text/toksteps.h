/* The steps of a tokenizer.json around its model: normalizers, pre-tokenizers,
 * post-processors, decoders. */
#ifndef DK_TEXT_TOKSTEPS_H
#define DK_TEXT_TOKSTEPS_H

#include "base/err.h"
#include "io/json.h"
#include "text/tokspec.h"

/* Fills these parts of spec from the tree of a tokenizer.json, which must
 * outlive its use.  What is not supported is refused by name.  DK_EFORMAT. */
int dk_toksteps_read(dk_tokenizer_spec *spec, const dk_json *root, dk_err *err);

/* "unsupported WHAT 'type of v'". */
int dk_toksteps_refuse(const char *what, const dk_json *v, dk_err *err);

#endif
