/* The frames of a dk stream: 8 bytes of magic, then Zstandard frames with a
 * checksum each.  The first holds a text, the others a head of 16 bytes and
 * rows; the last one's head says that it is the last, and a text follows it.
 *
 * Reading trusts nothing: every frame has a limit, and a stream that stops
 * anywhere, changes anywhere or goes on after its end is an error. */
#ifndef DK_IO_FRAME_H
#define DK_IO_FRAME_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    DK_FRAME_HEAD = 16, DK_FRAME_ROWS = 1 << 20,    /* bytes of head; most bytes of rows */
    DK_FRAME_TEXT = 16 << 20,                       /* most bytes of a text */
    DK_FRAME_END = 0xffff                           /* the set of the last frame */
};

/* As stored, little-endian: u16 set, u48 first, u32 rows, u32 bytes. */
typedef struct dk_frame {
    uint32_t set;                   /* which dataset: its place in the header */
    uint64_t first;                 /* row of the dataset */
    uint32_t rows, bytes;
} dk_frame;

void dk_frame_pack(uint8_t out[DK_FRAME_HEAD], const dk_frame *h);
dk_frame dk_frame_unpack(const uint8_t in[DK_FRAME_HEAD]);

/* --- writing -------------------------------------------------------------- */
typedef struct dk_frames_out dk_frames_out;

/* out is borrowed; its errors are asked for at its end (ferror). */
dk_frames_out *dk_frames_out_new(FILE *out);
void dk_frames_out_free(dk_frames_out **o);
/* One frame of a and then b (NULL, 0: none). */
int dk_frames_put(dk_frames_out *o, const void *a, size_t n_a, const void *b, size_t n_b, dk_err *err);

/* --- reading -------------------------------------------------------------- */
typedef struct dk_frames_in dk_frames_in;

/* Reads the magic.  in is borrowed, as is name, which stands in messages. */
int dk_frames_in_new(dk_frames_in **out, FILE *in, const char *name, dk_err *err);
void dk_frames_in_free(dk_frames_in **i);
/* The next frame, of 1 to most bytes; borrowed until the next call. */
int dk_frames_get(dk_frames_in *i, size_t most, const uint8_t **p, size_t *n, dk_err *err);
/* Nothing may follow. */
int dk_frames_done(dk_frames_in *i, dk_err *err);

#endif
