/* Projections: how far each row of an activation file lies along directions. */
#ifndef DK_METHOD_ENCODE_H
#define DK_METHOD_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "io/actfile.h"
#include "io/dirfile.h"

typedef struct dk_encode_plan {
    dk_dir_choice dirs;
    size_t skip;                    /* no values at the first positions of a text, */
    size_t max_docs;                /* ... nor in texts from this one on; 0: in all */
    bool raw;                       /* not about the mean that components have */
} dk_encode_plan;

/* One direction, one lane. */
typedef struct dk_encoded {
    int layer;
    char *site, *direction, *lane, *computed_in;
    bool diff;                      /* of differences to the base */
    float *value;                   /* [rows]; NaN where there is none */
} dk_encoded;

typedef struct dk_encoding { dk_encoded *of; size_t n; } dk_encoding;

/* Of the rows of every lane that the directions can be asked of: those of a
 * difference of all differences, others of all lanes.  Each value is
 * (row - mean) . v / |v| in double, the mean only of components; rows of
 * components of negated rows are negated.  Reads every row once, in order. */
int dk_encode(dk_encoding *out, dk_acts *a, dk_dirs *d, const dk_encode_plan *plan, dk_err *err);
void dk_encoding_free(dk_encoding *e);

/* proj/LNN/SITE/DIRECTION/LANE, and one JSON line each (dk-formats(5)). */
int dk_encode_write(const dk_encoding *e, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err);
int dk_encode_table(dk_buf *out, const dk_encoding *e, const dk_tokens *t, size_t skip, uint64_t seed, dk_err *err);

#endif
