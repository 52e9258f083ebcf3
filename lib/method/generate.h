/* Generation: many prompts, all lanes of a pair, one decode loop.
 *
 * A sequence is one sample of one prompt, as it is or steered: with a vector
 * added to the residual stream.  Every lane continues it by itself:
 * lanes share the prompt and the random numbers, not what they write.  Amplified,
 * all lanes (the base and one more) read the same sequence, and one token is drawn
 * from what they make of it together.  Up to
 * `parallel` sequences are decoded together; where one ends in all lanes, the
 * next takes its place, and a lane that has ended waits for the others.
 *
 * The random number of a step depends on (seed, prompt, sample, step) alone, so
 * that steered and amplified answers differ from the others by that and not by the draw,
 * and a row's logits not on the rows beside it: an answer depends on no other
 * prompt, batch size or thread count. */
#ifndef DK_METHOD_GENERATE_H
#define DK_METHOD_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "num/amplify.h"
#include "num/sample.h"
#include "model/pair.h"
#include "text/tokenizer.h"

typedef struct dk_prompt {
    const uint32_t *id;         /* [n], n > 0; borrowed */
    size_t n;
} dk_prompt;

enum { DK_STEER_PROMPT = 1, DK_STEER_GENERATED = 2 };    /* at the prompt's tokens; at those of the answer */

typedef struct dk_steer {
    int layer;                  /* behind this block */
    const float *vector;        /* [d]; borrowed */
    float strength;             /* times it */
    int at;
} dk_steer;

/* Samples of the lane x amplified against the base b: from x + alpha (x - b), where x is
 * plausible (num/amplify.h).  A pair of the base alone gives the base's, under the same mask. */
typedef struct dk_amplify_plan {
    const double *alpha;        /* [n_alphas], one or more: each prompt with each */
    size_t n_alphas;
    double beta;                /* of the mask; 0: none */
    size_t greedy;              /* the first so many samples take the largest logit */
    size_t min_new;             /* tokens before an end token may come */
    size_t loop;                /* end samples whose last 3 n tokens repeat a block of n >= loop; 0: do not */
} dk_amplify_plan;

struct dk_answers;

typedef struct dk_generate_plan {
    dk_sampling sampling;
    uint64_t seed;
    size_t samples;             /* of each prompt, > 0 */
    const dk_steer *steer;      /* [n_steer] each prompt also so, after it as it is */
    size_t n_steer;
    const dk_amplify_plan *amplify;     /* NULL: lanes go on by themselves; else nothing is steered or penalised */
    size_t max_new;             /* tokens of an answer, > 0; fewer where the context ends */
    size_t batch_rows;          /* prompt tokens of a lane in one pass */
    size_t parallel;            /* sequences at once, > 0; fewer where memory is short */
    const uint32_t *end;        /* ids that end an answer */
    size_t n_end;
    const char *const *stop;    /* texts that end one; not empty */
    size_t n_stop;
    const dk_tokenizer *tokenizer;  /* NULL: no text, and no stop texts */
    /* Called after every step, unless NULL, with texts as they stand: not yet
     * mended, and a stop text may be on its way. */
    void (*watch)(void *user, const struct dk_answers *a);
    void *user;
} dk_generate_plan;

typedef enum dk_finish { DK_FINISH_LENGTH, DK_FINISH_EOS, DK_FINISH_STOP, DK_FINISH_LOOP } dk_finish;

typedef struct dk_answer {
    uint32_t *id;               /* [n], with the end token if there was one */
    size_t n;
    dk_finish finish;
    bool begun, done;           /* a token with text has come; it has ended */
    dk_buf text;                /* valid UTF-8; without special tokens, stop text and what follows it */
    /* Amplified only: */
    float *logp[DK_N_LOGP];     /* [n] */
    size_t *text_end;           /* [n] bytes of the text that are there with each token */
} dk_answer;

typedef struct dk_answers {
    size_t n;                   /* prompts x (1 + n_steer) x samples x lanes, in this order;
                                 * amplified: prompts x alphas x samples */
    dk_answer *answer;
    size_t n_tokens, n_steps, parallel;     /* generated in all; decode passes; sequences at once */
    size_t batch_rows;          /* tokens of prompts in one pass, at most */
    bool halved;                /* both are less than wished, as a device had no memory */
    double prompt_seconds, decode_seconds;
} dk_answers;

int dk_generate_run(dk_answers *out, const dk_pair *pair, const dk_prompt *prompt, size_t n_prompts,
                    const dk_generate_plan *plan, dk_err *err);
void dk_answers_free(dk_answers *a);
const char *dk_finish_name(dk_finish f);

#endif
