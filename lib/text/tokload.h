/* The files that describe a tokenizer, as a dk_tokenizer_spec. */
#ifndef DK_TEXT_TOKLOAD_H
#define DK_TEXT_TOKLOAD_H

#include "base/err.h"
#include "text/tokspec.h"

/* path: a GGUF file, a tokenizer.json, a tekken.json, or a directory that holds
 * one of these (the second before the third before the first).  Beside a tokenizer.json, tokenizer_config.json
 * names the special tokens and holds the chat template, which
 * chat_template.jinja replaces.  *source is what the texts of spec are
 * borrowed from: release it after spec was used. */
int dk_tokload(dk_tokenizer_spec *spec, void **source, const char *path, dk_err *err);
void dk_tokload_release(void **source);

#endif
