/* Joining shards of activations, in pieces of rows. */
#include <string.h>

#include "io/actfile.h"
#include "io/mergepriv.h"

enum { PIECE = 1024 };

struct sets { dk_act_info *info; size_t n; };       /* in the order in which they are written */

static void add(struct sets *s, const dk_acts *a, const dk_act_info *like, const char *what)
{
    const dk_act_info *x = dk_acts_find(a, like->layer, like->site, what);

    if (x)
        s->info[s->n++] = *x;
}

/* As extraction writes them: by layer and site; the base, then each lane and its difference. */
static void order(struct sets *s, const dk_acts *a, const char *lanes)
{
    for (size_t i = 0; i < dk_acts_n(a); i++) {
        const dk_act_info *x = dk_acts_at(a, i), *last = i ? dk_acts_at(a, i - 1) : NULL;
        char *copy, *save = NULL;

        if (last && last->layer == x->layer && strcmp(last->site, x->site) == 0)
            continue;
        copy = dk_xstrdup(lanes);
        for (char *lane = strtok_r(copy, ",", &save); lane; lane = strtok_r(NULL, ",", &save)) {
            char *diff = strcmp(lane, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);

            add(s, a, x, lane);
            add(s, a, x, diff);
            dk_free(diff);
        }
        dk_free(copy);
    }
}

static int put_model(void *to, const char *name, const dk_model_info *m, dk_err *err)
{
    return dk_acts_add_model(to, name, m, err);
}

/* What the reader leaves out, as the file has it. */
static int add_set(dk_acts_writer *w, dk_acts *a, dk_act_info *x, dk_err *err)
{
    char *path = dk_act_path(x), *arith = NULL;
    int rc = dk_h5_has_attr(dk_acts_file(a), path, "arith") ? dk_h5_get_str(dk_acts_file(a), path, "arith", &arith, err) : 0;

    x->arith = arith;
    if (rc == 0)
        rc = dk_acts_add(w, x, err);
    x->arith = NULL;
    dk_free(arith);
    dk_free(path);
    return rc;
}

static int begin(dk_acts_writer *w, struct sets *s, const dk_merge_job *job, dk_err *err)
{
    dk_acts *a = NULL;
    int rc = dk_acts_open(&a, job->path[0], err);

    if (rc < 0)
        return rc;
    s->info = dk_xcalloc(2 * dk_acts_n(a), sizeof *s->info);
    order(s, a, job->lanes);
    if (s->n != dk_acts_n(a))
        rc = dk_fail(err, DK_EFORMAT, "%s: it has activations of lanes that it does not name", job->path[0]);
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = add_set(w, a, &s->info[i], err);
    for (size_t i = 0; i < s->n; i++) {             /* what is kept of them must outlive the file */
        s->info[i].site = dk_xstrdup(s->info[i].site);
        s->info[i].what = dk_xstrdup(s->info[i].what);
    }
    dk_acts_close(&a);
    return rc;
}

static int add_shard(dk_acts_writer *w, const struct sets *s, const char *path, float **x, dk_err *err)
{
    dk_acts *a = NULL;
    int rc = dk_acts_open(&a, path, err);
    const size_t rows = rc == 0 ? dk_acts_tokens(a)->rows : 0;

    if (rc == 0)
        dk_h5_unverified(dk_acts_file(a));      /* it has been read once */
    for (size_t first = 0; rc == 0 && first < rows; first += PIECE) {
        const size_t n = rows - first < PIECE ? rows - first : PIECE;

        for (size_t i = 0; rc == 0 && i < s->n; i++)
            rc = dk_acts_read(a, dk_acts_find(a, s->info[i].layer, s->info[i].site, s->info[i].what), first, n, x[i], err);
        if (rc == 0)
            rc = dk_acts_append(w, (const float *const *)x, n, err);
    }
    dk_acts_close(&a);
    return rc;
}

int dk_merge_acts(const dk_merge_job *job, dk_err *err)
{
    dk_acts_writer *w = NULL;
    struct sets s = {0};
    float **x = NULL;
    dk_tokens t;
    int rc = dk_merge_tokens(&t, job, err);

    if (rc == 0)
        rc = dk_acts_new(&w, job->out, &t, job->features[0] != 0, &job->prov, err);
    if (rc == 0)
        rc = dk_merge_models(job, put_model, w, err);
    if (rc == 0)
        rc = begin(w, &s, job, err);
    x = dk_xcalloc(s.n + 1, sizeof *x);
    for (size_t i = 0; rc == 0 && i < s.n; i++)
        rc = dk_alloc(&x[i], PIECE * s.info[i].d, sizeof(float), "rows of activations", err);
    for (size_t i = 0; rc == 0 && i < job->n; i++)
        rc = add_shard(w, &s, job->path[i], x, err);
    if (rc == 0)
        rc = dk_acts_commit(&w, err);
    dk_acts_abandon(&w);
    for (size_t i = 0; i < s.n; i++) {
        dk_free(x[i]);
        dk_free((char *)s.info[i].site);
        dk_free((char *)s.info[i].what);
    }
    dk_free(x);
    dk_free(s.info);
    dk_tokens_free(&t);
    return rc;
}
