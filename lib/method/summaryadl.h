/* What activation_difference_lens left: norms of the mean activations by
 * position, and the tokens that these directions speak for.
 *
 * Reads RESULTS/activation_difference_lens/SET.means.jsonl and SET.lens.jsonl.
 * Of each list the first DK_ADL_KEEP tokens are kept, however long it is. */
#ifndef DK_METHOD_SUMMARYADL_H
#define DK_METHOD_SUMMARYADL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { DK_ADL_KEEP = 20, DK_ADL_TELLING = 3, DK_ADL_ALL = INT32_MIN };     /* position of the mean of all rows */

typedef struct dk_adl_token {
    char *token, *piece;
    char *query;                /* what was asked for; NULL in lists */
    int64_t id, rank;
    double value;               /* probability */
    double null;                /* the highest of the nulls' probabilities; NaN: there is none */
    int64_t null_rank;          /* in that null's list */
    char *null_lane;
} dk_adl_token;

/* The tokens of one direction, or of its inverse. */
typedef struct dk_adl_list {
    char *what;                 /* base, ft, diff, diff.NAME */
    int32_t position;
    bool inverse;
    dk_adl_token *token, *asked;    /* in order of rank; those of queries */
    size_t n, n_asked;
} dk_adl_list;

typedef struct dk_adl_norm {
    char *what;
    int32_t position;
    double norm, mean_norm, act_norm, count;    /* NaN: not there */
} dk_adl_norm;

/* One layer and site of one data set. */
typedef struct dk_adl {
    char *set, *site;
    int layer;
    dk_adl_norm *norm;
    size_t n_norm;
    dk_adl_list *list;
    size_t n_list;
    int32_t *position;          /* those that occur, ascending, DK_ADL_ALL left out */
    size_t n_position;
    char *what[16];             /* those that have lists: diff, ft, base, then the nulls; borrowed */
    size_t n_what;
} dk_adl;

/* By data set, then as the files have them.  Rows without the fields expected
 * are passed over. */
int dk_adl_load(dk_adl **out, size_t *n, const char *results, dk_err *err);
void dk_adl_free(dk_adl *a, size_t n);

/* NULL where there is none. */
const dk_adl_list *dk_adl_list_of(const dk_adl *a, const char *what, int32_t position, bool inverse);
const dk_adl_norm *dk_adl_norm_of(const dk_adl *a, const char *what, int32_t position);
/* The norm of a lane's mean there, in percent of the mean length of the base's
 * rows; NaN where either is not there. */
double dk_adl_share(const dk_adl *a, const char *what, int32_t position);

/* A token of diff is a finding unless a null speaks for it at no less than
 * DK_LANE_SHARED of its probability. */
bool dk_adl_finding(const dk_adl_token *t);
/* What a list is worth: the probability that its findings hold; 0 for NULL. */
double dk_adl_mass(const dk_adl_list *l);
/* The positions in order of that of diff, at most n; returns how many. */
size_t dk_adl_telling(const dk_adl *a, int32_t *position, size_t n);

#endif
