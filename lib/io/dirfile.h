/* Direction files (.dir.h5): named vectors at a layer.
 *
 * One group /dirs/L14/resid_post/WHAT for each layer, site and lane, with WHAT
 * as in activation files (base, ft, diff, ...). */
#ifndef DK_IO_DIRFILE_H
#define DK_IO_DIRFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/h5meta.h"
#include "io/tokfile.h"

#define DK_NO_POSITION INT32_MIN

/* Borrowed by the writer, owned by the reader. */
typedef struct dk_dir_set {
    int layer;                      /* 0-based block */
    const char *site, *what;
    const char *source;             /* "mean", "component", "decoder", "weights", "random" */
    const char *unit;               /* "model", "normalised" */
    double act_norm;                /* what scales are relative to; NaN: unknown */
    size_t n, d;
    const float *vector;            /* [n, d] */
    const char *const *name;        /* [n] */
    const int32_t *position;        /* [n]; DK_NO_POSITION: none */
    const double *norm;             /* [n] */
    const uint64_t *count;          /* [n] rows behind it; 0: not a mean */
} dk_dir_set;

/* --- writing: create, sets, dk_dirs_commit ------------------------------------
 * t: whose corpus the directions come from; NULL: none.  from: the file whose
 * models they are of; NULL: none. */
int dk_dirs_create(dk_h5 **f, const char *path, const dk_tokens *t, dk_h5 *from, const dk_provenance *prov,
                   dk_err *err);
int dk_dirs_put(dk_h5 *f, const dk_dir_set *s, dk_err *err);
/* n: directions in all. */
int dk_dirs_commit(dk_h5 **f, size_t n, dk_err *err);

/* --- reading: all of it into memory ---------------------------------------- */
typedef struct dk_dirs dk_dirs;

int dk_dirs_open(dk_dirs **out, const char *path, dk_err *err);
void dk_dirs_close(dk_dirs **d);
/* Borrowed until close. */
dk_h5 *dk_dirs_file(dk_dirs *d);
/* Only what describes the corpus; all NULL where the file names none. */
const dk_tokens *dk_dirs_corpus(const dk_dirs *d);
size_t dk_dirs_n(const dk_dirs *d);
const dk_dir_set *dk_dirs_at(const dk_dirs *d, size_t i);       /* in byte order of the paths */
const dk_dir_set *dk_dirs_find(const dk_dirs *d, int layer, const char *site, const char *what);

/* Which directions of a file are meant. */
typedef struct dk_dir_choice {
    const char *what;               /* NULL: diff, or the first that the file has where it has no differences */
    char *const *name;              /* [n_names] patterns; none: all */
    size_t n_names;
    size_t first;                   /* only so many of each set; 0: all */
    const int64_t *layer;           /* [n_layers]; none: all */
    size_t n_layers;
} dk_dir_choice;

const char *dk_dir_what(const dk_dirs *d, const dk_dir_choice *c);      /* borrowed */
bool dk_dir_set_meant(const dk_dirs *d, const dk_dir_choice *c, const dk_dir_set *s);
/* Direction i of a set that is meant. */
bool dk_dir_meant(const dk_dir_choice *c, const dk_dir_set *s, size_t i);

#endif
