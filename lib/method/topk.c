/* The top-k visitor: one heap per row and end. */
#include "method/topk.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/lanes.h"
#include "num/simd.h"
#include "num/topheap.h"

struct sums { int64_t *diff; int32_t *positive; };  /* [V] of one thread and lane */

struct dk_topk {
    size_t n_lanes, k, vocab, block, threads;
    dk_heap *heap;              /* [thread][lane][row][end] */
    uint64_t *pool;
    struct sums *sums;              /* [thread][lane] */
    int64_t *top_count, *bottom_count;  /* [lane][V]; counted after a pass */
    int *bad;                       /* [thread][lane] */
    const dk_topk_lists *lists;
    const uint32_t *watched;
    size_t n_watched;
    /* The eye's arrays, [lane]: */
    uint32_t *top_id[DK_MAX_LANES], *bottom_id[DK_MAX_LANES];
    float *top[DK_MAX_LANES], *bottom[DK_MAX_LANES];
    int64_t *sum_diff[DK_MAX_LANES], *tops[DK_MAX_LANES], *bottoms[DK_MAX_LANES];
    int32_t *positive[DK_MAX_LANES];
    int *any_bad[DK_MAX_LANES];
    dk_eye eye;
};

int dk_topk_new(dk_topk **out, size_t n_lanes, size_t k, size_t vocab, dk_err *err)
{
    dk_topk *t = dk_xcalloc(1, sizeof *t);
    size_t n;
    int rc;

    *t = (dk_topk){ .n_lanes = n_lanes, .k = k < vocab ? k : vocab, .vocab = vocab,
                    .block = DK_HEAD_ROWS_MAX, .threads = (size_t)dk_threads() };
    n = t->threads * n_lanes * t->block * 2;
    t->heap = dk_xcalloc(n, sizeof *t->heap);
    t->sums = dk_xcalloc(t->threads * n_lanes, sizeof *t->sums);
    t->bad = dk_xcalloc(t->threads * n_lanes, sizeof *t->bad);
    rc = dk_alloc(&t->pool, n * 2 * t->k, sizeof *t->pool, "top-k lists", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        t->heap[i].entry = t->pool + i * 2 * t->k;
    for (size_t i = 0; rc == 0 && i < t->threads * n_lanes; i++) {
        if (i % n_lanes == 0)
            continue;
        rc = dk_alloc(&t->sums[i].diff, vocab, sizeof(int64_t), "vocabulary sums", err);
        if (rc == 0)
            rc = dk_alloc(&t->sums[i].positive, vocab, sizeof(int32_t), "vocabulary counts", err);
    }
    if (rc == 0)
        rc = dk_alloc(&t->top_count, n_lanes * vocab, sizeof(int64_t), "vocabulary counts", err);
    if (rc == 0)
        rc = dk_alloc(&t->bottom_count, n_lanes * vocab, sizeof(int64_t), "vocabulary counts", err);
    if (rc < 0)
        dk_topk_free(&t);
    *out = t;
    return rc;
}

void dk_topk_free(dk_topk **tp)
{
    dk_topk *t = *tp;

    if (!t)
        return;
    for (size_t i = 0; i < t->threads * t->n_lanes; i++) {
        dk_free(t->sums[i].diff);
        dk_free(t->sums[i].positive);
    }
    dk_free(t->sums);
    dk_free(t->heap);
    dk_free(t->pool);
    dk_free(t->top_count);
    dk_free(t->bottom_count);
    dk_free(t->bad);
    dk_free(t);
    *tp = NULL;
}

void dk_topk_watch(dk_topk *t, const uint32_t *ids, size_t n)
{
    t->watched = ids;
    t->n_watched = n;
}

void dk_topk_target(dk_topk *t, const dk_topk_lists *lists)
{
    t->lists = lists;
    for (size_t l = 1; l < t->n_lanes; l++) {
        t->top_id[l] = lists[l].top_id;
        t->bottom_id[l] = lists[l].bottom_id;
        t->top[l] = lists[l].top;
        t->bottom[l] = lists[l].bottom;
        t->sum_diff[l] = t->sums[l].diff;
        t->positive[l] = t->sums[l].positive;
        t->tops[l] = t->top_count + l * t->vocab;
        t->bottoms[l] = t->bottom_count + l * t->vocab;
        t->any_bad[l] = t->bad + l;
    }
    t->eye = (dk_eye){ .kind = DK_EYE_TOPK, .k = t->k, .top_id = t->top_id, .bottom_id = t->bottom_id, .top = t->top,
                       .bottom = t->bottom, .sum_diff = t->sum_diff, .positive = t->positive, .top_count = t->tops,
                       .bottom_count = t->bottoms, .bad = t->any_bad };
}

static dk_heap *heap_of(const dk_topk *t, const dk_tile *tile, size_t lane, size_t row, int end)
{
    return &t->heap[((((size_t)tile->thread * t->n_lanes + lane) * t->block) + row) * 2 + (size_t)end];
}

static void begin(void *self, const dk_tile *tile)
{
    const dk_topk *t = self;

    for (size_t l = 1; l < t->n_lanes; l++)
        for (size_t i = 0; i < tile->rows; i++) {
            dk_heap *top = heap_of(t, tile, l, i, 0), *bottom = heap_of(t, tile, l, i, 1);

            dk_heap_begin(top, 0);
            dk_heap_begin(bottom, 1);
        }
}

/* d = p - q, and the sums over rows.  Returns whether every d is usable. */
DK_CLONES
static int differences(float *restrict d, const float *restrict p, const float *restrict q, size_t n,
                       int64_t *restrict sum, int32_t *restrict positive)
{
    const double shift = 6755399441055744.0;    /* 1.5 * 2^52: the low bits hold the integer */
    int ok = 1;

    for (size_t i = 0; i < n; i++) {
        const double fixed = ((double)p[i] - (double)q[i]) * 1073741824.0 + shift;
        uint64_t bits;              /* unsigned: what is not usable may overflow */

        d[i] = p[i] - q[i];
        memcpy(&bits, &fixed, 8);
        sum[i] = (int64_t)((uint64_t)sum[i] + bits - 0x4338000000000000u);
        positive[i] += d[i] > 0;
        ok &= d[i] < 1048576.0f && d[i] > -1048576.0f;
    }
    return ok;
}

DK_CLONES
static void scan(const dk_topk *t, dk_heap *top, dk_heap *bottom, const float *restrict d,
                 size_t n, uint32_t v0)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t m = n - i < 16 ? n - i : 16;
        int hit = 0;

        for (size_t j = 0; j < m; j++)
            hit |= (d[i + j] > top->limit) | (d[i + j] < bottom->limit);
        for (size_t j = 0; hit && j < m; j++) {
            const float v = d[i + j];

            if (v > top->limit)
                dk_heap_offer(top, t->k, v, v0 + (uint32_t)(i + j), 0);
            if (v < bottom->limit)
                dk_heap_offer(bottom, t->k, v, v0 + (uint32_t)(i + j), 1);
        }
    }
}

/* Of the differences d of ids v0 .. v0 + n - 1 at one row, those that are watched. */
static void watch(const dk_topk *t, float *to, const float *d, size_t v0, size_t n)
{
    for (size_t w = 0; w < t->n_watched; w++)
        if (t->watched[w] >= v0 && t->watched[w] < v0 + n)
            to[w] = d[t->watched[w] - v0];
}

static void visit(void *self, const dk_tile *tile)
{
    const dk_topk *t = self;
    const size_t seen = tile->v0 >= t->vocab ? 0 : t->vocab - tile->v0 < tile->n ? t->vocab - tile->v0 : tile->n;
    static const float zero[2048];
    float d[2048];

    for (size_t l = 1; l < t->n_lanes; l++) {
        const struct sums *s = &t->sums[(size_t)tile->thread * t->n_lanes + l];

        for (size_t i = 0; i < tile->rows; i++)
            for (size_t at = 0; at < seen; at += 2048) {
                const size_t n = seen - at < 2048 ? seen - at : 2048, v0 = tile->v0 + at;

                const bool own = tile->diff && tile->diff[l];
                const float *p = (own ? tile->diff[l] : tile->logits[l]) + i * tile->ld + at;
                const float *q = own ? zero : tile->logits[0] + i * tile->ld + at;

                if (!differences(d, p, q, n, s->diff + v0, s->positive + v0))
                    t->bad[(size_t)tile->thread * t->n_lanes + l] = 1;
                scan(t, heap_of(t, tile, l, i, 0), heap_of(t, tile, l, i, 1), d, n, (uint32_t)v0);
                if (t->n_watched)
                    watch(t, t->lists[l].watched + (tile->row0 + i) * t->n_watched, d, v0, n);
            }
    }
}

static void end(void *self, const dk_tile *tile)
{
    dk_topk *t = self;

    for (size_t l = 1; l < t->n_lanes; l++)
        for (size_t i = 0; i < tile->rows; i++) {
            const size_t at = (tile->row0 + i) * t->k;

            dk_heap_end(heap_of(t, tile, l, i, 0), t->k, 0, t->lists[l].top_id + at, t->lists[l].top + at);
            dk_heap_end(heap_of(t, tile, l, i, 1), t->k, 1, t->lists[l].bottom_id + at, t->lists[l].bottom + at);
            for (size_t j = 0; j < t->k; j++) {
                #pragma omp atomic
                t->top_count[l * t->vocab + t->lists[l].top_id[at + j]]++;
                #pragma omp atomic
                t->bottom_count[l * t->vocab + t->lists[l].bottom_id[at + j]]++;
            }
        }
}

dk_visitor dk_topk_visitor(dk_topk *t) { return (dk_visitor){ t, begin, visit, end, &t->eye }; }

int dk_topk_vocab_get(const dk_topk *t, size_t lane, const dk_topk_vocab *out, dk_err *err)
{
    for (size_t i = 0; i < t->threads; i++)
        if (t->bad[i * t->n_lanes + lane])
            return dk_fail(err, DK_ENUM, "logits are NaN or infinite: the model or an adapter is damaged");
    for (size_t v = 0; v < t->vocab; v++) {
        int64_t sum = 0, positive = 0;

        for (size_t i = 0; i < t->threads; i++) {
            sum += t->sums[i * t->n_lanes + lane].diff[v];
            positive += t->sums[i * t->n_lanes + lane].positive[v];
        }
        out->sum_diff[v] = (double)sum * 0x1p-30;
        out->count_positive[v] = positive;
        out->top_count[v] = t->top_count[lane * t->vocab + v];
        out->bottom_count[v] = t->bottom_count[lane * t->vocab + v];
    }
    return 0;
}
