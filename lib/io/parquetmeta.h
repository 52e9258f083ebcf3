/* What a parquet file says of itself: its columns as a tree, and where their
 * pieces lie.  All of it is checked against the file's size before it is
 * handed out. */
#ifndef DK_IO_PARQUETMETA_H
#define DK_IO_PARQUETMETA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/unpack.h"

/* How values are stored, as parquet numbers it. */
typedef enum dk_pq_type {
    DK_PQ_BOOL, DK_PQ_INT32, DK_PQ_INT64, DK_PQ_INT96, DK_PQ_FLOAT, DK_PQ_DOUBLE, DK_PQ_BYTES, DK_PQ_FIXED
} dk_pq_type;

/* What a node is for a reader. */
typedef enum dk_pq_kind {
    DK_PQ_GROUP, DK_PQ_LIST, DK_PQ_TEXT, DK_PQ_INT, DK_PQ_UINT, DK_PQ_REAL, DK_PQ_TRUTH, DK_PQ_NULL,
    DK_PQ_OTHER                 /* dates, decimals, ...: not read */
} dk_pq_kind;

enum dk_pq_repetition { DK_PQ_REQUIRED, DK_PQ_OPTIONAL, DK_PQ_REPEATED };

/* Nodes lie depth first; node 0 is the row itself. */
typedef struct dk_pq_node {
    char *name;
    dk_pq_kind kind;
    dk_pq_type type;            /* of a leaf */
    const char *other;          /* what an OTHER is called */
    int repetition;             /* enum dk_pq_repetition */
    int def, rep;               /* levels of a value that is there */
    size_t children, end;       /* the first child is the next node; end: behind the last descendant */
    size_t leaf, leaf_end;      /* which columns belong to it */
    size_t width;               /* of a FIXED */
} dk_pq_node;

/* One column of one row group. */
typedef struct dk_pq_chunk {
    dk_codec codec;
    const char *unread;         /* NULL, or why it cannot be read */
    int64_t values;             /* entries, null or not */
    size_t at, end;             /* where its pages lie */
} dk_pq_chunk;

typedef struct dk_pq_meta {
    size_t n_nodes, n_leaves, n_groups;
    dk_pq_node *node;
    dk_pq_chunk *chunk;         /* [n_groups * n_leaves] */
    int64_t *rows;              /* [n_groups] */
    int64_t n_rows;
} dk_pq_meta;

/* p[n] is the whole file, name for messages.  DK_EFORMAT. */
int dk_pq_meta_read(dk_pq_meta *m, const uint8_t *p, size_t n, const char *name, dk_err *err);
void dk_pq_meta_free(dk_pq_meta *m);

#endif
