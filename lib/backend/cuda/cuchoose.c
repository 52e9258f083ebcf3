/* Tokens chosen on the card: what the picks need goes there, tokens come back. */
#include "backend/cuda/cupriv.h"

#include <math.h>
#include <string.h>

/* In one piece of memory, on the host and on the card: what comes back, then what goes. */
struct picks {
    size_t pick, ids, end, bytes;   /* where they begin */
    char *host, *d;
};

static bool penalised(const dk_pick *p)
{
    return !p->amplified && dk_sampling_penalises(&p->how);
}

static size_t align(size_t n) { return (n + 255) / 256 * 256; }

static int room(dk_cuda *c, struct picks *s, const dk_choose_args *a, dk_err *err)
{
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; penalised(&a->pick[i]) && k < DK_PICK_LISTS; k++)
            n += a->pick[i].n_seen[k];
    DK_ASSERT(n < UINT32_MAX);
    s->pick = align(a->n * sizeof(dk_cu_picked));
    s->ids = s->pick + align(a->n * sizeof(dk_cu_pick));
    s->end = s->ids + align(n * sizeof(uint32_t));
    s->bytes = s->end + align(a->n_end * sizeof(uint32_t));
    if (n && c->seen.n != a->vocab) {
        dk_free(c->seen.mark);
        c->seen = (dk_idset){0};
        rc = dk_alloc(&c->seen.mark, a->vocab, sizeof *c->seen.mark, "sampling", err);
        c->seen.n = rc == 0 ? a->vocab : 0;
    }
    if (rc == 0)
        rc = dk_alloc(&s->host, s->bytes, 1, "picks", err);
    return rc == 0 ? dk_cuda_room(c, &s->d, DK_CUDA_PICKS, dk_cuda_ample(s->bytes), "picks", err) : rc;
}

/* The distinct ids of a pick's context, as many as are given back. */
static size_t add_seen(dk_cuda *c, uint32_t *to, const dk_pick *p)
{
    size_t n = 0;

    dk_idset_clear(&c->seen);
    for (size_t k = 0; k < DK_PICK_LISTS; k++)
        for (size_t i = 0; i < p->n_seen[k]; i++)
            if (dk_idset_add(&c->seen, p->seen[k][i]))
                to[n++] = p->seen[k][i];
    return n;
}

static void fill(dk_cuda *c, const struct picks *s, const dk_choose_args *a)
{
    dk_cu_pick *to = (dk_cu_pick *)(void *)(s->host + s->pick);
    uint32_t *ids = (uint32_t *)(void *)(s->host + s->ids);
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        const dk_pick *p = &a->pick[i];

        DK_ASSERT(p->row < UINT32_MAX && p->base < UINT32_MAX);
        to[i] = (dk_cu_pick){
            .row = (uint32_t)p->row, .base = p->amplified ? (uint32_t)p->base : DK_CU_ALONE, .carried = p->carried,
            .no_end = p->no_end, .alpha = (float)p->alpha, .penalty = (float)p->how.repetition_penalty,
            .log_beta = log(p->beta), .temperature = p->how.temperature, .top_p = p->how.top_p, .min_p = p->how.min_p,
            .uniform = p->uniform, .top_k = p->how.top_k, .seen = (uint32_t)n
        };
        if (penalised(p))
            to[i].n_seen = (uint32_t)add_seen(c, ids + n, p);
        n += to[i].n_seen;
    }
    if (a->n_end)
        memcpy(s->host + s->end, a->end, a->n_end * sizeof *a->end);
}

static int fetch(dk_cuda *c, const struct picks *s, const dk_choose_args *a, dk_err *err)
{
    dk_cu_picked *from = (dk_cu_picked *)(void *)s->host;
    const int rc = dk_cuda_get(&c->dev, from, s->d, a->n * sizeof *from, err);

    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        a->pick[i].bad = from[i].bad;
        a->pick[i].id = from[i].id;
        memcpy(a->pick[i].logp, from[i].logp, sizeof a->pick[i].logp);
    }
    return rc;
}

int dk_cuda_choose(dk_dev *dev, const dk_choose_args *a, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    struct picks s = {0};
    int rc = dk_cuda_ready(c, err);

    _Static_assert(sizeof ((dk_cu_picked *)0)->logp == sizeof ((dk_pick *)0)->logp, "log-probabilities");
    if (rc < 0 || a->n == 0)
        return rc;
    rc = room(c, &s, a, err);
    if (rc == 0) {
        fill(c, &s, a);
        rc = dk_cuda_send(c, s.d + s.pick, s.host + s.pick, s.bytes - s.pick, err);
    }
    if (rc == 0)
        rc = dk_cuda_check(c, dk_cu_choose(c->stream, (dk_cu_picked *)(void *)s.d,
                                           (const dk_cu_pick *)(const void *)(s.d + s.pick), a->n, a->logits, a->vocab,
                                           (const uint32_t *)(const void *)(s.d + s.ids),
                                           (const uint32_t *)(const void *)(s.d + s.end), a->n_end), "choosing tokens", err);
    if (rc == 0)
        rc = fetch(c, &s, a, err);
    dk_free(s.host);
    return rc;
}
