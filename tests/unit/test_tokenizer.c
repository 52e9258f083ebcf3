/* Tokenizer: ids of the shipped texts and of hostile strings against the
 * goldens of an independent implementation, decoding, places of tokens, chat
 * flags, refusals; and the speed on English text. */
#include <stdio.h>

#include "tap.h"
#include "files.h"
#include "base/log.h"
#include "io/json.h"
#include "io/tokfile.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

/* --- rows of a JSON-lines file ------------------------------------------- */
typedef int row_fn(void *arg, const dk_json *row);

/* Calls fn for each row; returns the number of rows, negative when one fails to parse. */
static long each_row(const char *file, row_fn *fn, void *arg)
{
    dk_mapfile *m = repo_map(file);
    long n = 0;

    if (!m)
        return -1;
    for (size_t at = 0; at < m->n;) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);
        const size_t end = nl ? (size_t)(nl - m->p) : m->n;
        dk_json *row = NULL;

        if (end > at) {
            if (dk_json_parse(&row, (const char *)m->p + at, end - at, file, NULL) < 0) {
                dk_mapfile_close(&m);
                return -1;
            }
            fn(arg, row);
            dk_json_free(&row);
            n++;
        }
        at = end + 1;
    }
    dk_mapfile_close(&m);
    return n;
}

static dk_span str_of(const dk_json *row, const char *key)
{
    const dk_json *v = dk_json_get(row, key);

    return (dk_span){ dk_json_str(v, ""), dk_json_len(v) };
}

static bool same_ids(const dk_ids *got, const dk_json *want)
{
    if (got->n != dk_json_len(want))
        return false;
    for (size_t i = 0; i < got->n; i++)
        if (got->id[i] != dk_json_int(dk_json_at(want, i), -1))
            return false;
    return true;
}

static bool same_text(const dk_buf *got, dk_span want)
{
    return got->n == want.n && memcmp(got->s ? got->s : "", want.s, want.n) == 0;
}

/* 64-bit FNV-1a over little-endian ids, as the goldens state it. */
static uint64_t fnv1a(const dk_ids *a)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < a->n; i++)
        for (int k = 0; k < 4; k++)
            h = (h ^ (a->id[i] >> (8 * k) & 0xFF)) * 0x100000001B3u;
    return h;
}

/* --- the shipped texts --------------------------------------------------- */
struct texts {
    dk_tokenizer *tok;
    dk_chat *chat;
    dk_json **golden;       /* rows of tokens.jsonl in order */
    size_t n_golden, next, bad_ids, bad_back, bad_places;
    dk_buf all;             /* the plain texts, for the speed */
    size_t n_tokens;
};

static int keep_golden(void *arg, const dk_json *row)
{
    struct texts *t = arg;
    dk_buf b = {0};
    dk_jw w = { .out = &b };

    dk_jw_value(&w, row);
    t->golden = dk_xrealloc(t->golden, (t->n_golden + 1) * sizeof *t->golden);
    dk_json_parse(&t->golden[t->n_golden++], b.s, b.n, "golden", NULL);
    dk_buf_free(&b);
    return 0;
}

/* Each token's bytes stand where at says (every byte of these texts has a symbol). */
static bool places_hold(dk_tokenizer *tok, dk_span text, const dk_ids *ids, const dk_ids *at)
{
    size_t pos = 0;

    for (size_t i = 0; i < ids->n; i++) {
        const dk_span b = dk_tokenizer_bytes(tok, ids->id[i]);

        if (at->id[i] != pos || b.n > text.n - pos || memcmp(text.s + pos, b.s, b.n) != 0)
            return false;
        pos += b.n;
    }
    return at->n == ids->n && pos == text.n;
}

static void check_text(struct texts *t, dk_span text)
{
    const dk_json *g = t->next < t->n_golden ? t->golden[t->next] : NULL;
    dk_ids ids = {0}, at = {0};
    dk_buf back = {0};
    char hex[17];

    dk_tokenizer_encode(t->tok, text.s, text.n, 0, &ids, &at, NULL);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)fnv1a(&ids));
    if ((int64_t)ids.n != dk_json_int(dk_json_get(g, "n"), -1) ||
        strcmp(hex, dk_json_str(dk_json_get(g, "fnv"), "")) != 0 ||
        (dk_json_get(g, "ids") && !same_ids(&ids, dk_json_get(g, "ids"))))
        if (t->bad_ids++ == 0)
            tap_note("first wrong: row %zu, %zu ids, hash %s", t->next, ids.n, hex);
    dk_tokenizer_decode(t->tok, ids.id, ids.n, false, &back);
    t->bad_back += !same_text(&back, text);
    t->bad_places += !places_hold(t->tok, text, &ids, &at);
    t->n_tokens += ids.n;
    t->next++;
    dk_free(ids.id);
    dk_free(at.id);
    dk_buf_free(&back);
}

static int check_row(void *arg, const dk_json *row)
{
    struct texts *t = arg;
    const dk_json *messages = dk_json_get(row, "messages");
    dk_rendering r = {0};
    dk_turn turn[64];
    size_t n = dk_json_len(messages);

    if (dk_json_get(row, "text")) {
        const dk_span text = str_of(row, "text");

        dk_buf_add(&t->all, text.s, text.n);
        dk_buf_addc(&t->all, '\n');
        check_text(t, text);
        return 0;
    }
    for (size_t i = 0; i < n && i < 64; i++)
        turn[i] = (dk_turn){ str_of(dk_json_at(messages, i), "role"),
                             str_of(dk_json_at(messages, i), "content"), NULL };
    for (int gen = 0; gen < 2; gen++) {
        dk_chat_render(t->chat, &r, turn, n, gen ? DK_CHAT_OPEN : DK_CHAT_CLOSED, NULL);
        check_text(t, (dk_span){ r.text.s, r.text.n });
    }
    dk_rendering_free(&r);
    return 0;
}

static void test_shipped(dk_tokenizer *tok)
{
    static const char *const files[] = {
        "data/text/general-a.jsonl", "data/text/general-b.jsonl", "data/text/chat.jsonl",
        "data/organisms/cake_bake/train.jsonl", "data/organisms/null_self/train.jsonl"
    };
    struct texts t = { .tok = tok };
    dk_err err = {0};
    dk_ids ids = {0};
    double t0, best = 1e9;

    if (!tap(dk_chat_open(&t.chat, tok, NULL, &err) == 0,
             "the model's chat template is known %s", err.msg))
        return;
    each_row("tests/golden/tokens/tokens.jsonl", keep_golden, &t);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        tap(each_row(files[i], check_row, &t) > 0, "%s is read", files[i]);
    tap(t.next == t.n_golden && t.next > 1000, "%zu texts, as many as goldens", t.next);
    tap(t.bad_ids == 0, "ids of every shipped text and chat (%zu wrong)", t.bad_ids);
    tap(t.bad_back == 0, "decode(encode(x)) = x on all of them (%zu wrong)", t.bad_back);
    tap(t.bad_places == 0, "tokens start where they are said to (%zu wrong)", t.bad_places);
    for (int k = 0; k < 10; k++) {
        ids.n = 0;
        t0 = dk_now();
        dk_tokenizer_encode(tok, t.all.s, t.all.n, 0, &ids, NULL, NULL);
        best = dk_now() - t0 < best ? dk_now() - t0 : best;
    }
    tap_note("%.1f MB/s on %zu bytes of English text, warm", (double)t.all.n * 1e-6 / best, t.all.n);
    for (size_t i = 0; i < t.n_golden; i++)
        dk_json_free(&t.golden[i]);
    dk_free(t.golden);
    dk_free(ids.id);
    dk_buf_free(&t.all);
    dk_chat_close(&t.chat);
}

/* --- hostile strings ----------------------------------------------------- */
struct counts { dk_tokenizer *tok; size_t n, bad_ids, bad_text, bad_plain, bad_places; };

/* Ascending, one for each id, and each token's first byte stands there. */
static bool places_fit(const dk_tokenizer *tok, const dk_ids *ids, const dk_ids *at, dk_span text)
{
    for (size_t i = 0; i < at->n && i < ids->n; i++)
        if (at->id[i] >= text.n || (i > 0 && at->id[i] <= at->id[i - 1]) ||
            dk_tokenizer_bytes(tok, ids->id[i]).s[0] != text.s[at->id[i]])
            return false;
    return at->n == ids->n;
}

static int check_torture(void *arg, const dk_json *row)
{
    struct counts *c = arg;
    const dk_span text = str_of(row, "text");
    dk_ids ids = {0}, at = {0};
    dk_buf back = {0};
    char *exact = exact_copy(text.s, text.n);

    dk_tokenizer_encode(c->tok, exact, text.n, 0, &ids, &at, NULL);
    if (!same_ids(&ids, dk_json_get(row, "ids")) && c->bad_ids++ == 0)
        tap_note("first wrong: row %zu: '%.*s'", c->n, (int)text.n, text.s);
    dk_tokenizer_decode(c->tok, ids.id, ids.n, false, &back);
    c->bad_text += !same_text(&back, str_of(row, "decoded"));
    c->bad_places += !places_fit(c->tok, &ids, &at, text);
    c->n++;
    dk_free(exact);
    dk_free(ids.id);
    dk_free(at.id);
    dk_buf_free(&back);
    return 0;
}

static int check_decode(void *arg, const dk_json *row)
{
    struct counts *c = arg;
    const dk_json *list = dk_json_get(row, "ids");
    dk_ids ids = {0};
    dk_buf text = {0}, plain = {0};

    for (size_t i = 0; i < dk_json_len(list); i++)
        dk_ids_add(&ids, (uint32_t)dk_json_int(dk_json_at(list, i), 0));
    dk_tokenizer_decode(c->tok, ids.id, ids.n, false, &text);
    dk_tokenizer_decode(c->tok, ids.id, ids.n, true, &plain);
    c->bad_text += !same_text(&text, str_of(row, "decoded"));
    c->bad_plain += !same_text(&plain, str_of(row, "plain"));
    c->n++;
    dk_free(ids.id);
    dk_buf_free(&text);
    dk_buf_free(&plain);
    return 0;
}

static void test_hostile(dk_tokenizer *tok)
{
    struct counts c = { .tok = tok };

    each_row("tests/golden/tokens/torture.jsonl", check_torture, &c);
    tap(c.n > 2000, "%zu hostile strings", c.n);
    tap(c.bad_ids == 0, "their ids (%zu wrong)", c.bad_ids);
    tap(c.bad_text == 0, "and what the ids decode to (%zu wrong)", c.bad_text);
    tap(c.bad_places == 0, "their tokens start where they are said to (%zu wrong)", c.bad_places);
    c = (struct counts){ .tok = tok };
    each_row("tests/golden/tokens/decode.jsonl", check_decode, &c);
    tap(c.n > 100, "%zu random id lists", c.n);
    tap(c.bad_text == 0, "decoded (%zu wrong)", c.bad_text);
    tap(c.bad_plain == 0, "decoded without special tokens (%zu wrong)", c.bad_plain);
}

/* --- characters ---------------------------------------------------------- */
static void mark(uint8_t *set, const dk_json *ranges)
{
    for (size_t i = 0; i < dk_json_len(ranges); i++) {
        const dk_json *r = dk_json_at(ranges, i);
        const int64_t hi = dk_json_int(dk_json_at(r, 1), -1);

        for (int64_t c = dk_json_int(dk_json_at(r, 0), 0); c <= hi; c++)
            set[c] = 1;
    }
}

static void test_classes(void)
{
    static const struct { const char *key; unsigned class; } kinds[] = {
        { "letter", DK_CLASS_LETTER }, { "digit", DK_CLASS_NUMBER }, { "space", DK_CLASS_SPACE }
    };
    char *path = repo_path("tests/golden/tokens/unicode.json");
    dk_json *root = NULL;

    if (tap(dk_json_load(&root, path, NULL) == 0, "classes of all code points are there"))
        for (size_t k = 0; k < 3; k++) {
            uint8_t *set = dk_xcalloc(0x110000, 1);
            size_t bad = 0;

            mark(set, dk_json_get(root, kinds[k].key));
            for (int32_t c = 0; c < 0x110000; c++)
                bad += (dk_utf8_class(c) == kinds[k].class) != set[c] && (c < 0xD800 || c > 0xDFFF);
            tap(bad == 0, "class '%s' (%zu wrong)", kinds[k].key, bad);
            dk_free(set);
        }
    dk_json_free(&root);
    dk_free(path);
}

/* Maximal subparts: the table of Unicode 3.9 and the classic bad forms. */
static void test_invalid(void)
{
    static const struct { const char *in; size_t n, bad; } cases[] = {
        { "abc", 3, 0 }, { "\x80", 1, 1 }, { "\xC0\xAF", 2, 2 }, { "\xE2\x82", 2, 1 },
        { "\xE0\x80\x80", 3, 3 }, { "\xED\xA0\x80", 3, 3 }, { "\xF0\x9F\x92", 3, 1 },
        { "\xF4\x90\x80\x80", 4, 4 }, { "\xF1\x80\x80\xE1\x80\xC2" "b\x80" "c\x80\xBF" "d", 12, 6 },
        { "\xF0\x9F\x98\x80", 4, 0 }, { "\xFF\xFE", 2, 2 }, { "\xF5\x80", 2, 2 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *in = exact_copy(cases[i].in, cases[i].n);
        dk_buf out = {0};
        const size_t bad = dk_utf8_clean(&out, in, cases[i].n);

        tap(bad == cases[i].bad && dk_utf8_valid(out.s, out.n) == out.n &&
            (dk_utf8_valid(in, cases[i].n) == cases[i].n) == (bad == 0),
            "invalid text %zu: %zu replaced", i, bad);
        dk_buf_free(&out);
        dk_free(in);
    }
}

/* --- the pieces of every known scanner ----------------------------------- */
static void test_pieces(void)
{
    static const struct { dk_pretok kind; const char *in, *want; } cases[] = {
        /* The example of every paper about it. */
        { DK_PRETOK_GPT2, "Hello my friend, how is your day going?",
          "Hello| my| friend|,| how| is| your| day| going|?" },
        { DK_PRETOK_GPT2, "a  1", "a| | 1" },
        { DK_PRETOK_SMOLLM, "a  1", "a|  |1" },
        { DK_PRETOK_SMOLLM, "it's 2024's", "it|'s| |2|0|2|4|'s" },
        { DK_PRETOK_GPT2, "x \n\n y  ", "x| \n\n| y|  " },
        { DK_PRETOK_GPT2, "12345 'S", "12345| '|S" },
        { DK_PRETOK_LLAMA3, "12345 I'LL (go)\n\n  x", "123|45| I|'LL| (|go|)\n\n| | x" },
        { DK_PRETOK_LLAMA3, " \r\n \tx'\xC5\xBFy", " \r\n| |\tx|'\xC5\xBF|y" },
        { DK_PRETOK_QWEN2, "a12 b.c", "a|1|2| b|.c" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *in = cases[i].in;
        const size_t n = strlen(in);
        dk_buf got = {0};

        for (size_t at = 0; at < n;) {
            const size_t end = dk_pretok_next(cases[i].kind, in, n, at);

            dk_buf_adds(&got, at ? "|" : "");
            dk_buf_add(&got, in + at, end - at);
            at = end;
        }
        if (!tap(strcmp(got.s, cases[i].want) == 0, "pieces of case %zu (%s)", i,
                 dk_pretok_name(cases[i].kind)))
            tap_note("got %s", got.s);
        dk_buf_free(&got);
    }
}

/* --- added tokens with all their flags ----------------------------------- */
static int check_added(void *arg, const dk_json *row)
{
    static const struct { const char *key; unsigned how; } ways[] = {
        { "ids", 0 }, { "wrapped", DK_ENCODE_WRAP }, { "plain", DK_ENCODE_NO_SPECIAL }
    };
    struct counts *c = arg;
    const dk_span text = str_of(row, "text");
    char *exact = exact_copy(text.s, text.n);

    for (size_t k = 0; k < 3; k++) {
        dk_ids ids = {0};

        dk_tokenizer_encode(c->tok, exact, text.n, ways[k].how, &ids, NULL, NULL);
        if (!same_ids(&ids, dk_json_get(row, ways[k].key)) && c->bad_ids++ == 0)
            tap_note("first wrong: %s of '%.*s'", ways[k].key, (int)text.n, text.s);
        dk_free(ids.id);
    }
    c->n++;
    dk_free(exact);
    return 0;
}

static void test_added(const char *name, const char *rows)
{
    char *path = dk_xasprintf("tests/golden/tokens/added/%s", name), *full = repo_path(path);
    char *list = dk_xasprintf("tests/golden/tokens/added/%s", rows);
    struct counts c = {0};
    dk_err err = {0};

    if (tap(dk_tokenizer_open(&c.tok, full, &err) == 0, "%s opens %s", name, err.msg)) {
        each_row(list, check_added, &c);
        tap(c.n > 500, "%s: %zu strings", name, c.n);
        tap(c.bad_ids == 0, "their ids: plain, wrapped, without special (%zu wrong)", c.bad_ids);
        tap(dk_tokenizer_about(c.tok)->prefix == 264 && dk_tokenizer_about(c.tok)->bos == 264,
            "the template's token is the BOS");
    }
    dk_tokenizer_close(&c.tok);
    dk_free(path);
    dk_free(full);
    dk_free(list);
}

/* Where the tokens of a text that is not in NFC start in it. */
static void test_nfc_places(void)
{
    static const char text[] = "ab e\xCC\x81" "c 1";   /* a b _ e' c _ 1: e' composes to 2 bytes */
    static const uint32_t want[] = { 0, 2, 3, 4, 6, 7, 8 };
    char *full = repo_path("tests/golden/tokens/added/nfc.json");
    dk_tokenizer *tok = NULL;
    dk_ids ids = {0}, at = {0};

    if (dk_tokenizer_open(&tok, full, NULL) == 0)
        dk_tokenizer_encode(tok, text, sizeof text - 1, 0, &ids, &at, NULL);
    if (!tap(at.n == sizeof want / sizeof *want && memcmp(at.id, want, sizeof want) == 0,
             "tokens of a normalized text start where their source does"))
        for (size_t i = 0; i < at.n; i++)
            tap_note("%u at %u", ids.id[i], at.id[i]);
    dk_tokenizer_close(&tok);
    dk_free(full);
    dk_free(ids.id);
    dk_free(at.id);
}

/* The same tokenizer from both kinds of file. */
static void test_producers(void)
{
    char *gguf = repo_path("tests/golden/mini/mini.gguf"), *hf = repo_path("tests/golden/mini/hf");
    dk_tokenizer *a = NULL, *b = NULL;
    dk_err err = {0};

    if (tap(dk_tokenizer_open(&a, gguf, &err) == 0 && dk_tokenizer_open(&b, hf, &err) == 0,
            "a miniature model opens as GGUF and as folder %s", err.msg)) {
        const dk_tokenizer_info *x = dk_tokenizer_about(a), *y = dk_tokenizer_about(b);

        tap(strcmp(x->sha256, y->sha256) == 0, "both give one digest");
        tap(x->bos == y->bos && x->eos == y->eos && x->pad == y->pad && x->unk == y->unk,
            "and the same special ids");
        tap(x->chat_template && strcmp(x->template_sha256, y->template_sha256) == 0,
            "and the same chat template");
    }
    dk_tokenizer_close(&a);
    dk_tokenizer_close(&b);
    dk_free(gguf);
    dk_free(hf);
}

/* --- what is refused, and by which name ---------------------------------- */
static const char small[] =
    "{'added_tokens':[{'id':3,'content':'<s>','special':true,'normalized':false}],"
    "'normalizer':null,'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':false},"
    "'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>'}},"
    "{'Sequence':{'id':'A'}}],'special_tokens':{'<s>':{'ids':[3]}}},'decoder':{'type':'ByteLevel'},"
    "'model':{'type':'BPE','unk_token':null,'byte_fallback':false,"
    "'vocab':{'a':0,'b':1,'ab':2},'merges':['a b']}}";

/* small with one text replaced, and the single quotes made double. */
static void variant(dk_buf *out, const char *old, const char *new)
{
    const char *at = strstr(small, old);

    dk_buf_clear(out);
    dk_buf_add(out, small, (size_t)(at - small));
    dk_buf_adds(out, new);
    dk_buf_adds(out, at + strlen(old));
    for (size_t i = 0; i < out->n; i++)
        if (out->s[i] == '\'')
            out->s[i] = '"';
}

static void test_refusals(void)
{
    static const struct { const char *old, *new, *says; } cases[] = {
        { "'BPE'", "'Unigram'", "unsupported tokenizer model 'Unigram'" },
        { "'unk_token':null", "'dropout':0.1", "'BPE' with dropout" },
        { "'normalizer':null", "'normalizer':{'type':'Precompiled'}",
          "unsupported normalizer 'Precompiled'" },
        { "'normalizer':null", "'normalizer':{'type':'Sequence'}", "without 'normalizers'" },
        { "'normalizer':null", "'normalizer':{'type':'Replace','content':'x'}", "without a pattern" },
        { "{'type':'ByteLevel','add_prefix_space':false}", "{'type':'UnicodeScripts'}",
          "unsupported pre-tokenizer 'UnicodeScripts'" },
        { "{'type':'ByteLevel','add_prefix_space':false}",
          "{'type':'Sequence','pretokenizers':[{'type':'ByteLevel'},{'type':'Digits'}]}",
          "pre-tokenizer 'Digits' after 'ByteLevel'" },
        { "{'type':'ByteLevel','add_prefix_space':false}",
          "{'type':'Split','pattern':{'Regex':'x+'},'behavior':'Sideways'}", "'Sideways'" },
        { "{'type':'ByteLevel','add_prefix_space':false}",
          "{'type':'Split','pattern':{'Regex':'[a&&b]'},'behavior':'Isolated'}",
          "'[a&&b]' is not supported: a set within a set" },
        { "{'type':'ByteLevel','add_prefix_space':false}",
          "{'type':'Split','pattern':{'Regex':'(x'},'behavior':'Isolated'}", "'(x' is not supported" },
        { "{'type':'ByteLevel','add_prefix_space':false}",
          "{'type':'Metaspace','replacement':'__'}", "not one character" },
        { "'decoder':{'type':'ByteLevel'}", "'decoder':{'type':'WordPiece'}",
          "unsupported decoder 'WordPiece'" },
        { "'byte_fallback':false", "'byte_fallback':true", "byte_fallback" },
        { "'TemplateProcessing'", "'RobertaProcessing'", "post-processor 'RobertaProcessing'" },
        { "{'Sequence':{'id':'A'}}", "{'SpecialToken':{'id':'<t>'}}", "TemplateProcessing" },
        { "'id':3", "'id':2", "has the id of another, 'ab'" },
        { "'content':'<s>'", "'content':'ab'", "is token 2 of the vocabulary" },
        { "['a b']", "['a c']", "merge 0 ('a' + 'c')" },
        { "['a b']", "['ab']", "merge 0 is no pair" },
        { "['a b']", "[['a','b','c']]", "merge 0 is no pair" },
        { "'ab':2", "'ab':-2", "no whole number" },
        { "'ab':2", "'ab':1", "two tokens" },
        { "'ab':2", "'ab':2000000000", "ids up to" },
        { "'content':'<s>'", "'contents':'<s>'", "has no content" },
        { "'model'", "'modl'", "no 'model'" },
        { "'ids':[3]", "'ids':[3,4]", "more than one" },
        { "'ids':[3]", "'ids':[99]", "outside the vocabulary" },
        { "'unk_token':null", "'unk_token':'<unk>'", "'<unk>' is not in the vocabulary" },
        { "null", "nul", "JSON" },
    };
    char dir[] = "/tmp/dk-tok-XXXXXX";
    dk_buf text = {0};

    if (!mkdtemp(dir))
        return;
    variant(&text, "{", "{");
    for (size_t i = 0; i <= sizeof cases / sizeof *cases; i++) {
        const bool good = i == sizeof cases / sizeof *cases;
        dk_tokenizer *tok = NULL;
        dk_err err = {0};
        char *path;

        if (!good)
            variant(&text, cases[i].old, cases[i].new);
        else
            variant(&text, "['a b']", "[['a','b']]");
        path = put_file(dir, "tokenizer.json", text.s, text.n);
        if (good)
            tap(dk_tokenizer_open(&tok, dir, &err) == 0, "unbroken, it opens %s", err.msg);
        else if (!tap(dk_tokenizer_open(&tok, path, &err) == DK_EFORMAT &&
                      strstr(err.msg, cases[i].says) && strstr(err.msg, "tokenizer.json"),
                      "refused: %s", cases[i].says))
            tap_note("said: %s", err.msg);
        dk_tokenizer_close(&tok);
        remove(path);
        dk_free(path);
    }
    remove(dir);
    dk_buf_free(&text);
}

/* --- chats --------------------------------------------------------------- */
#define TURN(r, c) { { r, sizeof r - 1 }, { c, sizeof c - 1 }, NULL }

static void test_flags(dk_tokenizer *tok)
{
    static const dk_turn turns[] = {
        TURN("system", "Be."), TURN("user", "Hi<|im_end|> 7"), TURN("assistant", "\n\nYes 12.")
    };
    enum { S = DK_TOK_SPECIAL, B = DK_TOK_BOS, A = DK_TOK_ASSISTANT, T = DK_TOK_TEMPLATE, U = DK_TOK_USER };
    /* im_start system \n Be . im_end \n im_start user \n Hi im_end _ 7 im_end \n
     * im_start ass istant \n\n \n Yes _ 1 2 . im_end \n: the first newline of the
     * answer has become one token with the template's. */
    static const uint8_t want[] = { S|B|T, T, T, 0, 0, S|T, T, S|T, T, T, U, S|U, U, U, S|T, T,
                                    S|T, T, T, T, A, A, A, A, A, A, S|T, T };
    dk_chat *chat = NULL;
    dk_rendering r = {0};
    dk_ids ids = {0}, at = {0}, plain = {0};
    uint8_t flags[64];
    dk_buf back = {0};

    dk_chat_open(&chat, tok, NULL, NULL);
    dk_chat_render(chat, &r, turns, 3, DK_CHAT_CLOSED, NULL);
    dk_chat_encode(tok, &r, DK_ENCODE_WRAP, &ids, &at, NULL);
    dk_token_flags(tok, &r, ids.id, at.id, ids.n, flags);
    if (!tap(ids.n == sizeof want && memcmp(flags, want, sizeof want) == 0, "flags of a chat"))
        for (size_t i = 0; i < ids.n; i++)
            tap_note("%2zu %5u at %3u flags %u", i, ids.id[i], at.id[i], flags[i]);
    dk_chat_encode(tok, &r, DK_ENCODE_WRAP | DK_ENCODE_NO_SPECIAL, &plain, NULL, NULL);
    dk_tokenizer_decode(tok, plain.id, plain.n, true, &back);
    tap(back.n && strstr(back.s, "Hi<|im_end|> 7") && !strstr(back.s, "<|im_start|>"),
        "special tokens count in the template only, when asked");
    tap(dk_chat_render(chat, &r, turns, 0, DK_CHAT_CLOSED, NULL) == DK_EDATA, "no messages: refused");
    dk_rendering_free(&r);
    dk_chat_close(&chat);
    dk_buf_free(&back);
    dk_free(ids.id);
    dk_free(at.id);
    dk_free(plain.id);
}

/* --- long words ---------------------------------------------------------- */

/* A quadratic merge would need hours here. */
static void test_long(dk_tokenizer *tok)
{
    const size_t n = 1 << 20;
    char *s = dk_xmalloc(n);
    uint64_t x = 1;

    for (int k = 0; k < 3; k++) {
        const double t0 = dk_now();
        dk_ids ids = {0};
        dk_buf back = {0};

        for (size_t i = 0; i < n; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            s[i] = k == 0 ? 'a' : k == 1 ? (char)('a' + (x >> 33) % 26) : "ab"[i & 1];
        }
        dk_tokenizer_encode(tok, s, n, 0, &ids, NULL, NULL);
        dk_tokenizer_decode(tok, ids.id, ids.n, false, &back);
        tap(same_text(&back, (dk_span){ s, n }) && dk_now() - t0 < 60, "a word of 1 MiB, kind %d", k);
        dk_free(ids.id);
        dk_buf_free(&back);
    }
    dk_free(s);
}

int main(void)
{
    const char *model = getenv("DK_TEST_MODEL");
    dk_tokenizer *tok = NULL;
    dk_err err = {0};

    test_invalid();
    test_classes();
    test_pieces();
    test_added("tokenizer.json", "added.jsonl");
    test_added("nfc.json", "nfc.jsonl");
    test_nfc_places();
    test_producers();
    test_refusals();
    if (!model)
        tap_skip("ids against goldens", "DK_TEST_MODEL is not set");
    else if (tap(dk_tokenizer_open(&tok, model, &err) == 0, "the model opens %s", err.msg)) {
        const dk_tokenizer_info *info = dk_tokenizer_about(tok);

        tap(info->n_vocab == 49152 && info->bos == 1 && info->eos == 2 && info->pad == 2 &&
            info->unk == 0 && info->prefix == DK_NO_ID, "its special ids");
        test_shipped(tok);
        test_hostile(tok);
        test_flags(tok);
        test_long(tok);
    }
    dk_tokenizer_close(&tok);
    return tap_end();
}
