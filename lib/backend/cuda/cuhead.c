/* Heads on the card: the logits of as many rows as a share of its memory holds,
 * all lanes; kernels for the visitors that have an eye; the others see tiles
 * that are copied to the host.
 *
 * What the eyes' kernels find lies in one piece of memory, laid out the same on
 * the card and on the host, and is fetched once, when all rows are done: into one
 * of two page-locked buffers, while the host goes on.  It is handed over when the
 * buffer is wanted again, or when somebody waits (dk_cuda_heads_wait). */
#include "backend/cuda/cupriv.h"

#include <math.h>
#include <string.h>

enum { MAX_LANES = 64, TILE = 4096, K_MAX = 1024, PLACES = 8 };
static const size_t most_logits = (size_t)2 << 30;      /* bytes, and no more than an eighth of the card */

/* Where in the results an eye's arrays begin, lane by lane. */
enum { KL, LOGP, TOP_ID, TOP, BOTTOM_ID, BOTTOM };                      /* of rows */
enum { SUM, TOP_COUNT, BOTTOM_COUNT, POSITIVE, BAD };                   /* of the vocabulary */
/* e: a copy, its lists of lanes too; the caller may aim his elsewhere before they are filled. */
struct eye { dk_eye *e; size_t rows[MAX_LANES][6], vocab[MAX_LANES][5]; };

struct head {
    dk_cuda *c;
    const dk_head_args *a;              /* until the call returns */
    size_t lanes, n_rows, n_vocab;      /* of it */
    size_t step;                        /* rows of a chunk */
    float *logits, *diff;               /* [lane][step, vocab]; diff of lanes 1 .. or NULL */
    char *results;
    size_t used;
    struct eye eye[PLACES];
    const dk_visitor *blind[PLACES];    /* visitors without a kernel */
    size_t n_eyes, n_blind;
    uint16_t *x;                        /* rows of a lane in bf16 */
};

static size_t take(struct head *h, size_t bytes)
{
    const size_t at = h->used;

    h->used += (bytes + 255) / 256 * 256;
    return at;
}

/* --- copies of eyes ----------------------------------------------------------------- */

enum { LISTS = 13 };
static const size_t lists[LISTS] = {
    offsetof(dk_eye, kl), offsetof(dk_eye, logp), offsetof(dk_eye, top_id), offsetof(dk_eye, bottom_id),
    offsetof(dk_eye, top), offsetof(dk_eye, bottom), offsetof(dk_eye, sum_diff), offsetof(dk_eye, positive),
    offsetof(dk_eye, top_count), offsetof(dk_eye, bottom_count), offsetof(dk_eye, bad), offsetof(dk_eye, id),
    offsetof(dk_eye, id_logp)
};

static void copy_list(dk_eye *e, size_t at, size_t lanes)
{
    void *from, *to;

    memcpy(&from, (char *)e + at, sizeof from);
    to = from ? dk_xcalloc(lanes, sizeof to) : NULL;
    if (to)
        memcpy(to, from, lanes * sizeof to);
    memcpy((char *)e + at, &to, sizeof to);
}

static dk_eye *eye_copy(const dk_eye *from, size_t lanes)
{
    dk_eye *e = dk_xcalloc(1, sizeof *e);

    *e = *from;
    for (size_t i = 0; i < LISTS; i++)
        copy_list(e, lists[i], lanes);
    return e;
}

static void eye_free(dk_eye *e)
{
    for (size_t i = 0; i < LISTS; i++) {
        void *p;

        memcpy(&p, (char *)e + lists[i], sizeof p);
        dk_free(p);
    }
    dk_free(e);
}

static void head_free(struct head *h)
{
    for (size_t i = 0; h && i < h->n_eyes; i++)
        eye_free(h->eye[i].e);
    dk_free(h);
}

/* --- where results lie ---------------------------------------------------------------- */

static void lay_out(struct head *h, struct eye *y)
{
    const dk_eye *e = y->e;
    const size_t n = h->a->rows, v = h->a->vocab;

    for (size_t l = 0; l < h->a->n_lanes; l++) {
        if (e->kind == DK_EYE_KL) {
            y->rows[l][KL] = take(h, l > 0 ? n * sizeof(float) : 0);
            y->rows[l][LOGP] = take(h, e->logp ? n * sizeof(float) : 0);
        } else if (e->kind == DK_EYE_LENS || l > 0)
            for (size_t i = TOP_ID; i <= (e->kind == DK_EYE_LENS ? TOP : BOTTOM); i++)
                y->rows[l][i] = take(h, n * e->k * 4);
        if (e->kind == DK_EYE_TOPK && l > 0) {
            for (size_t i = SUM; i <= BOTTOM_COUNT; i++)
                y->vocab[l][i] = take(h, v * sizeof(int64_t));
            y->vocab[l][POSITIVE] = take(h, v * sizeof(int32_t));
            y->vocab[l][BAD] = take(h, sizeof(int));
        }
    }
}

static float *lane_logits(const struct head *h, size_t l) { return h->logits + l * h->step * h->a->vocab; }
static float *lane_diff(const struct head *h, size_t l)
{
    return h->diff && l > 0 ? h->diff + (l - 1) * h->step * h->a->vocab : NULL;
}

/* --- eyes --------------------------------------------------------------------------- */

/* Kernels find [rows, width] values from row r on here. */
static void *at(const struct head *h, size_t place, size_t r, size_t width)
{
    return h->results + place + r * width * 4;
}

static int see_kl(struct head *h, const struct eye *y, size_t r, size_t n, dk_err *err)
{
    dk_cuda *c = h->c;
    const dk_eye *e = y->e;
    uint32_t *next = NULL;
    int rc = 0;

    if (e->logp && e->next) {
        rc = dk_cuda_room(c, &next, DK_CUDA_NEXT, n * sizeof *next, "next tokens", err);
        if (rc == 0)
            rc = dk_cuda_send(c, next, e->next + r, n * sizeof *next, err);
    }
    for (size_t l = 0; rc == 0 && l < h->a->n_lanes; l++) {
        float *logp = next ? at(h, y->rows[l][LOGP], r, 1) : NULL;

        /* The base's come with the first other lane's. */
        if (l > 0)
            rc = dk_cuda_check(c, dk_cu_kl_logp(c->stream, at(h, y->rows[l][KL], r, 1), logp,
                                                next && l == 1 ? at(h, y->rows[0][LOGP], r, 1) : NULL,
                                                lane_logits(h, l), lane_logits(h, 0), lane_diff(h, l), next,
                                                e->inv_temperature, n, h->a->vocab), "divergences", err);
        else if (next && h->a->n_lanes == 1)
            rc = dk_cuda_check(c, dk_cu_logp(c->stream, logp, lane_logits(h, l), next, e->inv_temperature, n,
                                             h->a->vocab), "probabilities", err);
    }
    return rc;
}

static int see_topk(struct head *h, const struct eye *y, size_t r, size_t n, dk_err *err)
{
    dk_cuda *c = h->c;
    const size_t v = h->a->vocab, k = y->e->k;
    int rc = 0;

    for (size_t l = 1; rc == 0 && l < h->a->n_lanes; l++) {
        const float *p = lane_diff(h, l) ? lane_diff(h, l) : lane_logits(h, l);
        const float *q = lane_diff(h, l) ? NULL : lane_logits(h, 0);

        rc = dk_cuda_check(c, dk_cu_vocab_sums(c->stream, (int64_t *)(void *)(h->results + y->vocab[l][SUM]),
                                               (int32_t *)(void *)(h->results + y->vocab[l][POSITIVE]),
                                               (int *)(void *)(h->results + y->vocab[l][BAD]), p, q, n, v),
                           "vocabulary sums", err);
        if (rc == 0)
            rc = dk_cuda_check(c, dk_cu_topk_both(c->stream, at(h, y->rows[l][TOP_ID], r, k), at(h, y->rows[l][TOP], r, k),
                                                  at(h, y->rows[l][BOTTOM_ID], r, k), at(h, y->rows[l][BOTTOM], r, k), p, q,
                                                  k, n, v), "the largest differences", err);
        for (int end = 0; rc == 0 && end < 2; end++)
            rc = dk_cuda_check(c, dk_cu_count(c->stream, (int64_t *)(void *)(h->results +
                               y->vocab[l][end ? BOTTOM_COUNT : TOP_COUNT]), at(h, y->rows[l][end ? BOTTOM_ID : TOP_ID], r, k),
                               n * k), "counting", err);
    }
    return rc;
}

static int see_lens(struct head *h, const struct eye *y, size_t r, size_t n, dk_err *err)
{
    dk_cuda *c = h->c;
    const size_t v = h->a->vocab, k = y->e->k;
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < h->a->n_lanes; l++) {
        float *value = at(h, y->rows[l][TOP], r, k);

        rc = dk_cuda_check(c, dk_cu_topk(c->stream, at(h, y->rows[l][TOP_ID], r, k), value, lane_logits(h, l), NULL, 0,
                                         k, n, v), "the likeliest tokens", err);
        if (rc == 0)
            rc = dk_cuda_check(c, dk_cu_less_lse(c->stream, value, k, lane_logits(h, l), n, v), "probabilities", err);
    }
    return rc;
}

static int see(struct head *h, size_t r, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < h->n_eyes; i++) {
        const struct eye *y = &h->eye[i];

        rc = y->e->kind == DK_EYE_KL ? see_kl(h, y, r, n, err) : y->e->kind == DK_EYE_TOPK
           ? see_topk(h, y, r, n, err) : see_lens(h, y, r, n, err);
    }
    return rc;
}

/* Results of rows to where the caller wants them. */
static void hand_rows(const struct head *h, const struct eye *y, const char *from, size_t l)
{
    const dk_eye *e = y->e;
    const size_t n = h->n_rows, row = e->k * 4;

    if (e->kind == DK_EYE_KL) {
        if (l > 0)
            memcpy(e->kl[l], from + y->rows[l][KL], n * sizeof(float));
        if (e->logp && e->next)
            memcpy(e->logp[l], from + y->rows[l][LOGP], n * sizeof(float));
        for (size_t i = 0; e->logp && !e->next && i < n; i++)
            e->logp[l][i] = NAN;
    } else if (e->kind == DK_EYE_LENS) {
        memcpy(e->id[l], from + y->rows[l][TOP_ID], n * row);
        memcpy(e->id_logp[l], from + y->rows[l][TOP], n * row);
    } else if (l > 0) {
        memcpy(e->top_id[l], from + y->rows[l][TOP_ID], n * row);
        memcpy(e->top[l], from + y->rows[l][TOP], n * row);
        memcpy(e->bottom_id[l], from + y->rows[l][BOTTOM_ID], n * row);
        memcpy(e->bottom[l], from + y->rows[l][BOTTOM], n * row);
    }
}

static void add_counts(int64_t *to, const char *from, size_t n)
{
    const int64_t *more = (const int64_t *)(const void *)from;

    for (size_t i = 0; i < n; i++)
        to[i] += more[i];
}

static void hand_vocab(const struct head *h, const struct eye *y, const char *from, size_t l)
{
    const dk_eye *e = y->e;
    const size_t v = h->n_vocab;
    const int32_t *positive = (const int32_t *)(const void *)(from + y->vocab[l][POSITIVE]);
    int bad;

    add_counts(e->sum_diff[l], from + y->vocab[l][SUM], v);
    add_counts(e->top_count[l], from + y->vocab[l][TOP_COUNT], v);
    add_counts(e->bottom_count[l], from + y->vocab[l][BOTTOM_COUNT], v);
    for (size_t i = 0; i < v; i++)
        e->positive[l][i] += positive[i];
    memcpy(&bad, from + y->vocab[l][BAD], sizeof bad);
    if (bad)
        *e->bad[l] = 1;
}

/* Results on their way, in a buffer of their own. */
static int fetch_results(struct head *h, dk_err *err)
{
    dk_cuda *c = h->c;
    struct dk_cuda_later *l = &c->later[c->next_later];
    int rc = dk_cuda_pin_take(c, &l->pin, h->used, err);

    if (rc == 0)
        rc = dk_cuda_check(c, cudaMemcpyAsync(l->pin.p, h->results, h->used, DK_CUDA_TO_HOST, c->stream),
                           "fetching results", err);
    return rc == 0 ? dk_cuda_pin_mark(c, &l->pin, err) : rc;
}

/* Waits for what a buffer gets, and hands it over. */
static int deliver(dk_cuda *c, struct dk_cuda_later *l, dk_err *err)
{
    struct head *h = l->head;
    int rc = h ? dk_cuda_pin_take(c, &l->pin, 0, err) : 0;

    for (size_t i = 0; rc == 0 && h && i < h->n_eyes; i++)
        for (size_t n = 0; n < h->lanes; n++) {
            hand_rows(h, &h->eye[i], l->pin.p, n);
            if (h->eye[i].e->kind == DK_EYE_TOPK && n > 0)
                hand_vocab(h, &h->eye[i], l->pin.p, n);
        }
    head_free(h);
    l->head = NULL;
    return rc;
}

int dk_cuda_heads_wait(dk_cuda *c, dk_err *err)
{
    int rc = dk_cuda_ready(c, err);

    for (size_t i = 0; rc == 0 && i < DK_CUDA_LATER; i++)
        rc = deliver(c, &c->later[(c->next_later + i) % DK_CUDA_LATER], err);
    if (rc < 0)
        dk_cuda_heads_end(c);       /* nobody will want them */
    return rc;
}

void dk_cuda_heads_end(dk_cuda *c)
{
    for (size_t i = 0; i < DK_CUDA_LATER; i++) {
        head_free(c->later[i].head);
        c->later[i].head = NULL;
    }
}

/* --- visitors that see tiles ------------------------------------------------------------ */

/* Columns v0 .. v0 + n - 1 of `rows` rows of a matrix of logits, queued. */
static int fetch(struct head *h, float *to, const float *from, size_t rows, size_t v0, size_t n, dk_err *err)
{
    return dk_cuda_check(h->c, cudaMemcpy2DAsync(to, TILE * sizeof(float), from + v0, h->a->vocab * sizeof(float),
                                                 n * sizeof(float), rows, DK_CUDA_TO_HOST, h->c->stream),
                         "fetching logits", err);
}

/* Rows r .. r + rows - 1 of the head, which begin at row i of the chunk. */
static int show_block(struct head *h, size_t r, size_t i, size_t rows, dk_err *err)
{
    const size_t lanes = h->a->n_lanes, each = rows * TILE, v = h->a->vocab;
    const float *logits[MAX_LANES], *diff[MAX_LANES] = {0};
    dk_tile t = { .row0 = r, .rows = rows, .ld = TILE };
    int rc = dk_cuda_pin_take(h->c, &h->c->results, 2 * lanes * each * sizeof(float), err);
    float *pin = h->c->results.p;

    for (size_t b = 0; rc == 0 && b < h->n_blind; b++)
        h->blind[b]->begin(h->blind[b]->self, &t);
    for (size_t v0 = 0; rc == 0 && v0 < v; v0 += TILE) {
        dk_tile u = t;

        u.v0 = v0;
        u.n = v - v0 < TILE ? v - v0 : TILE;
        u.logits = logits;
        u.diff = diff;
        for (size_t l = 0; rc == 0 && l < lanes; l++) {
            logits[l] = pin + l * each;
            rc = fetch(h, pin + l * each, lane_logits(h, l) + i * v, rows, v0, u.n, err);
            if (rc == 0 && lane_diff(h, l)) {
                diff[l] = pin + (lanes + l) * each;
                rc = fetch(h, pin + (lanes + l) * each, lane_diff(h, l) + i * v, rows, v0, u.n, err);
            }
        }
        if (rc == 0)
            rc = dk_cuda_sync(&h->c->dev, err);
        for (size_t b = 0; rc == 0 && b < h->n_blind; b++)
            h->blind[b]->tile(h->blind[b]->self, &u);
    }
    for (size_t b = 0; rc == 0 && b < h->n_blind; b++)
        h->blind[b]->end(h->blind[b]->self, &t);
    return rc;
}

static int show(struct head *h, size_t r, size_t n, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && h->n_blind && i < n; i += DK_HEAD_ROWS_MAX)
        rc = show_block(h, r + i, i, n - i < DK_HEAD_ROWS_MAX ? n - i : DK_HEAD_ROWS_MAX, err);
    return rc;
}

/* --- logits ------------------------------------------------------------------------------ */

/* Of rows r .. r + n - 1 of lane l, to its logits or its differences. */
static int lane_product(struct head *h, size_t l, size_t r, size_t n, dk_err *err)
{
    const dk_head_args *a = h->a;
    const dk_weight *w = a->w[l];
    const float *x = a->x + (l * a->stride + r) * a->d;
    float *y = lane_diff(h, l) ? lane_diff(h, l) : lane_logits(h, l);
    const size_t cols = w->dtype == DK_BF16 ? (a->d + 7) / 8 * 8 : a->d;
    dk_cuda *c = h->c;
    int rc = 0;

    DK_ASSERT(w->n == a->vocab && w->k == a->d);
    if (w->dtype == DK_BF16)
        rc = dk_cuda_check(c, dk_cu_pack(c->stream, h->x, cols, x, a->d, n, a->d), "rounding to bf16", err);
    if (rc == 0)
        rc = dk_cuda_multiply(c, y, a->vocab, w->dtype == DK_BF16 ? (const void *)h->x : x,
                              cols, n, w, cols, err);
    if (rc == 0 && a->softcap > 0)
        rc = dk_cuda_check(c, dk_cu_softcap(c->stream, y, lane_diff(h, l) ? lane_logits(h, 0) : NULL,
                                                n * a->vocab, a->softcap), "a soft cap", err);
    if (rc == 0 && lane_diff(h, l))
        rc = dk_cuda_check(c, dk_cu_sum(c->stream, lane_logits(h, l), lane_logits(h, 0), y, 1.0f, n * a->vocab),
                           "a sum", err);
    return rc;
}

/* Room for a chunk of rows: logits, their differences, rows in bf16. */
static int room(struct head *h, dk_err *err)
{
    const dk_head_args *a = h->a;
    const size_t sets = a->n_lanes + (a->diff ? a->n_lanes - 1 : 0), ld = (a->d + 7) / 8 * 8;
    const size_t row = sets * a->vocab * sizeof(float) + ld * 2;
    const size_t most = h->c->total / 8 < most_logits ? h->c->total / 8 : most_logits;
    char *p = NULL;
    int rc;

    h->step = most / row < DK_HEAD_ROWS_MAX ? DK_HEAD_ROWS_MAX : most / row;
    h->step = h->step < a->rows ? h->step : a->rows;
    rc = dk_cuda_room(h->c, &p, DK_CUDA_LOGITS, h->step * row + 256, "logits", err);
    if (rc < 0)
        return rc;
    h->logits = (float *)(void *)p;
    h->diff = a->diff ? h->logits + a->n_lanes * h->step * a->vocab : NULL;
    h->x = (uint16_t *)(void *)(p + (h->step * sets * a->vocab * sizeof(float) + 255) / 256 * 256);
    return 0;
}

static int plan(struct head *h, dk_err *err)
{
    const dk_head_args *a = h->a;
    int rc = room(h, err);

    for (size_t i = 0; i < a->n_visitors; i++) {
        const dk_eye *e = a->visitor[i].eye;

        if (e && (e->kind == DK_EYE_KL || (e->k > 0 && e->k <= K_MAX))) {
            h->eye[h->n_eyes].e = eye_copy(e, a->n_lanes);
            lay_out(h, &h->eye[h->n_eyes++]);
        } else
            h->blind[h->n_blind++] = &a->visitor[i];
    }
    if (rc == 0)
        rc = dk_cuda_room(h->c, &h->results, DK_CUDA_RESULTS, h->used, "the results of a batch", err);
    if (rc == 0 && h->used)         /* sums begin at zero */
        rc = dk_cuda_check(h->c, cudaMemsetAsync(h->results, 0, h->used, h->c->stream), "clearing memory", err);
    return rc;
}

int dk_cuda_head(dk_dev *dev, const dk_head_args *a, dk_err *err)
{
    dk_cuda *c = dk_cuda_of(dev);
    struct dk_cuda_later *l = &c->later[c->next_later];
    struct head *h;
    int rc = dk_cuda_ready(c, err);

    DK_ASSERT(a->n_lanes <= MAX_LANES && a->n_visitors <= PLACES);
    if (rc < 0 || a->rows == 0)
        return rc;
    rc = deliver(c, l, err);
    if (rc < 0)
        return rc;
    h = dk_xcalloc(1, sizeof *h);
    *h = (struct head){ .c = c, .a = a, .lanes = a->n_lanes, .n_rows = a->rows, .n_vocab = a->vocab };
    rc = plan(h, err);
    for (size_t r = 0; rc == 0 && r < a->rows; r += h->step) {
        const size_t n = a->rows - r < h->step ? a->rows - r : h->step;

        for (size_t k = 0; rc == 0 && k < a->n_lanes; k++)
            rc = lane_product(h, k, r, n, err);
        if (rc == 0)
            rc = see(h, r, n, err);
        if (rc == 0)
            rc = show(h, r, n, err);
    }
    if (rc == 0 && h->used)
        rc = fetch_results(h, err);
    if (rc < 0 || !h->n_eyes) {
        head_free(h);
        return rc;
    }
    h->a = NULL;
    l->head = h;
    c->next_later = (c->next_later + 1) % DK_CUDA_LATER;
    return 0;
}
