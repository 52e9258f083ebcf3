/* Orderings of diff mining. */
#include "method/mine.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/tokspec.h"

struct entry { int64_t count; uint32_t id; };

const char *dk_ordering_name(dk_ordering o)
{
    static const char *const name[] = { "top_k_occurring", "fraction_positive_diff", "nmf" };

    return name[o];
}

double dk_ordering_chance(dk_ordering o) { return o == DK_ORDER_POSITIVE ? 0.5 : 0; }

static int by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

dk_mined dk_mine_one(const dk_topk_vocab *v, uint32_t id, size_t positions, dk_ordering o)
{
    const float p = (float)positions;
    dk_mined m = { .id = id, .avg_diff = (float)v->sum_diff[id] / p };

    if (o == DK_ORDER_POSITIVE) {
        m.value = (float)v->count_positive[id] / p;
        m.count_positive = v->count_positive[id];
        m.count_negative = (int64_t)positions - v->count_positive[id];
    } else {
        m.value = (float)v->top_count[id] / p * 100;
        m.count_positive = v->top_count[id];
        m.count_negative = v->bottom_count[id];
    }
    return m;
}

int dk_mine_rank(dk_mined *out, size_t n, const dk_topk_vocab *v, size_t vocab, size_t positions,
                 dk_ordering o, dk_err *err)
{
    struct entry *all = NULL;
    int rc = dk_alloc(&all, vocab, sizeof *all, "an ordering", err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < vocab; i++)
        all[i] = (struct entry){ o == DK_ORDER_POSITIVE ? v->count_positive[i] : v->top_count[i], (uint32_t)i };
    qsort(all, vocab, sizeof *all, by_count);
    for (size_t i = 0; i < n; i++)
        out[i] = dk_mine_one(v, all[i].id, positions, o);
    dk_free(all);
    return 0;
}

void dk_mine_merge(dk_topk_vocab *v, size_t vocab, const dk_words *w)
{
    for (uint32_t id = 0; w->group && id < vocab; id++) {
        const uint32_t g = w->group[id];

        if (g == id || g == DK_NO_ID)
            continue;
        v->sum_diff[g] += v->sum_diff[id];
        v->count_positive[g] += v->count_positive[id];
        v->top_count[g] += v->top_count[id];
        v->bottom_count[g] += v->bottom_count[id];
    }
    for (uint32_t id = 0; w->group && id < vocab; id++)
        if (w->members[id] > 1)
            v->sum_diff[id] /= w->members[id];
}
