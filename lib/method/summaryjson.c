/* The summary as JSON. */
#include <math.h>
#include <string.h>

#include "method/summary.h"

/* --- rows of tables ------------------------------------------------------------- */
/* Of an object that was begun: what the row has, but for its lane, which stands before. */
static void json_row(dk_jw *w, const char *set, const dk_json *r)
{
    dk_json_iter it = {0};

    dk_jw_key(w, "set"); dk_jw_str(w, set);
    dk_jw_key(w, "lane"); dk_jw_str(w, dk_row_str(r, "lane"));
    while (dk_json_next(r, &it))
        if (strcmp(it.key, "lane") != 0 && strcmp(it.key, "set") != 0) {
            dk_jw_key(w, it.key);
            dk_jw_value(w, it.value);
        }
}

/* A member of "null": what the null has of KEY, and how many times as much the finetune. */
static void json_null(dk_jw *w, const dk_json *null, const dk_json *ft, const char *key)
{
    const double value = dk_row_num(null, key), ratio = dk_row_num(ft, key) / value;

    dk_jw_key(w, dk_row_str(null, "lane"));
    dk_jw_obj_begin(w);
    dk_jw_key(w, key); dk_jw_num(w, value);
    dk_jw_key(w, "lo"); dk_jw_num(w, dk_row_num(null, "lo"));
    dk_jw_key(w, "hi"); dk_jw_num(w, dk_row_num(null, "hi"));
    dk_jw_key(w, "ratio"); dk_jw_num(w, ratio);
    dk_jw_obj_end(w);
}

/* --- the JSON ------------------------------------------------------------------ */
static void json_kl(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->n_kl; k++)
        for (size_t i = 0; i < s->kl[k].rows.n; i++) {
            const dk_json *r = s->kl[k].rows.row[i];
            const bool reverse = dk_json_bool(dk_json_get(r, "reverse"), false), ft = dk_row_is(r, "lane", "ft");

            dk_jw_obj_begin(w);
            json_row(w, s->kl[k].name, r);
            if (ft) {
                dk_jw_key(w, "null");
                dk_jw_obj_begin(w);
            }
            for (size_t j = 0; ft && j < s->kl[k].rows.n; j++) {
                const dk_json *n = s->kl[k].rows.row[j];

                if (!dk_row_is(n, "lane", "ft") && dk_json_bool(dk_json_get(n, "reverse"), false) == reverse)
                    json_null(w, n, r, "value");
            }
            if (ft)
                dk_jw_obj_end(w);
            dk_jw_obj_end(w);
        }
    dk_jw_arr_end(w);
}

static void json_tokens(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t m = 0; m < s->n_mined; m++)
        for (size_t i = 0; i < s->mined[m].rows.n && i < DK_SUMMARY_TOKENS; i++) {
            const dk_json *r = s->mined[m].rows.row[i];

            dk_jw_obj_begin(w);
            dk_jw_key(w, "set"); dk_jw_str(w, s->mined[m].name);
            dk_jw_key(w, "id"); dk_jw_int(w, dk_json_int(dk_json_get(r, "id"), -1));
            dk_jw_key(w, "token"); dk_jw_str(w, dk_row_str(r, "token"));
            dk_jw_key(w, "value"); dk_jw_num(w, dk_row_num(r, "value"));
            dk_jw_key(w, "null"); dk_jw_num(w, dk_row_null(r) < 0 ? NAN : dk_row_null(r));
            dk_jw_key(w, "finding"); dk_jw_bool(w, dk_row_finding(r));
            dk_jw_obj_end(w);
        }
    dk_jw_arr_end(w);
}

/* Of each list of the difference the tokens, those that were asked for apart. */
static void json_tokens_of(const dk_adl_token *t, size_t n, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < n; i++) {
        dk_jw_obj_begin(w);
        dk_jw_key(w, "id"); dk_jw_int(w, t[i].id);
        dk_jw_key(w, "token"); dk_jw_str(w, t[i].token);
        dk_jw_key(w, "rank"); dk_jw_int(w, t[i].rank);
        dk_jw_key(w, "value"); dk_jw_num(w, t[i].value);
        dk_jw_key(w, "null"); dk_jw_num(w, t[i].null);
        dk_jw_key(w, "null_rank");
        if (t[i].null_lane)
            dk_jw_int(w, t[i].null_rank);
        else
            dk_jw_null(w);
        dk_jw_key(w, "finding"); dk_jw_bool(w, dk_adl_finding(&t[i]));
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

static void json_position(dk_jw *w, int32_t position)
{
    dk_jw_key(w, "position");
    if (position == DK_ADL_ALL)
        dk_jw_null(w);
    else
        dk_jw_int(w, position);
}

static void json_norms(const dk_adl *a, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < a->n_norm; i++) {
        const dk_adl_norm *n = &a->norm[i];

        if (strncmp(n->what, "diff", 4) != 0 || (n->what[4] && n->what[4] != '.'))
            continue;
        dk_jw_obj_begin(w);
        dk_jw_key(w, "what"); dk_jw_str(w, n->what);
        json_position(w, n->position);
        dk_jw_key(w, "norm"); dk_jw_num(w, n->norm);
        dk_jw_key(w, "mean_norm"); dk_jw_num(w, n->mean_norm);
        dk_jw_key(w, "percent_of_base"); dk_jw_num(w, dk_adl_share(a, n->what, n->position));
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

/* The most telling positions, then the mean of all rows. */
static void json_lens(const dk_adl *a, dk_jw *w)
{
    int32_t position[DK_ADL_TELLING + 1];
    size_t n = dk_adl_telling(a, position, DK_ADL_TELLING);

    position[n++] = DK_ADL_ALL;
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < n; i++) {
        const dk_adl_list *l = dk_adl_list_of(a, "diff", position[i], false);

        if (!l)
            continue;
        dk_jw_obj_begin(w);
        json_position(w, position[i]);
        dk_jw_key(w, "finding_mass"); dk_jw_num(w, dk_adl_mass(l));
        dk_jw_key(w, "tokens"); json_tokens_of(l->token, l->n, w);
        if (l->n_asked) {
            dk_jw_key(w, "asked");
            json_tokens_of(l->asked, l->n_asked, w);
        }
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

static void json_adl(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < s->n_adl; i++) {
        const dk_adl *a = &s->adl[i];

        dk_jw_obj_begin(w);
        dk_jw_key(w, "set"); dk_jw_str(w, a->set);
        dk_jw_key(w, "layer"); dk_jw_int(w, a->layer);
        dk_jw_key(w, "site"); dk_jw_str(w, a->site);
        dk_jw_key(w, "norms"); json_norms(a, w);
        dk_jw_key(w, "lens"); json_lens(a, w);
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

/* Rows of the same measure of other lanes at the same place; a mean difference has a name, too. */
static bool is_null_of(const dk_json *n, const dk_json *r)
{
    return !dk_row_is(n, "lane", "ft") && !dk_row_is(n, "lane", "base") && dk_row_is(n, "metric", dk_row_str(r, "metric")) &&
           dk_row_is(n, "name", dk_row_str(r, "name")) && dk_row_is(n, "site", dk_row_str(r, "site")) &&
           dk_json_int(dk_json_get(n, "layer"), -1) == dk_json_int(dk_json_get(r, "layer"), -1);
}

/* Every lane, and beside the finetune's value each null's; a mean difference is told by its length. */
static void json_analysis(const dk_summary *s, bool means, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->stat.n_norms; k++) {
        const dk_jsonl *t = &s->stat.norms[k].rows;

        for (size_t i = 0; i < t->n; i++) {
            const dk_json *r = t->row[i];

            if (dk_row_is(r, "metric", "mean_diff") != means)
                continue;
            dk_jw_obj_begin(w);
            json_row(w, s->stat.norms[k].name, r);
            if (dk_row_is(r, "lane", "ft")) {
                dk_jw_key(w, "null");
                dk_jw_obj_begin(w);
                for (size_t j = 0; j < t->n; j++)
                    if (is_null_of(t->row[j], r))
                        json_null(w, t->row[j], r, means ? "norm" : "value");
                dk_jw_obj_end(w);
            }
            dk_jw_obj_end(w);
        }
    }
    dk_jw_arr_end(w);
}

static void json_component_tokens(const dk_stat_tables *s, const dk_place *at, size_t c, bool inverse, dk_jw *w)
{
    const dk_json *r;

    dk_jw_arr_begin(w);
    for (size_t i = 0; i < DK_STAT_COMPONENTS && (r = dk_component_token(s, at, c, inverse, i)); i++) {
        dk_jw_obj_begin(w);
        dk_jw_key(w, "id"); dk_jw_int(w, dk_json_int(dk_json_get(r, "id"), -1));
        dk_jw_key(w, "token"); dk_jw_str(w, dk_row_str(r, "token"));
        dk_jw_key(w, "value"); dk_jw_num(w, dk_row_num(r, "value"));
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

/* How far the tokens of each data set lie along it, of every lane. */
static void json_projections(const dk_stat_tables *s, const dk_place *at, size_t c, dk_jw *w)
{
    char *name = dk_xasprintf("pc_%zu", c);

    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->n_proj; k++)
        for (size_t i = 0; i < s->proj[k].rows.n; i++) {
            const dk_json *r = s->proj[k].rows.row[i];

            if (!dk_at_place(r, at) || !dk_row_is(r, "direction", name))
                continue;
            dk_jw_obj_begin(w);
            json_row(w, s->proj[k].name, r);
            dk_jw_obj_end(w);
        }
    dk_jw_arr_end(w);
    dk_free(name);
}

static void json_component(const dk_stat_tables *s, const dk_place *at, size_t c, const dk_json *r, dk_jw *w)
{
    const char *lane;
    double lo, hi, null_lo = NAN, null_hi = NAN;
    const double rms = dk_component_rms(s, at, c, "ft", &lo, &hi), null = dk_component_null(s, at, c, &lane);
    dk_json_iter it = {0};

    if (isfinite(null))
        dk_component_rms(s, at, c, lane, &null_lo, &null_hi);
    dk_jw_obj_begin(w);
    while (dk_json_next(r, &it)) {
        dk_jw_key(w, it.key);
        dk_jw_value(w, it.value);
    }
    dk_jw_key(w, "rms"); dk_jw_num(w, rms);
    dk_jw_key(w, "rms_lo"); dk_jw_num(w, lo);
    dk_jw_key(w, "rms_hi"); dk_jw_num(w, hi);
    dk_jw_key(w, "null_rms"); dk_jw_num(w, null);
    dk_jw_key(w, "null_rms_lo"); dk_jw_num(w, null_lo);
    dk_jw_key(w, "null_rms_hi"); dk_jw_num(w, null_hi);
    dk_jw_key(w, "null_lane");
    if (isfinite(null))
        dk_jw_str(w, lane);
    else
        dk_jw_null(w);
    dk_jw_key(w, "projections"); json_projections(s, at, c, w);
    dk_jw_key(w, "tokens"); json_component_tokens(s, at, c, false, w);
    dk_jw_key(w, "inverse"); json_component_tokens(s, at, c, true, w);
    dk_jw_obj_end(w);
}

static void json_count(dk_jw *w, const char *key, size_t n)
{
    dk_jw_key(w, key);
    if (n)
        dk_jw_u64(w, n);
    else
        dk_jw_null(w);
}

static void json_variance(const dk_jsonl *t, const dk_place *at, dk_jw *w)
{
    const dk_json *first = dk_component(t, at, 0);

    dk_jw_key(w, "components"); dk_jw_u64(w, dk_components(t, at));
    json_count(w, "components_for_90_percent", dk_components_for(t, at, 0.9));
    json_count(w, "components_for_95_percent", dk_components_for(t, at, 0.95));
    dk_jw_key(w, "first_ratio"); dk_jw_num(w, dk_row_num(first, "ratio"));
    dk_jw_key(w, "cumulative_10"); dk_jw_num(w, dk_components_share(t, at, 10));
    dk_jw_key(w, "cumulative_50"); dk_jw_num(w, dk_components_share(t, at, 50));
    dk_jw_key(w, "cumulative_100"); dk_jw_num(w, dk_components_share(t, at, 100));
    dk_jw_key(w, "total_variance_explained"); dk_jw_num(w, dk_components_share(t, at, SIZE_MAX));
    dk_jw_key(w, "total_variance"); dk_jw_num(w, dk_row_num(first, "total_variance"));
    dk_jw_key(w, "rows"); dk_jw_num(w, dk_row_num(first, "count"));
}

static void json_pca(const dk_summary *s, dk_jw *w)
{
    dk_place at[DK_STAT_PLACES];
    const size_t n = dk_component_places(&s->stat, at);
    const dk_json *r;

    dk_jw_arr_begin(w);
    for (size_t i = 0; i < n; i++) {
        dk_jw_obj_begin(w);
        dk_jw_key(w, "layer"); dk_jw_int(w, at[i].layer);
        dk_jw_key(w, "site"); dk_jw_str(w, at[i].site);
        dk_jw_key(w, "what"); dk_jw_str(w, dk_row_str(dk_component(&s->stat.component, &at[i], 0), "what"));
        json_variance(&s->stat.component, &at[i], w);
        dk_jw_key(w, "null");
        dk_jw_obj_begin(w);
        for (size_t k = 0; k < s->stat.n_null; k++) {
            dk_jw_key(w, s->stat.null[k].name);
            dk_jw_obj_begin(w);
            json_variance(&s->stat.null[k].rows, &at[i], w);
            dk_jw_obj_end(w);
        }
        dk_jw_obj_end(w);
        dk_jw_key(w, "first");
        dk_jw_arr_begin(w);
        for (size_t c = 0; c < DK_STAT_COMPONENTS && (r = dk_component(&s->stat.component, &at[i], c)); c++)
            json_component(&s->stat, &at[i], c, r, w);
        dk_jw_arr_end(w);
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}

static void json_calibration(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < s->calibration.n; i++)
        if (dk_row_statistic(s->calibration.row[i]))
            dk_jw_value(w, s->calibration.row[i]);
    dk_jw_arr_end(w);
}

static void json_answers(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t i = 0; i < s->answers.n; i++)
        dk_jw_value(w, s->answers.row[i]);
    dk_jw_arr_end(w);
}

static void json_head(const dk_summary *s, dk_jw *w)
{
    size_t count[4];

    dk_summary_checks(s, count);
    dk_jw_key(w, "organism"); dk_jw_str(w, dk_summary_pair(s, "organism.name"));
    dk_jw_key(w, "model"); dk_jw_str(w, dk_summary_pair(s, "model.name"));
    dk_jw_key(w, "dtype"); dk_jw_str(w, dk_summary_pair(s, "dtype"));
    if (s->method) {
        dk_jw_key(w, "method"); dk_jw_str(w, s->method);
    }
    dk_jw_key(w, "identical"); dk_jw_bool(w, dk_summary_identical(s));
    dk_jw_key(w, "checks");
    dk_jw_obj_begin(w);
    dk_jw_key(w, "pass"); dk_jw_u64(w, count[0]);
    dk_jw_key(w, "warn"); dk_jw_u64(w, count[1]);
    dk_jw_key(w, "fail"); dk_jw_u64(w, count[2]);
    dk_jw_obj_end(w);
}

/* Of one method its own members only. */
void dk_summary_json(const dk_summary *s, dk_buf *out)
{
    dk_jw w = { .out = out };

    dk_jw_obj_begin(&w);
    json_head(s, &w);
    if (dk_summary_has(s, "kl")) {
        dk_jw_key(&w, "kl"); json_kl(s, &w);
    }
    if (dk_summary_has(s, "diff_mining")) {
        dk_jw_key(&w, "tokens"); json_tokens(s, &w);
        dk_jw_key(&w, "relevance"); dk_summary_relevance_json(s, &w);
    }
    if (dk_summary_has(s, "contrast")) {
        dk_jw_key(&w, "contrast"); dk_summary_phrases_json(s, &w);
    }
    if (dk_summary_has(s, "activation_difference_lens")) {
        dk_jw_key(&w, "activation_difference_lens"); json_adl(s, &w);
    }
    if (!s->method) {
        dk_jw_key(&w, "calibration"); json_calibration(s, &w);
    }
    if (dk_summary_has(s, "activation_analysis")) {
        dk_jw_key(&w, "activation_analysis"); json_analysis(s, false, &w);
        dk_jw_key(&w, "mean_differences"); json_analysis(s, true, &w);
    }
    if (dk_summary_has(s, "pca")) {
        dk_jw_key(&w, "pca"); json_pca(s, &w);
    }
    if (!s->method) {
        dk_jw_key(&w, "answers"); json_answers(s, &w);
    }
    dk_jw_key(&w, "seconds"); dk_jw_num(&w, s->seconds);
    dk_jw_key(&w, "peak_bytes"); dk_jw_num(&w, s->peak);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}
