/* The reference toolkit's cache of one model's activations on one split of a data
 * set: a folder with
 *
 *   tokens.pt, sequence_ranges.pt   a tensor of int64 each, as torch.save writes it
 *   layer_L_out/config.json         what the shards add up to
 *   layer_L_out/shard_K.meta        {"shape": [n, d], "dtype": "torch.bfloat16"}
 *   layer_L_out/shard_K.memmap      the values, row by row
 *
 * Of the .pt files only the bytes of the tensor are read; nothing is unpickled. */
#ifndef DK_IO_REFCACHE_H
#define DK_IO_REFCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/h5.h"
#include "io/mapfile.h"

/* --- tokens ------------------------------------------------------------------- */
typedef struct dk_reftokens {
    char *dir;
    size_t rows, docs;
    int64_t *token;                 /* [rows] of the whole stream, not below 0 */
    int64_t *range;                 /* [docs + 1] where each sequence starts; last = rows */
} dk_reftokens;

int dk_reftokens_read(dk_reftokens *t, const char *dir, dk_err *err);
void dk_reftokens_free(dk_reftokens *t);

/* --- layers ------------------------------------------------------------------- */
/* Ascending, to be freed; none is an error. */
int dk_reflayers(int **layer, size_t *n, const char *dir, dk_err *err);

typedef struct dk_refrows {
    char *dir;                      /* of the layer */
    size_t rows, d, n_shards;
    dk_h5_type dtype;               /* DK_H5_BF16, DK_H5_F16, DK_H5_F32 */
    dk_mapfile **shard;             /* [n_shards] */
    size_t *first;                  /* [n_shards + 1] row with which each begins */
} dk_refrows;

/* All shards, which must be there with the sizes that are said of them. */
int dk_refrows_open(dk_refrows *r, const char *dir, int layer, dk_err *err);
void dk_refrows_close(dk_refrows *r);
/* Rows first .. first + n - 1, of as many shards as it takes: out [n, d]. */
void dk_refrows_read(const dk_refrows *r, size_t first, size_t n, float *out);

#endif
