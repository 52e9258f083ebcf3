/* The token table of diff mining: from a score file to JSON lines. */
#ifndef DK_METHOD_MINETABLE_H
#define DK_METHOD_MINETABLE_H

#include "base/mem.h"
#include "io/scorefile.h"
#include "method/mine.h"
#include "text/tokenizer.h"

typedef struct dk_mine_plan {
    dk_ordering ordering;
    const char *lane;           /* whose tokens; the other lanes stand beside it as nulls */
    size_t n;                   /* list length */
    size_t snippets;            /* places in the texts shown for each token */
    size_t context;             /* tokens before and after such a place */
    uint64_t seed;              /* of the sign-flip test */
} dk_mine_plan;

/* Appends one line a token (fields: dk-formats(5)). */
int dk_mine_table(dk_buf *out, dk_scores *s, const dk_tokenizer *tok, const dk_mine_plan *plan,
                  const char *path, dk_err *err);

#endif
