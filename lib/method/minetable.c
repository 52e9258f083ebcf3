/* Tables of ranked tokens. */
#include "method/minetable.h"

#include <math.h>
#include <string.h>

#include "io/json.h"
#include "method/lane.h"
#include "method/minework.h"
#include "text/tokspec.h"

/* One token's numbers in a lane; a word's are those of its spellings together. */
static dk_mined numbers(const dk_mine_work *w, size_t lane, uint32_t id)
{
    dk_mined m = dk_mine_one(&w->f->lane[lane].sums, id, w->f->t->rows, w->plan->ordering);

    if (w->plan->ordering == DK_ORDER_POSITIVE)
        m.count_negative = (int64_t)w->f->t->rows * dk_words_size(&w->words, id) - m.count_positive;
    return m;
}

bool dk_mine_is_finding(const dk_mine_work *w, uint32_t id)
{
    const double chance = dk_ordering_chance(w->plan->ordering) * dk_words_size(&w->words, id);
    const double value = numbers(w, 0, id).value;
    bool finding = true;

    for (size_t l = 1; l < w->f->n_lanes; l++)
        finding &= dk_lane_finding(value, numbers(w, l, id).value, chance);
    return finding;
}

/* --- a row -------------------------------------------------------------------------- */
static void put_token(dk_jw *j, const dk_mine_work *w, uint32_t id)
{
    const dk_span piece = dk_tokenizer_piece(w->tok, id), bytes = dk_tokenizer_bytes(w->tok, id);
    const bool several = dk_words_size(&w->words, id) > 1;
    dk_buf word = {0};

    dk_jw_key(j, "id");
    if (several)
        dk_jw_int(j, -1);
    else
        dk_jw_u64(j, id);
    if (w->words.merged && dk_words_normal(&word, bytes.s ? bytes.s : "", bytes.n)) {
        dk_jw_key(j, "token");
        dk_jw_strn(j, word.s, word.n);
    } else
        dk_tokenizer_put(w->tok, j, "token", &id, 1);
    dk_jw_key(j, "piece"); dk_jw_strn(j, piece.n ? piece.s : "", piece.n);
    if (several) {
        dk_jw_key(j, "variants");
        dk_jw_arr_begin(j);
        for (uint32_t v = 0; v < w->f->vocab; v++)
            if (w->words.group[v] == id)
                dk_jw_u64(j, v);
        dk_jw_arr_end(j);
    }
    dk_buf_free(&word);
}

/* Share of positions in percent, its interval, and how far it is from the nulls. */
static void put_rate(dk_jw *j, const dk_mine_work *w, uint32_t id)
{
    const double rate = 100 * w->rate[0].rate[id], se = 100 * w->rate[0].se[id];

    dk_jw_key(j, "rate"); dk_jw_f32(j, (float)rate);
    dk_jw_key(j, "se"); dk_jw_f32(j, (float)se);
    dk_jw_key(j, "lo"); dk_jw_f32(j, isnan(se) ? NAN : (float)fmax(rate - 1.959964 * se, 0));
    dk_jw_key(j, "hi"); dk_jw_f32(j, isnan(se) ? NAN : (float)fmin(rate + 1.959964 * se, 100));
    if (w->f->n_lanes > 1) {
        dk_jw_key(j, "z"); dk_jw_f32(j, (float)w->z.z[id]);
        dk_jw_key(j, "highest_null"); dk_jw_str(j, w->f->lane[w->z.null[id]].name);
    }
}

static void put_nulls(dk_jw *j, const dk_mine_work *w, uint32_t id)
{
    dk_jw_key(j, "null");
    dk_jw_obj_begin(j);
    for (size_t l = 1; l < w->f->n_lanes; l++) {
        const dk_mined m = numbers(w, l, id);

        dk_jw_key(j, w->f->lane[l].name);
        dk_jw_obj_begin(j);
        dk_jw_key(j, "value"); dk_jw_f32(j, m.value);
        dk_jw_key(j, "avg_logit_diff"); dk_jw_f32(j, m.avg_diff);
        dk_jw_obj_end(j);
    }
    dk_jw_obj_end(j);
}

void dk_mine_put_row(dk_buf *out, const dk_mine_work *w, size_t rank, const dk_mine_row *row)
{
    const dk_mined *m = &row->m;
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    if (row->topic) {
        dk_jw_key(&j, "topic"); dk_jw_u64(&j, row->topic->topic);
    }
    put_token(&j, w, m->id);
    dk_jw_key(&j, "value");
    if (row->topic) {
        dk_jw_num(&j, row->weight);
        dk_jw_key(&j, "share"); dk_jw_num(&j, row->share);
        dk_jw_key(&j, "column"); dk_jw_u64(&j, row->column);
    } else
        dk_jw_f32(&j, m->value);
    dk_jw_key(&j, "avg_logit_diff"); dk_jw_f32(&j, m->avg_diff);
    dk_jw_key(&j, "count_positive"); dk_jw_int(&j, m->count_positive);
    dk_jw_key(&j, "count_negative"); dk_jw_int(&j, m->count_negative);
    if (w->rate)
        put_rate(&j, w, m->id);
    dk_jw_key(&j, "finding"); dk_jw_bool(&j, row->finding);
    dk_jw_key(&j, "ordering"); dk_jw_str(&j, dk_ordering_name(w->plan->ordering));
    dk_jw_key(&j, "lane"); dk_jw_str(&j, w->f->lane[0].name);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, w->f->t->corpus_name);
    dk_jw_key(&j, "positions"); dk_jw_u64(&j, w->f->t->rows);
    put_nulls(&j, w, m->id);
    dk_mine_put_places(&j, w, row);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

/* --- orderings ------------------------------------------------------------------------ */
/* The first n words that are findings, and behind them those that the count alone
 * would have put among the first n. */
static size_t choose(const dk_mine_work *w, const dk_mined *all, dk_mine_row *row, size_t n)
{
    dk_mine_row *shared = dk_xcalloc(n, sizeof *shared);
    size_t findings = 0, n_shared = 0, seen = 0;

    for (size_t i = 0; i < w->f->vocab && findings < n; i++) {
        const uint32_t id = all[i].id;
        dk_mine_row r = { .m = numbers(w, 0, id) };

        if (dk_words_of(&w->words, id) != id)
            continue;
        r.finding = dk_mine_is_finding(w, id);
        if (r.finding || w->plan->beside)
            row[findings++] = r;
        else if (seen < n)
            shared[n_shared++] = r;
        seen++;
    }
    memcpy(row + findings, shared, n_shared * sizeof *row);
    dk_free(shared);
    return findings + n_shared;
}

static int ordering(dk_buf *out, const dk_mine_work *w, dk_err *err)
{
    const size_t n = w->plan->n < w->f->vocab ? w->plan->n : w->f->vocab;
    dk_mine_row *row = NULL;
    dk_mined *all = NULL;
    size_t n_rows = 0;
    int rc = dk_alloc(&all, w->f->vocab, sizeof *all, "an ordering", err);

    if (rc == 0)
        rc = dk_alloc(&row, 2 * n, sizeof *row, "an ordering", err);
    if (rc == 0)
        rc = dk_mine_rank(all, w->f->vocab, &w->f->lane[0].sums, w->f->vocab, w->f->t->rows, w->plan->ordering, err);
    if (rc == 0) {
        n_rows = choose(w, all, row, n);
        rc = dk_mine_find_places(w, row, n_rows, err);
    }
    for (size_t i = 0; rc == 0 && i < n_rows; i++)
        dk_mine_put_row(out, w, i + 1, &row[i]);
    dk_mine_free_places(row, n_rows);
    dk_free(row);
    dk_free(all);
    return rc;
}

/* Rates of all lanes, the others' lists one after the other. */
static int rates(dk_mine_work *w, dk_err *err)
{
    const size_t n = w->f->n_lanes;
    int rc = 0;

    w->rate = dk_xcalloc(n, sizeof *w->rate);
    for (size_t l = 0; rc == 0 && l < n; l++) {
        dk_mine_lists other = {0};

        if (l > 0)
            rc = dk_mine_read_lists(&other, w->f, w->f->lane[l].name, "top", false, err);
        if (rc == 0)
            rc = dk_rates_make(&w->rate[l], w->f, l > 0 ? &other : &w->lists, &w->words, err);
        dk_mine_lists_free(&other);
    }
    if (rc == 0 && n > 1)
        rc = dk_rates_compare(&w->z, &w->rate[0], w->rate + 1, n - 1, w->f->t, w->f->vocab, err);
    return rc;
}

int dk_mine_table(dk_buf *out, dk_mine_file *f, const dk_tokenizer *tok, const dk_mine_plan *plan, dk_err *err)
{
    dk_mine_work w = { .f = f, .tok = tok, .plan = plan };
    const bool with_rates = plan->ordering != DK_ORDER_POSITIVE;
    int rc = dk_words_make(&w.words, tok, f->vocab, &plan->words, err);

    for (size_t l = 0; rc == 0 && l < f->n_lanes; l++)
        dk_mine_merge(&f->lane[l].sums, f->vocab, &w.words);
    if (rc == 0 && (with_rates || plan->snippets))
        rc = dk_mine_read_lists(&w.lists, f, f->lane[0].name, "top", true, err);
    if (rc == 0 && with_rates)
        rc = rates(&w, err);
    if (rc == 0)
        rc = plan->ordering == DK_ORDER_NMF ? dk_mine_topics(out, &w, err) : ordering(out, &w, err);
    for (size_t l = 0; w.rate && l < f->n_lanes; l++)
        dk_rates_free(&w.rate[l]);
    dk_free(w.rate);
    dk_rates_z_free(&w.z);
    dk_mine_lists_free(&w.lists);
    dk_words_free(&w.words);
    return rc;
}
