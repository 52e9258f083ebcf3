/* GGUF files: open, touch every pair and value, read the configuration and the
 * tokenizer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "model/config.h"
#include "text/tokenizer.h"
#include "text/tokgguf.h"

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

static void tokenizer(const dk_gguf *g)
{
    static const char text[] = " It's \xC3\xA9 <s>\n12  a";
    dk_tokenizer_spec spec;
    dk_tokenizer *t = NULL;
    dk_err err = {0};
    dk_ids ids = {0}, at = {0};
    dk_buf back = {0};

    dk_tokenizer_spec_init(&spec);
    if (dk_tokgguf_read(&spec, g, &err) == 0 && dk_tokenizer_build(&t, &spec, &err) == 0) {
        if (dk_tokenizer_encode(t, text, sizeof text - 1, DK_ENCODE_WRAP, &ids, &at, &err) == 0)
            dk_tokenizer_decode(t, ids.id, ids.n, true, &back);
    } else if (!err.code)
        abort();
    dk_tokenizer_close(&t);
    dk_tokenizer_spec_free(&spec);
    dk_buf_free(&back);
    dk_free(ids.id);
    dk_free(at.id);
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
    tokenizer(g);
    dk_gguf_close(&g);
    return 0;
}
