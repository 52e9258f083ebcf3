/* A tokenizer.json or tekken.json up to the first zero byte, and a text behind
 * it: what opens, encodes and decodes any text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "text/tekken.h"
#include "text/tokenizer.h"
#include "text/tokjson.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char sample[] = "It's  a\tTest12345\n\n \xC3\xA9\xE2\x96\x81<s>\xF0\x9F\x98\x80 x\xCC\x81";

static void use(dk_tokenizer *t, const char *s, size_t n)
{
    dk_ids ids = {0}, at = {0}, bare = {0};
    dk_buf back = {0}, clean = {0};
    dk_err err = {0};

    dk_buf_add(&clean, "", 0);
    dk_utf8_clean(&clean, s, n);
    if (dk_tokenizer_encode(t, clean.s, clean.n, DK_ENCODE_WRAP, &ids, &at, &err) == 0) {
        for (size_t i = 0; i < ids.n; i++)
            if (ids.id[i] >= dk_tokenizer_about(t)->n_vocab || at.id[i] > clean.n)
                abort();
        if (at.n != ids.n)
            abort();            /* one place for each token */
        if (dk_tokenizer_encode(t, clean.s, clean.n, DK_ENCODE_WRAP, &bare, NULL, &err) < 0 ||
            bare.n != ids.n || (ids.n && memcmp(bare.id, ids.id, ids.n * sizeof *ids.id) != 0))
            abort();            /* which changes nothing */
        dk_tokenizer_decode(t, ids.id, ids.n, true, &back);
        if (dk_utf8_valid(back.s, back.n) < back.n)
            abort();
    } else if (!err.code)
        abort();
    dk_buf_free(&back);
    dk_buf_free(&clean);
    dk_free(ids.id);
    dk_free(at.id);
    dk_free(bare.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    const size_t n_json = zero ? (size_t)(zero - data) : n;
    dk_tokenizer_spec spec;
    dk_tokenizer *t = NULL;
    dk_json *root = NULL;
    dk_buf store = {0};
    dk_err err = {0};

    dk_tokenizer_spec_init(&spec);
    if (dk_json_parse(&root, (const char *)data, n_json, "fuzz", &err) == 0 &&
        (dk_tekken_is(root) ? dk_tekken_read(&spec, &store, root, &err)
                            : dk_tokjson_read(&spec, root, &err)) == 0 &&
        dk_tokjson_config(&spec, root, &err) == 0 && dk_tokenizer_build(&t, &spec, &err) == 0) {
        use(t, sample, sizeof sample - 1);
        if (zero)
            use(t, (const char *)zero + 1, n - n_json - 1);
    } else if (!err.code)
        abort();                /* a refusal says why */
    dk_tokenizer_close(&t);
    dk_tokenizer_spec_free(&spec);
    dk_json_free(&root);
    dk_buf_free(&store);
    return 0;
}
