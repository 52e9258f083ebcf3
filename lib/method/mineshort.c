/* A shortlist of tokens: how each is raised, and which are raised together. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "method/mineshow.h"

enum { BINS = 50 };

struct list {
    const dk_mine_file *f;
    const dk_tokenizer *tok;
    size_t n, samples, longest;
    int64_t *id;                /* [n] */
    float *diff;                /* [rows, n] */
    uint8_t *top, *bottom;      /* [rows, n]: in that list of the row */
    uint32_t *sample, *at;      /* [rows]: which, and where in it */
};

static void number_samples(struct list *l)
{
    const dk_tokens *t = l->f->t;
    uint32_t in = 0;

    for (size_t d = 0; d < t->docs; d++)
        for (size_t r = t->offset[d]; r < t->offset[d + 1]; r++) {
            l->sample[r] = (uint32_t)l->samples;
            l->at[r] = in++;
            l->longest = in > l->longest ? in : l->longest;
            if (dk_mine_ends(t, d, r)) {
                l->samples++;
                in = 0;
            }
        }
}

static int mark(uint8_t *to, const struct list *l, const char *end, dk_err *err)
{
    dk_mine_lists lists = {0};
    int rc = dk_mine_read_lists(&lists, l->f, l->f->lane[0].name, end, false, err);

    for (size_t r = 0; rc == 0 && r < l->f->t->rows; r++)
        for (size_t j = 0; j < lists.k; j++)
            for (size_t i = 0; i < l->n; i++)
                if (lists.id[r * lists.k + j] == (uint64_t)l->id[i])
                    to[r * l->n + i] = 1;
    dk_mine_lists_free(&lists);
    return rc;
}

static int load(struct list *l, dk_err *err)
{
    const dk_mine_file *f = l->f;
    const dk_score_info *ids = dk_scores_find(f->s, "watch/id", true), *info;
    char name[256];
    size_t n;
    int rc;

    snprintf(name, sizeof name, "watch/%s", f->lane[0].name);
    info = dk_scores_find(f->s, name, false);
    if (!ids || !info || ids->rows != info->k || info->k == 0)
        return dk_fail(err, DK_EDATA, "%s has no watched tokens of lane '%s': make it with dk-topk --watch", f->path,
                       f->lane[0].name);
    l->n = info->k;
    rc = dk_mul_size(&n, f->t->rows, l->n) ? 0 : dk_fail(err, DK_ENOMEM, "the shortlist does not fit in memory");
    if (rc == 0) rc = dk_alloc(&l->id, l->n, sizeof *l->id, "a shortlist", err);
    if (rc == 0) rc = dk_alloc(&l->diff, n, sizeof *l->diff, "a shortlist", err);
    if (rc == 0) rc = dk_alloc(&l->top, n, 1, "a shortlist", err);
    if (rc == 0) rc = dk_alloc(&l->bottom, n, 1, "a shortlist", err);
    if (rc == 0) rc = dk_alloc(&l->sample, f->t->rows, sizeof *l->sample, "a shortlist", err);
    if (rc == 0) rc = dk_alloc(&l->at, f->t->rows, sizeof *l->at, "a shortlist", err);
    if (rc == 0) rc = dk_scores_read_vocab_i64(f->s, "watch/id", l->id, l->n, err);
    if (rc == 0) rc = dk_scores_read(f->s, name, 0, f->t->rows, l->diff, err);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        if (l->id[i] < 0 || (uint64_t)l->id[i] >= f->vocab)
            rc = dk_fail(err, DK_EDATA, "%s: watched id %lld is beyond a vocabulary of %zu", f->path, (long long)l->id[i], f->vocab);
    if (rc == 0) rc = mark(l->top, l, "top", err);
    if (rc == 0) rc = mark(l->bottom, l, "bottom", err);
    if (rc == 0) number_samples(l);
    return rc;
}

static void put_token(dk_jw *j, const struct list *l, const char *key, size_t i)
{
    const uint32_t id = (uint32_t)l->id[i];

    dk_tokenizer_put(l->tok, j, key, &id, 1);
}

static void put_counts(dk_jw *j, const char *key, const uint64_t *count, size_t n)
{
    dk_jw_key(j, key);
    dk_jw_arr_begin(j);
    for (size_t i = 0; i < n; i++)
        dk_jw_u64(j, count[i]);
    dk_jw_arr_end(j);
}

static void put_histogram(dk_jw *j, const struct list *l, size_t i, double lo, double hi)
{
    const size_t rows = l->f->t->rows;
    size_t bin[BINS] = {0};

    for (size_t r = 0; r < rows; r++) {
        const double v = hi > lo ? ((double)l->diff[r * l->n + i] - lo) / (hi - lo) * BINS : 0;

        bin[v >= BINS ? BINS - 1 : v > 0 ? (size_t)v : 0]++;
    }
    dk_jw_key(j, "histogram");
    dk_jw_arr_begin(j);
    for (size_t b = 0; b < BINS; b++)
        dk_jw_u64(j, bin[b]);
    dk_jw_arr_end(j);
}

static void put_one(dk_buf *out, const struct list *l, size_t i)
{
    const size_t rows = l->f->t->rows;
    uint64_t *by_sample = dk_xcalloc(l->samples, sizeof *by_sample), *by_position = dk_xcalloc(l->longest, sizeof *by_position);
    double sum = 0, square = 0, lo = INFINITY, hi = -INFINITY;
    size_t positive = 0;
    dk_jw j = { .out = out };

    for (size_t r = 0; r < rows; r++) {
        const double v = (double)l->diff[r * l->n + i];
        const unsigned here = l->top[r * l->n + i] + l->bottom[r * l->n + i];

        sum += v;
        square += v * v;
        lo = fmin(lo, v);
        hi = fmax(hi, v);
        positive += v > 0;
        by_sample[l->sample[r]] += here;
        by_position[l->at[r]] += here;
    }
    dk_jw_obj_begin(&j);
    put_token(&j, l, "token", i);
    dk_jw_key(&j, "id"); dk_jw_int(&j, l->id[i]);
    dk_jw_key(&j, "positions"); dk_jw_u64(&j, rows);
    dk_jw_key(&j, "count_positive"); dk_jw_u64(&j, positive);
    dk_jw_key(&j, "fraction_positive"); dk_jw_f32(&j, (float)positive / (float)rows);
    dk_jw_key(&j, "mean"); dk_jw_f32(&j, (float)(sum / (double)rows));
    dk_jw_key(&j, "std"); dk_jw_f32(&j, (float)sqrt(fmax(square - sum * sum / (double)rows, 0) / (double)(rows > 1 ? rows - 1 : 1)));
    dk_jw_key(&j, "min"); dk_jw_f32(&j, (float)lo);
    dk_jw_key(&j, "max"); dk_jw_f32(&j, (float)hi);
    put_histogram(&j, l, i, lo, hi);
    put_counts(&j, "per_sample", by_sample, l->samples);
    put_counts(&j, "per_position", by_position, l->longest);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, l->f->lane[0].name);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
    dk_free(by_sample);
    dk_free(by_position);
}

/* In how many samples (or positions) both tokens have what bits say: 1 the first, 2 the second. */
static uint64_t both(const uint8_t *bits, size_t n)
{
    uint64_t k = 0;

    for (size_t i = 0; i < n; i++)
        k += (bits[i] & 3) == 3;
    return k;
}

/* Pearson's r with its p by Fisher's z, and the line through 0. */
static void put_line(dk_jw *j, const struct list *l, size_t a, size_t b)
{
    const size_t n = l->f->t->rows;
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0, r;

    for (size_t i = 0; i < n; i++) {
        const double u = (double)l->diff[i * l->n + a], v = (double)l->diff[i * l->n + b];

        x += u;
        y += v;
        xx += u * u;
        yy += v * v;
        xy += u * v;
    }
    r = (xy - x * y / (double)n) / sqrt((xx - x * x / (double)n) * (yy - y * y / (double)n));
    dk_jw_key(j, "slope"); dk_jw_f32(j, (float)(xy / (xx + 1e-10)));
    dk_jw_key(j, "r"); dk_jw_f32(j, (float)r);
    dk_jw_key(j, "n"); dk_jw_u64(j, n);
    dk_jw_key(j, "p"); dk_jw_num(j, n > 3 ? erfc(fabs(atanh(r)) * sqrt((double)(n - 3) / 2)) : NAN);
}

static void put_two(dk_buf *out, const struct list *l, size_t a, size_t b)
{
    uint8_t *sample = dk_xcalloc(l->samples, 1), *at = dk_xcalloc(l->longest, 1);
    uint8_t *sign_sample = dk_xcalloc(l->samples, 1), *sign_at = dk_xcalloc(l->longest, 1);
    uint64_t point = 0, sign_point = 0;
    dk_jw j = { .out = out };

    for (size_t r = 0; r < l->f->t->rows; r++) {
        const size_t ia = r * l->n + a, ib = r * l->n + b;
        const bool same = (l->diff[ia] > 0 && l->diff[ib] > 0) || (l->diff[ia] < 0 && l->diff[ib] < 0);
        const uint8_t bits = (uint8_t)((l->top[ia] | l->bottom[ia] ? 1 : 0) | (l->top[ib] | l->bottom[ib] ? 2 : 0));

        point += l->top[ia] && l->top[ib];
        sign_point += same;
        sample[l->sample[r]] |= bits;
        at[l->at[r]] |= bits;
        sign_sample[l->sample[r]] |= same ? 3 : 0;
        sign_at[l->at[r]] |= same ? 3 : 0;
    }
    dk_jw_obj_begin(&j);
    put_token(&j, l, "token", a);
    put_token(&j, l, "other", b);
    dk_jw_key(&j, "same_point"); dk_jw_u64(&j, point);
    dk_jw_key(&j, "same_sample"); dk_jw_u64(&j, both(sample, l->samples));
    dk_jw_key(&j, "same_position"); dk_jw_u64(&j, both(at, l->longest));
    dk_jw_key(&j, "same_sign_point"); dk_jw_u64(&j, sign_point);
    dk_jw_key(&j, "same_sign_sample"); dk_jw_u64(&j, both(sign_sample, l->samples));
    dk_jw_key(&j, "same_sign_position"); dk_jw_u64(&j, both(sign_at, l->longest));
    if (a != b)
        put_line(&j, l, a, b);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
    dk_free(sample);
    dk_free(at);
    dk_free(sign_sample);
    dk_free(sign_at);
}

int dk_mine_shortlist(dk_buf *out, const dk_mine_file *f, const dk_tokenizer *tok, dk_err *err)
{
    struct list l = { .f = f, .tok = tok };
    int rc = load(&l, err);

    for (size_t i = 0; rc == 0 && i < l.n; i++)
        put_one(out, &l, i);
    for (size_t a = 0; rc == 0 && a < l.n; a++)
        for (size_t b = a; b < l.n; b++)
            put_two(out, &l, a, b);
    dk_free(l.id);
    dk_free(l.diff);
    dk_free(l.top);
    dk_free(l.bottom);
    dk_free(l.sample);
    dk_free(l.at);
    return rc;
}
