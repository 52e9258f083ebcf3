/* The tokenizer in the metadata of a GGUF file. */
#ifndef DK_TEXT_TOKGGUF_H
#define DK_TEXT_TOKGGUF_H

#include "base/err.h"
#include "io/gguf.h"
#include "text/tokspec.h"

/* Fills spec from g, which must outlive its use.  DK_EFORMAT. */
int dk_tokgguf_read(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err);

#endif
