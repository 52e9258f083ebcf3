/* The roof: what oneDNN itself reaches at the shapes of a model's blocks, weights packed once in the
 * layout that it asks for, 512 rows, its own threads; for llama-like blocks of the default model.
 *
 * usage: bench_roof [ROWS]   Prints "roof f32 GFLOPS KERNEL" and, where there are such products, "roof bf16". */
#include <stdio.h>
#include <stdlib.h>

#include "backend/dnnldyn.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

enum { SHAPES = 4, COPIES = 4, REPEATS = 3 };     /* copies: more than a cache holds */
static const size_t shape[SHAPES][2] = { { 960, 576 }, { 576, 576 }, { 3072, 576 }, { 576, 1536 } };

static dnnl_engine_t engine;
static dnnl_stream_t stream;

struct product { dnnl_primitive_t prim; dnnl_memory_t x, y, w[COPIES]; };

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
#define MD(m) (m)
#else
typedef dnnl_memory_desc_t md_t;
#define MD(m) (&(m))
#endif

static int plain(md_t *md, size_t rows, size_t cols, dnnl_data_type_t t)
{
    dnnl_dims_t dims = { (dnnl_dim_t)rows, (dnnl_dim_t)cols }, strides = { (dnnl_dim_t)cols, 1 };
#if DNNL_VERSION_MAJOR >= 3
    return (int)dnnl_memory_desc_create_with_strides(md, 2, dims, t, strides);
#else
    return (int)dnnl_memory_desc_init_by_strides(md, 2, dims, t, strides);
#endif
}

static int any(md_t *md, size_t rows, size_t cols, dnnl_data_type_t t)
{
    dnnl_dims_t dims = { (dnnl_dim_t)rows, (dnnl_dim_t)cols };
#if DNNL_VERSION_MAJOR >= 3
    return (int)dnnl_memory_desc_create_with_tag(md, 2, dims, t, dnnl_format_tag_any);
#else
    return (int)dnnl_memory_desc_init_by_tag(md, 2, dims, t, dnnl_format_tag_any);
#endif
}

static int make(struct product *p, size_t m, size_t n, size_t k, dnnl_data_type_t t, const char **info)
{
    const size_t size = t == dnnl_bf16 ? 2 : 4;
    dnnl_primitive_desc_t pd = NULL;
    md_t x, w, y;
    void *at = NULL;
    int bad = plain(&x, m, k, t) | any(&w, k, n, t) | plain(&y, m, n, dnnl_f32);

#if DNNL_VERSION_MAJOR >= 3
    bad = bad || dnnl_matmul_primitive_desc_create(&pd, engine, x, w, NULL, y, NULL);
#else
    dnnl_matmul_desc_t d;

    bad = bad || dnnl_matmul_desc_init(&d, &x, &w, NULL, &y) || dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL);
#endif
    if (bad || dnnl_primitive_create(&p->prim, pd))
        return -1;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, info);
    for (int c = 0; c < COPIES; c++)
        if (dk_alloc(&at, dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0)), 1, "", NULL) < 0 ||
            dnnl_memory_create(&p->w[c], dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), engine, at))
            return -1;
    if (dk_alloc(&at, m * k, size, "", NULL) < 0 || dnnl_memory_create(&p->x, MD(x), engine, at))
        return -1;
    return dk_alloc(&at, m * n, 4, "", NULL) < 0 || dnnl_memory_create(&p->y, MD(y), engine, at) ? -1 : 0;
}

static void roof(size_t m, dnnl_data_type_t t, const char *name)
{
    struct product p[SHAPES] = {{0}};
    const char *info = "";
    double best = 1e9, flops = 0;

    for (int s = 0; s < SHAPES; s++)
        if (make(&p[s], m, shape[s][0], shape[s][1], t, &info) < 0)
            return;
    for (int r = 0; r < REPEATS; r++) {
        const double t0 = dk_now();

        flops = 0;
        for (int c = 0; c < COPIES; c++)
            for (int s = 0; s < SHAPES; s++) {
                dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, p[s].x }, { DNNL_ARG_WEIGHTS, p[s].w[c] },
                                           { DNNL_ARG_DST, p[s].y } };

                dnnl_primitive_execute(p[s].prim, stream, 3, args);
                dnnl_stream_wait(stream);
                flops += 2.0 * (double)(m * shape[s][0] * shape[s][1]);
            }
        best = dk_now() - t0 < best ? dk_now() - t0 : best;
    }
    printf("roof\t%s\t%.1f\t%s\n", name, flops / best * 1e-9, info);
}

int main(int argc, char **argv)
{
    const size_t m = argc > 1 ? strtoul(argv[1], NULL, 10) : 512;
    dk_err err = {0};

    dk_threads_set(0);
    if (dk_dnnl_load(&err) < 0 || dnnl_engine_create(&engine, dnnl_cpu, 0) ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) {
        fprintf(stderr, "bench_roof: %s\n", err.msg);
        return 1;
    }
    roof(m, dnnl_f32, "f32");
    roof(m, dnnl_bf16, "bf16");
    return 0;
}
