/* Data sets of a hub, in the same cache as its models (io/hub.h). */
#ifndef DK_IO_HUBDATA_H
#define DK_IO_HUBDATA_H

#include <stdint.h>

#include "base/err.h"
#include "io/hub.h"
#include "io/hubpick.h"

typedef struct dk_hub_data {
    const char *subset;         /* NULL: the only one, or that of the card's choice */
    const char *split;
    uint64_t rows;              /* files until they hold so many rows; 0: all */
} dk_hub_data;

/* Makes sure that the files of the split are in the cache, and says where: paths
 * gets them in the order of their rows.  Otherwise as dk_hub_fetch; with patterns
 * (o->include) these say which files, in the order of their names. */
int dk_hub_fetch_data(dk_hublist *paths, const char *id, const dk_hub_data *which, const dk_hub_options *o, dk_err *err);

/* The rows of a file: of parquet by its footer, of JSON lines counted, though
 * not beyond `enough` (0: to the end); a plain text is one. */
int dk_hub_count_rows(const char *path, uint64_t enough, uint64_t *rows, dk_err *err);

#endif
