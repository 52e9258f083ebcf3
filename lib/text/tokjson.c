/* tokenizer.json: the model, the added tokens, and the configuration beside it. */
#include "text/tokjson.h"

#include <string.h>

#include "base/mem.h"
#include "text/toksteps.h"

static dk_span text_of(const dk_json *v)
{
    return (dk_span){ dk_json_str(v, NULL), dk_json_len(v) };
}

/* Absent, null and "" all mean: not asked for. */
static bool is_unset(const dk_json *v)
{
    const dk_json_kind k = dk_json_type(v);

    return k == DK_JSON_NONE || k == DK_JSON_NULL || (k == DK_JSON_STR && dk_json_len(v) == 0)
        || (k == DK_JSON_BOOL && !dk_json_bool(v, true));
}

/* --- model --------------------------------------------------------------- */

static int64_t vocab_top(const dk_json *vocab, const dk_json *added)
{
    dk_json_iter it = {0};
    int64_t top = -1;

    while (dk_json_next(vocab, &it)) {
        const int64_t id = dk_json_int(it.value, -1);

        if (id < 0)
            return -2;
        top = id > top ? id : top;
    }
    for (size_t i = 0; i < dk_json_len(added); i++) {
        const int64_t id = dk_json_int(dk_json_get(dk_json_at(added, i), "id"), -1);

        if (id < 0)
            return -2;
        top = id > top ? id : top;
    }
    return top;
}

static int vocabulary(dk_tokenizer_spec *spec, const dk_json *vocab, const dk_json *added,
                      dk_err *err)
{
    const int64_t top = vocab_top(vocab, added);
    const size_t known = dk_json_len(vocab) + dk_json_len(added);
    dk_json_iter it = {0};
    const size_t one = sizeof *spec->token;
    int rc;

    if (top == -2)
        return dk_fail(err, DK_EFORMAT, "the vocabulary has an id that is no whole number >= 0");
    /* A table by id: one huge id must not make a huge table. */
    if (top < 0 || (uint64_t)top > 16 * (uint64_t)known + 65536)
        return dk_fail(err, DK_EFORMAT, "a vocabulary of %zu tokens with ids up to %lld", known,
                       (long long)top);
    spec->n_vocab = (size_t)top + 1;
    if ((rc = dk_alloc(&spec->token, spec->n_vocab, one, "the vocabulary", err)) < 0)
        return rc;
    while (dk_json_next(vocab, &it)) {
        dk_span *t = &spec->token[dk_json_int(it.value, 0)];

        if (t->s)
            return dk_fail(err, DK_EFORMAT, "two tokens of the vocabulary have id %lld",
                           (long long)dk_json_int(it.value, 0));
        *t = (dk_span){ it.key, it.key_len };
    }
    return 0;
}

static int one_merge(dk_span out[2], const dk_json *v)
{
    const dk_span both = text_of(v);
    const char *space;

    if (dk_json_type(v) == DK_JSON_ARRAY) {
        out[0] = text_of(dk_json_at(v, 0));
        out[1] = text_of(dk_json_at(v, 1));
        return dk_json_len(v) == 2 && out[0].s && out[1].s ? 0 : -1;
    }
    space = both.s ? memchr(both.s, ' ', both.n) : NULL;
    if (!space)
        return -1;
    out[0] = (dk_span){ both.s, (size_t)(space - both.s) };
    out[1] = (dk_span){ space + 1, both.n - out[0].n - 1 };
    return memchr(out[1].s, ' ', out[1].n) ? -1 : 0;
}

static int merge_list(dk_tokenizer_spec *spec, const dk_json *list, dk_err *err)
{
    int rc;

    spec->n_merges = dk_json_len(list);
    if ((rc = dk_alloc(&spec->merge, spec->n_merges, sizeof *spec->merge, "the merges", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_merges; i++)
        if (one_merge(spec->merge[i], dk_json_at(list, i)) < 0)
            return dk_fail(err, DK_EFORMAT, "merge %zu is no pair of tokens", i);
    return 0;
}

static uint32_t find_token(const dk_tokenizer_spec *spec, const char *s, size_t n)
{
    for (size_t i = spec->n_vocab; i-- > 0;)
        if (spec->token[i].s && spec->token[i].n == n && memcmp(spec->token[i].s, s, n) == 0)
            return (uint32_t)i;
    return DK_NO_ID;
}

static int model(dk_tokenizer_spec *spec, const dk_json *m, const dk_json *added, dk_err *err)
{
    static const char *const unsupported[] = {
        "dropout", "continuing_subword_prefix", "end_of_word_suffix"
    };
    const dk_json *unk = dk_json_get(m, "unk_token");
    int rc;

    /* Old files do not name it. */
    if (dk_json_get(m, "type") && strcmp(dk_json_str(dk_json_get(m, "type"), ""), "BPE") != 0)
        return dk_toksteps_refuse("tokenizer model", m, err);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (!is_unset(dk_json_get(m, unsupported[i])))
            return dk_fail(err, DK_EFORMAT, "unsupported: tokenizer model 'BPE' with %s",
                           unsupported[i]);
    if (dk_json_type(dk_json_get(m, "vocab")) != DK_JSON_OBJECT ||
        dk_json_type(dk_json_get(m, "merges")) != DK_JSON_ARRAY)
        return dk_fail(err, DK_EFORMAT, "the tokenizer model lacks 'vocab' or 'merges'");
    spec->ignore_merges = dk_json_bool(dk_json_get(m, "ignore_merges"), false);
    spec->byte_fallback = dk_json_bool(dk_json_get(m, "byte_fallback"), false);
    spec->fuse_unk = dk_json_bool(dk_json_get(m, "fuse_unk"), false);
    if ((rc = vocabulary(spec, dk_json_get(m, "vocab"), added, err)) < 0 ||
        (rc = merge_list(spec, dk_json_get(m, "merges"), err)) < 0)
        return rc;
    if (!is_unset(unk)) {
        spec->model_unk = find_token(spec, dk_json_str(unk, ""), dk_json_len(unk));
        if (spec->model_unk == DK_NO_ID)
            return dk_fail(err, DK_EFORMAT, "the unknown token '%.100s' is not in the vocabulary",
                           dk_json_str(unk, ""));
    }
    return 0;
}

/* --- added tokens -------------------------------------------------------- */

/* The makers' library goes by the vocabulary where the two disagree: such a
 * file does not mean what it says. */
static int place_added(dk_tokenizer_spec *spec, dk_added *a, const dk_json *vocab, dk_err *err)
{
    const dk_json *own = dk_json_get(vocab, a->text.s);
    dk_span *slot = &spec->token[a->id];

    if (own && dk_json_int(own, -1) != a->id)
        return dk_fail(err, DK_EFORMAT, "added token %u, '%.100s', is token %lld of the vocabulary",
                       a->id, a->text.s, (long long)dk_json_int(own, -1));
    if (slot->s && (slot->n != a->text.n || memcmp(slot->s, a->text.s, slot->n) != 0))
        return dk_fail(err, DK_EFORMAT, "added token %u, '%.100s', has the id of another, '%.*s'",
                       a->id, a->text.s, (int)(slot->n < 100 ? slot->n : 100), slot->s);
    a->outside = !own;
    *slot = a->text;
    return 0;
}

static int added_tokens(dk_tokenizer_spec *spec, const dk_json *vocab, const dk_json *list,
                        dk_err *err)
{
    int rc;

    spec->n_added = dk_json_len(list);
    if ((rc = dk_alloc(&spec->added, spec->n_added, sizeof *spec->added, "added tokens", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_added; i++) {
        const dk_json *v = dk_json_at(list, i);
        dk_added *a = &spec->added[i];

        *a = (dk_added){
            .id = (uint32_t)dk_json_int(dk_json_get(v, "id"), 0),
            .text = text_of(dk_json_get(v, "content")),
            .special = dk_json_bool(dk_json_get(v, "special"), false),
            .single_word = dk_json_bool(dk_json_get(v, "single_word"), false),
            .lstrip = dk_json_bool(dk_json_get(v, "lstrip"), false),
            .rstrip = dk_json_bool(dk_json_get(v, "rstrip"), false),
            .normalized = dk_json_bool(dk_json_get(v, "normalized"), true),
        };
        if (!a->text.s || memchr(a->text.s, 0, a->text.n))
            return dk_fail(err, DK_EFORMAT, "added token %zu has no content, or a zero byte in it", i);
        if ((rc = place_added(spec, a, vocab, err)) < 0)
            return rc;
    }
    return 0;
}

int dk_tokjson_read(dk_tokenizer_spec *spec, const dk_json *root, dk_err *err)
{
    const dk_json *added = dk_json_get(root, "added_tokens"), *m = dk_json_get(root, "model");
    const char *version = dk_json_str(dk_json_get(root, "version"), "1.0");
    int rc;

    if (dk_json_type(m) != DK_JSON_OBJECT)
        return dk_fail(err, DK_EFORMAT, "not a tokenizer.json: there is no 'model' in it");
    if (strcmp(version, "1.0") != 0)
        return dk_fail(err, DK_EFORMAT, "a tokenizer.json of version '%.40s'; this build reads 1.0", version);
    if ((rc = model(spec, m, added, err)) < 0 ||
        (rc = added_tokens(spec, dk_json_get(m, "vocab"), added, err)) < 0)
        return rc;
    return dk_toksteps_read(spec, root, err);
}

/* --- tokenizer_config.json ----------------------------------------------- */

/* A string, or an added token written out as an object. */
static void named_token(uint32_t *out, const dk_tokenizer_spec *spec, const dk_json *v)
{
    const dk_json *text = dk_json_type(v) == DK_JSON_OBJECT ? dk_json_get(v, "content") : v;

    if (dk_json_str(text, NULL))
        *out = find_token(spec, dk_json_str(text, NULL), dk_json_len(text));
}

int dk_tokjson_config(dk_tokenizer_spec *spec, const dk_json *config, dk_err *err)
{
    const dk_json *t = dk_json_get(config, "chat_template");
    const char *text = dk_json_str(t, NULL);

    named_token(&spec->bos, spec, dk_json_get(config, "bos_token"));
    named_token(&spec->eos, spec, dk_json_get(config, "eos_token"));
    named_token(&spec->pad, spec, dk_json_get(config, "pad_token"));
    named_token(&spec->unk, spec, dk_json_get(config, "unk_token"));
    for (size_t i = 0; i < dk_json_len(t) && dk_json_type(t) == DK_JSON_ARRAY; i++)
        if (strcmp(dk_json_str(dk_json_get(dk_json_at(t, i), "name"), ""), "default") == 0)
            text = dk_json_str(dk_json_get(dk_json_at(t, i), "template"), NULL);
    if (!text && !is_unset(t))
        return dk_fail(err, DK_EFORMAT, "chat_template is neither a text nor a list with one "
                       "called 'default'");
    if (text)
        spec->chat_template = dk_xstrdup(text);
    return 0;
}
