/* A scoring job. */
#include "method/scorejob.h"

#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "method/kltable.h"
#include "model/describe.h"

/* Before the long work: can its results be kept? */
static int check_outputs(const dk_score_job *job, dk_err *err)
{
    const int rc = job->out ? dk_h5_check_terminal(job->out, "", err) : 0;

    if (rc < 0)
        return rc;
    if (job->out && job->table && strcmp(job->out, job->table) == 0)
        return dk_fail(err, DK_EUSAGE, "scores and table have the same name, %s", job->out);
    if (job->out && dk_outfile_check(job->out, err) < 0)
        return DK_EIO;
    return job->table ? dk_outfile_check(job->table, err) : 0;
}

static int read_tokens(dk_tokens *t, const dk_score_job *job, dk_err *err)
{
    dk_tokens all = {0};
    int rc = dk_tokens_read(&all, job->tokens, err);

    if (rc == 0) {
        if (all.lineage)
            dk_inputs_add_object(job->inputs, all.lineage);
        rc = dk_tokens_trim(t, &all, job->max_docs, job->max_tokens, job->min_tokens, err);
    }
    if (rc == 0 && t->docs == 0)
        rc = dk_fail(err, DK_EDATA, "%s: no document has at least %zu tokens", job->tokens,
                     job->min_tokens);
    if (rc == 0 && (rc = dk_shard_cut(t, job->shard, 1, NULL, NULL, err)) < 0)
        dk_err_prefix(err, "%s", job->tokens);
    dk_tokens_free(&all);
    return rc;
}

static int write_table(const dk_score_job *job, const dk_score *s, const dk_pair *p,
                       const dk_tokens *t, dk_err *err)
{
    dk_buf rows = {0};
    int rc = 0;

    for (size_t l = 1; rc == 0 && l < s->n_lanes; l++)
        rc = dk_kl_table_row(&rows, p->lane[l].name, p->lane[0].name, false, t, s->kl[l], s->logp[l], s->logp[0],
                             job->seed, err);
    for (size_t l = 1; rc == 0 && l < s->n_lanes; l++)
        if (s->reverse[l])
            rc = dk_kl_table_row(&rows, p->lane[l].name, p->lane[0].name, true, t, s->reverse[l], NULL, NULL,
                                 job->seed, err);
    if (rc == 0)
        rc = dk_outfile_write(job->table, rows.s, rows.n, err);
    dk_buf_free(&rows);
    return rc;
}

int dk_score_job_run(const dk_score_job *job, dk_err *err)
{
    dk_tokens t = {0};
    dk_pair p = {0};
    dk_score s = {0};
    dk_provenance prov;
    int rc = check_outputs(job, err);

    if (rc == 0)
        rc = read_tokens(&t, job, err);
    if (rc == 0)
        rc = dk_pair_open(&p, &job->pair, err);
    if (rc == 0 && p.n_lanes < 2)
        rc = dk_fail(err, DK_EUSAGE, "nothing to compare: name a finetune with --ft or lanes with --null");
    if (rc == 0)
        rc = dk_pair_check_tokens(&p, &t, job->tokens, err);
    if (rc == 0)
        rc = dk_score_run(&s, &p, &t, &job->plan, err);
    if (rc == 0) {
        dk_log(DK_INFO, "%zu tokens in %zu lanes: %.1f s, %.0f tokens/s", t.rows, p.n_lanes, s.seconds,
               (double)(t.rows * p.n_lanes) / s.seconds);
        rc = dk_pair_inputs(job->inputs, &p, err);
    }
    prov = job->provenance(job->arg);
    prov.shard_index = job->shard.index;
    prov.shard_count = job->shard.count;
    if (rc == 0 && job->out)
        rc = dk_score_write(&s, &p, &t, job->out, &prov, err);
    if (rc == 0 && job->table && job->plan.kl)
        rc = write_table(job, &s, &p, &t, err);
    dk_score_free(&s);
    dk_pair_close(&p);
    dk_tokens_free(&t);
    return rc;
}
