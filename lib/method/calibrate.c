/* Statistics out of tables. */
#include "method/calibrate.h"

#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "io/jsonl.h"

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }
static const char *str(const dk_json *r, const char *key) { return dk_json_str(dk_json_get(r, key), ""); }
static double num(const dk_json *r, const char *key) { return dk_json_num(dk_json_get(r, key), NAN); }

dk_cal_row *dk_cal_new_row(dk_cal *c, const char *method, const char *statistic, const char *set, const char *lane)
{
    c->row = dk_xrealloc(c->row, (c->n + 1) * sizeof *c->row);
    c->row[c->n] = (dk_cal_row){ .method = dk_xstrdup(method), .statistic = dk_xstrdup(statistic), .set = dk_xstrdup(set),
                                 .site = dk_xstrdup(""), .lane = dk_xstrdup(lane), .layer = -1, .position = INT32_MIN, .component = -1,
                                 .value = NAN, .lo = NAN, .hi = NAN, .docs = NAN, .p_any = NAN };
    return &c->row[c->n++];
}

const char *dk_cal_lane(const dk_cal *c, const char *lane, const char *as_null)
{
    return is(lane, "base") ? NULL : as_null && is(lane, c->lane) ? as_null : lane;
}

static void place(dk_cal_row *r, const dk_json *j)
{
    dk_free(r->site);
    r->site = dk_xstrdup(str(j, "site"));
    r->layer = dk_json_int(dk_json_get(j, "layer"), -1);
    r->position = dk_json_int(dk_json_get(j, "position"), INT32_MIN);
    r->component = dk_json_int(dk_json_get(j, "component"), -1);
}

static void measured(dk_cal_row *r, const dk_json *j, double unit)
{
    r->value = num(j, "value") / unit;
    r->lo = num(j, "lo") / unit;
    r->hi = num(j, "hi") / unit;
    r->docs = num(j, "docs");
    r->p_any = num(j, "p_any");
}

/* A value that may be a finding. */
static dk_cal_row *content(dk_cal *c, const char *method, const char *statistic, const char *lane, const dk_json *j, double value)
{
    dk_cal_row *r = dk_cal_new_row(c, method, statistic, str(j, "dataset_id"), lane);

    r->content = true;
    r->value = value;
    place(r, j);
    return r;
}

/* --- tables --------------------------------------------------------------------- */
struct table {
    dk_cal *c;
    const char *as_null;
    dk_jsonl rows;
    bool known;                     /* a table that may say nothing of differences */
};

/* dk-kl */
static void divergence(struct table *t, const dk_json *j)
{
    const char *lane = dk_cal_lane(t->c, str(j, "lane"), t->as_null), *set = str(j, "dataset_id");
    const dk_json *change = dk_json_get(j, "logp_change");

    if (!lane)
        return;
    measured(dk_cal_new_row(t->c, "kl", "mean", set, lane), j, 1);
    if (change) {
        dk_cal_row *r = dk_cal_new_row(t->c, "kl", "logp_change", set, lane);

        r->two_sided = true;
        measured(r, change, 1);
    }
}

/* dk-norms */
static void norms(struct table *t, const dk_json *j)
{
    const char *lane = dk_cal_lane(t->c, str(j, "lane"), t->as_null), *metric = str(j, "metric");
    dk_cal_row *r;

    if (!lane || is(metric, "norm") || is(metric, "mean_diff"))
        return;
    r = dk_cal_new_row(t->c, "activation_analysis", metric, str(j, "dataset_id"), lane);
    measured(r, j, 1);
    place(r, j);
}

/* How long rows are where a mean was taken: of the base, or where it has none, 1. */
static double length_of_rows(const struct table *t, const dk_json *j)
{
    for (size_t i = 0; i < t->rows.n; i++) {
        const dk_json *o = t->rows.row[i];

        if (is(str(o, "what"), "base") && is(str(o, "name"), str(j, "name")) && is(str(o, "site"), str(j, "site")) &&
            dk_json_int(dk_json_get(o, "layer"), -1) == dk_json_int(dk_json_get(j, "layer"), -2) &&
            num(o, "mean_norm") > 0)
            return num(o, "mean_norm");
    }
    return 1;
}

/* "diff" is the finetune's, "diff.NAME" a null's; NULL: no difference. */
static const char *lane_of_diff(const struct table *t, const char *what)
{
    if (is(what, "diff"))
        return dk_cal_lane(t->c, "ft", t->as_null);
    return strncmp(what, "diff.", 5) == 0 ? dk_cal_lane(t->c, what + 5, t->as_null) : NULL;
}

/* dk-mean */
static void means(struct table *t, const dk_json *j)
{
    const char *lane = lane_of_diff(t, str(j, "what"));
    const double unit = length_of_rows(t, j);
    dk_cal_row *r;

    if (!lane)
        return;
    r = dk_cal_new_row(t->c, "activation_difference_lens", "relative_norm", str(j, "dataset_id"), lane);
    measured(r, j, unit);
    r->value = num(j, "norm") / unit;
    r->docs = num(j, "docs");
    place(r, j);
    if (isfinite(num(j, "halves")))
        content(t->c, "activation_difference_lens", "halves", lane, j, num(j, "halves"))->docs = num(j, "docs");
}

/* dk-pca: of all components what the first one's line says; of each how far halves agree. */
static void components(struct table *t, const dk_json *j)
{
    const char *lane = lane_of_diff(t, str(j, "what")), *set = str(j, "dataset_id");
    const struct { const char *name; double value; } size[] = {
        { "trace", num(j, "total_variance") }, { "first_share", num(j, "ratio") }, { "participation", num(j, "participation") }
    };

    t->known = true;
    if (!lane || dk_json_bool(dk_json_get(j, "whitened"), false))
        return;
    for (size_t i = 0; dk_json_int(dk_json_get(j, "component"), -1) == 0 && i < 3; i++)
        if (isfinite(size[i].value)) {
            dk_cal_row *r = dk_cal_new_row(t->c, "pca", size[i].name, set, lane);

            r->value = size[i].value;
            place(r, j);
            r->component = -1;
        }
    if (isfinite(num(j, "halves")))
        content(t->c, "pca", "halves", lane, j, num(j, "halves"));
}

/* The number of a direction that is a component; -1: it is none. */
static int64_t component_of(const char *name)
{
    int64_t n;

    return strncmp(name, "pc_", 3) == 0 && dk_parse_int(&n, name + 3, 0, INT32_MAX, "", &(dk_err){0}) == 0 ? n : -1;
}

static dk_cal_list *list_of(dk_cal *c, const char *method, const char *set, const char *lane, const dk_json *j)
{
    const int64_t layer = dk_json_int(dk_json_get(j, "layer"), -1), component = component_of(str(j, "name")),
                  position = dk_json_int(dk_json_get(j, "position"), INT32_MIN);
    const bool inverse = dk_json_bool(dk_json_get(j, "inverse"), false);

    for (size_t i = c->n_lists; i-- > 0;) {
        dk_cal_list *l = &c->list[i];

        if (is(l->method, method) && is(l->set, set) && is(l->lane, lane) && is(l->site, str(j, "site")) &&
            l->layer == layer && l->position == position && l->component == component && l->inverse == inverse)
            return l;
    }
    c->list = dk_xrealloc(c->list, (c->n_lists + 1) * sizeof *c->list);
    c->list[c->n_lists] = (dk_cal_list){ .method = dk_xstrdup(method), .set = dk_xstrdup(set), .lane = dk_xstrdup(lane),
                                         .site = dk_xstrdup(str(j, "site")), .layer = layer, .position = position,
                                         .component = component, .inverse = inverse };
    return &c->list[c->n_lists++];
}

/* dk-lens: in order of rank.  A mean speaks for what it adds, a component at both ends. */
static void lens(struct table *t, const dk_json *j)
{
    const char *lane = lane_of_diff(t, str(j, "what"));
    const int64_t id = dk_json_int(dk_json_get(j, "id"), -1), component = component_of(str(j, "name"));
    const bool inverse = dk_json_bool(dk_json_get(j, "inverse"), false);
    dk_cal_list *l;

    t->known = t->known || component >= 0;
    if (!lane || (inverse && component < 0) || dk_json_get(j, "query") || id < 0 || id > UINT32_MAX)
        return;
    l = list_of(t->c, component < 0 ? "activation_difference_lens" : "pca", str(j, "dataset_id"), lane, j);
    if (l->n == 0 && component < 0 && isfinite(num(j, "entropy")))
        content(t->c, "activation_difference_lens", "lens_focus", lane, j, -num(j, "entropy"));
    if (l->n == 0 && component >= 0 && !inverse && isfinite(num(j, "kurtosis")))
        content(t->c, "pca", "kurtosis", lane, j, num(j, "kurtosis"))->component = component;
    if (l->n < DK_CAL_TOP)
        l->id[l->n++] = (uint32_t)id;
}

static int add_table(dk_cal *c, const char *path, const char *as_null, dk_err *err)
{
    struct table t = { .c = c, .as_null = as_null };
    const size_t before = c->n + c->n_lists;
    int rc = dk_jsonl_load(&t.rows, path, err);

    for (size_t i = 0; rc == 0 && i < t.rows.n; i++) {
        const dk_json *j = t.rows.row[i];

        if (dk_json_get(j, "metric"))
            norms(&t, j);
        else if (dk_json_get(j, "rank") && dk_json_get(j, "inverse"))
            lens(&t, j);
        else if (dk_json_get(j, "component") && dk_json_get(j, "total_variance"))
            components(&t, j);
        else if (dk_json_get(j, "what") && dk_json_get(j, "mean_norm"))
            means(&t, j);
        else if (dk_json_get(j, "against") && dk_json_get(j, "value"))
            divergence(&t, j);
    }
    dk_jsonl_free(&t.rows);
    if (rc == 0 && !t.known && c->n + c->n_lists == before)
        rc = dk_fail(err, DK_EDATA, "%s holds no statistics of a finetune or a null: expected a table of dk-kl, dk-mean, "
                     "dk-norms, dk-lens or dk-pca, or a score file", path);
    return rc;
}

static bool has_ending(const char *s, const char *end)
{
    return strlen(s) >= strlen(end) && is(s + strlen(s) - strlen(end), end);
}

int dk_cal_add(dk_cal *c, const char *path, const char *as_null, dk_err *err)
{
    return has_ending(path, ".h5") ? dk_cal_add_scores(c, path, as_null, err) : add_table(c, path, as_null, err);
}

void dk_cal_free(dk_cal *c)
{
    for (size_t i = 0; i < c->n; i++) {
        dk_cal_row *r = &c->row[i];

        dk_free(r->method); dk_free(r->statistic); dk_free(r->set); dk_free(r->site); dk_free(r->lane);
    }
    for (size_t i = 0; i < c->n_lists; i++) {
        dk_cal_list *l = &c->list[i];

        dk_free(l->method); dk_free(l->set); dk_free(l->site); dk_free(l->lane);
    }
    for (size_t i = 0; i < c->n_rates; i++) {
        dk_cal_rates *r = &c->rates[i];

        dk_free(r->set); dk_free(r->lane); dk_free(r->x); dk_free(r->xx); dk_free(r->xn);
        dk_free(r->own_n); dk_free(r->own_nn); dk_free(r->own_docs);
    }
    dk_free(c->row);
    dk_free(c->list);
    dk_free(c->rates);
    dk_free(c->count);
    *c = (dk_cal){0};
}
