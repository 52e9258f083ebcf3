/* What a result says of its making: writer, parameters, inputs, stage key. */
#ifndef DK_CLI_RECORD_H
#define DK_CLI_RECORD_H

#include "base/mem.h"
#include "cli/tool.h"
#include "io/h5meta.h"

typedef struct dk_record {
    dk_buf writer, command, inputs;
    char key[65];
} dk_record;

/* Starts a record with the tool's parameters; then inputs are added to
 * r->inputs (dk_inputs_add...), and the provenance can be taken once. */
void dk_record_begin(dk_record *r, const dk_ctx *ctx);
/* Ends the list of inputs; borrowed from r.  The stage key is the SHA-256 of
 * writer, parameters and inputs. */
dk_provenance dk_record_end(dk_record *r);
void dk_record_free(dk_record *r);

#endif
