/* One column of one row group, entry by entry: a page at a time is unpacked. */
#ifndef DK_IO_PARQUETCOLUMN_H
#define DK_IO_PARQUETCOLUMN_H

#include "io/parquetvalue.h"

typedef struct dk_pq_column {
    const dk_pq_node *leaf;
    const uint8_t *file;
    dk_codec codec;
    size_t at, end;             /* pages to come */
    int64_t left;               /* entries to come, in pages to come */
    int64_t in_page;            /* in this page */
    bool begun, here;           /* here: rep and def are those of the entry at hand */
    uint32_t rep, def;
    dk_pq_runs reps, defs;
    dk_pq_values values;
    dk_pq_dictionary dictionary;
    dk_block block;
} dk_pq_column;

/* c begins as {0} and may be begun again.  The first entry is at hand then, if
 * there is any.  NULL, or what is wrong; so with all below. */
const char *dk_pq_column_begin(dk_pq_column *c, const dk_pq_node *leaf, const dk_pq_chunk *chunk, const uint8_t *file);
/* The value of the entry at hand, which has one; call it once. */
const char *dk_pq_column_value(dk_pq_column *c, dk_pq_value *v);
const char *dk_pq_column_step(dk_pq_column *c);
void dk_pq_column_free(dk_pq_column *c);

#endif
