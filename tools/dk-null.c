/* dk-null: an adapter as a null of another. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"
#include "method/null.h"
#include "method/score.h"
#include "model/describe.h"

struct params {
    const char *model, *ft, *kind, *match, *dtype, *out;
    int64_t index, max_samples, max_tokens;
    double memory;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "the base: a GGUF file or a checkpoint directory"),
    DK_PATH(struct params, 'f', "ft", ft, NULL, "the adapter that a null is made of: a PEFT adapter directory"),
    DK_CHOICE(struct params, 'k', "kind", kind, "rigid", "same|rigid|haar|negate|layers", "what is done to it"),
    DK_INT(struct params, 'i', "index", index, "1", 0, 4294967295, "number of the null: each is another draw"),
    DK_GROUP("size"),
    DK_CHOICE(struct params, 0, "match", match, "none", "none|effect",
              "effect: scale each module to add as much to the base's own pass over TOKENS as the original"),
    DK_INT(struct params, 0, "max-samples", max_samples, "32", 0, 1e15, "of TOKENS the first N documents; 0: all"),
    DK_INT(struct params, 0, "max-tokens", max_tokens, "64", 0, 1e9, "and of each the first N tokens; 0: all"),
    DK_CHOICE(struct params, 0, "dtype", dtype, "auto", "auto|f32|bf16", "dtype of the matrix products of that pass"),
    { DK_OPT_REAL, 0, "memory", offsetof(struct params, memory), "0", 0, 1e6, NULL,
      "use at most X GB for weights and batches, or refuse; 0: what is free", DK_NOSTAMP, NULL },
    DK_GROUP("output"),
    DK_OUT(struct params, out, NULL, "write the adapter to the directory DIR (or to that of DIR/adapter_model.safetensors)"),
    DK_END
};

static dk_null_kind kind_of(const char *s)
{
    static const char *const name[] = { "same", "rigid", "haar", "negate", "layers" };
    int k = 0;

    while (strcmp(name[k], s) != 0)
        k++;
    return (dk_null_kind)k;
}

/* The folder that -o names, itself or by the file in it. */
static char *folder_of(const char *out)
{
    static const char file[] = "adapter_model.safetensors";
    const size_t n = strlen(out), m = strlen(file);

    if (n >= m && strcmp(out + n - m, file) == 0 && (n == m || out[n - m - 1] == '/'))
        return n == m ? dk_xstrdup(".") : dk_xstrndup(out, n - m - 1);
    return dk_xstrdup(out);
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int match(dk_null *n, const struct params *p, const char *path, dk_err *err)
{
    const dk_pair_spec spec = { .base = p->model, .dtype = p->dtype, .memory = p->memory * 1e9 };
    dk_tokens all = {0}, t = {0};
    dk_pair base = {0};
    double least = 1, most = 1;
    int rc = dk_tokens_read(&all, path, err);

    if (rc == 0)
        rc = dk_tokens_trim(&t, &all, (size_t)p->max_samples, (size_t)p->max_tokens, 1, err);
    if (rc == 0)
        rc = dk_pair_open(&base, &spec, err);
    if (rc == 0)
        rc = dk_pair_check_tokens(&base, &t, path, err);
    if (rc == 0)
        rc = dk_null_match(n, &base, &t, &least, &most, err);
    if (rc == 0)
        dk_log(DK_INFO, "%s: modules scaled by %.3g to %.3g, from %zu tokens", p->out, least, most, t.rows);
    dk_pair_close(&base);
    dk_tokens_free(&t);
    dk_tokens_free(&all);
    return rc;
}

static int write_null(const dk_null *n, const dk_ctx *ctx, const struct params *p, const dk_model_config *cfg,
                      const char *folder, dk_err *err)
{
    char seed[32], index[32];
    const char *const meta[] = { "dk_null", p->kind, "dk_null_seed", seed, "dk_null_index", index, "dk_null_match", p->match,
                                 "dk_null_of", dk_adapter_sha256(n->from), NULL };
    const dk_adapter_new embed = { n->embed.a, n->embed.b }, head = { n->head.a, n->head.b };
    dk_adapter_new *to = dk_xcalloc(n->n + 1, sizeof *to);
    int rc;

    snprintf(seed, sizeof seed, "%" PRId64, ctx->seed);
    snprintf(index, sizeof index, "%" PRId64, p->index);
    for (size_t i = 0; i < n->n; i++)
        to[i] = (dk_adapter_new){ n->module[i].a, n->module[i].b };
    rc = dk_adapter_write(n->from, cfg, folder, to, &embed, &head, meta, err);
    dk_free(to);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const bool effect = strcmp(p->match, "effect") == 0;
    dk_checkpoint *c = NULL;
    dk_adapter *a = NULL;
    dk_null null = {0};
    char *folder;
    int rc;

    if (!p->model || !p->ft || !p->out)
        return dk_fail(err, DK_EUSAGE, "name %s", !p->model ? "the base model with --model"
                       : !p->ft ? "the adapter with --ft" : "the directory with -o");
    if (effect && n == 0)
        return dk_fail(err, DK_EUSAGE, "--match effect needs TOKENS to look at");
    if (!effect && n)
        return dk_fail(err, DK_EUSAGE, "TOKENS are for --match effect");
    if (!dk_is_adapter(p->ft))
        return dk_fail(err, DK_EDATA, "%s is no adapter: nulls are made of adapters, not of full weights", p->ft);
    folder = folder_of(p->out);
    if (same_folder(folder, p->ft))
        rc = dk_fail(err, DK_EUSAGE, "the null would overwrite the adapter %s", p->ft);
    else
        rc = dk_checkpoint_open(&c, p->model, err);
    if (rc == 0)
        rc = dk_adapter_open(&a, p->ft, dk_checkpoint_config(c), err);
    if (rc == 0)
        rc = dk_null_make(&null, a, dk_checkpoint_config(c), kind_of(p->kind), (uint64_t)ctx->seed, (uint64_t)p->index, err);
    if (rc == 0 && effect)
        rc = match(&null, p, args[0], err);
    if (rc == 0)
        rc = write_null(&null, ctx, p, dk_checkpoint_config(c), folder, err);
    dk_null_free(&null);
    dk_adapter_close(&a);
    dk_checkpoint_close(&c);
    dk_free(folder);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-null", .purpose = "make a null of an adapter: its sizes, without its meaning",
    .algo = 1, .usage = "[options] -m MODEL -f ADAPTER -o DIR [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
