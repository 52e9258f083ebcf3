/* Which layers, documents and rows an extraction takes: the tables of the reference
 * toolkit's rules, and what goes beyond them. */
#include <string.h>

#include "method/extract.h"
#include "method/extractrows.h"
#include "method/score.h"
#include "tap.h"

/* --- layers --------------------------------------------------------------------- */
static int layer(const char *text, size_t blocks)
{
    char *one = dk_xstrdup(text);
    char *const list[] = { one };
    int out[DK_MAX_LAYERS];
    dk_err err = {0};
    size_t n;
    const int rc = dk_extract_layers(out, &n, list, 1, blocks, &err);

    dk_free(one);
    return rc == 0 && n == 1 ? out[0] : -1;
}

static void layers(void)
{
    static const struct { size_t blocks; int middle; } half[] = {
        { 12, 5 }, { 26, 12 }, { 28, 13 }, { 30, 14 }, { 32, 15 }, { 36, 17 }, { 40, 19 }, { 64, 31 }, { 80, 39 }
    };
    static const char *const mixed[] = { "1.0", "3", "0.5", "0", "13" };
    static const char *const wrong[] = { "28", "-1", "1.01", "-0.1", "", "x", "0.5x", "nan.0" };
    char *list[5];
    int out[DK_MAX_LAYERS], bad = 0;
    dk_err err = {0};
    size_t n;

    for (size_t i = 0; i < sizeof half / sizeof *half; i++) {
        bad += layer("0.5", half[i].blocks) != half[i].middle;
        bad += layer("0.0", half[i].blocks) != 0 || layer("1.0", half[i].blocks) != (int)half[i].blocks - 1;
    }
    tap(bad == 0, "0.5, 0.0 and 1.0 of 12 to 80 blocks (%d others)", bad);
    tap(layer("0.25", 28) == 6 && layer("0.75", 28) == 20, "0.25 and 0.75 of 28");
    tap(layer("13", 28) == 13 && layer("1", 28) == 1 && layer("1.0", 28) == 27, "a number without a point is a block");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (layer(wrong[i], 28) != -1)
            tap(false, "'%s' is taken", wrong[i]);
    for (size_t i = 0; i < 5; i++)
        list[i] = dk_xstrdup(mixed[i]);
    tap(dk_extract_layers(out, &n, list, 5, 28, &err) == 0 && n == 4 && out[0] == 0 && out[1] == 3 && out[2] == 13 && out[3] == 27,
        "several, in any order and twice: ascending, once");
    for (size_t i = 0; i < 5; i++)
        dk_free(list[i]);
}

/* --- documents -------------------------------------------------------------------- */
/* Of `docs` documents of 625 tokens; what they are does not matter. */
static uint64_t kept_of(size_t docs, uint64_t budget, size_t batch)
{
    dk_tokens t = { .docs = docs, .offset = dk_xcalloc(docs + 1, sizeof(uint64_t)) };
    uint64_t rows;

    for (size_t d = 0; d <= docs; d++)
        t.offset[d] = 625 * d;
    rows = t.offset[dk_budget_docs(&t, budget, batch)];
    dk_free(t.offset);
    return rows;
}

/* 32 documents are 20,000 tokens. */
static void budgets(void)
{
    enum { MUCH = 160000 };

    tap(kept_of(MUCH, 50000000, 32) == 50100000, "the toolkit's 50 million are 50,100,000");
    tap(kept_of(MUCH, 5000000, 32) == 10020000, "and its 5 million 10,020,000");
    tap(kept_of(9600, 5000000, 32) == 6000000, "of 6 million it keeps all");
    tap(kept_of(MUCH, 50000000, 0) == 50000000 && kept_of(MUCH, 5000000, 0) == 5000000 && kept_of(9600, 5000000, 0) == 5000000,
        "exact limits are these");
    tap(kept_of(MUCH, 5000001, 0) == 5000625 && kept_of(MUCH, 1, 0) == 625, "to the end of the document that reaches them");
    tap(kept_of(100, 0, 0) == 62500 && kept_of(100, 0, 32) == 62500, "no limit");
}

/* --- rows ----------------------------------------------------------------------------- */
static bool offsets(const dk_tokens *t, const uint64_t *want)
{
    return memcmp(t->offset, want, (t->docs + 1) * sizeof *want) == 0 && t->rows == want[t->docs];
}

static void rows(void)
{
    static const uint32_t ids[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    static const uint8_t flags[9] = { DK_TOK_BOS | DK_TOK_SPECIAL, DK_TOK_TEMPLATE, DK_TOK_USER, DK_TOK_TEMPLATE, DK_TOK_ASSISTANT,
                                      DK_TOK_BOS | DK_TOK_SPECIAL, 0, DK_TOK_USER, DK_TOK_MASKED | DK_TOK_ASSISTANT };
    static const uint64_t all[] = { 0, 5, 5, 8, 9 }, skipped[] = { 0, 3, 3, 4, 4 }, user[] = { 0, 1, 1, 2, 2 },
                          neither[] = { 0, 3, 3, 5, 5 };
    dk_tokens t = { .vocab = 10, .format = dk_xstrdup("chat"), .bos = dk_xstrdup("present") }, some;
    dk_row_rule rule = { .skip = 2 }, role = {0};
    dk_err err = {0};

    dk_tokens_add_doc(&t, 0, ids, flags, 5, &err);
    dk_tokens_add_doc(&t, 1, ids, NULL, 0, &err);
    dk_tokens_add_doc(&t, 2, ids + 5, flags + 5, 3, &err);
    dk_tokens_add_doc(&t, 3, ids + 8, flags + 8, 1, &err);
    tap(t.docs == 4 && offsets(&t, all), "texts of 5, 0, 3 and 1 tokens");
    tap(dk_rows_kept(&some, &t, &rule, &err) == 0 && some.docs == 4 && offsets(&some, skipped) && some.pos[0] == 2 &&
        some.pos[3] == 2 && some.token[3] == 8, "without the first two: 3, 0, 1 and 0, at their positions");
    dk_tokens_free(&some);
    tap(dk_row_flag(&role.only, "user", "--only", &err) == 0 && dk_rows_kept(&some, &t, &role, &err) == 0 &&
        offsets(&some, user) && some.token[0] == 3 && some.token[1] == 8, "a user's tokens");
    dk_tokens_free(&some);
    role = (dk_row_rule){0};
    tap(dk_row_flag(&role.drop, "assistant", "--drop", &err) == 0 && dk_row_flag(&role.drop, "bos", "--drop", &err) == 0 &&
        dk_rows_kept(&some, &t, &role, &err) == 0 && offsets(&some, neither), "neither BOS nor an assistant's");
    dk_tokens_free(&some);
    dk_tokens_free(&t);
}

int main(void)
{
    layers();
    budgets();
    rows();
    return tap_end();
}
