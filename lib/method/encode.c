/* Projections of rows on directions. */
#include "method/encode.h"

#include <math.h>
#include <string.h>

#include "io/rowstats.h"
#include "io/scorefile.h"
#include "method/lane.h"

enum { PIECE = 1024 };

/* The chosen directions of one layer and site. */
struct basis {
    const dk_dir_set *set;
    size_t *index, n;               /* which of the set */
    double *unit;                   /* [n][d]: v / |v| */
    double *mean;                   /* [d]; NULL: none */
    bool negate;
};

/* A lane's rows and where their values go: n of them in a row from `first`. */
struct source { const struct basis *b; dk_lane_rows rows; size_t first; };

struct work {
    dk_encoding *out;
    dk_acts *a;
    dk_dirs *d;
    const dk_encode_plan *plan;
    struct basis *basis;
    size_t n_basis;
    struct source *source;
    size_t n_sources;
};

static bool is_diff(const char *what) { return strcmp(what, "diff") == 0 || strncmp(what, "diff.", 5) == 0; }

/* --- directions ----------------------------------------------------------------- */
static bool has_layer(const dk_acts *a, const dk_dir_set *s)
{
    for (size_t i = 0; i < dk_acts_n(a); i++)
        if (dk_acts_at(a, i)->layer == s->layer && strcmp(dk_acts_at(a, i)->site, s->site) == 0)
            return true;
    return false;
}

/* Components are about a mean, and may be those of negated rows. */
static int frame(struct basis *b, dk_h5 *f, bool raw, dk_err *err)
{
    char *g = dk_xasprintf("/dirs/L%02d/%s/%s", b->set->layer, b->set->site, b->set->what);
    char *path = dk_xasprintf("%s/mean", g);
    const dk_h5_object *o = dk_h5_find(f, path);
    int64_t negated = 0;
    dk_h5_data info;
    int rc = 0;

    if (o && o->kind == DK_H5_DATASET && !raw) {
        rc = dk_h5_read_all(f, path, DK_H5_F64, &b->mean, &info, err);
        if (rc == 0 && (info.rank != 1 || info.dim[0] != b->set->d))
            rc = dk_fail(err, DK_EFORMAT, "%s: %s does not fit the directions beside it", dk_h5_path(f), path);
        for (size_t j = 0; rc == 0 && j < b->set->d; j++)
            if (!isfinite(b->mean[j]))
                rc = dk_fail(err, DK_EFORMAT, "%s: %s has values that are NaN or infinite", dk_h5_path(f), path);
    }
    if (rc == 0 && dk_h5_has_attr(f, g, "negated"))
        rc = dk_h5_get_int(f, g, "negated", &negated, err);
    b->negate = negated != 0;
    dk_free(path);
    dk_free(g);
    return rc;
}

static int add_direction(struct basis *b, size_t i, const char *path, dk_err *err)
{
    const size_t d = b->set->d;
    const float *v = b->set->vector + i * d;
    double *to = b->unit + b->n * d, square = 0;

    for (size_t j = 0; j < d; j++)
        square += (double)v[j] * v[j];
    if (!(square > 0))
        return dk_fail(err, DK_EDATA, "%s: direction %s of layer %d, %s is zero", path, b->set->name[i], b->set->layer,
                       b->set->what);
    for (size_t j = 0; j < d; j++)
        to[j] = v[j] / sqrt(square);
    b->index[b->n++] = i;
    return 0;
}

static int add_basis(struct work *w, const dk_dir_set *set, dk_err *err)
{
    const char *path = dk_h5_path(dk_dirs_file(w->d));
    struct basis *b;
    int rc;

    w->basis = dk_xrealloc(w->basis, (w->n_basis + 1) * sizeof *w->basis);
    b = &w->basis[w->n_basis++];
    *b = (struct basis){ .set = set, .index = dk_xcalloc(set->n + 1, sizeof *b->index) };
    rc = dk_alloc(&b->unit, set->n * set->d, sizeof *b->unit, "directions", err);
    if (rc == 0)
        rc = frame(b, dk_dirs_file(w->d), w->plan->raw, err);
    for (size_t i = 0; rc == 0 && i < set->n; i++)
        if (dk_dir_meant(&w->plan->dirs, set, i))
            rc = add_direction(b, i, path, err);
    return rc;
}

static int choose(struct work *w, dk_err *err)
{
    const char *dirs = dk_h5_path(dk_dirs_file(w->d)), *acts = dk_h5_path(dk_acts_file(w->a));
    const char *what = dk_dir_what(w->d, &w->plan->dirs);
    size_t n = 0, chosen = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_dirs_n(w->d); i++) {
        const dk_dir_set *s = dk_dirs_at(w->d, i);

        if (!dk_dir_set_meant(w->d, &w->plan->dirs, s))
            continue;
        n++;
        if (has_layer(w->a, s) && (rc = add_basis(w, s, err)) == 0)
            chosen += w->basis[w->n_basis - 1].n;
    }
    if (rc < 0)
        return rc;
    if (n == 0)
        return dk_fail(err, DK_EDATA, "%s has no directions of %s%s", dirs, what, w->plan->dirs.n_layers ? " at these layers" : "");
    if (w->n_basis == 0)
        return dk_fail(err, DK_EDATA, "%s has no activations at the layers and sites of %s", acts, dirs);
    return chosen ? 0 : dk_fail(err, DK_EDATA, "%s: no direction of %s has such a name", dirs, what);
}

/* --- lanes ------------------------------------------------------------------------ */
/* Every lane of the file that has rows of the kind the directions are of. */
static int add_sources(struct work *w, const struct basis *b, const char *lanes, dk_err *err)
{
    const bool diff = is_diff(b->set->what);
    char *copy = dk_xstrdup(lanes), *save = NULL;
    const size_t before = w->n_sources;
    int rc = 0;

    for (char *lane = strtok_r(copy, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save)) {
        char *what = !diff ? dk_xstrdup(lane) : strcmp(lane, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", lane);
        struct source s = { .b = b, .first = w->out->n };

        if (!diff || strcmp(lane, "base") != 0)
            s.rows = dk_lane_find(w->a, b->set->layer, b->set->site, what);
        if (s.rows.a && s.rows.a->d != b->set->d)
            rc = dk_fail(err, DK_EDATA, "%s has rows of %zu values, %s directions of %zu", dk_h5_path(dk_acts_file(w->a)),
                         s.rows.a->d, dk_h5_path(dk_dirs_file(w->d)), b->set->d);
        for (size_t i = 0; rc == 0 && s.rows.a && i < b->n; i++) {
            dk_encoded *e;

            w->out->of = dk_xrealloc(w->out->of, (w->out->n + 1) * sizeof *w->out->of);
            e = &w->out->of[w->out->n++];
            *e = (dk_encoded){ .layer = b->set->layer, .site = dk_xstrdup(b->set->site), .lane = dk_xstrdup(lane),
                               .direction = dk_xstrdup(b->set->name[b->index[i]]), .diff = diff,
                               .computed_in = dk_xstrdup(s.rows.a->computed_in) };
            rc = dk_alloc(&e->value, dk_acts_tokens(w->a)->rows, sizeof *e->value, "projections", err);
        }
        if (rc == 0 && s.rows.a) {
            w->source = dk_xrealloc(w->source, (w->n_sources + 1) * sizeof *w->source);
            w->source[w->n_sources++] = s;
        }
        dk_free(what);
    }
    dk_free(copy);
    if (rc == 0 && w->n_sources == before)
        rc = dk_fail(err, DK_EDATA, "%s: layer %d, %s has no %s", dk_h5_path(dk_acts_file(w->a)), b->set->layer, b->set->site,
                     b->set->what);
    return rc;
}

/* --- rows --------------------------------------------------------------------------- */
static double product(const float *x, const double *mean, const double *unit, size_t d)
{
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += (x[j] - (mean ? mean[j] : 0)) * unit[j];
    return sum;
}

static void project(dk_encoded *to, const struct source *s, float *x, size_t first, size_t n)
{
    const struct basis *b = s->b;
    const size_t d = b->set->d, total = n * b->n;

    for (size_t j = 0; b->negate && j < n * d; j++)
        x[j] = -x[j];
    #pragma omp parallel for schedule(static)
    for (size_t k = 0; k < total; k++) {
        const size_t i = k / b->n, c = k % b->n;

        to[s->first + c].value[first + i] = (float)product(x + i * d, b->mean, b->unit + c * d, d);
    }
}

/* How many of a document's rows have no value. */
static size_t left_out(const dk_tokens *t, const dk_encode_plan *p, size_t doc)
{
    const size_t n = t->offset[doc + 1] - t->offset[doc];

    return p->max_docs && doc >= p->max_docs ? n : n < p->skip ? n : p->skip;
}

static void leave_out(dk_encoding *e, const dk_tokens *t, const dk_encode_plan *p)
{
    for (size_t k = 0; k < e->n; k++)
        for (size_t i = 0; i < t->docs; i++)
            for (size_t r = 0, n = left_out(t, p, i); r < n; r++)
                e->of[k].value[t->offset[i] + r] = NAN;
}

static int read_rows(struct work *w, dk_err *err)
{
    const size_t rows = dk_acts_tokens(w->a)->rows, d = w->basis[0].set->d;
    float *x = NULL, *more = NULL;
    int rc = dk_alloc(&x, PIECE * d, sizeof *x, "rows", err);

    if (rc == 0)
        rc = dk_alloc(&more, PIECE * d, sizeof *more, "rows", err);
    for (size_t first = 0; rc == 0 && first < rows; first += PIECE) {
        const size_t n = rows - first < PIECE ? rows - first : PIECE;

        for (size_t i = 0; rc == 0 && i < w->n_sources; i++)
            if ((rc = dk_lane_read(w->a, &w->source[i].rows, first, n, x, more, err)) == 0)
                project(w->out->of, &w->source[i], x, first, n);
        dk_acts_done(w->a, first + n);
    }
    dk_free(x);
    dk_free(more);
    return rc == 0 ? dk_acts_finish(w->a, err) : rc;
}

/* A value in every score, or its statistics are those of nothing. */
static int any_row(const dk_tokens *t, const dk_encode_plan *p, const char *path, dk_err *err)
{
    for (size_t i = 0; i < t->docs; i++)
        if (t->offset[i + 1] - t->offset[i] > left_out(t, p, i))
            return 0;
    return dk_fail(err, DK_EDATA, "%s: no document has more than %zu tokens", path, p->skip);
}

static int same_width(const struct work *w, dk_err *err)
{
    for (size_t i = 1; i < w->n_basis; i++)
        if (w->basis[i].set->d != w->basis[0].set->d)
            return dk_fail(err, DK_EFORMAT, "%s: directions of %zu and of %zu values", dk_h5_path(dk_dirs_file(w->d)),
                           w->basis[0].set->d, w->basis[i].set->d);
    return 0;
}

int dk_encode(dk_encoding *out, dk_acts *a, dk_dirs *d, const dk_encode_plan *plan, dk_err *err)
{
    struct work w = { .out = out, .a = a, .d = d, .plan = plan };
    const char *path = dk_h5_path(dk_acts_file(a));
    char *lanes = NULL;
    int rc = any_row(dk_acts_tokens(a), plan, path, err);

    if (rc == 0) rc = choose(&w, err);
    if (rc == 0) rc = same_width(&w, err);
    if (rc == 0) rc = dk_h5_get_str(dk_acts_file(a), "/", "lanes", &lanes, err);
    for (size_t i = 0; rc == 0 && i < w.n_basis; i++)
        if (w.basis[i].n)
            rc = add_sources(&w, &w.basis[i], lanes, err);
    if (rc == 0)
        rc = read_rows(&w, err);
    if (rc == 0)
        leave_out(out, dk_acts_tokens(a), plan);
    for (size_t i = 0; i < w.n_basis; i++) {
        dk_free(w.basis[i].index);
        dk_free(w.basis[i].unit);
        dk_free(w.basis[i].mean);
    }
    dk_free(w.basis);
    dk_free(w.source);
    dk_free(lanes);
    return rc;
}

void dk_encoding_free(dk_encoding *e)
{
    for (size_t i = 0; i < e->n; i++) {
        dk_free(e->of[i].site);
        dk_free(e->of[i].direction);
        dk_free(e->of[i].lane);
        dk_free(e->of[i].computed_in);
        dk_free(e->of[i].value);
    }
    dk_free(e->of);
    *e = (dk_encoding){0};
}

/* --- output ------------------------------------------------------------------------- */
int dk_encode_write(const dk_encoding *e, dk_acts *from, const char *path, const dk_provenance *prov, dk_err *err)
{
    dk_scores_writer *w = NULL;
    int rc = dk_scores_new(&w, path, dk_acts_tokens(from), prov, err);

    if (rc == 0)
        rc = dk_scores_copy_models(w, dk_acts_file(from), err);
    for (size_t i = 0; rc == 0 && i < e->n; i++) {
        const dk_encoded *x = &e->of[i];
        const dk_score_attr a = { .unit = "activation", .site = x->site, .what = x->diff ? "diff" : x->lane,
                                  .computed_in = *x->computed_in ? x->computed_in : NULL, .has_layer = 1, .layer = x->layer };
        char *name = dk_xasprintf("proj/L%02d/%s/%s/%s", x->layer, x->site, x->direction, x->lane);

        rc = dk_scores_add_dense(w, name, x->value, 0, &a, err);
        dk_free(name);
    }
    if (rc == 0)
        return dk_scores_commit(&w, err);
    dk_scores_abandon(&w);
    return rc;
}

int dk_encode_table(dk_buf *out, const dk_encoding *e, const dk_tokens *t, size_t skip, uint64_t seed, dk_err *err)
{
    dk_rowstats g = {0};
    int rc = dk_rowstats_room(&g, t, err);

    for (size_t i = 0; rc == 0 && i < e->n; i++) {
        const dk_encoded *x = &e->of[i];
        dk_jw w = { .out = out };

        dk_jw_obj_begin(&w);
        dk_jw_key(&w, "metric"); dk_jw_str(&w, "proj");
        dk_jw_key(&w, "direction"); dk_jw_str(&w, x->direction);
        dk_jw_key(&w, "lane"); dk_jw_str(&w, x->lane);
        dk_jw_key(&w, "layer"); dk_jw_int(&w, x->layer);
        dk_jw_key(&w, "site"); dk_jw_str(&w, x->site);
        dk_jw_key(&w, "dataset_id"); dk_jw_str(&w, t->corpus_name);
        rc = dk_rowstats_put(&w, &g, t, x->value, seed, err);
        if (rc == 0)
            rc = dk_rowstats_rms(&w, &g, seed, err);
        dk_jw_key(&w, "skipped_first_tokens"); dk_jw_u64(&w, skip);
        dk_jw_key(&w, "total_tokens_processed"); dk_jw_u64(&w, g.n);
        dk_jw_obj_end(&w);
        dk_jw_line(&w);
    }
    dk_rowstats_free(&g);
    return rc;
}
