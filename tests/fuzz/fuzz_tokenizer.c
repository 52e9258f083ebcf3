/* libFuzzer target: the first byte chooses a pre-tokenizer, the rest is a text
 * for it.  All bytes have symbols here, so decoding gives the text back (unless
 * it was normalized), and places of tokens ascend. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The alphabet, some merges, three added tokens. */
static dk_tokenizer *make(dk_pretok kind)
{
    static const char *const merges[][2] = {
        { "a", "b" }, { "ab", "a" }, { "\xC4\xA0", "a" }, { "a", "a" }, { "aa", "aa" },
        { "\xC4\xA0", "\xC4\xA0" }, { "\xC3\xA3", "\xC4\xA2" }, { "b", "b" }
    };
    static dk_span token[300], merge[8][2];
    static char store[300][8];
    dk_added added[3];
    dk_tokenizer_spec spec;
    dk_tokenizer *t = NULL;
    dk_err err = {0};

    dk_tokenizer_spec_init(&spec);
    for (int32_t cp = 0x21; cp <= 0x143; cp++) {
        dk_buf b = {0};

        if ((cp > 0x7E && cp < 0xA1) || cp == 0xAD)
            continue;
        dk_utf8_add(&b, cp);
        memcpy(store[spec.n_vocab], b.s, b.n);
        token[spec.n_vocab] = (dk_span){ store[spec.n_vocab], b.n };
        spec.n_vocab++;
        dk_buf_free(&b);
    }
    for (size_t i = 0; i < 8; i++) {
        merge[i][0] = (dk_span){ merges[i][0], strlen(merges[i][0]) };
        merge[i][1] = (dk_span){ merges[i][1], strlen(merges[i][1]) };
        snprintf(store[spec.n_vocab], sizeof *store, "%s%s", merges[i][0], merges[i][1]);
        token[spec.n_vocab] = (dk_span){ store[spec.n_vocab], strlen(store[spec.n_vocab]) };
        spec.n_vocab++;
    }
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const text[3] = { "<s>", "<s>>", "]w" };

        added[i] = (dk_added){ .id = (uint32_t)spec.n_vocab, .text = { text[i], strlen(text[i]) },
                               .special = i < 2, .single_word = i == 2, .normalized = i == 1 };
        token[spec.n_vocab++] = added[i].text;
    }
    spec.token = token;
    spec.merge = merge;
    spec.n_merges = 8;
    spec.added = added;
    spec.n_added = 3;
    dk_tokenizer_spec_scan(&spec, kind);
    if (kind == DK_PRETOK_QWEN2)
        spec.norm[spec.n_norm++] = (dk_norm_step){ .kind = DK_NORMALIZE_NFC };
    spec.ignore_merges = kind == DK_PRETOK_LLAMA3;
    if (dk_tokenizer_build(&t, &spec, &err) < 0)
        abort();
    return t;
}

static void text(dk_pretok kind, const char *s, size_t n)
{
    static dk_tokenizer *tok[DK_N_PRETOK];
    dk_ids ids = {0}, at = {0};
    dk_buf clean = {0}, back = {0};

    if (!tok[kind])
        tok[kind] = make(kind);
    dk_buf_add(&clean, "", 0);
    dk_utf8_clean(&clean, s, n);
    if (dk_tokenizer_encode(tok[kind], s, n, 0, &ids, NULL, NULL) < 0)
        abort();
    dk_tokenizer_decode(tok[kind], ids.id, ids.n, false, &back);
    if (kind != DK_PRETOK_QWEN2 && (back.n != clean.n || memcmp(back.s, clean.s, clean.n) != 0))
        abort();
    ids.n = 0;
    dk_tokenizer_encode(tok[kind], clean.s, clean.n, 0, &ids, &at, NULL);
    for (size_t i = 0; i < ids.n; i++)
        if (at.id[i] >= clean.n || (i > 0 && (kind == DK_PRETOK_QWEN2 ? at.id[i] < at.id[i - 1]
                                                                     : at.id[i] <= at.id[i - 1])))
            abort();
    dk_buf_free(&clean);
    dk_buf_free(&back);
    dk_free(ids.id);
    dk_free(at.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n)
        text((dk_pretok)(data[0] % DK_N_PRETOK), (const char *)data + 1, n - 1);
    return 0;
}
