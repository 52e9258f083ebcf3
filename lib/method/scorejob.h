/* The whole of dk-kl and dk-topk between their options and their exit: open
 * the pair, read and trim the tokens, score, write file and table. */
#ifndef DK_METHOD_SCOREJOB_H
#define DK_METHOD_SCOREJOB_H

#include "method/scoreout.h"
#include "method/scoreshard.h"

typedef struct dk_score_job {
    dk_pair_spec pair;
    dk_score_plan plan;
    const char *tokens;                 /* path, or "-" */
    size_t max_docs, max_tokens, min_tokens;
    dk_shard shard;
    const char *out, *table;            /* table NULL: none; "-": stdout */
    uint64_t seed;
    dk_buf *inputs;                     /* gets what was read */
    dk_provenance (*provenance)(void *arg);     /* called when inputs is complete */
    void *arg;
} dk_score_job;

int dk_score_job_run(const dk_score_job *job, dk_err *err);

#endif
