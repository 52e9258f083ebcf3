/* A scoring job. */
#include "method/scorejob.h"

#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "method/kltable.h"
#include "model/describe.h"
#include "text/tokenizer.h"

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

/* The shard of what the limits leave. */
static int cut_shard(dk_tokens *all, const dk_score_job *job, dk_err *err)
{
    const dk_samples_plan *plan = &job->samples;
    dk_tokens some = {0};
    int rc;

    if (plan->window || (plan->answers && all->format && strcmp(all->format, "chat") == 0)) {
        if (plan->max_samples && plan->max_samples < all->docs)
            return dk_fail(err, DK_EUSAGE, "--shard does not go with --max-samples where samples are windows, or answers "
                           "of chats");
        rc = dk_shard_cut(all, job->shard, 1, NULL, NULL, err);
        return rc < 0 ? dk_err_prefix(err, "%s", job->tokens) : 0;
    }
    rc = dk_tokens_trim(&some, all, plan->max_samples, plan->max_tokens, plan->min_tokens, err);
    if (rc == 0 && (rc = dk_shard_cut(&some, job->shard, 1, NULL, NULL, err)) < 0)
        dk_err_prefix(err, "%s", job->tokens);
    dk_tokens_free(all);
    *all = some;
    return rc;
}

static int read_tokens(dk_samples *t, const dk_score_job *job, dk_err *err)
{
    dk_tokens all = {0};
    int rc = dk_tokens_read(&all, job->tokens, err);

    if (rc == 0 && all.lineage)
        dk_inputs_add_object(job->inputs, all.lineage);
    if (rc == 0 && job->shard.count)
        rc = cut_shard(&all, job, err);
    if (rc == 0)
        rc = dk_samples_make(t, &all, &job->samples, job->tokens, err);
    dk_tokens_free(&all);
    return rc;
}

static int watched(uint32_t **out, dk_score_plan *plan, const dk_score_job *job, dk_tokenizer *tok, size_t vocab, dk_err *err)
{
    dk_ids ids = {0};
    int rc = dk_alloc(out, job->n_words, sizeof **out, "watched tokens", err);

    for (size_t i = 0; rc == 0 && i < job->n_words; i++) {
        ids.n = 0;
        rc = dk_tokenizer_encode(tok, job->words[i], strlen(job->words[i]), 0, &ids, NULL, err);
        if (rc == 0 && (ids.n != 1 || ids.id[0] >= vocab))
            dk_log(DK_WARN, "'%s' is not one token; left out", job->words[i]);
        else if (rc == 0)
            (*out)[plan->n_watched++] = ids.id[0];
    }
    plan->watched = *out;
    dk_free(ids.id);
    return rc;
}

static int prompt_of(dk_ids *out, dk_score_plan *plan, const dk_score_job *job, dk_tokenizer *tok, const dk_pair *p, dk_err *err)
{
    int rc = dk_tokenizer_encode(tok, job->prompt, strlen(job->prompt), DK_ENCODE_WRAP, out, NULL, err);

    if (rc == 0 && out->n < 2)
        rc = dk_fail(err, DK_EUSAGE, "the prompt of patchscope_lens needs more than one token");
    for (size_t i = 0; rc == 0 && i < out->n; i++)
        if (out->id[i] >= p->model->config.vocab)
            rc = dk_fail(err, DK_EDATA, "the prompt of patchscope_lens has id %u, which not all models of the pair have", out->id[i]);
    plan->prompt = out->id;
    plan->n_prompt = out->n;
    return rc;
}

/* What the plan takes from the model and its tokenizer. */
struct asked { dk_score_plan plan; uint32_t *watched; dk_ids prompt; };

static int ask_model(struct asked *a, const dk_score_job *job, const dk_pair *p, dk_err *err)
{
    const size_t limit = job->plan.max_vocab, vocab = p->model->config.vocab;
    dk_tokenizer *tok = NULL;
    int rc = 0;

    a->plan.layer = dk_layer_at(&p->model->config, job->depth);
    a->plan.early = job->extraction == DK_LOGIT_LENS;
    if (a->plan.early)
        p->model->config.final_softcap = 0;     /* it belongs to the last block's logits */
    if (job->n_words || job->extraction == DK_PATCHSCOPE)
        rc = dk_tokenizer_open(&tok, job->pair.base, err);
    if (rc == 0 && job->n_words)
        rc = watched(&a->watched, &a->plan, job, tok, limit && limit < vocab ? limit : vocab, err);
    if (rc == 0 && job->extraction == DK_PATCHSCOPE)
        rc = prompt_of(&a->prompt, &a->plan, job, tok, p, err);
    dk_tokenizer_close(&tok);
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
    struct asked asked = { .plan = job->plan };
    dk_samples t = {0};
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
        rc = dk_pair_check_tokens(&p, &t.fed, job->tokens, err);
    asked.plan.skip = t.skip;
    if (rc == 0)
        rc = ask_model(&asked, job, &p, err);
    if (rc == 0)
        rc = dk_score_run(&s, &p, &t.fed, &asked.plan, err);
    if (rc == 0) {
        dk_log(DK_INFO, "%zu tokens in %zu lanes: %.1f s, %.0f tokens/s", t.fed.rows, p.n_lanes, s.seconds,
               (double)(t.fed.rows * p.n_lanes) / s.seconds);
        rc = dk_pair_inputs(job->inputs, &p, err);
    }
    prov = job->provenance(job->arg);
    prov.shard_index = job->shard.index;
    prov.shard_count = job->shard.count;
    if (rc == 0 && job->out)
        rc = dk_score_write(&s, &p, t.kept, &asked.plan, job->out, &prov, err);
    if (rc == 0 && job->table && job->plan.kl)
        rc = write_table(job, &s, &p, t.kept, err);
    dk_score_free(&s);
    dk_pair_close(&p);
    dk_samples_free(&t);
    dk_free(asked.watched);
    dk_free(asked.prompt.id);
    return rc;
}
