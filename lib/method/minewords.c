#include "method/minewords.h"

#include <stdlib.h>
#include <string.h>

#include "text/tokspec.h"
#include "text/utf8.h"

static bool ascii_sign(int32_t c)
{
    return c >= '!' && c <= '~' && !(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool ascii_blank(int32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Part of a character is neither. */
bool dk_words_is_punctuation(const char *s, size_t n)
{
    size_t at = dk_utf8_lstrip(s, 0, n);
    const size_t end = dk_utf8_rstrip(s, at, n);

    while (at < end) {
        const int32_t c = dk_utf8_next(s, end, &at);

        if (c < 0 || !(ascii_sign(c) || dk_utf8_kind(c) & DK_KIND_SIGN))
            return false;
    }
    return true;
}

/* What goes from the ends: symbols stay, so that C++ is not C. */
static bool loose(char c)
{
    return ascii_blank((uint8_t)c) || (ascii_sign((uint8_t)c) && !memchr("$+<=>^`|~", c, 9));
}

bool dk_words_normal(dk_buf *out, const char *s, size_t n)
{
    size_t at = 0, end = n;

    if (dk_words_is_punctuation(s, n))
        return false;
    while (at < end && loose(s[at]))
        at++;
    while (end > at && loose(s[end - 1]))
        end--;
    while (at < end) {
        int32_t lower[3];
        const size_t from = at;
        const int32_t c = dk_utf8_next(s, end, &at);

        if (c < 0)
            dk_buf_add(out, s + from, at - from);
        for (int i = 0, k = c < 0 ? 0 : dk_utf8_case(c, DK_CASE_LOWER, lower); i < k; i++)
            dk_utf8_add(out, lower[i]);
    }
    return true;
}

struct word { size_t at, n; uint32_t id; };
static const char *text_of_words;

static int by_text(const void *va, const void *vb)
{
    const struct word *a = va, *b = vb;
    const int d = memcmp(text_of_words + a->at, text_of_words + b->at, a->n < b->n ? a->n : b->n);

    return d ? d : a->n != b->n ? (a->n < b->n ? -1 : 1) : a->id < b->id ? -1 : a->id > b->id;
}

/* Tokens of one text, side by side: the first id stands for them. */
static int merge(dk_words *w, const dk_tokenizer *tok, size_t vocab, dk_err *err)
{
    struct word *word = NULL;
    dk_buf text = {0};
    size_t n = 0, first = 0;
    int rc = dk_alloc(&word, vocab, sizeof *word, "words", err);

    for (uint32_t id = 0; rc == 0 && id < vocab; id++) {
        const dk_span bytes = dk_tokenizer_bytes(tok, id);
        const size_t at = text.n;

        if (w->group[id] == DK_NO_ID)
            continue;
        if (dk_words_normal(&text, bytes.s ? bytes.s : "", bytes.n))
            word[n++] = (struct word){ at, text.n - at, id };
        else
            w->group[id] = DK_NO_ID;
    }
    text_of_words = text.s;
    if (n)
        qsort(word, n, sizeof *word, by_text);
    for (size_t i = 0; i < n; i++) {
        if (word[i].n != word[first].n || memcmp(text.s + word[i].at, text.s + word[first].at, word[i].n) != 0)
            first = i;
        w->group[word[i].id] = word[first].id;
    }
    dk_buf_free(&text);
    dk_free(word);
    return rc;
}

int dk_words_make(dk_words *w, const dk_tokenizer *tok, size_t vocab, const dk_words_plan *plan, dk_err *err)
{
    int rc;

    *w = (dk_words){ .merged = plan->merge };
    if (!plan->no_punctuation && !plan->merge && !plan->no_special)
        return 0;
    rc = dk_alloc(&w->group, vocab, sizeof *w->group, "words", err);
    if (rc == 0)
        rc = dk_alloc(&w->members, vocab, sizeof *w->members, "words", err);
    for (uint32_t id = 0; rc == 0 && id < vocab; id++) {
        const dk_span bytes = dk_tokenizer_bytes(tok, id);
        const bool out = (plan->no_special && dk_tokenizer_is_special(tok, id)) ||
                         (plan->no_punctuation && !plan->merge && dk_words_is_punctuation(bytes.s ? bytes.s : "", bytes.n));

        w->group[id] = out ? DK_NO_ID : id;
    }
    if (rc == 0 && plan->merge)
        rc = merge(w, tok, vocab, err);
    for (uint32_t id = 0; rc == 0 && id < vocab; id++)
        if (w->group[id] != DK_NO_ID)
            w->members[w->group[id]]++;
    if (rc < 0)
        dk_words_free(w);
    return rc;
}

void dk_words_free(dk_words *w)
{
    dk_free(w->group);
    dk_free(w->members);
    *w = (dk_words){0};
}
