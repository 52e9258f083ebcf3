/* Models in the words of a file's attributes. */
#include "model/describe.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/mem.h"
#include "text/tokenizer.h"

static uint64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

int dk_pair_inputs(dk_buf *inputs, const dk_pair *p, dk_err *err)
{
    const char *base = dk_checkpoint_path(p->model->file);
    char hex[65];
    int rc = dk_checkpoint_sha256(p->model->file, hex, err);

    if (rc < 0)
        return rc;
    dk_inputs_add(inputs, "base", base, hex, size_of(base));
    for (size_t i = 0; i < p->n_lanes; i++)
        if (p->adapter[i]) {
            char *file = dk_xasprintf("%s/adapter_model.safetensors", p->path[i]);

            dk_inputs_add(inputs, p->lane[i].name, file, dk_adapter_sha256(p->adapter[i]), size_of(file));
            dk_free(file);
        } else if (p->full[i]) {
            rc = dk_checkpoint_sha256(p->full[i]->file, hex, err);
            if (rc < 0)
                return rc;
            dk_inputs_add(inputs, p->lane[i].name, p->path[i], hex, size_of(p->path[i]));
        }
    return 0;
}

int dk_pair_model_info(dk_model_info *m, const dk_pair *p, size_t lane, const dk_tokens *t, char hex[65],
                       dk_err *err)
{
    const dk_model_config *c = &p->model->config;
    const dk_adapter *a = p->adapter[lane];
    const dk_model *full = p->full[lane];

    *m = (dk_model_info){
        .arch = c->arch_name, .kind = a ? "lora" : full ? "full" : "base", .dtype = dk_dtype_name(p->model->dtype),
        .backend = dk_device()->ops->host ? NULL : dk_device()->ops->name,
        .n_layers = (uint32_t)c->n_layers, .d_model = (uint32_t)c->d_model,
        .vocab = (uint32_t)c->vocab, .weights_sha256 = hex,
        .tokenizer_sha256 = t->tokenizer_sha256, .template_sha256 = t->template_sha256
    };
    if (a) {
        m->adapter_sha256 = dk_adapter_sha256(a);
        m->adapter_rank = (uint32_t)dk_adapter_max_rank(a);
        m->adapter_scale = dk_adapter_n(a) ? (double)dk_adapter_at(a, 0)->scale : 0;
    }
    return dk_checkpoint_sha256((full ? full : p->model)->file, hex, err);
}

int dk_pair_put_models(dk_scores_writer *w, const dk_pair *p, const dk_tokens *t, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->n_lanes; i++) {
        dk_model_info m;
        char hex[65];

        if ((rc = dk_pair_model_info(&m, p, i, t, hex, err)) == 0)
            rc = dk_scores_add_model(w, p->lane[i].name, &m, err);
    }
    return rc;
}

/* Equal ids mean equal texts only under one tokenizer.  A model without one
 * that dk reads (weights alone, an unknown pre-tokenizer) says so. */
static int check_tokenizer(const dk_pair *p, const dk_tokens *t, const char *path, dk_err *err)
{
    const char *model = dk_checkpoint_path(p->model->file);
    dk_tokenizer *tok = NULL;
    dk_err why = {0};
    int rc = 0;

    if (!t->tokenizer_sha256 || !*t->tokenizer_sha256)
        return 0;
    if (dk_tokenizer_open(&tok, model, &why) < 0)
        dk_log(DK_WARN, "%s cannot be compared with the model's tokenizer: %s", path, why.msg);
    else
        rc = dk_tokenizer_check(tok, t->tokenizer_sha256, path, model, err);
    dk_tokenizer_close(&tok);
    return rc;
}

int dk_pair_check_tokens(const dk_pair *p, const dk_tokens *t, const char *path, dk_err *err)
{
    if (t->vocab > p->model->config.vocab)
        return dk_fail(err, DK_EDATA, "%s: its tokenizer has %u ids, the model %zu: they do not belong together",
                       path, t->vocab, p->model->config.vocab);
    for (size_t i = 0; i < t->rows; i++)
        if (t->token[i] >= p->model->config.vocab)
            return dk_fail(err, DK_EDATA, "%s: token id %u is outside the model's %zu ids", path,
                           t->token[i], p->model->config.vocab);
    for (size_t d = 0; d < t->docs; d++)
        if (t->offset[d + 1] - t->offset[d] > p->model->config.max_positions)
            return dk_fail(err, DK_EDATA, "%s: document %llu has %llu tokens, more than the model's context of %zu; "
                           "cut it with --max-tokens", path, (unsigned long long)t->id[d],
                           (unsigned long long)(t->offset[d + 1] - t->offset[d]), (size_t)p->model->config.max_positions);
    return check_tokenizer(p, t, path, err);
}
