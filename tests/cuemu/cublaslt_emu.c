/* cuBLASLt as the host side uses it: products summed one by one, in three orders
 * that round differently, so that algorithms can be told apart.
 *
 *   DK_CUEMU_LT=none   no algorithm for any product
 *   DK_CUEMU_LT=odd    the algorithms for few rows all sum in another order
 *   DK_CUEMU_LT=refuse products are not supported when it comes to it
 *   DK_CUEMU_LT=fail   products fail */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cult.h"
#include "cudart_emu.h"

#define API __attribute__((visibility("default")))

enum { OK = 0, INVALID = 7, FAILED = 13, UNSUPPORTED = 15, FORWARD = 1, BACKWARD = 2, HALVES = 3 };

struct desc { int compute, scale, turned; };
struct layout { int type; uint64_t rows, cols; int64_t ld; };
struct pref { uint64_t workspace; uint32_t reduction, align[4]; };

API int cublasLtCreate(void **handle);
API int cublasLtDestroy(void *handle);
API size_t cublasLtGetVersion(void);
API int cublasLtMatmulDescCreate(void **desc, int compute, int scale);
API int cublasLtMatmulDescDestroy(void *desc);
API int cublasLtMatmulDescSetAttribute(void *desc, int what, const void *value, size_t bytes);
API int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
API int cublasLtMatrixLayoutDestroy(void *layout);
API int cublasLtMatmulPreferenceCreate(void **pref);
API int cublasLtMatmulPreferenceDestroy(void *pref);
API int cublasLtMatmulPreferenceSetAttribute(void *pref, int what, const void *value, size_t bytes);
API int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *pref,
                                       int wanted, dk_lt_found *found, int *n);
API int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                       void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                       const dk_lt_algo *algo, void *workspace, size_t bytes, cudaStream_t s);

static int mode(const char *what)
{
    const char *s = getenv("DK_CUEMU_LT");

    return s && strcmp(s, what) == 0;
}

static void *made(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (!p)
        abort();
    return p;
}

int cublasLtCreate(void **handle)
{
    *handle = made(1);
    return OK;
}

int cublasLtDestroy(void *handle)
{
    free(handle);
    return OK;
}

size_t cublasLtGetVersion(void) { return 130100; }

int cublasLtMatmulDescCreate(void **desc, int compute, int scale)
{
    struct desc *d = made(sizeof *d);

    d->compute = compute;
    d->scale = scale;
    *desc = d;
    return OK;
}

int cublasLtMatmulDescDestroy(void *desc)
{
    free(desc);
    return OK;
}

int cublasLtMatmulDescSetAttribute(void *desc, int what, const void *value, size_t bytes)
{
    struct desc *d = desc;

    if (what != DK_LT_DESC_TRANSA || bytes != sizeof(int))
        return INVALID;
    memcpy(&d->turned, value, bytes);
    return OK;
}

int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    struct layout *l = made(sizeof *l);

    *l = (struct layout){ type, rows, cols, ld };
    *layout = l;
    return OK;
}

int cublasLtMatrixLayoutDestroy(void *layout)
{
    free(layout);
    return OK;
}

int cublasLtMatmulPreferenceCreate(void **pref)
{
    struct pref *p = made(sizeof *p);

    *p = (struct pref){ 0, 3, { 256, 256, 256, 256 } };
    *pref = p;
    return OK;
}

int cublasLtMatmulPreferenceDestroy(void *pref)
{
    free(pref);
    return OK;
}

int cublasLtMatmulPreferenceSetAttribute(void *pref, int what, const void *value, size_t bytes)
{
    struct pref *p = pref;

    if (what == DK_LT_PREF_WORKSPACE && bytes == 8)
        memcpy(&p->workspace, value, bytes);
    else if (what == DK_LT_PREF_REDUCTION && bytes == 4)
        memcpy(&p->reduction, value, bytes);
    else if (what >= DK_LT_PREF_ALIGN_A && what <= DK_LT_PREF_ALIGN_D && bytes == 4)
        memcpy(&p->align[what - DK_LT_PREF_ALIGN_A], value, bytes);
    else
        return INVALID;
    return OK;
}

/* a [k, n] and b [k, m] of one type, c [n, m]; by columns, a turned. */
static int fits(const struct desc *op, const struct layout *a, const struct layout *b, const struct layout *c)
{
    return op->compute == DK_LT_COMPUTE_32F && op->scale == DK_LT_R_32F && op->turned == DK_LT_OP_T &&
           a->type == b->type && (a->type == DK_LT_R_32F || a->type == DK_LT_R_16BF) && c->type == DK_LT_R_32F &&
           a->rows == b->rows && a->cols == c->rows && b->cols == c->cols && a->ld >= (int64_t)a->rows &&
           b->ld >= (int64_t)b->rows && c->ld >= (int64_t)c->rows;
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *pref,
                                   int wanted, dk_lt_found *found, int *n)
{
    const struct pref *p = pref;
    const struct layout *lb = b;
    const int few = lb->cols <= 64;
    int order[3] = { FORWARD, BACKWARD, HALVES };

    *n = 0;
    if (!handle || c != d || !fits(desc, a, b, c) || p->reduction != DK_LT_REDUCTION_NONE)
        return INVALID;
    if (mode("none"))
        return UNSUPPORTED;
    if (few) {                  /* the best for few rows is not that for many */
        order[0] = HALVES;
        order[2] = mode("odd") ? BACKWARD : FORWARD;
    }
    for (int i = 0; i < 3 && i < wanted; i++) {
        found[i] = (dk_lt_found){ .workspace = 1024 };
        found[i].algo.data[0] = (uint64_t)order[i];
        for (int k = 0; k < 4; k++)
            found[i].algo.data[1 + k] = p->align[k];
        (*n)++;
    }
    return OK;
}

static float value(const void *p, int type, size_t i)
{
    uint32_t bits;
    float f;

    if (type == DK_LT_R_32F)
        return ((const float *)p)[i];
    bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&f, &bits, 4);
    return f;
}

static float dot(const void *a, const void *b, int type, size_t at_a, size_t at_b, size_t k, uint64_t order)
{
    float s = 0, t = 0;

    for (size_t i = 0; i < k; i++) {
        const size_t j = order == BACKWARD ? k - 1 - i : i;
        const float p = value(a, type, at_a + j) * value(b, type, at_b + j);

        if (order == HALVES && i % 2)
            t += p;
        else
            s += p;
    }
    return s + t;
}

int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                   void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                   const dk_lt_algo *algo, void *workspace, size_t bytes, cudaStream_t s)
{
    const struct layout *la = a_layout, *lb = b_layout, *lc = c_layout;
    const float one = 1, zero = 0;
    float *y = d;

    if (!handle || !s || c != d || c_layout != d_layout || !fits(desc, la, lb, lc) || !workspace || bytes < 1024 ||
        memcmp(alpha, &one, 4) != 0 || memcmp(beta, &zero, 4) != 0)
        return INVALID;
    if ((uintptr_t)a % algo->data[1] || (uintptr_t)b % algo->data[2] || (uintptr_t)d % algo->data[3])
        return UNSUPPORTED;
    if (mode("refuse"))
        return UNSUPPORTED;
    if (mode("fail") || dk_cuemu_launch() != 0)
        return FAILED;
    dk_cudart_emu_read(a);
    for (uint64_t i = 0; i < lb->cols; i++)
        for (uint64_t j = 0; j < la->cols; j++)
            y[i * (uint64_t)lc->ld + j] = dot(a, b, la->type, j * (uint64_t)la->ld, i * (uint64_t)lb->ld, la->rows,
                                              algo->data[0]);
    dk_cudart_emu_flush();
    return OK;
}
