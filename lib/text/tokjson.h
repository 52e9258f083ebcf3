/* tokenizer.json and tokenizer_config.json. */
#ifndef DK_TEXT_TOKJSON_H
#define DK_TEXT_TOKJSON_H

#include "base/err.h"
#include "io/json.h"
#include "text/tokspec.h"

/* Fills spec from the tree of a tokenizer.json, which must outlive its use.
 * Components that are not supported are refused by name.  DK_EFORMAT. */
int dk_tokjson_read(dk_tokenizer_spec *spec, const dk_json *root, dk_err *err);

/* bos, eos, pad, unk and the chat template from the tree of a
 * tokenizer_config.json; after dk_tokjson_read. */
int dk_tokjson_config(dk_tokenizer_spec *spec, const dk_json *config, dk_err *err);

#endif
