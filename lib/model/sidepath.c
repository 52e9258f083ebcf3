/* The low-rank side path of a LoRA lane (Hu et al. 2021), A and B in f32. */
#include "model/sidepath.h"

#include "base/mem.h"
#include "model/tensors.h"

/* at [k, rp], bt [r, n]: on the host; what the device has of them stands in args. */
struct side { dk_lowrank_args args; float *at, *bt[DK_LOWRANK_PARTS]; };

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
    const size_t i = s->args.n_parts;
    dk_lowrank_part *p = &s->args.part[i];
    int rc;

    DK_ASSERT(i < DK_LOWRANK_PARTS);
    *p = (dk_lowrank_part){ .r = mod->r, .t0 = s->args.rp, .col0 = col0, .n = mod->out,
                            .scale = mod->scale * factor };
    s->args.k = mod->in;
    s->args.rp += mod->r;
    rc = dk_alloc(&s->bt[i], mod->r * mod->out, sizeof *s->bt[i], "an adapter", err);
    if (rc < 0)
        return rc;
    s->args.n_parts++;
    for (size_t o = 0; o < mod->out; o++)
        for (size_t j = 0; j < mod->r; j++)
            s->bt[i][j * mod->out + o] = mod->b[o * mod->r + j];
    return dk_device()->ops->share(dk_device(), &p->bt, s->bt[i], mod->r * mod->out, err);
}

/* All A of a group side by side, transposed: at [k, rp]. */
static int fill_at(struct side *s, const dk_adapter *a, size_t layer, dk_group g,
                   dk_err *err)
{
    const size_t rp = (s->args.rp + 7) / 8 * 8;
    size_t t0 = 0;
    int rc;

    s->args.rp = rp;
    rc = dk_alloc(&s->at, s->args.k * rp, sizeof *s->at, "an adapter", err);
    for (size_t i = 0; rc == 0 && i < dk_adapter_n(a); i++) {
        const dk_adapter_module *mod = dk_adapter_at(a, i);

        if ((size_t)mod->layer != layer || group_of(mod->which) != g)
            continue;
        for (size_t j = 0; j < mod->r; j++)
            for (size_t k = 0; k < mod->in; k++)
                s->at[k * rp + t0 + j] = mod->a[j * mod->in + k];
        t0 += mod->r;
    }
    return rc == 0 ? dk_device()->ops->share(dk_device(), &s->args.at, s->at, s->args.k * rp, err) : rc;
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
            if (s->side[l][g].args.n_parts) {
                rc = fill_at(&s->side[l][g], a, l, (dk_group)g, err);
                if (s->side[l][g].args.rp > s->width)
                    s->width = s->side[l][g].args.rp;
            }
    if (rc < 0)
        dk_sidepath_free(&s);
    *out = s;
    return rc;
}

void dk_sidepath_free(dk_sidepath **sp)
{
    const dk_ops *ops = dk_device()->ops;
    dk_sidepath *s = *sp;

    if (!s)
        return;
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t g = 0; g < DK_N_GROUPS; g++) {
            struct side *side = &s->side[l][g];

            ops->unshare(dk_device(), side->args.at);
            dk_free(side->at);
            for (size_t p = 0; p < side->args.n_parts; p++) {
                ops->unshare(dk_device(), side->args.part[p].bt);
                dk_free(side->bt[p]);
            }
        }
    dk_free(s->side);
    dk_free(s);
    *sp = NULL;
}

size_t dk_sidepath_width(const dk_sidepath *s) { return s->width; }

static bool adapted(const dk_sidepath *s, size_t layer)
{
    for (size_t g = 0; g < DK_N_GROUPS; g++)
        if (s->side[layer][g].args.n_parts > 0)
            return true;
    return false;
}

size_t dk_sidepath_first(const dk_sidepath *s)
{
    size_t l = 0;

    while (l < s->n_layers && !adapted(s, l))
        l++;
    return l;
}

bool dk_sidepath_of(const dk_sidepath *s, size_t layer, dk_group g, dk_lowrank_args *out)
{
    *out = s->side[layer][g].args;
    return out->n_parts > 0;
}
