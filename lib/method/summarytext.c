/* The summary for people: what was found, on one screen.  What would make it
 * longer than a screen is counted and left to the page. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/summary.h"
#include "method/wrap.h"
#include "num/resample.h"

enum { LINES = 2, PLACES = 2, SETS = 2, LENSES = 3, TELLING = 2, LENS_TOKENS = 8, PROMPTS = 2, WARNINGS = 3, STAGES = 4,
       TOPICS = 3, TOPIC_TOKENS = 12 };

/* --- what was compared ------------------------------------------------------ */
static void warnings(const dk_summary *s, size_t n, dk_buf *out)
{
    size_t told = 0;

    for (size_t i = 0; i < s->check.n && told < WARNINGS; i++)
        if (dk_row_is(s->check.row[i], "status", "warn")) {
            dk_buf_addf(out, "        warning %s (%s): %s\n", dk_row_str(s->check.row[i], "check"),
                        dk_row_str(s->check.row[i], "lane"), dk_row_str(s->check.row[i], "detail"));
            told++;
        }
    if (n > told)
        dk_buf_addf(out, "        and %zu more\n", n - told);
}

static void head(const dk_summary *s, dk_buf *out)
{
    const char *kind, *detail;
    size_t count[4];

    dk_buf_addf(out, "%s on %s, products in %s\n", dk_summary_pair(s, "organism.name"), dk_summary_pair(s, "model.name"),
                dk_summary_pair(s, "dtype"));
    if (s->check.n == 0)
        return;
    if (dk_summary_finetune(s, &kind, &detail))
        dk_buf_addf(out, "%s%s %s\n", kind, strcmp(kind, "adapter") == 0 ? "" : ":", detail);
    dk_summary_checks(s, count);
    dk_buf_addf(out, "checks  %zu passed, %zu warning%s, %zu failed\n", count[0], count[1],
                count[1] == 1 ? "" : "s", count[2]);
    warnings(s, count[1], out);
}

/* "  (and 3 more data sets)" */
static void more(dk_buf *out, size_t all, size_t told, const char *what)
{
    if (all > told)
        dk_buf_addf(out, "  (and %zu more %s%s on the page)\n", all - told, what, all - told == 1 ? "" : "s");
}

/* --- divergence ----------------------------------------------------------------- */
/* Ends a line of a table, without the blanks of its last column. */
static void end_row(dk_buf *out)
{
    while (out->n && out->s[out->n - 1] == ' ')
        out->n--;
    dk_buf_addc(out, '\n');
}

/* As many data sets as stand side by side. */
static size_t columns_of(const dk_summary *s, size_t width)
{
    const size_t fit = width > 26 + 18 ? (width - 26) / 18 : 1;

    return s->n_kl < fit ? s->n_kl : fit;
}

static void ratio_row(const dk_summary *s, const char *ft, const char *null, bool alone, size_t columns, dk_buf *out)
{
    char label[64], cell[64];

    snprintf(label, sizeof label, "%s / %s", dk_summary_lane(s, ft), null);
    dk_buf_addf(out, "  %-24.24s", alone ? "ratio" : label);
    for (size_t k = 0; k < columns; k++) {
        const dk_json *a = dk_set_lane(&s->kl[k], ft), *b = dk_set_lane(&s->kl[k], null);

        snprintf(cell, sizeof cell, "%.2f", dk_row_num(a, "value") / dk_row_num(b, "value"));
        dk_buf_addf(out, "  %-16s", a && b ? cell : "");
    }
    end_row(out);
}

/* What the intervals are over, and whether that is enough. */
static void put_intervals(const dk_summary *s, bool nulls, size_t width, dk_buf *out)
{
    const size_t docs = dk_summary_docs(s);
    dk_buf line = {0};

    dk_buf_adds(&line, "(mean, 95% interval over ");
    if (docs)
        dk_buf_addf(&line, "%zu ", docs);
    dk_buf_addf(&line, "documents%s%s)", docs && docs < DK_FEW_DOCS ? ", too narrow for so few" : "",
                nulls ? "; the null shows what any finetune does" : "");
    dk_wrap(out, line.s, "  ", width, 0);
    dk_buf_free(&line);
}

static void kl_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const char *lane[DK_SUMMARY_LANES];
    const size_t n = dk_summary_lanes(s, lane), columns = columns_of(s, width);

    if (n == 0)
        return;
    dk_buf_addf(out, "\n%-26s", "KL(. || base), nats/token");
    for (size_t k = 0; k < columns; k++)
        dk_buf_addf(out, "  %-16.16s", s->kl[k].name);
    end_row(out);
    for (size_t l = 0; l < n; l++) {
        dk_buf_addf(out, "  %-24.24s", dk_summary_lane(s, lane[l]));
        for (size_t k = 0; k < columns; k++) {
            const dk_json *r = dk_set_lane(&s->kl[k], lane[l]);
            char cell[64];

            if (isfinite(dk_row_num(r, "lo")) && isfinite(dk_row_num(r, "hi")))
                snprintf(cell, sizeof cell, "%.3f %.2f-%.2f", dk_row_num(r, "value"),
                         dk_row_num(r, "lo"), dk_row_num(r, "hi"));
            else
                snprintf(cell, sizeof cell, "%.3f", dk_row_num(r, "value"));
            dk_buf_addf(out, "  %-16s", r ? cell : "");
        }
        end_row(out);
    }
    for (size_t l = 1; l < n; l++)
        ratio_row(s, lane[0], lane[l], n == 2, columns, out);
    put_intervals(s, n > 1, width, out);
    more(out, s->n_kl, columns, "data set");
}

/* --- ranked tokens ------------------------------------------------------------------ */
static const char *bare(const char *token)
{
    token += strspn(token, " \t\n\v\f\r");
    return *token ? token : "(blank)";
}

static void token_list(const dk_set *set, int findings, dk_buf *line)
{
    for (size_t i = 0, told = 0; i < set->rows.n && told < DK_SUMMARY_TOKENS; i++) {
        const dk_json *r = set->rows.row[i];

        if (dk_row_finding(r) != findings)
            continue;
        told++;
        dk_buf_addf(line, "%s%s%c%.0f%%", line->n ? ", " : "", bare(dk_row_str(r, "token")), DK_HARD_BLANK,
                    dk_row_num(r, "value"));
        if (dk_row_null(r) >= 0)
            dk_buf_addf(line, "/%.0f", dk_row_null(r));
    }
}

/* The clearest place of each of the first findings, one a document. */
static void snippets(const dk_set *set, size_t places, size_t width, dk_buf *out)
{
    int64_t seen[PLACES];
    size_t shown = 0;

    for (size_t i = 0; i < set->rows.n && i < DK_SUMMARY_TOKENS && shown < places; i++) {
        const dk_json *r = set->rows.row[i], *p = NULL;
        const dk_json *all = dk_json_get(r, "snippets");

        for (size_t k = 0; dk_row_finding(r) && !p && k < dk_json_len(all); k++) {
            size_t j = 0;

            p = dk_json_at(all, k);
            while (j < shown && seen[j] != dk_json_int(dk_json_get(p, "doc"), -1))
                j++;
            p = j == shown ? p : NULL;
        }
        if (!p)
            continue;
        seen[shown++] = dk_json_int(dk_json_get(p, "doc"), -1);
        dk_snippet_line(out, dk_row_str(p, "before"), dk_row_str(r, "token"), dk_row_str(p, "next"),
                        dk_row_str(p, "after"), width);
    }
}

/* A line for each topic: the findings among its tokens. */
static void topics_text(const dk_set *set, size_t width, dk_buf *out)
{
    for (size_t i = 0, told = 0; i < set->rows.n && told < TOPICS; i++) {
        const dk_json *t = set->rows.row[i];
        dk_buf line = {0};

        if (dk_json_int(dk_json_get(t, "rank"), -1) != 0)
            continue;
        dk_buf_addf(&line, "topic %lld:", (long long)dk_json_int(dk_json_get(t, "topic"), 0));
        for (size_t k = i + 1, n = 0; k < set->rows.n && n < TOPIC_TOKENS && dk_json_int(dk_json_get(set->rows.row[k], "rank"), 0) > 0; k++)
            if (dk_row_finding(set->rows.row[k]))
                dk_buf_addf(&line, "%s %s", n++ ? "," : "", bare(dk_row_str(set->rows.row[k], "token")));
        if (line.s[line.n - 1] != ':') {
            dk_wrap(out, line.s, "  ", width, 1);
            told++;
        }
        dk_buf_free(&line);
    }
}

/* Of several data sets less each. */
static void mined_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const bool lone = s->n_mined == 1;

    for (size_t m = 0; m < s->n_mined && m < SETS; m++) {
        const dk_set *set = &s->mined[m];
        const char *nulls = set->rows.n && dk_row_null(set->rows.row[0]) >= 0 ? ", and the null does not" : "";
        dk_buf line = {0};

        dk_buf_addf(out, "\nwhat %s raises on %s%s\n(share of positions%s)\n", dk_summary_pair(s, "organism.name"),
                    set->name, nulls, *nulls ? " / the null's" : "");
        token_list(set, 1, &line);
        dk_wrap(out, line.s ? line.s : "nothing", "  ", width, lone ? LINES + 1 : LINES);
        snippets(set, lone ? PLACES : 1, width, out);
        dk_summary_relevance(s, set->name, width, out);
        dk_buf_clear(&line);
        token_list(set, 0, &line);
        for (size_t t = 0; lone && t < s->n_topics; t++)
            if (strcmp(s->topics[t].name, set->name) == 0)
                topics_text(&s->topics[t], width, out);
        if (line.n && lone) {
            dk_buf_adds(out, "raised by both (not a finding):\n");
            dk_wrap(out, line.s, "  ", width, 1);
        }
        dk_buf_free(&line);
    }
    more(out, s->n_mined, SETS, "data set");
}

/* --- the lens of activation differences ----------------------------------------------- */
static void range_of(const dk_adl *a, const char *what, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t i = 0; i < a->n_position; i++) {
        const double v = dk_adl_share(a, what, a->position[i]);

        if (isfinite(v)) {
            *lo = fmin(*lo, v);
            *hi = fmax(*hi, v);
        }
    }
}

static bool has_nulls(const dk_adl *a)
{
    for (size_t i = 0; i < a->n_norm; i++)
        if (strncmp(a->norm[i].what, "diff.", 5) == 0)
            return true;
    return false;
}

/* Its length in percent of the base's rows; of several nulls from the lowest to
 * the highest. */
static void lens_head(const dk_adl *a, size_t width, dk_buf *out)
{
    double lo, hi, null_lo = INFINITY, null_hi = -INFINITY;
    dk_buf line = {0};

    dk_buf_addf(&line, "%s, layer %d", a->set, a->layer);
    range_of(a, "diff", &lo, &hi);
    if (hi >= lo)
        dk_buf_addf(&line, ": %.0f-%.0f%% as long as the base's rows", lo, hi);
    for (size_t i = 0; i < a->n_norm; i++)
        if (strncmp(a->norm[i].what, "diff.", 5) == 0) {
            range_of(a, a->norm[i].what, &lo, &hi);
            null_lo = fmin(null_lo, lo);
            null_hi = fmax(null_hi, hi);
        }
    if (null_hi >= null_lo)
        dk_buf_addf(&line, ", the null's %.0f-%.0f%%", null_lo, null_hi);
    dk_wrap(out, line.s, "  ", width, LINES);
    dk_buf_free(&line);
}

static void lens_line(const dk_adl *a, int32_t position, const char *indent, size_t width, dk_buf *out)
{
    const dk_adl_list *l = dk_adl_list_of(a, "diff", position, false);
    dk_buf line = {0};
    size_t told = 0;

    for (size_t i = 0; i < l->n && told < LENS_TOKENS; i++) {
        const dk_adl_token *t = &l->token[i];

        if (!dk_adl_finding(t))
            continue;
        dk_buf_addf(&line, "%s%s%c%.2g%%", told++ ? ", " : "", bare(t->token), DK_HARD_BLANK, 100 * t->value);
        if (isfinite(t->null))
            dk_buf_addf(&line, "/%.2g", 100 * t->null);
    }
    dk_wrap(out, line.s ? line.s : "", indent, width, 1);
    dk_buf_free(&line);
}

/* The best rank of each token that was asked for. */
static void lens_asked(const dk_adl *a, size_t width, dk_buf *out)
{
    const dk_adl_list *first = a->n_position ? dk_adl_list_of(a, "diff", a->position[0], false) : NULL;
    dk_buf line = {0};

    for (size_t q = 0; first && q < first->n_asked; q++) {
        const dk_adl_token *best = NULL;
        int32_t at = 0;

        for (size_t i = 0; i < a->n_position; i++) {
            const dk_adl_list *l = dk_adl_list_of(a, "diff", a->position[i], false);

            if (l && q < l->n_asked && (!best || l->asked[q].rank < best->rank)) {
                best = &l->asked[q];
                at = a->position[i];
            }
        }
        dk_buf_addf(&line, "%s%s%crank%c%lld%cat%c%d", line.n ? ", " : "", bare(best->token), DK_HARD_BLANK,
                    DK_HARD_BLANK, (long long)best->rank, DK_HARD_BLANK, DK_HARD_BLANK, at);
        if (best->null_lane)
            dk_buf_addf(&line, "%c(null%c%lld)", DK_HARD_BLANK, DK_HARD_BLANK, (long long)best->null_rank);
    }
    if (line.n)
        dk_wrap(out, line.s, "    asked for: ", width, LINES);
    dk_buf_free(&line);
}

/* Of a lone layer the most telling positions, of several the one of each; of
 * many the deepest, where the lens is nearest to what the model says. */
static void lens_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const size_t n = s->n_adl < LENSES ? s->n_adl : LENSES, each = n == 1 ? TELLING : 1;
    bool nulls = false;

    for (size_t i = 0; i < s->n_adl; i++)
        nulls |= has_nulls(&s->adl[i]);
    if (n == 0)
        return;
    dk_buf_addf(out, "\nwhat its mean difference speaks for%s\n", nulls ? ", and the null's does not" : "");
    dk_buf_addf(out, "(by position: probability%s)\n", nulls ? " / the null's" : "");
    for (size_t i = 0; i < n; i++) {
        const dk_adl *a = &s->adl[s->n_adl - n + i];
        int32_t position[TELLING];
        size_t m = dk_adl_telling(a, position, each);

        lens_head(a, width, out);
        for (size_t k = 0; k < m; k++) {
            char indent[32];

            snprintf(indent, sizeof indent, "    %-4d", position[k]);
            lens_line(a, position[k], indent, width, out);
        }
        if (m == 0 && a->n_list)
            dk_buf_adds(out, "    nothing\n");
        lens_asked(a, width, out);
    }
    more(out, s->n_adl, n, "layer");
}

/* --- lengths and components ---------------------------------------------------------------- */
/* "0.123", and of the null that has the most "/0.045". */
static void with_null(dk_buf *line, const dk_stat_table *t, const dk_place *at, const char *metric)
{
    const char *lane[DK_SUMMARY_LANES];
    const size_t n = dk_norm_lanes(t, at, lane, DK_SUMMARY_LANES);
    double null = NAN;

    for (size_t i = 1; i < n; i++) {
        const double v = dk_row_num(dk_norm_row(t, at, metric, lane[i]), "value");

        null = isfinite(v) && !(v <= null) ? v : null;
    }
    dk_buf_addf(line, "%.3g", n ? dk_row_num(dk_norm_row(t, at, metric, lane[0]), "value") : NAN);
    if (isfinite(null))
        dk_buf_addf(line, "/%.3g", null);
}

/* A line for each layer of the first data set; the page has the others. */
static void analysis_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const dk_stat_table *t = &s->stat.norms[0];
    const char *lane[DK_SUMMARY_LANES];
    dk_place at[DK_STAT_PLACES];
    const size_t n = s->stat.n_norms ? dk_norm_places(t, at) : 0, told = n < LENSES ? n : LENSES;

    if (n == 0)
        return;
    dk_buf_addf(out, "\nhow far its activations are from the base's%s\n",
                dk_norm_lanes(t, &at[0], lane, DK_SUMMARY_LANES) > 1 ? " (/ the null's)" : "");
    for (size_t i = n - told; i < n; i++) {
        const dk_json *base = dk_norm_row(t, &at[i], "norm", "base");
        dk_buf line = {0};

        dk_buf_addf(&line, "%s, layer %d: difference ", t->name, at[i].layer);
        with_null(&line, t, &at[i], "norm_diff");
        if (base)
            dk_buf_addf(&line, " of rows %.3g long", dk_row_num(base, "value"));
        if (dk_norm_row(t, &at[i], "cos_dist", "ft")) {
            dk_buf_adds(&line, ", cosine distance ");
            with_null(&line, t, &at[i], "cos_dist");
        }
        dk_wrap(out, line.s, "  ", width, LINES);
        dk_buf_free(&line);
    }
    more(out, s->stat.n_norms, 1, "data set");
}

static void component_tokens(const dk_stat_tables *s, const dk_place *at, size_t c, bool inverse, dk_buf *line)
{
    const dk_json *r;

    for (size_t i = 0; i < LENS_TOKENS / 2 && (r = dk_component_token(s, at, c, inverse, i)); i++)
        dk_buf_addf(line, "%s%s", i ? ", " : "", bare(dk_row_str(r, "token")));
}

/* Of each layer what the first components hold, and the ends of the first. */
static void component_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const dk_stat_tables *t = &s->stat;
    dk_place at[DK_STAT_PLACES];
    const size_t n = dk_component_places(t, at), told = n < LENSES ? n : LENSES;

    if (n == 0)
        return;
    dk_buf_addf(out, "\nthe directions along which it moves them%s\n", t->n_null ? " (/ the null's)" : "");
    for (size_t i = n - told; i < n; i++) {
        const size_t ninety = dk_components_for(&t->component, &at[i], 0.9);
        dk_buf line = {0}, ends = {0};

        dk_buf_addf(&line, "layer %d: the first holds %.0f%%", at[i].layer, 100 * dk_row_num(dk_component(&t->component, &at[i], 0), "ratio"));
        if (t->n_null)
            dk_buf_addf(&line, "/%.0f%%", 100 * dk_row_num(dk_component(&t->null[0].rows, &at[i], 0), "ratio"));
        dk_buf_adds(&line, " of the variance");
        if (ninety)
            dk_buf_addf(&line, ", 90%% in %zu", ninety);
        if (ninety && t->n_null)
            dk_buf_addf(&line, "/%zu", dk_components_for(&t->null[0].rows, &at[i], 0.9));
        dk_wrap(out, line.s, "  ", width, LINES);
        component_tokens(t, &at[i], 0, false, &ends);
        dk_buf_adds(&ends, ends.n ? " | " : "");
        component_tokens(t, &at[i], 0, true, &ends);
        if (ends.n)
            dk_wrap(out, ends.s, "    its ends: ", width, 1);
        dk_buf_free(&line);
        dk_buf_free(&ends);
    }
    more(out, n, told, "layer");
}

/* --- answers ------------------------------------------------------------------------- */
static void answers_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const char *asked = NULL;
    size_t prompts = 0;

    for (size_t i = 0; i < s->answers.n; i++) {
        const dk_json *r = s->answers.row[i];
        const char *prompt = dk_row_str(r, "prompt");
        char indent[32];

        if (!asked || strcmp(asked, prompt) != 0)
            prompts++;
        if (prompts <= PROMPTS && (!asked || strcmp(asked, prompt) != 0)) {
            dk_buf question = {0};

            dk_buf_addf(&question, "asked \"%s\"", prompt);
            dk_buf_adds(out, prompts == 1 ? "\n" : "");
            dk_wrap(out, question.s, "", width, LINES);
            dk_buf_free(&question);
        }
        asked = prompt;
        snprintf(indent, sizeof indent, "  %-6.6s", dk_row_str(r, "lane"));
        if (prompts <= PROMPTS && dk_json_int(dk_json_get(r, "sample"), 0) == 0)
            dk_wrap(out, dk_row_str(r, "text"), indent, width,
                    dk_row_is(r, "lane", "base") ? LINES : LINES + 1);
    }
    more(out, prompts, PROMPTS, "question");
}

/* --- where, and how long ----------------------------------------------------------------- */
/* The stage that follows in order of time; SIZE_MAX stands before the first. */
static size_t longest_after(const dk_summary *s, size_t last)
{
    size_t best = s->n_spent;

    for (size_t i = 0; i < s->n_spent; i++) {
        const double t = s->spent[i].seconds, after = last < s->n_spent ? s->spent[last].seconds : INFINITY;

        if ((t < after || (t <= after && i > last)) && (best == s->n_spent || t > s->spent[best].seconds))
            best = i;
    }
    return best;
}

static void tail(const dk_summary *s, size_t width, dk_buf *out)
{
    size_t last = SIZE_MAX;
    dk_buf line = {0};

    dk_buf_addf(out, "\nfiles   %s/\n", s->results);
    if (s->page)
        dk_buf_addf(out, "page    %s\n", s->page);
    if (s->n_spent == 0)
        return;
    dk_buf_addf(&line, "%.0f s (", s->seconds);
    for (size_t told = 0; told < s->n_spent; told++) {
        size_t i = told == STAGES ? s->n_spent : longest_after(s, last);

        if (i == s->n_spent) {
            dk_buf_adds(&line, ", ...");
            break;
        }
        dk_buf_addf(&line, "%s%s%c%.1f", told ? ", " : "", s->spent[i].stage, DK_HARD_BLANK, s->spent[i].seconds);
        last = i;
    }
    dk_buf_addf(&line, "), %.0f MB peak", s->peak * 1e-6);
    dk_wrap(out, line.s, "time    ", width, 0);
    dk_buf_free(&line);
}

void dk_summary_text(const dk_summary *s, size_t width, dk_buf *out)
{
    head(s, out);
    kl_text(s, width, out);
    mined_text(s, width, out);
    dk_summary_phrases(s, width, out);
    lens_text(s, width, out);
    dk_summary_calibration(s, width, out);
    analysis_text(s, width, out);
    component_text(s, width, out);
    answers_text(s, width, out);
    tail(s, width, out);
}
