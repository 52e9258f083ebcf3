/* Score files: every kind of score comes back; what does not fit is refused. */
#include "h5make.h"
#include "tap.h"

enum { ROWS = 305, K = 4, VOCAB = 999 };

static float dense[ROWS * K], back[ROWS * K];
static uint32_t list[ROWS * K], list_back[ROWS * K], columns[ROWS];
static uint64_t starts[ROWS + 1];
static int64_t counts[VOCAB], counts_back[VOCAB];
static double sums[VOCAB], sums_back[VOCAB];

static const dk_score_attr kl = { .unit = "nats", .higher = "more different",
                                  .computed_in = "bf16", .arith = "plain" };
static const dk_score_attr top = { .unit = "logit", .end = "top", .site = "resid_post",
                                   .what = "diff", .has_layer = 1, .layer = 14 };

static void fill(void)
{
    for (int i = 0; i < ROWS * K; i++) {
        dense[i] = (float)(i % 37) * 0.125f - 2;
        list[i] = (uint32_t)i % VOCAB;
    }
    for (int i = 0; i < VOCAB; i++) {
        counts[i] = (int64_t)i * i - 5;
        sums[i] = i / 7.0;
    }
    for (int i = 0; i < ROWS; i++) {        /* every third row has one entry */
        starts[i + 1] = starts[i] + (i % 3 == 0);
        columns[i] = (uint32_t)i;
    }
}

static int write_scores(const char *path, dk_err *err)
{
    static const dk_model_info base = { .arch = "llama", .kind = "base", .dtype = "bf16",
                                        .n_layers = 30, .d_model = 576, .vocab = VOCAB,
                                        .weights_sha256 = "w", .tokenizer_sha256 = "t" };
    static const dk_model_info ft = { .arch = "llama", .kind = "lora", .adapter_sha256 = "a",
                                      .adapter_rank = 8, .adapter_scale = 2.0 };
    dk_scores_writer *w;
    dk_tokens t;
    int rc;

    sample_tokens(&t, ROWS - 5);
    rc = dk_scores_new(&w, path, &t, &sample_prov, err);
    dk_tokens_free(&t);
    if (rc < 0)
        return rc;
    if ((rc = dk_scores_add_model(w, "base", &base, err)) == 0 &&
        (rc = dk_scores_add_model(w, "ft", &ft, err)) == 0 &&
        (rc = dk_scores_add_dense(w, "kl/ft", dense, 0, &kl, err)) == 0 &&
        (rc = dk_scores_begin(w, "topk/ft/top/index", DK_SCORE_INDEX, K, &top, err)) == 0 &&
        (rc = dk_scores_begin(w, "topk/ft/top/value", DK_SCORE_DENSE, K, &top, err)) == 0 &&
        (rc = dk_scores_append(w, "topk/ft/top/index", list, 100, err)) == 0 &&
        (rc = dk_scores_append(w, "topk/ft/top/value", dense, 100, err)) == 0 &&
        (rc = dk_scores_append(w, "topk/ft/top/index", list + 100 * K, ROWS - 100, err)) == 0 &&
        (rc = dk_scores_append(w, "topk/ft/top/value", dense + 100 * K, ROWS - 100, err)) == 0 &&
        (rc = dk_scores_add_sparse(w, "sae", starts, columns, dense, VOCAB, NULL, err)) == 0 &&
        (rc = dk_scores_add_vocab_i64(w, "ft/count_positive", counts, VOCAB, NULL, err)) == 0 &&
        (rc = dk_scores_add_vocab_f64(w, "ft/sum_logit_diff", sums, VOCAB, &kl, err)) == 0)
        return dk_scores_commit(&w, err);
    dk_scores_abandon(&w);
    return rc;
}

static void test_round_trip(const char *path)
{
    uint64_t *sp;
    uint32_t *si;
    float *sv;
    dk_scores *s;
    dk_err err = {0};
    const dk_score_info *x;
    const dk_model_info *m;
    const char *name;

    if (!tap(write_scores(path, &err) == 0 && dk_scores_open(&s, path, &err) == 0,
             "a score file is written and opened")) {
        tap_note("%s", err.msg);
        return;
    }
    tap(dk_scores_tokens(s)->rows == ROWS && dk_scores_n(s) == 6 && dk_scores_n_models(s) == 2,
        "with tokens, models and scores");
    m = dk_scores_model(s, 1, &name);
    tap(strcmp(name, "ft") == 0 && m->adapter_rank == 8 && m->adapter_scale == 2.0 &&
        strcmp(m->kind, "lora") == 0 && strcmp(m->weights_sha256, "") == 0, "a model comes back");
    x = dk_scores_find(s, "kl/ft", false);
    tap(x && x->kind == DK_SCORE_DENSE && x->k == 1 && strcmp(x->attr.unit, "nats") == 0 &&
        strcmp(x->attr.arith, "plain") == 0 && !x->attr.has_layer && !x->attr.end,
        "attributes come back");
    x = dk_scores_find(s, "topk/ft/top/value", false);
    tap(x && x->k == K && x->attr.layer == 14 && strcmp(x->attr.end, "top") == 0,
        "of a list, too");
    tap(dk_scores_read(s, "kl/ft", 7, 200, back, NULL) == 0 &&
        memcmp(back, dense + 7, 200 * sizeof *back) == 0, "a range of rows");
    tap(dk_scores_read(s, "topk/ft/top/value", 0, ROWS, back, NULL) == 0 &&
        memcmp(back, dense, sizeof back) == 0, "values by rank");
    tap(dk_scores_read_index(s, "topk/ft/top/index", 0, ROWS, list_back, NULL) == 0 &&
        memcmp(list_back, list, sizeof list) == 0, "indices by rank");
    tap(dk_scores_read_sparse(s, "sae", &sp, &si, &sv, NULL) == 0 &&
        memcmp(sp, starts, sizeof starts) == 0 && si[3] == 3 && sv[3] == dense[3],
        "a sparse matrix");
    dk_free(sp);
    dk_free(si);
    dk_free(sv);
    tap(dk_scores_read_vocab_i64(s, "ft/count_positive", counts_back, VOCAB, NULL) == 0 &&
        memcmp(counts_back, counts, sizeof counts) == 0 &&
        dk_scores_read_vocab_f64(s, "ft/sum_logit_diff", sums_back, VOCAB, NULL) == 0 &&
        memcmp(sums_back, sums, sizeof sums) == 0, "columns over the vocabulary");
    tap(dk_scores_read(s, "kl/base", 0, 1, back, NULL) < 0 &&
        dk_scores_read(s, "topk/ft/top/index", 0, 1, back, NULL) < 0 &&
        dk_scores_read(s, "kl/ft", ROWS, 1, back, NULL) < 0 &&
        dk_scores_read_vocab_i64(s, "ft/count_positive", counts_back, 5, NULL) < 0,
        "refused: other names, kinds, ranges, sizes");
    dk_scores_close(&s);
}

static void test_refused(const char *path)
{
    dk_scores_writer *w;
    dk_tokens t;
    dk_err err = {0};

    sample_tokens(&t, 10);
    dk_scores_new(&w, path, &t, NULL, NULL);
    dk_scores_begin(w, "kl/ft", DK_SCORE_DENSE, 0, NULL, NULL);
    dk_scores_append(w, "kl/ft", dense, 14, NULL);
    tap(dk_scores_append(w, "kl/ft", dense, 2, NULL) < 0, "refused: more rows than tokens");
    tap(dk_scores_add_dense(w, "../x", dense, 0, NULL, NULL) < 0 &&
        dk_scores_add_dense(w, "", dense, 0, NULL, NULL) < 0 &&
        dk_scores_add_model(w, "a/b", &(dk_model_info){0}, NULL) < 0, "refused: odd names");
    tap(dk_scores_commit(&w, &err) < 0 && strstr(err.msg, "14 of 15") && !w &&
        access(path, F_OK) < 0, "refused: a score that misses rows");
    dk_tokens_free(&t);
}

int main(void)
{
    char *dir = work_dir(), *a = dk_xasprintf("%s/a.score.h5", dir);
    char *b = dk_xasprintf("%s/b.score.h5", dir), *c = dk_xasprintf("%s/c.score.h5", dir);

    fill();
    test_round_trip(a);
    tap(write_scores(b, NULL) == 0 && same_file(a, b), "two writes give equal bytes");
    test_refused(c);
    dk_free(a);
    dk_free(b);
    dk_free(c);
    remove_dir(dir);
    return tap_end();
}
