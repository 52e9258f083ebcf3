/* Lists of texts from many scores at once: the exact first ones of each, ties by
 * the order of the texts, however many are asked for. */
#include <stdio.h>

#include "base/rng.h"
#include "files.h"
#include "h5make.h"
#include "io/json.h"
#include "method/examples.h"
#include "tap.h"

enum { GROUPS = 50, DOCS = 2000, K = 100, SEED = 7 };

static char *dir;

/* 100,000 scores, with many ties. */
static float score[GROUPS][DOCS];

static void draw(void)
{
    for (size_t g = 0; g < GROUPS; g++)
        for (size_t d = 0; d < DOCS; d++)
            score[g][d] = (float)(dk_ctr(SEED, 99, g, d) % 1024) / 64 - 8;
}

static int make(const char *path, dk_err *err)
{
    dk_tokens t = { .vocab = DOCS, .corpus_name = dk_xstrdup("stream"), .format = dk_xstrdup("text"), .bos = dk_xstrdup("none") };
    const dk_score_attr attr = { .unit = "norm", .higher = "more different" };
    const dk_model_info model = { .arch = "llama", .kind = "base", .dtype = "f32", .d_model = 4, .vocab = DOCS };
    float v[DOCS];
    dk_scores_writer *w = NULL;
    int rc = 0;

    for (size_t d = 0; rc == 0 && d < DOCS; d++) {
        const uint32_t id = (uint32_t)d;

        rc = dk_tokens_add_doc(&t, d, &id, NULL, 1, err);
    }
    if (rc == 0) rc = dk_scores_new(&w, path, &t, &sample_prov, err);
    if (rc == 0) rc = dk_scores_add_model(w, "base", &model, err);
    if (rc == 0) rc = dk_scores_add_model(w, "ft", &model, err);
    for (size_t g = 0; rc == 0 && g < GROUPS; g++) {
        char *name = dk_xasprintf("proj/L00/resid_post/pc_%zu/ft", g);

        for (size_t d = 0; d < DOCS; d++) {
            v[d] = score[g][d];
        }
        rc = dk_scores_add_dense(w, name, v, 0, &attr, err);
        dk_free(name);
    }
    if (rc == 0) rc = dk_scores_commit(&w, err);
    dk_tokens_free(&t);
    return rc;
}

/* The rank of a text among all, best first. */
static size_t rank_of(size_t group, size_t doc, bool top)
{
    const float own = score[group][doc];
    size_t before = 0;

    for (size_t d = 0; d < DOCS; d++) {
        const float x = score[group][d];

        before += (top ? x > own : x < own) || (x == own && d < doc);
    }
    return before + 1;
}

static void check(const dk_buf *table, size_t k)
{
    dk_json *row = NULL;
    size_t rows = 0, wrong = 0;

    for (const char *s = table->s, *end; s && (end = memchr(s, '\n', (size_t)(table->s + table->n - s))); s = end + 1) {
        const char *name;
        size_t group, doc, rank;
        bool top;

        if (dk_json_parse(&row, s, (size_t)(end - s), "line", NULL) < 0) {
            wrong++;
            continue;
        }
        name = dk_json_str(dk_json_get(row, "score"), "");
        group = (size_t)strtoul(strstr(name, "pc_") + 3, NULL, 10);
        doc = (size_t)dk_json_int(dk_json_get(row, "doc"), -1);
        rank = (size_t)dk_json_int(dk_json_get(row, "rank"), -1);
        top = strcmp(dk_json_str(dk_json_get(row, "side"), ""), "top") == 0;
        wrong += rank != rows % k + 1 || rank_of(group, doc, top) != rank || dk_json_num(dk_json_get(row, "value"), 0) != score[group][doc];
        rows++;
        dk_json_free(&row);
    }
    tap(rows == 2 * GROUPS * k && wrong == 0, "%zu texts of %d lists: %zu wrong", rows, 2 * GROUPS, wrong);
}

int main(void)
{
    char *path, *mini = repo_path("tests/golden/mini/hf");
    const size_t k[] = { K, 1, DOCS / 4 };
    dk_tokenizer *tok = NULL;
    dk_scores *s = NULL;
    dk_err err = {0};

    draw();
    dir = work_dir();
    path = dk_xasprintf("%s/x.score.h5", dir);
    if (tap(make(path, &err) == 0 && dk_scores_open(&s, path, &err) == 0 && dk_tokenizer_open(&tok, mini, &err) == 0,
            "%d scores of %d texts %s", GROUPS, DOCS, err.msg))
        for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
            const dk_example_plan plan = { .lane = "ft", .by = { true, false }, .side = { true, true }, .k = k[i],
                                           .no_text = true, .no_values = true };
            dk_buf out = {0};

            if (dk_examples_table(&out, s, tok, &plan, &err) == 0)
                check(&out, k[i]);
            else
                tap(false, "%s", err.msg);
            dk_buf_free(&out);
        }
    dk_tokenizer_close(&tok);
    dk_scores_close(&s);
    dk_free(path);
    dk_free(mini);
    remove_dir(dir);
    return tap_end();
}
