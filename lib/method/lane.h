/* A lane's rows in an activation file: stored, or the sum or difference of two
 * that are; and what lanes beside the finetune make of its findings. */
#ifndef DK_METHOD_LANE_H
#define DK_METHOD_LANE_H

#include <stdbool.h>

#include "io/actfile.h"

typedef struct dk_lane_rows {
    const dk_act_info *a, *b;       /* b NULL: a alone; else a + sign b, added in f32 */
    float sign;
} dk_lane_rows;

/* Looks for base, ft, diff, NAME or diff.NAME at the layer and site.  a NULL:
 * it is not there, and what is there does not give it. */
dk_lane_rows dk_lane_find(const dk_acts *f, int layer, const char *site, const char *what);
/* out, work: [n, d]. */
int dk_lane_read(dk_acts *f, const dk_lane_rows *l, size_t first, size_t n, float *out, float *work, dk_err *err);

/* What a null raises at no less than this share of the finetune's rate, both as
 * far as they are above chance, is no finding.  null < 0: there is none. */
#define DK_LANE_SHARED 0.2
bool dk_lane_finding(double value, double null, double chance);

#endif
