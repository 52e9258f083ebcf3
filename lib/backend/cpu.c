/* The CPU's op table: rows over threads, the arithmetic of lib/num, products of
 * product.c. */
#include "backend/backend.h"

#include <string.h>

#include "backend/cpudev.h"
#include "base/mem.h"
#include "base/meminfo.h"
#include "base/thread.h"
#include "num/kernels.h"

enum {
    MAX_HEAD = 4096,        /* of a head: dk_model_config_check */
    FEW = 8                 /* rows with which one thread is done before another has woken up */
};

/* --- memory -------------------------------------------------------------------- */
static const char *cpu_describe(dk_dev *dev) { (void)dev; return "cpu"; }

static void cpu_close(dk_dev *dev)
{
    struct cpu *c = (struct cpu *)dev;

    dk_free(c->work);
    dk_free(c->tiles);
    dk_free(c->wide);
    dk_lhs_free(&c->head_lhs);
    dk_cpu_choose_end(c);
    c->work = c->tiles = NULL;
    c->wide = NULL;
    c->work_each = c->tiles_room = c->wide_room = 0;
}

static int cpu_alloc(dk_dev *dev, void **d, size_t bytes, const char *what, dk_err *err)
{
    (void)dev;
    return dk_alloc(d, bytes, 1, what, err);
}

static void cpu_release(dk_dev *dev, void *d) { (void)dev; dk_free(d); }

static int cpu_put(dk_dev *dev, void *d, const void *host, size_t bytes, dk_err *err)
{
    (void)dev;
    (void)err;
    memmove(d, host, bytes);
    return 0;
}

static int cpu_get(dk_dev *dev, void *host, const void *d, size_t bytes, dk_err *err)
{
    return cpu_put(dev, host, d, bytes, err);
}

static void cpu_copy(dk_dev *dev, void *d, const void *from, size_t bytes) { (void)dev; memcpy(d, from, bytes); }
static void cpu_zero(dk_dev *dev, void *d, size_t bytes) { (void)dev; memset(d, 0, bytes); }

static int cpu_share(dk_dev *dev, const float **d, const float *host, size_t n, dk_err *err)
{
    (void)dev;
    (void)n;
    (void)err;
    *d = host;
    return 0;
}

static void cpu_unshare(dk_dev *dev, const float *d) { (void)dev; (void)d; }
static int cpu_sync(dk_dev *dev, dk_err *err) { (void)dev; (void)err; return 0; }

static void cpu_memory(dk_dev *dev, size_t *avail, size_t *total)
{
    const double now = dk_memory_available();

    (void)dev;
    *avail = now < 1e18 ? (size_t)now : 0;
    *total = 0;
}

/* --- products ------------------------------------------------------------------ */
static int cpu_pack(dk_dev *dev, dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src, void *arg,
                    dk_err *err)
{
    (void)dev;
    return dk_weight_pack(out, n, k, dtype, src, arg, err);
}

static void cpu_weight_free(dk_dev *dev, dk_weight **w) { (void)dev; dk_weight_free(w); }

static void cpu_stay(dk_dev *dev, size_t bytes) { (void)dev; (void)bytes; }

static int cpu_lhs_new(dk_dev *dev, dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err)
{
    (void)dev;
    return dk_lhs_new(out, max_rows, max_k, dtype, err);
}

static void cpu_lhs_free(dk_dev *dev, dk_lhs **x) { (void)dev; dk_lhs_free(x); }

static void cpu_lhs_set(dk_dev *dev, dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k)
{
    (void)dev;
    dk_lhs_set(lhs, x, ldx, m, k);
}

static int cpu_product(dk_dev *dev, float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err)
{
    (void)dev;
    return dk_product(y, ldy, lhs, w, err);
}

static const char *cpu_kernel(dk_dev *dev, const dk_weight *w) { (void)dev; return dk_weight_kernel(w); }
static size_t cpu_padded_rows(dk_dev *dev, size_t m) { (void)dev; return dk_padded_rows(m); }

static bool cpu_rows_of(dk_dev *dev, float *y, const dk_weight *w, const uint32_t *rows, size_t n)
{
    (void)dev;
    (void)y;
    (void)w;
    (void)rows;
    (void)n;
    return false;
}

static float *cpu_packed_row(dk_dev *dev, float *y, size_t row, size_t width) { (void)dev; return y + row * width; }

static size_t cpu_head_rows(dk_dev *dev, size_t m)
{
    (void)dev;
    return (m + dk_block_rows() - 1) / dk_block_rows() * dk_block_rows();
}

/* --- rows ---------------------------------------------------------------------- */
static int cpu_begin(dk_dev *dev, const dk_rag *rag, dk_err *err)
{
    struct cpu *c = (struct cpu *)dev;

    (void)err;
    c->rag = rag;
    c->longest = 0;
    for (size_t s = 0; s < rag->n_seq; s++) {
        const size_t n = rag->offset[s + 1] - rag->offset[s] + (rag->past ? rag->past[s] : 0);

        c->longest = n > c->longest ? n : c->longest;
    }
    return 0;
}

static void cpu_gather(dk_dev *dev, float *y, const float *x, const size_t *rows, size_t n, size_t width)
{
    (void)dev;
    #pragma omp parallel for schedule(static) if (n > FEW)
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * width, x + rows[i] * width, width * sizeof *y);
}

static void norm_row(float *y, const float *x, const dk_norm_args *norm, size_t width)
{
    if (norm->b)
        dk_layernorm(y, x, norm->w, norm->b, width, norm->eps);
    else
        dk_rmsnorm(y, x, norm->w, width, norm->eps);
}

static void cpu_add_norm(dk_dev *dev, float *y, float *x, const float *add, const dk_norm_args *norm, size_t rows,
                         size_t width, bool packed)
{
    (void)dev;
    (void)packed;
    #pragma omp parallel for schedule(static) if (rows > FEW)
    for (size_t i = 0; i < rows; i++) {
        if (add)
            dk_add(x + i * width, add + i * width, width);
        if (y)
            norm_row(y + i * width, x + i * width, norm, width);
    }
}

static void cpu_add_norm_diff(dk_dev *dev, float *dy, const float *x, float *dx, const float *dadd,
                              const dk_norm_args *norm, size_t rows, size_t width, bool packed)
{
    (void)dev;
    (void)packed;
    #pragma omp parallel for schedule(static) if (rows > FEW)
    for (size_t i = 0; i < rows; i++) {
        if (dadd)
            dk_add(dx + i * width, dadd + i * width, width);
        dk_rmsnorm_diff(dy + i * width, x + i * width, dx + i * width, norm->w, width, norm->eps);
    }
}

static void place_row(float *x, const float *base, size_t pos, const dk_place_args *a)
{
    const size_t hd = a->hd, n = a->n_heads + a->n_kv, at = pos * (hd / 2);
    float head[MAX_HEAD];

    for (size_t h = 0; a->q_norm.w && h < n; h++) {
        const dk_norm_args *norm = h < a->n_heads ? &a->q_norm : &a->k_norm;

        memcpy(head, x + h * hd, hd * sizeof *head);
        if (base)
            dk_rmsnorm_diff(x + h * hd, base + h * hd, head, norm->w, hd, norm->eps);
        else
            norm_row(x + h * hd, head, norm, hd);
    }
    if (a->cosines)
        dk_rope(x, n, hd, a->cosines + at, a->sines + at);
}

static void cpu_place(dk_dev *dev, float *x, const float *base, size_t n_lanes, const dk_place_args *a)
{
    const struct cpu *c = (struct cpu *)dev;
    const size_t rows = c->rag->rows, ld = (a->n_heads + 2 * a->n_kv) * a->hd;

    DK_ASSERT(a->hd <= MAX_HEAD);
    #pragma omp parallel for schedule(static) if (n_lanes * rows > FEW)
    for (size_t i = 0; i < n_lanes * rows; i++)
        place_row(x + i * ld, base ? base + i % rows * ld : NULL, c->rag->pos[i % rows], a);
}

static void cpu_act(dk_dev *dev, dk_act_form form, float *y, const float *x, const float *base, size_t rows, size_t n,
                    bool packed)
{
    const size_t wide = form == DK_ACT_SILU_GATE || form == DK_ACT_GELU_GATE ? 2 * n : n;

    (void)dev;
    (void)packed;
    #pragma omp parallel for schedule(static) if (rows > FEW)
    for (size_t i = 0; i < rows; i++) {
        const float *from = x + i * wide, *of = base ? base + i * wide : NULL;
        float *to = y + i * n;

        if (of && form == DK_ACT_GELU_GATE)
            dk_gelu_mul_diff(to, of, from, of + n, from + n, n);
        else if (of)
            dk_silu_mul_diff(to, of, from, of + n, from + n, n);
        else if (form == DK_ACT_SILU_GATE)
            dk_silu_mul(to, from, from + n, n);
        else if (form == DK_ACT_GELU_GATE)
            dk_gelu_mul(to, from, from + n, n);
        else if (form == DK_ACT_SILU_PLAIN)
            dk_silu(to, from, n);
        else
            dk_gelu(to, from, n);
    }
}

/* y += side path of x, or of x + plus: those sums stand in whole, and are read while they are near. */
static void lowrank(float *y, size_t ldy, const float *x, const float *plus, float *whole, const dk_lowrank_args *a)
{
    enum { ROWS = 16 };

    #pragma omp parallel for schedule(static) if (a->m > ROWS)
    for (size_t i = 0; i < a->m; i += ROWS) {
        const size_t rows = a->m - i < ROWS ? a->m - i : ROWS, at = i * a->k;
        const float *in = plus ? whole + at : x + at;
        float *t = a->t + i * a->rp;

        if (plus)
            dk_sum(whole + at, plus + at, x + at, rows * a->k);
        dk_lowrank_in(t, a->rp, in, a->k, a->at, rows, a->k, a->rp);
        for (size_t p = 0; p < a->n_parts; p++) {
            const dk_lowrank_part *q = &a->part[p];

            if (q->scale != 0)
                dk_lowrank_out(y + i * ldy + q->col0, ldy, t + q->t0, a->rp, q->bt, q->n, rows, q->r, q->n, q->scale);
        }
    }
}

static void cpu_sum(dk_dev *dev, float *y, const float *a, const float *b, float sign, size_t n)
{
    (void)dev;
    #pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + sign * b[i];
}

static int cpu_project(dk_dev *dev, const dk_project_args *a, dk_err *err)
{
    int rc;

    (void)dev;
    dk_lhs_set(a->lhs, a->x, a->k, a->m, a->k);
    rc = dk_product(a->y, a->n, a->lhs, a->w, err);
    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(static) if (a->bias && a->m > FEW)
    for (size_t i = 0; i < (a->bias ? a->bias_rows : 0); i++)
        dk_add(a->y + i * a->n, a->bias, a->n);
    for (size_t s = 0; s < a->n_sides; s++) {
        const dk_side_rows *side = &a->side[s];

        lowrank(a->y + side->row0 * a->n, a->n, a->x + side->row0 * a->k, side->plus, a->whole, &side->low);
    }
    return 0;
}

static void cpu_softcap(dk_dev *dev, float *x, const float *base, size_t n, float cap)
{
    (void)dev;
    if (base)
        dk_softcap_diff(x, base, n, cap);
    else
        dk_softcap(x, n, cap);
}

static void cpu_edit(dk_dev *dev, float *x, const float *v, float strength, size_t n_rows, size_t d)
{
    (void)dev;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < d; j++)
            x[i * d + j] += strength * v[j];
}

static int cpu_tap(dk_dev *dev, float *host, const float *a, const float *b, float sign, size_t n, dk_err *err)
{
    (void)err;
    if (b)
        cpu_sum(dev, host, a, b, sign, n);
    else
        memcpy(host, a, n * sizeof *host);
    return 0;
}

/* --- attention ----------------------------------------------------------------- */
static float *cache_of(const struct cpu *c, const dk_attend_args *a, float *cache, size_t lane, size_t s)
{
    return cache + (lane * a->n_slots + c->rag->slot[s]) * a->capacity * a->n_kv * a->hd;
}

static void cache_put(const struct cpu *c, const dk_attend_args *a)
{
    const size_t width = a->n_kv * a->hd, ld = (a->n_heads + 2 * a->n_kv) * a->hd, k_at = a->n_heads * a->hd;

    for (size_t l = 0; l < c->rag->n_lanes; l++)
        for (size_t s = 0; s < c->rag->n_seq; s++) {
            const size_t first = c->rag->offset[s], n = c->rag->offset[s + 1] - first, at = c->rag->past[s] * width;
            const float *row = a->qkv + (l * c->rag->rows + first) * ld + k_at;

            for (size_t i = 0; i < n; i++, row += ld) {
                memcpy(cache_of(c, a, a->k_cache, l, s) + at + i * width, row, width * sizeof *row);
                memcpy(cache_of(c, a, a->v_cache, l, s) + at + i * width, row + width, width * sizeof *row);
            }
        }
}

/* One head of one sequence of a lane. */
static void attend(const struct cpu *c, const dk_attend_args *a, size_t l, size_t s, size_t h)
{
    const size_t hd = a->hd, ld = (a->n_heads + 2 * a->n_kv) * hd, q_width = a->n_heads * hd;
    const size_t first = c->rag->offset[s], n = c->rag->offset[s + 1] - first;
    const size_t row0 = l * c->rag->rows + first, at = h / (a->n_heads / a->n_kv) * hd;
    const float *q = a->qkv + row0 * ld, *k = q + q_width, *v = k + a->n_kv * hd;
    float *out = a->out + row0 * q_width + h * hd, *work = c->work + (size_t)dk_thread_id() * c->work_each;
    size_t n_k = n, ldk = ld;

    if (a->k_cache) {
        k = cache_of(c, a, a->k_cache, l, s);
        v = cache_of(c, a, a->v_cache, l, s);
        ldk = a->n_kv * hd;
        n_k += c->rag->past[s];
    }
    if (a->diff && l > 0) {
        const float *b = a->qkv + first * ld, *base_k = b + q_width, *base_v = base_k + a->n_kv * hd;
        const dk_head_rows dx = { q + h * hd, k + at, v + at };
        dk_head_rows x = { b + h * hd, base_k + at, base_v + at };

        if (a->k_cache) {
            x.k = cache_of(c, a, a->k_cache, 0, s) + at;
            x.v = cache_of(c, a, a->v_cache, 0, s) + at;
        }
        dk_attend_diff(out, q_width, &x, &dx, ld, ldk, n, n_k, hd, a->scale, a->softcap, a->window, work);
        return;
    }
    if (a->window || a->softcap > 0)
        dk_attend_local(out, q_width, q + h * hd, ld, k + at, ldk, v + at, ldk, n, n_k, hd, a->scale, a->softcap,
                        a->window, work);
    else
        dk_attend(out, q_width, q + h * hd, ld, k + at, ldk, v + at, ldk, n, n_k, hd, a->scale, work);
}

static int attend_scratch(struct cpu *c, const dk_attend_args *a, dk_err *err)
{
    const size_t plain = dk_attend_work(c->longest, a->hd), diff = a->diff ? dk_attend_diff_work(c->longest, a->hd) : 0;
    const size_t each = ((plain > diff ? plain : diff) + 63) / 64 * 64;

    if (c->work && each <= c->work_each && (size_t)dk_threads() <= c->work_threads)
        return 0;
    dk_free(c->work);
    c->work_each = each;
    c->work_threads = (size_t)dk_threads();
    return dk_alloc(&c->work, each * c->work_threads, sizeof(float), "attention scratch", err);
}

static int cpu_attend(dk_dev *dev, const dk_attend_args *a, dk_err *err)
{
    struct cpu *c = (struct cpu *)dev;
    const int rc = attend_scratch(c, a, err);

    if (rc < 0)
        return rc;
    if (a->k_cache)
        cache_put(c, a);
    #pragma omp parallel for schedule(dynamic) collapse(3) if (c->rag->n_lanes * c->rag->rows > 1)
    for (size_t l = 0; l < c->rag->n_lanes; l++)
        for (size_t s = 0; s < c->rag->n_seq; s++)
            for (size_t h = 0; h < a->n_heads; h++)
                attend(c, a, l, s, h);
    return 0;
}

dk_dev *dk_cpu_device(void)
{
    static const dk_ops ops = {
        .name = "cpu", .host = true, .describe = cpu_describe, .close = cpu_close, .alloc = cpu_alloc,
        .release = cpu_release, .put = cpu_put, .get = cpu_get, .copy = cpu_copy, .zero = cpu_zero,
        .share = cpu_share, .unshare = cpu_unshare, .sync = cpu_sync, .memory = cpu_memory,
        .weight_pack = cpu_pack, .weight_free = cpu_weight_free, .stay = cpu_stay, .lhs_new = cpu_lhs_new,
        .lhs_free = cpu_lhs_free, .lhs_set = cpu_lhs_set, .product = cpu_product, .kernel = cpu_kernel,
        .padded_rows = cpu_padded_rows, .head_rows = cpu_head_rows, .rows_of = cpu_rows_of, .packed_row = cpu_packed_row, .begin = cpu_begin, .gather = cpu_gather,
        .add_norm = cpu_add_norm, .add_norm_diff = cpu_add_norm_diff,
        .place = cpu_place, .attend = cpu_attend, .act = cpu_act, .project = cpu_project, .sum = cpu_sum,
        .softcap = cpu_softcap, .edit = cpu_edit, .tap = cpu_tap, .head = dk_cpu_head, .choose = dk_cpu_choose,
        .row_sums = dk_cpu_row_sums, .row_products = dk_cpu_row_products, .scatter = dk_cpu_scatter
    };
    static struct cpu cpu = { .dev = { &ops } };

    return &cpu.dev;
}
