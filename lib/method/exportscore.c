/* Scores: KL statistics, log-probabilities, top-k lists, vocabulary statistics. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/outfile.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/scorefile.h"
#include "method/export.h"
#include "method/kltable.h"

/* What everything below needs. */
typedef struct job {
    dk_scores *s;
    const dk_tokens *t;
    const dk_tokenizer *tok;
    const char *dir;
    char *set;              /* the data set as a word */
} job;

/* "" for the finetune, else "_LANE"; dk_free it. */
static char *tail_of(const char *lane, size_t n)
{
    char *raw = dk_xstrndup(lane, n), *word = dk_export_word(raw);
    char *tail = strcmp(raw, "ft") == 0 ? dk_xstrdup("") : dk_xasprintf("_%s", word);

    dk_free(raw);
    dk_free(word);
    return tail;
}

/* --- arrays ---------------------------------------------------------------------- */
static int put_dense(const job *j, const dk_score_info *x, const char *path, dk_err *err)
{
    const uint64_t dim[2] = { x->rows, x->k };
    float *v;
    int rc = dk_alloc(&v, x->rows * x->k, sizeof *v, x->name, err);

    if (rc == 0 && (rc = dk_scores_read(j->s, x->name, 0, x->rows, v, err)) == 0)
        rc = dk_npy_write(path, "<f4", x->k == 1 ? 1 : 2, dim, v, err);
    dk_free(v);
    return rc;
}

static int put_index(const job *j, const dk_score_info *x, const char *path, dk_err *err)
{
    const uint64_t dim[2] = { x->rows, x->k };
    int64_t *wide = NULL;
    uint32_t *v;
    int rc = dk_alloc(&v, x->rows * x->k, sizeof *v, x->name, err);

    if (rc == 0 && (rc = dk_scores_read_index(j->s, x->name, 0, x->rows, v, err)) == 0 &&
        (rc = dk_alloc(&wide, x->rows * x->k, sizeof *wide, x->name, err)) == 0) {
        for (size_t i = 0; i < x->rows * x->k; i++)
            wide[i] = v[i];
        rc = dk_npy_write(path, "<i8", 2, dim, wide, err);
    }
    dk_free(wide);
    dk_free(v);
    return rc;
}

static int put_sparse(const job *j, const dk_score_info *x, const char *path, dk_err *err)
{
    static const char *const part[] = { "indptr", "index", "value" }, *const descr[] = { "<u8", "<u4", "<f4" };
    const uint64_t dim[] = { x->rows + 1, x->nnz, x->nnz };
    void *v[3] = { 0 };
    int rc = dk_scores_read_sparse(j->s, x->name, (uint64_t **)&v[0], (uint32_t **)&v[1], (float **)&v[2], err);

    for (int i = 0; rc == 0 && i < 3; i++) {
        char *one = dk_xasprintf("%.*s_%s.npy", (int)strlen(path) - 4, path, part[i]);

        rc = dk_npy_write(one, descr[i], 1, &dim[i], v[i], err);
        dk_free(one);
    }
    for (int i = 0; i < 3; i++)
        dk_free(v[i]);
    return rc;
}

static int put_counts(const job *j, const dk_score_info *x, const char *path, dk_err *err)
{
    const bool whole = x->kind == DK_SCORE_VOCAB_I64;
    const uint64_t n = x->rows;
    void *v;
    int rc = dk_alloc(&v, x->rows, 8, x->name, err);

    if (rc == 0)
        rc = whole ? dk_scores_read_vocab_i64(j->s, x->name, v, x->rows, err)
                   : dk_scores_read_vocab_f64(j->s, x->name, v, x->rows, err);
    if (rc == 0)
        rc = dk_npy_write(path, whole ? "<i8" : "<f8", 1, &n, v, err);
    dk_free(v);
    return rc;
}

/* --- KL ---------------------------------------------------------------------------- */
/* The name of the input with this role in the file's own list; NULL: none. */
static const char *input_name(const dk_json *inputs, const char *role)
{
    for (size_t i = 0; i < dk_json_len(inputs); i++)
        if (strcmp(dk_json_str(dk_json_get(dk_json_at(inputs, i), "role"), ""), role) == 0)
            return dk_json_str(dk_json_get(dk_json_at(inputs, i), "name"), NULL);
    return NULL;
}

static int kl_json(const job *j, const dk_json *row, const char *lane, dk_buf *text, dk_err *err)
{
    static const char *const key[] = { "dataset_id", "per_token_statistics", "mean_per_sample_statistics",
                                       "total_tokens_processed", "total_sequences_processed" };
    char *raw = NULL, *name = dk_xasprintf("%s: /provenance/inputs", dk_h5_path(dk_scores_file(j->s)));
    dk_json *inputs = NULL;
    dk_jw w = { .out = text };
    int rc = dk_h5_read_text(dk_scores_file(j->s), "/provenance/inputs", &raw, err);

    if (rc == 0 && raw)
        rc = dk_json_parse(&inputs, raw, strlen(raw), name, err);
    dk_jw_obj_begin(&w);
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        dk_jw_key(&w, key[i]);
        dk_jw_value(&w, dk_json_get(row, key[i]));
    }
    dk_jw_key(&w, "metadata");
    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "base_model"); dk_jw_str(&w, input_name(inputs, "base"));
    dk_jw_key(&w, "finetuned_model"); dk_jw_str(&w, input_name(inputs, lane));
    dk_jw_obj_end(&w);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    dk_json_free(&inputs);
    dk_free(name);
    dk_free(raw);
    return rc;
}

static int put_kl(const job *j, const dk_score_info *x, dk_err *err)
{
    const char *lane = x->name + 3;
    char *tail = tail_of(lane, strlen(lane));
    char *json = dk_xasprintf("%s/kl/%s%s.json", j->dir, j->set, tail);
    char *npy = dk_xasprintf("%s/kl/%s%s_per_token.npy", j->dir, j->set, tail);
    dk_buf line = {0}, text = {0};
    dk_json *row = NULL;
    float *kl;
    int rc = dk_alloc(&kl, x->rows, sizeof *kl, x->name, err);

    if (rc == 0 && (rc = dk_scores_read(j->s, x->name, 0, x->rows, kl, err)) == 0 &&
        (rc = dk_kl_table_row(&line, lane, "base", false, j->t, kl, NULL, NULL, 0, err)) == 0 &&
        (rc = dk_json_parse(&row, line.s, line.n, x->name, err)) == 0 &&
        (rc = kl_json(j, row, lane, &text, err)) == 0 &&
        (rc = dk_outfile_write(json, text.s, text.n, err)) == 0)
        rc = put_dense(j, x, npy, err);
    dk_json_free(&row);
    dk_free(kl);
    dk_buf_free(&line);
    dk_buf_free(&text);
    dk_free(json);
    dk_free(npy);
    dk_free(tail);
    return rc;
}

/* --- vocabulary statistics --------------------------------------------------------- */
static void vocab_json(const job *j, const double *sum, const int64_t *count, size_t n, dk_buf *text)
{
    dk_jw w = { .out = text };

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "dataset_name"); dk_jw_str(&w, j->t->corpus_name);
    dk_jw_key(&w, "num_samples"); dk_jw_u64(&w, j->t->docs);
    dk_jw_key(&w, "total_positions_analyzed"); dk_jw_u64(&w, j->t->rows);
    dk_jw_key(&w, "num_unique_tokens"); dk_jw_u64(&w, n);
    dk_jw_key(&w, "global_token_stats");
    dk_jw_arr_begin(&w);
    for (size_t i = 0; i < n; i++) {
        const dk_span piece = j->tok ? dk_tokenizer_piece(j->tok, (uint32_t)i) : (dk_span){0};

        dk_jw_obj_begin(&w);
        dk_jw_key(&w, "token");
        if (piece.s)
            dk_jw_strn(&w, piece.s, piece.n);
        else
            dk_jw_null(&w);
        dk_jw_key(&w, "token_id"); dk_jw_u64(&w, i);
        dk_jw_key(&w, "sum_logit_diff"); dk_jw_num(&w, sum[i]);
        dk_jw_key(&w, "count_positive"); dk_jw_int(&w, count[i]);
        dk_jw_obj_end(&w);
    }
    dk_jw_arr_end(&w);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

/* x: sum_logit_diff of a lane; its count_positive stands beside it. */
static int put_vocab(const job *j, const dk_score_info *x, dk_err *err)
{
    const size_t n_lane = strlen(x->name) - strlen("/sum_logit_diff");
    char *tail = tail_of(x->name, n_lane), *other = dk_xasprintf("%.*s/count_positive", (int)n_lane, x->name);
    char *path = dk_xasprintf("%s/%s%s_global_token_stats.json", j->dir, j->set, tail);
    dk_buf text = {0};
    double *sum = NULL;
    int64_t *count = NULL;
    int rc;

    if ((rc = dk_alloc(&sum, x->rows, sizeof *sum, x->name, err)) == 0 &&
        (rc = dk_alloc(&count, x->rows, sizeof *count, x->name, err)) == 0 &&
        (rc = dk_scores_read_vocab_f64(j->s, x->name, sum, x->rows, err)) == 0 &&
        (rc = dk_scores_read_vocab_i64(j->s, other, count, x->rows, err)) == 0) {
        vocab_json(j, sum, count, x->rows, &text);
        rc = dk_outfile_write(path, text.s, text.n, err);
    }
    dk_buf_free(&text);
    dk_free(sum);
    dk_free(count);
    dk_free(path);
    dk_free(other);
    dk_free(tail);
    return rc;
}

/* --- which is which ------------------------------------------------------------------ */
/* Where the array of a score goes; dk_free it. */
static char *array_path(const job *j, const char *name)
{
    char *word = dk_export_word(name), *out;
    const char *end = strchr(name, '/') ? strchr(strchr(name, '/') + 1, '/') : NULL;

    if (strncmp(name, "logp/", 5) == 0)
        out = dk_xasprintf("%s/saved_tensors/log_probs/%s_%s_log_probs.npy", j->dir, j->set, word + 5);
    else if (strncmp(name, "topk/", 5) == 0 && end) {
        char *tail = tail_of(name + 5, (size_t)(end - name - 5)), *rest = dk_export_word(end + 1);

        out = dk_xasprintf("%s/saved_tensors/logit_diffs/%s%s_%s.npy", j->dir, j->set, tail, rest);
        dk_free(tail);
        dk_free(rest);
    } else
        out = dk_xasprintf("%s/scores/%s_%s.npy", j->dir, j->set, word);
    dk_free(word);
    return out;
}

static int put_score(const job *j, const dk_score_info *x, dk_err *err)
{
    static const char sum[] = "/sum_logit_diff";
    const size_t n = strlen(x->name);
    char *path;
    int rc;

    if (x->kind == DK_SCORE_DENSE && strncmp(x->name, "kl/", 3) == 0 && x->k == 1)
        return put_kl(j, x, err);
    if (x->kind == DK_SCORE_VOCAB_F64 && n >= sizeof sum && strcmp(x->name + n - (sizeof sum - 1), sum) == 0)
        return put_vocab(j, x, err);
    path = array_path(j, x->name);
    rc = x->kind == DK_SCORE_DENSE ? put_dense(j, x, path, err)
       : x->kind == DK_SCORE_INDEX ? put_index(j, x, path, err)
       : x->kind == DK_SCORE_SPARSE ? put_sparse(j, x, path, err) : put_counts(j, x, path, err);
    dk_free(path);
    return rc;
}

int dk_export_scores(const char *path, const char *dir, const dk_tokenizer *tok, dk_err *err)
{
    job j = { .dir = dir, .tok = tok };
    int rc = dk_scores_open(&j.s, path, err);

    if (rc < 0)
        return rc;
    j.t = dk_scores_tokens(j.s);
    j.set = dk_export_word(j.t->corpus_name);
    if (tok)
        rc = dk_tokenizer_check(tok, j.t->tokenizer_sha256, path, "the model", err);
    if (rc == 0)
        rc = dk_export_tokens(j.t, dir, err);
    for (size_t i = 0; rc == 0 && i < dk_scores_n(j.s); i++)
        rc = put_score(&j, dk_scores_at(j.s, i), err);
    dk_free(j.set);
    dk_scores_close(&j.s);
    return rc;
}
