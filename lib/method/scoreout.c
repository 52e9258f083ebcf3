/* Writing a score file, always in the same order. */
#include "method/scoreout.h"

#include <stdio.h>

#include "base/mem.h"
#include "model/describe.h"

static int put_topk(dk_scores_writer *w, const dk_score *s, size_t l, const char *lane,
                    const dk_score_attr *base, dk_err *err)
{
    const struct { const char *end; const uint32_t *id; const float *value; } list[] = {
        { "top", s->topk[l].top_id, s->topk[l].top },
        { "bottom", s->topk[l].bottom_id, s->topk[l].bottom }
    };
    int rc = 0;

    for (int e = 0; rc == 0 && e < 2; e++) {
        dk_score_attr a = *base;
        char name[256];

        a.unit = "logit";
        a.what = "diff";
        a.end = list[e].end;
        snprintf(name, sizeof name, "topk/%s/%s/index", lane, list[e].end);
        rc = dk_scores_add_index(w, name, list[e].id, s->k, &a, err);
        snprintf(name, sizeof name, "topk/%s/%s/value", lane, list[e].end);
        if (rc == 0)
            rc = dk_scores_add_dense(w, name, list[e].value, s->k, &a, err);
    }
    return rc;
}

static int put_sums(dk_scores_writer *w, const dk_score *s, size_t l, const char *lane,
                    const dk_score_attr *base, dk_err *err)
{
    const struct { const char *name; const int64_t *v; } count[] = {
        { "count_positive", s->sums[l].count_positive },
        { "topk_pos_counts", s->sums[l].top_count },
        { "topk_neg_counts", s->sums[l].bottom_count }
    };
    dk_score_attr a = *base;
    char name[256];
    int rc;

    a.unit = "logit";
    a.what = "diff";
    snprintf(name, sizeof name, "%s/sum_logit_diff", lane);
    rc = dk_scores_add_vocab_f64(w, name, s->sums[l].sum_diff, s->vocab, &a, err);
    a.unit = "count";
    for (int i = 0; rc == 0 && i < 3; i++) {
        snprintf(name, sizeof name, "%s/%s", lane, count[i].name);
        rc = dk_scores_add_vocab_i64(w, name, count[i].v, s->vocab, &a, err);
    }
    return rc;
}

static int put_lens(dk_scores_writer *w, const dk_score *s, size_t l, const char *lane,
                    const dk_score_attr *base, dk_err *err)
{
    dk_score_attr a = *base;
    char name[256];
    int rc;

    a.unit = "nats";
    a.what = lane;
    a.end = "top";
    snprintf(name, sizeof name, "lens/%s/index", lane);
    rc = dk_scores_add_index(w, name, s->lens[l].id, s->lens_k, &a, err);
    snprintf(name, sizeof name, "lens/%s/logp", lane);
    return rc < 0 ? rc : dk_scores_add_dense(w, name, s->lens[l].logp, s->lens_k, &a, err);
}

/* Differences of the tokens that are watched, and which they are. */
static int put_watched(dk_scores_writer *w, const dk_score *s, size_t l, const char *lane, const dk_score_attr *base,
                       dk_err *err)
{
    dk_score_attr a = *base;
    char name[256];

    a.unit = "logit";
    a.what = "diff";
    snprintf(name, sizeof name, "watch/%s", lane);
    return dk_scores_add_dense(w, name, s->watched[l], s->n_watched, &a, err);
}

static int put_watched_ids(dk_scores_writer *w, const dk_score *s, dk_err *err)
{
    int64_t *id = dk_xcalloc(s->n_watched, sizeof *id);
    int rc;

    for (size_t i = 0; i < s->n_watched; i++)
        id[i] = s->watched_id[i];
    rc = dk_scores_add_vocab_i64(w, "watch/id", id, s->n_watched, NULL, err);
    dk_free(id);
    return rc;
}

int dk_score_write(const dk_score *s, const dk_pair *pair, const dk_tokens *t, const dk_score_plan *plan,
                   const char *path, const dk_provenance *prov, dk_err *err)
{
    const bool within = plan->early || plan->n_prompt;
    const dk_score_attr base = { .computed_in = dk_dtype_name(pair->model->dtype), .arith = pair->diff ? "difference" : "plain",
                                 .site = plan->early ? "logit_lens" : within ? "patchscope_lens" : NULL,
                                 .has_layer = within, .layer = within ? plan->layer : 0 };
    dk_scores_writer *w = NULL;
    char name[256];
    int rc = dk_scores_new(&w, path, t, prov, err);

    if (rc == 0)
        rc = dk_pair_put_models(w, pair, t, err);
    for (size_t l = 0; rc == 0 && l < s->n_lanes; l++) {
        dk_score_attr a = base;

        a.unit = "nats";
        if (s->logp[l]) {
            a.what = pair->lane[l].name;
            snprintf(name, sizeof name, "logp/%s", pair->lane[l].name);
            rc = dk_scores_add_dense(w, name, s->logp[l], 0, &a, err);
        }
        if (rc == 0 && s->kl[l]) {
            a.what = "diff";
            a.higher = "more different";
            snprintf(name, sizeof name, "kl/%s", pair->lane[l].name);
            rc = dk_scores_add_dense(w, name, s->kl[l], 0, &a, err);
        }
        if (rc == 0 && s->reverse[l]) {
            snprintf(name, sizeof name, "kl_reverse/%s", pair->lane[l].name);
            rc = dk_scores_add_dense(w, name, s->reverse[l], 0, &a, err);
        }
        if (rc == 0 && s->lens_k)
            rc = put_lens(w, s, l, pair->lane[l].name, &base, err);
        if (rc == 0 && s->k && l > 0)
            rc = put_topk(w, s, l, pair->lane[l].name, &base, err);
        if (rc == 0 && s->k && l > 0)
            rc = put_sums(w, s, l, pair->lane[l].name, &base, err);
        if (rc == 0 && s->watched[l])
            rc = put_watched(w, s, l, pair->lane[l].name, &base, err);
    }
    if (rc == 0 && s->n_watched)
        rc = put_watched_ids(w, s, err);
    if (rc == 0)
        return dk_scores_commit(&w, err);
    dk_scores_abandon(&w);
    return rc;
}
