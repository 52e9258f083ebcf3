/* What the HDF5 layer's own files share; nothing else includes this.
 *
 * Only calls that 1.10.8 has, numbered where numbers exist.  Where 1.12 and
 * later renamed a structure, the 1.10 mapping keeps the old name. */
#ifndef DK_IO_H5PRIV_H
#define DK_IO_H5PRIV_H

#include "base/outfile.h"
#include "io/h5.h"
#include "io/h5dyn.h"

enum {
    DK_H5_CHUNK_ROWS = 65536, DK_H5_CHUNK_BYTES = 1 << 20,      /* what we write */
    DK_H5_MAX_CHUNK = 16 << 20, DK_H5_MAX_STR = 65000,          /* what we accept */
    DK_H5_MAX_OBJECTS = 100000, DK_H5_MAX_DEPTH = 12
};

/* A dataset that is open in a file; the chunk decoded last stays with it. */
typedef struct dk_h5_open_data {
    hid_t id;
    uint8_t *raw;               /* one chunk as values */
    uint64_t raw_index;         /* which; UINT64_MAX: none */
    uint8_t *sums;              /* [chunks, 32] from /check; NULL: none, or not yet read */
    bool chunked, shuffle, zstd, no_sums;
    struct dk_h5_held *held;    /* of a stream: h5stream.h */
} dk_h5_open_data;

struct dk_h5 {
    char *path;
    hid_t id;
    bool writing;
    dk_outfile *out;            /* of a writer */
    dk_h5_root root;
    uint64_t chunk_rows;        /* of a writer; 0: the rule */
    size_t n, cap;              /* objects, sorted by path in a reader */
    dk_h5_object *obj;
    dk_h5_open_data *open;      /* [n], beside obj */
    uint64_t file_bytes;        /* of a reader */
    uint8_t *scratch;           /* one chunk as stored, then as unpacked */
    size_t scratch_bytes;
    struct dk_h5_stream *stream;        /* NULL: an HDF5 file */
};

/* Loads and starts the library once: no printing, no plugins, our zstd. */
int dk_h5_start(dk_err *err);
/* Whether the library has the memory to open a file. */
int dk_h5_room(const char *path, dk_err *err);
/* dk_fail with ": " and the innermost message of the library appended.  Any
 * call into the library, even a close, clears that message: fail first. */
int dk_fail_h5(dk_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The file type of t, borrowed; item is the size of a STR. A STR is made new:
 * close it with dk_h5_type_done. */
hid_t dk_h5_type_id(dk_h5_type t, size_t item);
void dk_h5_type_done(dk_h5_type t, hid_t id);
dk_h5_type dk_h5_type_of(hid_t type, size_t *item);     /* DK_H5_NONE: unknown */
uint64_t dk_h5_row_items(const dk_h5_data *d);          /* product of dim[1..] */

/* Adds an entry for path; the entry is borrowed until the next add. */
size_t dk_h5_add_object(dk_h5 *f, const char *path, dk_h5_kind kind);
/* Drops all entries and closes their datasets. */
void dk_h5_drop_objects(dk_h5 *f);
/* Lists and checks everything below the root. */
int dk_h5_walk(dk_h5 *f, dk_err *err);
void dk_h5_sort_objects(dk_h5 *f);
/* Cuts columns with a row each to the rows that the file promises. */
int dk_h5_clip(const dk_h5 *f, const char *path, dk_h5_data *d, dk_err *err);
/* Values of attributes as they are stored. */
int64_t dk_h5_attr_int(dk_h5_type t, const uint8_t *v);
double dk_h5_attr_real(dk_h5_type t, const uint8_t *v);
void dk_h5_free(dk_h5 **f);

#endif
