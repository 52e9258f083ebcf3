/* The KL visitor. */
#include "method/kl.h"

#include <math.h>

#include "base/mem.h"
#include "base/thread.h"
#include "num/kernel_kl.h"

struct row { dk_kl_row kl; dk_lse own; float next; };   /* own: the base's, without a pair */

struct dk_kl {
    size_t n_lanes, block;
    float inv_t;
    struct row *state;              /* [thread][lane][row of the block] */
    float *const *kl, *const *logp;
    const uint32_t *next;
    dk_eye eye;
};

int dk_kl_new(dk_kl **out, size_t n_lanes, double temperature, dk_err *err)
{
    dk_kl *k = dk_xcalloc(1, sizeof *k);
    int rc;

    k->n_lanes = n_lanes;
    k->block = DK_HEAD_ROWS_MAX;
    k->inv_t = (float)(1.0 / temperature);
    rc = dk_alloc(&k->state, (size_t)dk_threads() * n_lanes * k->block, sizeof *k->state, "KL sums", err);
    if (rc < 0)
        dk_kl_free(&k);
    *out = k;
    return rc;
}

void dk_kl_free(dk_kl **k)
{
    if (*k) {
        dk_free((*k)->state);
        dk_free(*k);
        *k = NULL;
    }
}

void dk_kl_target(dk_kl *k, float *const *kl, float *const *logp, const uint32_t *next)
{
    k->kl = kl;
    k->logp = logp;
    k->next = next;
    k->eye = (dk_eye){ .kind = DK_EYE_KL, .inv_temperature = k->inv_t, .kl = kl, .logp = logp, .next = next };
}

static struct row *row_of(const dk_kl *k, const dk_tile *t, size_t lane, size_t i)
{
    return &k->state[((size_t)t->thread * k->n_lanes + lane) * k->block + i];
}

static void begin(void *self, const dk_tile *t)
{
    const dk_kl *k = self;

    for (size_t l = 0; l < k->n_lanes; l++)
        for (size_t i = 0; i < t->rows; i++) {
            struct row *r = row_of(k, t, l, i);

            dk_kl_begin(&r->kl);
            dk_lse_begin(&r->own);
            r->next = NAN;
        }
}

static void tile(void *self, const dk_tile *t)
{
    const dk_kl *k = self;

    for (size_t i = 0; i < t->rows; i++) {
        const float *q = t->logits[0] + i * t->ld;
        const uint32_t next = k->next ? k->next[t->row0 + i] : UINT32_MAX;

        for (size_t l = 0; l < k->n_lanes; l++) {
            struct row *r = row_of(k, t, l, i);
            const float *p = t->logits[l] + i * t->ld;

            if (l > 0 && t->diff && t->diff[l])
                dk_kl_tile_diff(&r->kl, q, t->diff[l] + i * t->ld, t->n, k->inv_t);
            else if (l > 0)
                dk_kl_tile(&r->kl, p, q, t->n, k->inv_t);
            else if (k->n_lanes == 1)
                dk_lse_tile(&r->own, p, t->n, k->inv_t);
            if (next != UINT32_MAX && next >= t->v0 && next < t->v0 + t->n)
                r->next = p[next - t->v0] * k->inv_t;
        }
    }
}

static void end(void *self, const dk_tile *t)
{
    const dk_kl *k = self;

    for (size_t i = 0; i < t->rows; i++)
        for (size_t l = 0; l < k->n_lanes; l++) {
            const struct row *r = row_of(k, t, l, i);
            const dk_lse *lse = l > 0 ? &r->kl.p : k->n_lanes > 1 ? &row_of(k, t, 1, i)->kl.q : &r->own;

            if (l > 0)
                k->kl[l][t->row0 + i] = (float)dk_kl_end(&r->kl);
            if (k->logp)
                k->logp[l][t->row0 + i] = (float)((double)r->next - dk_lse_end(lse));
        }
}

dk_visitor dk_kl_visitor(dk_kl *k) { return (dk_visitor){ k, begin, tile, end, &k->eye }; }
