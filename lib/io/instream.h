/* Reading files that may be compressed: gzip and zstd are told by their first
 * bytes, not by the name, so that standard input works too. */
#ifndef DK_IO_INSTREAM_H
#define DK_IO_INSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_instream dk_instream;

/* "-" is standard input.  DK_EIO. */
int dk_instream_open(dk_instream **out, const char *path, dk_err *err);
void dk_instream_close(dk_instream **s);

/* The name for messages: the path, or "standard input".  Borrowed. */
const char *dk_instream_name(const dk_instream *s);

/* Appends up to n bytes to out; *got 0 at the end.  A compressed file that
 * stops early or is damaged is an error, never a short result. */
int dk_instream_read(dk_instream *s, dk_buf *out, size_t n, size_t *got, dk_err *err);

#endif
