/* Lengths and distances without rows: what the sums of a statistics file tell. */
#ifndef DK_METHOD_NORMSSTATS_H
#define DK_METHOD_NORMSSTATS_H

#include "io/actinput.h"
#include "method/norms.h"

/* The lines that dk_norms_table writes, without percentiles; mean differences are
 * of all rows and of the first positions. */
int dk_norms_stats_table(dk_buf *out, const dk_act_input *in, size_t positions, dk_err *err);

#endif
