/* Loading results. */
#include "method/summary.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/jsonl.h"
#include "method/lane.h"

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

/* Texts of dk-examples, beside what they are ranked by. */
static bool is_list_of_texts(const char *name)
{
    static const char end[] = ".examples.jsonl";
    const size_t n = strlen(name), m = strlen(end);

    return n > m && strcmp(name + n - m, end) == 0;
}

int dk_sets_load(dk_set *sets, size_t *n, const char *dir, const char *sub, const char *suffix, dk_err *err)
{
    char *rest = dk_xasprintf("%s/*%s", sub, suffix), *pattern = dk_summary_pattern(dir, rest);
    glob_t g = {0};
    int rc = 0;

    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; rc == 0 && i < g.gl_pathc && *n < DK_SUMMARY_SETS; i++) {
            const char *base = strrchr(g.gl_pathv[i], '/') + 1;

            if (is_list_of_texts(base))
                continue;
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
    static const char *const all[] = { "*.time", "*/*.time", "*/nulls/*.time", "../tokens/*.time" };
    char *own = dk_xasprintf("%s/*.time", s->method ? s->method : ""), *below = dk_xasprintf("%s/nulls/*.time", s->method ? s->method : "");
    const char *const of_method[] = { own, below };
    const char *const *where = s->method ? of_method : all;
    int rc = 0;

    for (size_t w = 0; w < (s->method ? sizeof of_method : sizeof all) / sizeof *where; w++) {
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
    dk_free(own);
    dk_free(below);
    return rc;
}

bool dk_summary_has(const dk_summary *s, const char *method) { return !s->method || strcmp(s->method, method) == 0; }

/* What belongs to no method. */
static int load_others(dk_summary *s, dk_err *err)
{
    int rc = load_if_there(&s->check, s->results, "check.jsonl", err);

    if (rc == 0 && !s->method) rc = load_if_there(&s->answers, s->results, "answers.jsonl", err);
    if (rc == 0 && !s->method) rc = load_if_there(&s->calibration, s->results, "calibration.jsonl", err);
    return rc;
}

static int load_mined(dk_summary *s, dk_err *err)
{
    int rc = dk_sets_load(s->topics, &s->n_topics, s->results, "diff_mining", ".nmf.jsonl", err);

    if (rc == 0) rc = dk_sets_load(s->mined, &s->n_mined, s->results, "diff_mining", ".top_k_occurring.jsonl", err);
    if (rc == 0) rc = dk_sets_load(s->relevance, &s->n_relevance, s->results, "diff_mining", ".relevance.jsonl", err);
    return rc;
}

int dk_summary_load(dk_summary **out, const char *results, const char *method, dk_err *err)
{
    dk_summary *s = dk_xcalloc(1, sizeof *s);
    char *pair = dk_xasprintf("%s/pair.json", results);
    int rc = dk_json_load(&s->pair, pair, err);

    s->results = dk_xstrdup(results);
    s->method = method ? dk_xstrdup(method) : NULL;
    if (rc == 0 && dk_json_type(s->pair) != DK_JSON_OBJECT)
        rc = dk_fail(err, DK_EFORMAT, "%s is no JSON object", pair);
    if (rc == 0)
        rc = load_others(s, err);
    if (rc == 0 && dk_summary_has(s, "kl"))
        rc = dk_sets_load(s->kl, &s->n_kl, results, "kl", ".jsonl", err);
    if (rc == 0 && dk_summary_has(s, "diff_mining"))
        rc = load_mined(s, err);
    if (rc == 0 && dk_summary_has(s, "contrast"))
        rc = dk_sets_load(s->phrases, &s->n_phrases, results, "contrast", ".phrases.jsonl", err);
    if (rc == 0 && dk_summary_has(s, "activation_difference_lens"))
        rc = dk_adl_load(&s->adl, &s->n_adl, results, err);
    if (rc == 0)
        rc = dk_stat_tables_load(&s->stat, results, dk_summary_has(s, "activation_analysis"), dk_summary_has(s, "pca"), err);
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
    dk_jsonl_free(&s->calibration);
    dk_sets_free(s->kl, s->n_kl);
    dk_sets_free(s->mined, s->n_mined);
    dk_sets_free(s->topics, s->n_topics);
    dk_sets_free(s->phrases, s->n_phrases);
    dk_sets_free(s->relevance, s->n_relevance);
    dk_adl_free(s->adl, s->n_adl);
    dk_stat_tables_free(&s->stat);
    dk_free(s->results);
    dk_free(s->method);
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
bool dk_row_is(const dk_json *row, const char *key, const char *value) { return strcmp(dk_row_str(row, key), value) == 0; }
double dk_row_num(const dk_json *row, const char *key) { return dk_json_num(dk_json_get(row, key), NAN); }

static const dk_json *lane_row(const dk_set *set, const char *lane, bool reverse)
{
    for (size_t i = 0; i < set->rows.n; i++)
        if (dk_row_is(set->rows.row[i], "lane", lane) &&
            dk_json_bool(dk_json_get(set->rows.row[i], "reverse"), false) == reverse)
            return set->rows.row[i];
    return NULL;
}

const dk_json *dk_set_lane(const dk_set *set, const char *lane) { return lane_row(set, lane, false); }
const dk_json *dk_set_reverse(const dk_set *set, const char *lane) { return lane_row(set, lane, true); }

size_t dk_summary_lanes(const dk_summary *s, const char **lane)
{
    size_t n = 0;

    for (size_t k = 0; k < s->n_kl; k++)
        for (size_t i = 0; i < s->kl[k].rows.n; i++) {
            const char *name = dk_row_str(s->kl[k].rows.row[i], "lane");
            size_t j = strncmp(name, "rigid_", 6) == 0 ? n + 1 : 0;

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
    return dk_row_is(row, "ordering", "fraction_positive_diff") ? 0.5 : 0;
}

bool dk_row_finding(const dk_json *row)
{
    const bool by_rate = dk_lane_finding(dk_row_num(row, "value"), dk_row_null(row), dk_row_chance(row));

    return dk_json_bool(dk_json_get(row, "finding"), by_rate);
}

void dk_summary_checks(const dk_summary *s, size_t count[4])
{
    static const char *const name[] = { "pass", "warn", "fail", "skip" };

    memset(count, 0, 4 * sizeof *count);
    for (size_t i = 0; i < s->check.n; i++)
        for (int k = 0; k < 4; k++)
            count[k] += dk_row_is(s->check.row[i], "status", name[k]);
}

/* The finetune's row of a check, unless it is about another kind of finetune. */
static const dk_json *row_of_ft(const dk_summary *s, const char *check)
{
    for (size_t i = 0; i < s->check.n; i++)
        if (dk_row_is(s->check.row[i], "check", check) &&
            dk_row_is(s->check.row[i], "lane", "ft") &&
            !dk_row_is(s->check.row[i], "status", "skip"))
            return s->check.row[i];
    return NULL;
}

bool dk_summary_identical(const dk_summary *s)
{
    return strncmp(dk_row_str(row_of_ft(s, "A8"), "detail"), "identical", 9) == 0;
}

bool dk_summary_finetune(const dk_summary *s, const char **kind, const char **detail)
{
    const dk_json *a1 = row_of_ft(s, "A1"), *a8 = row_of_ft(s, "A8");

    *kind = a1 ? "adapter" : dk_summary_identical(s) ? "identical" : "full weights";
    *detail = dk_row_str(a1 ? a1 : a8, "detail") + (a1 || !dk_summary_identical(s) ? 0 : strlen("identical: "));
    return a1 || a8;
}
