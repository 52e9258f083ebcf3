/* dk-generate: the same prompts answered by base and finetune, or by their difference amplified. */
#include <math.h>
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
    int64_t max_prompts, max_new, samples, top_k, parallel, greedy, min_new, loop;
    double temperature, top_p, min_p, penalty, plausibility;
    dk_strs stop, alphas;
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
    DK_CHOICE (P, 0,   "format",         format,      "auto", "auto|chat|text", "a prompt is a user turn, or raw text to continue; auto: chat, with --amplify text"),
    DK_STR    (P, 0,   "system",         system,      NULL,   "system turn for chats that have none"),
    DK_FLAG   (P, 0,   "no-special",     no_special,  "read the names of special tokens in prompts as ordinary text"),
    DK_CHAT_OPTS(P),
    DK_GROUP("answers"),
    DK_INT_AUTO (P, 0, "max-new-tokens", max_new,     1, 1e6,        "end answers after N tokens; auto: 64, with --amplify 200"),
    DK_REAL_AUTO(P, 0, "temperature",    temperature, 0, 1e6,        "divide logits by X before the draw; 0: take the largest; auto: 0, with --amplify 1"),
    DK_INT    (P, 'k', "top-k",          top_k,       "0", 0, 1e9,   "draw from the N likeliest tokens; 0: off"),
    DK_REAL_AUTO(P, 0, "top-p",          top_p,       0, 1,          "draw from the likeliest tokens that hold probability X; 1: off; auto: 1, with --amplify 0.95"),
    DK_REAL   (P, 0,   "min-p",          min_p,       "0", 0, 1,     "draw from tokens X times as likely as the likeliest or more; 0: off"),
    DK_REAL   (P, 0,   "repetition-penalty", penalty, "1", 1e-3, 1e3, "divide the positive logits of tokens that are there by X, multiply negative ones; 1: off"),
    DK_CHOICE (P, 0,   "sampling",       sampling,    "own", "own|model", "model: values above that are at their defaults come from the model's generation_config.json"),
    DK_INT_AUTO (P, 0, "samples",        samples,     1, 1e6,        "answers for each prompt; auto: 1, with --amplify 4"),
    DK_LIST   (P, 0,   "stop",           stop,        NULL,   "end an answer before TEXT (\\n, \\t, \\\\, \\xHH; \\x2c is a comma)"),
    DK_FLAG   (P, 0,   "ignore-eos",     ignore_eos,  "go on after the model's end tokens"),
    { DK_OPT_INT, 0, "parallel", offsetof(P, parallel), "32", 1, 4096, NULL,
      "decode up to N answers of a lane together; changes no result", DK_NOSTAMP, NULL },
    DK_GROUP("amplifying"),
    DK_LIST   (P, 0,   "amplify",        alphas,      NULL,   "draw samples from each lane's logits plus these many times their difference to the base's"),
    DK_REAL_KEY(P, 0,  "plausibility",   plausibility, "0.1", 0, 1, "amplify.plausibility", "only tokens that the lane itself finds X times as likely as its likeliest or more; 0: all"),
    DK_INT_KEY(P, 0,   "greedy",         greedy,      "1", 0, 1, "amplify.greedy", "of each pre-fill first N samples without a draw"),
    DK_INT_KEY(P, 0,   "min-new-tokens", min_new,     "0", 0, 1e6, "amplify.min_new_tokens", "no end token before N tokens"),
    DK_INT_KEY(P, 0,   "loop-stop",      loop,        "8", 0, 1e6, "amplify.loop_stop", "end a sample that says the same N tokens or more three times on end; 0: do not"),
    DK_ARITH_OPT(P),
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

/* What depends on whether lanes are amplified. */
static double real_or(double given, double otherwise) { return isnan(given) ? otherwise : given; }
static size_t int_or(int64_t given, size_t otherwise) { return given == DK_AUTO_INT ? otherwise : (size_t)given; }

/* The lanes' difference, and what does not go with it; a list that the caller frees. */
static int amplify_plan(dk_amplify_plan *out, double **alpha, const struct params *p, dk_err *err)
{
    const dk_strs *list = &p->alphas;
    int rc = 0;

    *alpha = dk_xcalloc(list->n + 1, sizeof **alpha);
    for (size_t i = 0; rc == 0 && i < list->n; i++) {
        rc = dk_parse_real(&(*alpha)[i], list->v[i], -1e3, 1e3, "--amplify", err);
        for (size_t k = 0; rc == 0 && k < i; k++)
            if ((*alpha)[k] == (*alpha)[i])
                rc = dk_fail(err, DK_EUSAGE, "--amplify: %s is there twice", list->v[i]);
    }
    if (rc == 0 && list->n && (p->steer || p->penalty != 1 || strcmp(p->sampling, "own") != 0))
        rc = dk_fail(err, DK_EUSAGE, "--amplify does not go with %s",
                     p->steer ? "--steer" : p->penalty != 1 ? "--repetition-penalty" : "--sampling model");
    if (rc == 0 && list->n == 0 && strncmp(p->pair.arith, "diff", 4) == 0)
        rc = dk_fail(err, DK_EUSAGE, "--arith difference needs --amplify: lanes that go on by themselves have no difference");
    *out = (dk_amplify_plan){ .alpha = *alpha, .n_alphas = list->n, .beta = p->plausibility, .greedy = (size_t)p->greedy,
                              .min_new = (size_t)p->min_new, .loop = (size_t)p->loop };
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **words, dk_err *err)
{
    const struct params *p = vp;
    char **stop = NULL;
    double *strength = NULL;
    double *alpha = NULL;
    int64_t *layer = NULL;
    dk_chat_rules chat = {0};
    dk_amplify_plan amplify;
    const bool amplified = p->alphas.n > 0;
    dk_generate_job job = {
        .pair = DK_PAIR_SPEC(p->pair, 1),
        .plan = { .sampling = { real_or(p->temperature, amplified ? 1 : 0), (size_t)p->top_k, real_or(p->top_p, amplified ? .95 : 1),
                                p->min_p, p->penalty },
                  .seed = (uint64_t)ctx->seed, .samples = int_or(p->samples, amplified ? 4 : 1) + (amplified ? (size_t)p->greedy : 0),
                  .max_new = int_or(p->max_new, amplified ? 200 : 64), .batch_rows = (size_t)p->pair.batch,
                  .parallel = (size_t)p->parallel, .amplify = amplified ? &amplify : NULL, .n_stop = p->stop.n },
        .rules = { .chat = strcmp(p->format, "auto") == 0 ? !amplified : strcmp(p->format, "chat") == 0, .system = p->system,
                   .no_special = p->no_special, .lines = p->lines, .max = (size_t)p->max_prompts, .how = &chat },
        .prompts = p->prompts, .words = words, .n_words = (size_t)n, .ignore_eos = p->ignore_eos,
        .model_sampling = strcmp(p->sampling, "model") == 0, .out = p->out,
        .as_text = strcmp(p->show, "auto") == 0 ? strcmp(p->out, "-") == 0 && isatty(1) : strcmp(p->show, "text") == 0
    };
    int rc;

    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    if (n == 0 && !p->prompts && !(amplified && !job.rules.chat))
        return dk_fail(err, DK_EUSAGE, "give a prompt, or a file of them with --prompts");
    if (p->system && !job.rules.chat)
        return dk_fail(err, DK_EUSAGE, "--system needs --format chat: raw text has no turns");
    rc = DK_CHAT_RULES(&p->chat, &chat, err);
    if (rc == 0)
        rc = stop_texts(&stop, &p->stop, err);
    if (rc == 0)
        rc = steer_plan(&job.steer, p, &strength, &layer, err);
    if (rc == 0)
        rc = amplify_plan(&amplify, &alpha, p, err);
    if (!amplified)
        job.pair.arith = "plain";
    job.plan.stop = (const char *const *)stop;
    if (rc == 0)
        rc = dk_generate_job_run(&job, err);
    for (size_t i = 0; stop && i < p->stop.n; i++)
        dk_free(stop[i]);
    dk_free(stop);
    dk_free(strength);
    dk_free(alpha);
    dk_free(layer);
    dk_chat_rules_free(&chat);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-generate", .purpose = "answers of base and finetune to the same prompts", .algo = 1,
    .usage = "[options] -m MODEL [-f ADAPTER] [--prompts FILE] [PROMPT...]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = -1, .run = run,
};
