/* Decoders: lists of texts, step by step between two buffers. */
#include "text/back.h"

#include <string.h>

#include "base/regex.h"
#include "text/regexform.h"
#include "text/utf8.h"

/* Texts one after the other; end[i] is where text i ends. */
struct list {
    dk_buf text;
    size_t *end, n, cap;
};

struct step { dk_back_step is; char *text; dk_regex *re; };

struct dk_back {
    size_t n;
    struct step step[DK_MAX_STEPS];
};

int dk_alphabet_byte(int32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF))
        return cp;
    if (cp >= 0x100 && cp <= 0x120)
        return cp - 0x100;
    if (cp >= 0x121 && cp <= 0x142)
        return cp - 0x121 + 0x7F;
    return cp == 0x143 ? 0xAD : -1;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
        : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int dk_fallback_byte(dk_span t)
{
    int hi, lo;

    if (t.n != 6 || memcmp(t.s, "<0x", 3) != 0 || t.s[5] != '>')
        return -1;
    hi = t.s[3] == '+' ? 0 : digit(t.s[3]);     /* as the numbers of the makers' language */
    lo = digit(t.s[4]);
    return hi < 0 || lo < 0 ? -1 : 16 * hi + lo;
}

/* --- lists --------------------------------------------------------------- */

static void clear(struct list *l)
{
    dk_buf_clear(&l->text);
    l->n = 0;
}

/* What was appended to the text since the last call is one more member. */
static void close_member(struct list *l)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->end = dk_xrealloc(l->end, l->cap * sizeof *l->end);
    }
    l->end[l->n++] = l->text.n;
}

static dk_span member(const struct list *l, size_t i)
{
    const size_t from = i ? l->end[i - 1] : 0;

    return (dk_span){ l->text.s + from, l->end[i] - from };
}

/* --- steps --------------------------------------------------------------- */

/* The bytes of the characters if all are in the alphabet, else the text's own. */
static void alphabet(dk_buf *out, dk_span t)
{
    const size_t start = out->n;

    for (size_t at = 0; at < t.n;) {
        const int b = dk_alphabet_byte(dk_utf8_next(t.s, t.n, &at));

        if (b < 0) {
            out->n = start;
            dk_buf_add(out, t.s, t.n);
            return;
        }
        dk_buf_addc(out, (char)b);
    }
}

static void byte_level(struct list *out, const struct list *in)
{
    dk_buf raw = {0};

    dk_buf_adds(&raw, "");
    for (size_t i = 0; i < in->n; i++)
        alphabet(&raw, member(in, i));
    dk_utf8_clean(&out->text, raw.s, raw.n);
    close_member(out);
    dk_buf_free(&raw);
}

static void end_run(struct list *out, const dk_buf *run)
{
    if (run->n == 0)
        return;
    if (dk_utf8_valid(run->s, run->n) == run->n) {
        dk_buf_add(&out->text, run->s, run->n);
        close_member(out);
        return;
    }
    for (size_t i = 0; i < run->n; i++) {
        dk_buf_adds(&out->text, "\xEF\xBF\xBD");
        close_member(out);
    }
}

static void fallback(struct list *out, const struct list *in)
{
    dk_buf run = {0};

    for (size_t i = 0; i < in->n; i++) {
        const dk_span t = member(in, i);
        const int byte = dk_fallback_byte(t);

        if (byte >= 0) {
            dk_buf_addc(&run, (char)byte);
            continue;
        }
        end_run(out, &run);
        dk_buf_clear(&run);
        dk_buf_add(&out->text, t.s, t.n);
        close_member(out);
    }
    end_run(out, &run);
    dk_buf_free(&run);
}

static void replace(dk_buf *out, dk_span t, const struct step *st)
{
    dk_regex_place place = {0};
    size_t at = 0, from = 0, to = 0;

    while (at <= t.n) {
        if (st->is.regex) {
            /* A token on which the expression fails stays as it is. */
            if (dk_regex_next(st->re, t.s, t.n, &place, &from, &to, NULL) <= 0)
                break;
        } else {
            const char *hit = memmem(t.s + at, t.n - at, st->is.from.s, st->is.from.n);

            if (!hit)
                break;
            from = (size_t)(hit - t.s);
            to = from + st->is.from.n;
        }
        dk_buf_add(out, t.s + at, from - at);
        dk_buf_add(out, st->is.to.s, st->is.to.n);
        at = to;
    }
    dk_buf_add(out, t.s + at, t.n - at);
}

static dk_span strip(dk_span t, const dk_back_step *is)
{
    for (size_t i = 0; i < is->start && t.n >= is->from.n && memcmp(t.s, is->from.s, is->from.n) == 0;
         i++)
        t = (dk_span){ t.s + is->from.n, t.n - is->from.n };
    for (size_t i = 0; i < is->stop && t.n >= is->from.n &&
                       memcmp(t.s + t.n - is->from.n, is->from.s, is->from.n) == 0; i++)
        t.n -= is->from.n;
    return t;
}

static void metaspace(dk_buf *out, dk_span t, const dk_back_step *is, bool first)
{
    const char *hit;

    while ((hit = memmem(t.s, t.n, is->from.s, is->from.n)) != NULL) {
        const size_t n = (size_t)(hit - t.s);

        dk_buf_add(out, t.s, n);
        dk_buf_adds(out, first && !is->never ? "" : " ");
        t = (dk_span){ hit + is->from.n, t.n - n - is->from.n };
    }
    dk_buf_add(out, t.s, t.n);
}

static void apply(struct list *out, const struct list *in, const struct step *st)
{
    if (st->is.kind == DK_BACK_BYTE_LEVEL)
        byte_level(out, in);
    else if (st->is.kind == DK_BACK_FALLBACK)
        fallback(out, in);
    else if (st->is.kind == DK_BACK_FUSE) {
        dk_buf_add(&out->text, in->text.s, in->text.n);
        close_member(out);
    } else
        for (size_t i = 0; i < in->n; i++) {
            const dk_span t = member(in, i);

            if (st->is.kind == DK_BACK_REPLACE)
                replace(&out->text, t, st);
            else if (st->is.kind == DK_BACK_METASPACE)
                metaspace(&out->text, t, &st->is, i == 0);
            else
                dk_buf_add(&out->text, strip(t, &st->is).s, strip(t, &st->is).n);
            close_member(out);
        }
}

/* --- the whole chain ----------------------------------------------------- */

void dk_back_decode(const dk_back *b, const dk_span *token, size_t n, dk_buf *out)
{
    struct list list[2] = {0};
    int turn = 0;

    dk_buf_adds(&list[0].text, "");
    for (size_t i = 0; i < n; i++) {
        dk_buf_adds(&list[0].text, b->n == 0 && i > 0 ? " " : "");
        dk_buf_add(&list[0].text, token[i].s, token[i].n);
        close_member(&list[0]);
    }
    for (size_t k = 0; k < b->n; k++, turn = !turn) {
        clear(&list[!turn]);
        dk_buf_adds(&list[!turn].text, "");
        apply(&list[!turn], &list[turn], &b->step[k]);
    }
    dk_buf_adds(out, "");
    dk_utf8_clean(out, list[turn].text.s, list[turn].text.n);
    for (int i = 0; i < 2; i++) {
        dk_buf_free(&list[i].text);
        dk_free(list[i].end);
    }
}

void dk_back_bytes(const dk_back *b, dk_span token, dk_buf *out)
{
    dk_buf now = {0}, next = {0};

    dk_buf_add(&now, token.s, token.n);
    for (size_t k = 0; k < b->n; k++) {
        const struct step *st = &b->step[k];
        const dk_span t = { now.s, now.n };
        const int byte = dk_fallback_byte(t);

        dk_buf_clear(&next);
        dk_buf_adds(&next, "");
        if (st->is.kind == DK_BACK_BYTE_LEVEL)
            alphabet(&next, t);
        else if (st->is.kind == DK_BACK_REPLACE)
            replace(&next, t, st);
        else if (st->is.kind == DK_BACK_METASPACE)
            metaspace(&next, t, &st->is, false);
        else if (st->is.kind == DK_BACK_FALLBACK && byte >= 0)
            dk_buf_addc(&next, (char)byte);
        else
            dk_buf_add(&next, t.s, t.n);
        dk_buf_clear(&now);
        dk_buf_add(&now, next.s, next.n);
    }
    dk_buf_add(out, now.s, now.n);
    dk_buf_free(&now);
    dk_buf_free(&next);
}

int dk_back_new(dk_back **out, const dk_back_step *steps, size_t n, dk_err *err)
{
    dk_back *b = dk_xcalloc(1, sizeof *b);
    int rc = 0;

    DK_ASSERT(n <= DK_MAX_STEPS);
    b->n = n;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct step *st = &b->step[i];

        st->is = steps[i];
        st->text = dk_xmalloc(steps[i].from.n + steps[i].to.n + 1);
        if (steps[i].from.n)
            memcpy(st->text, steps[i].from.s, steps[i].from.n);
        if (steps[i].to.n)
            memcpy(st->text + steps[i].from.n, steps[i].to.s, steps[i].to.n);
        st->is.from.s = st->text;
        st->is.to.s = st->text + steps[i].from.n;
        if (st->is.regex)
            rc = dk_regex_from_tokenizer(&st->re, st->is.from, err);
    }
    if (rc < 0) {
        dk_back_free(&b);
        return rc;
    }
    *out = b;
    return 0;
}

void dk_back_free(dk_back **b)
{
    dk_back *p = *b;

    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        dk_free(p->step[i].text);
        dk_regex_free(&p->step[i].re);
    }
    dk_free(p);
    *b = NULL;
}
