/* What dk_norms_of measured, as files. */
#ifndef DK_METHOD_NORMSOUT_H
#define DK_METHOD_NORMSOUT_H

#include "io/h5meta.h"
#include "method/norms.h"

/* A score file: METRIC/LNN/SITE/LANE for each value measured. */
int dk_norms_write(const dk_norms *n, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err);
/* The mean differences, as directions. */
int dk_norms_write_means(const dk_norms *n, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err);
/* One JSON line a value measured, then one a mean difference (dk-formats(5)). */
int dk_norms_table(dk_buf *out, const dk_norms *n, const dk_tokens *t, size_t skip, uint64_t seed, dk_err *err);
#endif
