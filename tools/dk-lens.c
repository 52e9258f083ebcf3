/* dk-lens: the tokens that directions speak for. */
#include <string.h>

#include "backend/backend.h"
#include "base/outfile.h"
#include "cli/pairopts.h"
#include "method/lensdir.h"
#include "model/pair.h"

struct params {
    const char *model, *dtype, *backend, *out;
    int64_t k, first;
    dk_strs query, what;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "through whose final norm and head: the base of the pair"),
    DK_CHOICE(struct params, 0, "dtype", dtype, "auto", "auto|f32|bf16", "dtype of the matrix product"),
    DK_BACKEND_OPT(struct params, backend),
    DK_INT_KEY(struct params, 'k', "top-k", k, "100", 0, 1 << 20, "logit_lens.k", "list the N likeliest tokens"),
    DK_LIST(struct params, 0, "query", query, NULL,
            "also give rank and probability of the tokens of TEXT (repeat the option)"),
    DK_LIST(struct params, 0, "what", what, NULL, "only directions of these lanes: base, ft, diff, diff.NAME"),
    DK_INT(struct params, 0, "first", first, "0", 0, 1 << 24, "only the first N directions of each lane at each layer; 0: all"),
    DK_OUT(struct params, out, "-", "write the table to FILE (JSON lines)"),
    DK_END
};

static int open_model(dk_model **m, const struct params *p, dk_err *err)
{
    dk_checkpoint *peek = NULL;
    dk_dtype dtype = DK_F32;
    int rc = dk_device_select(p->backend, err);

    if (rc == 0)
        rc = dk_checkpoint_open(&peek, p->model, err);
    if (rc == 0)
        rc = dk_dtype_parse(&dtype, p->dtype, dk_checkpoint_config(peek), err);
    dk_checkpoint_close(&peek);
    return rc == 0 ? dk_model_load_head(m, p->model, dtype, err) : rc;
}

static int check_tokenizer(const dk_tokenizer *tok, const dk_dirs *d, const char *path, const char *model,
                           dk_err *err)
{
    const char *sha = dk_dirs_corpus(d)->tokenizer_sha256;

    return sha && *sha ? dk_tokenizer_check(tok, sha, path, model, err) : 0;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const dk_lens_plan plan = { (size_t)p->k, p->query.v, p->query.n, p->what.v, p->what.n, (size_t)p->first };
    dk_tokenizer *tok = NULL;
    dk_model *m = NULL;
    dk_dirs *d = NULL;
    dk_buf table = {0};
    int rc;

    (void)ctx;
    (void)n;
    if (!p->model)
        return dk_fail(err, DK_EUSAGE, "name the model with --model");
    if (dk_outfile_check(p->out, err) < 0)
        return DK_EIO;
    if ((rc = dk_dirs_open(&d, args[0], err)) == 0 && (rc = dk_tokenizer_open(&tok, p->model, err)) == 0 &&
        (rc = check_tokenizer(tok, d, args[0], p->model, err)) == 0 && (rc = open_model(&m, p, err)) == 0)
        rc = dk_lens_table(&table, m, tok, d, &plan, args[0], err);
    if (rc == 0)
        rc = dk_outfile_write(p->out, table.s ? table.s : "", table.n, err);
    dk_buf_free(&table);
    dk_model_free(&m);
    dk_tokenizer_close(&tok);
    dk_dirs_close(&d);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-lens", .purpose = "the tokens that directions of the residual stream speak for",
    .algo = 2, .usage = "[options] -m MODEL [-o FILE] DIRECTIONS", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = 1, .run = run,
};
