/* Loading what activation_analysis and pca left. */
#include "method/summarystat.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "method/summary.h"

static bool ends(const char *s, const char *end)        /* NULL: nothing ends so */
{
    const size_t n = strlen(s), m = end ? strlen(end) : 0;

    return end && n >= m && strcmp(s + n - m, end) == 0;
}

/* All DIR/PREFIX NAME SUFFIX whose name ends neither in `not` nor in `nor`. */
static int tables(dk_stat_table *t, size_t *n, const char *results, const char *dir, const char *prefix,
                  const char *suffix, const char *not, const char *nor, dk_err *err)
{
    char *rest = dk_xasprintf("%s/%s*%s", dir, prefix, suffix), *pattern = dk_summary_pattern(results, rest);
    glob_t g = {0};
    int rc = 0;

    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; rc == 0 && i < g.gl_pathc && *n < DK_STAT_SETS; i++) {
            const char *base = strrchr(g.gl_pathv[i], '/') + 1 + strlen(prefix);
            char *name = dk_xstrndup(base, strlen(base) - strlen(suffix));

            if (ends(name, not) || ends(name, nor)) {
                dk_free(name);
                continue;
            }
            t[*n].name = name;
            rc = dk_jsonl_load(&t[(*n)++].rows, g.gl_pathv[i], err);
        }
    globfree(&g);
    dk_free(rest);
    dk_free(pattern);
    return rc;
}

static int one(dk_jsonl *t, const char *results, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s/%s", results, dir, name);
    const int rc = access(path, F_OK) == 0 ? dk_jsonl_load(t, path, err) : 0;

    dk_free(path);
    return rc;
}

static int components(dk_stat_tables *s, const char *results, dk_err *err)
{
    int rc = one(&s->component, results, "pca", "components.jsonl", err);

    if (rc == 0) rc = one(&s->lens, results, "pca", "components.lens.jsonl", err);
    if (rc == 0) rc = tables(s->null, &s->n_null, results, "pca", "components.", ".jsonl", "lens", NULL, err);
    if (rc == 0) rc = tables(s->proj, &s->n_proj, results, "pca", "", ".proj.jsonl", NULL, NULL, err);
    return rc;
}

int dk_stat_tables_load(dk_stat_tables *s, const char *results, bool norms, bool with_components, dk_err *err)
{
    int rc = norms ? tables(s->norms, &s->n_norms, results, "activation_analysis", "", ".jsonl", ".examples", ".lens", err) : 0;

    for (size_t k = 0; rc == 0 && k < s->n_norms; k++) {
        char *name = dk_xasprintf("%s.lens.jsonl", s->norms[k].name);

        rc = one(&s->norm_lens[k], results, "activation_analysis", name, err);
        dk_free(name);
    }
    return rc == 0 && with_components ? components(s, results, err) : rc;
}

static void free_tables(dk_stat_table *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dk_free(t[i].name);
        dk_jsonl_free(&t[i].rows);
    }
}

void dk_stat_tables_free(dk_stat_tables *s)
{
    for (size_t k = 0; k < s->n_norms; k++)
        dk_jsonl_free(&s->norm_lens[k]);
    free_tables(s->norms, s->n_norms);
    free_tables(s->proj, s->n_proj);
    free_tables(s->null, s->n_null);
    dk_jsonl_free(&s->component);
    dk_jsonl_free(&s->lens);
    *s = (dk_stat_tables){0};
}

/* --- places --------------------------------------------------------------------------- */
bool dk_at_place(const dk_json *row, const dk_place *at)
{
    return dk_json_int(dk_json_get(row, "layer"), -1) == at->layer && dk_row_is(row, "site", at->site);
}

static size_t places_of(const dk_jsonl *t, dk_place *place)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n && n < DK_STAT_PLACES; i++) {
        const int64_t layer = dk_json_int(dk_json_get(t->row[i], "layer"), -1);
        size_t k = 0;

        while (k < n && !dk_at_place(t->row[i], &place[k]))
            k++;
        if (k == n && layer >= 0 && layer < 1 << 20)
            place[n++] = (dk_place){ (int)layer, dk_row_str(t->row[i], "site") };
    }
    return n;
}

/* --- norms ------------------------------------------------------------------------------ */
size_t dk_norm_places(const dk_stat_table *t, dk_place *place) { return places_of(&t->rows, place); }

const dk_json *dk_norm_row(const dk_stat_table *t, const dk_place *at, const char *metric, const char *lane)
{
    for (size_t i = 0; i < t->rows.n; i++) {
        const dk_json *r = t->rows.row[i];

        if (dk_at_place(r, at) && dk_row_is(r, "metric", metric) && dk_row_is(r, "lane", lane))
            return r;
    }
    return NULL;
}

size_t dk_norm_lanes(const dk_stat_table *t, const dk_place *at, const char **lane, size_t max)
{
    size_t n = 0;

    if (max && dk_norm_row(t, at, "norm_diff", "ft"))
        lane[n++] = "ft";
    for (size_t i = 0; i < t->rows.n && n < max; i++) {
        const dk_json *r = t->rows.row[i];
        const char *name = dk_row_str(r, "lane");

        if (dk_at_place(r, at) && dk_row_is(r, "metric", "norm_diff") && strcmp(name, "ft") != 0)
            lane[n++] = name;
    }
    return n;
}

/* --- components ---------------------------------------------------------------------------- */
size_t dk_component_places(const dk_stat_tables *s, dk_place *place) { return places_of(&s->component, place); }

const dk_json *dk_component(const dk_jsonl *t, const dk_place *at, size_t c)
{
    for (size_t i = 0; i < t->n; i++)
        if (dk_at_place(t->row[i], at) && dk_json_int(dk_json_get(t->row[i], "component"), -1) == (int64_t)c)
            return t->row[i];
    return NULL;
}

size_t dk_components(const dk_jsonl *t, const dk_place *at)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += dk_at_place(t->row[i], at);
    return n;
}

size_t dk_components_for(const dk_jsonl *t, const dk_place *at, double share)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        if (!dk_at_place(t->row[i], at))
            continue;
        n++;
        if (dk_row_num(t->row[i], "cumulative") >= share - 1e-12)
            return n;
    }
    return 0;
}

double dk_components_share(const dk_jsonl *t, const dk_place *at, size_t n)
{
    double share = NAN;

    for (size_t i = 0; i < t->n && n > 0; i++)
        if (dk_at_place(t->row[i], at)) {
            share = dk_row_num(t->row[i], "cumulative");
            n--;
        }
    return share;
}

static const dk_json *projections(const dk_jsonl *t, const dk_place *at, size_t c, const char *lane)
{
    char name[32];

    snprintf(name, sizeof name, "pc_%zu", c);
    for (size_t i = 0; i < t->n; i++)
        if (dk_at_place(t->row[i], at) && dk_row_is(t->row[i], "direction", name) &&
            dk_row_is(t->row[i], "lane", lane))
            return t->row[i];
    return NULL;
}

double dk_component_rms(const dk_stat_tables *s, const dk_place *at, size_t c, const char *lane, double *lo, double *hi)
{
    double sum = 0, all = 0, var = 0, low, high;

    for (size_t k = 0; k < s->n_proj; k++) {
        const dk_json *r = projections(&s->proj[k].rows, at, c, lane);
        const double n = dk_row_num(r, "total_tokens_processed"), rms = dk_row_num(r, "rms");
        const double half = (pow(dk_row_num(r, "rms_hi"), 2) - pow(dk_row_num(r, "rms_lo"), 2)) / 2;

        if (!(n > 0) || !isfinite(rms))
            continue;
        sum += n * rms * rms;
        all += n;
        var += n * half * n * half;
    }
    low = all > 0 ? (sum - sqrt(var)) / all : NAN;
    high = all > 0 ? (sum + sqrt(var)) / all : NAN;
    if (lo)
        *lo = low < 0 ? 0 : sqrt(low);
    if (hi)
        *hi = sqrt(high);
    return all > 0 ? sqrt(sum / all) : NAN;
}

double dk_component_null(const dk_stat_tables *s, const dk_place *at, size_t c, const char **name)
{
    double best = NAN;

    *name = "";
    for (size_t k = 0; k < s->n_proj; k++)
        for (size_t i = 0; i < s->proj[k].rows.n; i++) {
            const char *lane = dk_row_str(s->proj[k].rows.row[i], "lane");
            double v;

            if (strcmp(lane, "ft") == 0 || strcmp(lane, "base") == 0 || strcmp(lane, *name) == 0)
                continue;
            v = dk_component_rms(s, at, c, lane, NULL, NULL);
            if (isfinite(v) && !(v <= best)) {
                best = v;
                *name = lane;
            }
        }
    return best;
}

const dk_json *dk_component_token(const dk_stat_tables *s, const dk_place *at, size_t c, bool inverse, size_t i)
{
    char name[32];

    snprintf(name, sizeof name, "pc_%zu", c);
    return dk_lens_token(&s->lens, at, NULL, name, inverse, i);
}

const dk_json *dk_lens_token(const dk_jsonl *t, const dk_place *at, const char *what, const char *name, bool inverse, size_t i)
{
    for (size_t k = 0; k < t->n; k++) {
        const dk_json *r = t->row[k];

        if (dk_at_place(r, at) && dk_row_is(r, "name", name) && (!what || dk_row_is(r, "what", what)) && !dk_json_get(r, "query") &&
            dk_json_bool(dk_json_get(r, "inverse"), false) == inverse && i-- == 0)
            return r;
    }
    return NULL;
}
