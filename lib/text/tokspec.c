/* Descriptions of tokenizers: their empty state, and their steps in words. */
#include "text/tokspec.h"

void dk_tokenizer_spec_init(dk_tokenizer_spec *spec)
{
    *spec = (dk_tokenizer_spec){ .model_unk = DK_NO_ID, .bos = DK_NO_ID, .eos = DK_NO_ID,
                                 .pad = DK_NO_ID, .unk = DK_NO_ID, .prefix = DK_NO_ID,
                                 .suffix = DK_NO_ID };
}

void dk_tokenizer_spec_free(dk_tokenizer_spec *spec)
{
    dk_free(spec->token);
    dk_free(spec->merge);
    dk_free(spec->added);
    dk_free(spec->chat_template);
    dk_free(spec->file);
    dk_free(spec->template_from);
    dk_tokenizer_spec_init(spec);
}

void dk_tokenizer_spec_scan(dk_tokenizer_spec *spec, dk_pretok kind)
{
    spec->byte_level = true;
    spec->n_cut = spec->n_back = 1;
    spec->cut[0] = (dk_cut_step){ .kind = DK_CUT_SCAN, .scan = kind };
    spec->back[0] = (dk_back_step){ .kind = DK_BACK_BYTE_LEVEL };
}

/* Lengths stand before texts, so that no text can look like another step; it is
 * one line. */
static void add_text(dk_buf *out, dk_span t)
{
    dk_buf_addf(out, " %zu:", t.n);
    for (size_t i = 0; i < t.n; i++)
        if ((uint8_t)t.s[i] < 0x20)
            dk_buf_addf(out, "\\x%02x", (unsigned)t.s[i]);
        else
            dk_buf_addc(out, t.s[i]);
}

static void describe_norm(dk_buf *out, const dk_norm_step *n)
{
    static const char *const names[] = {
        [DK_NORMALIZE_NFC] = "NFC", [DK_NORMALIZE_NFD] = "NFD", [DK_NORMALIZE_NFKC] = "NFKC",
        [DK_NORMALIZE_NFKD] = "NFKD", [DK_NORMALIZE_LOWER] = "Lowercase", [DK_NORMALIZE_STRIP] = "Strip",
        [DK_NORMALIZE_PREPEND] = "Prepend",
        [DK_NORMALIZE_REPLACE] = "Replace"
    };

    dk_buf_adds(out, names[n->kind]);
    if (n->kind == DK_NORMALIZE_STRIP)
        dk_buf_addf(out, " %d %d", n->left, n->right);
    if (n->kind == DK_NORMALIZE_REPLACE) {
        dk_buf_adds(out, n->regex ? " regex" : "");
        add_text(out, n->from);
    }
    if (n->kind == DK_NORMALIZE_REPLACE || n->kind == DK_NORMALIZE_PREPEND)
        add_text(out, n->to);
}

static void describe_cut(dk_buf *out, const dk_cut_step *c)
{
    static const char *const names[] = {
        [DK_CUT_SCAN] = "", [DK_CUT_REGEX] = "Split regex", [DK_CUT_TEXT] = "Split",
        [DK_CUT_DIGITS] = "Digits", [DK_CUT_SPACES] = "WhitespaceSplit",
        [DK_CUT_METASPACE] = "Metaspace", [DK_CUT_PREFIX] = "prefix"
    };

    dk_buf_adds(out, c->kind == DK_CUT_SCAN ? dk_pretok_name(c->scan) : names[c->kind]);
    if (c->kind == DK_CUT_REGEX || c->kind == DK_CUT_TEXT || c->kind == DK_CUT_METASPACE)
        add_text(out, c->text);
    if (c->kind == DK_CUT_REGEX || c->kind == DK_CUT_TEXT || c->kind == DK_CUT_DIGITS)
        dk_buf_addf(out, " %d%s", (int)c->behavior, c->invert ? " inverted" : "");
    if (c->kind == DK_CUT_METASPACE)
        dk_buf_addf(out, " %d%s", (int)c->scheme, c->split ? " split" : "");
}

void dk_tokenizer_spec_describe(const dk_tokenizer_spec *spec, dk_buf *out)
{
    dk_buf_adds(out, "");
    for (size_t i = 0; i < spec->n_norm; i++) {
        describe_norm(out, &spec->norm[i]);
        dk_buf_adds(out, ", ");
    }
    for (size_t i = 0; i < spec->n_cut; i++) {
        describe_cut(out, &spec->cut[i]);
        dk_buf_adds(out, ", ");
    }
    dk_buf_adds(out, spec->byte_level ? "bytes" : spec->byte_fallback ? "characters or bytes"
                : "characters");
}
