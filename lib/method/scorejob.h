/* The whole of dk-kl and dk-topk between their options and their exit: open
 * the pair, read and trim the tokens, score, write file and table. */
#ifndef DK_METHOD_SCOREJOB_H
#define DK_METHOD_SCOREJOB_H

#include "method/scoreout.h"
#include "method/scoresample.h"
#include "method/scoreshard.h"

typedef enum dk_extraction { DK_LAST_LOGITS, DK_LOGIT_LENS, DK_PATCHSCOPE } dk_extraction;

typedef struct dk_score_job {
    dk_pair_spec pair;
    dk_score_plan plan;                 /* without the layer, the prompt and the watched: from here */
    dk_extraction extraction;
    double depth;                       /* of the lens or the patch, 0 to 1 */
    const char *prompt;
    char *const *words;                 /* watched: texts of one token each; others are left out, with a warning */
    size_t n_words;
    const char *tokens;                 /* path, or "-" */
    dk_samples_plan samples;
    dk_shard shard;                     /* of whole documents */
    const char *out, *table;            /* table NULL: none; "-": stdout */
    uint64_t seed;
    dk_buf *inputs;                     /* gets what was read */
    dk_provenance (*provenance)(void *arg);     /* called when inputs is complete */
    void *arg;
} dk_score_job;

int dk_score_job_run(const dk_score_job *job, dk_err *err);

#endif
