/* Joining shards of statistics: adding them up. */
#include <string.h>

#include "io/mergepriv.h"
#include "io/statfile.h"

static int add_shard(dk_statistics *all, const char *path, bool first, dk_err *err)
{
    dk_statistics own = {0};
    dk_h5 *f = NULL;
    int rc = dk_h5_open(&f, path, "dk-statistics", err);

    if (rc == 0)
        rc = dk_statistics_get(f, first ? all : &own, err);
    if (rc == 0 && !first)
        rc = dk_statistics_add(all, &own, path, err);
    for (size_t i = 0; rc == 0 && first && i < all->n_sums; i++)
        all->sums[i].gram.first = 0;
    dk_statistics_free(&own);
    dk_h5_close(&f);
    return rc;
}

static int put_model(void *to, const char *name, const dk_model_info *m, dk_err *err)
{
    return dk_h5_put_model(to, name, m, err);
}

/* --- in the order in which extraction writes them ------------------------------- */
struct work { dk_h5 *f; const dk_statistics *s; const char *lanes; size_t n_sums, n_measures; };

static int put_sums(struct work *k, const dk_sums *like, const char *what, dk_err *err)
{
    const dk_sums *x = dk_sums_find(k->s, like->layer, like->site, what);

    if (!x)
        return 0;
    k->n_sums++;
    return dk_sums_put(k->f, x, err);
}

static int put_measure(struct work *k, const char *name, dk_err *err)
{
    const dk_measure *m = dk_measure_find(k->s, name);

    if (!m)
        return 0;
    k->n_measures++;
    return dk_measure_put(k->f, m, err);
}

static int sums_of(struct work *k, const dk_sums *like, const char *lane, dk_err *err)
{
    char *diff = strcmp(lane, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);
    int rc = put_sums(k, like, lane, err);

    if (rc == 0)
        rc = put_sums(k, like, diff, err);
    dk_free(diff);
    return rc;
}

static int norms_of(struct work *k, const dk_sums *like, const char *lane, dk_err *err)
{
    static const char *const metric[] = { "norm", "norm_diff", "cos_dist", "relative" };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof metric / sizeof *metric; i++) {
        char *name = dk_xasprintf("%s/L%02d/%s/%s", metric[i], like->layer, like->site, lane);

        rc = put_measure(k, name, err);
        dk_free(name);
    }
    return rc;
}

static int kl_of(struct work *k, const dk_sums *like, const char *lane, dk_err *err)
{
    static const char *const score[] = { "logp", "kl", "kl_reverse" };
    int rc = 0;

    (void)like;
    for (size_t i = 0; rc == 0 && i < sizeof score / sizeof *score; i++) {
        char *name = dk_xasprintf("%s/%s", score[i], lane);

        rc = put_measure(k, name, err);
        dk_free(name);
    }
    return rc;
}

static int each_lane(struct work *k, const dk_sums *like, int (*put)(struct work *, const dk_sums *, const char *, dk_err *),
                     dk_err *err)
{
    char *copy = dk_xstrdup(k->lanes), *save = NULL;
    int rc = 0;

    for (char *lane = strtok_r(copy, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save))
        rc = put(k, like, lane, err);
    dk_free(copy);
    return rc;
}

static int each_place(struct work *k, int (*put)(struct work *, const dk_sums *, const char *, dk_err *), dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < k->s->n_sums; i++) {
        const dk_sums *x = &k->s->sums[i];

        if (i == 0 || x[-1].layer != x->layer || strcmp(x[-1].site, x->site) != 0)
            rc = each_lane(k, x, put, err);
    }
    return rc;
}

static int write_all(const dk_merge_job *job, const dk_statistics *s, dk_err *err)
{
    struct work k = { .s = s, .lanes = job->lanes };
    dk_tokens corpus = {0};
    dk_h5 *like = NULL;
    int rc = dk_h5_open(&like, job->path[0], NULL, err);

    if (rc == 0)
        rc = dk_tokens_get_corpus(like, &corpus, err);
    if (rc == 0 && (rc = dk_h5_create(&k.f, job->out, "dk-statistics", &job->prov, err)) == 0 &&
        (rc = dk_tokens_put_corpus(k.f, &corpus, err)) == 0 && (rc = dk_h5_put_str(k.f, "/", "lanes", job->lanes, err)) == 0)
        rc = dk_merge_models(job, put_model, k.f, err);
    if (rc == 0)
        rc = each_place(&k, sums_of, err);
    if (rc == 0)
        rc = each_place(&k, norms_of, err);
    if (rc == 0)
        rc = each_lane(&k, NULL, kl_of, err);
    if (rc == 0 && (k.n_sums != s->n_sums || k.n_measures != s->n_measures))
        rc = dk_fail(err, DK_EFORMAT, "%s: it has statistics of lanes that it does not name", job->path[0]);
    if (rc == 0)
        rc = dk_h5_commit(&k.f, job->rows, job->docs, NULL, err);
    dk_h5_close(&k.f);
    dk_h5_close(&like);
    dk_tokens_free(&corpus);
    return rc;
}

int dk_merge_stats(const dk_merge_job *job, dk_err *err)
{
    dk_statistics all = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < job->n; i++)
        rc = add_shard(&all, job->path[i], i == 0, err);
    for (size_t i = 0; rc == 0 && i < all.n_sums; i++)
        dk_tree_close(&all.sums[i].gram, UINT64_MAX);
    if (rc == 0)
        rc = write_all(job, &all, err);
    dk_statistics_free(&all);
    return rc;
}
