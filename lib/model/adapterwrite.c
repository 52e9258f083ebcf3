/* Adapters, written. */
#include "model/adapterwrite.h"

#include <string.h>

#include "base/mem.h"
#include "base/outfile.h"
#include "io/mapfile.h"
#include "io/safetensors.h"
#include "io/stwrite.h"
#include "model/adapterpriv.h"

/* The new numbers of a tensor of the file. */
static const float *new_of(const dk_adapter *a, const dk_lora_name *n, const dk_adapter_new *module,
                           const dk_adapter_new *embed, const dk_adapter_new *head)
{
    const dk_adapter_new *to = n->place == DK_LORA_EMBED ? embed : n->place == DK_LORA_HEAD ? head : NULL;

    for (size_t i = 0; n->place == DK_LORA_LAYER && i < a->n; i++)
        if ((size_t)a->module[i].layer == n->layer && a->module[i].which == n->which)
            to = &module[i];
    return !to ? NULL : n->kind == DK_LORA_A ? to->a : to->b;
}

static int copy_config(const dk_adapter *a, const char *folder, dk_err *err)
{
    char *from = dk_xasprintf("%s/adapter_config.json", a->path), *to = dk_xasprintf("%s/adapter_config.json", folder);
    dk_mapfile *m = NULL;
    int rc = dk_mapfile_open(&m, from, err);

    if (rc == 0) {
        rc = dk_outfile_write(to, m->p, m->n, err);
        dk_mapfile_close(&m);
    }
    dk_free(from);
    dk_free(to);
    return rc;
}

int dk_adapter_write(const dk_adapter *a, const dk_model_config *cfg, const char *folder, const dk_adapter_new *module,
                     const dk_adapter_new *embed, const dk_adapter_new *head, const char *const *meta, dk_err *err)
{
    char *from = dk_xasprintf("%s/adapter_model.safetensors", a->path),
         *to = dk_xasprintf("%s/adapter_model.safetensors", folder);
    dk_safetensors *s = NULL;
    dk_st_out *out = NULL;
    float **own = NULL;
    size_t n = 0;
    int rc = dk_safetensors_open(&s, from, err);

    if (rc == 0) {
        n = dk_safetensors_n(s);
        out = dk_xcalloc(n, sizeof *out);
        own = dk_xcalloc(n, sizeof *own);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const dk_st_tensor *t = dk_safetensors_at(s, i);
        const dk_lora_name name = dk_lora_name_of(cfg, t->name);

        if (name.kind == DK_LORA_SAVED)
            rc = dk_fail(err, DK_EDATA, "%s: tensor %s is a module saved whole; nulls are made of low-rank modules alone",
                         from, t->name);
        out[i] = (dk_st_out){ .name = t->name, .n_dims = t->n_dims, .data = new_of(a, &name, module, embed, head) };
        memcpy(out[i].dims, t->dims, sizeof t->dims);
        if (rc < 0 || out[i].data)
            continue;
        rc = dk_alloc(&own[i], t->n, sizeof **own, "an adapter", err);
        if (rc == 0)
            dk_dequant(t->format, own[i], t->data, t->n);
        out[i].data = own[i];
    }
    /* The weights last: where they are, all is there. */
    if (rc == 0)
        rc = copy_config(a, folder, err);
    if (rc == 0)
        rc = dk_st_write(to, out, n, meta, err);
    for (size_t i = 0; i < n; i++)
        dk_free(own[i]);
    dk_free(own);
    dk_free(out);
    dk_safetensors_close(&s);
    dk_free(from);
    dk_free(to);
    return rc;
}
