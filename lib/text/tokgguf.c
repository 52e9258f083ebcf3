/* The tokenizer's GGUF keys. */
#include "text/tokgguf.h"

#include <math.h>
#include <string.h>

#include "text/tekken.h"

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

static uint32_t id_of(const dk_gguf *g, const char *key)
{
    const int64_t id = dk_gguf_int(g, key, -1);

    return id < 0 || id >= UINT32_MAX ? DK_NO_ID : (uint32_t)id;
}

static int gguf_tokens(dk_tokenizer_spec *spec, const dk_gguf *g, bool sentencepiece, dk_err *err)
{
    const dk_gguf_kv *tokens = dk_gguf_get(g, "tokenizer.ggml.tokens");
    const dk_gguf_kv *types = dk_gguf_get(g, "tokenizer.ggml.token_type");
    const dk_gguf_str *text = dk_gguf_kv_strs(tokens);
    const size_t one = sizeof *spec->token;
    int rc;

    if (!text)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer.ggml.tokens in it");
    spec->n_vocab = dk_gguf_kv_len(tokens);
    if (types && dk_gguf_kv_len(types) != spec->n_vocab)
        return dk_fail(err, DK_EFORMAT, "%zu tokens, but %zu token types", spec->n_vocab,
                       dk_gguf_kv_len(types));
    if ((rc = dk_alloc(&spec->token, spec->n_vocab, one, "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&spec->added, spec->n_vocab, sizeof *spec->added, "added tokens", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_vocab; i++) {
        const int64_t type = dk_gguf_kv_int(types, i, 1);

        spec->token[i] = (dk_span){ text[i].s, text[i].n };
        if (type == TYPE_CONTROL || type == TYPE_USER_DEFINED ||
            (type == TYPE_UNKNOWN && sentencepiece))
            spec->added[spec->n_added++] = (dk_added){
                .id = (uint32_t)i, .text = spec->token[i], .special = type != TYPE_USER_DEFINED,
                .outside = !sentencepiece   /* so in all families that look up whole pieces */
            };
    }
    return 0;
}

static int gguf_merges(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const dk_gguf_kv *merges = dk_gguf_get(g, "tokenizer.ggml.merges");
    const dk_gguf_str *text = dk_gguf_kv_strs(merges);
    int rc;

    if (!text)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer.ggml.merges in it");
    spec->n_merges = dk_gguf_kv_len(merges);
    if ((rc = dk_alloc(&spec->merge, spec->n_merges, sizeof *spec->merge, "the merges", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_merges; i++) {
        const char *space = text[i].n ? memchr(text[i].s, ' ', text[i].n) : NULL;
        const size_t n = space ? (size_t)(space - text[i].s) : 0;

        if (!space || memchr(space + 1, ' ', text[i].n - n - 1))
            return dk_fail(err, DK_EFORMAT, "merge %zu is no pair of tokens", i);
        spec->merge[i][0] = (dk_span){ text[i].s, n };
        spec->merge[i][1] = (dk_span){ space + 1, text[i].n - n - 1 };
    }
    return 0;
}

static const dk_span space = { " ", 1 }, gap = { "\xE2\x96\x81", 3 };

/* What a GGUF does not say about SentencePiece models: all of this. */
static void sentencepiece_steps(dk_tokenizer_spec *spec, bool prefix)
{
    if (prefix)
        spec->norm[spec->n_norm++] = (dk_norm_step){ .kind = DK_NORMALIZE_PREPEND, .to = gap };
    spec->norm[spec->n_norm++] = (dk_norm_step){ .kind = DK_NORMALIZE_REPLACE, .from = space, .to = gap };
    spec->back[spec->n_back++] = (dk_back_step){ .kind = DK_BACK_REPLACE, .from = gap, .to = space };
    spec->back[spec->n_back++] = (dk_back_step){ .kind = DK_BACK_FALLBACK };
    spec->back[spec->n_back++] = (dk_back_step){ .kind = DK_BACK_FUSE };
    if (prefix)
        spec->back[spec->n_back++] = (dk_back_step){ .kind = DK_BACK_STRIP, .from = space, .start = 1 };
    spec->byte_fallback = spec->fuse_unk = true;
    spec->model_unk = spec->unk;
}

static int sentencepiece(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const dk_gguf_kv *scores = dk_gguf_get(g, "tokenizer.ggml.scores");
    float *score = NULL;
    int rc;

    if ((rc = gguf_tokens(spec, g, true, err)) < 0)
        return rc;
    if (dk_gguf_kv_len(scores) != spec->n_vocab)
        return dk_fail(err, DK_EFORMAT, "%zu tokens, but %zu scores", spec->n_vocab,
                       dk_gguf_kv_len(scores));
    if ((rc = dk_alloc(&score, spec->n_vocab, sizeof *score, "scores of tokens", err)) < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < spec->n_vocab; i++) {
        score[i] = (float)dk_gguf_kv_num(scores, i, NAN);
        if (isnan(score[i]))
            rc = dk_fail(err, DK_EFORMAT, "the score of token %zu is no number", i);
    }
    if (rc == 0)
        rc = dk_merges_of_vocab(spec, score, err);
    dk_free(score);
    if (rc == 0)
        sentencepiece_steps(spec, dk_gguf_bool(g, "tokenizer.ggml.add_space_prefix", true));
    return rc;
}

static int byte_level(dk_tokenizer_spec *spec, const dk_gguf *g, bool *family_bos, dk_err *err)
{
    dk_pretok kind = DK_PRETOK_GPT2;
    int rc;

    if ((rc = dk_pretok_from_name(&kind, dk_gguf_str_of(g, "tokenizer.ggml.pre", ""), err)) < 0 ||
        (rc = gguf_tokens(spec, g, false, err)) < 0 || (rc = gguf_merges(spec, g, err)) < 0)
        return rc;
    if (dk_gguf_bool(g, "tokenizer.ggml.add_space_prefix", false))
        return dk_fail(err, DK_EFORMAT, "unsupported: byte-level tokens with add_space_prefix");
    dk_tokenizer_spec_scan(spec, kind);
    /* What GGUF does not say: the families of these pre-tokenizers do so. */
    spec->ignore_merges = *family_bos = kind == DK_PRETOK_LLAMA3 || kind == DK_PRETOK_TEKKEN;
    if (kind == DK_PRETOK_QWEN2)
        spec->norm[spec->n_norm++] = (dk_norm_step){ .kind = DK_NORMALIZE_NFC };
    return 0;
}

int dk_tokgguf_read(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const char *model = dk_gguf_str_of(g, "tokenizer.ggml.model", "");
    const char *chat = dk_gguf_str_of(g, "tokenizer.chat_template", NULL);
    bool family_bos = true;
    int rc;

    if (!*model)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer in it");
    spec->bos = id_of(g, "tokenizer.ggml.bos_token_id");
    spec->eos = id_of(g, "tokenizer.ggml.eos_token_id");
    spec->unk = id_of(g, "tokenizer.ggml.unknown_token_id");
    spec->pad = id_of(g, "tokenizer.ggml.padding_token_id");
    if (strcmp(model, "gpt2") == 0)
        rc = byte_level(spec, g, &family_bos, err);
    else if (strcmp(model, "llama") == 0)
        rc = sentencepiece(spec, g, err);
    else
        rc = dk_fail(err, DK_EFORMAT, "unsupported tokenizer model '%.100s'", model);
    if (rc < 0)
        return rc;
    /* An absent add_bos_token means what the family does. */
    if (dk_gguf_bool(g, "tokenizer.ggml.add_bos_token", family_bos))
        spec->prefix = spec->bos;
    if (dk_gguf_bool(g, "tokenizer.ggml.add_eos_token", false))
        spec->suffix = spec->eos;
    if (chat)
        spec->chat_template = dk_xstrdup(chat);
    return 0;
}
