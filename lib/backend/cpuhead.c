/* The head on the CPU: for each block of rows every strip of the vocabulary, all
 * lanes side by side, handed to the visitors and dropped. */
#include "backend/cpudev.h"

#include "base/mem.h"
#include "base/thread.h"
#include "num/kernels.h"

enum { MAX_LANES = 64 };

/* Where lanes are differences, they are kept beside the logits. */
static size_t tile_sets(const dk_head_args *a) { return (a->diff ? 2 : 1) * a->n_lanes; }

static int head_room(struct cpu *c, const dk_head_args *a, dk_err *err)
{
    const size_t rows = a->n_lanes * a->stride;
    const size_t room = (size_t)dk_threads() * tile_sets(a) * dk_block_rows() * dk_weight_strip_max(a->w[0]);
    const dk_dtype dtype = dk_weight_dtype(a->w[0]);
    int rc = 0;

    if (!c->head_lhs || rows > c->head_room || a->d > c->head_width || dtype != c->head_dtype) {
        dk_lhs_free(&c->head_lhs);
        c->head_room = rows;
        c->head_width = a->d;
        c->head_dtype = dtype;
        rc = dk_lhs_new(&c->head_lhs, rows, a->d, dtype, err);
    }
    if (rc == 0 && room > c->tiles_room) {
        dk_free(c->tiles);
        c->tiles = NULL;
        rc = dk_alloc(&c->tiles, room, sizeof(float), "logit tiles", err);
        c->tiles_room = rc == 0 ? room : 0;
    }
    return rc;
}

/* rows of n logits, ld apart; base NULL, or what they are differences to, capped. */
static void soft_cap(const dk_head_args *a, float *logits, const float *base, size_t rows, size_t n, size_t ld)
{
    for (size_t i = 0; a->softcap > 0 && i < rows; i++)
        if (base)
            dk_softcap_diff(logits + i * ld, base + i * ld, n, a->softcap);
        else
            dk_softcap(logits + i * ld, n, a->softcap);
}

/* The logits of a lane from those of the base and their difference. */
static void add_up(float *out, const float *base, const float *diff, size_t rows, size_t n, size_t ld)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++)
            out[i * ld + j] = base[i * ld + j] + diff[i * ld + j];
}

/* One block of rows: every strip of the vocabulary, all lanes, then the visitors. */
static int visit_block(const struct cpu *c, const dk_head_args *a, size_t row0, size_t rows, dk_err *err)
{
    const dk_weight *w = a->w[0];        /* all heads are cut alike */
    const size_t strip = dk_weight_strip_max(w), each = dk_block_rows() * strip;
    const float *logits[MAX_LANES], *diff[MAX_LANES] = {0};
    float *buf = c->tiles + (size_t)dk_thread_id() * tile_sets(a) * each;
    dk_tile t = { .row0 = row0, .rows = rows, .thread = dk_thread_id(), .ld = strip };
    int rc = 0;

    for (size_t i = 0; i < a->n_visitors; i++)
        a->visitor[i].begin(a->visitor[i].self, &t);
    for (size_t l = 0; l < a->n_lanes; l++) {
        logits[l] = buf + l * each;
        diff[l] = a->diff && l > 0 ? buf + (a->n_lanes + l) * each : NULL;
    }
    for (size_t s = 0; rc == 0 && s < dk_weight_strips(w); s++) {
        dk_tile u = t;

        u.logits = logits;
        u.diff = diff;
        dk_weight_strip(w, s, &u.v0, &u.n);
        for (size_t l = 0; rc == 0 && l < a->n_lanes; l++) {
            const size_t to = diff[l] ? a->n_lanes + l : l;

            rc = dk_product_strip(buf + to * each, strip, c->head_lhs, l * a->stride + row0, rows, a->w[l], s, err);
            soft_cap(a, buf + to * each, diff[l] ? buf : NULL, t.rows, u.n, strip);
            if (diff[l])
                add_up(buf + l * each, buf, diff[l], t.rows, u.n, strip);
        }
        for (size_t i = 0; rc == 0 && i < a->n_visitors; i++)
            a->visitor[i].tile(a->visitor[i].self, &u);
    }
    for (size_t i = 0; rc == 0 && i < a->n_visitors; i++)
        a->visitor[i].end(a->visitor[i].self, &t);
    return rc;
}

int dk_cpu_head(dk_dev *dev, const dk_head_args *a, dk_err *err)
{
    struct cpu *c = (struct cpu *)dev;
    const size_t height = dk_block_share(a->rows);
    int rc = head_room(c, a, err), failed = 0;

    DK_ASSERT(a->n_lanes <= MAX_LANES);
    if (rc < 0)
        return rc;
    dk_lhs_set(c->head_lhs, a->x, a->d, a->n_lanes * a->stride, a->d);
    #pragma omp parallel for schedule(dynamic) reduction(| : failed)
    for (size_t row = 0; row < a->rows; row += height) {
        dk_err local = {0};

        failed |= visit_block(c, a, row, a->rows - row < height ? a->rows - row : height, &local) < 0;
    }
    return failed ? dk_fail(err, DK_ENOMEM, "a matrix product of the head failed") : 0;
}
