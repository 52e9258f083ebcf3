/* Where in the texts tokens are raised most. */
#include <string.h>

#include "method/minework.h"
#include "text/tokspec.h"

static void offer(const dk_mine_work *w, dk_mine_row *row, float diff, size_t at_row)
{
    size_t n = row->n_places, at = n;

    while (at > 0 && row->place[at - 1].diff < diff)
        at--;
    if (at >= w->plan->snippets)
        return;
    n = n < w->plan->snippets ? n + 1 : n;
    memmove(row->place + at + 1, row->place + at, (n - at - 1) * sizeof *row->place);
    row->place[at] = (dk_mine_place){ diff, at_row };
    row->n_places = n;
}

/* The best place of each token in a document, whose last row has no next token
 * to show. */
static void best_of_text(const dk_mine_work *w, const uint32_t *slot, dk_mine_place *best, size_t d)
{
    const dk_tokens *t = w->f->t;
    const size_t k = w->lists.k;

    for (size_t r = t->offset[d]; r + 1 < t->offset[d + 1]; r++)
        for (size_t j = 0; j < k; j++) {
            const uint32_t v = dk_words_of(&w->words, w->lists.id[r * k + j]);
            const size_t i = v == DK_NO_ID ? 0 : slot[v];

            if (i && w->lists.value[r * k + j] > best[i - 1].diff)
                best[i - 1] = (dk_mine_place){ w->lists.value[r * k + j], r };
        }
}

int dk_mine_find_places(const dk_mine_work *w, dk_mine_row *row, size_t n, dk_err *err)
{
    const dk_tokens *t = w->f->t;
    uint32_t *slot = NULL;              /* [vocab]: index of the row + 1 */
    dk_mine_place *best = NULL;         /* [n] of the text at hand */
    int rc = 0;

    if (w->plan->snippets == 0)
        return 0;
    rc = dk_alloc(&slot, w->f->vocab, sizeof *slot, "snippets", err);
    if (rc == 0)
        rc = dk_alloc(&best, n, sizeof *best, "snippets", err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        slot[row[i].m.id] = (uint32_t)i + 1;
        row[i].place = dk_xcalloc(w->plan->snippets, sizeof *row[i].place);
    }
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        memset(best, 0, n * sizeof *best);
        best_of_text(w, slot, best, d);
        for (size_t i = 0; i < n; i++)
            if (best[i].diff > 0)
                offer(w, &row[i], best[i].diff, best[i].row);
    }
    dk_free(slot);
    dk_free(best);
    return rc;
}

void dk_mine_free_places(dk_mine_row *row, size_t n)
{
    for (size_t i = 0; row && i < n; i++)
        dk_free(row[i].place);
}

static void put_text(dk_jw *j, const dk_mine_work *w, const char *key, size_t from, size_t to)
{
    dk_tokenizer_put(w->tok, j, key, w->f->t->token + from, to - from);
}

static void put_place(dk_jw *j, const dk_mine_work *w, const dk_mine_place *p)
{
    const dk_tokens *t = w->f->t;
    size_t d = 0, from, to;

    while (t->offset[d + 1] <= p->row)
        d++;
    from = p->row + 1 > t->offset[d] + w->plan->context ? p->row + 1 - w->plan->context : t->offset[d];
    to = p->row + 2 + w->plan->context;
    to = to < t->offset[d + 1] ? to : t->offset[d + 1];
    dk_jw_obj_begin(j);
    dk_jw_key(j, "doc"); dk_jw_u64(j, t->id[d]);
    dk_jw_key(j, "pos"); dk_jw_u64(j, t->pos[p->row]);
    dk_jw_key(j, "diff"); dk_jw_f32(j, p->diff);
    put_text(j, w, "before", from, p->row + 1);
    put_text(j, w, "next", p->row + 1, p->row + 2);
    put_text(j, w, "after", p->row + 2, to);
    dk_jw_obj_end(j);
}

void dk_mine_put_places(dk_jw *j, const dk_mine_work *w, const dk_mine_row *row)
{
    if (w->plan->snippets == 0)
        return;
    dk_jw_key(j, "snippets");
    dk_jw_arr_begin(j);
    for (size_t p = 0; p < row->n_places; p++)
        put_place(j, w, &row->place[p]);
    dk_jw_arr_end(j);
}
