/* Final norm, unembedding and soft cap: for each block of rows every strip of
 * the vocabulary, all lanes side by side, handed to the visitors and dropped. */
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/runner.h"
#include "num/kernels.h"

/* Where lanes are differences, they are kept beside the logits. */
static size_t tile_sets(const dk_runner *r) { return (r->diff ? 2 : 1) * r->n_lanes; }

static int head_room(dk_runner *r, dk_err *err)
{
    const size_t d = r->m->config.d_model, strip = dk_weight_strip_max(r->m->head);
    const size_t most = r->n_lanes * (r->max_rows + dk_block_rows());
    int rc = 0;

    if (r->head_lhs)
        return 0;
    rc = dk_lhs_new(&r->head_lhs, most, d, r->m->dtype, err);
    if (rc == 0)
        rc = dk_rows_alloc(&r->head_in, most, d, err);
    if (rc == 0)
        rc = dk_alloc(&r->tiles, (size_t)dk_threads() * tile_sets(r) * dk_block_rows() * strip,
                      sizeof(float), "logit tiles", err);
    return rc;
}

/* rows of n logits, ld apart. */
static void soft_cap(const dk_runner *r, float *logits, size_t rows, size_t n, size_t ld)
{
    for (size_t i = 0; r->m->config.final_softcap > 0 && i < rows; i++)
        dk_softcap(logits + i * ld, n, (float)r->m->config.final_softcap);
}

/* The logits of a lane from those of the base and their difference. */
static void add_up(float *out, const float *base, const float *diff, size_t rows, size_t n, size_t ld)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++)
            out[i * ld + j] = base[i * ld + j] + diff[i * ld + j];
}

/* One block of rows: every strip of the vocabulary, all lanes, then the visitors. */
static int visit_block(dk_runner *r, size_t blk, size_t blocks, size_t n_rows,
                       const dk_visitor *vis, size_t n_vis, dk_err *err)
{
    const dk_weight *w = r->m->head;        /* all heads are cut alike */
    const size_t strip = dk_weight_strip_max(w), each = dk_block_rows() * strip;
    const float *logits[DK_MAX_LANES], *diff[DK_MAX_LANES] = {0};
    float *buf = r->tiles + (size_t)dk_thread_id() * tile_sets(r) * each;
    dk_tile t = { .row0 = blk * dk_block_rows(), .thread = dk_thread_id(), .ld = strip };
    int rc = 0;

    t.rows = n_rows - t.row0 < dk_block_rows() ? n_rows - t.row0 : dk_block_rows();
    for (size_t i = 0; i < n_vis; i++)
        vis[i].begin(vis[i].self, &t);
    for (size_t l = 0; l < r->n_lanes; l++) {
        logits[l] = buf + l * each;
        diff[l] = r->diff && l > 0 ? buf + (r->n_lanes + l) * each : NULL;
    }
    for (size_t s = 0; rc == 0 && s < dk_weight_strips(w); s++) {
        dk_tile u = t;

        u.logits = logits;
        u.diff = diff;
        dk_weight_strip(w, s, &u.v0, &u.n);
        for (size_t l = 0; rc == 0 && l < r->n_lanes; l++) {
            const size_t to = diff[l] ? r->n_lanes + l : l;

            rc = dk_product_strip(buf + to * each, strip, r->head_lhs, l * blocks + blk, r->head[l], s, err);
            soft_cap(r, buf + to * each, t.rows, u.n, strip);
            if (diff[l])
                add_up(buf + l * each, buf, diff[l], t.rows, u.n, strip);
        }
        for (size_t i = 0; rc == 0 && i < n_vis; i++)
            vis[i].tile(vis[i].self, &u);
    }
    for (size_t i = 0; rc == 0 && i < n_vis; i++)
        vis[i].end(vis[i].self, &t);
    return rc;
}

/* Rows of the last pass through the final norm: to [lane][per_lane], zeros
 * behind the n rows of a lane. */
static void norm_rows(dk_runner *r, const size_t *rows, size_t n, size_t per_lane)
{
    const size_t d = r->m->config.d_model;

    #pragma omp parallel for schedule(static) collapse(2)
    for (size_t l = 0; l < r->n_lanes; l++)
        for (size_t i = 0; i < per_lane; i++) {
            float *to = r->head_in + (l * per_lane + i) * d;
            const float *base = r->x + (rows ? rows[i < n ? i : 0] : i < n ? i : 0) * d;

            if (i < n && r->diff && l > 0)
                dk_diff_norm(r, to, base, base + l * r->rows * d, r->m->final_norm.w, d);
            else if (i < n)
                dk_model_norm(&r->m->config, to, r->x + (l * r->rows + (rows ? rows[i] : i)) * d,
                              &r->model[l]->final_norm, d);
            else
                memset(to, 0, d * sizeof *to);
        }
}

int dk_runner_logits(dk_runner *r, const size_t *rows, size_t n_rows, float *out, dk_err *err)
{
    const size_t n = rows ? n_rows : r->rows, d = r->m->config.d_model, vocab = r->m->config.vocab;
    int rc;

    DK_ASSERT(r->m->head && n <= r->max_rows);
    rc = head_room(r, err);
    if (rc < 0 || n == 0)
        return rc;
    norm_rows(r, rows, n, n);
    for (size_t first = 0, end; rc == 0 && first < r->n_lanes; first = end) {
        for (end = first + 1; end < r->n_lanes && r->head[end] == r->head[first];)
            end++;
        dk_lhs_set(r->head_lhs, r->head_in + first * n * d, d, (end - first) * n, d);
        rc = dk_product(out + first * n * vocab, vocab, r->head_lhs, r->head[first], err);
    }
    for (size_t l = 1; rc == 0 && r->diff && l < r->n_lanes; l++)
        dk_add(out + l * n * vocab, out, n * vocab);
    soft_cap(r, out, r->n_lanes * n, vocab, vocab);
    return rc;
}

int dk_runner_head(dk_runner *r, const size_t *rows, size_t n_rows, const dk_visitor *vis,
                   size_t n_vis, dk_err *err)
{
    const size_t n = rows ? n_rows : r->rows, blocks = (n + dk_block_rows() - 1) / dk_block_rows();
    const size_t padded = blocks * dk_block_rows(), d = r->m->config.d_model;
    int rc, failed = 0;

    DK_ASSERT(r->m->head && n <= r->max_rows);
    rc = head_room(r, err);
    if (rc < 0 || n == 0)
        return rc;
    norm_rows(r, rows, n, padded);
    dk_lhs_set(r->head_lhs, r->head_in, d, r->n_lanes * padded, d);
    #pragma omp parallel for schedule(dynamic) reduction(| : failed)
    for (size_t b = 0; b < blocks; b++) {
        dk_err local = {0};

        failed |= visit_block(r, b, blocks, n, vis, n_vis, &local) < 0;
    }
    return failed ? dk_fail(err, DK_ENOMEM, "a matrix product of the head failed") : 0;
}

int dk_model_unembed(const dk_model *m, const float *x, size_t n, float sign, float *out, dk_err *err)
{
    const size_t d = m->config.d_model;
    dk_lhs *lhs = NULL;
    float *norm = NULL;
    int rc;

    DK_ASSERT(m->head);
    if (n == 0)
        return 0;
    rc = dk_lhs_new(&lhs, n, d, m->dtype, err);
    if (rc == 0)
        rc = dk_rows_alloc(&norm, n, d, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        dk_model_norm(&m->config, norm + i * d, x + i * d, &m->final_norm, d);
        for (size_t j = 0; j < d; j++)
            norm[i * d + j] *= sign;
    }
    if (rc == 0) {
        dk_lhs_set(lhs, norm, d, n, d);
        rc = dk_product(out, m->config.vocab, lhs, m->head, err);
    }
    dk_lhs_free(&lhs);
    dk_free(norm);
    return rc;
}
