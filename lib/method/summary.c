/* Loading results and writing the summary. */
#include "method/summary.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/jsonl.h"
#include "method/wrap.h"

enum { N_TOKENS = 30, LINES = 4 };

/* --- loading --------------------------------------------------------------- */
static int load_if_there(dk_jsonl *t, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", dir, name);
    const int rc = access(path, F_OK) == 0 ? dk_jsonl_load(t, path, err) : 0;

    dk_free(path);
    return rc;
}

char *dk_summary_pattern(const char *dir, const char *rest)
{
    dk_buf b = {0};

    for (; *dir; dir++) {
        if (strchr("*?[\\", *dir))
            dk_buf_addc(&b, '\\');
        dk_buf_addc(&b, *dir);
    }
    dk_buf_addf(&b, "/%s", rest);
    return b.s;
}

int dk_sets_load(dk_set *sets, size_t *n, const char *dir, const char *sub, const char *suffix, dk_err *err)
{
    char *rest = dk_xasprintf("%s/*%s", sub, suffix), *pattern = dk_summary_pattern(dir, rest);
    glob_t g = {0};
    int rc = 0;

    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; rc == 0 && i < g.gl_pathc && *n < DK_SUMMARY_SETS; i++) {
            const char *base = strrchr(g.gl_pathv[i], '/') + 1;

            sets[*n].name = dk_xstrndup(base, strlen(base) - strlen(suffix));
            rc = dk_jsonl_load(&sets[*n].rows, g.gl_pathv[i], err);
            (*n)++;
        }
    globfree(&g);
    dk_free(rest);
    dk_free(pattern);
    return rc;
}

void dk_sets_free(dk_set *sets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dk_free(sets[i].name);
        dk_jsonl_free(&sets[i].rows);
    }
}

/* Seconds by the first word of the stage's name. */
static void add_time(dk_summary *s, const dk_json *note)
{
    const char *stage = dk_json_str(dk_json_get(note, "stage"), "");
    const double t = dk_json_num(dk_json_get(note, "seconds"), 0);
    const double peak = dk_json_num(dk_json_get(note, "peak_bytes"), 0);
    const size_t n = strcspn(stage, " ");
    size_t i = 0;

    while (i < s->n_spent && (strlen(s->spent[i].stage) != n || strncmp(s->spent[i].stage, stage, n) != 0))
        i++;
    if (i == s->n_spent && i < sizeof s->spent / sizeof *s->spent) {
        snprintf(s->spent[i].stage, sizeof s->spent[i].stage, "%.*s", (int)n, stage);
        s->n_spent++;
    }
    if (i < s->n_spent)
        s->spent[i].seconds += t;
    s->seconds += t;
    s->peak = peak > s->peak ? peak : s->peak;
}

static int load_times(dk_summary *s, dk_err *err)
{
    static const char *const where[] = { "*.time", "*/*.time", "../tokens/*.time" };
    int rc = 0;

    for (size_t w = 0; w < 3; w++) {
        char *pattern = dk_summary_pattern(s->results, where[w]);
        glob_t g = {0};

        if (glob(pattern, 0, NULL, &g) == 0)
            for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++) {
                dk_json *note = NULL;

                rc = dk_json_load(&note, g.gl_pathv[i], err);
                if (rc == 0)
                    add_time(s, note);
                dk_json_free(&note);
            }
        globfree(&g);
        dk_free(pattern);
    }
    return rc;
}

int dk_summary_load(dk_summary **out, const char *results, dk_err *err)
{
    dk_summary *s = dk_xcalloc(1, sizeof *s);
    char *pair = dk_xasprintf("%s/pair.json", results);
    int rc = dk_json_load(&s->pair, pair, err);

    s->results = dk_xstrdup(results);
    if (rc == 0 && dk_json_type(s->pair) != DK_JSON_OBJECT)
        rc = dk_fail(err, DK_EFORMAT, "%s is no JSON object", pair);
    if (rc == 0) rc = load_if_there(&s->check, results, "check.jsonl", err);
    if (rc == 0) rc = load_if_there(&s->answers, results, "answers.jsonl", err);
    if (rc == 0) rc = dk_sets_load(s->kl, &s->n_kl, results, "kl", ".jsonl", err);
    if (rc == 0) rc = dk_sets_load(s->mined, &s->n_mined, results, "diff_mining", ".top_k_occurring.jsonl", err);
    if (rc == 0) rc = load_times(s, err);
    dk_free(pair);
    if (rc < 0)
        dk_summary_free(&s);
    *out = s;
    return rc;
}

void dk_summary_free(dk_summary **sp)
{
    dk_summary *s = *sp;

    if (!s)
        return;
    dk_json_free(&s->pair);
    dk_jsonl_free(&s->check);
    dk_jsonl_free(&s->answers);
    dk_sets_free(s->kl, s->n_kl);
    dk_sets_free(s->mined, s->n_mined);
    dk_free(s->results);
    dk_free(s);
    *sp = NULL;
}

/* --- reading ---------------------------------------------------------------- */
const char *dk_summary_pair(const dk_summary *s, const char *key)
{
    return dk_json_str(dk_json_get(s->pair, key), "");
}

const char *dk_summary_lane(const dk_summary *s, const char *lane)
{
    return strcmp(lane, "ft") == 0 ? dk_summary_pair(s, "organism.name") : lane;
}

const char *dk_row_str(const dk_json *row, const char *key) { return dk_json_str(dk_json_get(row, key), ""); }
double dk_row_num(const dk_json *row, const char *key) { return dk_json_num(dk_json_get(row, key), NAN); }

const dk_json *dk_set_lane(const dk_set *set, const char *lane)
{
    for (size_t i = 0; i < set->rows.n; i++)
        if (strcmp(dk_row_str(set->rows.row[i], "lane"), lane) == 0)
            return set->rows.row[i];
    return NULL;
}

size_t dk_summary_lanes(const dk_summary *s, const char **lane)
{
    size_t n = 0;

    for (size_t k = 0; k < s->n_kl; k++)
        for (size_t i = 0; i < s->kl[k].rows.n; i++) {
            const char *name = dk_row_str(s->kl[k].rows.row[i], "lane");
            size_t j = 0;

            while (j < n && strcmp(lane[j], name) != 0)
                j++;
            if (j == n && n < DK_SUMMARY_LANES)
                lane[n++] = name;
        }
    return n;
}

double dk_row_null(const dk_json *row)
{
    const dk_json *nulls = dk_json_get(row, "null");
    dk_json_iter it = {0};
    double best = -1;

    while (dk_json_next(nulls, &it)) {
        const double v = dk_row_num(it.value, "value");

        best = v > best ? v : best;
    }
    return best;
}

double dk_row_chance(const dk_json *row)
{
    return strcmp(dk_row_str(row, "ordering"), "fraction_positive_diff") == 0 ? 0.5 : 0;
}

bool dk_row_finding(const dk_json *row)
{
    const double chance = dk_row_chance(row), null = dk_row_null(row);

    return !(null >= 0 && null - chance >= DK_SUMMARY_SHARED * (dk_row_num(row, "value") - chance));
}

void dk_summary_checks(const dk_summary *s, size_t count[4])
{
    static const char *const name[] = { "pass", "warn", "fail", "skip" };

    memset(count, 0, 4 * sizeof *count);
    for (size_t i = 0; i < s->check.n; i++)
        for (int k = 0; k < 4; k++)
            count[k] += strcmp(dk_row_str(s->check.row[i], "status"), name[k]) == 0;
}

/* --- the text ---------------------------------------------------------------- */
static void head(const dk_summary *s, dk_buf *out)
{
    size_t count[4];

    dk_buf_addf(out, "%s on %s, products in %s\n", dk_summary_pair(s, "organism.name"), dk_summary_pair(s, "model.name"),
                dk_summary_pair(s, "dtype"));
    if (s->check.n == 0)
        return;
    for (size_t i = 0; i < s->check.n; i++)
        if (strcmp(dk_row_str(s->check.row[i], "check"), "A1") == 0 &&
            strcmp(dk_row_str(s->check.row[i], "lane"), "ft") == 0)
            dk_buf_addf(out, "adapter %s\n", dk_row_str(s->check.row[i], "detail"));
    dk_summary_checks(s, count);
    dk_buf_addf(out, "checks  %zu passed, %zu warning%s, %zu failed\n", count[0], count[1],
                count[1] == 1 ? "" : "s", count[2]);
    for (size_t i = 0; i < s->check.n; i++)
        if (strcmp(dk_row_str(s->check.row[i], "status"), "warn") == 0)
            dk_buf_addf(out, "        warning %s (%s): %s\n", dk_row_str(s->check.row[i], "check"),
                        dk_row_str(s->check.row[i], "lane"), dk_row_str(s->check.row[i], "detail"));
}

/* Ends a line of a table, without the blanks of its last column. */
static void end_row(dk_buf *out)
{
    while (out->n && out->s[out->n - 1] == ' ')
        out->n--;
    dk_buf_addc(out, '\n');
}

static void kl_text(const dk_summary *s, dk_buf *out)
{
    const char *lane[DK_SUMMARY_LANES];
    const size_t n = dk_summary_lanes(s, lane);

    if (n == 0)
        return;
    dk_buf_addf(out, "\n%-26s", "KL(. || base), nats/token");
    for (size_t k = 0; k < s->n_kl; k++)
        dk_buf_addf(out, "  %-16.16s", s->kl[k].name);
    end_row(out);
    for (size_t l = 0; l < n; l++) {
        dk_buf_addf(out, "  %-24.24s", dk_summary_lane(s, lane[l]));
        for (size_t k = 0; k < s->n_kl; k++) {
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
    for (size_t l = 1; l < n; l++) {
        char label[64];

        snprintf(label, sizeof label, "%s / %s", dk_summary_lane(s, lane[0]), lane[l]);
        dk_buf_addf(out, "  %-24.24s", n == 2 ? "ratio" : label);
        for (size_t k = 0; k < s->n_kl; k++) {
            const dk_json *a = dk_set_lane(&s->kl[k], lane[0]), *b = dk_set_lane(&s->kl[k], lane[l]);
            char cell[64];

            snprintf(cell, sizeof cell, "%.2f", dk_row_num(a, "value") / dk_row_num(b, "value"));
            dk_buf_addf(out, "  %-16s", a && b ? cell : "");
        }
        end_row(out);
    }
    dk_buf_adds(out, "  (mean, 95% interval over documents; a null of the same size shows what\n"
                     "  any finetune does: size alone is no finding)\n");
}

static void token_list(const dk_set *set, int findings, dk_buf *line)
{
    for (size_t i = 0; i < set->rows.n && i < N_TOKENS; i++) {
        const dk_json *r = set->rows.row[i];
        const char *token = dk_row_str(r, "token");

        if (dk_row_finding(r) != findings)
            continue;
        token += strspn(token, " \t\n\v\f\r");
        dk_buf_addf(line, "%s%s%c%.0f%%", line->n ? ", " : "", *token ? token : "(blank)", DK_HARD_BLANK,
                    dk_row_num(r, "value"));
        if (dk_row_null(r) >= 0)
            dk_buf_addf(line, "/%.0f", dk_row_null(r));
    }
}

/* The clearest place of each of the first findings, one a document. */
static void snippets(const dk_set *set, size_t width, dk_buf *out)
{
    int64_t seen[LINES];
    size_t shown = 0;

    for (size_t i = 0; i < set->rows.n && i < N_TOKENS && shown < 3; i++) {
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

static void mined_text(const dk_summary *s, size_t width, dk_buf *out)
{
    for (size_t m = 0; m < s->n_mined; m++) {
        const dk_set *set = &s->mined[m];
        const char *nulls = set->rows.n && dk_row_null(set->rows.row[0]) >= 0 ? ", and the null does not" : "";
        dk_buf line = {0};

        dk_buf_addf(out, "\nwhat %s raises on %s%s\n(share of positions%s)\n", dk_summary_pair(s, "organism.name"),
                    set->name, nulls, *nulls ? " / the null's" : "");
        token_list(set, 1, &line);
        dk_wrap(out, line.s ? line.s : "nothing", "  ", width, 0);
        snippets(set, width, out);
        dk_buf_clear(&line);
        token_list(set, 0, &line);
        if (line.n) {
            dk_buf_adds(out, "raised by both (not a finding):\n");
            dk_wrap(out, line.s, "  ", width, 0);
        }
        dk_buf_free(&line);
    }
}

static void answers_text(const dk_summary *s, size_t width, dk_buf *out)
{
    const char *asked = NULL;

    for (size_t i = 0; i < s->answers.n; i++) {
        const dk_json *r = s->answers.row[i];
        const char *prompt = dk_row_str(r, "prompt");
        char indent[32];

        if (!asked || strcmp(asked, prompt) != 0) {
            dk_buf_addc(out, '\n');
            dk_buf question = {0};

            dk_buf_addf(&question, "asked \"%s\"", prompt);
            dk_wrap(out, question.s, "", width, 0);
            dk_buf_free(&question);
        }
        asked = prompt;
        snprintf(indent, sizeof indent, "  %-6.6s", dk_row_str(r, "lane"));
        dk_wrap(out, dk_row_str(r, "text"), indent, width, LINES);
    }
}

static void tail(const dk_summary *s, dk_buf *out)
{
    dk_buf_addf(out, "\nfiles   %s/\n", s->results);
    if (s->page)
        dk_buf_addf(out, "page    %s\n", s->page);
    if (s->n_spent == 0)
        return;
    dk_buf_addf(out, "time    %.0f s (", s->seconds);
    for (size_t i = 0; i < s->n_spent; i++)
        dk_buf_addf(out, "%s%s %.1f", i ? ", " : "", s->spent[i].stage, s->spent[i].seconds);
    dk_buf_addf(out, "), %.0f MB peak\n", s->peak * 1e-6);
}

void dk_summary_text(const dk_summary *s, size_t width, dk_buf *out)
{
    head(s, out);
    kl_text(s, out);
    mined_text(s, width, out);
    answers_text(s, width, out);
    tail(s, out);
}

/* --- the JSON ------------------------------------------------------------------ */
static void json_kl(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->n_kl; k++)
        for (size_t i = 0; i < s->kl[k].rows.n; i++) {
            const dk_json *r = s->kl[k].rows.row[i];

            dk_jw_obj_begin(w);
            dk_jw_key(w, "set"); dk_jw_str(w, s->kl[k].name);
            dk_jw_key(w, "lane"); dk_jw_str(w, dk_row_str(r, "lane"));
            dk_jw_key(w, "value"); dk_jw_num(w, dk_row_num(r, "value"));
            dk_jw_key(w, "lo"); dk_jw_num(w, dk_row_num(r, "lo"));
            dk_jw_key(w, "hi"); dk_jw_num(w, dk_row_num(r, "hi"));
            dk_jw_obj_end(w);
        }
    dk_jw_arr_end(w);
}

static void json_tokens(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t m = 0; m < s->n_mined; m++)
        for (size_t i = 0; i < s->mined[m].rows.n && i < N_TOKENS; i++) {
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

void dk_summary_json(const dk_summary *s, dk_buf *out)
{
    dk_jw w = { .out = out };
    size_t count[4];

    dk_summary_checks(s, count);
    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "organism"); dk_jw_str(&w, dk_summary_pair(s, "organism.name"));
    dk_jw_key(&w, "model"); dk_jw_str(&w, dk_summary_pair(s, "model.name"));
    dk_jw_key(&w, "dtype"); dk_jw_str(&w, dk_summary_pair(s, "dtype"));
    dk_jw_key(&w, "checks");
    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "pass"); dk_jw_u64(&w, count[0]);
    dk_jw_key(&w, "warn"); dk_jw_u64(&w, count[1]);
    dk_jw_key(&w, "fail"); dk_jw_u64(&w, count[2]);
    dk_jw_obj_end(&w);
    dk_jw_key(&w, "kl"); json_kl(s, &w);
    dk_jw_key(&w, "tokens"); json_tokens(s, &w);
    dk_jw_key(&w, "answers");
    dk_jw_arr_begin(&w);
    for (size_t i = 0; i < s->answers.n; i++)
        dk_jw_value(&w, s->answers.row[i]);
    dk_jw_arr_end(&w);
    dk_jw_key(&w, "seconds"); dk_jw_num(&w, s->seconds);
    dk_jw_key(&w, "peak_bytes"); dk_jw_num(&w, s->peak);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}
