/* dk-null: a finetune as a null of another. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"
#include "method/nullfull.h"
#include "method/score.h"
#include "model/describe.h"

struct params {
    const char *model, *ft, *kind, *match, *dtype, *out;
    int64_t index, max_samples, max_tokens;
    double memory;
};

static const dk_opt opts[] = {
    DK_PATH(struct params, 'm', "model", model, NULL, "the base: a GGUF file or a checkpoint directory"),
    DK_PATH(struct params, 'f', "ft", ft, NULL, "the finetune that a null is made of: a PEFT adapter directory, or a checkpoint directory with full weights"),
    DK_CHOICE(struct params, 'k', "kind", kind, "rigid", "same|rigid|whitened|haar|negate|layers|numeric", "what is done to it"),
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
    DK_OUT(struct params, out, NULL, "write the null to the directory DIR (or to that of DIR/adapter_model.safetensors, DIR/model.safetensors)"),
    DK_END
};

static dk_null_kind kind_of(const char *s)
{
    static const char *const name[] = { "same", "rigid", "haar", "negate", "layers", "whitened", "numeric" };
    int k = 0;

    while (strcmp(name[k], s) != 0)
        k++;
    return (dk_null_kind)k;
}

/* The folder that -o names, itself or by the file in it. */
static char *folder_of(const char *out)
{
    static const char *const file[] = { "adapter_model.safetensors", "model.safetensors" };
    const size_t n = strlen(out);

    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        const size_t m = strlen(file[i]);

        if (n >= m && strcmp(out + n - m, file[i]) == 0 && (n == m || out[n - m - 1] == '/'))
            return n == m ? dk_xstrdup(".") : dk_xstrndup(out, n - m - 1);
    }
    return dk_xstrdup(out);
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What the base does over TOKENS. */
struct look { dk_tokens all, t; dk_pair base; dk_null_inputs *in; };

static int look(struct look *l, const struct params *p, const char *path, dk_err *err)
{
    const dk_pair_spec spec = { .base = p->model, .dtype = p->dtype, .memory = p->memory * 1e9 };
    int rc = dk_tokens_read(&l->all, path, err);

    if (rc == 0)
        rc = dk_tokens_trim(&l->t, &l->all, (size_t)p->max_samples, (size_t)p->max_tokens, 1, err);
    if (rc == 0)
        rc = dk_pair_open(&l->base, &spec, err);
    if (rc == 0)
        rc = dk_pair_check_tokens(&l->base, &l->t, path, err);
    return rc < 0 ? rc : dk_null_inputs_new(&l->in, &l->base, &l->t, err);
}

static void look_away(struct look *l)
{
    dk_null_inputs_free(&l->in);
    dk_pair_close(&l->base);
    dk_tokens_free(&l->t);
    dk_tokens_free(&l->all);
}

struct what { const struct params *p; const char *folder; bool effect; char seed[32], index[32]; };

static void log_match(const struct what *w, const dk_null_inputs *in, double least, double most)
{
    dk_log(DK_INFO, "%s: modules scaled by %.3g to %.3g, from %zu tokens", w->p->out, least, most, dk_null_inputs_rows(in));
}

static int null_of_adapter(const struct what *w, const dk_checkpoint *base, dk_null_inputs *in, dk_err *err)
{
    const dk_model_config *cfg = dk_checkpoint_config(base);
    double least = 1, most = 1;
    dk_adapter *a = NULL;
    dk_null n = {0};
    int rc = dk_adapter_open(&a, w->p->ft, cfg, err);

    if (rc == 0)
        rc = dk_null_make(&n, a, cfg, kind_of(w->p->kind), strtoull(w->seed, NULL, 10), (uint64_t)w->p->index, in, err);
    if (rc == 0 && w->effect && (rc = dk_null_match(&n, in, &least, &most, err)) == 0)
        log_match(w, in, least, most);
    if (rc == 0) {
        const char *const meta[] = { "dk_null", w->p->kind, "dk_null_seed", w->seed, "dk_null_index", w->index,
                                     "dk_null_match", w->p->match, "dk_null_of", dk_adapter_sha256(a), NULL };
        const dk_adapter_new embed = { n.embed.a, n.embed.b }, head = { n.head.a, n.head.b };
        dk_adapter_new *to = dk_xcalloc(n.n + 1, sizeof *to);

        for (size_t i = 0; i < n.n; i++)
            to[i] = (dk_adapter_new){ n.module[i].a, n.module[i].b };
        rc = dk_adapter_write(a, cfg, w->folder, to, &embed, &head, meta, err);
        dk_free(to);
    }
    if (n.from)
        dk_null_free(&n);
    dk_adapter_close(&a);
    return rc;
}

static int null_of_weights(const struct what *w, dk_checkpoint *base, dk_null_inputs *in, dk_err *err)
{
    dk_null_full n = { .base = base, .kind = kind_of(w->p->kind), .seed = strtoull(w->seed, NULL, 10),
                       .index = (uint64_t)w->p->index, .in = in, .match = w->effect };
    char sha[65];
    const char *const meta[] = { "dk_null", w->p->kind, "dk_null_seed", w->seed, "dk_null_index", w->index,
                                 "dk_null_match", w->p->match, "dk_null_of", sha, NULL };
    int rc = dk_checkpoint_open(&n.ft, w->p->ft, err);

    n.meta = meta;
    if (rc == 0)
        rc = dk_checkpoint_sha256(n.ft, sha, err);
    if (rc == 0)
        rc = dk_null_full_write(&n, w->folder, err);
    if (rc == 0 && w->effect)
        log_match(w, in, n.least, n.most);
    dk_checkpoint_close(&n.ft);
    return rc;
}

static int check(const struct params *p, bool looks, int n, dk_err *err)
{
    if (!p->model || !p->ft || !p->out)
        return dk_fail(err, DK_EUSAGE, "name %s", !p->model ? "the base model with --model"
                       : !p->ft ? "the finetune with --ft" : "the directory with -o");
    if (looks && n == 0)
        return dk_fail(err, DK_EUSAGE, "%s needs TOKENS to look at",
                       strcmp(p->kind, "whitened") == 0 ? "--kind whitened" : "--match effect");
    if (!looks && n)
        return dk_fail(err, DK_EUSAGE, "TOKENS are for --match effect and --kind whitened");
    return 0;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const bool effect = strcmp(p->match, "effect") == 0, looks = effect || strcmp(p->kind, "whitened") == 0;
    struct what w = { .p = p, .effect = effect };
    struct look l = {0};
    dk_checkpoint *c = NULL;
    char *folder;
    int rc = check(p, looks, n, err);

    if (rc < 0)
        return rc;
    snprintf(w.seed, sizeof w.seed, "%" PRIu64, (uint64_t)ctx->seed);
    snprintf(w.index, sizeof w.index, "%" PRId64, p->index);
    w.folder = folder = folder_of(p->out);
    if (same_folder(folder, p->ft) || same_folder(folder, p->model))
        rc = dk_fail(err, DK_EUSAGE, "the null would overwrite %s", same_folder(folder, p->ft) ? p->ft : p->model);
    else
        rc = dk_checkpoint_open(&c, p->model, err);
    if (rc == 0 && looks)
        rc = look(&l, p, args[0], err);
    if (rc == 0)
        rc = dk_is_adapter(p->ft) ? null_of_adapter(&w, c, l.in, err) : null_of_weights(&w, c, l.in, err);
    look_away(&l);
    dk_checkpoint_close(&c);
    dk_free(folder);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-null", .purpose = "make a null of a finetune: its sizes, without its meaning",
    .algo = 1, .usage = "[options] -m MODEL -f FINETUNE -o DIR [TOKENS]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 0, .max_args = 1, .run = run,
};
