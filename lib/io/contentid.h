/* The content id: a SHA-256 over what a file says, not over how it is stored.
 * The order of calls is the definition: names first, then every dataset in
 * byte order of the paths, each followed by its little-endian values. */
#ifndef DK_IO_CONTENTID_H
#define DK_IO_CONTENTID_H

#include "base/hash.h"
#include "io/h5.h"

/* A line "name=value"; value NULL is "". */
void dk_content_name(dk_sha256 *h, const char *name, const char *value);
/* A line "path type extent[xextent]"; the values follow through dk_sha256_add. */
void dk_content_data(dk_sha256 *h, const char *path, const dk_h5_data *d);
/* "sha256:" and the digits; ends and frees the sum. */
void dk_content_end(dk_sha256 **h, char id[DK_CONTENT_ID_LEN]);

#endif
