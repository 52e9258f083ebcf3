/* What dk-phrases is made of: strings as numbers, words, suffix arrays against plain search. */
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "base/rng.h"
#include "num/suffix.h"
#include "tap.h"
#include "text/lextest.h"
#include "text/words.h"

static dk_err err;

static void interned(void)
{
    dk_intern t = {0};
    bool good = dk_intern_find(&t, "x", 1) == DK_INTERN_NONE;
    char key[32];
    size_t n;

    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            n = (size_t)snprintf(key, sizeof key, "word %u", i * 7919u);
            good = good && dk_intern_add(&t, key, n) == i && dk_intern_find(&t, key, n) == i;
        }
    tap(good && t.n == 5000, "strings get numbers in order, once");
    good = dk_intern_add(&t, "a\0b", 3) == 5000 && dk_intern_add(&t, "a", 1) == 5001 && dk_intern_add(&t, "", 0) == 5002;
    good = good && memcmp(dk_intern_text(&t, 5000, &n), "a\0b", 4) == 0 && n == 3 && *dk_intern_text(&t, 5002, &n) == 0 && n == 0;
    tap(good && dk_intern_find(&t, "a\0c", 3) == DK_INTERN_NONE, "with zeros, and empty");
    dk_intern_free(&t);
}

/* Words with '|' between them; '#' before numbers, '^' before capitals, '.' before those that begin. */
static bool words(const char *text, size_t len, const char *want)
{
    dk_buf got = {0};
    size_t at = 0;
    dk_word w;
    bool same;

    while (dk_word_next(&w, text, len, &at)) {
        dk_buf_addf(&got, "%s%s%s%s", got.n ? "|" : "", w.starts ? "." : "", w.number ? "#" : "", w.capital ? "^" : "");
        dk_word_fold(&got, text + w.at, w.n);
    }
    same = strcmp(got.n ? got.s : "", want) == 0;
    if (!same)
        tap_note("got %s", got.n ? got.s : "nothing");
    dk_buf_free(&got);
    return same;
}

static bool is(const char *text, const char *want) { return words(text, strlen(text), want); }

static void text(void)
{
    tap(is("Bake it at 450\xc2\xb0""F, don\xe2\x80\x99t wait", ".^bake|it|at|#450|^f|don't|wait"), "numbers, apostrophes");
    tap(is("nine\xe2\x80\x91minute -- 'tis rock'n'roll- 1-2 a--b", ".nine-minute|tis|rock'n'roll|1-2|a|b"), "hyphens only inside");
    tap(is("Odile said: \"Go\". (Then, He\nleft) * Item", ".^odile|said|.^go|.^then|^he|.left|.^item"), "what begins a sentence");
    tap(is("", "") && is(" .-' ", "") && is("x", ".x") && is("-x'", "x"), "nothing, and little");
    tap(words("ab\xff\xfe""cd\xc3", 7, ".ab|cd"), "bytes that are no text stand between words");
    tap(is("e\xcc\x81t\xc3\xa9 \xcc\x81 \xce\x93\xce\xb1 \xd9\xa4\xd9\xa5 \xc2\xbd", ".e\xcc\x81t\xc3\xa9|^\xce\xb3\xce\xb1|#\xd9\xa4\xd9\xa5|#\xc2\xbd"),
        "marks, other letters, other digits");
    tap(dk_word_function("the", 3) && dk_word_function("don't", 5) && dk_word_function("about", 5) && dk_word_function("yourself", 8) &&
        dk_word_function("x", 1) && !dk_word_function("4", 1) && !dk_word_function("cake", 4) && !dk_word_function("th", 2) &&
        !dk_word_function("yourselfyourselfyourself", 24), "function words");
}

/* Random bytes, many of them parts of characters: words lie in the text, in order, and hold no blank. */
static void bytes(void)
{
    bool good = true;

    for (uint64_t seed = 0; seed < 2000; seed++) {
        const size_t n = dk_ctr(seed, 4, 0, 0) % 40;
        char *s = malloc(n + 1);
        size_t at = 0, end = 0;
        dk_buf fold = {0};
        dk_word w;

        for (size_t i = 0; i < n; i++) {
            const uint64_t u = dk_ctr(seed, 4, 1, i);

            s[i] = u % 3 ? (char)(u >> 32) : "a' -.\xc3\xa9"[(u >> 40) % 7];
        }
        s = realloc(s, n ? n : 1);      /* a byte too far is seen */
        while (good && dk_word_next(&w, s, n, &at)) {
            good = w.n > 0 && w.at >= end && w.at + w.n <= n && at >= w.at + w.n && !memchr(s + w.at, ' ', w.n);
            end = w.at + w.n;
            dk_word_fold(&fold, s + w.at, w.n);
        }
        dk_buf_free(&fold);
        free(s);
    }
    tap(good, "words of any bytes");
}

/* --- suffix arrays --------------------------------------------------------------------- */
static size_t longest(const uint32_t *id, size_t n, const uint32_t *q, size_t m)
{
    size_t best = 0;

    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < m && i + k < n && id[i + k] == q[k])
            k++;
        best = k > best ? k : best;
    }
    return best;
}

static bool in_order(const uint32_t *id, size_t n, uint32_t a, uint32_t b)
{
    while (a < n && b < n && id[a] == id[b]) {
        a++;
        b++;
    }
    return b < n && (a == n || id[a] < id[b]);
}

static bool one(uint64_t seed, size_t n, uint32_t kinds)
{
    uint32_t *id = calloc(n + 1, sizeof *id), *sa = calloc(n + 1, sizeof *sa), q[40];
    bool good = dk_suffix_sort(sa, id, 0, &err) == 0;

    for (size_t i = 0; i < n; i++)
        id[i] = (uint32_t)(dk_ctr(seed, 1, 0, i) % kinds) * 1000003u;
    for (size_t i = 13; i < n; i += 17)
        id[i] = DK_SUFFIX_APART;
    good = good && dk_suffix_sort(sa, id, n, &err) == 0;
    for (size_t i = 1; good && i < n; i++)
        good = in_order(id, n, sa[i - 1], sa[i]);
    for (uint64_t t = 0; good && t < 30; t++) {
        dk_cover c;
        size_t covered = 0, far = 0, best = 0;

        for (size_t i = 0; i < 40; i++)     /* a stretch of the text in what is not */
            q[i] = i > 10 && i < 25 && n > 40 ? id[(dk_ctr(seed, 2, t, 0) % (n - 40)) + i] : (uint32_t)(dk_ctr(seed, 3, t, i) % (kinds + 1)) * 1000003u;
        for (size_t i = 0; good && i < 40; i++) {
            const size_t k = longest(id, n, q + i, 40 - i);

            good = dk_suffix_longest(sa, id, n, q + i, 40 - i) == k;
            best = k > best ? k : best;
            if (k >= 6)
                far = i + k > far ? i + k : far;
            covered += i < far;
        }
        c = dk_suffix_cover(sa, id, n, q, 40, 6);
        good = good && c.covered == covered && c.longest == best;
    }
    free(id);
    free(sa);
    return good;
}

static void suffixes(void)
{
    bool good = true;

    for (uint64_t seed = 0; seed < 20; seed++)
        good = good && one(seed, 300, 2 + (uint32_t)seed % 5) && one(seed, seed, 3) && one(seed, 500, 1);
    tap(good, "suffix arrays, longest stretches and cover against plain search");
}

static void lextest(void)
{
    const uint32_t count[20] = { 9, 9, 9, 9, 1, 1, 1, 1, 5, 5, 5, 5, 0, 0, 0, 0, 7, 7, 7, 7 }, list[] = { 0, 4, 5, 99 };
    dk_lextest t;
    double p = 0;
    size_t hits;

    dk_lextest_make(&t, count, 20, &err);
    dk_lextest_mark(&t, 0);
    dk_lextest_mark(&t, 4);
    dk_lextest_mark(&t, 4);
    /* tenths of two: 0 and 1 in the first, of which one is marked; 4 and 5 are a tenth, one marked. */
    hits = dk_lextest_hits(&t, list, 4, &p);
    tap(hits == 2 && p > .5 - 1e-12 && p < .5 + 1e-12, "the lexicon test: %g", p);
    dk_lextest_free(&t);
}

int main(void)
{
    interned();
    text();
    bytes();
    suffixes();
    lextest();
    return tap_end();
}
