/* Joining shards of scores. */
#include <math.h>
#include <string.h>

#include "io/mergepriv.h"
#include "io/scorefile.h"

/* What dk-kl and dk-topk write of a lane, in their order. */
static const char *const row_score[] = {
    "logp/%s", "kl/%s", "kl_reverse/%s", "lens/%s/index", "lens/%s/logp", "topk/%s/top/index", "topk/%s/top/value",
    "topk/%s/bottom/index", "topk/%s/bottom/value"
};
static const char *const vocab_score[] = { "%s/sum_logit_diff", "%s/count_positive", "%s/topk_pos_counts", "%s/topk_neg_counts" };

static const double grid = 0x1p30;      /* sums of logit differences are multiples of its inverse */

struct work {
    const dk_merge_job *job;
    dk_scores *first;
    dk_scores_writer *w;
    size_t rows, done;                  /* done: scores that were written */
};

static char *name_of(const char *form, const char *lane)
{
    const char *at = strstr(form, "%s");

    return dk_xasprintf("%.*s%s%s", (int)(at - form), form, lane, at + 2);
}

/* --- row scores ------------------------------------------------------------------ */
static int read_rows(const struct work *k, const dk_score_info *x, void *v, size_t width, dk_err *err)
{
    size_t at = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < k->job->n; i++) {
        dk_scores *s = NULL;

        if ((rc = dk_scores_open(&s, k->job->path[i], err)) < 0)
            break;
        const size_t n = dk_scores_tokens(s)->rows;

        rc = x->kind == DK_SCORE_DENSE ? dk_scores_read(s, x->name, 0, n, (float *)v + at * width, err)
                                       : dk_scores_read_index(s, x->name, 0, n, (uint32_t *)v + at * width, err);
        at += n;
        dk_scores_close(&s);
    }
    return rc;
}

static bool flat(dk_h5 *f, const char *name)
{
    char *path = dk_xasprintf("/scores/%s", name);
    const dk_h5_object *o = dk_h5_find(f, path);

    dk_free(path);
    return o && o->data.rank == 1;
}

static int join_rows(struct work *k, const dk_score_info *x, dk_err *err)
{
    const size_t width = x->k ? x->k : 1;
    size_t all;
    void *v = NULL;
    int rc = dk_mul_size(&all, k->rows, width) ? dk_alloc(&v, all, 4, "scores", err)
                                               : dk_fail(err, DK_ENOMEM, "the scores do not fit in memory");

    if (rc == 0)
        rc = read_rows(k, x, v, width, err);
    if (rc == 0)
        rc = x->kind == DK_SCORE_DENSE
           ? dk_scores_add_dense(k->w, x->name, v, flat(dk_scores_file(k->first), x->name) ? 0 : width, &x->attr, err)
           : dk_scores_add_index(k->w, x->name, v, width, &x->attr, err);
    dk_free(v);
    k->done++;
    return rc;
}

/* --- sums over the vocabulary -------------------------------------------------------- */
/* As integers, so that the order of the shards means nothing. */
static int add_sums(const struct work *k, const dk_score_info *x, int64_t *sum, double *v, size_t n, const char *path,
                    dk_err *err)
{
    dk_scores *s = NULL;
    int rc = dk_scores_open(&s, path, err);

    (void)k;
    if (rc == 0)
        rc = x->kind == DK_SCORE_VOCAB_F64 ? dk_scores_read_vocab_f64(s, x->name, v, n, err)
                                           : dk_scores_read_vocab_i64(s, x->name, (int64_t *)v, n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const int64_t own = x->kind == DK_SCORE_VOCAB_F64 ? 0 : ((int64_t *)v)[i];
        const double units = x->kind == DK_SCORE_VOCAB_F64 ? v[i] * grid : 0;

        if (!(fabs(units) < 0x1p53) || units != rint(units))
            rc = dk_fail(err, DK_EDATA, "%s: %s of id %zu is %g, which was rounded: more and smaller shards can be joined",
                         path, x->name, i, v[i]);
        else if (__builtin_add_overflow(sum[i], x->kind == DK_SCORE_VOCAB_F64 ? (int64_t)units : own, &sum[i]))
            rc = dk_fail(err, DK_EDATA, "%s: %s of id %zu is too large to be added", path, x->name, i);
    }
    dk_scores_close(&s);
    return rc;
}

static int join_vocab(struct work *k, const dk_score_info *x, dk_err *err)
{
    const size_t n = x->rows;
    int64_t *sum = NULL;
    double *v = NULL;
    int rc = dk_alloc(&sum, n, sizeof *sum, "vocabulary sums", err);

    if (rc == 0)
        rc = dk_alloc(&v, n, sizeof *v, "vocabulary sums", err);
    for (size_t i = 0; rc == 0 && i < k->job->n; i++)
        rc = add_sums(k, x, sum, v, n, k->job->path[i], err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        v[i] = (double)sum[i] / grid;
    if (rc == 0)
        rc = x->kind == DK_SCORE_VOCAB_F64 ? dk_scores_add_vocab_f64(k->w, x->name, v, n, &x->attr, err)
                                           : dk_scores_add_vocab_i64(k->w, x->name, sum, n, &x->attr, err);
    dk_free(sum);
    dk_free(v);
    k->done++;
    return rc;
}

/* --- tokens that are watched --------------------------------------------------------- */
static int same_ids(const dk_score_info *x, const int64_t *id, int64_t *own, const char *path, dk_err *err)
{
    dk_scores *s = NULL;
    int rc = dk_scores_open(&s, path, err);

    if (rc == 0)
        rc = dk_scores_read_vocab_i64(s, x->name, own, x->rows, err);
    if (rc == 0 && memcmp(id, own, x->rows * sizeof *id) != 0)
        rc = dk_fail(err, DK_EDATA, "%s: it watches other tokens than the other shards", path);
    dk_scores_close(&s);
    return rc;
}

static int join_watched_ids(struct work *k, dk_err *err)
{
    const dk_score_info *x = dk_scores_find(k->first, "watch/id", true);
    int64_t *id = NULL, *own = NULL;
    int rc;

    if (!x || x->kind != DK_SCORE_VOCAB_I64)
        return 0;
    if ((rc = dk_alloc(&id, x->rows, sizeof *id, "tokens that are watched", err)) == 0 &&
        (rc = dk_alloc(&own, x->rows, sizeof *own, "tokens that are watched", err)) == 0)
        rc = dk_scores_read_vocab_i64(k->first, x->name, id, x->rows, err);
    for (size_t i = 1; rc == 0 && i < k->job->n; i++)
        rc = same_ids(x, id, own, k->job->path[i], err);
    if (rc == 0)
        rc = dk_scores_add_vocab_i64(k->w, x->name, id, x->rows, &x->attr, err);
    dk_free(id);
    dk_free(own);
    k->done++;
    return rc;
}

/* --- in all ----------------------------------------------------------------------- */
static int join_score(struct work *k, const char *form, const char *lane, dk_err *err)
{
    char *name = name_of(form, lane);
    const dk_score_info *x = dk_scores_find(k->first, name, false);
    const int rc = x && (x->kind == DK_SCORE_DENSE || x->kind == DK_SCORE_INDEX) ? join_rows(k, x, err) : 0;

    dk_free(name);
    return rc;
}

static int join_lane(struct work *k, const char *lane, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof row_score / sizeof *row_score; i++)
        rc = join_score(k, row_score[i], lane, err);
    for (size_t i = 0; rc == 0 && i < sizeof vocab_score / sizeof *vocab_score; i++) {
        char *name = name_of(vocab_score[i], lane);
        const dk_score_info *x = dk_scores_find(k->first, name, true);

        if (x)
            rc = join_vocab(k, x, err);
        dk_free(name);
    }
    return rc < 0 ? rc : join_score(k, "watch/%s", lane, err);
}

static int put_model(void *to, const char *name, const dk_model_info *m, dk_err *err)
{
    return dk_scores_add_model(to, name, m, err);
}

int dk_merge_scores(const dk_merge_job *job, dk_err *err)
{
    struct work k = { .job = job, .rows = job->rows };
    char *lanes = dk_xstrdup(job->lanes), *save = NULL;
    dk_tokens t;
    int rc = dk_merge_tokens(&t, job, err);

    if (rc == 0)
        rc = dk_scores_open(&k.first, job->path[0], err);
    if (rc == 0)
        rc = dk_scores_new(&k.w, job->out, &t, &job->prov, err);
    if (rc == 0)
        rc = dk_merge_models(job, put_model, k.w, err);
    for (char *lane = strtok_r(lanes, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save))
        rc = join_lane(&k, lane, err);
    if (rc == 0)
        rc = join_watched_ids(&k, err);
    if (rc == 0 && k.done != dk_scores_n(k.first))
        rc = dk_fail(err, DK_EDATA, "%s: it has scores that are not joined: only those of dk-kl and dk-topk are", job->path[0]);
    if (rc == 0)
        rc = dk_scores_commit(&k.w, err);
    dk_scores_abandon(&k.w);
    dk_scores_close(&k.first);
    dk_tokens_free(&t);
    dk_free(lanes);
    return rc;
}
