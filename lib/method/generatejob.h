/* The whole of dk-generate between its options and its exit: read the prompts,
 * open the pair, generate, write one row for each prompt, sample and lane. */
#ifndef DK_METHOD_GENERATEJOB_H
#define DK_METHOD_GENERATEJOB_H

#include "method/generate.h"
#include "method/generatesteer.h"
#include "text/prompts.h"

typedef struct dk_generate_job {
    dk_pair_spec pair;
    dk_generate_plan plan;      /* tokenizer and end are filled in; amplified, pre-fills where no prompt is given */
    dk_prompt_rules rules;
    dk_steer_plan steer;
    const char *prompts;        /* a file, or NULL */
    char *const *words;         /* prompts by themselves, before those of the file */
    size_t n_words;
    bool ignore_eos;
    bool model_sampling;        /* what plan.sampling leaves at its default comes from the model's files */
    bool as_text;               /* for people, as it is written; else JSON lines at the end */
    const char *out;            /* "-": stdout */
} dk_generate_job;

int dk_generate_job_run(const dk_generate_job *job, dk_err *err);

#endif
