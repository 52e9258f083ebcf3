/* HDF5 files, and streams of the same content ("-").  Only h5*.c and zstdfilter.c beside this know the library, which
 * is loaded when the first file is opened or made.  Everything is by path; no library type leaks.
 *
 * A file is written once, in order, under a temporary name, and appears whole
 * on commit; equal input gives equal bytes.  A file that is read is treated as
 * hostile: dk_h5_open walks all of it and refuses links, external storage,
 * unknown filters and types, and absurd sizes before anything is allocated.
 *
 * Not thread safe: all calls from one thread.  Errors name the file. */
#ifndef DK_IO_H5_H
#define DK_IO_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum { DK_H5_MAX_RANK = 4, DK_CONTENT_ID_LEN = 72 };    /* "sha256:" + 64 + NUL */

typedef enum dk_h5_type {
    DK_H5_NONE, DK_H5_U8, DK_H5_U16, DK_H5_U32, DK_H5_U64, DK_H5_I32, DK_H5_I64, DK_H5_F16, DK_H5_BF16,
    DK_H5_F32, DK_H5_F64, DK_H5_STR         /* STR: fixed length, zero padded, UTF-8 */
} dk_h5_type;

typedef enum dk_h5_kind { DK_H5_GROUP, DK_H5_DATASET, DK_H5_NAMED_TYPE } dk_h5_kind;

/* What a dataset is.  dim[0] counts rows; item is the bytes of one element. */
typedef struct dk_h5_data {
    dk_h5_type type;
    int rank;
    uint64_t dim[DK_H5_MAX_RANK], chunk[DK_H5_MAX_RANK];    /* chunk[0] 0: one piece */
    size_t item;
} dk_h5_data;

typedef struct dk_h5_object {
    const char *path;       /* "/rows/token" */
    dk_h5_kind kind;
    dk_h5_data data;        /* of a dataset */
} dk_h5_object;

/* What made a file.  command_json is one JSON object, inputs_json one JSON
 * list (h5meta.h builds it); NULL where unknown. */
typedef struct dk_provenance {
    const char *writer, *command_json, *inputs_json, *stage_key;
    uint32_t shard_index, shard_count;  /* count 0: the whole */
} dk_provenance;

/* The root attributes of every dk file. */
typedef struct dk_h5_root {
    char *encoding, *version, *features, *role, *content_id, *stage_key, *writer;
    uint32_t shard_index, shard_count;
    uint64_t rows, docs;
    bool complete;
} dk_h5_root;

typedef struct dk_h5 dk_h5;

size_t dk_h5_type_size(dk_h5_type type);        /* 0 for STR */
const char *dk_h5_type_name(dk_h5_type type);   /* "u32", "bf16", ... */

/* --- writing ------------------------------------------------------------ */
/* encoding: "dk-tokens", ...  The version is 1.0.  Missing folders are made.
 * path "-": a stream on standard output; DK_EUSAGE where that is a terminal. */
int dk_h5_create(dk_h5 **out, const char *path, const char *encoding, const dk_provenance *prov,
                 dk_err *err);
/* The same with what a reader must know (a comma list). */
int dk_h5_create_with(dk_h5 **out, const char *path, const char *encoding, const char *features,
                      const dk_provenance *prov, dk_err *err);
/* Groups on the way to an object are made as needed; an empty one with this. */
int dk_h5_group(dk_h5 *f, const char *path, dk_err *err);
/* Attributes of a group or dataset that exists ("/" is the root). */
int dk_h5_put_str(dk_h5 *f, const char *obj, const char *name, const char *value, dk_err *err);
int dk_h5_put_int(dk_h5 *f, const char *obj, const char *name, dk_h5_type type, int64_t value,
                  dk_err *err);
int dk_h5_put_real(dk_h5 *f, const char *obj, const char *name, dk_h5_type type, double value,
                   dk_err *err);
/* A dataset that grows by rows: dim[0] is ignored, the rest is fixed. */
int dk_h5_dataset(dk_h5 *f, const char *path, dk_h5_type type, int rank, const uint64_t *dim,
                  dk_err *err);
/* All objects are there.  A stream sends its head here, or at the latest on
 * commit: rows and docs as for commit; a file does nothing. */
int dk_h5_begin(dk_h5 *f, uint64_t rows, uint64_t docs, dk_err *err);
/* Before that: how many rows a dataset will have that has none yet. */
void dk_h5_expect(dk_h5 *f, const char *path, uint64_t rows);
/* n more rows, in the dataset's own type (bf16 and f16 as uint16_t bits). */
int dk_h5_append(dk_h5 *f, const char *path, const void *rows, uint64_t n, dk_err *err);
/* Both at once. */
int dk_h5_write(dk_h5 *f, const char *path, dk_h5_type type, int rank, const uint64_t *dim,
                const void *data, dk_err *err);
int dk_h5_write_strs(dk_h5 *f, const char *path, const char *const *s, uint64_t n, dk_err *err);
/* Chunk height of datasets made from here on; 0 (the start) is the rule of the
 * format.  For small ones of a known size; the content id does not depend on it. */
void dk_h5_set_chunk_rows(dk_h5 *f, uint64_t rows);
/* Writes rows, docs, complete and the content id, flushes, renames; frees *f
 * whatever the outcome.  content_id (may be NULL) receives the id. */
int dk_h5_commit(dk_h5 **f, uint64_t rows, uint64_t docs, char content_id[DK_CONTENT_ID_LEN],
                 dk_err *err);

/* --- reading ------------------------------------------------------------ */
/* encoding NULL: any kind this build knows.  Refuses a newer major version,
 * an unknown required feature and an incomplete file.  path "-" is a stream on
 * standard input, or an HDF5 file that was redirected there. */
int dk_h5_open(dk_h5 **out, const char *path, const char *encoding, dk_err *err);
/* The same from a stream that is open; name stands in messages. */
int dk_h5_open_stream(dk_h5 **out, FILE *in, const char *name, const char *encoding, dk_err *err);
bool dk_h5_is_stream(const dk_h5 *f);
/* Of a stream: reads to the end and checks all of it.  What was read before
 * may not be trusted, content id and attributes of the end are not there.  Long
 * datasets (under /acts) cannot be read after it. */
int dk_h5_finish(dk_h5 *f, dk_err *err);
/* Of a stream: rows of a long dataset before this one will not be asked for. */
void dk_h5_drop(dk_h5 *f, const char *path, uint64_t row);
/* DK_EUSAGE where path is "-" and standard output a terminal.  hint: what else
 * there is to do; may be "". */
int dk_h5_check_terminal(const char *path, const char *hint, dk_err *err);
const dk_h5_root *dk_h5_root_of(const dk_h5 *f);
const char *dk_h5_path(const dk_h5 *f);
/* All objects but the root in byte order of their paths; borrowed. */
size_t dk_h5_count(const dk_h5 *f);
const dk_h5_object *dk_h5_at(const dk_h5 *f, size_t i);
const dk_h5_object *dk_h5_find(const dk_h5 *f, const char *path);   /* NULL: not there */
/* Rows first .. first + n of a dataset that must have this type. */
int dk_h5_read(dk_h5 *f, const char *path, dk_h5_type type, uint64_t first, uint64_t n, void *out,
               dk_err *err);
/* Chunk c of a dataset in chunks, its padding included; borrowed until the next read. */
int dk_h5_chunk(dk_h5 *f, const char *path, uint64_t c, const void **p, size_t *n, dk_err *err);
/* The whole dataset into memory from dk_alloc: *out[rows * row items]. */
int dk_h5_read_all(dk_h5 *f, const char *path, dk_h5_type type, void *out, dk_h5_data *info,
                   dk_err *err);
/* A u8 dataset as a string (dk_free it); *out NULL when it is not there. */
int dk_h5_read_text(dk_h5 *f, const char *path, char **out, dk_err *err);
/* A one-dimensional STR dataset as n strings: dk_free each, then the list. */
int dk_h5_read_strs(dk_h5 *f, const char *path, char ***out, size_t *n, dk_err *err);

bool dk_h5_has_attr(dk_h5 *f, const char *obj, const char *name);
int dk_h5_get_str(dk_h5 *f, const char *obj, const char *name, char **out, dk_err *err);
int dk_h5_get_int(dk_h5 *f, const char *obj, const char *name, int64_t *out, dk_err *err);
int dk_h5_get_real(dk_h5 *f, const char *obj, const char *name, double *out, dk_err *err);
/* The i-th attribute by name order.  *quoted: it is a string.  Returns 1 past
 * the last one; name and text are added to the buffers. */
int dk_h5_attr_text(dk_h5 *f, const char *obj, size_t i, dk_buf *name, dk_buf *text, bool *quoted,
                    dk_err *err);
/* The content id as computed from the values in the file.  sums: NULL, or a
 * zeroed buffer for each object, which receives 32 bytes of SHA-256 for each
 * chunk of a dataset as /check has them (dk-formats(5)). */
int dk_h5_content_id(dk_h5 *f, char id[DK_CONTENT_ID_LEN], dk_buf *sums, dk_err *err);
/* Hashes of chunks are not compared from here on: what was read once is read again. */
void dk_h5_unverified(dk_h5 *f);
/* Every dataset of a file that keeps hashes has some.  (Reading compares them.) */
int dk_h5_check_sums(dk_h5 *f, dk_err *err);

/* Ends a reader; abandons a writer (no target, no temporary).  NULL is fine. */
void dk_h5_close(dk_h5 **f);

#endif
