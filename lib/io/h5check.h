/* The check of a dk file: what dk-info --check and --deep look at. */
#ifndef DK_IO_H5CHECK_H
#define DK_IO_H5CHECK_H

#include <stdbool.h>

#include "base/err.h"
#include "io/h5.h"

/* Reads all values: hashes of chunks, offsets, ranges, shapes, and the content
 * id, recomputed.  deep: also whether the numbers can be what they are said to
 * be.  id receives the content id. */
int dk_h5_check(dk_h5 *f, bool deep, char id[DK_CONTENT_ID_LEN], dk_err *err);

#endif
