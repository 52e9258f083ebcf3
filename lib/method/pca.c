/* Principal components of activations. */
#include "method/pca.h"

#include <math.h>
#include <string.h>

#include "io/json.h"
#include "method/lane.h"
#include "num/resample.h"

enum { PIECE = 1024 };

/* --- which rows ------------------------------------------------------------------ */
static size_t rows_of(const dk_tokens *t, size_t skip)
{
    size_t n = 0;

    for (size_t d = 0; d < t->docs; d++) {
        const size_t len = t->offset[d + 1] - t->offset[d];

        n += len > skip ? len - skip : 0;
    }
    return n;
}

/* Each file gives its first rows: all, or its share of max_rows, rounded down. */
static int share_out(size_t *share, dk_acts *const *files, size_t n, const dk_pca_job *job, dk_err *err)
{
    double all = 0;

    for (size_t i = 0; i < n; i++) {
        share[i] = rows_of(dk_acts_tokens(files[i]), job->skip);
        all += (double)share[i];
        if (share[i] == 0)
            return dk_fail(err, DK_EDATA, "%s: no row is left without the first %zu of each document",
                           dk_h5_path(dk_acts_file(files[i])), job->skip);
    }
    for (size_t i = 0; job->max_rows && all > (double)job->max_rows && i < n; i++)
        share[i] = (size_t)((double)share[i] / all * (double)job->max_rows);
    return 0;
}

/* --- places -------------------------------------------------------------------------- */
dk_pca_place dk_pca_place_of(int layer, const char *site, const dk_pca_job *job)
{
    dk_pca_place p = { .layer = layer, .site = dk_xstrdup(site), .what = dk_xstrdup(job->what), .negated = job->negate,
                       .whitened = job->whiten, .uncentred = job->plan.uncentred };

    for (size_t c = 0; c < DK_PCA_HALVES; c++)
        p.halves[c] = NAN;
    return p;
}

struct run {
    dk_pca_place *p;
    dk_pca_fit **fit, *(*half)[2];  /* half: with job->halves */
    size_t n;
    const dk_pca_job *job;
    float *some;                    /* [PIECE, d] rows of one half */
    uint8_t side[PIECE];            /* the half of each row of a piece */
};

static bool asked(const dk_pca_job *job, int layer)
{
    bool yes = job->n_layers == 0;

    for (size_t i = 0; !yes && i < job->n_layers; i++)
        yes = job->layer[i] == layer;
    return yes;
}

static int lane_of(dk_lane_rows *l, const dk_acts *f, const char *path, int layer, const char *site, const char *what,
                   dk_err *err)
{
    *l = dk_lane_find(f, layer, site, what);
    return l->a ? 0 : dk_fail(err, DK_EDATA, "%s: layer %d, %s has no %s", path, layer, site, what);
}

static int add_place(struct run *r, dk_acts *f, const dk_act_info *x, dk_err *err)
{
    const dk_pca_plan half = { .k = DK_PCA_HALVES, .uncentred = r->job->plan.uncentred };
    dk_lane_rows l;
    int rc = lane_of(&l, f, dk_h5_path(dk_acts_file(f)), x->layer, x->site, r->job->what, err);

    if (rc < 0)
        return rc;
    r->p = dk_xrealloc(r->p, (r->n + 1) * sizeof *r->p);
    r->fit = dk_xrealloc(r->fit, (r->n + 1) * sizeof(dk_pca_fit *));
    r->half = dk_xrealloc(r->half, (r->n + 1) * sizeof *r->half);
    r->p[r->n] = dk_pca_place_of(x->layer, x->site, r->job);
    r->fit[r->n] = r->half[r->n][0] = r->half[r->n][1] = NULL;
    rc = dk_pca_fit_new(&r->fit[r->n++], x->d, &r->job->plan, err);
    for (size_t h = 0; rc == 0 && r->job->halves && h < 2; h++)
        rc = dk_pca_fit_new(&r->half[r->n - 1][h], x->d, &half, err);
    return rc;
}

static int add_places(struct run *r, dk_acts *f, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_acts_n(f); i++) {
        const dk_act_info *x = dk_acts_at(f, i), *last = i ? dk_acts_at(f, i - 1) : NULL;

        if ((!last || last->layer != x->layer || strcmp(last->site, x->site) != 0) && asked(r->job, x->layer))
            rc = add_place(r, f, x, err);
    }
    for (size_t k = 0; rc == 0 && k < r->job->n_layers; k++) {
        bool there = false;

        for (size_t i = 0; i < r->n; i++)
            there = there || r->p[i].layer == r->job->layer[k];
        if (!there)
            rc = dk_fail(err, DK_EDATA, "%s: there is no layer %d", dk_h5_path(dk_acts_file(f)), (int)r->job->layer[k]);
    }
    return rc;
}

/* --- rows -------------------------------------------------------------------------------- */
/* Moves the rows that count to the front, and says to which half each belongs; doc is that of the first row. */
static size_t choose(struct run *r, float *x, size_t d, const dk_tokens *t, size_t first, size_t n, size_t doc)
{
    const size_t skip = r->job->skip;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        while (first + i >= t->offset[doc + 1])
            doc++;
        if (first + i - t->offset[doc] < skip)
            continue;
        if (kept != i)
            memcpy(x + kept * d, x + i * d, d * sizeof *x);
        r->side[kept++] = dk_flip_sign(r->job->seed, 1, t->id[doc]) < 0;
    }
    return kept;
}

/* The rows of each half go to its own components. */
static int add_halves(struct run *r, size_t i, const float *x, size_t n, size_t d, dk_err *err)
{
    int rc = 0;

    for (uint8_t h = 0; rc == 0 && h < 2; h++) {
        size_t m = 0;

        for (size_t j = 0; j < n; j++)
            if (r->side[j] == h)
                memcpy(r->some + m++ * d, x + j * d, d * sizeof *x);
        rc = m ? dk_pca_fit_add(r->half[i][h], r->some, m, err) : 0;
    }
    return rc;
}

/* A piece of one place; *left: rows that may still be taken, when all places have had the piece. */
static int add_piece(struct run *r, dk_acts *f, const dk_lane_rows *l, size_t i, size_t first, size_t n, size_t doc,
                     size_t *left, float *x, float *work, dk_err *err)
{
    const size_t d = l->a->d;
    size_t m;
    int rc = dk_lane_read(f, l, first, n, x, work, err);

    if (rc < 0)
        return rc;
    m = choose(r, x, d, dk_acts_tokens(f), first, n, doc);
    m = m < *left ? m : *left;
    for (size_t j = 0; r->job->negate && j < m * d; j++)
        x[j] = -x[j];
    rc = dk_pca_fit_add(r->fit[i], x, m, err);
    if (rc == 0 && r->job->halves)
        rc = add_halves(r, i, x, m, d, err);
    if (rc < 0)
        return dk_err_prefix(err, "%s: layer %d, %s, %s", dk_h5_path(dk_acts_file(f)), r->p[i].layer, r->p[i].site,
                             r->p[i].what);
    if (i + 1 == r->n)
        *left -= m;
    return 0;
}

static int add_file(struct run *r, dk_acts *f, size_t share, dk_err *err)
{
    const dk_tokens *t = dk_acts_tokens(f);
    const char *path = dk_h5_path(dk_acts_file(f));
    dk_lane_rows *l = dk_xcalloc(r->n, sizeof *l);
    float *x = NULL, *work = NULL;
    size_t d = 0, doc = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->n; i++) {
        if ((rc = lane_of(&l[i], f, path, r->p[i].layer, r->p[i].site, r->p[i].what, err)) == 0 &&
            (d = l[i].a->d) != l[0].a->d)
            rc = dk_fail(err, DK_EFORMAT, "%s: rows of %zu and of %zu values", path, l[0].a->d, d);
    }
    if (rc == 0 && (rc = dk_alloc(&x, PIECE * d, sizeof *x, "rows", err)) == 0)
        rc = dk_alloc(&work, PIECE * d, sizeof *work, "rows", err);
    if (rc == 0 && r->job->halves)
        rc = dk_alloc(&r->some, PIECE * d, sizeof *r->some, "rows", err);
    for (size_t first = 0; rc == 0 && share && first < t->rows; first += PIECE) {
        const size_t n = t->rows - first < PIECE ? t->rows - first : PIECE;

        while (first >= t->offset[doc + 1])
            doc++;
        for (size_t i = 0; rc == 0 && i < r->n; i++)
            rc = add_piece(r, f, &l[i], i, first, n, doc, &share, x, work, err);
        dk_acts_done(f, first + n);
    }
    dk_free(l);
    dk_free(x);
    dk_free(work);
    dk_free(r->some);
    r->some = NULL;
    return rc == 0 ? dk_acts_finish(f, err) : rc;
}

static int same_width(dk_acts *const *files, size_t n, dk_err *err)
{
    const size_t d = dk_acts_n(files[0]) ? dk_acts_at(files[0], 0)->d : 0;

    for (size_t i = 1; i < n; i++)
        if (dk_acts_n(files[i]) && dk_acts_at(files[i], 0)->d != d)
            return dk_fail(err, DK_EDATA, "%s has rows of %zu values, %s of %zu", dk_h5_path(dk_acts_file(files[0])), d,
                           dk_h5_path(dk_acts_file(files[i])), dk_acts_at(files[i], 0)->d);
    return 0;
}

/* How far each component of a lies in the span of those of b. */
static void to_span(double *cosine, const dk_pca *a, const dk_pca *b)
{
    for (size_t c = 0; c < a->k; c++) {
        double sq = 0;

        for (size_t k = 0; k < b->k; k++) {
            double dot = 0;

            for (size_t j = 0; j < a->d; j++)
                dot += a->vector[c * a->d + j] * b->vector[k * a->d + j];
            sq += dot * dot;
        }
        cosine[c] = sqrt(sq);
    }
}

/* Halves that have no five components (few documents, rows that are all the same) say nothing. */
static void compare_halves(dk_pca_place *p, dk_pca_fit *const half[2])
{
    double way[2][DK_PCA_HALVES];
    dk_pca pca[2] = {{0}};
    dk_err err = {0};
    bool good = true;

    for (size_t h = 0; h < 2; h++)
        good = good && dk_pca_fit_end(half[h], &pca[h], &err) == 0 && pca[h].k == DK_PCA_HALVES;
    if (good) {
        to_span(way[0], &pca[0], &pca[1]);
        to_span(way[1], &pca[1], &pca[0]);
    }
    for (size_t c = 0; good && c < DK_PCA_HALVES; c++)
        p->halves[c] = (way[0][c] + way[1][c]) / 2;
    dk_pca_free(&pca[0]);
    dk_pca_free(&pca[1]);
}

int dk_pca_of(dk_pca_place **out, size_t *n, dk_acts *const *files, size_t n_files, const dk_pca_job *job, dk_err *err)
{
    size_t *share = dk_xcalloc(n_files, sizeof *share);
    struct run r = { .job = job };
    int rc;

    if ((rc = same_width(files, n_files, err)) == 0 && (rc = share_out(share, files, n_files, job, err)) == 0)
        rc = add_places(&r, files[0], err);
    for (size_t i = 0; rc == 0 && i < n_files; i++)
        rc = add_file(&r, files[i], share[i], err);
    for (size_t i = 0; rc == 0 && i < r.n; i++)
        if ((rc = dk_pca_fit_end(r.fit[i], &r.p[i].pca, err)) < 0)
            dk_err_prefix(err, "%s: layer %d, %s, %s", dk_h5_path(dk_acts_file(files[0])), r.p[i].layer, r.p[i].site,
                          r.p[i].what);
    for (size_t i = 0; rc == 0 && job->halves && i < r.n; i++)
        compare_halves(&r.p[i], r.half[i]);
    for (size_t i = 0; i < r.n; i++) {
        dk_pca_fit_free(&r.fit[i]);
        dk_pca_fit_free(&r.half[i][0]);
        dk_pca_fit_free(&r.half[i][1]);
    }
    dk_free(r.fit);
    dk_free(r.half);
    dk_free(share);
    if (rc < 0) {
        dk_pca_places_free(r.p, r.n);
        r = (struct run){0};
    }
    *out = r.p;
    *n = r.n;
    return rc;
}

void dk_pca_places_free(dk_pca_place *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dk_free(p[i].site);
        dk_free(p[i].what);
        dk_pca_free(&p[i].pca);
    }
    dk_free(p);
}

/* --- output ---------------------------------------------------------------------------- */
static double ratio(const dk_pca *p, size_t i) { return p->value[i] / p->total; }

static int put_column(dk_h5 *f, const char *group, const char *name, const double *v, uint64_t n, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", group, name);
    int rc = dk_h5_write(f, path, DK_H5_F64, 1, &n, v, err);

    dk_free(path);
    return rc;
}

static int put_rest(dk_h5 *f, const dk_pca_place *x, dk_err *err)
{
    const dk_pca *p = &x->pca;
    char *g = dk_xasprintf("/dirs/L%02d/%s/%s", x->layer, x->site, x->what);
    double *zero = dk_xcalloc(p->d, sizeof *zero);      /* what such rows were taken less */
    int rc;

    if ((rc = dk_h5_put_int(f, g, "rows", DK_H5_U64, (int64_t)p->n, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "negated", DK_H5_U8, x->negated, err)) == 0 &&
        (!x->whitened || (rc = dk_h5_put_int(f, g, "whitened", DK_H5_U8, 1, err)) == 0) &&
        (rc = dk_h5_put_real(f, g, "total_variance", DK_H5_F64, p->total, err)) == 0 &&
        (rc = dk_h5_put_real(f, g, "noise_variance", DK_H5_F64, p->noise, err)) == 0 &&
        (!x->uncentred || (rc = dk_h5_put_int(f, g, "uncentred", DK_H5_U8, 1, err)) == 0) &&
        (rc = put_column(f, g, "mean", x->uncentred ? zero : p->mean, p->d, err)) == 0 &&
        (rc = put_column(f, g, "var", p->var, p->d, err)) == 0 &&
        (rc = put_column(f, g, "variance", p->value, p->k, err)) == 0)
        rc = put_column(f, g, "singular", p->singular, p->k, err);
    dk_free(zero);
    dk_free(g);
    return rc;
}

static int put_place(dk_h5 *f, const dk_pca_place *x, dk_err *err)
{
    const dk_pca *p = &x->pca;
    char **name = dk_xcalloc(p->k, sizeof *name);
    int32_t *position = dk_xcalloc(p->k, sizeof *position);
    double *norm = dk_xcalloc(p->k, sizeof *norm);
    uint64_t *count = dk_xcalloc(p->k, sizeof *count);
    float *v = NULL;
    int rc = dk_alloc(&v, p->k * p->d, sizeof *v, "directions", err);

    for (size_t i = 0; rc == 0 && i < p->k; i++) {
        name[i] = dk_xasprintf("pc_%zu", i);
        position[i] = DK_NO_POSITION;
        norm[i] = 1;
        for (size_t j = 0; j < p->d; j++)
            v[i * p->d + j] = (float)p->vector[i * p->d + j];
    }
    if (rc == 0) {
        const dk_dir_set s = { .layer = x->layer, .site = x->site, .what = x->what, .source = "component",
                               .unit = "model", .act_norm = NAN, .n = p->k, .d = p->d, .vector = v,
                               .name = (const char *const *)name, .position = position, .norm = norm, .count = count };

        rc = dk_dirs_put(f, &s, err);
    }
    if (rc == 0)
        rc = put_rest(f, x, err);
    for (size_t i = 0; i < p->k; i++)
        dk_free(name[i]);
    dk_free(name);
    dk_free(position);
    dk_free(norm);
    dk_free(count);
    dk_free(v);
    return rc;
}

int dk_pca_write(const dk_pca_place *p, size_t n, dk_h5 *from, const dk_tokens *corpus, const char *path,
                 const dk_provenance *prov, dk_err *err)
{
    size_t all = 0;
    dk_h5 *f = NULL;
    int rc = dk_dirs_create(&f, path, corpus, from, prov, err);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = put_place(f, &p[i], err);
        all += p[i].pca.k;
    }
    if (rc == 0)
        return dk_dirs_commit(&f, all, err);
    dk_h5_close(&f);
    return rc;
}

static void put_row(dk_buf *out, const dk_pca_place *x, size_t i, double cumulative, const char *dataset)
{
    const dk_pca *p = &x->pca;
    dk_jw j = { .out = out };
    double mean = 0;

    for (size_t c = 0; c < p->d; c++)
        mean += p->vector[i * p->d + c] * p->mean[c];
    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "layer"); dk_jw_int(&j, x->layer);
    dk_jw_key(&j, "site"); dk_jw_str(&j, x->site);
    dk_jw_key(&j, "what"); dk_jw_str(&j, x->what);
    dk_jw_key(&j, "component"); dk_jw_u64(&j, i);
    if (x->whitened) {
        dk_jw_key(&j, "whitened"); dk_jw_bool(&j, true);
    }
    if (x->uncentred) {
        dk_jw_key(&j, "uncentred"); dk_jw_bool(&j, true);
    }
    dk_jw_key(&j, "variance"); dk_jw_num(&j, p->value[i]);
    dk_jw_key(&j, "ratio"); dk_jw_num(&j, ratio(p, i));
    dk_jw_key(&j, "cumulative"); dk_jw_num(&j, cumulative);
    dk_jw_key(&j, "singular"); dk_jw_num(&j, p->singular[i]);
    dk_jw_key(&j, "mean"); dk_jw_num(&j, mean);
    dk_jw_key(&j, "total_variance"); dk_jw_num(&j, p->total);
    dk_jw_key(&j, "noise_variance"); dk_jw_num(&j, p->noise);
    if (isfinite(p->squares)) {
        dk_jw_key(&j, "participation"); dk_jw_num(&j, p->total * p->total / p->squares);
    }
    if (i < DK_PCA_HALVES && isfinite(x->halves[i])) {
        dk_jw_key(&j, "halves"); dk_jw_num(&j, x->halves[i]);
    }
    dk_jw_key(&j, "count"); dk_jw_u64(&j, p->n);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, dataset);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

void dk_pca_table(dk_buf *out, const dk_pca_place *p, size_t n, const char *dataset)
{
    for (size_t k = 0; k < n; k++) {
        double sum = 0;

        for (size_t i = 0; i < p[k].pca.k; i++)
            put_row(out, &p[k], i, sum += ratio(&p[k].pca, i), dataset);
    }
}
