/* LoRA adapters: what they are asked. */
#include "model/adapterpriv.h"

#include "base/mem.h"

static void free_names(dk_names *list)
{
    for (size_t i = 0; i < list->n; i++)
        dk_free(list->v[i]);
    dk_free(list->v);
}

void dk_adapter_close(dk_adapter **ap)
{
    dk_adapter *a = *ap;

    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        dk_free(a->module[i].path);
    free_names(&a->zero);
    free_names(&a->unmatched);
    free_names(&a->missing);
    free_names(&a->untargeted);
    free_names(&a->misfit);
    free_names(&a->wrong_rank);
    dk_lora_config_free(&a->config);
    dk_free(a->module);
    dk_free(a->embed.path);
    dk_free(a->head.path);
    dk_free(a->saved_embed);
    dk_free(a->saved_head);
    dk_free(a->weights);
    dk_free(a->name);
    dk_free(a->path);
    dk_free(a);
    *ap = NULL;
}

size_t dk_adapter_n(const dk_adapter *a) { return a->n; }
const dk_adapter_module *dk_adapter_at(const dk_adapter *a, size_t i) { return &a->module[i]; }

const dk_adapter_module *dk_adapter_find(const dk_adapter *a, int layer, dk_linear which)
{
    size_t lo = 0, hi = a->n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const dk_adapter_module *m = &a->module[mid];

        if (m->layer == layer && m->which == which)
            return m;
        if (m->layer < layer || (m->layer == layer && m->which < which))
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const dk_adapter_module *dk_adapter_embed(const dk_adapter *a) { return a->embed.path ? &a->embed : NULL; }
const dk_adapter_module *dk_adapter_head(const dk_adapter *a) { return a->head.path ? &a->head : NULL; }
const float *dk_adapter_saved_embed(const dk_adapter *a) { return a->saved_embed; }
size_t dk_adapter_vocab(const dk_adapter *a) { return a->vocab; }

const float *dk_adapter_saved_head(const dk_adapter *a)
{
    return a->head_follows ? a->saved_embed : a->saved_head;
}

bool dk_adapter_changes_embed(const dk_adapter *a) { return a->saved_embed || a->embed.path; }
bool dk_adapter_changes_head(const dk_adapter *a) { return dk_adapter_saved_head(a) || a->head.path; }

const char *dk_adapter_path(const dk_adapter *a) { return a->path; }
const char *dk_adapter_name(const dk_adapter *a) { return a->name; }
const char *dk_adapter_base(const dk_adapter *a) { return dk_lora_config_base(a->config); }
const char *dk_adapter_dtype(const dk_adapter *a) { return a->dtype; }
const char *dk_adapter_sha256(const dk_adapter *a) { return a->sha256; }
size_t dk_adapter_rank(const dk_adapter *a) { return dk_lora_config_rank(a->config); }
double dk_adapter_alpha(const dk_adapter *a) { return dk_lora_config_alpha(a->config); }
bool dk_adapter_rslora(const dk_adapter *a) { return dk_lora_config_rslora(a->config); }

size_t dk_adapter_max_rank(const dk_adapter *a)
{
    size_t r = 0;

    for (size_t i = 0; i < a->n; i++)
        r = a->module[i].r > r ? a->module[i].r : r;
    r = a->embed.r > r ? a->embed.r : r;
    return a->head.r > r ? a->head.r : r;
}

const dk_names *dk_adapter_zero(const dk_adapter *a) { return &a->zero; }
const dk_names *dk_adapter_unmatched(const dk_adapter *a) { return &a->unmatched; }
const dk_names *dk_adapter_missing(const dk_adapter *a) { return &a->missing; }
const dk_names *dk_adapter_untargeted(const dk_adapter *a) { return &a->untargeted; }
const dk_names *dk_adapter_misfit(const dk_adapter *a) { return &a->misfit; }
const dk_names *dk_adapter_wrong_rank(const dk_adapter *a) { return &a->wrong_rank; }
