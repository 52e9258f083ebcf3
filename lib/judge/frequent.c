/* Frequent tokens. */
#include "judge/frequent.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/textfile.h"
#include "text/utf8.h"

/* The signs that vocabularies write for a blank: U+0120 and U+2581. */
static bool is_mark(int32_t cp) { return cp == 0x120 || cp == 0x2581; }

static bool listed(const char *s)
{
    static const char *const word[] = {
        "'s", "'t", "'re", "'ve", "'ll", "'d", "'m", "ing",
        "a", "about", "above", "after", "among", "an", "and", "are", "at", "be", "been", "before", "being", "below", "between", "but",
        "by", "can", "could", "did", "do", "does", "during", "for", "from", "had", "has", "have", "in", "into", "is", "may", "might",
        "must", "of", "on", "or", "should", "that", "the", "these", "this", "those", "through", "to", "up", "was", "were", "will",
        "with", "would"
    };

    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (strcmp(word[i], s) == 0)
            return true;
    return false;
}

bool dk_token_generic(const char *piece, size_t n)
{
    dk_buf bare = {0}, low = {0};
    size_t from, to, at, chars = 0;
    bool signs = true, generic;

    for (at = 0; at < n;) {
        const size_t here = at;

        if (!is_mark(dk_utf8_next(piece, n, &at)))
            dk_buf_add(&bare, piece + here, at - here);
    }
    from = bare.n ? dk_utf8_lstrip(bare.s, 0, bare.n) : 0;
    to = bare.n ? dk_utf8_rstrip(bare.s, from, bare.n) : 0;
    for (at = from; at < to; chars++) {
        const int32_t cp = dk_utf8_next(bare.s, to, &at);

        signs &= cp != '_' && !(dk_utf8_class(cp) & (DK_CLASS_LETTER | DK_CLASS_NUMBER | DK_CLASS_SPACE));
        if (cp >= 0)
            dk_utf8_lower(&low, cp);
    }
    generic = chars <= 1 || signs || (low.n && listed(low.s));
    dk_buf_free(&bare);
    dk_buf_free(&low);
    return generic;
}

/* --- counts ------------------------------------------------------------------------ */
struct count { uint64_t n, first; uint32_t id; };

struct counts {
    dk_tokenizer *tok;
    struct count *of;           /* by id */
    size_t vocab;
    uint64_t seen;
    dk_ids ids;
};

static int add_text(struct counts *c, const char *s, size_t n, dk_err *err)
{
    int rc;

    c->ids.n = 0;
    rc = dk_tokenizer_encode(c->tok, s, n, 0, &c->ids, NULL, err);
    for (size_t i = 0; rc == 0 && i < c->ids.n; i++) {
        const uint32_t id = c->ids.id[i];

        if (id >= c->vocab)
            continue;
        if (c->of[id].n++ == 0)
            c->of[id].first = c->seen;
        c->seen++;
    }
    return rc;
}

/* A chat's messages stand on lines of their own. */
static int add_document(struct counts *c, const dk_doc *d, dk_err *err)
{
    dk_buf text = {0};
    int rc;

    if (d->kind != DK_DOC_CHAT)
        return add_text(c, d->text.s, d->text.n, err);
    for (size_t i = 0; i < d->n_messages; i++) {
        if (i > 0)
            dk_buf_addc(&text, '\n');
        dk_buf_add(&text, d->message[i].content.s, d->message[i].content.n);
    }
    rc = text.n ? add_text(c, text.s, text.n, err) : 0;
    dk_buf_free(&text);
    return rc;
}

static int count_texts(struct counts *c, const char *path, const char *column, size_t max_docs, dk_err *err)
{
    dk_textfile *f = NULL;
    size_t docs = 0;
    dk_doc d;
    int rc = dk_textfile_open(&f, path, DK_DOC_AUTO, column, err);

    while (rc == 0 && (max_docs == 0 || docs < max_docs) && (rc = dk_textfile_next(f, &d, err)) == 1) {
        rc = add_document(c, &d, err);
        docs++;
    }
    dk_textfile_close(&f);
    return rc < 0 ? rc : docs ? 0 : dk_fail(err, DK_EDATA, "%s holds no documents", path);
}

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

int dk_frequent_make(dk_frequent *f, dk_tokenizer *tok, const char *texts, const char *column, size_t max_docs,
                     size_t n, size_t min_count, dk_err *err)
{
    struct counts c = { .tok = tok, .vocab = dk_tokenizer_about(tok)->n_vocab };
    int rc = dk_alloc(&c.of, c.vocab, sizeof *c.of, "frequencies", err);

    *f = (dk_frequent){0};
    for (size_t i = 0; rc == 0 && i < c.vocab; i++)
        c.of[i].id = (uint32_t)i;
    if (rc == 0)
        rc = count_texts(&c, texts, column, max_docs, err);
    if (rc == 0)
        qsort(c.of, c.vocab, sizeof *c.of, by_count);
    for (size_t i = 0; rc == 0 && i < c.vocab && f->n < n && c.of[i].n >= min_count && c.of[i].n > 0; i++) {
        const dk_span piece = dk_tokenizer_piece(tok, c.of[i].id);

        if (piece.n == 0 || dk_tokenizer_is_special(tok, c.of[i].id) || dk_token_generic(piece.s, piece.n))
            continue;
        f->piece = dk_xrealloc(f->piece, (f->n + 1) * sizeof *f->piece);
        f->piece[f->n++] = dk_xstrndup(piece.s, piece.n);
    }
    if (rc == 0 && f->n == 0)
        dk_log(DK_WARN, "%s holds no token %zu times that says anything: none is called frequent", texts, min_count);
    dk_free(c.of);
    dk_free(c.ids.id);
    return rc;
}

void dk_frequent_free(dk_frequent *f)
{
    for (size_t i = 0; i < f->n; i++)
        dk_free(f->piece[i]);
    dk_free(f->piece);
    *f = (dk_frequent){0};
}

bool dk_frequent_has(const dk_frequent *f, const char *s)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->piece[i], s) == 0)
            return true;
    return false;
}
