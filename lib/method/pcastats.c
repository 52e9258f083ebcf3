/* Principal components of statistics: no rows, only their sums. */
#include <math.h>
#include <string.h>

#include "method/pca.h"

static bool asked(const dk_pca_job *job, int layer)
{
    bool yes = job->n_layers == 0;

    for (size_t i = 0; !yes && i < job->n_layers; i++)
        yes = job->layer[i] == layer;
    return yes;
}

static const dk_sums *usable(const dk_statistics *s, const char *path, const dk_sums *like, const char *what, dk_err *err)
{
    const dk_sums *x = dk_sums_find(s, like->layer, like->site, what);

    if (!x)
        dk_fail(err, DK_EDATA, "%s: layer %d, %s has no %s", path, like->layer, like->site, what);
    else if (!x->products)
        dk_fail(err, DK_EDATA, "%s: layer %d, %s keeps no products of %s; extract again with --gram", path, like->layer,
                like->site, what);
    else if (x->gram.n != 1)
        dk_fail(err, DK_EDATA, "%s is one of several shards: join them with dk-merge", path);
    else if (x->d != like->d)
        dk_fail(err, DK_EDATA, "%s: rows of %zu values, not of %zu", path, x->d, like->d);
    else
        return x;
    return NULL;
}

/* Over all files. */
struct total { uint64_t n; double *sum, *products; };

static int add_up(struct total *t, const dk_statistics *const *s, const char *const *path, size_t n_files,
                  const dk_sums *like, const char *what, double sign, dk_err *err)
{
    const size_t d = like->d;
    size_t all = 0;
    int rc = 0;

    for (size_t f = 0; rc == 0 && f < n_files; f++)
        rc = usable(s[f], path[f], like, what, err) ? 0 : DK_EDATA;
    if (rc == 0)
        rc = dk_mul_size(&all, d, d) ? dk_alloc(&t->products, all, sizeof *t->products, "products of activations", err)
                                     : dk_fail(err, DK_ENOMEM, "components of this size do not fit in memory");
    if (rc == 0)
        rc = dk_alloc(&t->sum, d, sizeof *t->sum, "sums of activations", err);
    for (size_t f = 0; rc == 0 && f < n_files; f++) {
        const dk_sums *x = dk_sums_find(s[f], like->layer, like->site, what);

        t->n += x->count;
        for (size_t j = 0; j < d; j++)
            t->sum[j] += sign * dk_exact_double(x->sum[j]);
        for (size_t i = 0; i < all; i++)
            t->products[i] += x->gram.node[0].m[i];
    }
    return rc;
}

static int one_place(dk_pca_place *p, const dk_statistics *const *s, const char *const *path, size_t n_files,
                     const dk_sums *like, const dk_pca_job *job, dk_err *err)
{
    struct total own = {0}, base = {0};
    int rc = add_up(&own, s, path, n_files, like, job->what, job->negate ? -1 : 1, err);

    if (rc == 0 && job->whiten)
        rc = add_up(&base, s, path, n_files, like, "base", 1, err);
    if (rc == 0) {
        rc = job->whiten ? dk_pca_whitened(&p->pca, like->d, job->plan.k, own.n, own.sum, own.products, base.sum, base.products, err)
                         : dk_pca_of_sums(&p->pca, like->d, &job->plan, own.n, own.sum, own.products, err);
        if (rc < 0)
            dk_err_prefix(err, "%s: layer %d, %s, %s", path[0], like->layer, like->site, job->what);
    }
    dk_free(own.sum);
    dk_free(own.products);
    dk_free(base.sum);
    dk_free(base.products);
    return rc;
}

int dk_pca_of_stats(dk_pca_place **out, size_t *n, const dk_statistics *const *s, const char *const *path, size_t n_files,
                    const dk_pca_job *job, dk_err *err)
{
    int rc = 0;

    *out = NULL;
    *n = 0;
    for (size_t i = 0; rc == 0 && i < s[0]->n_sums; i++) {
        const dk_sums *x = &s[0]->sums[i], *last = i ? x - 1 : NULL;

        if ((last && last->layer == x->layer && strcmp(last->site, x->site) == 0) || !asked(job, x->layer))
            continue;
        *out = dk_xrealloc(*out, (*n + 1) * sizeof **out);
        (*out)[*n] = dk_pca_place_of(x->layer, x->site, job);
        rc = one_place(&(*out)[(*n)++], s, path, n_files, x, job, err);
    }
    for (size_t k = 0; rc == 0 && k < job->n_layers; k++) {
        bool there = false;

        for (size_t i = 0; i < *n; i++)
            there = there || (*out)[i].layer == job->layer[k];
        if (!there)
            rc = dk_fail(err, DK_EDATA, "%s: there is no layer %d", path[0], (int)job->layer[k]);
    }
    if (rc < 0) {
        dk_pca_places_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return rc;
}
