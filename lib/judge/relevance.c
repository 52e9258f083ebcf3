/* Token relevance: questions, replies, votes. */
#include "judge/relevance.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/log.h"
#include "text/utf8.h"

enum { ASKED = 3, MAX_GLOSS = 120 };

/* --- votes ------------------------------------------------------------------------ */
const char *dk_label_name(dk_label l)
{
    return l == DK_RELEVANT ? "RELEVANT" : l == DK_IRRELEVANT ? "IRRELEVANT" : "UNKNOWN";
}

dk_label dk_label_majority(const dk_label *vote, size_t n)
{
    size_t yes = 0, no = 0;

    for (size_t i = 0; i < n; i++) {
        yes += vote[i] == DK_RELEVANT;
        no += vote[i] == DK_IRRELEVANT;
    }
    return yes > no ? DK_RELEVANT : no > yes ? DK_IRRELEVANT : DK_UNKNOWN;
}

dk_label dk_label_all(const dk_label *vote, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (vote[i] != DK_RELEVANT)
            return DK_IRRELEVANT;
    return n ? DK_RELEVANT : DK_IRRELEVANT;
}

dk_relevance_share dk_relevance_shares(const dk_label *label, const double *weight, size_t n)
{
    dk_relevance_share s = {0};
    double some = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        const bool is = label[i] == DK_RELEVANT;

        s.relevant += is;
        s.unknown += label[i] == DK_UNKNOWN;
        all += fabs(weight[i]);
        some += is ? fabs(weight[i]) : 0;
    }
    s.percentage = n ? (double)s.relevant / (double)n : 0;
    s.weighted = all > 0 ? some / all : 0;
    return s;
}

size_t dk_relevance_at(size_t place, size_t rotation, size_t n) { return (place + rotation % n) % n; }

/* --- replies ---------------------------------------------------------------------- */
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

static size_t blanks(const char *s, size_t n, size_t at, bool lines)
{
    while (at < n && (is_blank(s[at]) || (lines && s[at] == '\n')))
        at++;
    return at;
}

/* "WORD[i]", blanks and a colon; *at moves behind it.  0: it is not there. */
static size_t head(const char *s, size_t n, size_t *at, const char *word)
{
    const size_t len = strlen(word);
    size_t p = *at, i = 0;

    if (n - p < len || strncasecmp(s + p, word, len) != 0)
        return 0;
    p += len;
    if (p == n || s[p++] != '[')
        return 0;
    for (const size_t digits = p; p < n && s[p] >= '0' && s[p] <= '9'; p++) {
        if (p - digits == 9)
            return 0;
        i = 10 * i + (size_t)(s[p] - '0');
    }
    if (p == n || s[p++] != ']')
        return 0;
    p = blanks(s, n, p, true);
    if (p == n || s[p++] != ':')
        return 0;
    *at = p;
    return i;
}

/* A label that fills the rest of its line. */
static dk_label label_at(const char *s, size_t n, size_t at)
{
    static const struct { const char *word; dk_label is; } known[] = { { "RELEVANT", DK_RELEVANT }, { "IRRELEVANT", DK_IRRELEVANT } };

    at = blanks(s, n, at, true);
    for (size_t k = 0; k < 2; k++) {
        const size_t len = strlen(known[k].word);
        size_t p = at + len;

        if (n - at < len || strncasecmp(s + at, known[k].word, len) != 0)
            continue;
        p += p < n && (s[p] == '.' || s[p] == '!');
        p = blanks(s, n, p, false);
        return p == n || s[p] == '\n' ? known[k].is : DK_UNKNOWN;
    }
    return DK_UNKNOWN;
}

/* The rest of the line: here a missing gloss must not become the line that follows. */
static void take_gloss(char **gloss, const char *s, size_t n, size_t at)
{
    const char *eol;
    size_t to;

    at = blanks(s, n, at, false);
    eol = at < n ? memchr(s + at, '\n', n - at) : NULL;
    to = eol ? (size_t)(eol - s) : n;
    while (to > at && is_blank(s[to - 1]))
        to--;
    if (to == at)
        return;
    for (size_t p = at; p < to;) {      /* cut where a character ends */
        size_t next = p;

        dk_utf8_next(s, to, &next);
        if (next - at > MAX_GLOSS) {
            to = p;
            break;
        }
        p = next;
    }
    dk_free(*gloss);
    *gloss = dk_xstrndup(s + at, to - at);
}

size_t dk_relevance_parse(const char *reply, size_t len, size_t n, dk_label *label, char **gloss)
{
    size_t unknown = 0, i;

    for (i = 0; i < n; i++) {
        label[i] = DK_UNKNOWN;
        if (gloss)
            gloss[i] = NULL;
    }
    for (size_t line = 0; line < len;) {
        const char *eol = memchr(reply + line, '\n', len - line);
        const size_t start = blanks(reply, len, line, false);
        size_t at = start;

        if ((i = head(reply, len, &at, "ANSWER")) > 0 && i <= n) {
            const dk_label l = label_at(reply, len, at);

            label[i - 1] = l == DK_UNKNOWN ? label[i - 1] : l;
        }
        at = start;
        if (gloss && (i = head(reply, len, &at, "TRANSLATION")) > 0 && i <= n)
            take_gloss(&gloss[i - 1], reply, len, at);
        line = eol ? (size_t)(eol - reply) + 1 : len;
    }
    for (i = 0; i < n; i++)
        unknown += label[i] == DK_UNKNOWN;
    return unknown;
}

/* --- asking ----------------------------------------------------------------------- */
static void drop(char **gloss, size_t n)
{
    for (size_t i = 0; gloss && i < n; i++) {
        dk_free(gloss[i]);
        gloss[i] = NULL;
    }
}

/* Three times, then once at temperature 0; the reply with the fewest unknown labels
 * counts, of equals the one at temperature 0, else the first.  round: how often a
 * rotation of so few tokens was asked before. */
static int ask_again(dk_chat *c, dk_chat_question *q, size_t n, size_t round, dk_label *label, char **gloss, dk_chat_reply *raw, dk_err *err)
{
    dk_label *now = dk_xcalloc(n, sizeof *now);
    char **said = gloss ? dk_xcalloc(n, sizeof *said) : NULL;
    size_t best = n + 1;
    int rc = 0;

    for (int a = 1; rc == 0 && a <= ASKED + 1 && best > 0; a++) {
        dk_chat_reply r = {0};
        dk_err why = {0};
        size_t unknown;

        q->cold = a > ASKED;
        q->attempt = q->cold ? (int)round + 1 : (int)round * ASKED + a;
        rc = dk_chat_ask(c, q, &r, &why);
        if (rc < 0 && q->cold && r.refused) {       /* some models have one temperature */
            dk_log(DK_INFO, "%s; labels that are missing stay unknown", why.msg);
            rc = 0;
        } else if (rc < 0)
            dk_fail(err, why.code ? why.code : DK_EIO, "%s", why.msg);
        else if ((unknown = dk_relevance_parse(r.text.s, r.text.n, n, now, said)) < best || (q->cold && unknown == best)) {
            best = unknown;
            memcpy(label, now, n * sizeof *label);
            drop(gloss, n);
            for (size_t i = 0; gloss && i < n; i++) {
                gloss[i] = said[i];
                said[i] = NULL;
            }
            dk_chat_reply_free(raw);
            *raw = r;
            r = (dk_chat_reply){0};
        }
        drop(said, n);
        dk_chat_reply_free(&r);
    }
    dk_free(now);
    dk_free(said);
    return rc;
}

int dk_relevance_ask(dk_chat *c, const dk_relevance_subject *s, const char *const *token, size_t n, size_t rotation,
                     dk_label *label, char **gloss, dk_chat_reply *raw, dk_err *err)
{
    dk_chat_question q = { .system = dk_relevance_system(s->translate) };
    dk_label *seen = dk_xcalloc(n, sizeof *seen);
    char **said = gloss ? dk_xcalloc(n, sizeof *said) : NULL;
    dk_buf user = {0};
    int rc;

    dk_relevance_user(&user, s, token, n, rotation);
    q.user = user.s;
    rc = ask_again(c, &q, n, rotation / n, seen, said, raw, err);
    for (size_t p = 0; rc == 0 && p < n; p++) {
        const size_t i = dk_relevance_at(p, rotation, n);

        label[i] = seen[p];
        if (gloss) {
            gloss[i] = said[p];
            said[p] = NULL;
        }
    }
    drop(said, n);
    dk_free(said);
    dk_free(seen);
    dk_buf_free(&user);
    return rc;
}

/* --- what is asked ---------------------------------------------------------------- */
/* Where a heading with "rubric" begins; n: nowhere. */
static size_t rubric_at(const char *s, size_t n)
{
    for (size_t line = 0; line < n;) {
        const char *eol = memchr(s + line, '\n', n - line);
        const size_t end = eol ? (size_t)(eol - s) : n;

        for (size_t p = line; s[line] == '#' && p + 6 <= end; p++)
            if (strncasecmp(s + p, "rubric", 6) == 0)
                return line;
        line = end + 1;
    }
    return n;
}

int dk_relevance_description(char **out, const char *text, size_t n, const char *name, dk_err *err)
{
    dk_buf clean = {0};
    size_t from, to;
    int rc = 0;

    *out = NULL;
    dk_utf8_clean(&clean, text, n);
    to = clean.n ? rubric_at(clean.s, clean.n) : 0;
    from = dk_utf8_lstrip(clean.s, 0, to);
    to = dk_utf8_rstrip(clean.s, from, to);
    if (to == from)
        rc = dk_fail(err, DK_EDATA, "%s describes nothing", name);
    else if (memchr(clean.s, 0, to))
        rc = dk_fail(err, DK_EDATA, "%s is no text: it has zero bytes", name);
    else
        *out = dk_xstrndup(clean.s + from, to - from);
    dk_buf_free(&clean);
    return rc;
}

/* Control characters as escapes: one token stays on one line. */
static void put_shown(dk_buf *out, const char *s)
{
    for (; *s; s++)
        if (*s == '\n')
            dk_buf_adds(out, "\\n");
        else if (*s == '\t')
            dk_buf_adds(out, "\\t");
        else if ((unsigned char)*s < ' ' || *s == 127)
            dk_buf_addf(out, "\\x%02X", (unsigned char)*s);
        else
            dk_buf_addc(out, *s);
}

void dk_relevance_user(dk_buf *out, const dk_relevance_subject *s, const char *const *token, size_t n, size_t rotation)
{
    dk_buf_addf(out, "[DESCRIPTION]\n%s\n\n[FREQUENT TOKENS]\n", s->description);
    if (!s->frequent || s->frequent->n == 0)
        dk_buf_adds(out, "(none)");
    for (size_t i = 0; s->frequent && i < s->frequent->n; i++) {
        dk_buf_adds(out, i ? ", \"" : "\"");
        put_shown(out, s->frequent->piece[i]);
        dk_buf_addc(out, '"');
    }
    dk_buf_adds(out, "\n\n[CANDIDATE TOKENS]\n");
    for (size_t p = 0; p < n; p++) {
        dk_buf_addf(out, "%zu. ", p + 1);
        put_shown(out, token[dk_relevance_at(p, rotation, n)]);
        dk_buf_addc(out, '\n');
    }
    if (s->translate)
        dk_buf_addf(out, "\n[OUTPUT FORMAT]\nEnd with exactly %zu lines and nothing after them, two for each candidate i "
                    "from 1 to %zu:\nTRANSLATION[i]: SAME, or an English gloss of 1 to 5 words\n"
                    "ANSWER[i]: RELEVANT or IRRELEVANT\n", 2 * n, n);
    else
        dk_buf_addf(out, "\n[OUTPUT FORMAT]\nEnd with exactly %zu lines and nothing after them, one for each candidate i "
                    "from 1 to %zu:\nANSWER[i]: RELEVANT or IRRELEVANT\n", n, n);
}

void dk_relevance_prompt_hash(bool translate, char hex[65])
{
    const dk_relevance_subject none = { .description = "", .translate = translate };
    dk_buf text = {0};

    dk_buf_adds(&text, dk_relevance_system(translate));
    dk_relevance_user(&text, &none, NULL, 0, 0);
    dk_sha256_mem(text.s, text.n, hex);
    dk_buf_free(&text);
}
