/* dk-check: whether a pair is fit to be compared, before anything is. */
#include <stdio.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/pairopts.h"
#include "cli/tool.h"
#include "method/check.h"

struct params {
    dk_pair_opts pair;
    const char *out;
    dk_strs checks;
    bool expect_null, allow_identical;
};

#define P struct params
static const dk_opt opts[] = {
    DK_GROUP("the pair"),
    DK_PATH  (P, 'm', "model", pair.model, NULL, "the base: a GGUF file or a checkpoint directory"),
    DK_PATH  (P, 'f', "ft", pair.ft, NULL, "the finetune: a PEFT adapter directory, or a checkpoint with full weights"),
    DK_LIST  (P, 'n', "null", pair.nulls, NULL, "further lanes, NAME=FINETUNE (repeat the option)"),
    DK_CHOICE(P, 0, "dtype", pair.dtype, "auto", "auto|f32|bf16", "dtype of the matrix products"),
    DK_BACKEND_OPT(P, pair.backend),
    DK_GROUP("what to check"),
    DK_LIST  (P, 0, "checks", checks, NULL, "run only these checks; all: A6 and A7 too"),
    DK_FLAG  (P, 0, "expect-null", expect_null, "finetunes are meant to have no effect: none is no failure"),
    DK_FLAG  (P, 0, "allow-identical", allow_identical, "the base's own weights as a finetune are a warning, no failure"),
    DK_GROUP("output"),
    DK_OUT   (P, out, "-", "write the results to FILE (JSON lines)"),
    DK_END
};

static int write_table(const char *path, const dk_check_report *r, dk_err *err)
{
    dk_outfile *o = NULL;
    dk_buf text = {0};
    FILE *f;
    int rc = dk_outfile_new(&o, path, err);

    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    for (size_t i = 0; i < r->n; i++)
        dk_check_row_json(&text, &r->row[i]);
    if (rc == 0)
        fwrite(text.s ? text.s : "", 1, text.n, f);
    dk_buf_free(&text);
    if (rc == 0)
        return dk_outfile_commit(&o, err);
    dk_outfile_abandon(&o);
    return rc;
}

/* A line for every check that failed; the last one is the error. */
static int verdict(const dk_check_report *r, dk_err *err)
{
    size_t left = dk_check_count(r, DK_CHECK_FAIL);
    int rc = 0;

    for (size_t i = 0; i < r->n; i++) {
        const dk_check_row *k = &r->row[i];

        if (k->status == DK_CHECK_WARN)
            dk_log(DK_WARN, "check %s, lane %s: %s", k->id, k->lane, k->detail);
        if (k->status != DK_CHECK_FAIL)
            continue;
        if (--left > 0)
            fprintf(stderr, "%s: error: check %s, lane %s: %s\n", dk_this_tool.name, k->id, k->lane,
                    k->detail);
        else
            rc = dk_fail(err, DK_ECHECK, "check %s, lane %s: %s", k->id, k->lane, k->detail);
    }
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_check_spec spec = {
        .pair = { .base = p->pair.model, .ft = p->pair.ft, .nulls = p->pair.nulls.v, .n_nulls = p->pair.nulls.n,
                  .dtype = p->pair.dtype, .backend = p->pair.backend, .with_head = 1 },
        .only = p->checks.v, .n_only = p->checks.n, .expect_null = p->expect_null,
        .allow_identical = p->allow_identical
    };
    dk_check_report report = {0};
    int rc;

    (void)ctx;
    (void)n;
    (void)args;
    if (!p->pair.model)
        return dk_fail(err, DK_EUSAGE, "name the base model with --model");
    rc = dk_check_run(&report, &spec, err);
    if (rc == 0)
        rc = write_table(p->out, &report, err);
    if (rc == 0)
        rc = verdict(&report, err);
    dk_check_free(&report);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-check", .purpose = "check that a pair is fit to be compared: finetune, loss, tokenizer, engine",
    .algo = 3, .usage = "[options] -m MODEL [-f FINETUNE] [-n NAME=FINETUNE]...", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 0, .run = run,
};
