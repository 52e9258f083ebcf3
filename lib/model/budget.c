/* The memory of a pair. */
#include "model/budget.h"

#include <math.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/meminfo.h"

static double larger(double a, double b) { return a > b ? a : b; }

double dk_weights_bytes(const dk_model_config *c, dk_dtype dtype, bool head)
{
    const double d = (double)c->d_model, q = (double)(c->n_heads * c->head_dim);
    const double layer = d * (double)dk_site_width(c, DK_SITE_QKV) + d * q +
                         d * (double)dk_site_width(c, DK_SITE_GATE_UP) + d * (double)c->d_ff;

    return (dtype == DK_BF16 ? 2 : 4) * (layer * (double)c->n_layers + (head ? d * (double)c->vocab : 0));
}

/* The rows of dk_runner (lanes.c, head.c), all f32. */
double dk_row_bytes(const dk_model_config *c, bool head)
{
    const double d = (double)c->d_model, ff = (double)c->d_ff, q = (double)(c->n_heads * c->head_dim);
    const double qkv = (double)dk_site_width(c, DK_SITE_QKV), up = (double)dk_site_width(c, DK_SITE_GATE_UP);

    return 4 * (larger(larger(d, ff), q) + 3 * d + qkv + q + up + ff + (head ? 2 * d : 0));
}

/* What weights and batches may take: of a card its own memory, less what the
 * device keeps for itself (logits, results, the product library). */
static double available(void)
{
    dk_dev *dev = dk_device();
    size_t avail = 0, total = 0;
    double kept;

    if (dev->ops->host)
        return dk_memory_available();
    dev->ops->memory(dev, &avail, &total);
    kept = (double)total / 8 < 2.5e9 ? (double)total / 8 : 2.5e9;
    return total ? larger((double)avail - kept, 0) : INFINITY;
}

int dk_pair_budget(dk_pair *p, const dk_pair_spec *s, const dk_model_config *c, dk_dtype dtype, dk_err *err)
{
    const double allowed = s->memory > 0 ? s->memory : available();
    const double widest = larger(larger((double)c->d_model, (double)c->d_ff), (double)(c->n_heads * c->head_dim));
    const double row = dk_row_bytes(c, s->with_head) * (double)p->n_lanes + (p->diff ? 4 * widest : 0);
    double sets = 1, weights, least;

    for (size_t i = 0; i < p->n_lanes; i++)
        sets += p->path[i] && !p->adapter[i];
    weights = sets * dk_weights_bytes(c, dtype, s->with_head);
    least = weights + row * 2 * DK_BLOCK_ROWS_MAX;
    p->free_bytes = allowed - weights;
    p->most_rows = isinf(allowed) || p->free_bytes / row > 1e9 ? (size_t)1 << 30
        : allowed < least ? 0 : (size_t)(p->free_bytes / row) - DK_BLOCK_ROWS_MAX;
    if (p->most_rows == 0)
        return dk_fail(err, DK_ENOMEM, "%s: %zu lanes take %.2f GB at least (weights %.2f), %.2f GB are %s", s->base,
                       p->n_lanes, least * 1e-9, weights * 1e-9, allowed * 1e-9,
                       s->memory > 0 ? "allowed" : "free");
    return 0;
}

size_t dk_pair_wish(size_t wished)
{
    return wished ? wished : dk_device()->ops->host ? 1152 : 16384;
}

int dk_pair_rows(size_t *rows, const dk_pair *p, size_t wished, size_t longest, dk_err *err)
{
    wished = dk_pair_wish(wished);
    *rows = wished < p->most_rows ? wished : p->most_rows;
    if (*rows < wished)
        dk_log(DK_INFO, "%zu tokens of a lane in one pass instead of %zu: memory", *rows, wished);
    return longest <= p->most_rows ? 0
        : dk_fail(err, DK_ENOMEM, "a text of %zu tokens does not fit into memory beside the weights: %zu would "
                  "(cut it with --max-tokens)", longest, p->most_rows);
}
