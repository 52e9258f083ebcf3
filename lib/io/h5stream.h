/* A dk_h5 that is a stream: what h5*.c ask of h5sink.c and h5source.c; nothing
 * else includes this.
 *
 * Objects stand in the list of the file like those of HDF5, attributes in a
 * list of their own.  Values are held in memory: all of those of a writer until
 * the head is out, all but the long ones (under /acts) after it. */
#ifndef DK_IO_H5STREAM_H
#define DK_IO_H5STREAM_H

#include "base/hash.h"
#include "io/frame.h"
#include "io/h5priv.h"

typedef struct dk_h5_attr {
    char *obj, *name;
    dk_h5_type type;
    size_t item;                    /* bytes of the value, which a zero follows */
    uint8_t *value;
    bool late;                      /* came after the head: travels at the end */
} dk_h5_attr;

/* Values of a dataset, beside its dk_h5_open_data. */
struct dk_h5_held {
    size_t number;                  /* in the stream */
    uint64_t declared;              /* rows that a writer was told of */
    uint64_t rows;                  /* that have come, or went */
    uint64_t base;                  /* rows that are not held any more */
    dk_buf bytes;
    dk_sha256 *sum;                 /* of a long one, while it comes ... */
    uint8_t digest[32];             /* ... and at its end */
};

struct dk_h5_stream {
    size_t n, cap;
    dk_h5_attr *attr;
    dk_sha256 *heads;               /* over the header and all heads */
    /* of a writer */
    dk_frames_out *to;
    bool begun;
    /* of a reader */
    dk_frames_in *from;
    size_t *set;                    /* [datasets] place in the list of objects */
    size_t n_sets;
    bool ended, discard;
};

bool dk_h5_long(const char *path);      /* not to be held whole */
dk_h5_attr *dk_h5_stream_attr(const dk_h5 *f, const char *obj, const char *name);
/* Attribute i of an object by name order, or NULL. */
const dk_h5_attr *dk_h5_stream_attr_at(const dk_h5 *f, const char *obj, size_t i);
void dk_h5_stream_put_attr(dk_h5 *f, const char *obj, const char *name, dk_h5_type t, size_t item,
                           const void *value);
void dk_h5_stream_free(dk_h5 *f);
void dk_h5_held_free(struct dk_h5_held **h);
/* The SHA-256 of a long dataset's values. */
const uint8_t *dk_h5_stream_sum(dk_h5 *f, const char *path);

/* writing */
int dk_h5_sink_open(dk_h5 *f, dk_err *err);
void dk_h5_sink_group(dk_h5 *f, const char *path);
int dk_h5_sink_dataset(dk_h5 *f, const char *path, const dk_h5_data *d, dk_err *err);
int dk_h5_sink_append(dk_h5 *f, size_t i, const void *rows, uint64_t n, dk_err *err);
int dk_h5_sink_begin(dk_h5 *f, uint64_t rows, uint64_t docs, dk_err *err);
int dk_h5_sink_commit(dk_h5 *f, char id[DK_CONTENT_ID_LEN], dk_err *err);

/* reading */
int dk_h5_source_open(dk_h5 *f, FILE *in, dk_err *err);
int dk_h5_source_check(dk_h5 *f, dk_err *err);       /* when the root is known */
int dk_h5_source_read(dk_h5 *f, size_t i, uint64_t first, uint64_t n, void *out, dk_err *err);
int dk_h5_source_finish(dk_h5 *f, dk_err *err);

#endif
