/* GGUF files: open, touch every pair and value, read the configuration. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void touch_pairs(const dk_gguf *g)
{
    double sum = 0;

    for (size_t i = 0; i < dk_gguf_n_kv(g); i++) {
        const dk_gguf_kv *kv = dk_gguf_kv_at(g, i);
        const dk_gguf_str *s = dk_gguf_kv_strs(kv);

        if (dk_gguf_get(g, dk_gguf_kv_key(kv)) != kv)
            abort();
        for (size_t k = 0; k < dk_gguf_kv_len(kv); k++) {
            sum += dk_gguf_kv_num(kv, k, 0) + dk_gguf_kv_bool(kv, k, false);
            sum += (double)dk_gguf_kv_int(kv, k, 0);
            if (s && s[k].n)
                sum += s[k].s[0] + s[k].s[s[k].n - 1];
        }
    }
    if (sum == 0.12345)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    dk_gguf *g = NULL;
    dk_err err = {0};
    dk_model_config cfg;
    float out[256];

    if (dk_gguf_open_mem(&g, p, n, "fuzz", &err) < 0) {
        if (g || !strstr(err.msg, "fuzz"))
            abort();
        return 0;
    }
    touch_pairs(g);
    for (size_t i = 0; i < dk_gguf_n_tensors(g); i++) {
        const dk_gguf_tensor *t = dk_gguf_tensor_at(g, i);

        if (dk_gguf_find(g, t->name) != t)
            abort();
        for (size_t k = 0; k < t->bytes; k += t->format->bytes)
            dk_dequant(t->format, out, t->data + k, t->format->block);
    }
    dk_model_config_gguf(&cfg, g, "fuzz", &err);
    dk_gguf_close(&g);
    return 0;
}
