/* A generation job. */
#include "method/generatejob.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/outfile.h"
#include "io/json.h"
#include "method/generatetext.h"
#include "model/generation.h"

struct job {
    const dk_generate_job *spec;
    dk_generate_plan plan;
    dk_tokenizer *tokenizer;
    dk_prompts prompts;
    dk_pair pair;
    uint32_t end[DK_MAX_EOS + 1];
    dk_answers answers;
};

static int read_prompts(struct job *j, dk_err *err)
{
    const dk_generate_job *s = j->spec;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->n_words; i++)
        rc = dk_prompts_add_text(&j->prompts, j->tokenizer, &s->rules, s->words[i], strlen(s->words[i]), err);
    if (rc == 0 && s->prompts)
        rc = dk_prompts_add_file(&j->prompts, j->tokenizer, &s->rules, s->prompts, err);
    return rc;
}

/* What ends an answer: the model's end tokens and the tokenizer's. */
static void ends(struct job *j)
{
    const dk_model_config *c = &j->pair.model->config;
    const uint32_t eos = dk_tokenizer_about(j->tokenizer)->eos;

    j->plan.tokenizer = j->tokenizer;
    j->plan.end = j->end;
    j->plan.n_end = 0;
    if (j->spec->ignore_eos)
        return;
    for (size_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] >= 0)
            j->end[j->plan.n_end++] = (uint32_t)c->eos[i];
    if (eos != DK_NO_ID)
        j->end[j->plan.n_end++] = eos;
}

/* What was left at its default, as the model's makers sample. */
static int model_sampling(struct job *j, dk_err *err)
{
    dk_sampling *s = &j->plan.sampling;
    dk_generation g;
    int rc = dk_generation_load(&g, j->spec->pair.base, err);

    if (rc < 0)
        return rc;
    s->temperature = s->temperature == 0 && g.sample ? g.temperature : s->temperature;
    s->top_k = s->top_k == 0 ? g.top_k : s->top_k;
    s->top_p = s->top_p == 1 ? g.top_p : s->top_p;
    s->min_p = s->min_p == 0 ? g.min_p : s->min_p;
    s->repetition_penalty = s->repetition_penalty == 1 ? g.repetition_penalty : s->repetition_penalty;
    return 0;
}

static int generate(struct job *j, dk_err *err)
{
    dk_prompt *p = dk_xcalloc(j->prompts.n, sizeof *p);
    int rc;

    for (size_t i = 0; i < j->prompts.n; i++)
        p[i] = (dk_prompt){ j->prompts.row[i].ids.id, j->prompts.row[i].ids.n };
    rc = dk_generate_run(&j->answers, &j->pair, p, j->prompts.n, &j->plan, err);
    dk_free(p);
    return rc;
}

/* Where it is not the model's own, or was told something. */
static void template_of(dk_jw *w, const dk_chat_rules *r)
{
    char date[16];

    if (r->template) {
        dk_jw_key(w, "template_sha256");
        dk_jw_str(w, r->sha256);
    }
    if (r->args) {
        dk_jw_key(w, "template_args");
        dk_jw_value(w, r->args);
    }
    if (r->dated) {
        const time_t now = r->now;
        struct tm tm;

        strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&now, &tm));
        dk_jw_key(w, "template_date");
        dk_jw_str(w, date);
    }
}

static void how_made(dk_jw *w, const struct job *j)
{
    const dk_generate_plan *p = &j->plan;

    dk_jw_key(w, "model"); dk_jw_str(w, j->pair.model->config.name);
    dk_jw_key(w, "dtype"); dk_jw_str(w, j->pair.model->dtype == DK_BF16 ? "bf16" : "f32");
    if (!dk_device()->ops->host) {
        dk_jw_key(w, "backend");
        dk_jw_str(w, dk_device()->ops->name);
    }
    dk_jw_key(w, "format"); dk_jw_str(w, j->spec->rules.chat ? "chat" : "text");
    if (j->spec->rules.chat && j->spec->rules.system) {
        dk_jw_key(w, "system");
        dk_jw_str(w, j->spec->rules.system);
    }
    if (j->spec->rules.chat && j->spec->rules.how)
        template_of(w, j->spec->rules.how);
    dk_jw_key(w, "seed"); dk_jw_u64(w, p->seed);
    dk_jw_key(w, "temperature"); dk_jw_num(w, p->sampling.temperature);
    dk_jw_key(w, "top_k"); dk_jw_u64(w, p->sampling.top_k);
    dk_jw_key(w, "top_p"); dk_jw_num(w, p->sampling.top_p);
    dk_jw_key(w, "min_p"); dk_jw_num(w, p->sampling.min_p);
    dk_jw_key(w, "repetition_penalty"); dk_jw_num(w, p->sampling.repetition_penalty);
    dk_jw_key(w, "max_new_tokens"); dk_jw_u64(w, p->max_new);
}

static void write_row(dk_buf *out, const struct job *j, size_t prompt, size_t sample, size_t lane)
{
    const dk_prompt_row *row = &j->prompts.row[prompt];
    const dk_answer *a = &j->answers.answer[(prompt * j->plan.samples + sample) * j->pair.n_lanes + lane];
    dk_jw w = { .out = out };

    dk_jw_obj_begin(&w);
    if (!row->has_id) {
        dk_jw_key(&w, "id");
        dk_jw_u64(&w, prompt);
    }
    if (row->fields.n) {            /* members, already written out */
        dk_buf_adds(out, w.comma ? "," : "");
        dk_buf_add(out, row->fields.s, row->fields.n);
        w.comma = true;
    }
    dk_jw_key(&w, "prompt"); dk_jw_strn(&w, row->text.s ? row->text.s : "", row->text.n);
    dk_jw_key(&w, "lane"); dk_jw_str(&w, j->pair.lane[lane].name);
    dk_jw_key(&w, "sample"); dk_jw_u64(&w, sample);
    dk_jw_key(&w, "text"); dk_jw_strn(&w, a->text.s ? a->text.s : "", a->text.n);
    dk_jw_key(&w, "n_tokens"); dk_jw_u64(&w, a->n);
    dk_jw_key(&w, "finish"); dk_jw_str(&w, dk_finish_name(a->finish));
    dk_jw_key(&w, "ids");
    dk_jw_arr_begin(&w);
    for (size_t i = 0; i < a->n; i++)
        dk_jw_u64(&w, a->id[i]);
    dk_jw_arr_end(&w);
    how_made(&w, j);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static void write_rows(FILE *f, const struct job *j)
{
    dk_buf line = {0};

    for (size_t p = 0; p < j->prompts.n; p++)
        for (size_t s = 0; s < j->plan.samples; s++)
            for (size_t l = 0; l < j->pair.n_lanes; l++) {
                dk_buf_clear(&line);
                write_row(&line, j, p, s, l);
                fwrite(line.s, 1, line.n, f);
            }
    dk_buf_free(&line);
}

/* The longest stop text, less its last byte. */
static size_t stop_hold(const dk_generate_plan *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_stop; i++)
        n = strlen(p->stop[i]) > n + 1 ? strlen(p->stop[i]) - 1 : n;
    return n;
}

int dk_generate_job_run(const dk_generate_job *job, dk_err *err)
{
    struct job j = { .spec = job, .plan = job->plan };
    dk_answer_text text = { .prompts = &j.prompts, .pair = &j.pair, .samples = job->plan.samples,
                            .terminal = strcmp(job->out, "-") == 0 && isatty(1), .hold = stop_hold(&job->plan) };
    dk_outfile *o = NULL;
    FILE *f = NULL;
    int rc = dk_tokenizer_open(&j.tokenizer, job->pair.base, err);

    if (rc == 0)
        rc = read_prompts(&j, err);
    if (rc == 0 && job->model_sampling)
        rc = model_sampling(&j, err);
    if (rc == 0)
        rc = dk_outfile_new(&o, job->out, err);
    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    if (rc == 0)
        rc = dk_pair_open(&j.pair, &job->pair, err);
    if (rc == 0) {
        ends(&j);
        if (job->as_text) {
            text.f = f;
            j.plan.watch = dk_answer_text_watch;
            j.plan.user = &text;
        }
        rc = generate(&j, err);
    }
    if (rc == 0) {
        const double t = j.answers.decode_seconds;

        dk_log(DK_INFO, "%zu answers, %zu tokens, %zu sequences at once: prompts %.2f s, decoding %.2f s, %.0f tokens/s",
               j.answers.n, j.answers.n_tokens, j.answers.parallel, j.answers.prompt_seconds, t,
               t > 0 ? (double)j.answers.n_tokens / t : 0);
        if (!job->as_text)
            write_rows(f, &j);
        rc = dk_outfile_commit(&o, err);
    }
    dk_outfile_abandon(&o);
    dk_answers_free(&j.answers);
    dk_pair_close(&j.pair);
    dk_prompts_free(&j.prompts);
    dk_tokenizer_close(&j.tokenizer);
    return rc;
}
