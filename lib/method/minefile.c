#include "method/minefile.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static int read_sums(dk_mine_file *f, dk_mine_lane *l, dk_err *err)
{
    const struct { const char *name; int64_t **to; } count[] = {
        { "count_positive", &l->sums.count_positive }, { "topk_pos_counts", &l->sums.top_count },
        { "topk_neg_counts", &l->sums.bottom_count }
    };
    char name[256];
    int rc = dk_alloc(&l->sums.sum_diff, f->vocab, sizeof(double), "vocabulary sums", err);

    snprintf(name, sizeof name, "%s/sum_logit_diff", l->name);
    if (rc == 0)
        rc = dk_scores_read_vocab_f64(f->s, name, l->sums.sum_diff, f->vocab, err);
    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = dk_alloc(count[i].to, f->vocab, sizeof(int64_t), "vocabulary counts", err);
        snprintf(name, sizeof name, "%s/%s", l->name, count[i].name);
        if (rc == 0)
            rc = dk_scores_read_vocab_i64(f->s, name, *count[i].to, f->vocab, err);
    }
    return rc;
}

/* The lane asked for first, then every other lane that has sums. */
static int find_lanes(dk_mine_file *f, const char *wanted, dk_err *err)
{
    char name[256];
    int rc = 0;

    f->lane[0].name = wanted;
    f->n_lanes = 1;
    for (size_t i = 0; i < dk_scores_n_models(f->s) && f->n_lanes < DK_MINE_LANES; i++) {
        const char *lane;

        dk_scores_model(f->s, i, &lane);
        snprintf(name, sizeof name, "%s/sum_logit_diff", lane);
        if (strcmp(lane, wanted) != 0 && dk_scores_find(f->s, name, true))
            f->lane[f->n_lanes++].name = lane;
    }
    snprintf(name, sizeof name, "%s/sum_logit_diff", wanted);
    if (!dk_scores_find(f->s, name, true))
        return dk_fail(err, DK_EDATA, "%s has no top-k sums of a lane '%s': was it made by dk-topk?", f->path, wanted);
    f->vocab = dk_scores_find(f->s, name, true)->rows;
    for (size_t i = 0; rc == 0 && i < f->n_lanes; i++)
        rc = read_sums(f, &f->lane[i], err);
    return rc;
}

int dk_mine_open(dk_mine_file *f, const char *path, const char *lane, dk_err *err)
{
    int rc;

    *f = (dk_mine_file){ .path = path };
    rc = dk_scores_open(&f->s, path, err);
    if (rc == 0) {
        f->t = dk_scores_tokens(f->s);
        rc = find_lanes(f, lane, err);
    }
    if (rc == 0 && f->t->rows == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no positions", path);
    if (rc < 0)
        dk_mine_close(f);
    return rc;
}

void dk_mine_close(dk_mine_file *f)
{
    for (size_t l = 0; l < f->n_lanes; l++) {
        dk_free(f->lane[l].sums.sum_diff);
        dk_free(f->lane[l].sums.count_positive);
        dk_free(f->lane[l].sums.top_count);
        dk_free(f->lane[l].sums.bottom_count);
    }
    dk_scores_close(&f->s);
    *f = (dk_mine_file){0};
}

int dk_mine_read_lists(dk_mine_lists *l, const dk_mine_file *f, const char *lane, const char *end, bool values,
                       dk_err *err)
{
    char index[256], value[256];
    const dk_score_info *info;
    size_t n;
    int rc;

    *l = (dk_mine_lists){0};
    snprintf(index, sizeof index, "topk/%s/%s/index", lane, end);
    snprintf(value, sizeof value, "topk/%s/%s/value", lane, end);
    info = dk_scores_find(f->s, index, false);
    if (!info || !dk_mul_size(&n, info->rows, info->k))
        return dk_fail(err, DK_EDATA, "%s has no %s lists of lane '%s'", f->path, end, lane);
    l->k = info->k;
    rc = dk_alloc(&l->id, n, sizeof *l->id, "top lists", err);
    if (rc == 0 && values)
        rc = dk_alloc(&l->value, n, sizeof *l->value, "top lists", err);
    if (rc == 0)
        rc = dk_scores_read_index(f->s, index, 0, info->rows, l->id, err);
    if (rc == 0 && values)
        rc = dk_scores_read(f->s, value, 0, info->rows, l->value, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (l->id[i] >= f->vocab)
            rc = dk_fail(err, DK_EDATA, "%s: a list of lane '%s' has id %u, beyond a vocabulary of %zu", f->path, lane,
                         l->id[i], f->vocab);
    if (rc < 0)
        dk_mine_lists_free(l);
    return rc;
}

void dk_mine_lists_free(dk_mine_lists *l)
{
    dk_free(l->id);
    dk_free(l->value);
    *l = (dk_mine_lists){0};
}
