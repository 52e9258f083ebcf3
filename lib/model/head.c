/* Final norm, unembedding and soft cap: to the visitors tile by tile, or whole. */
#include "base/mem.h"
#include "model/runner.h"

static int head_room(dk_runner *r, dk_err *err)
{
    const size_t rows = r->n_lanes * r->dev->ops->head_rows(r->dev, r->max_rows);

    return r->head_in ? 0 : dk_rows_alloc(&r->head_in, rows, r->m->config.d_model, err);
}

/* Rows of the last pass through the final norm: to head_in, lane l at l stride. */
static void norm_rows(dk_runner *r, const size_t *rows, size_t n, size_t stride)
{
    const size_t d = r->m->config.d_model;
    float *x = r->x;

    if (rows) {
        x = r->norm;
        for (size_t l = 0; l < r->n_lanes; l++)
            r->dev->ops->gather(r->dev, x + l * n * d, r->x + l * r->rows * d, rows, n, d);
    }
    dk_runner_norm(r, r->head_in, stride, x, NULL, n, DK_AT_FINAL, 0, false);
}

/* Logits of the rows, as they are carried or (whole) added up, in memory of the device. */
static int logits(dk_runner *r, const size_t *rows, size_t n, bool whole, float *to, dk_err *err)
{
    const dk_ops *ops = r->dev->ops;
    const size_t d = r->m->config.d_model, vocab = r->m->config.vocab;
    int rc = head_room(r, err);

    DK_ASSERT(r->m->head && n <= r->max_rows);
    if (rc == 0 && !r->head_lhs)
        rc = ops->lhs_new(r->dev, &r->head_lhs, r->n_lanes * r->max_rows, d, r->m->dtype, err);
    if (rc < 0)
        return rc;
    norm_rows(r, rows, n, n);
    for (size_t first = 0, end; rc == 0 && first < r->n_lanes; first = end) {
        for (end = first + 1; end < r->n_lanes && r->head[end] == r->head[first];)
            end++;
        ops->lhs_set(r->dev, r->head_lhs, r->head_in + first * n * d, d, (end - first) * n, d);
        rc = ops->product(r->dev, to + first * n * vocab, vocab, r->head_lhs, r->head[first], err);
    }
    for (size_t l = 1; rc == 0 && whole && r->diff && l < r->n_lanes; l++)
        ops->sum(r->dev, to + l * n * vocab, to + l * n * vocab, to, 1, n * vocab);
    for (size_t l = 0; rc == 0 && r->m->config.final_softcap > 0 && l < r->n_lanes; l++)
        ops->softcap(r->dev, to + l * n * vocab, l > 0 && r->diff && !whole ? to : NULL, n * vocab,
                     (float)r->m->config.final_softcap);
    return rc;
}

/* Where whole logits are formed: out itself, or memory of the device. */
static int logits_at(float **at, dk_runner *r, size_t n, float *out, dk_err *err)
{
    const dk_ops *ops = r->dev->ops;
    const size_t room = ops->padded_rows(r->dev, r->n_lanes * n) * r->m->config.vocab;

    *at = ops->host ? out : r->logits;
    if (ops->host || room <= r->logits_room)
        return 0;
    ops->release(r->dev, r->logits);
    r->logits = NULL;
    r->logits_room = room;
    if (ops->alloc(r->dev, (void **)&r->logits, room * sizeof *out, "logits", err) < 0)
        r->logits_room = 0;
    *at = r->logits;
    return r->logits ? 0 : DK_ENOMEM;
}

int dk_runner_wait(dk_runner *r, dk_err *err) { return r->dev->ops->sync(r->dev, err); }

int dk_runner_logits(dk_runner *r, const size_t *rows, size_t n_rows, float *out, dk_err *err)
{
    const dk_ops *ops = r->dev->ops;
    const size_t n = rows ? n_rows : r->rows;
    float *to;
    int rc;

    if (n == 0)
        return 0;
    rc = logits_at(&to, r, n, out, err);
    if (rc == 0)
        rc = logits(r, rows, n, true, to, err);
    return rc == 0 && !ops->host ? ops->get(r->dev, out, to, r->n_lanes * n * r->m->config.vocab * sizeof *out, err) : rc;
}

int dk_runner_carried(dk_runner *r, const size_t *rows, size_t n_rows, float *out, dk_err *err)
{
    const size_t n = rows ? n_rows : r->rows;

    return n ? logits(r, rows, n, false, out, err) : 0;
}

int dk_runner_head(dk_runner *r, const size_t *rows, size_t n_rows, const dk_visitor *vis,
                   size_t n_vis, dk_err *err)
{
    const int rc = dk_runner_head_later(r, rows, n_rows, vis, n_vis, err);

    return rc == 0 ? dk_runner_wait(r, err) : rc;
}

int dk_runner_head_later(dk_runner *r, const size_t *rows, size_t n_rows, const dk_visitor *vis,
                         size_t n_vis, dk_err *err)
{
    const dk_ops *ops = r->dev->ops;
    const size_t n = rows ? n_rows : r->rows;
    int rc;

    DK_ASSERT(r->m->head && n <= r->max_rows);
    if (n == 0)
        return 0;
    rc = head_room(r, err);
    if (rc < 0)
        return rc;
    const dk_head_args a = {
        .n_lanes = r->n_lanes, .rows = n, .stride = ops->head_rows(r->dev, n), .d = r->m->config.d_model,
        .vocab = r->m->config.vocab, .x = r->head_in, .w = r->head, .softcap = (float)r->m->config.final_softcap,
        .diff = r->diff, .visitor = vis, .n_visitors = n_vis
    };

    norm_rows(r, rows, n, a.stride);
    return ops->head(r->dev, &a, err);
}

int dk_model_times_head(const dk_model *m, const dk_weight *w, const float *x, size_t n, float *out, dk_err *err)
{
    dk_dev *dev = dk_device();
    const dk_ops *ops = dev->ops;
    const size_t d = m->config.d_model, vocab = m->config.vocab;
    float *in = NULL, *to = ops->host ? out : NULL;
    dk_lhs *lhs = NULL;
    int rc = ops->lhs_new(dev, &lhs, n, d, m->dtype, err);

    if (rc == 0)
        rc = dk_rows_alloc(&in, n, d, err);
    if (rc == 0 && !ops->host)
        rc = dk_rows_alloc(&to, n, vocab, err);
    if (rc == 0)
        rc = ops->put(dev, in, x, n * d * sizeof *x, err);
    if (rc == 0) {
        ops->lhs_set(dev, lhs, in, d, n, d);
        rc = ops->product(dev, to, vocab, lhs, w ? w : m->head, err);
    }
    if (rc == 0 && !ops->host)
        rc = ops->get(dev, out, to, n * vocab * sizeof *out, err);
    ops->lhs_free(dev, &lhs);
    ops->release(dev, in);
    if (!ops->host)
        ops->release(dev, to);
    return rc;
}

int dk_model_unembed(const dk_model *m, const float *x, size_t n, float sign, float *out, dk_err *err)
{
    const size_t d = m->config.d_model;
    float *norm = NULL;
    int rc;

    DK_ASSERT(m->head);
    if (n == 0)
        return 0;
    rc = dk_alloc(&norm, n * d, sizeof *norm, "normed rows", err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        dk_model_norm(&m->config, norm + i * d, x + i * d, &m->final_norm, d);
        for (size_t j = 0; j < d; j++)
            norm[i * d + j] *= sign;
    }
    if (rc == 0)
        rc = dk_model_times_head(m, NULL, norm, n, out, err);
    dk_free(norm);
    return rc;
}
