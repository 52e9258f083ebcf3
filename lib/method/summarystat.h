/* What activation_analysis and pca left, row by row as dk-formats(5) has it.
 *
 * Reads RESULTS/activation_analysis/SET.jsonl and SET.lens.jsonl, and below RESULTS/pca:
 * components.jsonl, components.NAME.jsonl (of a null's differences),
 * components.lens.jsonl, SET.proj.jsonl. */
#ifndef DK_METHOD_SUMMARYSTAT_H
#define DK_METHOD_SUMMARYSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/jsonl.h"

enum { DK_STAT_SETS = 16, DK_STAT_PLACES = 64, DK_STAT_COMPONENTS = 10 };

/* A data set and its rows, or a null and its. */
typedef struct dk_stat_table { char *name; dk_jsonl rows; } dk_stat_table;

/* A layer and site. */
typedef struct dk_place { int layer; const char *site; } dk_place;      /* borrowed from the rows */
bool dk_at_place(const dk_json *row, const dk_place *at);

typedef struct dk_stat_tables {
    dk_stat_table norms[DK_STAT_SETS], proj[DK_STAT_SETS], null[DK_STAT_SETS];
    size_t n_norms, n_proj, n_null;
    dk_jsonl component, lens;
    dk_jsonl norm_lens[DK_STAT_SETS];       /* of the mean differences of norms[k] */
} dk_stat_tables;

/* Of norms, of components, or both. */
int dk_stat_tables_load(dk_stat_tables *s, const char *results, bool norms, bool components, dk_err *err);
void dk_stat_tables_free(dk_stat_tables *s);

/* --- norms: rows of norm, norm_diff, cos_dist, relative --------------------------- */
/* Places in the order of the rows; at most DK_STAT_PLACES. */
size_t dk_norm_places(const dk_stat_table *t, dk_place *place);
/* Lanes that have a difference there, the finetune first; at most max, borrowed. */
size_t dk_norm_lanes(const dk_stat_table *t, const dk_place *at, const char **lane, size_t max);
const dk_json *dk_norm_row(const dk_stat_table *t, const dk_place *at, const char *metric, const char *lane);

/* --- components ----------------------------------------------------------------------- */
size_t dk_component_places(const dk_stat_tables *s, dk_place *place);
/* Row number c of a table of components at this place; NULL: there are no more. */
const dk_json *dk_component(const dk_jsonl *t, const dk_place *at, size_t c);
/* How many there are; and how many hold this share of the variance, 0: not so few. */
size_t dk_components(const dk_jsonl *t, const dk_place *at);
size_t dk_components_for(const dk_jsonl *t, const dk_place *at, double share);
/* What the first n hold together; all of fewer. */
double dk_components_share(const dk_jsonl *t, const dk_place *at, size_t n);
/* The root mean square of a lane's projections on it, all data sets together; NaN: not known.  Its interval
 * (NULL: not wanted) is that of the data sets' own, which vary apart from each other. */
double dk_component_rms(const dk_stat_tables *s, const dk_place *at, size_t c, const char *lane, double *lo, double *hi);
/* The null that lies farthest along it; NaN: there is none.  *name: borrowed. */
double dk_component_null(const dk_stat_tables *s, const dk_place *at, size_t c, const char **name);
/* The i-th token that a direction of a table of dk-lens, or its inverse, speaks for; NULL: there are no more. */
const dk_json *dk_lens_token(const dk_jsonl *t, const dk_place *at, const char *what, const char *name, bool inverse, size_t i);
/* Of a component. */
const dk_json *dk_component_token(const dk_stat_tables *s, const dk_place *at, size_t c, bool inverse, size_t i);

#endif
