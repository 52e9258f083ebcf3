/* dk-diff: what a finetune changed, from two models: the whole graph of
 * pipelines/diff.mk, run by make. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/tool.h"

struct params {
    const char *null, *text, *out, *methods, *dtype, *arith, *format, *column, *prompts, *layers;
    int64_t samples, tokens, top, positions;
    bool plan;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'n', "null", null, NULL, "a finetune that taught nothing, to stand beside"),
    DK_PATH(struct params, 0, "text", text, NULL, "texts to compare on, - for standard input (default: the shipped neutral ones)"),
    DK_CHOICE(struct params, 0, "format", format, "auto", "auto|text|chat", "what the texts are"),
    DK_STR(struct params, 0, "column", column, NULL, "their field (default: text, or messages)"),
    DK_PATH(struct params, 0, "prompts", prompts, NULL, "also answer the prompts in FILE (JSON lines)"),
    DK_STR(struct params, 0, "methods", methods, "kl diff_mining activation_difference_lens", "which methods"),
    DK_CHOICE(struct params, 0, "dtype", dtype, "auto", "auto|f32|bf16", "dtype of the matrix products"),
    DK_CHOICE(struct params, 0, "arith", arith, "auto", "auto|difference|plain",
              "lanes of adapters as differences to the base where it can be done, or as two models (dk-kl)"),
    DK_INT(struct params, 0, "max-samples", samples, "64", 1, 1e15, "the first N texts"),
    DK_INT(struct params, 0, "max-tokens", tokens, "64", 1, 1e9, "the first N tokens of each"),
    DK_INT(struct params, 'k', "top-k", top, "100", 1, 1 << 20, "length of the lists of raised tokens"),
    DK_STR(struct params, 'l', "layers", layers, "0.5,1.0", "activations behind these blocks (dk-extract)"),
    DK_INT(struct params, 0, "positions", positions, "5", 0, 1 << 24, "their means at the first N tokens; 0: all"),
    DK_OUT(struct params, out, NULL, "folder of the results (default: results/diff/BASE/FT)"),
    DK_FLAG(struct params, 0, "plan", plan, "only say what would run"),
    DK_END
};

/* NAME=VALUE for make: a dollar stands for itself; blanks would split paths. */
static int add(char **argv, size_t *n, const char *name, const char *value, bool path, dk_err *err)
{
    dk_buf b = {0};

    if (path && value[strcspn(value, " \t\n#%:;'\"\\()[]{}<>&|*?!~^`$")])
        return dk_fail(err, DK_EUSAGE, "%s: the graphs cannot take this path (blanks, quotes, what a shell reads); "
                       "link to it", value);
    dk_buf_addf(&b, "%s=", name);
    for (; *value; value++)
        dk_buf_addf(&b, *value == '$' ? "$$" : "%c", *value);
    argv[(*n)++] = b.s;
    return 0;
}

static int add_number(char **argv, size_t *n, const char *name, int64_t value)
{
    argv[(*n)++] = dk_xasprintf("%s=%lld", name, (long long)value);
    return 0;
}

/* The graphs lie in ../share/dk beside an installed tool, in the repository
 * beside a built one. */
static int find_front(char *front, size_t size, char *bin, size_t bin_size, dk_err *err)
{
    static const char *const places[] = { "../share/dk/pipelines/front.mk", "../../pipelines/front.mk" };
    const ssize_t len = readlink("/proc/self/exe", bin, bin_size - 1);

    if (len < 0)
        return dk_fail_errno(err, "cannot tell where this tool lies");
    bin[len] = 0;
    *strrchr(bin, '/') = 0;
    for (size_t i = 0; i < 2; i++) {
        snprintf(front, size, "%s/%s", bin, places[i]);
        if (access(front, R_OK) == 0)
            return 0;
    }
    return dk_fail(err, DK_EIO, "cannot find pipelines/front.mk beside %s", bin);
}

static int run(dk_ctx *ctx, const void *vp, int n_args, char **args, dk_err *err)
{
    const struct params *p = vp;
    const struct { const char *name, *value; bool path; } word[] = {
        { "BASE", args[0], true }, { "FT", args[1], true }, { "NULL", p->null, true }, { "TEXT", p->text, true },
        { "OUT", p->out, true }, { "PROMPTS", p->prompts, true }, { "METHODS", p->methods, false },
        { "DTYPE", p->dtype, false }, { "ARITH", p->arith, false }, { "FORMAT", p->format, false },
        { "COLUMN", p->column, true }, { "LAYERS", p->layers, true }
    };
    char front[4400], bin[4096], *argv[40] = { "make", "--no-print-directory", "-f", front };
    size_t n = 4;
    int rc = find_front(front, sizeof front, bin, sizeof bin, err);

    (void)n_args;
    if (rc == 0)
        rc = add(argv, &n, "DK", bin, true, err);
    for (size_t i = 0; rc == 0 && i < sizeof word / sizeof *word; i++) {
        unsetenv(word[i].name);         /* make reads its environment too */
        if (word[i].value)
            rc = add(argv, &n, word[i].name, word[i].value, word[i].path, err);
    }
    if (rc < 0)
        return rc;
    add_number(argv, &n, "SAMPLES", p->samples);
    add_number(argv, &n, "TOKENS", p->tokens);
    add_number(argv, &n, "TOP", p->top);
    add_number(argv, &n, "POSITIONS", p->positions);
    if (ctx->threads)
        add_number(argv, &n, "THREADS", ctx->threads);
    if (p->plan)
        argv[n++] = "ORGANISM=diff";
    argv[n++] = p->plan ? "plan" : "diff";
    argv[n] = NULL;
    unsetenv("MAKEFLAGS");
    unsetenv("MAKELEVEL");
    unsetenv("DK_ALONE");
    execvp("make", argv);
    return errno == ENOENT ? dk_fail(err, DK_EIO, "GNU Make is not installed") : dk_fail_errno(err, "cannot run make");
}

const dk_tool dk_this_tool = {
    .name = "dk-diff", .purpose = "tell what a finetune changed, from two models", .algo = 1,
    .usage = "[options] BASE FINETUNE", .opts = opts, .params_size = sizeof(struct params),
    .min_args = 2, .max_args = 2, .run = run,
};
