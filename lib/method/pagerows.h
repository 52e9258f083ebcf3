/* One value a token, lane by lane: how it is spread over positions, and how it
 * runs along the texts. */
#ifndef DK_METHOD_PAGEROWS_H
#define DK_METHOD_PAGEROWS_H

#include "method/pageparts.h"

typedef struct dk_page_rows {
    const dk_tokens *t;
    size_t n;
    const char *lane[DK_SUMMARY_LANES];
    const float *v[DK_SUMMARY_LANES];   /* [rows]; NaN: none */
    const char *name, *set;             /* the pictures are NAME.SET, NAME_bulk.SET and NAME_position.SET */
    const char *what, *unit;            /* "KL", "nats" */
    int lowest;                         /* the first decade, of values that are not negative; 0: that of the values */
    bool with_sign;                     /* values may be negative: no decades */
} dk_page_rows;

/* A figure: the share of positions by value with mean and median, all of them and without outliers. */
int dk_page_spread(const dk_page *p, const dk_page_rows *r, const char *caption, dk_err *err);
/* A figure: its mean at each position with 1.96 standard errors over documents; many
 * positions are taken together. */
void dk_page_along(const dk_page *p, const dk_page_rows *r, const char *caption);

/* Reads SCORE/LANE of a score file, one value a row; *out NULL: it is not there. */
int dk_page_read(dk_scores *file, const char *score, const char *lane, float **out, dk_err *err);

#endif
