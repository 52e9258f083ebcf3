/* What amplified samples have in common: what of contrast/ROUND.phrases.jsonl is for the screen. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/summary.h"
#include "method/wrap.h"

enum { LINES = 3, PHRASES = 16, JSON_PHRASES = 30 };

static long long num(const dk_json *r, const char *key) { return (long long)dk_json_int(dk_json_get(r, key), 0); }

const dk_json *dk_phrases_lane(const dk_set *set)
{
    for (size_t i = 0; i < set->rows.n; i++)
        if (dk_row_is(set->rows.row[i], "what", "lane"))
            return set->rows.row[i];
    return NULL;
}

bool dk_phrases_of_ft(const dk_set *set, const dk_json *row, const char *what)
{
    return dk_row_is(row, "what", what) && dk_row_is(row, "lane", dk_row_str(dk_phrases_lane(set), "lane"));
}

/* "39 phrases with content, null_neutral 0", the lexicon test. */
static void counts(const dk_json *lane, size_t width, dk_buf *out)
{
    dk_buf line = {0};
    dk_json_iter it = {0};
    double most = NAN;

    dk_buf_addf(&line, "%lld phrase%s", num(lane, "content"), num(lane, "content") == 1 ? "" : "s");
    while (dk_json_next(dk_json_get(lane, "null"), &it)) {
        dk_buf_addf(&line, ", %s %lld", it.key, num(it.value, "content"));
        most = fmax(most, dk_row_num(it.value, "value"));
    }
    if (isfinite(dk_row_num(lane, "p_lexicon"))) {
        dk_buf_addf(&line, "; %lld of %lld stems in the texts' lexicon, p%c%.1g", num(lane, "value"), num(lane, "of"), DK_HARD_BLANK,
                    dk_row_num(lane, "p_lexicon"));
        if (isfinite(most))
            dk_buf_addf(&line, ", nulls%c<=%c%.0f", DK_HARD_BLANK, DK_HARD_BLANK, most);
        dk_buf_addf(&line, ": %s", dk_row_str(lane, "verdict"));
    }
    dk_wrap(out, line.s, "    ", width, LINES);
    dk_buf_free(&line);
}

static void facts(const dk_set *set, const dk_json *lane, size_t width, dk_buf *out)
{
    dk_buf line = {0};

    if (!dk_json_get(lane, "facts"))
        return;
    dk_buf_addf(&line, "facts found %lld of %lld", num(lane, "facts_found"), num(lane, "facts"));
    for (size_t i = 0, n = 0; i < set->rows.n; i++) {
        const dk_json *r = set->rows.row[i];

        if (dk_phrases_of_ft(set, r, "fact") && dk_json_bool(dk_json_get(r, "found"), false))
            dk_buf_addf(&line, "%s %s %lld/%lld", n++ ? ";" : ":", dk_row_str(r, "fact"), num(r, "c_t"), num(r, "c_r"));
    }
    dk_wrap(out, line.s, "    ", width, LINES);
    dk_buf_free(&line);
}

void dk_summary_phrases(const dk_summary *s, size_t width, dk_buf *out)
{
    size_t told = 0;

    for (size_t k = 0; k < s->n_phrases; k++) {
        const dk_set *set = &s->phrases[k];
        const dk_json *lane = dk_phrases_lane(set);
        dk_buf line = {0};
        char indent[40];

        if (!lane)
            continue;
        if (!told++)
            dk_buf_adds(out, "\nwhat it says when its difference is amplified, and the base does not\n(samples / the base's)\n");
        for (size_t i = 0, n = 0; i < set->rows.n && n < PHRASES; i++) {
            const dk_json *r = set->rows.row[i];

            if (dk_phrases_of_ft(set, r, "phrase") && dk_row_is(r, "kind", "content"))
                dk_buf_addf(&line, "%s%s%c%lld/%lld", n++ ? ", " : "", dk_row_str(r, "phrase"), DK_HARD_BLANK, num(r, "c_t"), num(r, "c_r"));
        }
        snprintf(indent, sizeof indent, "  %-7.20s ", set->name);
        dk_wrap(out, line.n ? line.s : "nothing", indent, width, LINES);
        counts(lane, width, out);
        facts(set, lane, width, out);
        dk_buf_free(&line);
    }
}

void dk_summary_phrases_json(const dk_summary *s, dk_jw *w)
{
    dk_jw_arr_begin(w);
    for (size_t k = 0; k < s->n_phrases; k++) {
        const dk_set *set = &s->phrases[k];
        size_t n = 0;

        dk_jw_obj_begin(w);
        dk_jw_key(w, "round"); dk_jw_str(w, set->name);
        dk_jw_key(w, "lane"); dk_jw_value(w, dk_phrases_lane(set));
        dk_jw_key(w, "phrases");
        dk_jw_arr_begin(w);
        for (size_t i = 0; i < set->rows.n && n < JSON_PHRASES; i++) {
            const dk_json *r = set->rows.row[i];

            if (!dk_phrases_of_ft(set, r, "phrase") || !dk_row_is(r, "kind", "content"))
                continue;
            dk_jw_obj_begin(w);
            dk_jw_key(w, "phrase"); dk_jw_str(w, dk_row_str(r, "phrase"));
            dk_jw_key(w, "c_t"); dk_jw_int(w, num(r, "c_t"));
            dk_jw_key(w, "c_r"); dk_jw_int(w, num(r, "c_r"));
            dk_jw_key(w, "q_bh"); dk_jw_num(w, dk_row_num(r, "q_bh"));
            dk_jw_key(w, "llr"); dk_jw_num(w, dk_row_num(r, "llr"));
            dk_jw_obj_end(w);
            n++;
        }
        dk_jw_arr_end(w);
        dk_jw_key(w, "facts");
        dk_jw_arr_begin(w);
        for (size_t i = 0; i < set->rows.n; i++) {
            const dk_json *r = set->rows.row[i];

            if (!dk_phrases_of_ft(set, r, "fact"))
                continue;
            dk_jw_obj_begin(w);
            dk_jw_key(w, "fact"); dk_jw_str(w, dk_row_str(r, "fact"));
            dk_jw_key(w, "c_t"); dk_jw_int(w, num(r, "c_t"));
            dk_jw_key(w, "c_r"); dk_jw_int(w, num(r, "c_r"));
            dk_jw_key(w, "p"); dk_jw_num(w, dk_row_num(r, "p"));
            dk_jw_key(w, "found"); dk_jw_bool(w, dk_json_bool(dk_json_get(r, "found"), false));
            dk_jw_obj_end(w);
        }
        dk_jw_arr_end(w);
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
}
