/* Tokenizers of all families: small ones, each with other components, against
 * the goldens of independent implementations on the hostile strings; the same
 * from GGUF and tekken.json; what is recognised; and what is refused. */
#include <stdio.h>

#include "tap.h"
#include "files.h"
#include "io/json.h"
#include "text/tokenizer.h"
#include "text/tokload.h"

#define DIR "tests/golden/tokens/families/"

/* --- the strings --------------------------------------------------------- */
static struct { size_t n; dk_json *row[4096]; } texts;

static dk_span text_at(size_t i)
{
    const dk_json *v = dk_json_get(texts.row[i], "text");

    return (dk_span){ dk_json_str(v, ""), dk_json_len(v) };
}

static size_t read_rows(const char *file, dk_json **row, size_t most)
{
    dk_mapfile *m = repo_map(file);
    size_t n = 0;

    for (size_t at = 0, end; m && at < m->n && n < most; at = end + 1) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);

        end = nl ? (size_t)(nl - m->p) : m->n;
        n += dk_json_parse(&row[n], (const char *)m->p + at, end - at, file, NULL) == 0;
    }
    dk_mapfile_close(&m);
    return n;
}

static uint32_t fnv1a(const void *p, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001B3u;
    return (uint32_t)h;
}

/* --- all strings through one tokenizer ----------------------------------- */

/* One place for each token, none outside of the text, the first at its begin. */
static bool places_hold(const dk_ids *ids, const dk_ids *at, size_t n)
{
    for (size_t i = 0; i < at->n; i++)
        if (at->id[i] > n || (i == 0 && at->id[i] != 0))
            return false;
    return at->n == ids->n;
}

static void check_one(dk_tokenizer *t, size_t i, const uint32_t *want, size_t bad[3])
{
    const dk_span s = text_at(i);
    char *exact = exact_copy(s.s, s.n);
    dk_ids ids = {0}, at = {0}, bare = {0};
    dk_buf back = {0};

    if (dk_tokenizer_encode(t, exact, s.n, DK_ENCODE_WRAP, &ids, &at, NULL) < 0 ||
        dk_tokenizer_encode(t, exact, s.n, DK_ENCODE_WRAP, &bare, NULL, NULL) < 0 ||
        bare.n != ids.n || memcmp(bare.id, ids.id, ids.n * sizeof *ids.id) != 0 ||
        fnv1a(ids.id, ids.n * sizeof *ids.id) != want[i])
        if (bad[0]++ == 0)
            tap_note("first wrong ids: row %zu: '%.*s'", i, (int)s.n, s.s);
    dk_tokenizer_decode(t, ids.id, ids.n, false, &back);
    if (fnv1a(back.s, back.n) != want[texts.n + i] && bad[1]++ == 0)
        tap_note("first wrong text: row %zu: '%.*s'", i, (int)back.n, back.s);
    bad[2] += !places_hold(&ids, &at, s.n);
    dk_buf_free(&back);
    dk_free(exact);
    dk_free(ids.id);
    dk_free(at.id);
    dk_free(bare.id);
}

static void check_all(const char *file, const char *golden)
{
    char *path = dk_xasprintf(DIR "%s", file), *full = repo_path(path);
    char *gold = dk_xasprintf(DIR "%s.u32", golden);
    dk_mapfile *m = repo_map(gold);
    dk_tokenizer *t = NULL;
    size_t bad[3] = {0};
    dk_err err = {0};

    if (!m || m->n != 8 * texts.n || dk_tokenizer_open(&t, full, &err) < 0)
        tap(false, "%s and its golden open %s", file, err.msg);
    else {
        for (size_t i = 0; i < texts.n; i++)
            check_one(t, i, (const uint32_t *)(const void *)m->p, bad);
        tap(bad[0] == 0, "%s: ids of %zu strings (%zu wrong)", file, texts.n, bad[0]);
        tap(bad[1] == 0, "%s: what they decode to (%zu wrong)", file, bad[1]);
        tap(bad[2] == 0, "%s: places of tokens are in the text (%zu wrong)", file, bad[2]);
    }
    dk_tokenizer_close(&t);
    dk_mapfile_close(&m);
    dk_free(path);
    dk_free(full);
    dk_free(gold);
}

/* Some ids in full: a hash does not say what is wrong. */
static void test_rows(void)
{
    static dk_json *row[512];
    const size_t n = read_rows(DIR "rows.jsonl", row, 512);
    size_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        const dk_json *want = dk_json_get(row[i], "ids");
        const dk_span s = text_at((size_t)dk_json_int(dk_json_get(row[i], "row"), 0));
        char *path = dk_xasprintf(DIR "%s.json", dk_json_str(dk_json_get(row[i], "name"), ""));
        char *full = repo_path(path);
        dk_tokenizer *t = NULL;
        dk_ids ids = {0};
        bool good = dk_tokenizer_open(&t, full, NULL) == 0 &&
                    dk_tokenizer_encode(t, s.s, s.n, DK_ENCODE_WRAP, &ids, NULL, NULL) == 0 &&
                    ids.n == dk_json_len(want);

        for (size_t k = 0; good && k < ids.n; k++)
            good = ids.id[k] == dk_json_int(dk_json_at(want, k), -1);
        bad += !good;
        dk_free(ids.id);
        dk_tokenizer_close(&t);
        dk_free(path);
        dk_free(full);
        dk_json_free(&row[i]);
    }
    tap(n > 300 && bad == 0, "%zu rows of ids in full (%zu wrong)", n, bad);
}

/* --- what is recognised -------------------------------------------------- */
static void test_recognised(void)
{
    static const struct { const char *file, *steps; } cases[] = {
        { "gpt2.json", "gpt2, bytes" },
        { "llama3.json", "llama3, bytes" },
        { "qwen2.json", "NFC, qwen2, bytes" },
        { "tekken.json", "tekken, bytes" },
        { "gpt4o.json", "gpt4o, bytes" },
        { "deepseek3.json", "deepseek3, bytes" },
        { "tekken", "tekken, bytes" },
        { "prefix.json", "prefix, gpt2, bytes" },
        { "digits.json", "Digits 4, gpt2, bytes" },
        { "gemma.json", "Replace 1:  3:\xE2\x96\x81, characters or bytes" },
        { "sp-prefix.gguf",
          "Prepend 3:\xE2\x96\x81, Replace 1:  3:\xE2\x96\x81, characters or bytes" },
        { "unknown.json", "Metaspace 3:\xE2\x96\x81 0 split, characters" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = dk_xasprintf(DIR "%s", cases[i].file), *full = repo_path(path);
        dk_tokenizer_spec spec;
        void *source = NULL;
        dk_buf text = {0};

        dk_tokenizer_spec_init(&spec);
        if (dk_tokload(&spec, &source, full, NULL) == 0)
            dk_tokenizer_spec_describe(&spec, &text);
        if (!tap(text.s && strcmp(text.s, cases[i].steps) == 0, "%s: the steps are %s", cases[i].file,
                 cases[i].steps))
            tap_note("they are %s", text.s ? text.s : "not read");
        dk_tokenizer_spec_free(&spec);
        dk_tokload_release(&source);
        dk_buf_free(&text);
        dk_free(path);
        dk_free(full);
    }
}

static void test_same(const char *a, const char *b)
{
    char *path[2] = { dk_xasprintf(DIR "%s", a), dk_xasprintf(DIR "%s", b) };
    dk_tokenizer *t[2] = { NULL, NULL };

    for (int i = 0; i < 2; i++) {
        char *full = repo_path(path[i]);

        dk_tokenizer_open(&t[i], full, NULL);
        dk_free(full);
    }
    tap(t[0] && t[1] && strcmp(dk_tokenizer_about(t[0])->sha256, dk_tokenizer_about(t[1])->sha256) == 0,
        "%s and %s have one digest", a, b);
    for (int i = 0; i < 2; i++) {
        dk_tokenizer_close(&t[i]);
        dk_free(path[i]);
    }
}

static void test_special_ids(void)
{
    char *full = repo_path(DIR "tekken");
    dk_tokenizer *t = NULL;
    dk_ids ids = {0};

    if (tap(dk_tokenizer_open(&t, full, NULL) == 0, "a folder with a tekken.json opens")) {
        const dk_tokenizer_info *x = dk_tokenizer_about(t);

        tap(x->unk == 0 && x->bos == 1 && x->prefix == 1 && x->eos == 2 && x->pad == 5 &&
            x->suffix == DK_NO_ID, "its special ids go by their names");
        dk_tokenizer_encode(t, "a[INST]<SPECIAL_19>", 19, 0, &ids, NULL, NULL);
        tap(ids.n == 3 && ids.id[0] == 20 + 'a' && ids.id[1] == 3 && ids.id[2] == 19 &&
            dk_tokenizer_is_special(t, 19), "its special tokens are found in texts, unnamed ones too");
        ids.n = 0;
        dk_tokenizer_encode(t, "[INST]", 6, DK_ENCODE_NO_SPECIAL, &ids, NULL, NULL);
        tap(ids.n > 1, "and not where they shall not count");
    }
    dk_free(ids.id);
    dk_tokenizer_close(&t);
    dk_free(full);
}

/* --- tekken.json that is none -------------------------------------------- */
static void test_refused(void)
{
    static const char good[] =
        "{'config':{'pattern':'x','default_vocab_size':4,'default_num_special_tokens':2},"
        "'vocab':[{'rank':0,'token_bytes':'YQ=='},{'rank':1,'token_bytes':'Yg=='}],"
        "'special_tokens':[{'rank':0,'token_str':'<unk>'}]}";
    static const struct { const char *old, *new, *says; } cases[] = {
        { "'x'", "'x'", NULL },
        { "'x'", "''", "no 'pattern'" },
        { "'x'", "'(x'", "the expression '(x' is not supported" },
        { "':4", "':5", "a vocabulary of 5 tokens, 2 of them special, from a list of 2" },
        { "':4", "':1", "a vocabulary of 1 tokens" },
        { "':4", "':4000000000", "a vocabulary of 4000000000" },
        { "'Yg=='", "'Yg='", "token_bytes of token 1" },
        { "'Yg=='", "'Y!=='", "token_bytes of token 1" },
        { "'Yg=='", "''", "token_bytes of token 1" },
        { "'rank':1", "'rank':7", "token 1 does not have rank 1" },
        { "{'rank':0,'token_str'", "{'rank':2,'token_str'", "special token 0" },
        { "'<unk>'", "''", "special token 0" },
    };
    char dir[] = "/tmp/dk-tek-XXXXXX";

    if (!mkdtemp(dir))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = strstr(good, cases[i].old);
        dk_buf text = {0};
        dk_tokenizer *t = NULL;
        dk_err err = {0};
        char *path;
        int rc;

        dk_buf_add(&text, good, (size_t)(at - good));
        dk_buf_adds(&text, cases[i].new);
        dk_buf_adds(&text, at + strlen(cases[i].old));
        for (size_t k = 0; k < text.n; k++)
            text.s[k] = text.s[k] == '\'' ? '"' : text.s[k];
        path = put_file(dir, "tekken.json", text.s, text.n);
        rc = dk_tokenizer_open(&t, dir, &err);
        if (!tap(cases[i].says ? rc == DK_EFORMAT && strstr(err.msg, cases[i].says) &&
                 strstr(err.msg, "/tekken.json: ") : rc == 0, "tekken.json: %s",
                 cases[i].says ? cases[i].says : "unbroken, it opens"))
            tap_note("said: %s", err.msg);
        dk_tokenizer_close(&t);
        remove(path);
        dk_free(path);
        dk_buf_free(&text);
    }
    remove(dir);
}

int main(void)
{
    static const char *const names[] = {
        "gpt2", "prefix", "llama3", "qwen2", "tekken", "gpt4o", "deepseek3", "general", "words",
        "digits", "spaces", "previous", "contiguous", "invert", "lower", "nfd", "nfkd", "llama2",
        "gemma", "always", "first", "never", "unknown", "joined", "sp-prefix", "sp-plain"
    };

    texts.n = read_rows("tests/golden/tokens/torture.jsonl", texts.row, 4096);
    tap(texts.n > 2000, "%zu hostile strings", texts.n);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *file = dk_xasprintf("%s.json", names[i]);

        check_all(file, names[i]);
        dk_free(file);
    }
    check_all("tekken/tekken.json", "tekken/tekken");
    check_all("sp-prefix.gguf", "sp-prefix");
    check_all("sp-plain.gguf", "sp-plain");
    test_rows();
    test_recognised();
    test_same("sp-prefix.gguf", "sp-prefix.json");
    test_same("sp-plain.gguf", "sp-plain.json");
    test_special_ids();
    test_refused();
    for (size_t i = 0; i < texts.n; i++)
        dk_json_free(&texts.row[i]);
    return tap_end();
}
