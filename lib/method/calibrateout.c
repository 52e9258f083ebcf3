/* Statistics beside those of nulls, as a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "method/calibrate.h"
#include "num/infer.h"
#include "num/resample.h"

enum { MOST_NULLS = 1024 };

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* --- nulls --------------------------------------------------------------------- */
/* "rigid_07" is of the kind rigid: what stands before the number. */
static size_t kind_length(const char *lane)
{
    size_t n = strlen(lane);

    while (n > 0 && lane[n - 1] >= '0' && lane[n - 1] <= '9')
        n--;
    return n > 1 && n < strlen(lane) && (lane[n - 1] == '_' || lane[n - 1] == '-') ? n - 1 : strlen(lane);
}

/* The kinds that occur, with commas. */
static void put_kinds(dk_jw *j, const dk_cal_null *null, size_t m)
{
    dk_buf kinds = {0};

    for (size_t i = 0; i < m; i++) {
        const size_t n = kind_length(null[i].lane);
        bool first = true;

        for (size_t k = 0; k < i; k++)
            first = first && !(kind_length(null[k].lane) == n && strncmp(null[k].lane, null[i].lane, n) == 0);
        if (first)
            dk_buf_addf(&kinds, "%s%.*s", kinds.n ? "," : "", (int)n, null[i].lane);
    }
    dk_jw_key(j, "kind"); dk_jw_str(j, kinds.s ? kinds.s : "");
    dk_buf_free(&kinds);
}

static void put_if(dk_jw *j, const char *key, double v)
{
    if (isfinite(v)) {
        dk_jw_key(j, key);
        dk_jw_num(j, v);
    }
}

/* Above the nulls: beyond all of them where they are few (intervals apart, where
 * they are known), at p .05 where they are enough for one. */
static const char *verdict(const dk_cal_null *own, const dk_cal_null *null, size_t m, double p)
{
    double most = -INFINITY, hi = -INFINITY;

    for (size_t i = 0; i < m; i++) {
        most = fmax(most, null[i].value);
        hi = fmax(hi, isfinite(null[i].hi) ? null[i].hi : null[i].value);
    }
    if (m == 0)
        return "not calibrated";
    if (m >= 19)
        return p <= .05 ? "above null" : "within null";
    if (m >= DK_CAL_FEW)
        return own->value > most ? "above null" : "within null";
    return (isfinite(own->lo) ? own->lo : own->value) > hi && own->value > most ? "above null" : "within null";
}

/* The absolute value, and the ends of its interval. */
static dk_cal_null size_of(const dk_cal_null *x)
{
    const double lo = fmin(fabs(x->lo), fabs(x->hi)), hi = fmax(fabs(x->lo), fabs(x->hi));
    const bool spans = x->lo <= 0 && x->hi >= 0;

    return (dk_cal_null){ x->lane, fabs(x->value), isfinite(x->lo) ? (spans ? 0 : lo) : NAN, isfinite(x->hi) ? hi : NAN };
}

void dk_cal_put_null(dk_jw *j, const dk_cal_null *given, const dk_cal_null *null, size_t m, bool two_sided)
{
    dk_cal_null own = *given, *far = dk_xcalloc(m + 1, sizeof *far);
    double *v = dk_xcalloc(m + 1, sizeof *v), median, q95, p = NAN;
    size_t above = 0;

    for (size_t i = 0; i < m; i++)
        v[i] = null[i].value;
    median = dk_quantile(v, m, .5);
    q95 = dk_quantile(v, m, .95);
    memcpy(far, null, m * sizeof *far);
    if (m) {
        dk_jw_key(j, "null");
        dk_jw_obj_begin(j);
        put_kinds(j, null, m);
        dk_jw_key(j, "m"); dk_jw_u64(j, m);
        dk_jw_key(j, "median"); dk_jw_num(j, median);
        dk_jw_key(j, "q95"); dk_jw_num(j, q95);
        dk_jw_key(j, "values");
        dk_jw_obj_begin(j);
        for (size_t i = 0; i < m; i++) {
            dk_jw_key(j, null[i].lane);
            dk_jw_num(j, null[i].value);
        }
        dk_jw_obj_end(j);
        dk_jw_obj_end(j);
    }
    /* Either way: how far from the nulls' median, which few do not have: from 0. */
    for (size_t i = 0; two_sided && i < m; i++) {
        far[i] = m < DK_CAL_FEW ? size_of(&null[i]) : (dk_cal_null){ far[i].lane, fabs(v[i] - median), NAN, NAN };
        v[i] = far[i].value;
    }
    if (two_sided && m)
        own = m < DK_CAL_FEW ? size_of(given) : (dk_cal_null){ own.lane, fabs(own.value - median), NAN, NAN };
    for (size_t i = 0; i < m; i++)
        above += v[i] >= own.value;
    if (m >= DK_CAL_FEW) {
        p = dk_ensemble_p(own.value, v, m);
        dk_jw_key(j, "p_null"); dk_jw_num(j, p);
        if (above == 0) {
            dk_buf note = {0};

            dk_buf_addf(&note, "exceeds all %zu nulls (p = %.2g, the resolution)", m, p);
            dk_jw_key(j, "note"); dk_jw_str(j, note.s);
            dk_buf_free(&note);
        }
    } else if (m) {
        double most = -INFINITY;

        for (size_t i = 0; i < m; i++)
            most = fmax(most, v[i]);
        if (most > 0)
            put_if(j, "ratio", own.value / most);
    }
    if (m >= DK_CAL_FEW)
        put_if(j, "visible", dk_quantile(v, m, .95) - dk_quantile(v, m, .5));
    dk_jw_key(j, "verdict"); dk_jw_str(j, verdict(&own, far, m, p));
    dk_free(far);
    dk_free(v);
}

/* --- statistics -------------------------------------------------------------------- */
static bool same_place(const dk_cal_row *a, const dk_cal_row *b)
{
    return is(a->method, b->method) && is(a->statistic, b->statistic) && is(a->set, b->set) && is(a->site, b->site) &&
           a->layer == b->layer && a->position == b->position && a->component == b->component;
}

/* The nulls' rows of the same statistic; of a lane that came twice the first. */
static size_t nulls_of(const dk_cal *c, const dk_cal_row *r, dk_cal_null *out)
{
    size_t m = 0;

    for (size_t i = 0; i < c->n && m < MOST_NULLS; i++) {
        const dk_cal_row *x = &c->row[i];
        bool known = is(x->lane, c->lane) || !same_place(x, r) || !isfinite(x->value);

        for (size_t k = 0; k < m; k++)
            known = known || is(out[k].lane, x->lane);
        if (!known)
            out[m++] = (dk_cal_null){ x->lane, x->value, x->lo, x->hi };
    }
    return m;
}

void dk_cal_put_place(dk_jw *j, const char *statistic, const dk_cal_place *at)
{
    dk_jw_obj_begin(j);
    dk_jw_key(j, "method"); dk_jw_str(j, at->method);
    dk_jw_key(j, "statistic"); dk_jw_str(j, statistic);
    dk_jw_key(j, "dataset_id"); dk_jw_str(j, at->set);
    if (at->layer >= 0) {
        dk_jw_key(j, "layer"); dk_jw_int(j, at->layer);
        dk_jw_key(j, "site"); dk_jw_str(j, at->site);
    }
    if (at->position != INT32_MIN) {
        dk_jw_key(j, "position"); dk_jw_int(j, at->position);
    }
    if (at->component >= 0) {
        dk_jw_key(j, "component"); dk_jw_int(j, at->component);
    }
}

static void put_statistic(dk_buf *out, const dk_cal *c, const dk_cal_row *r, dk_cal_null *null)
{
    const dk_cal_null own = { r->lane, r->value, r->lo, r->hi };
    const dk_cal_place at = { r->method, r->set, r->site, r->layer, r->position, r->component };
    dk_jw j = { .out = out };

    dk_cal_put_place(&j, r->statistic, &at);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, r->lane);
    dk_jw_key(&j, "kind"); dk_jw_str(&j, r->content ? "content" : "size");
    dk_jw_key(&j, "value"); dk_jw_num(&j, r->value);
    put_if(&j, "lo", r->lo);
    put_if(&j, "hi", r->hi);
    put_if(&j, "docs", r->docs);
    if (isfinite(r->lo) && r->docs < DK_FEW_DOCS) {
        dk_jw_key(&j, "few_docs"); dk_jw_bool(&j, true);
    }
    put_if(&j, "p_any", r->p_any);
    dk_cal_put_null(&j, &own, null, nulls_of(c, r, null), r->two_sided);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

static bool first_of_its_kind(const dk_cal *c, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is(c->row[k].lane, c->lane) && same_place(&c->row[k], &c->row[i]))
            return false;
    return true;
}

int dk_cal_table(dk_buf *out, const dk_cal *c, const dk_cal_words *w, dk_err *err)
{
    dk_cal_null *null = dk_xcalloc(MOST_NULLS, sizeof *null);
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < c->n; i++)
        if (is(c->row[i].lane, c->lane) && first_of_its_kind(c, i)) {
            put_statistic(out, c, &c->row[i], null);
            n++;
        }
    for (size_t i = 0; i < c->n_lists; i++)
        n += is(c->list[i].lane, c->lane);
    if (n == 0)
        rc = dk_fail(err, DK_EDATA, "there is no statistic of a lane '%s'", c->lane);
    dk_free(null);
    return rc < 0 ? rc : dk_cal_list_table(out, c, w, err);
}
