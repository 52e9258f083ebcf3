#include "method/lane.h"

#include <string.h>

static dk_lane_rows two(const dk_act_info *a, const dk_act_info *b, float sign)
{
    return a && b && a->d == b->d ? (dk_lane_rows){ a, b, sign } : (dk_lane_rows){0};
}

dk_lane_rows dk_lane_find(const dk_acts *f, int layer, const char *site, const char *what)
{
    const dk_act_info *own = dk_acts_find(f, layer, site, what), *base = dk_acts_find(f, layer, site, "base");
    const bool diff = strcmp(what, "diff") == 0 || strncmp(what, "diff.", 5) == 0;
    const char *lane = strncmp(what, "diff.", 5) == 0 ? what + 5 : "ft";

    if (own)
        return (dk_lane_rows){ own, NULL, 0 };
    if (diff)
        return two(dk_acts_find(f, layer, site, lane), base, -1);
    return strcmp(what, "ft") == 0 ? two(base, dk_acts_find(f, layer, site, "diff"), 1) : (dk_lane_rows){0};
}

int dk_lane_read(dk_acts *f, const dk_lane_rows *l, size_t first, size_t n, float *out, float *work, dk_err *err)
{
    int rc = dk_acts_read(f, l->a, first, n, out, err);

    if (rc == 0 && l->b)
        rc = dk_acts_read(f, l->b, first, n, work, err);
    for (size_t i = 0; rc == 0 && l->b && i < n * l->a->d; i++)
        out[i] += l->sign * work[i];
    return rc;
}

bool dk_lane_finding(double value, double null, double chance)
{
    return !(null >= 0 && null - chance >= DK_LANE_SHARED * (value - chance));
}
