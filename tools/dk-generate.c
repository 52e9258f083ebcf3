/* dk-generate: the same prompts answered by base and finetune. */
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/chatopts.h"
#include "cli/pairopts.h"
#include "cli/tool.h"
#include "method/generatejob.h"

struct params {
    dk_pair_opts pair;
    const char *prompts, *format, *system, *sampling, *show, *out;
    int64_t max_prompts, max_new, samples, top_k, parallel;
    double temperature, top_p, min_p, penalty;
    dk_strs stop;
    bool no_special, ignore_eos, lines;
    dk_chat_opts chat;
    const char *steer, *steer_what;
    dk_strs steer_names, steer_layers, strengths, steer_at, scales;
    int64_t steer_first;
};

#define P struct params
static const dk_opt opts[] = {
    DK_PAIR_OPTS(P),
    DK_GROUP("prompts"),
    DK_PATH   (P, 0,   "prompts",        prompts,     NULL,   "read prompts from FILE: JSON lines with prompt, messages or text"),
    DK_INT_KEY(P, 0,   "max-prompts",    max_prompts, "0", 0, 1e9, "max_samples", "the first N prompts; 0: all"),
    DK_FLAG   (P, 0,   "lines",          lines,       "a file of plain text has one prompt a line"),
    DK_CHOICE (P, 0,   "format",         format,      "chat", "chat|text", "a prompt is a user turn, or raw text to continue"),
    DK_STR    (P, 0,   "system",         system,      NULL,   "system turn for chats that have none"),
    DK_FLAG   (P, 0,   "no-special",     no_special,  "read the names of special tokens in prompts as ordinary text"),
    DK_CHAT_OPTS(P),
    DK_GROUP("answers"),
    DK_INT    (P, 0,   "max-new-tokens", max_new,     "64", 1, 1e6,  "end answers after N tokens"),
    DK_REAL   (P, 0,   "temperature",    temperature, "0", 0, 1e6,   "divide logits by X before the draw; 0: take the largest"),
    DK_INT    (P, 'k', "top-k",          top_k,       "0", 0, 1e9,   "draw from the N likeliest tokens; 0: off"),
    DK_REAL   (P, 0,   "top-p",          top_p,       "1", 0, 1,     "draw from the likeliest tokens that hold probability X; 1: off"),
    DK_REAL   (P, 0,   "min-p",          min_p,       "0", 0, 1,     "draw from tokens X times as likely as the likeliest or more; 0: off"),
    DK_REAL   (P, 0,   "repetition-penalty", penalty, "1", 1e-3, 1e3, "divide the positive logits of tokens that are there by X, multiply negative ones; 1: off"),
    DK_CHOICE (P, 0,   "sampling",       sampling,    "own", "own|model", "model: values above that are at their defaults come from the model's generation_config.json"),
    DK_INT    (P, 0,   "samples",        samples,     "1", 1, 1e6,   "answers for each prompt"),
    DK_LIST   (P, 0,   "stop",           stop,        NULL,   "end an answer before TEXT (\\n, \\t, \\\\, \\xHH; \\x2c is a comma)"),
    DK_FLAG   (P, 0,   "ignore-eos",     ignore_eos,  "go on after the model's end tokens"),
    { DK_OPT_INT, 0, "parallel", offsetof(P, parallel), "32", 1, 4096, NULL,
      "decode up to N answers of a lane together; changes no result", DK_NOSTAMP, NULL },
    DK_GROUP("steering"),
    DK_PATH   (P, 0,   "steer",          steer,       NULL,   "answer each prompt also with directions of FILE (.dir.h5) added to the residual stream"),
    DK_STR    (P, 0,   "steer-what",     steer_what,  NULL,   "directions of base, ft, diff, diff.NAME (default: diff, or what there is where there is none)"),
    DK_LIST   (P, 0,   "steer-name",     steer_names, NULL,   "only directions with these names, or those of a pattern as pc_? (default: all)"),
    DK_INT_KEY(P, 0,   "steer-first",    steer_first, "0", 0, 1 << 24, "analysis.component_steering.k", "only the first N of each layer; 0: all"),
    DK_LIST   (P, 0,   "steer-layers",   steer_layers, NULL,  "only those of these blocks (default: all)"),
    DK_LIST   (P, 0,   "strengths",      strengths,   "-1,1", "add each direction, at length 1, times these"),
    DK_LIST   (P, 0,   "scales",         scales,      NULL,   "a strength of 1 is the largest projection in these tables of dk-encode"),
    DK_LIST   (P, 0,   "steer-at",       steer_at,    "all_tokens", "at all_tokens, prompt_only, generated_only; each by itself"),
    DK_GROUP("output"),
    DK_OUT    (P,                        out,         "-",    "write the answers to FILE (JSON lines)"),
    DK_CHOICE (P, 0,   "show",           show,        "auto", "auto|json|text", "JSON lines, or text as it is written; auto: text where the output is a terminal"),
    DK_END
};

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* In place; false for an escape that is none, or nothing left. */
static bool unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s != '\\') {
            *to++ = *s;
            continue;
        }
        s++;
        if (*s == 'n')
            *to++ = '\n';
        else if (*s == 't')
            *to++ = '\t';
        else if (*s == '\\')
            *to++ = '\\';
        else if (*s == 'x' && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0) {
            const int v = hex_digit(s[1]) * 16 + hex_digit(s[2]);

            if (v == 0)
                return false;
            *to++ = (char)v;
            s += 2;
        } else
            return false;
    }
    *to = 0;
    return true;
}

static int stop_texts(char ***out, const dk_strs *list, dk_err *err)
{
    int rc = 0;

    *out = dk_xcalloc(list->n, sizeof **out);
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        (*out)[i] = dk_xstrdup(list->v[i]);
        if (!unescape((*out)[i]))
            rc = dk_fail(err, DK_EUSAGE, "--stop: '%s' has an escape that is none of \\n, \\t, \\\\, \\xHH", list->v[i]);
    }
    return rc;
}

/* What --steer goes by; two lists that the caller frees. */
static int steer_plan(dk_steer_plan *out, const struct params *p, double **strength, int64_t **layer, dk_err *err)
{
    int rc = 0;

    *strength = dk_xcalloc(p->strengths.n + 1, sizeof **strength);
    *layer = dk_xcalloc(p->steer_layers.n + 1, sizeof **layer);
    for (size_t i = 0; rc == 0 && i < p->strengths.n; i++)
        rc = dk_parse_real(&(*strength)[i], p->strengths.v[i], -1e6, 1e6, "--strengths", err);
    for (size_t i = 0; rc == 0 && i < p->steer_layers.n; i++)
        rc = dk_parse_int(&(*layer)[i], p->steer_layers.v[i], 0, 1 << 16, "--steer-layers", err);
    if (rc == 0 && p->steer && (p->strengths.n == 0 || p->steer_at.n == 0))
        rc = dk_fail(err, DK_EUSAGE, "--steer needs --strengths and --steer-at");
    *out = (dk_steer_plan){
        .dirs = p->steer,
        .which = { p->steer_what, p->steer_names.v, p->steer_names.n, (size_t)p->steer_first, *layer, p->steer_layers.n },
        .strength = *strength, .n_strengths = p->strengths.n, .at = p->steer_at.v, .n_at = p->steer_at.n,
        .scales = p->scales.v, .n_scales = p->scales.n
    };
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **words, dk_err *err)
{
    const struct params *p = vp;
    char **stop = NULL;
    double *strength = NULL;
    int64_t *layer = NULL;
    dk_chat_rules chat = {0};
    dk_generate_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 1),
        .plan = { .sampling = { p->temperature, (size_t)p->top_k, p->top_p, p->min_p, p->penalty },
                  .seed = (uint64_t)ctx->seed, .samples = (size_t)p->samples,
                  .max_new = (size_t)p->max_new, .batch_rows = (size_t)p->pair.batch,
                  .parallel = (size_t)p->parallel, .n_stop = p->stop.n },
        .rules = { strcmp(p->format, "chat") == 0, p->system, p->no_special, p->lines, (size_t)p->max_prompts, &chat },
        .prompts = p->prompts, .words = words, .n_words = (size_t)n, .ignore_eos = p->ignore_eos,
        .model_sampling = strcmp(p->sampling, "model") == 0, .out = p->out,
        .as_text = strcmp(p->show, "auto") == 0 ? strcmp(p->out, "-") == 0 && isatty(1) : strcmp(p->show, "text") == 0
    };
    int rc;

    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if (n == 0 && !p->prompts)
        return dk_fail(err, DK_EUSAGE, "give a prompt, or a file of them with --prompts");
    if (p->system && !job.rules.chat)
        return dk_fail(err, DK_EUSAGE, "--system needs --format chat: raw text has no turns");
    rc = DK_CHAT_RULES(&p->chat, &chat, err);
    if (rc == 0)
        rc = stop_texts(&stop, &p->stop, err);
    if (rc == 0)
        rc = steer_plan(&job.steer, p, &strength, &layer, err);
    job.plan.stop = (const char *const *)stop;
    if (rc == 0)
        rc = dk_generate_job_run(&job, err);
    for (size_t i = 0; stop && i < p->stop.n; i++)
        dk_free(stop[i]);
    dk_free(stop);
    dk_free(strength);
    dk_free(layer);
    dk_chat_rules_free(&chat);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-generate", .purpose = "answers of base and finetune to the same prompts", .algo = 1,
    .usage = "[options] -m MODEL [-f ADAPTER] [--prompts FILE] [PROMPT...]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = -1, .run = run,
};
