/* tekken.json: tokens are bytes in base64, their order is their rank. */
#include "text/tekken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "text/vocab.h"

enum { LONGEST = 4096, MOST = 1 << 24 };

/* --- merges of a vocabulary ---------------------------------------------- */

struct pair { float score; uint32_t id, left, right; };

static int by_score(const void *va, const void *vb)
{
    const struct pair *a = va, *b = vb;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

int dk_merges_of_vocab(dk_tokenizer_spec *spec, const float *score, dk_err *err)
{
    dk_vocab v = {0};
    dk_back *none = NULL;
    struct pair *pair = NULL;
    size_t n = 0, cap = 0;
    int rc;

    spec->n_merges = 0;
    if ((rc = dk_back_new(&none, NULL, 0, err)) == 0)
        rc = dk_vocab_load(&v, spec, none, err);
    for (uint32_t id = 0; rc == 0 && id < spec->n_vocab; id++) {
        const dk_span t = spec->token[id];

        if (t.n > LONGEST)
            rc = dk_fail(err, DK_EFORMAT, "token %u has %zu bytes; at most %d", id, t.n, LONGEST);
        if (!t.s || rc < 0 || dk_vocab_symbol(&v, t.s, t.n) != id)
            continue;
        for (size_t at = 1; at < t.n; at++) {
            uint32_t left, right;

            if (((uint8_t)t.s[at] & 0xC0) == 0x80 ||
                (left = dk_vocab_symbol(&v, t.s, at)) == DK_NO_ID ||
                (right = dk_vocab_symbol(&v, t.s + at, t.n - at)) == DK_NO_ID)
                continue;
            if (n == cap) {
                cap = cap ? 2 * cap : 4096;
                pair = dk_xrealloc(pair, cap * sizeof *pair);
            }
            pair[n++] = (struct pair){ score ? score[id] : 0, id, left, right };
        }
    }
    if (rc == 0 && n)
        qsort(pair, n, sizeof *pair, by_score);
    if (rc == 0)
        rc = dk_alloc(&spec->merge, n, sizeof *spec->merge, "the merges", err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        spec->merge[i][0] = spec->token[pair[i].left];
        spec->merge[i][1] = spec->token[pair[i].right];
    }
    spec->n_merges = rc == 0 ? n : 0;
    dk_vocab_free(&v);
    dk_back_free(&none);
    dk_free(pair);
    return rc;
}

/* --- base64 -------------------------------------------------------------- */

static int sextet(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26
        : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Appends the bytes in the byte-level alphabet; false if t is no base64. */
static bool add_spelling(dk_buf *out, dk_span t, const char alphabet[256][4])
{
    uint32_t bits = 0;
    int have = 0;

    if (!t.s || t.n == 0 || t.n % 4 != 0)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        const int v = sextet(t.s[i]);

        if (v < 0)
            return t.s[i] == '=' && i + 2 >= t.n && (i + 1 == t.n || t.s[i + 1] == '=');
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            dk_buf_adds(out, alphabet[bits >> have & 0xFF]);
        }
    }
    return true;
}

static void fill_alphabet(char alphabet[256][4])
{
    for (int32_t cp = 0x21; cp <= 0x143; cp++) {
        const int byte = dk_alphabet_byte(cp);
        dk_buf b = {0};

        if (byte < 0)
            continue;
        dk_utf8_add(&b, cp);
        memcpy(alphabet[byte], b.s, b.n + 1);
        dk_buf_free(&b);
    }
}

/* --- the file ------------------------------------------------------------ */

bool dk_tekken_is(const dk_json *root)
{
    return dk_json_type(dk_json_get(root, "config")) == DK_JSON_OBJECT &&
           dk_json_type(dk_json_get(root, "vocab")) == DK_JSON_ARRAY;
}

/* What files before version 7 leave unsaid. */
static const char *const old_special[] = {
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]",
    "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"
};

/* Texts whose place in store is known before store has its last place. */
struct mark { size_t at, n; };

static void remember(struct mark *m, dk_buf *store, const char *s, size_t n)
{
    *m = (struct mark){ store->n, n };
    dk_buf_add(store, s, n);
}

static int special_tokens(struct mark *mark, size_t n_special, dk_buf *store, const dk_json *list,
                          dk_err *err)
{
    const size_t n_old = sizeof old_special / sizeof *old_special;
    const bool listed = dk_json_type(list) == DK_JSON_ARRAY;

    for (size_t i = 0; i < dk_json_len(list); i++) {
        const dk_json *v = dk_json_at(list, i), *text = dk_json_get(v, "token_str");
        const int64_t rank = dk_json_int(dk_json_get(v, "rank"), -1);

        if (rank < 0 || (uint64_t)rank >= n_special || !dk_json_str(text, NULL) ||
            dk_json_len(text) == 0 || mark[rank].n)
            return dk_fail(err, DK_EFORMAT, "special token %zu has no text, or no rank of its own "
                           "below %zu", i, n_special);
        remember(&mark[rank], store, dk_json_str(text, ""), dk_json_len(text));
    }
    for (size_t i = 0; !listed && i < n_old && i < n_special; i++)
        remember(&mark[i], store, old_special[i], strlen(old_special[i]));
    for (size_t i = 0; i < n_special; i++)
        if (!mark[i].n) {
            char name[32];

            snprintf(name, sizeof name, "<SPECIAL_%zu>", i);
            remember(&mark[i], store, name, strlen(name));
        }
    return 0;
}

static int tokens(struct mark *mark, size_t n, dk_buf *store, const dk_json *vocab, dk_err *err)
{
    char alphabet[256][4] = {0};

    fill_alphabet(alphabet);
    for (size_t i = 0; i < n; i++) {
        const dk_json *v = dk_json_at(vocab, i), *text = dk_json_get(v, "token_bytes");
        const size_t at = store->n;

        if (dk_json_int(dk_json_get(v, "rank"), -1) != (int64_t)i)
            return dk_fail(err, DK_EFORMAT, "token %zu does not have rank %zu", i, i);
        if (!add_spelling(store, (dk_span){ dk_json_str(text, NULL), dk_json_len(text) },
                          (const char (*)[4])alphabet) || store->n == at)
            return dk_fail(err, DK_EFORMAT, "token_bytes of token %zu is no base64", i);
        mark[i] = (struct mark){ at, store->n - at };
    }
    return 0;
}

static uint32_t special_id(const dk_tokenizer_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].text.n == strlen(name) &&
            memcmp(spec->added[i].text.s, name, spec->added[i].text.n) == 0)
            return spec->added[i].id;
    return DK_NO_ID;
}

static int expression(dk_tokenizer_spec *spec, const dk_json *v, dk_err *err)
{
    const char *text = dk_json_str(v, NULL);
    dk_pretok kind = DK_PRETOK_TEKKEN;

    if (!text || !*text)
        return dk_fail(err, DK_EFORMAT, "config has no 'pattern'");
    if (dk_pretok_from_regex(&kind, &text, 1)) {
        dk_tokenizer_spec_scan(spec, kind);
        return 0;
    }
    dk_tokenizer_spec_scan(spec, DK_PRETOK_TEKKEN);
    spec->cut[0] = (dk_cut_step){ .kind = DK_CUT_REGEX, .text = { text, dk_json_len(v) } };
    return 0;
}

static int build(dk_tokenizer_spec *spec, dk_buf *store, size_t n_special, const struct mark *mark,
                 dk_err *err)
{
    int rc;

    if ((rc = dk_alloc(&spec->token, spec->n_vocab, sizeof *spec->token, "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&spec->added, n_special, sizeof *spec->added, "special tokens", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_vocab; i++)
        spec->token[i] = (dk_span){ store->s + mark[i].at, mark[i].n };
    spec->n_added = n_special;
    for (size_t i = 0; i < n_special; i++)
        spec->added[i] = (dk_added){ .id = (uint32_t)i, .text = spec->token[i], .special = true,
                                     .outside = true };
    spec->ignore_merges = spec->rank_is_id = true;
    spec->bos = spec->prefix = special_id(spec, "<s>");
    spec->eos = special_id(spec, "</s>");
    spec->unk = special_id(spec, "<unk>");
    spec->pad = special_id(spec, "<pad>");
    return dk_merges_of_vocab(spec, NULL, err);
}

int dk_tekken_read(dk_tokenizer_spec *spec, dk_buf *store, const dk_json *root, dk_err *err)
{
    const dk_json *config = dk_json_get(root, "config"), *vocab = dk_json_get(root, "vocab");
    const int64_t n_special = dk_json_int(dk_json_get(config, "default_num_special_tokens"), 1000);
    const int64_t n_vocab = dk_json_int(dk_json_get(config, "default_vocab_size"), 131072);
    struct mark *mark = NULL;
    int rc;

    if (n_special < 0 || n_vocab > MOST || n_special > n_vocab ||
        (uint64_t)(n_vocab - n_special) > dk_json_len(vocab))
        return dk_fail(err, DK_EFORMAT, "a vocabulary of %lld tokens, %lld of them special, from a "
                       "list of %zu", (long long)n_vocab, (long long)n_special, dk_json_len(vocab));
    spec->n_vocab = (size_t)n_vocab;
    if ((rc = expression(spec, dk_json_get(config, "pattern"), err)) < 0 ||
        (rc = dk_alloc(&mark, spec->n_vocab, sizeof *mark, "the vocabulary", err)) < 0)
        return rc;
    dk_buf_adds(store, "");
    rc = special_tokens(mark, (size_t)n_special, store, dk_json_get(root, "special_tokens"), err);
    if (rc == 0)
        rc = tokens(mark + n_special, (size_t)(n_vocab - n_special), store, vocab, err);
    if (rc == 0)
        rc = build(spec, store, (size_t)n_special, mark, err);
    dk_free(mark);
    return rc;
}
