/* The texts where a score is highest, and lowest. */
#ifndef DK_METHOD_EXAMPLES_H
#define DK_METHOD_EXAMPLES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/scorefile.h"
#include "text/tokenizer.h"

typedef struct dk_example_plan {
    char *const *score;             /* [n_scores] names; none: the lane's that say "more different" */
    size_t n_scores;
    const char *lane;
    bool by[2], side[2];            /* by the extreme, by the mean; top, bottom */
    size_t k;                       /* texts of a list */
    const double *edge;             /* [n_edges] ascending shares up to 1: one list for each band */
    size_t n_edges;
    size_t context;                 /* tokens before and after the extreme */
    bool no_text, no_values;
} dk_example_plan;

/* Appends one JSON line a text, list by list in rank order (dk-formats(5)).
 * Of texts with the same tokens only the first is listed. */
int dk_examples_table(dk_buf *out, dk_scores *s, const dk_tokenizer *tok, const dk_example_plan *plan, dk_err *err);

#endif
