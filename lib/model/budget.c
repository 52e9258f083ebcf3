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

/* Blocks that come from host memory, two of them on the device at a time: which
 * part of them stays there, and what is then left for rows.  A pass over many rows
 * hides the copies behind products, so rows come before weights that stay, up to
 * half of the room. */
static int stream(dk_pair *p, const dk_pair_spec *s, const dk_model_config *c, dk_dtype dtype, double sets, double allowed,
                  double row, dk_err *err)
{
    const double each = dk_weights_bytes(c, dtype, false), blocks = sets * each;
    const double heads = sets * (dk_weights_bytes(c, dtype, s->with_head) - each), block = each / (double)c->n_layers;
    /* With room for the columns of adapters, and for a weight that gets them. */
    const double fixed = heads + 1.1 * 4 * block, few = row * 2 * DK_BLOCK_ROWS_MAX;
    const double left = allowed - fixed, many = row * (double)(dk_pair_wish(0) + DK_BLOCK_ROWS_MAX);
    double rows = many < left / 2 ? many : left / 2, stays, host;

    rows = rows < few ? few : rows;
    stays = left - rows < blocks ? left - rows : blocks;
    host = blocks - stays;
    if (left < few)
        return dk_fail(err, DK_ENOMEM, "%s: %zu lanes take %.2f GB at least (weights %.2f, and two blocks at a time %.2f), "
                       "%.2f GB are %s", s->base, p->n_lanes, (fixed + few) * 1e-9, (heads + blocks) * 1e-9, fixed * 1e-9,
                       allowed * 1e-9, s->memory > 0 ? "allowed" : "free");
    if (host > dk_memory_available())
        return dk_fail(err, DK_ENOMEM, "%s: %.2f GB of the weights do not fit on the card, and %.2f GB of host memory are free",
                       s->base, host * 1e-9, dk_memory_available() * 1e-9);
    p->streamed = true;
    p->stays = (size_t)(stays / sets);
    p->free_bytes = rows;
    dk_log(DK_INFO, "%s: %.2f GB of %.2f GB of weights come from host memory in every pass", s->base, host * 1e-9,
           (heads + blocks) * 1e-9);
    return 0;
}

int dk_pair_budget(dk_pair *p, const dk_pair_spec *s, const dk_model_config *c, dk_dtype dtype, dk_err *err)
{
    const double allowed = s->memory > 0 ? s->memory : available();
    const double widest = larger(larger((double)c->d_model, (double)c->d_ff), (double)(c->n_heads * c->head_dim));
    const double row = dk_row_bytes(c, s->with_head) * (double)p->n_lanes + (p->diff ? 4 * widest : 0);
    double sets = 1, weights, least;
    int rc = 0;

    for (size_t i = 0; i < p->n_lanes; i++)
        sets += p->path[i] && !p->adapter[i];
    weights = sets * dk_weights_bytes(c, dtype, s->with_head);
    least = weights + row * 2 * DK_BLOCK_ROWS_MAX;
    p->row_bytes = row;
    p->free_bytes = allowed - weights;
    if (allowed < least && !dk_device()->ops->host)
        rc = stream(p, s, c, dtype, sets, allowed, row, err);
    else if (allowed < least)
        rc = dk_fail(err, DK_ENOMEM, "%s: %zu lanes take %.2f GB at least (weights %.2f), %.2f GB are %s", s->base,
                     p->n_lanes, least * 1e-9, weights * 1e-9, allowed * 1e-9, s->memory > 0 ? "allowed" : "free");
    p->most_rows = rc < 0 ? 0 : isinf(allowed) || p->free_bytes / row > 1e9 ? (size_t)1 << 30
                 : (size_t)(p->free_bytes / row) - DK_BLOCK_ROWS_MAX;
    return rc;
}

size_t dk_pair_wish(size_t wished)
{
    return wished ? wished : dk_device()->ops->host ? 1152 : 16384;
}

int dk_pair_rows(size_t *rows, const dk_pair *p, double more, size_t wished, size_t longest, dk_err *err)
{
    const double row = p->row_bytes, all = p->free_bytes * (row / (row + more));
    const size_t most = more == 0 || p->most_rows >= (size_t)1 << 30 ? p->most_rows
        : all / row > DK_BLOCK_ROWS_MAX ? (size_t)(all / row) - DK_BLOCK_ROWS_MAX : 0;

    wished = dk_pair_wish(wished);
    *rows = wished < most ? wished : most;
    if (*rows < wished)
        dk_log(DK_INFO, "%zu tokens of a lane in one pass instead of %zu: memory", *rows, wished);
    return longest <= most ? 0
        : dk_fail(err, DK_ENOMEM, "a text of %zu tokens does not fit into memory beside the weights: %zu would "
                  "(cut it with --max-tokens)", longest, most);
}

/* Whether less could help; a device has its own memory, and the host's is everybody's. */
static bool no_room(const dk_err *err) { return err->code == DK_ENOMEM && !dk_device()->ops->host; }

bool dk_pair_halve(size_t *rows, size_t longest, dk_err *err)
{
    if (!no_room(err) || *rows / 2 < longest || *rows < 2)
        return false;
    *rows /= 2;
    dk_log(DK_WARN, "%s: %zu tokens in one pass from now on", err->msg, *rows);
    *err = (dk_err){0};
    return true;
}

bool dk_pair_halve_answers(size_t *n_seq, size_t *rows, dk_err *err)
{
    if (!no_room(err) || (*n_seq < 2 && *rows / 2 < DK_BLOCK_ROWS_MAX))
        return false;
    *n_seq = (*n_seq + 1) / 2;
    *rows = *rows / 2 < DK_BLOCK_ROWS_MAX ? *rows : *rows / 2;
    dk_log(DK_WARN, "%s: %zu sequence%s at once and %zu tokens of prompts in one pass from now on", err->msg, *n_seq,
           *n_seq > 1 ? "s" : "", *rows);
    *err = (dk_err){0};
    return true;
}
