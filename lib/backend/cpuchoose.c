/* Tokens chosen on the CPU: a thread a pick. */
#include "backend/cpudev.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

void dk_cpu_choose_end(struct cpu *c)
{
    for (size_t i = 0; i < c->n_choosers; i++) {
        dk_sampler_free(&c->chooser[i].sampler);
        dk_free(c->chooser[i].z);
    }
    dk_free(c->chooser);
    c->chooser = NULL;
    c->n_choosers = c->choose_vocab = 0;
}

static int room(struct cpu *c, const dk_choose_args *a, dk_err *err)
{
    bool amplified = false;
    int rc = 0;

    for (size_t i = 0; i < a->n; i++)
        amplified = amplified || a->pick[i].amplified;
    if (c->n_choosers < (size_t)dk_threads() || c->choose_vocab != a->vocab) {
        dk_cpu_choose_end(c);
        c->n_choosers = (size_t)dk_threads();
        c->choose_vocab = a->vocab;
        c->chooser = dk_xcalloc(c->n_choosers, sizeof *c->chooser);
    }
    for (size_t i = 0; rc == 0 && i < c->n_choosers; i++) {
        struct cpu_chooser *own = &c->chooser[i];

        if (!own->sampler)
            rc = dk_sampler_new(&own->sampler, a->vocab, err);
        if (rc == 0 && amplified && !own->z)
            rc = dk_alloc(&own->z, a->vocab, sizeof *own->z, "amplified logits", err);
    }
    if (rc < 0)
        dk_cpu_choose_end(c);
    return rc;
}

static void keep_out(const dk_choose_args *a, float *row)
{
    for (size_t i = 0; i < a->n_end; i++)
        if (a->end[i] < a->vocab)
            row[a->end[i]] = -INFINITY;
}

static int choose_alone(const dk_choose_args *a, dk_pick *p, dk_sampler *own)
{
    float *row = a->logits + p->row * a->vocab;

    if (dk_sampling_penalises(&p->how))
        dk_sampler_penalise(own, row, p->how.repetition_penalty, p->seen[0], p->n_seen[0], p->seen[1], p->n_seen[1]);
    if (p->no_end)
        keep_out(a, row);
    return dk_sampler_next(own, &p->how, row, p->uniform, &p->id);
}

static int choose_amplified(const dk_choose_args *a, dk_pick *p, const struct cpu_chooser *own)
{
    const size_t n = a->vocab;
    const float *base = a->logits + p->base * n;
    const bool alone = p->base == p->row;
    float *z = own->z, *x = alone ? z : a->logits + p->row * n;
    const double lse_base = dk_row_lse(base, n);
    double lse;
    int rc;

    if (alone)
        memcpy(z, base, n * sizeof *z);
    else
        dk_amplify_split(x, z, base, p->carried, n);
    lse = alone ? lse_base : dk_row_lse(x, n);
    if (p->no_end)
        keep_out(a, x);
    rc = dk_amplify(z, x, z, alone ? 0 : p->alpha, p->beta, n);
    if (rc == 0)
        rc = dk_sampler_next(own->sampler, &p->how, z, p->uniform, &p->id);
    if (rc < 0)
        return rc;
    p->logp[DK_LOGP_BASE] = (float)((double)base[p->id] - lse_base);
    p->logp[DK_LOGP_LANE] = (float)((double)x[p->id] - lse);
    p->logp[DK_LOGP_DRAWN] = (float)((double)z[p->id] - dk_row_lse(z, n));
    return 0;
}

int dk_cpu_choose(dk_dev *dev, const dk_choose_args *a, dk_err *err)
{
    struct cpu *c = (struct cpu *)dev;
    const int rc = a->n ? room(c, a, err) : 0;

    #pragma omp parallel for schedule(dynamic) if (rc == 0 && a->n > 1)
    for (size_t i = 0; i < (rc == 0 ? a->n : 0); i++) {
        const struct cpu_chooser *own = &c->chooser[dk_thread_id()];
        dk_pick *p = &a->pick[i];

        p->bad = (p->amplified ? choose_amplified(a, p, own) : choose_alone(a, p, own->sampler)) < 0;
    }
    return rc;
}
