/* Documents one by one: text or rendering, ids, flags, and the rules. */
#include "text/corpus.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "text/utf8.h"

enum { CHARS_PER_TOKEN = 10, MAX_QUESTION = 512 };

struct dk_corpus {
    dk_tokenizer *tok;
    dk_corpus_rules rules;
    dk_chat *chat;              /* opened when the first chat comes */
    dk_tokens out;
    dk_sha256 *sum;             /* over the kept texts, each after its length */
    dk_buf names;           /* a+b, as the data set is called */
    dk_buf paths;           /* a.jsonl, b.jsonl: as messages call it */
    dk_doc_kind kind;           /* of the documents so far */
    uint64_t n_rows;            /* read, kept or not */
    size_t n_cut, n_dropped, n_added, n_present, n_had, n_refused, replaced;
    bool begun, wrap, had;      /* of the round trip: the first text has been seen; what it decided; */
                                /* this one came with a BOS */
    /* scratch */
    dk_buf decoded;
    dk_rendering rendering, question;
    dk_ids id, at, question_id;
    dk_turn *turn;
    size_t turn_cap;
    uint8_t *flags;
    size_t flags_cap;
};

int dk_corpus_open(dk_corpus **out, dk_tokenizer *t, const dk_corpus_rules *rules, dk_err *err)
{
    const dk_tokenizer_info *info = dk_tokenizer_about(t);
    dk_corpus *c;

    *out = NULL;
    if (rules->fixed_tokens && rules->min_tokens > 1)
        return dk_fail(err, DK_EUSAGE, "documents of a fixed length have no minimal length");
    if (rules->roundtrip && (rules->fixed_tokens || rules->no_special))
        return dk_fail(err, DK_EUSAGE, "the round trip is of texts that are cut, with their special tokens");
    for (size_t i = 0; i < rules->n_replace; i++)
        if (rules->replace[i][0] >= info->n_vocab || rules->replace[i][1] >= info->n_vocab)
            return dk_fail(err, DK_EUSAGE, "the model has %zu tokens: %u cannot take the place of %u", info->n_vocab,
                           rules->replace[i][1], rules->replace[i][0]);
    c = dk_xcalloc(1, sizeof *c);
    c->tok = t;
    c->rules = *rules;
    c->sum = dk_sha256_new();
    c->out.vocab = (uint32_t)info->n_vocab;
    c->out.max_tokens = (uint32_t)(rules->fixed_tokens ? rules->fixed_tokens : rules->max_tokens);
    c->out.tokenizer_sha256 = dk_xstrdup(info->sha256);
    c->out.template_sha256 = dk_xstrdup(rules->chat && rules->chat->template ? rules->chat->sha256
                                                                            : info->template_sha256);
    *out = c;
    return 0;
}

void dk_corpus_close(dk_corpus **cp)
{
    dk_corpus *c = *cp;

    if (!c)
        return;
    dk_chat_close(&c->chat);
    dk_tokens_free(&c->out);
    dk_sha256_free(&c->sum);
    dk_buf_free(&c->names);
    dk_buf_free(&c->paths);
    dk_buf_free(&c->decoded);
    dk_rendering_free(&c->rendering);
    dk_rendering_free(&c->question);
    dk_free(c->id.id);
    dk_free(c->at.id);
    dk_free(c->question_id.id);
    dk_free(c->turn);
    dk_free(c->flags);
    dk_free(c);
    *cp = NULL;
}

bool dk_corpus_full(const dk_corpus *c)
{
    return c->rules.max_docs > 0 && c->out.docs >= c->rules.max_docs;
}

/* --- one document -------------------------------------------------------- */

static bool blank(dk_text t)
{
    for (size_t at = 0; at < t.n;)
        if (dk_utf8_class(dk_utf8_next(t.s, t.n, &at)) != DK_CLASS_SPACE)
            return false;
    return true;
}

static unsigned how(const dk_corpus *c) { return c->rules.no_special ? DK_ENCODE_NO_SPECIAL : 0; }

static bool has_bos(const dk_corpus *c, dk_text t)
{
    const dk_span bos = dk_tokenizer_piece(c->tok, dk_tokenizer_about(c->tok)->bos);

    return bos.n > 0 && !c->rules.no_special && memmem(t.s, t.n, bos.s, bos.n) != NULL;
}

/* All at once: what takes a place is not replaced again. */
static void replace(dk_corpus *c)
{
    for (size_t i = 0; i < c->id.n; i++)
        for (size_t k = 0; k < c->rules.n_replace; k++)
            if (c->id.id[i] == c->rules.replace[k][0]) {
                c->id.id[i] = c->rules.replace[k][1];
                break;
            }
}

/* Adds what is in c->id, of the text s, as a document. */
static int keep(dk_corpus *c, const dk_rendering *r, dk_text s, size_t n, dk_err *err)
{
    const uint64_t length = s.n;
    int rc;

    if (n > c->flags_cap) {
        dk_free(c->flags);
        c->flags_cap = 0;
        if ((rc = dk_alloc(&c->flags, 2 * n, 1, "the flags of a document", err)) < 0)
            return rc;
        c->flags_cap = 2 * n;
    }
    replace(c);
    dk_token_flags(c->tok, r, c->id.id, c->at.id, n, c->flags);
    dk_sha256_add(c->sum, &length, sizeof length);
    dk_sha256_add(c->sum, s.s, s.n);
    return dk_tokens_add_doc(&c->out, c->n_rows, c->id.id, c->flags, n, err);
}

/* The BOS: counted for the record, refused when there are two. */
static int look_at_bos(dk_corpus *c, bool added, dk_err *err)
{
    const uint32_t bos = dk_tokenizer_about(c->tok)->bos;

    if (bos == DK_NO_ID || c->id.n == 0 || c->id.id[0] != bos)
        return 0;
    if (c->id.n > 1 && c->id.id[1] == bos)
        return dk_fail(err, DK_EDATA, "the document begins with the BOS token twice");
    *(added ? &c->n_added : &c->n_present) += 1;
    return 0;
}

/* As the tokenizers library cuts: the token behind a text stays. */
static void cut_within(dk_corpus *c, bool wrapped)
{
    const size_t limit = c->rules.max_tokens;
    const uint32_t suffix = dk_tokenizer_about(c->tok)->suffix;

    if (!limit || c->id.n <= limit)
        return;
    c->id.n = limit;
    if (wrapped && suffix != DK_NO_ID)
        c->id.id[limit - 1] = suffix;
}

static int round_trip(dk_corpus *c, dk_text *t, dk_err *err)
{
    const bool bos = dk_tokenizer_about(c->tok)->bos != DK_NO_ID, wrap = bos && !has_bos(c, *t);
    int rc;

    c->had = bos && !wrap;
    c->id.n = 0;
    if ((rc = dk_tokenizer_encode(c->tok, t->s, t->n, wrap ? DK_ENCODE_WRAP : 0, &c->id, NULL, err)) < 0)
        return rc;
    cut_within(c, wrap);
    dk_buf_clear(&c->decoded);
    dk_buf_add(&c->decoded, "", 0);
    dk_tokenizer_decode(c->tok, c->id.id, c->id.n, false, &c->decoded);
    *t = (dk_text){ c->decoded.s, c->decoded.n };
    c->wrap = c->begun ? c->wrap : bos && !has_bos(c, *t);
    c->begun = true;
    return 0;
}

static int take_text(dk_corpus *c, dk_text t, dk_err *err)
{
    const dk_corpus_rules *r = &c->rules;
    const size_t limit = r->fixed_tokens ? r->fixed_tokens : r->max_tokens;
    int rc = r->roundtrip ? round_trip(c, &t, err) : 0;
    const bool had = r->roundtrip ? c->had : has_bos(c, t), wrap = r->roundtrip ? c->wrap : !had;
    size_t n;

    if (rc < 0)
        return rc;
    if (r->fixed_tokens) {
        if (blank(t))
            return 0;
        t.n = dk_utf8_prefix(t.s, t.n, CHARS_PER_TOKEN * r->fixed_tokens);
    }
    c->id.n = 0;
    rc = dk_tokenizer_encode(c->tok, t.s, t.n, how(c) | (wrap ? DK_ENCODE_WRAP : 0), &c->id, NULL,
                             err);
    if (rc < 0)
        return rc;
    n = c->id.n;
    if (n < (r->fixed_tokens ? r->fixed_tokens : r->min_tokens)) {
        c->n_dropped++;
        return 0;
    }
    if ((rc = look_at_bos(c, wrap && dk_tokenizer_about(c->tok)->prefix != DK_NO_ID, err)) < 0)
        return rc;
    if (limit && n > limit) {
        c->n_cut++;
        n = limit;
        if (r->roundtrip)
            cut_within(c, wrap);
    }
    c->n_had += had && dk_tokenizer_about(c->tok)->prefix != DK_NO_ID;
    return keep(c, NULL, t, n, err);
}

static int encode_chat(dk_corpus *c, size_t n_turns, dk_err *err)
{
    int rc = dk_chat_render(c->chat, &c->rendering, c->turn, n_turns, DK_CHAT_CLOSED, err);

    c->id.n = c->at.n = 0;
    return rc < 0 ? rc : dk_chat_encode(c->tok, &c->rendering, how(c) | DK_ENCODE_WRAP, &c->id,
                                        &c->at, err);
}

/* How many ids of question and answer to keep; 0: the chat is passed over. */
static int fixed_chat(dk_corpus *c, const dk_doc *d, size_t *n, dk_err *err)
{
    const size_t fixed = c->rules.fixed_tokens;
    int rc;

    *n = 0;
    if (d->n_messages < 2)
        return dk_fail(err, DK_EDATA, "a chat of a fixed length needs a question and an answer");
    if (d->message[0].role.n != 4 || memcmp(d->message[0].role.s, "user", 4) != 0)
        return 0;
    if (d->message[1].role.n != 9 || memcmp(d->message[1].role.s, "assistant", 9) != 0)
        return dk_fail(err, DK_EDATA, "the second message is not the assistant's");
    c->question_id.n = 0;
    if ((rc = dk_chat_render(c->chat, &c->question, c->turn, 1, DK_CHAT_OPEN, err)) < 0 ||
        (rc = dk_chat_encode(c->tok, &c->question, how(c) | DK_ENCODE_WRAP, &c->question_id, NULL,
                             err)) < 0)
        return rc;
    if (c->question_id.n > MAX_QUESTION)
        return 0;
    c->turn[1].content.n = dk_utf8_prefix(c->turn[1].content.s, c->turn[1].content.n,
                                          CHARS_PER_TOKEN * fixed);
    if ((rc = encode_chat(c, 2, err)) == 0 && c->id.n >= c->question_id.n + fixed)
        *n = c->question_id.n + fixed;
    return rc;
}

/* A chat that the template refuses because its roles do not alternate is passed
 * over; anything else that it refuses ends the run. */
static int passed_over(dk_corpus *c, int rc, dk_err *err)
{
    if (rc != DK_EDATA || !dk_chat_must_alternate(err))
        return rc;
    *err = (dk_err){0};
    c->n_refused++;
    return 0;
}

static int take_chat(dk_corpus *c, const dk_doc *d, dk_err *err)
{
    const dk_corpus_rules *r = &c->rules;
    size_t n;
    int rc = 0;

    if (!c->chat &&
        (rc = dk_chat_open(&c->chat, c->tok, r->chat, err)) < 0)
        return rc;
    if (d->n_messages > c->turn_cap) {
        c->turn_cap = d->n_messages;
        c->turn = dk_xrealloc(c->turn, c->turn_cap * sizeof *c->turn);
    }
    for (size_t i = 0; i < d->n_messages; i++)
        c->turn[i] = (dk_turn){ { d->message[i].role.s, d->message[i].role.n },
                                { d->message[i].content.s, d->message[i].content.n }, d->message[i].all };
    if (r->fixed_tokens)
        rc = fixed_chat(c, d, &n, err);
    else if ((rc = encode_chat(c, d->n_messages, err)) == 0)
        n = c->id.n < r->min_tokens ? 0 : c->id.n;
    if (rc < 0)
        return passed_over(c, rc, err);
    if (n == 0) {
        c->n_dropped++;
        return 0;
    }
    /* Without a BOS in the template, one at the front was added. */
    if ((rc = look_at_bos(c, c->id.n > 1 && c->at.id[1] == 0, err)) < 0)
        return rc;
    if (!r->fixed_tokens && r->max_tokens && n > r->max_tokens) {
        c->n_cut++;
        n = r->max_tokens;
    }
    return keep(c, &c->rendering, (dk_text){ c->rendering.text.s, c->rendering.text.n }, n, err);
}

/* --- files --------------------------------------------------------------- */

static int take(dk_corpus *c, const dk_textfile *f, const dk_doc *d, dk_err *err)
{
    dk_err why = {0};
    int rc;

    if (c->kind != DK_DOC_AUTO && c->kind != d->kind)
        rc = dk_fail(&why, DK_EDATA, "texts and chats do not mix in one data set");
    else if (d->kind == DK_DOC_CHAT)
        rc = take_chat(c, d, &why);
    else
        rc = take_text(c, d->text, &why);
    c->kind = d->kind;
    if (rc < 0 && d->line)
        return dk_fail(err, rc, "%s:%zu: %s", dk_textfile_name(f), d->line, why.msg);
    return rc < 0 ? dk_fail(err, rc, "%s: %s", dk_textfile_name(f), why.msg) : 0;
}

/* The bare name without the endings that say how it is stored. */
static void add_name(dk_buf *names, const char *path)
{
    static const char *const ends[] = { ".gz", ".zst", ".parquet", ".jsonl", ".json", ".txt" };
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    size_t n = strlen(base);

    if (strcmp(path, "-") == 0) {
        base = "stdin";
        n = 5;
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t k = strlen(ends[i]);

        if (n > k && memcmp(base + n - k, ends[i], k) == 0)
            n -= k;
    }
    dk_buf_adds(names, names->n ? "+" : "");
    dk_buf_add(names, base, n);
}

int dk_corpus_file(dk_corpus *c, dk_textfile **f, const char *path, dk_err *err)
{
    return dk_textfile_open(f, path, c->rules.kind, c->rules.column, err);
}

void dk_corpus_name(dk_corpus *c, const char *path)
{
    add_name(&c->names, path);
    dk_buf_adds(&c->paths, c->paths.n ? ", " : "");
    dk_buf_adds(&c->paths, path);
}

int dk_corpus_take(dk_corpus *c, const dk_textfile *f, const dk_doc *d, dk_err *err)
{
    const int rc = take(c, f, d, err);

    c->n_rows++;
    return rc;
}

void dk_corpus_replaced(dk_corpus *c, const dk_textfile *f) { c->replaced += dk_textfile_replaced(f); }

int dk_corpus_add(dk_corpus *c, const char *path, dk_err *err)
{
    dk_textfile *f = NULL;
    dk_doc d;
    int rc = dk_corpus_file(c, &f, path, err);

    if (rc < 0)
        return rc;
    dk_corpus_name(c, path);
    while (rc >= 0 && !dk_corpus_full(c) && (rc = dk_textfile_next(f, &d, err)) == 1)
        rc = dk_corpus_take(c, f, &d, err);
    dk_corpus_replaced(c, f);
    dk_textfile_close(&f);
    return rc < 0 ? rc : 0;
}

static int nothing(const dk_corpus *c, dk_err *err)
{
    if (c->n_rows == 0)
        return dk_fail(err, DK_EDATA, "%s: the data set is empty", c->paths.s);
    if (c->n_refused == c->n_rows)
        return dk_fail(err, DK_EDATA, "%s: the template takes none of the chats: in all of them the roles do not "
                       "alternate", c->paths.s);
    if (c->rules.fixed_tokens)
        return dk_fail(err, DK_EDATA, "%s: none of %llu documents has %zu tokens; ask for fewer",
                       c->paths.s, (unsigned long long)c->n_rows, c->rules.fixed_tokens);
    return dk_fail(err, DK_EDATA, "%s: every one of %llu documents is shorter than %zu tokens",
                   c->paths.s, (unsigned long long)c->n_rows, c->rules.min_tokens);
}

int dk_corpus_finish(dk_corpus *c, const dk_tokens **out, dk_err *err)
{
    char hex[65];

    if (c->replaced)
        dk_log(DK_WARN, "%zu invalid UTF-8 sequence%s replaced by U+FFFD", c->replaced,
               c->replaced == 1 ? " was" : "s were");
    if (c->out.docs == 0)
        return nothing(c, err);
    if (c->n_had)
        dk_log(DK_WARN, "%zu text%s the BOS token already: none was put before %s", c->n_had,
               c->n_had == 1 ? " contains" : "s contain", c->n_had == 1 ? "it" : "them");
    if (c->n_refused)
        dk_log(DK_WARN, "%zu chat%s passed over: the template wants user and assistant to alternate", c->n_refused,
               c->n_refused == 1 ? " was" : "s were");
    if (c->rules.fixed_tokens && c->rules.max_docs && !dk_corpus_full(c))
        dk_log(DK_WARN, "%zu documents are long enough, %zu were asked for", c->out.docs,
               c->rules.max_docs);
    dk_log(DK_INFO, "%zu documents, %zu tokens; %zu documents were cut, %zu dropped", c->out.docs,
           c->out.rows, c->n_cut, c->n_dropped);
    dk_sha256_hex(c->sum, hex);
    c->out.corpus_name = dk_xstrdup(c->rules.name ? c->rules.name : c->names.s);
    c->out.corpus_sha256 = dk_xstrdup(hex);
    c->out.format = dk_xstrdup(c->kind == DK_DOC_CHAT ? "chat" : "text");
    c->out.bos = dk_xstrdup(c->n_added ? "added" : c->n_present ? "present" : "none");
    *out = &c->out;
    return 0;
}
