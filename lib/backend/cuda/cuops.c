/* The table: a pass and what happens between products. */
#include "backend/cuda/cupriv.h"

static dk_cu_norm norm_of(const dk_norm_args *n) { return (dk_cu_norm){ n->w, n->b, n->eps }; }

static size_t same_rows(dk_dev *dev, size_t m)
{
    (void)dev;
    return m;
}

/* --- a batch ---------------------------------------------------------------------- */

static size_t count_pieces(const dk_rag *rag)
{
    size_t n = 0;

    for (size_t s = 0; s < rag->n_seq; s++)
        n += (rag->offset[s + 1] - rag->offset[s] + DK_CU_QUERIES - 1) / DK_CU_QUERIES;
    return n;
}

/* Appends n values (zeros where there are none) to the words of a batch. */
static uint32_t *add(uint32_t *to, const size_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from ? (uint32_t)from[i] : 0;
    return to + n;
}

static void add_pieces(uint32_t *seq, uint32_t *row, const dk_rag *rag)
{
    for (size_t s = 0; s < rag->n_seq; s++)
        for (size_t r = 0; r < rag->offset[s + 1] - rag->offset[s]; r += DK_CU_QUERIES) {
            *seq++ = (uint32_t)s;
            *row++ = (uint32_t)r;
        }
}

static int begin(dk_dev *dev, const dk_rag *rag, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const size_t pieces = count_pieces(rag), n = 3 * rag->n_seq + 1 + rag->rows + 2 * pieces;
    uint32_t *host = NULL, *at, *d = NULL;
    int rc = dk_cuda_room(c, &d, DK_CUDA_RAG, n * sizeof *d, "the batch", err);

    DK_ASSERT(rag->rows < UINT32_MAX / 2 && rag->n_lanes * rag->rows < UINT32_MAX / 2);
    if (rc == 0)
        rc = dk_alloc(&host, n, sizeof *host, "the batch", err);
    if (rc < 0)
        return rc;
    at = add(host, rag->offset, rag->n_seq + 1);
    at = add(at, rag->pos, rag->rows);
    at = add(at, rag->past, rag->n_seq);
    at = add(at, rag->slot, rag->n_seq);
    add_pieces(at, at + pieces, rag);
    rc = dk_cuda_send(c, d, host, n * sizeof *d, err);
    dk_free(host);
    c->pass_dtype = rag->dtype;
    c->side_room = dk_cuda_side_room(rag->side_width);
    c->rag = (dk_cu_rag){ .n_lanes = (uint32_t)rag->n_lanes, .rows = (uint32_t)rag->rows, .n_seq = (uint32_t)rag->n_seq,
                          .n_pieces = (uint32_t)pieces, .steps = rag->steps && rag->past, .offset = d };
    c->rag.pos = c->rag.offset + rag->n_seq + 1;
    c->rag.past = rag->past ? c->rag.pos + rag->rows : NULL;
    c->rag.slot = rag->past ? c->rag.pos + rag->rows + rag->n_seq : NULL;
    c->rag.piece_seq = c->rag.pos + rag->rows + 2 * rag->n_seq;
    c->rag.piece_row = c->rag.piece_seq + pieces;
    return rc;
}

static bool rows_of(dk_dev *dev, float *y, const dk_weight *w, const uint32_t *rows, size_t n)
{
    dk_cuda *c = dk_cuda_of(dev);
    uint32_t *d = NULL;
    dk_err err = {0};
    int rc;

    if (w->host)
        return false;
    rc = dk_cuda_room(c, &d, DK_CUDA_ROWS, n * sizeof *d, "row numbers", &err);
    if (rc == 0)
        rc = dk_cuda_send(c, d, rows, n * sizeof *d, &err);
    if (rc < 0)
        dk_fail(&c->failed, err.code, "%s", err.msg);
    else if (n && w->dtype == DK_BF16)
        dk_cuda_note(c, dk_cu_gather_bf16(c->stream, y, w->d, w->ld, d, n, w->k), "gathering rows");
    else if (n)
        dk_cuda_note(c, dk_cu_gather(c->stream, y, w->d, d, n, w->k), "gathering rows");
    return true;
}

static float *packed_row(dk_dev *dev, float *y, size_t row, size_t width)
{
    const size_t ld = dk_cuda_packed_ld(dk_cuda_of(dev), width);

    return ld ? (float *)(void *)((uint16_t *)(void *)y + row * ld) : y + row * width;
}

static void gather(dk_dev *dev, float *y, const float *x, const size_t *rows, size_t n, size_t width)
{
    dk_cuda *c = dk_cuda_of(dev);
    uint32_t *host = NULL, *d = NULL;
    dk_err err = {0};
    int rc = dk_cuda_room(c, &d, DK_CUDA_ROWS, n * sizeof *d, "row numbers", &err);

    if (rc == 0)
        rc = dk_alloc(&host, n, sizeof *host, "row numbers", &err);
    if (rc == 0) {
        add(host, rows, n);
        rc = dk_cuda_send(c, d, host, n * sizeof *d, &err);
    }
    if (rc == 0 && n)
        dk_cuda_note(c, dk_cu_gather(c->stream, y, x, d, n, width), "gathering rows");
    else if (rc < 0)
        dk_fail(&c->failed, err.code, "%s", err.msg);
    dk_free(host);
}

/* --- between products ------------------------------------------------------------- */

static void add_norm(dk_dev *dev, float *y, float *x, const float *more, const dk_norm_args *norm, size_t rows,
                     size_t width, bool packed)
{
    dk_cuda *c = dk_cuda_of(dev);
    const dk_cu_norm none = {0};
    const size_t ld = packed && y ? dk_cuda_packed_ld(c, width) : 0;

    if (rows && ld)
        dk_cuda_note(c, dk_cu_add_norm_packed(c->stream, (uint16_t *)(void *)y, ld, x, more, norm_of(norm), rows, width),
                     "a norm");
    else if (rows && (more || y))
        dk_cuda_note(c, dk_cu_add_norm(c->stream, y, x, more, norm ? norm_of(norm) : none, rows, width), "a norm");
}

static void add_norm_diff(dk_dev *dev, float *dy, const float *x, float *dx, const float *dadd,
                          const dk_norm_args *norm, size_t rows, size_t width, bool packed)
{
    dk_cuda *c = dk_cuda_of(dev);
    const dk_cu_norm none = {0};
    const size_t ld = packed && dy ? dk_cuda_packed_ld(c, width) : 0;

    if (rows && ld)
        dk_cuda_note(c, dk_cu_add_norm_diff_packed(c->stream, (uint16_t *)(void *)dy, ld, x, dx, dadd, norm_of(norm),
                                                   rows, width), "a norm");
    else if (rows)
        dk_cuda_note(c, dk_cu_add_norm_diff(c->stream, dy, x, dx, dadd, norm ? norm_of(norm) : none, rows, width),
                     "a norm");
}

static void place(dk_dev *dev, float *x, const float *base, size_t n_lanes, const dk_place_args *a)
{
    dk_cuda *c = dk_cuda_of(dev);
    const dk_cu_place p = { (uint32_t)a->n_heads, (uint32_t)a->n_kv, (uint32_t)a->hd, norm_of(&a->q_norm),
                            norm_of(&a->k_norm), a->cosines, a->sines };

    if (n_lanes && c->rag.rows && (a->q_norm.w || a->cosines))
        dk_cuda_note(c, dk_cu_place_rows(c->stream, x, base, n_lanes, &c->rag, &p), "placing queries and keys");
}

static int attend(dk_dev *dev, const dk_attend_args *a, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    const size_t width = a->n_heads * a->hd, ld = a->packed ? dk_cuda_packed_ld(c, width) : 0;
    dk_cu_attend p = {
        .n_heads = (uint32_t)a->n_heads, .n_kv = (uint32_t)a->n_kv, .hd = (uint32_t)a->hd, .scale = a->scale,
        .softcap = a->softcap, .window = (uint32_t)(a->window < UINT32_MAX ? a->window : 0), .qkv = a->qkv,
        .out = a->out, .k_cache = a->k_cache, .v_cache = a->v_cache, .n_slots = (uint32_t)a->n_slots,
        .capacity = (uint32_t)a->capacity, .bf16 = c->bf16 && !a->diff
    };
    dk_cu_rag rag = c->rag;
    const size_t rows = (size_t)rag.n_lanes * rag.rows;
    int rc = dk_cuda_ready(c, err);

    DK_ASSERT(!a->k_cache || c->rag.past);
    if (rc < 0 || c->rag.rows == 0)
        return rc;
    if (!a->k_cache) {
        rag.past = rag.slot = NULL;
        rag.steps = 0;
    }
    if (ld)
        rc = dk_cuda_room(c, &p.out, DK_CUDA_ATTENDED, rows * width * sizeof(float), "attention", err);
    if (rc == 0 && a->k_cache)
        rc = dk_cuda_check(c, dk_cu_cache_put(c->stream, &rag, &p), "keeping keys and values", err);
    if (rc == 0 && a->diff && rag.n_lanes > 1)
        rc = dk_cuda_check(c, dk_cu_attend_diff(c->stream, &rag, &p), "attention", err);
    if (a->diff)
        rag.n_lanes = 1;            /* the base, as always */
    if (rc == 0)
        rc = dk_cuda_check(c, dk_cu_attend_rows(c->stream, &rag, &p), "attention", err);
    if (rc == 0 && ld)
        rc = dk_cuda_check(c, dk_cu_pack(c->stream, (uint16_t *)(void *)a->out, ld, p.out, width, rows, width),
                           "attention", err);
    return rc;
}

static void act(dk_dev *dev, dk_act_form form, float *y, const float *x, const float *base, size_t rows, size_t n,
                bool packed)
{
    dk_cuda *c = dk_cuda_of(dev);
    const size_t ld = packed ? dk_cuda_packed_ld(c, n) : 0;

    if (rows && ld)
        dk_cuda_note(c, dk_cu_act_packed(c->stream, (int)form, (uint16_t *)(void *)y, ld, x, base, rows, n),
                     "an activation");
    else if (rows)
        dk_cuda_note(c, dk_cu_act(c->stream, (int)form, y, x, base, rows, n), "an activation");
}

static void sum(dk_dev *dev, float *y, const float *a, const float *b, float sign, size_t n)
{
    dk_cuda *c = dk_cuda_of(dev);

    if (n)
        dk_cuda_note(c, dk_cu_sum(c->stream, y, a, b, sign, n), "a sum");
}

static void softcap(dk_dev *dev, float *x, const float *base, size_t n, float cap)
{
    dk_cuda *c = dk_cuda_of(dev);

    if (n && cap > 0)
        dk_cuda_note(c, dk_cu_softcap(c->stream, x, base, n, cap), "a soft cap");
}

static void edit(dk_dev *dev, float *x, const float *v, float strength, size_t n_rows, size_t d)
{
    dk_cuda *c = dk_cuda_of(dev);
    float *dv = NULL;
    dk_err err = {0};
    int rc = dk_cuda_room(c, &dv, DK_CUDA_VECTOR, d * sizeof *dv, "a direction", &err);

    if (rc == 0)
        rc = dk_cuda_send(c, dv, v, d * sizeof *dv, &err);
    if (rc < 0)
        dk_fail(&c->failed, err.code, "%s", err.msg);
    else if (n_rows)
        dk_cuda_note(c, dk_cu_edit(c->stream, x, dv, strength, n_rows, d), "an edit");
}

static int tap(dk_dev *dev, float *host, const float *a, const float *b, float sign, size_t n, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    float *d = NULL;
    int rc = dk_cuda_ready(c, err);

    if (rc == 0 && b)
        rc = dk_cuda_room(c, &d, DK_CUDA_TAP, n * sizeof *d, "a tap", err);
    if (rc == 0 && b && n)
        rc = dk_cuda_check(c, dk_cu_sum(c->stream, d, a, b, sign, n), "a tap", err);
    return rc < 0 ? rc : dk_cuda_get(dev, host, b ? d : a, n * sizeof *host, err);
}

/* describe and close come from where the device is opened. */
const dk_ops dk_cuda_ops = {
    .name = "cuda",
    .alloc = dk_cuda_alloc, .release = dk_cuda_release, .put = dk_cuda_put, .get = dk_cuda_get, .copy = dk_cuda_copy,
    .zero = dk_cuda_zero, .share = dk_cuda_share, .unshare = dk_cuda_unshare, .sync = dk_cuda_sync,
    .memory = dk_cuda_memory, .stay = dk_cuda_stay, .weight_pack = dk_cuda_weight_pack, .weight_free = dk_cuda_weight_free,
    .lhs_new = dk_cuda_lhs_new, .lhs_free = dk_cuda_lhs_free, .lhs_set = dk_cuda_lhs_set, .product = dk_cuda_product,
    .kernel = dk_cuda_kernel,
    .padded_rows = same_rows, .head_rows = same_rows, .begin = begin, .rows_of = rows_of,
    .packed_row = packed_row, .gather = gather, .add_norm = add_norm,
    .add_norm_diff = add_norm_diff, .project = dk_cuda_project, .place = place, .attend = attend, .act = act,
    .sum = sum, .softcap = softcap, .edit = edit, .tap = tap, .head = dk_cuda_head, .choose = dk_cuda_choose,
    .row_sums = dk_cuda_row_sums, .row_products = dk_cuda_row_products, .scatter = dk_cuda_scatter
};
