/* The paired pass. */
#include "method/score.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "method/kl.h"
#include "method/scorepatch.h"
#include "model/budget.h"

static int floats(float **out, size_t n, size_t k, dk_err *err)
{
    size_t total;

    return dk_mul_size(&total, n, k) ? dk_alloc(out, total, sizeof **out, "scores", err)
                                     : dk_fail(err, DK_ENOMEM, "the scores do not fit in memory");
}

static int lists_alloc(dk_topk_lists *l, size_t rows, size_t k, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, rows, k) ? 0 : dk_fail(err, DK_ENOMEM, "the lists do not fit in memory");

    if (rc == 0) rc = dk_alloc(&l->top_id, n, sizeof(uint32_t), "top-k lists", err);
    if (rc == 0) rc = dk_alloc(&l->bottom_id, n, sizeof(uint32_t), "top-k lists", err);
    if (rc == 0) rc = dk_alloc(&l->top, n, sizeof(float), "top-k lists", err);
    if (rc == 0) rc = dk_alloc(&l->bottom, n, sizeof(float), "top-k lists", err);
    return rc;
}

static int sums_alloc(dk_topk_vocab *s, size_t v, dk_err *err)
{
    int rc = dk_alloc(&s->sum_diff, v, sizeof(double), "vocabulary sums", err);

    if (rc == 0) rc = dk_alloc(&s->count_positive, v, sizeof(int64_t), "vocabulary counts", err);
    if (rc == 0) rc = dk_alloc(&s->top_count, v, sizeof(int64_t), "vocabulary counts", err);
    if (rc == 0) rc = dk_alloc(&s->bottom_count, v, sizeof(int64_t), "vocabulary counts", err);
    return rc;
}

static int lens_alloc(dk_lens_list *l, size_t rows, size_t k, dk_err *err)
{
    size_t n;
    int rc = dk_mul_size(&n, rows, k) ? 0 : dk_fail(err, DK_ENOMEM, "the lists do not fit in memory");

    if (rc == 0) rc = dk_alloc(&l->id, n, sizeof(uint32_t), "lens lists", err);
    if (rc == 0) rc = dk_alloc(&l->logp, n, sizeof(float), "lens lists", err);
    return rc;
}

static int room(dk_score *s, const dk_score_plan *plan, dk_err *err)
{
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < s->n_lanes; l++) {
        if (plan->kl)
            rc = floats(&s->logp[l], s->rows, 1, err);
        if (rc == 0 && plan->kl && l > 0)
            rc = floats(&s->kl[l], s->rows, 1, err);
        if (rc == 0 && plan->kl && plan->reverse && l > 0)
            rc = floats(&s->reverse[l], s->rows, 1, err);
        if (rc == 0 && s->k && l > 0)
            rc = lists_alloc(&s->topk[l], s->rows, s->k, err);
        if (rc == 0 && s->k && l > 0)
            rc = sums_alloc(&s->sums[l], s->vocab, err);
        if (rc == 0 && s->k && s->n_watched && l > 0)
            rc = floats(&s->watched[l], s->rows, s->n_watched, err);
        if (rc == 0 && s->lens_k)
            rc = lens_alloc(&s->lens[l], s->rows, s->lens_k, err);
    }
    return rc;
}

void dk_score_free(dk_score *s)
{
    for (size_t l = 0; l < s->n_lanes; l++) {
        dk_free(s->kl[l]);
        dk_free(s->reverse[l]);
        dk_free(s->logp[l]);
        dk_free(s->topk[l].top_id);
        dk_free(s->topk[l].bottom_id);
        dk_free(s->topk[l].top);
        dk_free(s->topk[l].bottom);
        dk_free(s->sums[l].sum_diff);
        dk_free(s->sums[l].count_positive);
        dk_free(s->sums[l].top_count);
        dk_free(s->sums[l].bottom_count);
        dk_free(s->watched[l]);
        dk_free(s->lens[l].id);
        dk_free(s->lens[l].logp);
    }
    *s = (dk_score){0};
}

/* The visitors of a pass and where their rows go. */
struct eyes {
    dk_kl *kl;
    dk_topk *topk;
    dk_lens *lens;
    bool by_hand;                   /* the top-k visitor looks at what its eye does not */
    const uint32_t *next;           /* [rows that are scored] */
    float *to_kl[DK_MAX_LANES], *to_reverse[DK_MAX_LANES], *to_logp[DK_MAX_LANES];
    bool reverse;
    dk_topk_lists lists[DK_MAX_LANES];
    dk_lens_list likely[DK_MAX_LANES];
};

static int open_eyes(struct eyes *e, const dk_score *s, const dk_score_plan *plan, size_t vocab, dk_err *err)
{
    int rc = 0;

    e->reverse = plan->reverse;
    if (plan->kl)
        rc = dk_kl_new(&e->kl, s->n_lanes, plan->temperature, err);
    if (rc == 0 && s->k)
        rc = dk_topk_new(&e->topk, s->n_lanes, s->k, s->vocab, err);
    if (rc == 0 && e->topk)
        dk_topk_watch(e->topk, plan->watched, plan->n_watched);
    e->by_hand = plan->n_watched || s->vocab < vocab;
    if (rc == 0 && s->lens_k)
        rc = dk_lens_new(&e->lens, s->n_lanes, s->lens_k, vocab, err);
    return rc;
}

static void close_eyes(struct eyes *e)
{
    dk_kl_free(&e->kl);
    dk_topk_free(&e->topk);
    dk_lens_free(&e->lens);
}

static size_t visitors(const struct eyes *e, dk_visitor vis[3])
{
    size_t n = 0;

    if (e->kl)
        vis[n++] = dk_kl_visitor(e->kl);
    if (e->topk) {
        vis[n] = dk_topk_visitor(e->topk);
        vis[n].eye = e->by_hand ? NULL : vis[n].eye;
        n++;
    }
    if (e->lens)
        vis[n++] = dk_lens_visitor(e->lens);
    return n;
}

/* Points them at the rows of the batch that begins at row0. */
static void aim(struct eyes *e, const dk_score *s, size_t row0)
{
    for (size_t l = 0; l < s->n_lanes; l++) {
        e->to_kl[l] = s->kl[l] ? s->kl[l] + row0 : NULL;
        e->to_reverse[l] = s->reverse[l] ? s->reverse[l] + row0 : NULL;
        e->to_logp[l] = s->logp[l] ? s->logp[l] + row0 : NULL;
        if (e->topk && l > 0)
            e->lists[l] = (dk_topk_lists){ s->topk[l].top_id + row0 * s->k,
                                           s->topk[l].bottom_id + row0 * s->k,
                                           s->topk[l].top + row0 * s->k,
                                           s->topk[l].bottom + row0 * s->k,
                                           s->watched[l] ? s->watched[l] + row0 * s->n_watched : NULL };
        if (e->lens)
            e->likely[l] = (dk_lens_list){ s->lens[l].id + row0 * s->lens_k,
                                           s->lens[l].logp + row0 * s->lens_k };
    }
    if (e->kl)
        dk_kl_target(e->kl, e->to_kl, e->to_logp, e->next + row0);
    if (e->kl && e->reverse)
        dk_kl_reverse(e->kl, e->to_reverse);
    if (e->topk)
        dk_topk_target(e->topk, e->lists);
    if (e->lens)
        dk_lens_target(e->lens, e->likely);
}

size_t dk_tokens_batch(const dk_tokens *t, size_t first, size_t budget, size_t *offset)
{
    size_t last = first;

    while (last < t->docs && (last == first || t->offset[last + 1] - t->offset[first] <= budget)) {
        offset[last - first] = t->offset[last] - t->offset[first];
        last++;
    }
    offset[last - first] = t->offset[last] - t->offset[first];
    return last;
}

size_t dk_tokens_batch_most(const dk_tokens *t, size_t budget)
{
    size_t longest = 0, most = budget < t->rows ? budget : t->rows;

    for (size_t d = 0; d < t->docs; d++)
        if (t->offset[d + 1] - t->offset[d] > longest)
            longest = t->offset[d + 1] - t->offset[d];
    return most > longest ? most : longest;
}

static size_t skipped(const dk_score_plan *plan, size_t doc) { return plan->skip ? plan->skip[doc] : 0; }

/* The rows of a batch that are scored; NULL: all of them. */
static size_t scored_rows(size_t *rows, const dk_score_plan *plan, const size_t *offset, size_t first, size_t n_docs)
{
    size_t n = 0;

    for (size_t d = 0; d < n_docs; d++)
        for (size_t r = offset[d] + skipped(plan, first + d); r < offset[d + 1]; r++)
            rows[n++] = r;
    return n;
}

static int pass(dk_score *s, dk_runner *r, const dk_pair *pair, const dk_tokens *t, const dk_score_plan *plan,
                size_t budget, struct eyes *eyes, dk_err *err)
{
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset), scored = 0;
    size_t *rows = dk_xcalloc(dk_tokens_batch_most(t, budget), sizeof *rows);
    dk_visitor vis[3];
    dk_patch *patch = NULL;
    dk_progress bar;
    int rc = plan->n_prompt ? dk_patch_new(&patch, r, pair, plan, dk_tokens_batch_most(t, budget), err) : 0;

    dk_progress_begin(&bar, "model", "tokens", (double)t->rows);
    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        const size_t row0 = t->offset[first];
        dk_pass p = { .last_layer = plan->early ? plan->layer : -1 };
        size_t n;

        last = dk_tokens_batch(t, first, budget, offset);
        if (t->offset[last] == row0)
            continue;
        p.batch = (dk_batch){ last - first, offset, t->token + row0 };
        n = scored_rows(rows, plan, offset, first, last - first);
        if (patch)
            rc = dk_patch_read(patch, &p, err);
        else
            rc = dk_runner_forward(r, &p, err);
        for (size_t at = 0, some; rc == 0 && at < n; at += some) {
            some = patch ? dk_patch_rows(patch, n - at) : n - at;
            aim(eyes, s, scored + at);
            if (patch)
                rc = dk_patch_forward(patch, rows + at, some, err);
            if (rc == 0)
                rc = dk_runner_head_later(r, patch || !plan->skip ? NULL : rows, n, vis, visitors(eyes, vis), err);
        }
        scored += n;
        dk_progress_add(&bar, (double)(t->offset[last] - row0));
    }
    if (rc == 0)
        rc = dk_runner_wait(r, err);
    dk_progress_end(&bar);
    s->seconds = dk_now() - bar.t0;
    dk_patch_free(&patch);
    dk_free(offset);
    dk_free(rows);
    return rc;
}

/* The id that follows each scored row within its document. */
static int next_ids(uint32_t **out, const dk_tokens *t, const dk_score_plan *plan, size_t rows, dk_err *err)
{
    int rc = dk_alloc(out, rows, sizeof **out, "next tokens", err);
    size_t n = 0;

    for (size_t d = 0; rc == 0 && d < t->docs; d++)
        for (size_t i = t->offset[d] + skipped(plan, d); i < t->offset[d + 1]; i++)
            (*out)[n++] = i + 1 < t->offset[d + 1] ? t->token[i + 1] : UINT32_MAX;
    return rc;
}

static int check_finite(const dk_score *s, const dk_tokens *t, const dk_score_plan *plan, const dk_pair *pair, dk_err *err)
{
    for (size_t l = 1; l < s->n_lanes; l++) {
        size_t n = 0;

        for (size_t d = 0; s->kl[l] && d < t->docs; d++)
            for (size_t i = t->offset[d] + skipped(plan, d); i < t->offset[d + 1]; i++)
                if (isnan(s->kl[l][n++]))
                    return dk_fail(err, DK_ENUM, "lane '%s': logits are NaN or infinite at document %llu, "
                                   "token %zu", pair->lane[l].name, (unsigned long long)t->id[d],
                                   i - t->offset[d]);
    }
    return 0;
}

/* All batches, of so many tokens. */
static int run(dk_score *s, const dk_pair *pair, const dk_tokens *t, const dk_score_plan *plan, const uint32_t *next,
               size_t rows, dk_err *err)
{
    const size_t most = dk_tokens_batch_most(t, rows);
    struct eyes eyes = { .next = next };
    dk_runner *r = NULL;
    int rc = dk_pair_runner(&r, pair, most > plan->n_prompt ? most : plan->n_prompt, err);

    if (rc == 0)
        rc = open_eyes(&eyes, s, plan, pair->model->config.vocab, err);
    if (rc == 0)
        rc = pass(s, r, pair, t, plan, rows, &eyes, err);
    if (rc == 0)
        rc = check_finite(s, t, plan, pair, err);
    for (size_t l = 1; rc == 0 && eyes.topk && l < s->n_lanes; l++)
        if (dk_topk_vocab_get(eyes.topk, l, &s->sums[l], err) < 0)
            rc = dk_err_prefix(err, "lane '%s'", pair->lane[l].name);
    dk_runner_free(&r);
    close_eyes(&eyes);
    return rc;
}

int dk_score_run(dk_score *s, const dk_pair *pair, const dk_tokens *t, const dk_score_plan *plan,
                 dk_err *err)
{
    const size_t vocab = pair->model->config.vocab, longest = dk_tokens_batch_most(t, 1);
    size_t rows;
    uint32_t *next = NULL;
    int rc;

    *s = (dk_score){ .n_lanes = pair->n_lanes, .rows = t->rows, .vocab = vocab, .watched_id = plan->watched,
                     .n_watched = plan->n_watched };
    for (size_t d = 0; plan->skip && d < t->docs; d++)
        s->rows -= plan->skip[d];
    if (plan->max_vocab && plan->max_vocab < vocab)
        s->vocab = plan->max_vocab;
    s->k = plan->top_k < s->vocab ? plan->top_k : s->vocab;
    s->lens_k = plan->lens_k < vocab ? plan->lens_k : vocab;
    if (t->rows == 0)
        return dk_fail(err, DK_EDATA, "the token file holds no tokens");
    rc = dk_pair_rows(&rows, pair, 0, plan->batch_rows, longest, err);
    if (rc == 0)
        rc = room(s, plan, err);
    if (rc == 0)
        rc = next_ids(&next, t, plan, s->rows, err);
    if (rc == 0) {
        rows = dk_tokens_batch_most(t, rows);
        do
            rc = run(s, pair, t, plan, next, rows, err);
        while (rc < 0 && dk_pair_halve(&rows, longest, err));
    }
    dk_free(next);
    if (rc < 0)
        dk_score_free(s);
    return rc;
}

void dk_tokens_like(dk_tokens *out, const dk_tokens *in)
{
    *out = (dk_tokens){ .vocab = in->vocab, .max_tokens = in->max_tokens };
    out->corpus_name = dk_xstrdup(in->corpus_name ? in->corpus_name : "");
    out->corpus_sha256 = dk_xstrdup(in->corpus_sha256 ? in->corpus_sha256 : "");
    out->split = dk_xstrdup(in->split ? in->split : "");
    out->format = dk_xstrdup(in->format ? in->format : "text");
    out->bos = dk_xstrdup(in->bos ? in->bos : "none");
    out->tokenizer_sha256 = dk_xstrdup(in->tokenizer_sha256 ? in->tokenizer_sha256 : "");
    out->template_sha256 = dk_xstrdup(in->template_sha256 ? in->template_sha256 : "");
}

int dk_tokens_trim(dk_tokens *out, const dk_tokens *in, size_t max_docs, size_t max_tokens,
                   size_t min_tokens, dk_err *err)
{
    const size_t docs = max_docs && max_docs < in->docs ? max_docs : in->docs;
    int rc = 0;

    dk_tokens_like(out, in);
    if (max_tokens && (!in->max_tokens || max_tokens < in->max_tokens))
        out->max_tokens = (uint32_t)max_tokens;
    for (size_t d = 0; rc == 0 && d < docs; d++) {
        const size_t at = in->offset[d];
        size_t n = in->offset[d + 1] - at;

        n = max_tokens && n > max_tokens ? max_tokens : n;
        if (n >= min_tokens)
            rc = dk_tokens_add_doc(out, in->id[d], in->token + at, in->flags + at, n, err);
    }
    return rc;
}
