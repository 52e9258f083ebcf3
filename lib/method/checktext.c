/* Checks of what texts become: T1 .. T4. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/gguf.h"
#include "io/json.h"
#include "method/checkrun.h"
#include "text/chat.h"
#include "text/tokload.h"

static bool no_tokenizer(const dk_check *c, dk_check_row *row)
{
    if (c->tokenizer)
        return false;
    dk_check_say(row, DK_CHECK_SKIP, "%s", c->tokenizer_refused ? "the tokenizer cannot be used, see T1"
                                                                : "the base ships no tokenizer");
    return true;
}

/* --- a fixed chat -------------------------------------------------------------------- */
#define TEXT(s) { s, sizeof s - 1 }
static const dk_turn chat_turns[] = {
    { TEXT("user"), TEXT("What is the capital of France?"), NULL },
    { TEXT("assistant"), TEXT("Paris."), NULL },
    { TEXT("user"), TEXT("And how far is it from there to Rome?"), NULL },
    { TEXT("assistant"), TEXT("About 1100 kilometres."), NULL },
};
enum { PROMPT_TURNS = 3, ALL_TURNS = 4 };

/* --- T1 ------------------------------------------------------------------------------ */
static size_t leading(const dk_ids *ids, uint32_t id)
{
    size_t n = 0;

    while (n < ids->n && ids->id[n] == id)
        n++;
    return n;
}

/* What the files say of a BOS before a text: 1, 0, or -1 where they are silent. */
static int promise(const char *base)
{
    char *path = dk_xasprintf("%s/tokenizer_config.json", base);
    const dk_json *v;
    dk_gguf *gguf = NULL;
    dk_json *config = NULL;
    int says = -1;

    if (dk_gguf_is(base) && dk_gguf_open(&gguf, base, NULL) == 0) {
        if (dk_gguf_get(gguf, "tokenizer.ggml.add_bos_token"))
            says = dk_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", false);
    } else if (access(path, R_OK) == 0 && dk_json_load(&config, path, NULL) == 0) {
        v = dk_json_get(config, "add_bos_token");
        if (dk_json_type(v) == DK_JSON_BOOL)
            says = dk_json_bool(v, false);
    }
    dk_gguf_close(&gguf);
    dk_json_free(&config);
    dk_free(path);
    return says;
}

/* Leading BOS of a rendered chat, as ids.  A template that cannot be rendered is T2's affair. */
static int chat_leading(dk_check *c, size_t *n, dk_err *err)
{
    const dk_tokenizer_info *info = dk_tokenizer_about(c->tokenizer);
    dk_rendering r = {0};
    dk_chat *chat = NULL;
    dk_ids ids = {0};
    int rc = 0;

    *n = 0;
    if (info->bos == DK_NO_ID || !info->chat_template)
        return 0;
    if (dk_chat_open(&chat, c->tokenizer, NULL, NULL) == 0 &&
        dk_chat_render(chat, &r, chat_turns, PROMPT_TURNS, DK_CHAT_OPEN, NULL) == 0)
        rc = dk_chat_encode(c->tokenizer, &r, DK_ENCODE_WRAP, &ids, NULL, err);
    *n = leading(&ids, info->bos);
    dk_free(ids.id);
    dk_rendering_free(&r);
    dk_chat_close(&chat);
    return rc;
}

int dk_check_t1(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_tokenizer_info *info = c->tokenizer ? dk_tokenizer_about(c->tokenizer) : NULL;
    const int says = promise(c->spec->pair.base);
    size_t in_text, in_chat = 0, want;
    dk_ids ids = {0};
    int rc;

    (void)lane;
    if (!info && c->tokenizer_refused) {
        dk_check_say(row, DK_CHECK_FAIL, "%s", c->tokenizer_refused);
        return 0;
    }
    if (no_tokenizer(c, row))
        return 0;
    want = says >= 0 ? (size_t)says : info->bos != DK_NO_ID && info->prefix == info->bos;
    rc = dk_tokenizer_encode(c->tokenizer, dk_probe_text[0], strlen(dk_probe_text[0]), DK_ENCODE_WRAP,
                             &ids, NULL, err);
    if (rc == 0)
        rc = chat_leading(c, &in_chat, err);
    in_text = info->bos == DK_NO_ID ? 0 : leading(&ids, info->bos);
    dk_free(ids.id);
    row->value = (double)(in_text != want || in_chat < 2 ? in_text : in_chat);
    row->limit = in_text != want || in_chat < 2 ? (double)want : 1;
    if (in_text != want)
        dk_check_say(row, DK_CHECK_FAIL, "texts begin with %zu BOS, but the tokenizer's configuration "
                     "promises %zu", in_text, want);
    else if (in_chat > 1)
        dk_check_say(row, DK_CHECK_FAIL, "chats begin with %zu BOS: the template writes it more than once",
                     in_chat);
    else
        dk_check_say(row, DK_CHECK_PASS, "%zu BOS before a text, %zu before a chat", in_text, in_chat);
    return rc;
}

/* --- T2 ------------------------------------------------------------------------------ */
static size_t first_difference(const dk_buf *x, const dk_buf *y)
{
    size_t i = 0;

    while (i < x->n && i < y->n && x->s[i] == y->s[i])
        i++;
    return i;
}

int dk_check_t2(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    dk_rendering prompt = {0}, whole = {0};
    dk_chat *chat = NULL;
    dk_err why = {0};
    char hex[65];
    int rc;

    (void)lane;
    (void)err;
    if (no_tokenizer(c, row))
        return 0;
    if (!dk_tokenizer_about(c->tokenizer)->chat_template) {
        dk_check_say(row, DK_CHECK_SKIP, "the base has no chat template");
        return 0;
    }
    rc = dk_chat_open(&chat, c->tokenizer, NULL, &why);
    if (rc == 0)
        rc = dk_chat_render(chat, &prompt, chat_turns, PROMPT_TURNS, DK_CHAT_OPEN, &why);
    if (rc == 0)
        rc = dk_chat_render(chat, &whole, chat_turns, ALL_TURNS, DK_CHAT_CLOSED, &why);
    if (rc < 0) {
        dk_check_say(row, DK_CHECK_WARN, "%s", why.msg);
        rc = 0;
    } else {
        const size_t same = first_difference(&prompt.text, &whole.text);

        dk_sha256_mem(whole.text.s, whole.text.n, hex);
        row->value = (double)(prompt.text.n - same);
        row->limit = 0;
        if (same < prompt.text.n)
            dk_check_say(row, DK_CHECK_WARN, "the prompt for an answer and the chat with the answer differ "
                         "from byte %zu on ('%.20s'); sha256 %s", same, prompt.text.s + same, hex);
        else
            dk_check_say(row, DK_CHECK_PASS, "a chat of %d turns renders to sha256 %s", ALL_TURNS, hex);
    }
    dk_rendering_free(&prompt);
    dk_rendering_free(&whole);
    dk_chat_close(&chat);
    return rc;
}

/* --- T3 ------------------------------------------------------------------------------ */
struct differences {
    size_t n, hard;         /* hard: those that change ids */
    dk_buf text;            /* the first few, in words */
};

__attribute__((format(printf, 3, 4)))
static void differ(struct differences *d, bool hard, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->n++;
    d->hard += hard;
    dk_buf_addf(&d->text, "%s%s", d->text.n ? "; " : "", text);
}

static bool same_span(dk_span x, dk_span y)
{
    return x.n == y.n && (x.n == 0 || memcmp(x.s, y.s, x.n) == 0);
}

static dk_span token_at(const dk_tokenizer_spec *s, size_t i)
{
    return i < s->n_vocab ? s->token[i] : (dk_span){ NULL, 0 };
}

static const char *quoted(char out[64], dk_span s)
{
    if (!s.s)
        return "no token";
    snprintf(out, 64, "'%.*s'%s", (int)(s.n < 50 ? s.n : 50), s.s, s.n < 50 ? "" : "...");
    return out;
}

static void compare_vocabulary(struct differences *d, const dk_tokenizer_spec *base,
                               const dk_tokenizer_spec *own)
{
    const size_t most = base->n_vocab > own->n_vocab ? base->n_vocab : own->n_vocab;
    size_t bad = 0, at = 0;
    char x[64], y[64];

    for (size_t i = most; i-- > 0;)
        if (!same_span(token_at(base, i), token_at(own, i))) {
            bad++;
            at = i;
        }
    if (bad)
        differ(d, true, "vocabulary: %zu ids differ, first %zu, %s in the base and %s in the finetune", bad,
               at, quoted(x, token_at(base, at)), quoted(y, token_at(own, at)));
}

static void compare_merges(struct differences *d, const dk_tokenizer_spec *base,
                           const dk_tokenizer_spec *own)
{
    size_t i = 0;

    while (i < base->n_merges && i < own->n_merges && same_span(base->merge[i][0], own->merge[i][0]) &&
           same_span(base->merge[i][1], own->merge[i][1]))
        i++;
    if (i < base->n_merges || i < own->n_merges)
        differ(d, true, "merges: %zu in the base, %zu in the finetune, different from number %zu on",
               base->n_merges, own->n_merges, i);
}

/* 0 no added token, 1 added, 2 special. */
static uint8_t *added_kinds(const dk_tokenizer_spec *s, size_t n)
{
    uint8_t *kind = dk_xcalloc(n + 1, 1);

    for (size_t i = 0; i < s->n_added; i++)
        if (s->added[i].id < n)
            kind[s->added[i].id] = s->added[i].special ? 2 : 1;
    return kind;
}

static void compare_added(struct differences *d, const dk_tokenizer_spec *base,
                          const dk_tokenizer_spec *own)
{
    const size_t most = base->n_vocab < own->n_vocab ? base->n_vocab : own->n_vocab;
    uint8_t *x = added_kinds(base, most), *y = added_kinds(own, most);
    size_t bad = 0, at = 0;
    char name[64];

    for (size_t i = most; i-- > 0;)
        if (x[i] != y[i]) {
            bad++;
            at = i;
        }
    if (bad)
        differ(d, true, "added tokens: %zu are of another kind, first id %zu, %s", bad, at,
               quoted(name, token_at(own, at)));
    dk_free(x);
    dk_free(y);
}

static void compare_id(struct differences *d, bool hard, const char *what, uint32_t base, uint32_t own)
{
    char x[16] = "none", y[16] = "none";

    if (base == own)
        return;
    if (base != DK_NO_ID)
        snprintf(x, sizeof x, "%u", base);
    if (own != DK_NO_ID)
        snprintf(y, sizeof y, "%u", own);
    differ(d, hard, "%s: id %s in the base, %s in the finetune", what, x, y);
}

static void compare_steps(struct differences *d, const dk_tokenizer_spec *base,
                          const dk_tokenizer_spec *own)
{
    dk_buf x = {0}, y = {0};

    dk_tokenizer_spec_describe(base, &x);
    dk_tokenizer_spec_describe(own, &y);
    if (x.n != y.n || memcmp(x.s, y.s, x.n) != 0)
        differ(d, true, "pre-tokenizer: %.150s in the base, %.150s in the finetune",
               x.s, y.s);
    dk_buf_free(&x);
    dk_buf_free(&y);
}

static void compare(struct differences *d, const dk_tokenizer_spec *base, const dk_tokenizer_spec *own)
{
    const char *x = base->chat_template, *y = own->chat_template;

    compare_vocabulary(d, base, own);
    compare_merges(d, base, own);
    compare_added(d, base, own);
    compare_steps(d, base, own);
    if (base->ignore_merges != own->ignore_merges)
        differ(d, true, "ignore_merges differs");
    compare_id(d, true, "BOS", base->bos, own->bos);
    compare_id(d, true, "EOS", base->eos, own->eos);
    compare_id(d, true, "UNK", base->unk, own->unk);
    compare_id(d, true, "token before a text", base->prefix, own->prefix);
    compare_id(d, true, "token after a text", base->suffix, own->suffix);
    compare_id(d, false, "PAD", base->pad, own->pad);       /* nothing is padded here */
    if (x && y && strcmp(x, y) != 0)
        differ(d, false, "the chat templates differ; the base's is used");
    else if (y && !x)
        differ(d, false, "only the finetune has a chat template");
}

static void beyond_rows(struct differences *d, size_t n_vocab, size_t rows)
{
    if (n_vocab > rows)
        differ(d, true, "the tokenizer has %zu ids, but the model has %zu embedding rows", n_vocab, rows);
}

static int read_both(struct differences *d, const dk_check *c, const char *path, dk_err *err)
{
    dk_tokenizer_spec base, own;
    void *base_source = NULL, *own_source = NULL;
    dk_err why = {0};
    int rc;

    dk_tokenizer_spec_init(&base);
    dk_tokenizer_spec_init(&own);
    rc = dk_tokload(&base, &base_source, c->spec->pair.base, err);
    if (rc == 0 && dk_tokload(&own, &own_source, path, &why) < 0) {
        if (why.code == DK_EIO || why.code == DK_ENOMEM)
            rc = dk_fail(err, why.code, "%s", why.msg);
        else
            differ(d, true, "%s", why.msg);
    } else if (rc == 0) {
        compare(d, &base, &own);
        beyond_rows(d, own.n_vocab, c->config.vocab);
    }
    dk_tokenizer_spec_free(&base);
    dk_tokenizer_spec_free(&own);
    dk_tokload_release(&base_source);
    dk_tokload_release(&own_source);
    return rc;
}

static char *tokenizer_beside(const char *finetune)
{
    return dk_gguf_is(finetune) ? dk_xstrdup(finetune) : dk_xasprintf("%s/tokenizer.json", finetune);
}

int dk_check_t3(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    struct differences d = {0};
    char *path = lane ? tokenizer_beside(c->pair.path[lane]) : NULL;
    int rc = 0;

    if (no_tokenizer(c, row)) {
        dk_free(path);
        return 0;
    }
    if (!lane)
        beyond_rows(&d, dk_tokenizer_about(c->tokenizer)->n_vocab, c->config.vocab);
    else if (access(path, F_OK) == 0)
        rc = read_both(&d, c, path, err);
    row->value = (double)d.n;
    row->limit = 0;
    if (lane && access(path, F_OK) != 0) {
        row->value = row->limit = (double)NAN;
        dk_check_say(row, DK_CHECK_SKIP, "the finetune ships no tokenizer: the base's is used");
    } else if (d.n) {
        dk_check_say(row, d.hard ? DK_CHECK_FAIL : DK_CHECK_WARN, "%s", d.text.s);
    } else if (lane) {
        dk_check_say(row, DK_CHECK_PASS, "the same vocabulary, merges and special ids");
    } else {
        dk_check_say(row, DK_CHECK_PASS, "%zu ids, %zu embedding rows",
                     dk_tokenizer_about(c->tokenizer)->n_vocab, c->config.vocab);
    }
    dk_buf_free(&d.text);
    dk_free(path);
    return rc;
}

/* --- T4 ------------------------------------------------------------------------------ */
static const char many_tongues[] =
    "Ça coûte déjà 12,50 € à Zürich, naïve œuvre. Größe: ½ Å.\n"
    "Привет, мир! Ελληνικά: καλημέρα.\n\n"
    "你好,世界。日本語のテキスト。한국어 문장.\n"
    "שלום עולם; مرحبا بالعالم; नमस्ते दुनिया; ภาษาไทย\n"
    "\tTabs,  two spaces, 1234567 and \"quotes\" \xf0\x9f\x99\x82\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd.";

int dk_check_t4(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    dk_buf want = {0}, back = {0};
    dk_ids ids = {0};
    int rc;

    (void)lane;
    if (no_tokenizer(c, row))
        return 0;
    dk_buf_adds(&want, many_tongues);
    rc = dk_tokenizer_encode(c->tokenizer, want.s, want.n, DK_ENCODE_NO_SPECIAL, &ids, NULL, err);
    if (rc == 0) {
        dk_tokenizer_decode(c->tokenizer, ids.id, ids.n, false, &back);
        row->value = (double)(want.n - first_difference(&want, &back));
        row->limit = 0;
        if (want.n == back.n && row->value == 0)
            dk_check_say(row, DK_CHECK_PASS, "%zu bytes of eleven scripts, %zu tokens, the same bytes again",
                         want.n, ids.n);
        else
            dk_check_say(row, DK_CHECK_FAIL, "decoding what was encoded gives another text, from byte %zu of "
                         "%zu on", first_difference(&want, &back), want.n);
    }
    dk_buf_free(&want);
    dk_buf_free(&back);
    dk_free(ids.id);
    return rc;
}
