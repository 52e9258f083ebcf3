/* The tables of diff mining: from a score file to JSON lines. */
#ifndef DK_METHOD_MINETABLE_H
#define DK_METHOD_MINETABLE_H

#include "base/mem.h"
#include "method/mine.h"
#include "method/minefile.h"
#include "num/nmf.h"
#include "text/tokenizer.h"

typedef struct dk_mine_plan {
    dk_ordering ordering;
    size_t n;                   /* list length; of each topic */
    size_t snippets;            /* places in the texts shown for each token */
    size_t context;             /* tokens before and after such a place */
    bool beside;                /* nulls do not sort a token down */
    dk_words_plan words;
    dk_nmf_plan nmf;
    bool binary;                /* topics of what is in a list, whatever its difference */
} dk_mine_plan;

/* Appends one line a token (fields: dk-formats(5)); topics have one of their own
 * before their tokens. */
int dk_mine_table(dk_buf *out, dk_mine_file *f, const dk_tokenizer *tok, const dk_mine_plan *plan, dk_err *err);

#endif
