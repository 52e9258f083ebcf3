/* A projection with its side paths.
 *
 * In bf16 the side paths are columns of the same product: behind the k columns of
 * x stand the low-rank rows t = x A^T, rounded to bf16, each lane's in columns of
 * its own and zero in the other lanes' rows; behind the k columns of W stand the
 * scaled B.  So a lane costs a narrow product more, and y is written once.  W
 * gets its columns when the first pass with side paths comes. */
#include "backend/cuda/cupriv.h"

#include <string.h>

enum { SIDE_STEP = 32 };        /* columns: tiles of the products are multiples of it */

size_t dk_cuda_packed_ld(const dk_cuda *c, size_t k)
{
    const size_t ld = (k + 7) / 8 * 8 + c->side_room;

    return c->pass_dtype == DK_BF16 && ld <= 2 * k ? ld : 0;
}

size_t dk_cuda_side_room(size_t width) { return (width + SIDE_STEP - 1) / SIDE_STEP * SIDE_STEP; }

/* --- the columns of the weight ----------------------------------------------------- */
/* Another copy of the weight with room behind its rows. */
static int widen(dk_cuda *c, dk_weight *w, size_t ld, dk_err *err)
{
    void *wider = NULL;
    size_t bytes;
    int rc = dk_mul_size(&bytes, w->n, ld * 2) ? 0 : dk_fail(err, DK_ENOMEM, "the weights do not fit in memory");

    if (rc == 0)
        rc = dk_cuda_alloc(&c->dev, &wider, bytes, "the weights with room for adapters", err);
    if (rc == 0) {
        dk_cuda_zero(&c->dev, wider, bytes);
        rc = dk_cuda_check(c, cudaMemcpy2DAsync(wider, ld * 2, w->d, w->ld * 2, w->ld * 2, w->n, DK_CUDA_ON_DEVICE,
                                                c->stream), "moving weights", err);
    }
    if (rc < 0) {
        dk_cuda_release(&c->dev, wider);
        return rc;
    }
    dk_cuda_release(&c->dev, w->d);
    w->d = wider;
    w->ld = ld;
    return 0;
}

static void drop_sides(dk_cuda *c, dk_weight *w)
{
    for (size_t i = 0; i < w->n_sides; i++)
        dk_cuda_release(&c->dev, w->side[i].a);
    dk_free(w->side);
    w->side = NULL;
    w->n_sides = 0;
}

void dk_cuda_weight_drop_sides(dk_dev *dev, dk_weight *w) { drop_sides(dk_cuda_of(dev), w); }

static bool holds(const dk_weight *w, const dk_project_args *a, size_t k8)
{
    bool same = w->n_sides == a->n_sides && w->side_at == k8;

    for (size_t i = 0; same && i < a->n_sides; i++) {
        const dk_lowrank_args *low = &a->side[i].low;

        same = w->side[i].at == low->at && w->side[i].n_parts == low->n_parts;
        for (size_t p = 0; same && p < low->n_parts; p++)
            same = w->side[i].bt[p] == low->part[p].bt && w->side[i].scale[p] == low->part[p].scale;
    }
    return same;
}

/* A [rp, k] in bf16 and the scaled B of side i, whose columns begin at col0. */
static int keep_side(dk_cuda *c, dk_weight *w, size_t i, const dk_lowrank_args *low, size_t col0, dk_err *err)
{
    struct dk_cuda_side *s = &w->side[i];
    const size_t lda = (low->k + 7) / 8 * 8, bytes = low->rp * lda * 2;
    int rc;

    *s = (struct dk_cuda_side){ .at = low->at, .n_parts = low->n_parts };
    rc = dk_cuda_alloc(&c->dev, &s->a, bytes, "an adapter", err);
    if (rc < 0)
        return rc;
    dk_cuda_zero(&c->dev, s->a, bytes);
    rc = dk_cuda_check(c, dk_cu_pack_side(c->stream, s->a, lda, low->at, 1, 0, low->rp, 0, low->k), "an adapter", err);
    for (size_t p = 0; rc == 0 && p < low->n_parts; p++) {
        const dk_lowrank_part *q = &low->part[p];

        s->bt[p] = q->bt;
        s->scale[p] = q->scale;
        rc = dk_cuda_check(c, dk_cu_pack_side(c->stream, w->d, w->ld, q->bt, q->scale, q->col0, q->n, col0 + q->t0,
                                              q->r), "an adapter", err);
    }
    return rc;
}

/* Makes the weight's columns those of the side paths of a. */
static int set_sides(dk_cuda *c, dk_weight *w, const dk_project_args *a, size_t k8, size_t ld, dk_err *err)
{
    size_t col = k8;
    int rc = 0;

    drop_sides(c, w);
    if (w->ld < ld)
        rc = widen(c, w, ld, err);
    if (rc == 0 && w->ld > k8)
        rc = dk_cuda_check(c, cudaMemset2DAsync((uint16_t *)w->d + k8, w->ld * 2, 0, (w->ld - k8) * 2, w->n, c->stream),
                           "an adapter", err);
    w->side = dk_xcalloc(a->n_sides ? a->n_sides : 1, sizeof *w->side);
    w->side_at = k8;
    for (size_t i = 0; rc == 0 && i < a->n_sides; i++) {
        w->n_sides = i + 1;
        rc = keep_side(c, w, i, &a->side[i].low, col, err);
        col += a->side[i].low.rp;
    }
    if (rc < 0)
        drop_sides(c, w);
    return rc;
}

static int keep_sides(dk_cuda *c, const dk_project_args *a, size_t k8, size_t ld, dk_err *err)
{
    dk_weight *w = (dk_weight *)a->w;   /* what it is times k columns does not change */
    const size_t before = w->ld;
    int rc;

    if (holds(w, a, k8) && w->ld >= ld)
        return 0;
    if (!w->host)
        return set_sides(c, w, a, k8, ld, err);
    rc = dk_cuda_bring(c, w, err);
    if (rc == 0)
        rc = set_sides(c, w, a, k8, ld, err);
    if (rc == 0)
        rc = dk_cuda_take_back(c, w, err);
    if (rc < 0) {                       /* what the host has is as it was */
        drop_sides(c, w);
        dk_cuda_release(&c->dev, w->d);
        w->d = NULL;
        w->ld = before;
    }
    return rc;
}

/* --- the product ------------------------------------------------------------------- */
/* Fills the columns of a side path: t = x A^T in the rows of its lane. */
static int fill_side(dk_cuda *c, uint16_t *x, size_t ld, const dk_project_args *a, size_t i, size_t col, dk_err *err)
{
    const dk_side_rows *side = &a->side[i];
    const dk_weight narrow = { .n = side->low.rp, .k = a->k, .ld = (a->k + 7) / 8 * 8, .dtype = DK_BF16,
                               .d = a->w->side[i].a };
    uint16_t *rows = x + side->row0 * ld;
    const size_t n = side->low.m * side->low.rp;
    float *t = side->low.t, *more = NULL;
    int rc = dk_cuda_multiply(c, t, side->low.rp, rows, ld, side->low.m, &narrow, narrow.ld, err);

    if (rc == 0 && side->plus) {
        rc = dk_cuda_room(c, &more, DK_CUDA_VECTOR, n * sizeof *more, "an adapter", err);
        if (rc == 0)
            rc = dk_cuda_multiply(c, more, side->low.rp, side->plus, ld, side->low.m, &narrow, narrow.ld, err);
        if (rc == 0)
            rc = dk_cuda_check(c, dk_cu_sum(c->stream, t, t, more, 1.0f, n), "an adapter", err);
    }
    return rc < 0 ? rc : dk_cuda_check(c, dk_cu_to_bf16(c->stream, rows + col, ld, t, side->low.rp,
                                                       side->low.m, side->low.rp), "an adapter", err);
}

static int in_one(dk_cuda *c, const dk_project_args *a, size_t ld, dk_err *err)
{
    const size_t k8 = (a->k + 7) / 8 * 8;
    uint16_t *x = (uint16_t *)(void *)(uintptr_t)a->x;     /* packed rows are this file's to complete */
    size_t col = k8;
    int rc = ld > k8 ? keep_sides(c, a, k8, ld, err) : 0;

    for (size_t i = 0; rc == 0 && i < a->n_sides; i++) {
        rc = fill_side(c, x, ld, a, i, col, err);
        col += a->side[i].low.rp;
    }
    return rc == 0 ? dk_cuda_multiply(c, a->y, a->n, x, ld, a->m, a->w, ld, err) : rc;
}

static void lowrank(dk_cuda *c, float *y, size_t ldy, const float *x, const dk_lowrank_args *a)
{
    dk_cuda_note(c, dk_cu_lowrank_in(c->stream, a->t, x, a->k, a->at, a->m, a->k, a->rp), "an adapter");
    for (size_t i = 0; i < a->n_parts; i++) {
        const dk_lowrank_part *p = &a->part[i];

        if (p->scale != 0)
            dk_cuda_note(c, dk_cu_lowrank_out(c->stream, y + p->col0, ldy, a->t + p->t0, a->rp, p->bt, a->m, p->r,
                                              p->n, p->scale), "an adapter");
    }
}

/* Rows that others read too, or f32. */
static int one_by_one(dk_cuda *c, const dk_project_args *a, dk_err *err)
{
    int rc;

    dk_cuda_lhs_set(&c->dev, a->lhs, a->x, a->k, a->m, a->k);
    rc = dk_cuda_product(&c->dev, a->y, a->n, a->lhs, a->w, err);
    for (size_t i = 0; rc == 0 && i < a->n_sides; i++) {
        const dk_side_rows *side = &a->side[i];
        const float *x = a->x + side->row0 * a->k;

        if (side->plus) {
            dk_cuda_note(c, dk_cu_sum(c->stream, a->whole, x, side->plus, 1.0f, side->low.m * a->k), "a sum");
            x = a->whole;
        }
        lowrank(c, a->y + side->row0 * a->n, a->n, x, &side->low);
    }
    return rc;
}

int dk_cuda_project(dk_dev *dev, const dk_project_args *a, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const size_t ld = a->packed ? dk_cuda_packed_ld(c, a->k) : 0;
    int rc = dk_cuda_ready(c, err);

    if (rc < 0 || a->m == 0)
        return rc;
    rc = ld ? in_one(c, a, ld, err) : one_by_one(c, a, err);
    if (rc == 0 && a->bias)
        rc = dk_cuda_check(c, dk_cu_add_bias(c->stream, a->y, a->bias, a->bias_rows, a->n), "a bias", err);
    return rc;
}
