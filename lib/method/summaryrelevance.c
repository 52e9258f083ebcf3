/* Which of the raised tokens belong to what was taught: diff_mining/SET.relevance.jsonl. */
#include <math.h>
#include <string.h>

#include "method/summary.h"
#include "method/wrap.h"

static long long num(const dk_json *r, const char *key, int64_t def) { return (long long)dk_json_int(dk_json_get(r, key), def); }

static const dk_set *set_of(const dk_summary *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n_relevance; i++)
        if (strlen(s->relevance[i].name) == n && strncmp(s->relevance[i].name, name, n) == 0)
            return &s->relevance[i];
    return NULL;
}

/* The finetune's lists come first. */
static bool of_ft(const dk_set *set, const dk_json *r) { return dk_row_is(r, "lane", dk_row_str(set->rows.row[0], "lane")); }

static long long relevant(const dk_json *r) { return llround(fmin(fmax(dk_row_num(r, "percentage"), 0), 1) * (double)num(r, "n", 0)); }

const char *dk_relevance_grader(const dk_json *list)
{
    return !dk_row_is(list, "grader", "lexical") ? dk_row_str(list, "judge")
         : dk_row_is(list, "by", "description") ? "words of the description" : "words of the finetuning texts";
}

void dk_summary_relevance(const dk_summary *s, const char *name, size_t width, dk_buf *out)
{
    const dk_set *set = set_of(s, name, strlen(name));
    const char *before = "";
    dk_buf line = {0};

    if (!set || set->rows.n == 0)
        return;
    dk_buf_addf(&line, "relevant by the %s%s:", dk_row_is(set->rows.row[0], "grader", "lexical") ? "" : "judge ", dk_relevance_grader(set->rows.row[0]));
    for (size_t i = 0; i < set->rows.n; i++) {
        const dk_json *r = set->rows.row[i];
        const bool first = i == 0;

        if (!isfinite(dk_row_num(r, "percentage")))
            continue;
        if (!of_ft(set, r))
            dk_buf_addf(&line, "; %s's own list%c%lld", dk_row_str(r, "lane"), DK_HARD_BLANK, relevant(r));
        else if (dk_row_is(r, "ordering", "nmf"))
            dk_buf_addf(&line, strcmp(before, "nmf") == 0 ? ", %lld" : first ? " topics %lld" : "; topics %lld", relevant(r));
        else
            dk_buf_addf(&line, "%s%s%c%lld", first ? " " : "; ", dk_row_str(r, "ordering"), DK_HARD_BLANK, relevant(r));
        if (first || num(r, "n", 0) != num(set->rows.row[0], "n", 0))
            dk_buf_addf(&line, "%cof%c%lld", DK_HARD_BLANK, DK_HARD_BLANK, num(r, "n", 0));
        before = dk_row_str(r, "ordering");
    }
    dk_wrap(out, line.s, "  ", width, 2);
    dk_buf_free(&line);
}

void dk_summary_relevance_json(const dk_summary *s, dk_jw *w)
{
    static const char *const field[] = { "ordering", "topic", "lane", "grader", "judge", "n", "percentage", "lo", "hi", "weighted_percentage",
                                         "trivial_percentage" };

    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->n_relevance; k++)
        for (size_t i = 0; i < s->relevance[k].rows.n; i++) {
            dk_jw_obj_begin(w);
            dk_jw_key(w, "set"); dk_jw_str(w, s->relevance[k].name);
            for (size_t f = 0; f < sizeof field / sizeof *field; f++) {
                const dk_json *v = dk_json_get(s->relevance[k].rows.row[i], field[f]);

                if (v) {
                    dk_jw_key(w, field[f]);
                    dk_jw_value(w, v);
                }
            }
            dk_jw_obj_end(w);
        }
    dk_jw_arr_end(w);
}

const dk_json *dk_relevance_list(const dk_summary *s, const char *name, size_t n, const char *ordering, int64_t topic)
{
    const dk_set *set = set_of(s, name, n);

    for (size_t i = 0; set && i < set->rows.n; i++) {
        const dk_json *r = set->rows.row[i];

        if (of_ft(set, r) && dk_row_is(r, "ordering", ordering) && num(r, "topic", -1) == topic)
            return r;
    }
    return NULL;
}

const char *dk_relevance_label(const dk_json *list, const dk_json *row)
{
    const dk_json *tokens = dk_json_get(list, "tokens"), *ids = dk_json_get(list, "ids"), *labels = dk_json_get(list, "labels");
    const size_t n = dk_json_type(tokens) == DK_JSON_ARRAY ? dk_json_len(tokens) : 0;
    const int64_t id = dk_json_int(dk_json_get(row, "id"), -1);

    for (size_t i = 0; i < n; i++)
        if (dk_json_int(dk_json_at(ids, i), -1) == id && (id >= 0 || strcmp(dk_json_str(dk_json_at(tokens, i), ""), dk_row_str(row, "token")) == 0))
            return dk_json_str(dk_json_at(labels, i), "");
    return "";
}
