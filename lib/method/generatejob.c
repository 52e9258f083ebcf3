/* A generation job. */
#include "method/generatejob.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/outfile.h"
#include "io/json.h"
#include "method/generateamplify.h"
#include "method/generatetext.h"
#include "model/generation.h"

/* What rows have of their own. */
static const char *const taken[] = {
    "prompt", "lane", "sample", "text", "n_tokens", "ids", "finish", "model", "dtype", "format", "system",
    "template_sha256", "template_args", "template_date", "seed", "temperature", "top_k", "top_p", "min_p", "repetition_penalty",
    "max_new_tokens", "is_baseline", "steering_mode", "layer", "direction", "steering_factor_percentage", "max_act",
    "steering_factor", NULL
};
static const char *const taken_amplified[] = {
    "prefill", "lane", "alpha", "beta", "sample", "text", "n_tokens", "tokens", "ends", "lp_base", "lp_ft", "lp_amp", "llr",
    "stop", "arith", "skipped", "model", "dtype", "backend", "format", "system", "template_sha256", "template_args",
    "template_date", "seed", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "min_new_tokens",
    "max_new_tokens", NULL
};

struct job {
    const dk_generate_job *spec;
    dk_generate_plan plan;
    dk_tokenizer *tokenizer;
    dk_prompts prompts;
    dk_pair pair;
    uint32_t end[DK_MAX_EOS + 1];
    dk_steering steering;
    dk_answers answers;
    dk_amplified amplified;
    bool terminal;              /* the output is one */
};

static int read_prompts(struct job *j, dk_err *err)
{
    const dk_generate_job *s = j->spec;
    const bool listed = s->plan.amplify && s->n_words == 0 && !s->prompts;
    const char *const *word = listed ? dk_amplify_prefills : (const char *const *)s->words;
    const size_t n = listed ? dk_amplify_n_prefills : s->n_words;
    dk_prompt_rules rules = s->rules;
    int rc = 0;

    rules.taken = s->plan.amplify ? taken_amplified : taken;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = dk_prompts_add_text(&j->prompts, j->tokenizer, &rules, word[i], strlen(word[i]), err);
    if (rc == 0 && s->prompts)
        rc = dk_prompts_add_file(&j->prompts, j->tokenizer, &rules, s->prompts, err);
    for (size_t i = 0; rc == 0 && s->plan.amplify && i < j->prompts.n; i++)
        if (j->prompts.row[i].ids.n == 0 && !dk_amplify_begin(&j->prompts.row[i].ids, j->tokenizer))
            dk_log(DK_WARN, "prompt %zu is empty, and the tokenizer has no token that a text could begin with: skipped", i + 1);
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
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < j->prompts.n; i++)
        if (!j->plan.amplify || j->prompts.row[i].ids.n)
            p[n++] = (dk_prompt){ j->prompts.row[i].ids.id, j->prompts.row[i].ids.n };
    rc = j->plan.amplify ? dk_amplified_run(&j->amplified, &j->pair, p, n, &j->plan, err)
                          : dk_generate_run(&j->answers, &j->pair, p, n, &j->plan, err);
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

static void how_made(dk_jw *w, const struct job *j, double temperature)
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
    dk_jw_key(w, "temperature"); dk_jw_num(w, temperature);
    dk_jw_key(w, "top_k"); dk_jw_u64(w, p->sampling.top_k);
    dk_jw_key(w, "top_p"); dk_jw_num(w, p->sampling.top_p);
    dk_jw_key(w, "min_p"); dk_jw_num(w, p->sampling.min_p);
    dk_jw_key(w, "repetition_penalty"); dk_jw_num(w, p->sampling.repetition_penalty);
    if (p->amplify) {
        dk_jw_key(w, "min_new_tokens");
        dk_jw_u64(w, p->amplify->min_new);
    }
    dk_jw_key(w, "max_new_tokens"); dk_jw_u64(w, p->max_new);
}

/* way 0: as it is; others are those of the steering. */
static void write_row(dk_buf *out, const struct job *j, size_t prompt, size_t way, size_t sample, size_t lane)
{
    const dk_prompt_row *row = &j->prompts.row[prompt];
    const size_t unit = prompt * (j->steering.n + 1) + way;
    const dk_answer *a = &j->answers.answer[(unit * j->plan.samples + sample) * j->pair.n_lanes + lane];
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
    if (j->steering.n)
        dk_steering_members(&w, way ? &j->steering.name[way - 1] : NULL);
    dk_jw_key(&w, "sample"); dk_jw_u64(&w, sample);
    dk_jw_key(&w, "text"); dk_jw_strn(&w, a->text.s ? a->text.s : "", a->text.n);
    dk_jw_key(&w, "n_tokens"); dk_jw_u64(&w, a->n);
    dk_jw_key(&w, "finish"); dk_jw_str(&w, dk_finish_name(a->finish));
    dk_jw_key(&w, "ids");
    dk_jw_arr_begin(&w);
    for (size_t i = 0; i < a->n; i++)
        dk_jw_u64(&w, a->id[i]);
    dk_jw_arr_end(&w);
    how_made(&w, j, j->plan.sampling.temperature);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static void write_amplified(FILE *f, const struct job *j)
{
    dk_amplified_rows rows = { .prompts = &j->prompts, .samples = j->plan.samples, .beta = j->plan.amplify->beta,
                               .greedy = j->plan.amplify->greedy, .arith = j->pair.diff ? "difference" : "plain" };

    for (int greedy = 0; greedy < 2; greedy++) {
        dk_jw w = { .out = &rows.made[greedy] };

        how_made(&w, j, greedy ? 0 : j->plan.sampling.temperature);
    }
    if (j->spec->as_text)
        dk_amplified_show(f, &j->amplified, &rows, j->terminal);
    else
        dk_amplified_write(f, &j->amplified, &rows);
    dk_buf_free(&rows.made[0]);
    dk_buf_free(&rows.made[1]);
}

static void write_rows(FILE *f, const struct job *j)
{
    dk_buf line = {0};

    for (size_t p = 0; p < j->prompts.n; p++)
        for (size_t k = 0; k < (j->steering.n + 1) * j->plan.samples; k++)
            for (size_t l = 0; l < j->pair.n_lanes; l++) {
                dk_buf_clear(&line);
                write_row(&line, j, p, k / j->plan.samples, k % j->plan.samples, l);
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

static void say_speed(const dk_answers *a, const char *lane)
{
    const double t = a->decode_seconds;

    dk_log(DK_INFO, "%s%s%zu answers, %zu tokens, %zu sequences at once: prompts %.2f s, decoding %.2f s, %.0f tokens/s",
           lane ? lane : "", lane ? ": " : "", a->n, a->n_tokens, a->parallel, a->prompt_seconds, t,
           t > 0 ? (double)a->n_tokens / t : 0);
}

/* Everything between the opened pair and the written rows. */
static int answer(struct job *j, FILE *f, dk_err *err)
{
    dk_answer_text text = { .prompts = &j->prompts, .pair = &j->pair, .samples = j->plan.samples, .f = f,
                            .terminal = j->terminal, .hold = stop_hold(&j->plan), .way = j->steering.name,
                            .n_ways = j->steering.n };
    int rc;

    ends(j);
    j->plan.steer = j->steering.of;
    j->plan.n_steer = j->steering.n;
    if (j->spec->as_text && !j->plan.amplify) {
        j->plan.watch = dk_answer_text_watch;
        j->plan.user = &text;
    }
    rc = generate(j, err);
    if (rc < 0)
        return rc;
    if (!j->plan.amplify)
        say_speed(&j->answers, NULL);
    for (size_t l = 0; l < j->amplified.n; l++)
        say_speed(&j->amplified.lane[l].answers, j->amplified.lane[l].name);
    if (j->plan.amplify)
        write_amplified(f, j);
    else if (!j->spec->as_text)
        write_rows(f, j);
    return 0;
}

/* The base comes first where its difference is amplified: lanes beside it are carried as differences. */
static int base_first(dk_pair_spec *spec, char **lane, dk_err *err)
{
    size_t at = 0, n = 0;

    if (!spec->ft && spec->n_nulls == 0)
        return dk_fail(err, DK_EUSAGE, "--amplify needs a finetune (-f): its difference to the base is amplified");
    if (spec->n_wanted == 0)
        return 0;
    while (at < spec->n_wanted && strcmp(spec->lanes[at], "base") != 0)
        at++;
    if (at == spec->n_wanted || spec->n_wanted < 2)
        return dk_fail(err, DK_EUSAGE, "--amplify needs the lane base and one more");
    lane[n++] = spec->lanes[at];
    for (size_t i = 0; i < spec->n_wanted; i++)
        if (i != at)
            lane[n++] = spec->lanes[i];
    spec->lanes = lane;
    return 0;
}

int dk_generate_job_run(const dk_generate_job *job, dk_err *err)
{
    struct job j = { .spec = job, .plan = job->plan, .terminal = strcmp(job->out, "-") == 0 && isatty(1) };
    char **lanes = dk_xcalloc(job->pair.n_wanted + 1, sizeof *lanes);
    dk_pair_spec pair = job->pair;
    dk_outfile *o = NULL;
    FILE *f = NULL;
    int rc = job->plan.amplify ? base_first(&pair, lanes, err) : 0;

    if (rc == 0)
        rc = dk_tokenizer_open(&j.tokenizer, pair.base, err);
    if (rc == 0)
        rc = read_prompts(&j, err);
    if (rc == 0 && job->model_sampling)
        rc = model_sampling(&j, err);
    if (rc == 0)
        rc = dk_steering_load(&j.steering, &job->steer, err);
    if (rc == 0)
        rc = dk_outfile_new(&o, job->out, err);
    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    if (rc == 0)
        rc = dk_pair_open(&j.pair, &pair, err);
    if (rc == 0)
        rc = dk_steering_check(&j.steering, &job->steer, j.pair.model, err);
    if (rc == 0)
        rc = answer(&j, f, err);
    if (rc == 0)
        rc = dk_outfile_commit(&o, err);
    dk_outfile_abandon(&o);
    dk_answers_free(&j.answers);
    dk_amplified_free(&j.amplified);
    dk_steering_free(&j.steering);
    dk_pair_close(&j.pair);
    dk_prompts_free(&j.prompts);
    dk_tokenizer_close(&j.tokenizer);
    dk_free(lanes);
    return rc;
}
