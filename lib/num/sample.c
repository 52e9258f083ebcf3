/* Sampling. */
#include "num/sample.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

int dk_sampler_new(dk_sampler **out, size_t vocab, dk_err *err)
{
    dk_sampler *s = dk_xcalloc(1, sizeof *s);
    int rc;

    s->vocab = s->seen.n = vocab;
    rc = dk_alloc(&s->id, vocab, sizeof *s->id, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->weight, vocab, sizeof *s->weight, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->order, vocab, sizeof *s->order, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->key, vocab, sizeof *s->key, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->spare_order, vocab, sizeof *s->order, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->spare_key, vocab, sizeof *s->key, "sampling", err);
    if (rc == 0) rc = dk_alloc(&s->seen.mark, vocab, sizeof *s->seen.mark, "sampling", err);
    if (rc < 0)
        dk_sampler_free(&s);
    *out = s;
    return rc;
}

void dk_sampler_free(dk_sampler **s)
{
    if (!*s)
        return;
    dk_free((*s)->id);
    dk_free((*s)->weight);
    dk_free((*s)->order);
    dk_free((*s)->key);
    dk_free((*s)->spare_order);
    dk_free((*s)->spare_key);
    dk_free((*s)->seen.mark);
    dk_free(*s);
    *s = NULL;
}

int dk_argmax(uint32_t *id, const float *x, size_t n)
{
    size_t best = 0;
    int nan = n == 0;

    for (size_t i = 0; i < n; i++) {
        nan |= x[i] != x[i];
        best = x[i] > x[best] ? i : best;
    }
    *id = (uint32_t)best;
    return nan || !isfinite(x[best]) ? DK_ENUM : 0;
}

static void penalise(dk_sampler *s, float *x, float penalty, const uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!dk_idset_add(&s->seen, id[i]))
            continue;
        x[id[i]] = x[id[i]] < 0 ? x[id[i]] * penalty : x[id[i]] / penalty;
    }
}

void dk_sampler_penalise(dk_sampler *s, float *x, double penalty, const uint32_t *a, size_t n_a,
                         const uint32_t *b, size_t n_b)
{
    dk_idset_clear(&s->seen);
    penalise(s, x, (float)penalty, a, n_a);
    penalise(s, x, (float)penalty, b, n_b);
}

/* Ascending keys are descending logits; -0 and 0 are the same logit. */
static uint32_t sort_key(float x)
{
    uint32_t u;

    x += 0.0f;
    memcpy(&u, &x, sizeof u);
    return u >> 31 ? u : ~u & 0x7fffffffu;
}

static void swap(uint32_t **a, uint32_t **b)
{
    uint32_t *t = *a;

    *a = *b;
    *b = t;
}

/* order: the live ids, the largest logit first, the lower id first of equals.  A
 * radix sort is stable and costs the same whatever the row holds. */
static void sort_row(dk_sampler *s, const float *x)
{
    enum { BITS = 11, SIZE = 1 << BITS };

    s->live = 0;
    for (size_t i = 0; i < s->vocab; i++)
        if (x[i] > -INFINITY) {
            s->order[s->live] = (uint32_t)i;
            s->key[s->live++] = sort_key(x[i]);
        }
    for (int shift = 0; shift < 32; shift += BITS) {
        uint32_t at[SIZE] = {0}, sum = 0;

        for (size_t i = 0; i < s->live; i++)
            at[s->key[i] >> shift & (SIZE - 1)]++;
        for (size_t b = 0; b < SIZE; b++) {
            const uint32_t count = at[b];

            at[b] = sum;
            sum += count;
        }
        for (size_t i = 0; i < s->live; i++) {
            const uint32_t to = at[s->key[i] >> shift & (SIZE - 1)]++;

            s->spare_order[to] = s->order[i];
            s->spare_key[to] = s->key[i];
        }
        swap(&s->order, &s->spare_order);
        swap(&s->key, &s->spare_key);
    }
}

/* How many of the sorted tokens top-k and top-p leave. */
static size_t cut(dk_sampler *s, const dk_sampling *how, const float *x, double temperature)
{
    const double max = x[s->order[0]];
    size_t n = s->live;
    double total = 0, sum = 0;

    if (how->top_k && how->top_k < n)
        for (n = how->top_k; n < s->live && x[s->order[n]] == x[s->order[n - 1]]; n++)
            ;
    if (how->top_p >= 1)
        return n;
    for (size_t i = n; i-- > 0;) {
        s->weight[i] = exp((x[s->order[i]] - max) / temperature);
        total += s->weight[i];
    }
    for (; n > 1; n--) {
        sum += s->weight[n - 1] / total;
        if (sum > 1 - how->top_p)
            break;
    }
    return n;
}

int dk_sampler_keep(dk_sampler *s, const dk_sampling *how, const float *x)
{
    const bool sorted = (how->top_k && how->top_k < s->vocab) || how->top_p < 1;
    uint32_t best, last = 0;
    double max;

    if (dk_argmax(&best, x, s->vocab) < 0)
        return DK_ENUM;
    max = x[best];
    if (sorted) {
        sort_row(s, x);
        last = s->order[cut(s, how, x, how->temperature) - 1];
    }
    s->n = 0;
    s->total = 0;
    for (size_t i = 0; i < s->vocab; i++) {
        double w;

        if (x[i] == -INFINITY || (sorted && (x[i] < x[last] || (x[i] == x[last] && i > last))))
            continue;
        w = exp((x[i] - max) / how->temperature);
        if (w < how->min_p)
            continue;
        s->id[s->n] = (uint32_t)i;
        s->weight[s->n++] = w;
        s->total += w;
    }
    return 0;
}

uint32_t dk_sampler_draw(const dk_sampler *s, double uniform)
{
    const double goal = uniform * s->total;
    double sum = 0;
    size_t i = 0;

    DK_ASSERT(s->n > 0);
    for (; i + 1 < s->n; i++) {
        sum += s->weight[i];
        if (sum > goal)
            break;
    }
    return s->id[i];
}

int dk_sampler_next(dk_sampler *s, const dk_sampling *how, const float *x, double uniform, uint32_t *id)
{
    if (how->temperature == 0)
        return dk_argmax(id, x, s->vocab);
    if (dk_sampler_keep(s, how, x) < 0)
        return DK_ENUM;
    *id = dk_sampler_draw(s, uniform);
    return 0;
}
