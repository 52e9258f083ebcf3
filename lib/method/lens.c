/* The lens visitor. */
#include "method/lens.h"

#include "base/mem.h"
#include "base/thread.h"
#include "model/lanes.h"
#include "num/kernel_kl.h"
#include "num/topheap.h"

struct row { dk_heap heap; dk_lse lse; };

struct dk_lens {
    size_t n_lanes, k, block;
    struct row *row;                /* [thread][lane][row of the block] */
    uint64_t *pool;
    const dk_lens_list *lists;
    uint32_t *id[DK_MAX_LANES];
    float *logp[DK_MAX_LANES];
    dk_eye eye;
};

int dk_lens_new(dk_lens **out, size_t n_lanes, size_t k, size_t vocab, dk_err *err)
{
    dk_lens *l = dk_xcalloc(1, sizeof *l);
    const size_t n = (size_t)dk_threads() * n_lanes * DK_HEAD_ROWS_MAX;
    int rc;

    *l = (dk_lens){ .n_lanes = n_lanes, .k = k < vocab ? k : vocab, .block = DK_HEAD_ROWS_MAX };
    rc = dk_alloc(&l->row, n, sizeof *l->row, "lens lists", err);
    if (rc == 0)
        rc = dk_alloc(&l->pool, n * 2 * l->k, sizeof *l->pool, "lens lists", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        l->row[i].heap.entry = l->pool + i * 2 * l->k;
    if (rc < 0)
        dk_lens_free(&l);
    *out = l;
    return rc;
}

void dk_lens_free(dk_lens **l)
{
    if (*l) {
        dk_free((*l)->row);
        dk_free((*l)->pool);
        dk_free(*l);
        *l = NULL;
    }
}

void dk_lens_target(dk_lens *l, const dk_lens_list *lists)
{
    l->lists = lists;
    for (size_t i = 0; i < l->n_lanes; i++) {
        l->id[i] = lists[i].id;
        l->logp[i] = lists[i].logp;
    }
    l->eye = (dk_eye){ .kind = DK_EYE_LENS, .k = l->k, .id = l->id, .id_logp = l->logp };
}

static struct row *row_of(const dk_lens *l, const dk_tile *t, size_t lane, size_t i)
{
    return &l->row[((size_t)t->thread * l->n_lanes + lane) * l->block + i];
}

static void begin(void *self, const dk_tile *t)
{
    const dk_lens *l = self;

    for (size_t lane = 0; lane < l->n_lanes; lane++)
        for (size_t i = 0; i < t->rows; i++) {
            struct row *r = row_of(l, t, lane, i);

            dk_heap_begin(&r->heap, 0);
            dk_lse_begin(&r->lse);
        }
}

static void tile(void *self, const dk_tile *t)
{
    const dk_lens *l = self;

    for (size_t lane = 0; lane < l->n_lanes; lane++)
        for (size_t i = 0; i < t->rows; i++) {
            struct row *r = row_of(l, t, lane, i);
            const float *x = t->logits[lane] + i * t->ld;

            dk_lse_tile(&r->lse, x, t->n, 1);
            for (size_t v = 0; v < t->n; v++)
                if (x[v] > r->heap.limit)
                    dk_heap_offer(&r->heap, l->k, x[v], (uint32_t)(t->v0 + v), 0);
        }
}

static void end(void *self, const dk_tile *t)
{
    const dk_lens *l = self;

    for (size_t lane = 0; lane < l->n_lanes; lane++)
        for (size_t i = 0; i < t->rows; i++) {
            struct row *r = row_of(l, t, lane, i);
            const size_t at = (t->row0 + i) * l->k;
            const double lse = dk_lse_end(&r->lse);

            dk_heap_end(&r->heap, l->k, 0, l->lists[lane].id + at, l->lists[lane].logp + at);
            for (size_t j = 0; j < l->k; j++)
                l->lists[lane].logp[at + j] = (float)((double)l->lists[lane].logp[at + j] - lse);
        }
}

dk_visitor dk_lens_visitor(dk_lens *l) { return (dk_visitor){ l, begin, tile, end, &l->eye }; }
