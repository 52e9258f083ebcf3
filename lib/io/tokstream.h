/* The JSON-lines form of a token file; tokfile.h has the contract. */
#ifndef DK_IO_TOKSTREAM_H
#define DK_IO_TOKSTREAM_H

#include <stdio.h>

#include "io/tokfile.h"

/* name stands in messages.  Fills t, or leaves it zeroed. */
int dk_tokens_read_stream(dk_tokens *t, FILE *in, const char *name, dk_err *err);

#endif
