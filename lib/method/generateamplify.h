/* Amplified samples of all lanes of a pair: the base by itself, the finetune at alpha 0 and
 * at each alpha, every other lane at each alpha; and their rows. */
#ifndef DK_METHOD_GENERATEAMPLIFY_H
#define DK_METHOD_GENERATEAMPLIFY_H

#include <stdbool.h>
#include <stdio.h>

#include "method/generate.h"
#include "text/prompts.h"

/* The samples of a lane; alphas are in plan order, of the base none. */
typedef struct dk_amplified_lane {
    const char *name;
    bool base;
    double *alpha;
    size_t n_alphas;
    dk_answers answers;
} dk_amplified_lane;

typedef struct dk_amplified {
    size_t n;
    dk_amplified_lane *lane;        /* the base first, others as in the pair */
} dk_amplified;

/* What rows say beside that. */
typedef struct dk_amplified_rows {
    const dk_prompts *prompts;
    size_t samples;
    double beta;
    const char *arith;
    size_t greedy;
    dk_buf made[2];                 /* members of a row that say how it was made: drawn, greedy */
} dk_amplified_rows;

/* Pre-fills that say little, in raw text: what a model is asked for that is to talk about
 * anything. */
extern const char *const dk_amplify_prefills[];
extern const size_t dk_amplify_n_prefills;

/* What an empty pre-fill begins with where the tokenizer has no BOS of its own: the end of a
 * text, which is where the next one begins; false: there is nothing. */
bool dk_amplify_begin(dk_ids *ids, const dk_tokenizer *t);

/* plan.amplify: the alphas that were asked for.  The first lane must be the base. */
int dk_amplified_run(dk_amplified *out, const dk_pair *pair, const dk_prompt *prompt, size_t n_prompts,
                     const dk_generate_plan *plan, dk_err *err);
void dk_amplified_free(dk_amplified *a);

/* JSON lines; or, for people, text (terminal: without control characters). */
void dk_amplified_write(FILE *f, const dk_amplified *a, const dk_amplified_rows *r);
void dk_amplified_show(FILE *f, const dk_amplified *a, const dk_amplified_rows *r, bool terminal);

#endif
