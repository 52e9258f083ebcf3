/* Packed products through oneDNN, the one caller of it, or through own kernels
 * (panels.c) on processors whose library kernels read W unblocked.
 *
 * Two facts about its kernels shape this file.  (1) With static dimensions a
 * row's bits do not depend on its place within a block, but they do depend on
 * the block's height where the height leaves a remainder for another kernel:
 * so blocks have fixed heights (one large, one small) and the two are compared
 * bit for bit before the small one is used.  (2) On CPUs whose kernel reads W
 * unblocked (gemm:jit), strips wider than a few hundred columns, or of a width
 * that is a power of two, run at half speed: so strips are narrow there.
 *
 * Where bf16 is multiplied as f32, packed weights are kept in bf16 all the same,
 * in the kernel's order: half the memory, and half of what a pass reads from it.
 * A thread widens a strip into its own buffer before it uses it. */
#include "backend/product.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "backend/dnnldyn.h"
#include "backend/panels.h"
#include "base/log.h"
#include "base/mem.h"
#include "num/half.h"

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t const_md_t;
#define MD(m) (m)
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *const_md_t;
#define MD(m) (&(m))
#endif

enum { MAX_KERNELS = 512, MAX_THREADS = 1024 };

/* Everything that one shape needs.  Kernels live until the process ends. */
struct kernel {
    size_t m, n, k, ldy;
    dk_dtype dtype;
    dnnl_primitive_t prim;
    dnnl_primitive_desc_t pd;
    md_t x_md, y_md;
    size_t scratch;
    const char *info;
    bool usable;
};

/* packed: in the layout that the large block's kernel wants.  serial: no two
 * strips of a process have the same. */
struct strip { void *packed; size_t first, n; uint64_t serial; };

struct dk_weight {
    size_t n, k, n_strips, strip_max;
    dk_dtype dtype;
    struct strip *strip;
    dk_panels panels;       /* where they are used: all strips */
};

struct dk_lhs {
    size_t m, k, rows, max_k;
    dk_dtype dtype;
    bool native;            /* holds u16 bf16 */
    void *data;
};

static const char *own;     /* the name of the own kernels, where they are used */
static dnnl_engine_t engine;
static struct kernel kernels[MAX_KERNELS];
static size_t n_kernels;
static bool native_bf16, blocked;   /* bf16 products exist; W is read blocked */
static size_t big_rows, small_rows;
static uint64_t last_serial;
static struct {
    dnnl_stream_t stream;
    void *scratch;
    size_t bytes;
    float *wide;            /* a strip of bf16 as f32: whose, and room */
    size_t wide_room;
    uint64_t wide_serial;
    float *tile;            /* a piece on its way to rows that lie farther apart */
    size_t tile_room;
} per_thread[MAX_THREADS];

static int check(dnnl_status_t s, const char *what, dk_err *err)
{
    return s == dnnl_success ? 0
        : dk_fail(err, s == dnnl_out_of_memory ? DK_ENOMEM : DK_EDATA,
                  "matrix product library: %s failed (status %d)", what, (int)s);
}

static dnnl_status_t md_strided(md_t *md, size_t rows, size_t cols, size_t s0, size_t s1,
                                dnnl_data_type_t t)
{
    dnnl_dims_t dims = { (dnnl_dim_t)rows, (dnnl_dim_t)cols };
    dnnl_dims_t strides = { (dnnl_dim_t)s0, (dnnl_dim_t)s1 };
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(md, 2, dims, t, strides);
#else
    return dnnl_memory_desc_init_by_strides(md, 2, dims, t, strides);
#endif
}

static dnnl_status_t md_any(md_t *md, size_t rows, size_t cols, dnnl_data_type_t t)
{
    dnnl_dims_t dims = { (dnnl_dim_t)rows, (dnnl_dim_t)cols };
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(md, 2, dims, t, dnnl_format_tag_any);
#else
    return dnnl_memory_desc_init_by_tag(md, 2, dims, t, dnnl_format_tag_any);
#endif
}

/* From version 3 on descriptors are objects. */
static void md_free(md_t *md)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*md)
        dnnl_memory_desc_destroy(*md);
    *md = NULL;
#else
    (void)md;
#endif
}

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *pd, const_md_t x, const_md_t w, const_md_t y,
                               dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(pd, engine, x, w, NULL, y, attr);
#else
    dnnl_matmul_desc_t d;
    const dnnl_status_t s = dnnl_matmul_desc_init(&d, x, w, NULL, y);

    return s ? s : dnnl_primitive_desc_create(pd, &d, attr, engine, NULL);
#endif
}

static dnnl_data_type_t in_type(dk_dtype t)
{
    return t == DK_BF16 && native_bf16 ? dnnl_bf16 : dnnl_f32;
}

/* Products in f32, weights kept in bf16. */
static bool kept_narrow(dk_dtype t) { return t == DK_BF16 && !native_bf16; }

/* Fills kern for its shape.  layout NULL: let the library choose W's layout. */
static int make_kernel(struct kernel *kern, const_md_t layout, dk_err *err)
{
    const dnnl_data_type_t t = in_type(kern->dtype);
    dnnl_primitive_attr_t attr = NULL;
    md_t w_md = {0};
    const_md_t scratch;
    const int threads = omp_get_max_threads();
    int rc;

    omp_set_num_threads(1);         /* a piece is computed by one thread */
    rc = check(dnnl_primitive_attr_create(&attr), "attributes", err);
    if (rc == 0)
        rc = check(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user),
                   "scratchpad mode", err);
    if (rc == 0)
        rc = check(md_strided(&kern->x_md, kern->m, kern->k, kern->k, 1, t), "x", err);
    if (rc == 0)
        rc = check(md_any(&w_md, kern->k, kern->n, t), "W", err);
    if (rc == 0)
        rc = check(md_strided(&kern->y_md, kern->m, kern->n, kern->ldy, 1, dnnl_f32), "y", err);
    if (rc == 0)
        rc = check(matmul_pd(&kern->pd, MD(kern->x_md), layout ? layout : MD(w_md), MD(kern->y_md),
                             attr), "choosing a kernel", err);
    if (rc == 0) {
        dnnl_primitive_desc_query(kern->pd, dnnl_query_impl_info_str, 0, &kern->info);
        scratch = dnnl_primitive_desc_query_md(kern->pd, dnnl_query_scratchpad_md, 0);
        kern->scratch = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
        rc = check(dnnl_primitive_create(&kern->prim, kern->pd), "making a kernel", err);
    }
    md_free(&w_md);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    omp_set_num_threads(threads);
    return rc;
}

static const_md_t weight_layout(const struct kernel *kern)
{
    return dnnl_primitive_desc_query_md(kern->pd, dnnl_query_weights_md, 0);
}

/* The thread's buffer for a strip of n values; what it holds is forgotten. */
static int wide_room(size_t n, dk_err *err)
{
    const int id = omp_get_thread_num();
    int rc = 0;

    DK_ASSERT(id < MAX_THREADS);
    per_thread[id].wide_serial = 0;
    if (per_thread[id].wide_room < n) {
        dk_free(per_thread[id].wide);
        per_thread[id].wide_room = 0;
        rc = dk_alloc(&per_thread[id].wide, n, sizeof(float), "a strip of weights", err);
        per_thread[id].wide_room = rc == 0 ? n : 0;
    }
    return rc;
}

/* A strip as the kernel reads it. */
static int widen(const void **out, const struct kernel *kern, const struct strip *s, dk_err *err)
{
    const int id = omp_get_thread_num();
    const uint16_t *from = s->packed;
    int rc = 0;

    *out = s->packed;
    if (!kept_narrow(kern->dtype))
        return 0;
    if (per_thread[id].wide_serial != s->serial) {
        const size_t n = dnnl_memory_desc_get_size(weight_layout(kern)) / sizeof(float);

        if ((rc = wide_room(n, err)) < 0)
            return rc;
        for (size_t i = 0; i < n; i++)
            per_thread[id].wide[i] = dk_bf16_f32(from[i]);
        per_thread[id].wide_serial = s->serial;
    }
    *out = per_thread[id].wide;
    return rc;
}

/* One piece: y = x W, all pointers to whole blocks. */
static int run_kernel(const struct kernel *kern, float *y, const void *x, const struct strip *strip, dk_err *err)
{
    const int id = omp_get_thread_num();
    dnnl_memory_t mx = NULL, my = NULL, ms = NULL, mw = NULL;
    const void *w = NULL;
    int rc = 0;

    DK_ASSERT(id < MAX_THREADS);
    if (!per_thread[id].stream)
        rc = check(dnnl_stream_create(&per_thread[id].stream, engine, dnnl_stream_default_flags),
                   "stream", err);
    if (rc == 0 && kern->scratch > per_thread[id].bytes) {
        dk_free(per_thread[id].scratch);
        per_thread[id].bytes = 0;
        rc = dk_alloc(&per_thread[id].scratch, kern->scratch, 1, "product scratch", err);
        per_thread[id].bytes = rc == 0 ? kern->scratch : 0;
    }
    if (rc == 0)
        rc = widen(&w, kern, strip, err);
    if (rc == 0)
        rc = check(dnnl_memory_create(&mw, weight_layout(kern), engine, (void *)(uintptr_t)w), "W", err);
    if (rc == 0)
        rc = check(dnnl_memory_create(&mx, MD(kern->x_md), engine, (void *)(uintptr_t)x), "x", err);
    if (rc == 0)
        rc = check(dnnl_memory_create(&my, MD(kern->y_md), engine, y), "y", err);
    if (rc == 0 && kern->scratch)
        rc = check(dnnl_memory_create(&ms, dnnl_primitive_desc_query_md(kern->pd,
                   dnnl_query_scratchpad_md, 0), engine, per_thread[id].scratch), "scratch", err);
    if (rc == 0) {
        dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, mx }, { DNNL_ARG_WEIGHTS, mw },
                                   { DNNL_ARG_DST, my }, { DNNL_ARG_SCRATCHPAD, ms } };

        rc = check(dnnl_primitive_execute(kern->prim, per_thread[id].stream, ms ? 4 : 3, args),
                   "product", err);
        if (rc == 0)
            rc = check(dnnl_stream_wait(per_thread[id].stream), "product", err);
    }
    if (mw) dnnl_memory_destroy(mw);
    if (mx) dnnl_memory_destroy(mx);
    if (my) dnnl_memory_destroy(my);
    if (ms) dnnl_memory_destroy(ms);
    return rc;
}

/* The same to rows ldy apart, where the kernel writes them n apart. */
static int execute(const struct kernel *kern, float *y, size_t ldy, const void *x, const struct strip *strip, dk_err *err)
{
    const int id = omp_get_thread_num();
    const size_t n = kern->m * kern->n;
    int rc = 0;

    if (kern->ldy == ldy)
        return run_kernel(kern, y, x, strip, err);
    DK_ASSERT(id < MAX_THREADS && kern->ldy == kern->n);
    if (per_thread[id].tile_room < n) {
        dk_free(per_thread[id].tile);
        per_thread[id].tile_room = 0;
        rc = dk_alloc(&per_thread[id].tile, n, sizeof(float), "a tile of a product", err);
        per_thread[id].tile_room = rc == 0 ? n : 0;
    }
    if (rc == 0)
        rc = run_kernel(kern, per_thread[id].tile, x, strip, err);
    for (size_t i = 0; rc == 0 && i < kern->m; i++)
        memcpy(y + i * ldy, per_thread[id].tile + i * kern->n, kern->n * sizeof *y);
    return rc;
}

/* The large and the small block must give the same bits, or only the large
 * one is used: random inputs, every row compared. */
static int compare_heights(struct kernel *small, const struct kernel *big, const struct strip *w,
                           dk_err *err)
{
    const size_t k = big->k, in = in_type(big->dtype) == dnnl_bf16 ? 2 : 4;
    float *y = NULL, *z = NULL, *x = NULL;
    uint32_t s = 12345;
    int rc = dk_alloc(&x, big->m * k, sizeof *x, "a comparison", err);

    if (rc == 0)
        rc = dk_alloc(&y, big->m * big->ldy, sizeof *y, "a comparison", err);
    if (rc == 0)
        rc = dk_alloc(&z, big->m * big->ldy, sizeof *z, "a comparison", err);
    for (size_t i = 0; rc == 0 && i < big->m * k; i++) {
        float v;

        s = s * 1664525u + 1013904223u;
        v = (float)(s >> 8) * 0x1p-24f - 0.5f;
        if (in == 4)
            x[i] = v;
        else {
            uint32_t bits;

            memcpy(&bits, &v, 4);
            ((uint16_t *)(void *)x)[i] = (uint16_t)(bits >> 16);
        }
    }
    if (rc == 0)
        rc = execute(big, y, big->ldy, x, w, err);
    for (size_t i = 0; rc == 0 && i + small->m <= big->m; i += small->m)
        rc = execute(small, z + i * big->ldy, big->ldy, (const char *)x + i * k * in, w, err);
    small->usable = rc == 0;
    for (size_t i = 0; rc == 0 && i < big->m / small->m * small->m; i++)
        if (memcmp(y + i * big->ldy, z + i * big->ldy, big->n * sizeof *y) != 0)
            small->usable = false;
    if (rc == 0 && !small->usable)
        dk_log(DK_DEBUG, "%zu rows x %zu x %zu: small blocks round otherwise, not used",
               small->m, small->n, small->k);
    dk_free(x);
    dk_free(y);
    dk_free(z);
    return rc;
}

static struct kernel *find_kernel(size_t m, size_t n, size_t k, size_t ldy, dk_dtype dtype)
{
    for (size_t i = 0; i < n_kernels; i++) {
        struct kernel *c = &kernels[i];

        if (c->m == m && c->n == n && c->k == k && c->ldy == ldy && c->dtype == dtype)
            return c;
    }
    return NULL;
}

/* Kernels are made outside parallel regions only. */
static int get_kernel(struct kernel **out, size_t m, size_t n, size_t k, size_t ldy,
                      dk_dtype dtype, const_md_t layout, dk_err *err)
{
    int rc;

    *out = find_kernel(m, n, k, ldy, dtype);
    if (*out)
        return 0;
    DK_ASSERT(!omp_in_parallel());
    if (n_kernels == MAX_KERNELS)
        return dk_fail(err, DK_EDATA, "too many different matrix shapes");
    kernels[n_kernels] = (struct kernel){ .m = m, .n = n, .k = k, .ldy = ldy, .dtype = dtype,
                                          .usable = true };
    rc = make_kernel(&kernels[n_kernels], layout, err);
    if (rc == 0)
        *out = &kernels[n_kernels++];
    return rc;
}

/* The library takes any shape and any layout of W, some with loops that nobody
 * should wait for. */
static bool slow(const struct kernel *kern) { return !kern->info || strncmp(kern->info, "ref", 3) == 0; }

/* A kernel for rows of y that lie ldy apart; where there is only a slow one, that
 * for rows without gaps. */
static int get_for_stride(struct kernel **out, size_t m, const struct strip *s, size_t k, size_t ldy, dk_dtype dtype,
                          const_md_t layout, dk_err *err)
{
    const int rc = get_kernel(out, m, s->n, k, ldy, dtype, layout, err);

    return rc == 0 && slow(*out) && ldy != s->n ? get_kernel(out, m, s->n, k, s->n, dtype, layout, err) : rc;
}

static void drop_kernel(struct kernel *kern)
{
    if (kern->prim)
        dnnl_primitive_destroy(kern->prim);
    if (kern->pd)
        dnnl_primitive_desc_destroy(kern->pd);
    md_free(&kern->x_md);
    md_free(&kern->y_md);
    kern->prim = NULL;
    kern->pd = NULL;
}

/* Learns once what this CPU's kernels are. */
static int setup(dk_err *err)
{
    struct kernel probe = { .m = 64, .n = 64, .k = 64, .ldy = 64, .dtype = DK_BF16 };
    const char *name;
    int rc;

    if (engine || own)
        return 0;
    if (dk_panels_wanted(&name)) {
        own = name;
        big_rows = DK_BLOCK_ROWS_MAX;
        dk_log(DK_DEBUG, "products: %s, bf16 as f32 of rounded values", own);
        if (!strstr(own, "avx2"))
            dk_log(DK_INFO, "no AVX2 instructions here (or ONEDNN_MAX_CPU_ISA is set): several times slower");
        return 0;
    }
    if ((rc = dk_dnnl_load(err)) < 0)
        return rc;
    rc = check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine", err);
    if (rc < 0)
        return rc;
    native_bf16 = true;
    native_bf16 = make_kernel(&probe, NULL, NULL) == 0 && probe.info &&
                  strstr(probe.info, "brg") != NULL;
    drop_kernel(&probe);
    probe = (struct kernel){ .m = 64, .n = 64, .k = 64, .ldy = 64, .dtype = DK_F32 };
    rc = make_kernel(&probe, NULL, err);
    blocked = rc == 0 && probe.info && strstr(probe.info, "brg") != NULL;
    big_rows = blocked ? 64 : 96;
    small_rows = blocked ? 8 : 6;
    dk_log(DK_DEBUG, "products: %s, bf16 %s", rc == 0 ? probe.info : "none",
           native_bf16 ? "native" : "as f32 of rounded values");
    drop_kernel(&probe);
    return rc;
}

/* The widest strip that runs fast: see the file's head. */
static size_t strip_width(size_t n)
{
    const size_t limit = blocked ? 1024 : 200;
    size_t parts;

    if (n <= limit)
        return n;
    for (parts = (n + limit - 1) / limit; parts <= 4 * (n / limit + 1); parts++)
        if (n % parts == 0 && n / parts % 16 == 0 && n / parts % 256 != 0)
            return n / parts;
    return blocked ? 512 : 192;
}

static void to_bf16(uint16_t *restrict out, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dk_f32_bf16(x[i]);
}

/* Packs rows [n, k] (f32, k contiguous) as the kernel wants W. */
static int pack_strip(struct strip *s, const struct kernel *kern, float *rows, dk_err *err)
{
    const const_md_t want = weight_layout(kern);
    const size_t bytes = dnnl_memory_desc_get_size(want);
    dnnl_primitive_desc_t rpd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_stream_t stream = NULL;
    md_t src = {0};
    const bool narrow = kept_narrow(kern->dtype);
    void *packed = NULL;
    int rc = dk_alloc(&s->packed, narrow ? bytes / 2 : bytes, 1, "packed weights", err);

    if (kern->dtype == DK_BF16)
        dk_bf16_round_row(rows, kern->n * kern->k);
    if (rc == 0 && narrow)
        rc = wide_room(bytes / sizeof(float), err);
    if (rc == 0)
        packed = narrow ? per_thread[omp_get_thread_num()].wide : s->packed;
    if (rc == 0)
        rc = check(md_strided(&src, kern->k, kern->n, 1, kern->k, dnnl_f32), "W", err);
    if (rc == 0)
        rc = check(dnnl_memory_create(&from, MD(src), engine, rows), "W", err);
    if (rc == 0)
        rc = check(dnnl_memory_create(&to, want, engine, packed), "packing weights", err);
    if (rc == 0)
        rc = check(dnnl_reorder_primitive_desc_create(&rpd, MD(src), engine, want, engine, NULL),
                   "packing weights", err);
    if (rc == 0)
        rc = check(dnnl_primitive_create(&reorder, rpd), "packing weights", err);
    if (rc == 0)
        rc = check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream", err);
    if (rc == 0) {
        dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };

        rc = check(dnnl_primitive_execute(reorder, stream, 2, args), "packing weights", err);
        if (rc == 0)
            rc = check(dnnl_stream_wait(stream), "packing weights", err);
    }
    if (rc == 0 && narrow)
        to_bf16(s->packed, packed, bytes / sizeof(float));
    md_free(&src);
    if (stream) dnnl_stream_destroy(stream);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (rpd) dnnl_primitive_desc_destroy(rpd);
    if (from) dnnl_memory_destroy(from);
    if (to) dnnl_memory_destroy(to);
    return rc;
}

static int is_finite(const float *x, size_t n)
{
    int bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= !(fabsf(x[i]) <= 3.4e38f);
    return !bad;
}

/* One strip: read, check, pack; rows is scratch for it. */
static int fill_strip(dk_weight *w, struct strip *s, float *rows, dk_row_source *src, void *arg,
                      dk_err *err)
{
    int rc = src(arg, rows, s->first, s->n, err);

    if (rc == 0 && !is_finite(rows, s->n * w->k))
        rc = dk_fail(err, DK_ENUM, "weights hold NaN or infinite values");
    if (rc == 0)
        rc = pack_strip(s, find_kernel(big_rows, s->n, w->k, w->strip_max, w->dtype), rows, err);
    return rc;
}

/* All strips, on all threads; the error of the first strip that failed. */
static int fill_strips(dk_weight *w, dk_row_source *src, void *arg, dk_err *err)
{
    const size_t each = w->strip_max * w->k;
    float *rows = NULL;
    size_t bad = w->n_strips;
    dk_err first = {0};
    int rc = dk_alloc(&rows, each * (size_t)omp_get_max_threads(), sizeof *rows, "strips of weights", err);

    if (rc < 0)
        return rc;
    #pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < w->n_strips; i++) {
        dk_err local = {0};

        if (fill_strip(w, &w->strip[i], rows + each * (size_t)omp_get_thread_num(), src, arg, &local) < 0) {
            #pragma omp critical
            if (i < bad) {
                bad = i;
                first = local;
            }
        }
    }
    dk_free(rows);
    return bad < w->n_strips ? dk_fail(err, first.code, "%s", first.msg) : 0;
}

int dk_weight_pack(dk_weight **out, size_t n, size_t k, dk_dtype dtype, dk_row_source *src,
                   void *arg, dk_err *err)
{
    dk_weight *w = NULL;
    int rc = setup(err);

    *out = NULL;
    if (rc < 0)
        return rc;
    w = dk_xcalloc(1, sizeof *w);
    w->n = n;
    w->k = k;
    w->dtype = dtype;
    w->strip_max = strip_width(n);
    w->n_strips = (n + w->strip_max - 1) / w->strip_max;
    w->strip = dk_xcalloc(w->n_strips, sizeof *w->strip);
    for (size_t i = 0; rc == 0 && i < w->n_strips; i++) {
        struct strip *s = &w->strip[i];
        struct kernel *kern;

        s->serial = ++last_serial;
        s->first = i * w->strip_max;
        s->n = n - s->first < w->strip_max ? n - s->first : w->strip_max;
        if (own)
            continue;
        rc = get_kernel(&kern, big_rows, s->n, k, w->strip_max, dtype, NULL, err);
    }
    if (rc == 0)
        rc = own ? dk_panels_pack(&w->panels, n, k, dtype, src, arg, err) : fill_strips(w, src, arg, err);
    if (rc < 0)
        dk_weight_free(&w);
    *out = w;
    return rc;
}

void dk_weight_free(dk_weight **w)
{
    if (!*w)
        return;
    for (size_t i = 0; i < (*w)->n_strips; i++)
        dk_free((*w)->strip[i].packed);
    dk_panels_free(&(*w)->panels);
    dk_free((*w)->strip);
    dk_free(*w);
    *w = NULL;
}

size_t dk_weight_rows(const dk_weight *w) { return w->n; }
size_t dk_weight_cols(const dk_weight *w) { return w->k; }
dk_dtype dk_weight_dtype(const dk_weight *w) { return w->dtype; }
size_t dk_weight_strips(const dk_weight *w) { return w->n_strips; }
size_t dk_weight_strip_max(const dk_weight *w) { return w->strip_max; }

void dk_weight_strip(const dk_weight *w, size_t strip, size_t *first, size_t *n)
{
    *first = w->strip[strip].first;
    *n = w->strip[strip].n;
}

const char *dk_weight_kernel(const dk_weight *w)
{
    const struct kernel *k = own ? NULL : find_kernel(big_rows, w->strip[0].n, w->k, w->strip_max, w->dtype);

    return own ? own : k ? k->info : "none";
}

int dk_lhs_new(dk_lhs **out, size_t max_rows, size_t max_k, dk_dtype dtype, dk_err *err)
{
    dk_lhs *x = NULL;
    size_t n;
    int rc = setup(err);

    *out = NULL;
    if (rc < 0)
        return rc;
    x = dk_xcalloc(1, sizeof *x);
    x->dtype = dtype;
    x->native = !own && in_type(dtype) == dnnl_bf16;
    x->rows = dk_padded_rows(max_rows);
    x->max_k = max_k;
    rc = dk_mul_size(&n, x->rows, max_k) ? dk_alloc(&x->data, n, x->native ? 2 : 4, "inputs of a product", err)
        : dk_fail(err, DK_ENOMEM, "inputs of a product do not fit in memory");
    if (rc < 0)
        dk_lhs_free(&x);
    *out = x;
    return rc;
}

void dk_lhs_free(dk_lhs **x)
{
    if (*x) {
        dk_free((*x)->data);
        dk_free(*x);
        *x = NULL;
    }
}

size_t dk_block_rows(void) { return big_rows; }
size_t dk_block_share(size_t rows)
{
    const size_t threads = (size_t)omp_get_max_threads(), least = (rows + big_rows - 1) / big_rows;
    const size_t blocks = (least + threads - 1) / threads * threads;

    return own && blocks ? dk_panels_whole((rows + blocks - 1) / blocks) : big_rows;
}

size_t dk_padded_rows(size_t m) { return own ? m : m + DK_BLOCK_ROWS_MAX; }
size_t dk_lhs_blocks(const dk_lhs *lhs) { return (lhs->m + big_rows - 1) / big_rows; }

static void *lhs_row(const dk_lhs *lhs, size_t row)
{
    return (char *)lhs->data + row * lhs->k * (lhs->native ? 2 : 4);
}

void dk_lhs_set(dk_lhs *lhs, const float *x, size_t ldx, size_t m, size_t k)
{
    const size_t padded = (m + big_rows - 1) / big_rows * big_rows;

    DK_ASSERT((own ? m : padded) <= lhs->rows && k <= lhs->max_k);
    lhs->m = m;
    lhs->k = k;
    if (own) {
        dk_panels_rows(lhs->data, x, ldx, m, k, lhs->dtype);
        return;
    }
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < padded; i++) {
        float *row = lhs_row(lhs, i);

        if (i >= m)
            memset(row, 0, k * (lhs->native ? 2 : 4));
        else if (lhs->native)
            to_bf16((uint16_t *)(void *)row, x + i * ldx, k);
        else {
            memcpy(row, x + i * ldx, k * sizeof *row);
            if (lhs->dtype == DK_BF16)
                dk_bf16_round_row(row, k);
        }
    }
}

/* The pieces of rows: whole large blocks, then small ones.  One more large
 * block where small ones round otherwise, and from half of one on: there it
 * takes no longer than the small ones, each of which runs through all of W. */
struct rows { size_t big, small, total; };

static struct rows cut_rows(size_t m, bool small_ok)
{
    struct rows r = { .big = m / big_rows };
    const size_t rest = m - r.big * big_rows;

    if (rest > 0 && small_ok && 2 * rest <= big_rows)
        r.small = (rest + small_rows - 1) / small_rows;
    else if (rest > 0)
        r.big++;
    r.total = r.big + r.small;
    return r;
}

int dk_product(float *y, size_t ldy, const dk_lhs *lhs, const dk_weight *w, dk_err *err)
{
    struct kernel *kern[2][2] = {{0}};      /* [last strip][small] */
    const size_t last = w->n_strips - 1;
    struct rows r;
    bool small_ok = true;
    int failed = 0, rc = 0;

    DK_ASSERT(lhs->k == w->k && lhs->dtype == w->dtype && ldy >= w->n);
    if (own) {
        dk_panels_product(y, ldy, lhs->data, lhs->m, &w->panels, w->n, w->k, w->dtype);
        return 0;
    }
    for (int e = 0; rc == 0 && e < 2; e++) {
        const struct strip *s = &w->strip[e ? last : 0];
        const const_md_t layout = weight_layout(find_kernel(big_rows, s->n, w->k, w->strip_max, w->dtype));

        rc = get_for_stride(&kern[e][0], big_rows, s, w->k, ldy, w->dtype, layout, err);
        if (rc == 0) {
            const size_t ld = kern[e][0]->ldy;
            const bool fresh = !find_kernel(small_rows, s->n, w->k, ld, w->dtype);

            rc = get_kernel(&kern[e][1], small_rows, s->n, w->k, ld, w->dtype, layout, err);
            if (rc == 0 && fresh && slow(kern[e][1]))
                kern[e][1]->usable = false;
            else if (rc == 0 && fresh)
                rc = compare_heights(kern[e][1], kern[e][0], s, err);
            if (rc == 0 && fresh)
                dk_log(DK_DEBUG, "product %zu x %zu, rows %zu apart: %s%s; few rows: %s%s", s->n, w->k, ldy,
                       kern[e][0]->info, ld != ldy ? ", copied" : "", kern[e][1]->info,
                       kern[e][1]->usable ? "" : ", not used");
        }
        small_ok = small_ok && rc == 0 && kern[e][1]->usable;
    }
    if (rc < 0)
        return rc;
    r = cut_rows(lhs->m, small_ok);
    /* Strips outside: one is read from memory once for all blocks of rows. */
    #pragma omp parallel for schedule(static) collapse(2) reduction(| : failed)
    for (size_t j = 0; j < w->n_strips; j++)
        for (size_t b = 0; b < r.total; b++) {
            const bool small = b >= r.big;
            const size_t row = small ? r.big * big_rows + (b - r.big) * small_rows : b * big_rows;
            dk_err local = {0};

            failed |= execute(kern[j == last][small], y + row * ldy + w->strip[j].first, ldy,
                              lhs_row(lhs, row), &w->strip[j], &local) < 0;
        }
    return failed ? dk_fail(err, DK_ENOMEM, "a matrix product failed") : 0;
}

int dk_product_strip(float *y, size_t ldy, const dk_lhs *lhs, size_t row0, size_t rows, const dk_weight *w,
                     size_t strip, dk_err *err)
{
    const struct strip *s = &w->strip[strip];
    const struct kernel *kern = own ? NULL : find_kernel(big_rows, s->n, w->k, ldy, w->dtype);

    DK_ASSERT(row0 < lhs->m && rows <= big_rows);
    if (own) {
        const size_t left = lhs->m - row0, whole = dk_panels_whole(rows);

        dk_panels_part(y, ldy, lhs_row(lhs, row0), whole < left ? whole : left, &w->panels, s->first, s->n, w->k,
                       w->dtype);
        return 0;
    }
    DK_ASSERT(kern);        /* ldy is dk_weight_strip_max: made when packing */
    return execute(kern, y, ldy, lhs_row(lhs, row0), s, err);
}
