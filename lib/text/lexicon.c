/* Lexicons. */
#include "text/lexicon.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/mapfile.h"
#include "io/textfile.h"
#include "text/utf8.h"

enum { LETTERS = 3 };               /* shorter words mark nothing */

/* --- stems ------------------------------------------------------------------------ */
static bool ends(const dk_buf *w, size_t from, const char *tail)
{
    const size_t n = strlen(tail);

    return w->n - from >= n && memcmp(w->s + w->n - n, tail, n) == 0;
}

static void cut(dk_buf *w, size_t n) { w->s[w->n -= n] = 0; }

static bool has_vowel(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr("aeiouy", s[i]))
            return true;
    return false;
}

/* An ending goes where three letters with a vowel stay; "stopped" loses a p, too. */
static void cut_verb(dk_buf *w, size_t from, const char *tail)
{
    const size_t n = strlen(tail);
    size_t rest;

    if (!ends(w, from, tail) || w->n - from < n + 3 || !has_vowel(w->s + from, w->n - from - n))
        return;
    cut(w, n);
    rest = w->n - from;
    if (rest > 3 && w->s[w->n - 1] == w->s[w->n - 2] && !strchr("aeiouls", w->s[w->n - 1]))
        cut(w, 1);
}

void dk_stem(dk_buf *out, const char *s, size_t n)
{
    const size_t from = out->n;

    for (size_t i = 0; i < n;) {
        const int32_t cp = dk_utf8_next(s, n, &i);

        if (cp >= 0)
            dk_utf8_lower(out, cp);
    }
    if (out->n - from > 4 && ends(out, from, "ies")) {
        cut(out, 3);
        dk_buf_addc(out, 'y');
    } else if (out->n - from > 4 && ends(out, from, "sses"))
        cut(out, 2);
    else if (out->n - from > 3 && ends(out, from, "s") && !ends(out, from, "ss") && !ends(out, from, "us") &&
             !ends(out, from, "is"))
        cut(out, 1);
    if (out->n - from > 5 && ends(out, from, "ly"))
        cut(out, 2);
    cut_verb(out, from, "ing");
    cut_verb(out, from, "ed");
    if (out->n - from > 3 && ends(out, from, "e"))
        cut(out, 1);
}

/* --- counts ------------------------------------------------------------------------ */
struct entry {
    char *stem;
    size_t docs[2], last;           /* of both sets; the document that counted last, from 1 */
    double z;
};

/* Open addressing; no more than half of the places are taken. */
struct table { struct entry *e; size_t n, cap; };

static size_t place_of(const struct table *t, const char *stem)
{
    uint64_t h = 14695981039346656037u;

    for (const char *p = stem; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    for (h %= t->cap; t->e[h].stem && strcmp(t->e[h].stem, stem) != 0;)
        h = (h + 1) % t->cap;
    return h;
}

static void grow(struct table *t)
{
    struct table to = { .cap = t->cap ? 2 * t->cap : 4096, .n = t->n };

    to.e = dk_xcalloc(to.cap, sizeof *to.e);
    for (size_t i = 0; i < t->cap; i++)
        if (t->e[i].stem)
            to.e[place_of(&to, t->e[i].stem)] = t->e[i];
    dk_free(t->e);
    *t = to;
}

static struct entry *entry_of(struct table *t, const char *stem)
{
    struct entry *e;

    if (2 * t->n >= t->cap)
        grow(t);
    e = &t->e[place_of(t, stem)];
    if (!e->stem) {
        e->stem = dk_xstrdup(stem);
        t->n++;
    }
    return e;
}

static void free_table(struct table *t)
{
    for (size_t i = 0; i < t->cap; i++)
        dk_free(t->e[i].stem);
    dk_free(t->e);
}

/* The next run of letters of s from *at on: its bytes, and how many letters. */
static size_t next_word(const char *s, size_t n, size_t *at, size_t *from, size_t *letters)
{
    *letters = 0;
    while (*at < n) {
        const size_t here = *at;
        const bool letter = dk_utf8_class(dk_utf8_next(s, n, at)) == DK_CLASS_LETTER;

        if (letter && ++*letters == 1)
            *from = here;
        if (!letter && *letters)
            return here - *from;
    }
    return *letters ? n - *from : 0;
}

static void count(struct table *t, const char *s, size_t n, int set, size_t doc, dk_buf *stem)
{
    size_t at = 0, from = 0, letters, len;

    while ((len = next_word(s, n, &at, &from, &letters)) > 0) {
        struct entry *e;

        if (letters < LETTERS)
            continue;
        dk_buf_clear(stem);
        dk_stem(stem, s + from, len);
        e = entry_of(t, stem->s);
        e->docs[set] += e->last != doc;
        e->last = doc;
    }
}

/* Counts documents on from *doc. */
static int read_texts(struct table *t, const char *path, const char *column, int set, size_t most, size_t *doc,
                      size_t *docs, dk_err *err)
{
    dk_textfile *f = NULL;
    dk_buf stem = {0};
    dk_doc d;
    int rc = dk_textfile_open(&f, path, DK_DOC_AUTO, column, err);

    *docs = 0;
    while (rc == 0 && (most == 0 || *docs < most) && (rc = dk_textfile_next(f, &d, err)) == 1) {
        ++*doc;
        ++*docs;
        if (d.kind == DK_DOC_CHAT)
            for (size_t i = 0; i < d.n_messages; i++)
                count(t, d.message[i].content.s, d.message[i].content.n, set, *doc, &stem);
        else
            count(t, d.text.s, d.text.n, set, *doc, &stem);
        rc = 0;
    }
    dk_textfile_close(&f);
    dk_buf_free(&stem);
    return rc < 0 ? rc : *docs ? 0 : dk_fail(err, DK_EDATA, "%s holds no documents", path);
}

/* --- the lexicon -------------------------------------------------------------------- */
struct dk_lexicon { char **stem, **sorted; size_t n; };

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int by_z(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->z > y->z ? -1 : x->z < y->z ? 1 : strcmp(x->stem, y->stem);
}

static void finish(dk_lexicon *l)
{
    l->sorted = dk_xcalloc(l->n + 1, sizeof *l->sorted);
    if (l->n)
        memcpy(l->sorted, l->stem, l->n * sizeof *l->sorted);
    qsort(l->sorted, l->n, sizeof *l->sorted, by_text);
}

/* Of the log-odds of occurring in a document.  All four counts make its error: a
 * word that every document has marks none. */
static double z_of(const struct entry *e, size_t texts, size_t neutral)
{
    const double t = (double)e->docs[0] + .5, r = (double)e->docs[1] + .5, not_t = (double)texts + 1 - t,
                 not_r = (double)neutral + 1 - r;

    return (log(t / not_t) - log(r / not_r)) / sqrt(1 / t + 1 / not_t + 1 / r + 1 / not_r);
}

int dk_lexicon_make(dk_lexicon **out, const char *texts, const char *column, const char *neutral, size_t n,
                    size_t most_docs, dk_err *err)
{
    dk_lexicon *l = dk_xcalloc(1, sizeof *l);
    struct table t = {0};
    size_t doc = 0, docs[2], kept = 0;
    int rc = read_texts(&t, texts, column, 0, most_docs, &doc, &docs[0], err);

    if (rc == 0)
        rc = read_texts(&t, neutral, NULL, 1, most_docs, &doc, &docs[1], err);
    for (size_t i = 0; rc == 0 && i < t.cap; i++)
        if (t.e[i].stem) {
            const struct entry e = t.e[i];

            t.e[i].stem = NULL;
            t.e[kept] = e;
            t.e[kept++].z = z_of(&e, docs[0], docs[1]);
        }
    if (rc == 0)
        qsort(t.e, kept, sizeof *t.e, by_z);
    l->stem = dk_xcalloc(n + 1, sizeof *l->stem);
    for (size_t i = 0; rc == 0 && i < kept && l->n < n && t.e[i].z > 0; i++)
        l->stem[l->n++] = dk_xstrdup(t.e[i].stem);
    if (rc == 0 && l->n == 0)
        rc = dk_fail(err, DK_EDATA, "no word of %s marks it against %s", texts, neutral);
    finish(l);
    free_table(&t);
    if (rc < 0)
        dk_lexicon_free(&l);
    *out = l;
    return rc;
}

int dk_lexicon_of(dk_lexicon **out, const char *text, size_t n, const char *name, dk_err *err)
{
    dk_lexicon *l = dk_xcalloc(1, sizeof *l);
    struct table t = {0};
    dk_buf stem = {0};
    size_t at = 0, from = 0, letters, len;
    int rc = 0;

    while ((len = next_word(text, n, &at, &from, &letters)) > 0) {
        struct entry *e;

        dk_buf_clear(&stem);
        dk_stem(&stem, text + from, len);
        e = entry_of(&t, stem.s);
        if (e->last++)
            continue;
        l->stem = dk_xrealloc(l->stem, (l->n + 1) * sizeof *l->stem);
        l->stem[l->n++] = dk_xstrdup(stem.s);
    }
    if (l->n == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no words", name);
    finish(l);
    free_table(&t);
    dk_buf_free(&stem);
    if (rc < 0)
        dk_lexicon_free(&l);
    *out = l;
    return rc;
}

int dk_lexicon_load(dk_lexicon **out, const char *path, dk_err *err)
{
    dk_mapfile *m = NULL;
    int rc = dk_mapfile_open(&m, path, err);

    *out = NULL;
    if (rc == 0)
        rc = dk_lexicon_of(out, (const char *)m->p, m->n, path, err);
    dk_mapfile_close(&m);
    return rc;
}

int dk_lexicon_open(dk_lexicon **out, const dk_lexicon_from *from, dk_err *err)
{
    *out = NULL;
    if (from->words)
        return dk_lexicon_load(out, from->words, err);
    return from->texts ? dk_lexicon_make(out, from->texts, from->column, from->neutral, from->n, from->most_docs, err) : 0;
}

void dk_lexicon_free(dk_lexicon **lp)
{
    dk_lexicon *l = *lp;

    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        dk_free(l->stem[i]);
    dk_free(l->stem);
    dk_free(l->sorted);
    dk_free(l);
    *lp = NULL;
}

size_t dk_lexicon_n(const dk_lexicon *l) { return l->n; }
const char *dk_lexicon_at(const dk_lexicon *l, size_t i) { return l->stem[i]; }

bool dk_lexicon_has(const dk_lexicon *l, const char *s, size_t n)
{
    const size_t skip = dk_utf8_spaces_after(s, n), back = skip < n ? dk_utf8_spaces_before(s, n) : 0;
    size_t at = 0, from = 0, letters, len;
    dk_buf stem = {0};
    const char *key;
    bool found;

    s += skip;
    n -= skip + back;
    len = next_word(s, n, &at, &from, &letters);
    if (len == 0 || len != n || letters < LETTERS)
        return false;
    dk_stem(&stem, s, n);
    key = stem.s;
    found = bsearch(&key, l->sorted, l->n, sizeof *l->sorted, by_text);
    dk_buf_free(&stem);
    return found;
}
