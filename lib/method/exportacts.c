/* Activations: for each lane a store as the reference toolkit lays it out, with
 * the running sums that it keeps beside the rows. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/outfile.h"
#include "io/actfile.h"
#include "io/json.h"
#include "io/npy.h"
#include "method/export.h"

enum { BLOCK = 512 };

/* Rows of x, or of x plus a difference. */
typedef struct source {
    const dk_act_info *x, *plus;
    const char *lane;
} source;

static int put_config(const char *folder, const dk_tokens *t, const dk_act_info *x, const char *io,
                      dk_err *err)
{
    char *path = dk_xasprintf("%s/config.json", folder);
    dk_buf text = {0};
    dk_jw w = { .out = &text };
    int rc;

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "batch_size"); dk_jw_null(&w);
    dk_jw_key(&w, "context_len");
    if (t->max_tokens)
        dk_jw_u64(&w, t->max_tokens);
    else
        dk_jw_null(&w);
    dk_jw_key(&w, "shard_size"); dk_jw_u64(&w, t->rows);
    dk_jw_key(&w, "d_model"); dk_jw_u64(&w, x->d);
    dk_jw_key(&w, "shuffle_shards"); dk_jw_bool(&w, false);
    dk_jw_key(&w, "io"); dk_jw_str(&w, io);
    dk_jw_key(&w, "total_size"); dk_jw_u64(&w, t->rows);
    dk_jw_key(&w, "shard_count"); dk_jw_int(&w, 1);
    dk_jw_key(&w, "store_tokens"); dk_jw_bool(&w, true);
    dk_jw_key(&w, "store_sequence_ranges"); dk_jw_bool(&w, true);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    rc = dk_outfile_write(path, text.s, text.n, err);
    dk_buf_free(&text);
    dk_free(path);
    return rc;
}

static int put_sums(const char *folder, size_t d, int64_t count, const double *mean, double *m2,
                    dk_err *err)
{
    static const char *const name[] = { "count", "mean", "M2", "std" };
    const void *value[] = { &count, mean, m2, m2 };
    const uint64_t dim = d;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 4; i++) {
        char *path = dk_xasprintf("%s/%s.npy", folder, name[i]);

        for (size_t j = 0; i == 3 && j < d; j++)
            m2[j] = count > 1 ? sqrt(m2[j] / (double)(count - 1)) : NAN;
        rc = dk_npy_write(path, i ? "<f8" : "<i8", i ? 1 : 0, &dim, value[i], err);
        dk_free(path);
    }
    return rc;
}

/* Welford's running mean and sum of squared deviations, row by row. */
static void add_rows(const float *v, size_t n, size_t d, int64_t *count, double *mean, double *m2)
{
    for (size_t r = 0; r < n; r++) {
        ++*count;
        for (size_t j = 0; j < d; j++) {
            const double x = (double)v[r * d + j], before = x - mean[j];

            mean[j] += before / (double)*count;
            m2[j] += before * (x - mean[j]);
        }
    }
}

static int put_rows(dk_acts *a, const source *s, const char *folder, float *v, float *plus, double *mean,
                    double *m2, dk_err *err)
{
    const size_t rows = dk_acts_tokens(a)->rows, d = s->x->d;
    char *path = dk_xasprintf("%s/shard_0.npy", folder);
    const uint64_t dim[2] = { rows, d };
    int64_t count = 0;
    dk_npy *npy;
    int rc = dk_npy_create(&npy, path, "<f4", 2, dim, err);

    for (size_t at = 0; rc == 0 && at < rows; at += BLOCK) {
        const size_t n = rows - at < BLOCK ? rows - at : BLOCK;

        rc = dk_acts_read(a, s->x, at, n, v, err);
        if (rc == 0 && s->plus && (rc = dk_acts_read(a, s->plus, at, n, plus, err)) == 0)
            for (size_t i = 0; i < n * d; i++)
                v[i] += plus[i];
        if (rc == 0)
            rc = dk_npy_append(npy, v, n * d * sizeof *v, err);
        if (rc == 0)
            add_rows(v, n, d, &count, mean, m2);
    }
    if (rc == 0 && (rc = dk_npy_commit(&npy, err)) == 0)
        rc = put_sums(folder, d, count, mean, m2, err);
    dk_npy_abandon(&npy);
    dk_free(path);
    return rc;
}

static int put_source(dk_acts *a, const source *s, const char *dir, dk_err *err)
{
    const size_t d = s->x->d;
    char *lane = dk_export_word(s->lane), *site = dk_export_word(s->x->site);
    const char *io = strcmp(site, "resid_post") == 0 ? "out" : strcmp(site, "resid_pre") == 0 ? "in" : site;
    char *store = dk_xasprintf("%s/%s", dir, lane);
    char *folder = dk_xasprintf("%s/layer_%d_%s", store, s->x->layer, io);
    float *v = NULL, *plus = NULL;
    double *mean = NULL, *m2 = NULL;
    int rc;

    if ((rc = dk_export_tokens(dk_acts_tokens(a), store, err)) == 0 &&
        (rc = put_config(folder, dk_acts_tokens(a), s->x, io, err)) == 0 &&
        (rc = dk_alloc(&v, BLOCK * d, sizeof *v, "activations", err)) == 0 &&
        (rc = dk_alloc(&plus, BLOCK * d, sizeof *plus, "activations", err)) == 0 &&
        (rc = dk_alloc(&mean, d, sizeof *mean, "activations", err)) == 0 &&
        (rc = dk_alloc(&m2, d, sizeof *m2, "activations", err)) == 0)
        rc = put_rows(a, s, folder, v, plus, mean, m2, err);
    dk_free(v);
    dk_free(plus);
    dk_free(mean);
    dk_free(m2);
    dk_free(folder);
    dk_free(store);
    dk_free(lane);
    dk_free(site);
    return rc;
}

int dk_export_acts(const char *path, const char *dir, dk_err *err)
{
    dk_acts *a;
    int rc = dk_acts_open(&a, path, err);

    for (size_t i = 0; rc == 0 && i < dk_acts_n(a); i++) {
        const dk_act_info *x = dk_acts_at(a, i);
        const bool diff = strncmp(x->what, "diff", 4) == 0 && (x->what[4] == 0 || x->what[4] == '.');
        const char *lane = diff && x->what[4] ? x->what + 5 : "ft";
        const source stored = { x, NULL, x->what };
        const source rebuilt = { dk_acts_find(a, x->layer, x->site, "base"), x, lane };

        rc = put_source(a, &stored, dir, err);
        if (rc == 0 && diff && rebuilt.x && !dk_acts_find(a, x->layer, x->site, lane))
            rc = put_source(a, &rebuilt, dir, err);
    }
    dk_acts_close(&a);
    return rc;
}
