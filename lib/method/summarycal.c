/* The statistics beside their nulls: what of calibration.jsonl is for the screen. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/summary.h"
#include "method/wrap.h"

enum { LINES = 2, SIZES = 2 };


bool dk_row_statistic(const dk_json *r) { return *dk_row_str(r, "verdict") != 0; }

bool dk_summary_calibrated(const dk_summary *s)
{
    for (size_t i = 0; i < s->calibration.n; i++)
        if (dk_row_statistic(s->calibration.row[i]))
            return true;
    return false;
}

static double fewer(double docs, const dk_json *r)
{
    const double n = dk_row_num(r, "docs");

    return isfinite(dk_row_num(r, "lo")) && n > 0 && !(n >= docs) ? n : docs;
}

size_t dk_summary_docs(const dk_summary *s)
{
    double docs = NAN;

    for (size_t k = 0; k < s->n_kl; k++)
        docs = fewer(docs, dk_set_lane(&s->kl[k], "ft"));
    for (size_t i = 0; isnan(docs) && i < s->calibration.n; i++)
        if (dk_row_statistic(s->calibration.row[i]))
            docs = fewer(docs, s->calibration.row[i]);
    return isnan(docs) || docs > 1e15 ? 0 : (size_t)docs;
}

/* The most that any null has; NaN: there is none. */
static double most_of(const dk_json *r)
{
    const dk_json *values = dk_json_get(dk_json_get(r, "null"), "values");
    dk_json_iter it = {0};
    double most = NAN;

    while (dk_json_next(values, &it))
        most = fmax(most, dk_json_num(it.value, NAN));
    return most;
}

/* One line, if the names are no longer than usual. */
static void lexicon_line(const dk_json *r, size_t width, dk_buf *out)
{
    const double most = most_of(r);
    const int64_t layer = dk_json_int(dk_json_get(r, "layer"), -1);
    const dk_json *position = dk_json_get(r, "position");
    dk_buf line = {0};

    dk_buf_addf(&line, "%s %s", dk_row_is(r, "method", "diff_mining") ? "raised on" : "lens of", dk_row_str(r, "dataset_id"));
    if (layer >= 0)
        dk_buf_addf(&line, ", layer %lld", (long long)layer);
    if (position)
        dk_buf_addf(&line, ", position %lld", (long long)dk_json_int(position, 0));
    dk_buf_addf(&line, ": %.0f of %.0f tokens in the texts' lexicon, p%c%.1g", dk_row_num(r, "value"), dk_row_num(r, "of"),
                DK_HARD_BLANK, dk_row_num(r, "p_lexicon"));
    if (isfinite(most))
        dk_buf_addf(&line, ", nulls%c<=%c%.0f", DK_HARD_BLANK, DK_HARD_BLANK, most);
    dk_buf_addf(&line, ": %s", dk_row_str(r, "verdict"));
    dk_wrap(out, line.s, "  ", width, LINES);
    dk_buf_free(&line);
}

/* What the table of divergence does not say already. */
static void put_size(const dk_json *r, dk_buf *line)
{
    const dk_json *null = dk_json_get(r, "null");

    dk_buf_addf(line, "%s %s %.3g", line->n ? ";" : "mean KL:", dk_row_str(r, "dataset_id"), dk_row_num(r, "value"));
    if (null)
        dk_buf_addf(line, ", nulls' median %.3g, 95%% %.3g", dk_row_num(null, "median"), dk_row_num(null, "q95"));
    if (isfinite(dk_row_num(r, "p_null")))
        dk_buf_addf(line, ", p%c%.2g", DK_HARD_BLANK, dk_row_num(r, "p_null"));
    else if (isfinite(dk_row_num(r, "ratio")))
        dk_buf_addf(line, ", ratio%c%.2f", DK_HARD_BLANK, dk_row_num(r, "ratio"));
    dk_buf_addf(line, ", %s", dk_row_str(r, "verdict"));
}

/* Of the directions' lists the one with the most words, then the least p. */
static const dk_json *best_lens(const dk_summary *s)
{
    const dk_json *best = NULL;

    for (size_t i = 0; i < s->calibration.n; i++) {
        const dk_json *r = s->calibration.row[i];

        if (!dk_row_is(r, "statistic", "lexicon") || !dk_row_is(r, "method", "activation_difference_lens"))
            continue;
        if (!best || dk_row_num(r, "value") > dk_row_num(best, "value") ||
            (dk_row_num(r, "value") >= dk_row_num(best, "value") && dk_row_num(r, "p_lexicon") < dk_row_num(best, "p_lexicon")))
            best = r;
    }
    return best;
}

void dk_summary_calibration(const dk_summary *s, size_t width, dk_buf *out)
{
    const dk_json *lens = best_lens(s), *null = NULL;
    size_t all = 0, told = 0, sizes = 0;
    dk_buf head = {0}, line = {0};

    for (size_t i = 0; i < s->calibration.n; i++) {
        const dk_json *r = s->calibration.row[i];

        all += dk_row_statistic(r);
        null = null || !dk_json_get(dk_json_get(r, "null"), "kind") ? null : dk_json_get(r, "null");
    }
    if (all == 0)
        return;
    dk_buf_adds(out, "\n");
    if (null)
        dk_buf_addf(&head, "beside %lld null%s (%s)", (long long)dk_json_int(dk_json_get(null, "m"), 0),
                    dk_json_int(dk_json_get(null, "m"), 0) == 1 ? "" : "s", dk_row_str(null, "kind"));
    else
        dk_buf_adds(&head, "without a null");
    dk_wrap(out, head.s, "", width, 1);
    dk_buf_free(&head);
    for (size_t i = 0; i < s->calibration.n && told < SIZES; i++)
        if (dk_row_is(s->calibration.row[i], "method", "diff_mining") &&
            dk_row_is(s->calibration.row[i], "statistic", "lexicon_beyond_null")) {
            lexicon_line(s->calibration.row[i], width, out);
            told++;
        }
    if (lens) {
        lexicon_line(lens, width, out);
        told++;
    }
    for (size_t i = 0; i < s->calibration.n && sizes < SIZES; i++)
        if (dk_row_is(s->calibration.row[i], "method", "kl") && dk_row_is(s->calibration.row[i], "statistic", "mean")) {
            put_size(s->calibration.row[i], &line);
            sizes++;
        }
    if (line.n)
        dk_wrap(out, line.s, "  ", width, LINES);
    dk_buf_free(&line);
    if (all > told + sizes)
        dk_buf_addf(out, "  (and %zu more statistics on the page)\n", all - told - sizes);
}
