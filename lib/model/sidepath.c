/* The low-rank side path of a LoRA lane (Hu et al. 2021), A and B in f32. */
#include "model/sidepath.h"

#include "base/mem.h"
#include "model/tensors.h"
#include "num/kernels.h"

enum { MAX_PARTS = 3, ROWS = 16 };

struct part { size_t r, t0, col0, n; float scale; float *bt; };     /* bt [r, n] */
struct side { size_t k, rp, n_parts; float *at; struct part part[MAX_PARTS]; };

struct dk_sidepath {
    size_t n_layers, width;
    struct side (*side)[DK_N_GROUPS];    /* [layer][group] */
};

static dk_group group_of(dk_linear which)
{
    switch (which) {
    case DK_LINEAR_O:       return DK_GROUP_O;
    case DK_LINEAR_GATE:
    case DK_LINEAR_UP:      return DK_GROUP_GATE_UP;
    case DK_LINEAR_DOWN:    return DK_GROUP_DOWN;
    default:                return DK_GROUP_QKV;
    }
}

static int add_part(struct side *s, const dk_adapter_module *mod, size_t col0, float factor, dk_err *err)
{
    struct part *p = &s->part[s->n_parts];
    int rc;

    DK_ASSERT(s->n_parts < MAX_PARTS);
    *p = (struct part){ .r = mod->r, .t0 = s->rp, .col0 = col0, .n = mod->out,
                        .scale = mod->scale * factor };
    s->k = mod->in;
    s->rp += mod->r;
    rc = dk_alloc(&p->bt, mod->r * mod->out, sizeof *p->bt, "an adapter", err);
    if (rc < 0)
        return rc;
    s->n_parts++;
    for (size_t o = 0; o < mod->out; o++)
        for (size_t j = 0; j < mod->r; j++)
            p->bt[j * mod->out + o] = mod->b[o * mod->r + j];
    return 0;
}

/* All A of a group side by side, transposed: at [k, rp]. */
static int fill_at(struct side *s, const dk_adapter *a, size_t layer, dk_group g,
                   dk_err *err)
{
    const size_t used = s->rp;
    size_t t0 = 0;
    int rc;

    s->rp = (used + 7) / 8 * 8;
    rc = dk_alloc(&s->at, s->k * s->rp, sizeof *s->at, "an adapter", err);
    for (size_t i = 0; rc == 0 && i < dk_adapter_n(a); i++) {
        const dk_adapter_module *mod = dk_adapter_at(a, i);

        if ((size_t)mod->layer != layer || group_of(mod->which) != g)
            continue;
        for (size_t j = 0; j < mod->r; j++)
            for (size_t k = 0; k < mod->in; k++)
                s->at[k * s->rp + t0 + j] = mod->a[j * mod->in + k];
        t0 += mod->r;
    }
    return rc;
}

int dk_sidepath_new(dk_sidepath **out, const dk_adapter *a, const dk_model_config *c, float factor,
                    dk_err *err)
{
    dk_sidepath *s = dk_xcalloc(1, sizeof *s);
    int rc = 0;

    s->n_layers = c->n_layers;
    s->side = dk_xcalloc(c->n_layers, sizeof *s->side);
    for (size_t i = 0; rc == 0 && i < dk_adapter_n(a); i++) {
        const dk_adapter_module *mod = dk_adapter_at(a, i);

        rc = add_part(&s->side[mod->layer][group_of(mod->which)], mod, dk_linear_column(c, mod->which), factor,
                      err);
    }
    for (size_t l = 0; rc == 0 && l < s->n_layers; l++)
        for (size_t g = 0; rc == 0 && g < DK_N_GROUPS; g++)
            if (s->side[l][g].n_parts) {
                rc = fill_at(&s->side[l][g], a, l, (dk_group)g, err);
                if (s->side[l][g].rp > s->width)
                    s->width = s->side[l][g].rp;
            }
    if (rc < 0)
        dk_sidepath_free(&s);
    *out = s;
    return rc;
}

void dk_sidepath_free(dk_sidepath **sp)
{
    dk_sidepath *s = *sp;

    if (!s)
        return;
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t g = 0; g < DK_N_GROUPS; g++) {
            dk_free(s->side[l][g].at);
            for (size_t p = 0; p < s->side[l][g].n_parts; p++)
                dk_free(s->side[l][g].part[p].bt);
        }
    dk_free(s->side);
    dk_free(s);
    *sp = NULL;
}

size_t dk_sidepath_width(const dk_sidepath *s) { return s->width; }

int dk_sidepath_apply(const dk_sidepath *s, size_t layer, dk_group g, float *y, size_t ldy,
                      const float *x, size_t ldx, size_t m, float *t)
{
    const struct side *side = &s->side[layer][g];

    if (side->n_parts == 0)
        return 0;
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < m; i += ROWS) {
        const size_t rows = m - i < ROWS ? m - i : ROWS;
        float *ti = t + i * side->rp;

        dk_lowrank_in(ti, side->rp, x + i * ldx, ldx, side->at, rows, side->k, side->rp);
        for (size_t p = 0; p < side->n_parts; p++) {
            const struct part *q = &side->part[p];

            if (q->scale != 0)
                dk_lowrank_out(y + i * ldy + q->col0, ldy, ti + q->t0, side->rp, q->bt, rows, q->r,
                               q->n, q->scale);
        }
    }
    return 1;
}
