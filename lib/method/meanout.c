/* Means as directions and as a table. */
#include "method/mean.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"

static double length(const double *x, size_t d)
{
    double sq = 0;

    for (size_t j = 0; j < d; j++)
        sq += x[j] * x[j];
    return sqrt(sq);
}

/* Entry i of a lane's list: its positions, then the whole. */
static const double *entry(const dk_means *m, size_t i) { return i < m->n_pos ? m->pos + i * m->d : m->whole; }
static size_t behind(const dk_means *m, size_t i) { return i < m->n_pos ? m->docs : m->rows; }

static char *name_of(const dk_means *m, size_t i)
{
    return i < m->n_pos ? dk_xasprintf("mean_pos_%d", m->first + (int)i) : dk_xstrdup("mean_all");
}

/* What scales are relative to: of the finetune, at the same layer and site. */
static double scale_of(const dk_means *m, size_t n, const dk_means *x)
{
    for (size_t i = 0; i < n; i++)
        if (m[i].layer == x->layer && strcmp(m[i].site, x->site) == 0 && strcmp(m[i].what, "ft") == 0)
            return m[i].act_norm;
    return NAN;
}

static int put_set(dk_h5 *f, const dk_means *m, double act_norm, dk_err *err)
{
    const size_t n = m->n_pos + 1;
    char **name = dk_xcalloc(n, sizeof *name);
    float *v = NULL;
    int32_t *position = dk_xcalloc(n, sizeof *position);
    double *norm = dk_xcalloc(n, sizeof *norm);
    uint64_t *count = dk_xcalloc(n, sizeof *count);
    int rc = dk_alloc(&v, n * m->d, sizeof *v, "directions", err);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        name[i] = name_of(m, i);
        position[i] = i < m->n_pos ? m->first + (int32_t)i : DK_NO_POSITION;
        norm[i] = length(entry(m, i), m->d);
        count[i] = behind(m, i);
        for (size_t j = 0; j < m->d; j++)
            v[i * m->d + j] = (float)entry(m, i)[j];
    }
    if (rc == 0) {
        const dk_dir_set s = {
            .layer = m->layer, .site = m->site, .what = m->what, .source = "mean", .unit = "model",
            .act_norm = act_norm, .n = n, .d = m->d, .vector = v, .name = (const char *const *)name,
            .position = position, .norm = norm, .count = count
        };

        rc = dk_dirs_put(f, &s, err);
    }
    for (size_t i = 0; i < n; i++)
        dk_free(name[i]);
    dk_free(name);
    dk_free(v);
    dk_free(position);
    dk_free(norm);
    dk_free(count);
    return rc;
}

int dk_means_write(const dk_means *m, size_t n, dk_h5 *from, const dk_tokens *corpus, const char *path,
                   const dk_provenance *prov, dk_err *err)
{
    size_t all = 0;
    dk_h5 *f = NULL;
    int rc = dk_dirs_create(&f, path, corpus, from, prov, err);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = put_set(f, &m[i], scale_of(m, n, &m[i]), err);
        all += m[i].n_pos + 1;
    }
    if (rc == 0)
        return dk_dirs_commit(&f, all, err);
    dk_h5_close(&f);
    return rc;
}

static void put_row(dk_buf *out, const dk_means *m, size_t i, const char *dataset)
{
    dk_jw j = { .out = out };
    char *name = name_of(m, i);

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "layer"); dk_jw_int(&j, m->layer);
    dk_jw_key(&j, "site"); dk_jw_str(&j, m->site);
    dk_jw_key(&j, "what"); dk_jw_str(&j, m->what);
    dk_jw_key(&j, "name"); dk_jw_str(&j, name);
    dk_jw_key(&j, "position");
    if (i < m->n_pos)
        dk_jw_int(&j, m->first + (int)i);
    else
        dk_jw_null(&j);
    dk_jw_key(&j, "count"); dk_jw_u64(&j, behind(m, i));
    dk_jw_key(&j, "docs"); dk_jw_u64(&j, i < m->n_pos ? m->docs : m->all_docs);
    dk_jw_key(&j, "norm"); dk_jw_num(&j, length(entry(m, i), m->d));
    if (m->length && isfinite(m->length[i].p)) {
        dk_jw_key(&j, "lo"); dk_jw_num(&j, m->length[i].lo);
        dk_jw_key(&j, "hi"); dk_jw_num(&j, m->length[i].hi);
        dk_jw_key(&j, "p_any"); dk_jw_num(&j, m->length[i].p);
        if (isfinite(m->length[i].halves)) {
            dk_jw_key(&j, "halves"); dk_jw_num(&j, m->length[i].halves);
        }
    }
    dk_jw_key(&j, "mean_norm"); dk_jw_num(&j, i < m->n_pos ? m->pos_norm[i] : m->whole_norm);
    dk_jw_key(&j, "act_norm"); dk_jw_num(&j, m->act_norm);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, dataset);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
    dk_free(name);
}

void dk_means_table(dk_buf *out, const dk_means *m, size_t n, const char *dataset)
{
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i <= m[k].n_pos; i++)
            put_row(out, &m[k], i, dataset);
}
