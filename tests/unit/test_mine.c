/* Diff mining on given lists: the matrix of topics on a worked example, rates
 * with their errors and nulls, and which tokens are words. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "method/minematrix.h"
#include "method/minerate.h"
#include "tap.h"
#include "text/tokspec.h"

static dk_err err;

static dk_tokens docs_of(const size_t *length, size_t n, uint32_t vocab)
{
    dk_tokens t = { .vocab = vocab };
    uint32_t *ids = dk_xcalloc(1000, sizeof *ids);

    for (size_t d = 0; d < n; d++)
        dk_tokens_add_doc(&t, d, ids, NULL, length[d], &err);
    dk_free(ids);
    return t;
}

/* --- the matrix: two samples of two positions, six tokens, lists of two ------------ */
static const uint32_t top_id[] = { 2, 3, 0, 1, 2, 4, 1, 2 };
static const float top[] = { 2, 2, 1, 1, -0.125f, -0.25f, 3, 0.5f };

static bool holds(const dk_nmf_matrix *m, size_t row, uint32_t col, float v)
{
    for (uint64_t i = m->at[row]; i < m->at[row + 1]; i++)
        if (m->col[i] == col)
            return m->value[i] == v;
    return false;
}

static void matrix(void)
{
    static const size_t two[] = { 2, 2 };
    static const uint32_t by_one[] = { 2, 0, 3, 1, 4 }, by_two[] = { 2, 0, 1, 3, 4 };
    static const uint32_t group[] = { DK_NO_ID, 1, 2, 2, 4, 5 };
    dk_tokens t = docs_of(two, 2, 6);
    dk_mine_matrix m;

    dk_mine_matrix_new(&m, &t, top_id, top, 2, 6, NULL, false, 1, &err);
    tap(m.m.rows == 4 && m.m.cols == 5 && memcmp(m.token, by_one, sizeof by_one) == 0, "columns in batches of one sample");
    tap(m.m.at[4] == 6 && m.m.at[2] == 4 && m.m.at[3] == 4 && holds(&m.m, 0, 0, 2) && holds(&m.m, 0, 2, 2) && holds(&m.m, 1, 1, 1) &&
        holds(&m.m, 1, 3, 1) && holds(&m.m, 3, 3, 3) && holds(&m.m, 3, 0, 0.5f), "entries above 0; a row and a column are empty");
    dk_mine_matrix_free(&m);
    dk_mine_matrix_new(&m, &t, top_id, top, 2, 6, NULL, false, 16, &err);
    tap(m.m.cols == 5 && memcmp(m.token, by_two, sizeof by_two) == 0, "columns in one batch: rank by rank");
    dk_mine_matrix_free(&m);
    dk_mine_matrix_new(&m, &t, top_id, top, 2, 6, NULL, true, 16, &err);
    tap(m.m.at[4] == 8 && holds(&m.m, 2, 0, 1) && holds(&m.m, 2, 4, 1), "occurrence: all of a list are 1");
    dk_mine_matrix_free(&m);
    dk_mine_matrix_new(&m, &t, top_id, top, 2, 6, group, false, 16, &err);
    tap(m.m.cols == 3 && m.token[0] == 2 && m.token[1] == 1 && holds(&m.m, 0, 0, 4) && m.m.at[1] == 1 && m.m.at[2] == 2,
        "words: 3 counts as 2, 0 is left out");
    dk_mine_matrix_free(&m);
    dk_mine_matrix_new(&m, &t, top_id, top, 2, 6, group, true, 16, &err);
    tap(holds(&m.m, 0, 0, 1), "... and a word is in a list once");
    dk_mine_matrix_free(&m);
    tap(dk_mine_matrix_new(&m, &t, top_id, top, 2, 4, NULL, false, 16, &err) == DK_EDATA, "an id beyond the vocabulary: %s", err.msg);
    dk_tokens_free(&t);
}

/* --- rates -------------------------------------------------------------------------- */
/* One list entry a row: token 1 at the first x positions of each text, else token 0. */
static dk_rates rates_of(const dk_tokens *t, const size_t *x, const dk_words *w)
{
    const dk_mine_file f = { .t = t, .vocab = 4 };
    dk_mine_lists l = { .k = 1, .id = dk_xcalloc(t->rows, sizeof(uint32_t)) };
    dk_rates r;

    for (size_t d = 0; d < t->docs; d++)
        for (size_t i = 0; i < x[d]; i++)
            l.id[t->offset[d] + i] = 1;
    dk_rates_make(&r, &f, &l, w, &err);
    dk_free(l.id);
    return r;
}

static void rates(void)
{
    static const size_t n[] = { 10, 8, 12, 9, 20, 6 }, x[] = { 3, 0, 5, 2, 7, 1 }, low[] = { 1, 0, 0, 0, 1, 0 };
    static const size_t one[] = { 30 }, more[] = { 0, 1, 0, 1, 1, 0 };
    static uint32_t together[] = { 0, 0, 2, 3 }, members[] = { 2, 0, 1, 1 };
    dk_tokens t = docs_of(n, 6, 4), single = docs_of(one, 1, 4);
    const dk_words plain = {0}, words = { together, members, true };
    dk_rates r = rates_of(&t, x, &plain), null[5];
    dk_rates_z z = {0};
    double m, se;

    tap(r.texts == 6 && fabs(r.rate[1] - .276923) < 5e-7 && fabs(r.se[1] - .0548418) < 5e-8, "rate %.6f, error %.7f", r.rate[1], r.se[1]);
    tap(fabs(r.rate[0] + r.rate[1] - 1) < 1e-12 && fabs(r.se[0] - r.se[1]) < 1e-12 && r.rate[2] == 0 && r.se[2] == 0,
        "the other token's, and none");
    null[0] = rates_of(&t, low, &plain);
    null[1] = rates_of(&t, more, &plain);
    dk_rates_compare(&z, &r, null, 2, &t, 4, &err);
    m = null[1].rate[1];
    se = hypot(r.se[1], null[1].se[1]);
    tap(z.null[1] == 2 && fabs(z.z[1] - (r.rate[1] - m) / se) < 1e-12 && isnan(z.z[2]), "two nulls: z %.3f against the higher", z.z[1]);
    dk_rates_z_free(&z);
    for (size_t i = 2; i < 5; i++) {
        static const size_t some[3][6] = { { 2, 2, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0, 6 }, { 1, 1, 1, 1, 1, 1 } };

        null[i] = rates_of(&t, some[i - 2], &plain);
    }
    dk_rates_compare(&z, &r, null, 5, &t, 4, &err);
    m = (2 + 3 + 4 + 6 + 6) / 5. / 65;
    se = sqrt(((2 - 4.2) * (2 - 4.2) + (3 - 4.2) * (3 - 4.2) + (4 - 4.2) * (4 - 4.2) + 2 * (6 - 4.2) * (6 - 4.2)) / 4) / 65;
    /* four tokens in ten deciles: each of its own */
    tap(fabs(z.z[1] - (r.rate[1] - m) / hypot(r.se[1], se)) < 1e-9, "five nulls: z %.3f against their mean and deviation", z.z[1]);
    dk_rates_z_free(&z);
    for (size_t i = 0; i < 5; i++)
        dk_rates_free(&null[i]);
    dk_rates_free(&r);
    r = rates_of(&t, x, &words);
    tap(r.rate[0] == 1 && r.rate[1] == 0 && r.se[0] < 1e-7, "words: two spellings at every position");
    dk_rates_free(&r);
    r = rates_of(&single, one, &plain);
    tap(r.rate[1] == 1 && isnan(r.se[1]), "one text has no error");
    dk_rates_free(&r);
    dk_tokens_free(&t);
    dk_tokens_free(&single);
}

/* Floors by decile: twenty tokens, two in each by how often they stand in the texts. */
static void floors(void)
{
    enum { VOCAB = 20 };
    double rate[6][VOCAB] = {{0}}, se[VOCAB] = {0};
    dk_rates r[6], *null = r + 1;
    dk_tokens t = { .vocab = VOCAB };
    dk_rates_z z = {0};
    uint32_t ids[VOCAB * VOCAB];
    size_t n = 0;

    for (uint32_t v = 0; v < VOCAB; v++)
        for (uint32_t i = 0; i < v; i++)
            ids[n++] = v;
    dk_tokens_add_doc(&t, 0, ids, NULL, n, &err);
    for (size_t l = 0; l < 6; l++)
        r[l] = (dk_rates){ 1, rate[l], se };
    for (size_t v = 0; v < VOCAB; v++) {
        rate[0][v] = 1;
        rate[1][v] = v % 2 ? 0.1 : 0.5;     /* one of five: deviation 0.1 / sqrt 5, and five times that */
    }
    dk_rates_compare(&z, &r[0], null, 5, &t, VOCAB, &err);
    tap(fabs(z.z[1] - (1 - 0.02) / (0.1 / sqrt(5))) < 1e-9 && fabs(z.z[0] - (1 - 0.1) / (0.5 / sqrt(5))) < 1e-9,
        "the lower of two is the median of a decile");
    dk_rates_z_free(&z);
    rate[1][1] = 0;                         /* no deviation, but its neighbour's half */
    rate[1][0] = 0.2;
    rate[1][3] = 0.3;
    rate[1][2] = 0.3;
    dk_rates_compare(&z, &r[0], null, 5, &t, VOCAB, &err);
    tap(isnan(z.z[1]) && fabs(z.z[3] - (1 - 0.06) / (0.3 / sqrt(5))) < 1e-9, "no deviation at all is no z");
    dk_rates_z_free(&z);
    dk_tokens_free(&t);
}

/* --- words ------------------------------------------------------------------------------ */
static void words(void)
{
    static const struct { const char *text; bool sign; const char *normal; } c[] = {
        { "", true, NULL }, { " ", true, NULL }, { "\n\n", true, NULL }, { ".", true, NULL }, { " ...", true, NULL },
        { "\xe2\x96\x81", true, NULL }, { "\xe2\x80\x94", true, NULL }, { "\xf0\x9f\x98\x80", true, NULL }, { "+=", true, NULL },
        { "a", false, "a" }, { "7", false, "7" }, { ".ai", false, "ai" }, { " AI", false, "ai" }, { "C++", false, "c++" },
        { "don't", false, "don't" }, { "'\xc3\x89t\xc3\x89", false, "\xc3\xa9t\xc3\xa9" }, { "\xc3", false, "\xc3" },
        { "\xd0\x94\xd0\xb0!", false, "\xd0\xb4\xd0\xb0" }
    };

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        const size_t n = strlen(c[i].text);
        dk_buf b = {0};
        const bool some = dk_words_normal(&b, c[i].text, n);

        tap(dk_words_is_punctuation(c[i].text, n) == c[i].sign && some == (c[i].normal != NULL) &&
            (!some || strcmp(b.s, c[i].normal) == 0), "word %zu: %s", i, some ? b.s : "nothing");
        dk_buf_free(&b);
    }
}

int main(void)
{
    matrix();
    rates();
    floors();
    words();
    return tap_end();
}
