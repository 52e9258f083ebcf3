/* config.json of models: read, then ask everything that is asked of it. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "model/config.h"
#include "model/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool good)
{
    if (!good)
        abort();
}

static void ask(const dk_model_config *c)
{
    dk_need need[DK_MAX_NEEDS];
    const size_t n = dk_needs(need, c);
    dk_buf row = {0};
    char name[128];

    must(c->n_layers >= 1 && c->n_layers <= DK_LAYERS_MAX && c->n_heads % c->n_kv_heads == 0);
    must(c->learned_positions || c->head_dim % 2 == 0);
    must(isfinite(c->attn_scale) && c->attn_scale > 0 && c->vocab > 0);
    for (size_t i = 0; i < c->n_layers; i++)
        must(dk_layer_window(c, i) <= c->window && dk_layer_rope(c, i));
    for (size_t i = 0; i < n; i++)
        must(need[i].rows > 0 && need[i].cols > 0 && need[i].cols < (size_t)1 << 40 &&
             dk_role_name(name, c, need[i].role, c->n_layers - 1));
    for (size_t i = 0; i < c->n_eos; i++)
        must(c->eos[i] >= 0 && (size_t)c->eos[i] < c->vocab);
    dk_model_config_row(&row, c);
    must(row.n > 0 && row.s[row.n - 1] == '\n');
    dk_buf_free(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    dk_json *v = NULL;
    dk_model_config c;
    dk_err err = {0};

    if (dk_json_parse(&v, (const char *)p, n, "fuzz", &err) < 0)
        return 0;
    if (dk_model_config_json(&c, v, "fuzz", &err) == 0)
        ask(&c);
    else
        must(err.code < 0 && strstr(err.msg, "fuzz") && !strchr(err.msg, '\n'));
    dk_json_free(&v);
    return 0;
}
