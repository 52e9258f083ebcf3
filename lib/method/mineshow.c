#include "method/mineshow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

/* --- by position -------------------------------------------------------------------- */
enum { GRID = 200 };

struct spread { double mean, sd, width, lo, hi; };

/* Scott's width; the grid goes three widths beyond what there is. */
static struct spread spread_of(const float *x, size_t n)
{
    struct spread s = { 0, 0, 0, INFINITY, -INFINITY };

    for (size_t i = 0; i < n; i++) {
        s.mean += (double)x[i] / (double)n;
        s.lo = fmin(s.lo, (double)x[i]);
        s.hi = fmax(s.hi, (double)x[i]);
    }
    for (size_t i = 0; i < n; i++)
        s.sd += ((double)x[i] - s.mean) * ((double)x[i] - s.mean);
    s.sd = n > 1 ? sqrt(s.sd / (double)(n - 1)) : 0;
    s.width = s.sd * pow((double)n, -0.2);
    s.lo -= 3 * s.width;
    s.hi += 3 * s.width;
    return s;
}

static void densities(double *y, const struct spread *s, const float *x, size_t n)
{
    #pragma omp parallel for schedule(dynamic, 4)
    for (int g = 0; g < GRID; g++) {
        const double at = s->lo + (s->hi - s->lo) * g / (GRID - 1);
        double sum = 0;

        for (size_t i = 0; i < n; i++) {
            const double z = (at - (double)x[i]) / s->width;

            sum += z * z < 80 ? exp(-z * z / 2) : 0;
        }
        y[g] = sum / ((double)n * s->width * sqrt(2 * M_PI));
    }
}

static void put_density(dk_jw *j, const struct spread *s, const float *x, size_t n)
{
    double y[GRID];

    dk_jw_key(j, "x");
    dk_jw_arr_begin(j);
    for (int g = 0; s->width > 0 && g < GRID; g++)
        dk_jw_f32(j, (float)(s->lo + (s->hi - s->lo) * g / (GRID - 1)));
    dk_jw_arr_end(j);
    if (s->width > 0)
        densities(y, s, x, n);
    dk_jw_key(j, "density");
    dk_jw_arr_begin(j);
    for (int g = 0; s->width > 0 && g < GRID; g++)
        dk_jw_f32(j, (float)y[g]);
    dk_jw_arr_end(j);
}

static void put_position(dk_buf *out, const dk_mine_file *f, size_t position, size_t samples, const float *x, size_t n)
{
    const struct spread s = spread_of(x, n);
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "position"); dk_jw_u64(&j, position);
    dk_jw_key(&j, "samples"); dk_jw_u64(&j, samples);
    dk_jw_key(&j, "n"); dk_jw_u64(&j, n);
    dk_jw_key(&j, "mean"); dk_jw_f32(&j, (float)s.mean);
    dk_jw_key(&j, "std"); dk_jw_f32(&j, (float)s.sd);
    dk_jw_key(&j, "bandwidth"); dk_jw_f32(&j, (float)s.width);
    put_density(&j, &s, x, n);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, f->lane[0].name);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, f->t->corpus_name);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

int dk_mine_positions(dk_buf *out, const dk_mine_file *f, size_t n, dk_err *err)
{
    const dk_tokens *t = f->t;
    dk_mine_lists l = {0};
    float *x = NULL;
    int rc = dk_mine_read_lists(&l, f, f->lane[0].name, "top", true, err);

    if (rc == 0)
        rc = dk_alloc(&x, t->rows * l.k, sizeof *x, "values by position", err);
    for (size_t p = 0; rc == 0 && p < n; p++) {
        size_t samples = 0, in = 0;

        for (size_t d = 0; d < t->docs; d++)
            for (size_t r = t->offset[d]; r < t->offset[d + 1]; r++) {
                if (in++ == p)
                    memcpy(x + samples++ * l.k, l.value + r * l.k, l.k * sizeof *x);
                if (dk_mine_ends(t, d, r))
                    in = 0;
            }
        if (samples == 0)
            break;
        put_position(out, f, p, samples, x, samples * l.k);
    }
    dk_free(x);
    dk_mine_lists_free(&l);
    return rc;
}

/* --- windows --------------------------------------------------------------------------- */
struct window { double base, own; size_t doc, row, start; };

static int by_ratio(const void *va, const void *vb)
{
    const struct window *a = va, *b = vb;
    const double x = a->own - a->base, y = b->own - b->base;

    return x != y ? (x > y ? -1 : 1) : a->row < b->row ? -1 : a->row > b->row;
}

/* Log-probability r is that of token r + 1: a window from start on has the tokens
 * start + 1 .. start + length. */
static void put_window(dk_buf *out, const dk_mine_file *f, const dk_tokenizer *tok, const struct window *w, size_t rank,
                       size_t length)
{
    dk_jw j = { .out = out };

    dk_jw_obj_begin(&j);
    dk_jw_key(&j, "rank"); dk_jw_u64(&j, rank);
    dk_jw_key(&j, "doc"); dk_jw_u64(&j, f->t->id[w->doc]);
    dk_jw_key(&j, "start"); dk_jw_u64(&j, w->start + 1);
    dk_jw_key(&j, "end"); dk_jw_u64(&j, w->start + 1 + length);
    dk_jw_key(&j, "value"); dk_jw_num(&j, w->own - w->base);
    dk_jw_key(&j, "logp_base"); dk_jw_num(&j, w->base);
    dk_jw_key(&j, "logp"); dk_jw_num(&j, w->own);
    dk_tokenizer_put(tok, &j, "text", f->t->token + w->row + 1, length);
    dk_jw_key(&j, "ids");
    dk_jw_arr_begin(&j);
    for (size_t i = 0; i < length; i++)
        dk_jw_u64(&j, f->t->token[w->row + 1 + i]);
    dk_jw_arr_end(&j);
    dk_jw_key(&j, "lane"); dk_jw_str(&j, f->lane[0].name);
    dk_jw_key(&j, "dataset_id"); dk_jw_str(&j, f->t->corpus_name);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}

static int read_logp(float **out, const dk_mine_file *f, const char *lane, dk_err *err)
{
    char name[256];
    int rc = dk_alloc(out, f->t->rows, sizeof **out, "log-probabilities", err);

    snprintf(name, sizeof name, "logp/%s", lane);
    if (rc == 0 && !dk_scores_find(f->s, name, false))
        return dk_fail(err, DK_EDATA, "%s has no log-probabilities of lane '%s': make it with dk-topk --logp", f->path, lane);
    return rc < 0 ? rc : dk_scores_read(f->s, name, 0, f->t->rows, *out, err);
}

int dk_mine_windows(dk_buf *out, const dk_mine_file *f, const dk_tokenizer *tok, size_t window, size_t step, size_t n,
                    dk_err *err)
{
    const dk_tokens *t = f->t;
    float *base = NULL, *own = NULL;
    struct window *w = NULL;
    size_t n_windows = 0;
    int rc = read_logp(&base, f, "base", err);

    if (rc == 0) rc = read_logp(&own, f, f->lane[0].name, err);
    if (rc == 0) rc = dk_alloc(&w, t->rows, sizeof *w, "windows", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++)
        for (size_t first = t->offset[d], end; first < t->offset[d + 1]; first = end + 1) {
            end = first;            /* the sample's last row, behind which nothing follows */
            while (!dk_mine_ends(t, d, end))
                end++;
            for (size_t s = first; s + window <= end; s += step) {
                struct window one = { .doc = d, .row = s, .start = s - first };

                for (size_t r = s; r < s + window; r++) {
                    one.base += base[r];
                    one.own += own[r];
                }
                w[n_windows++] = one;
            }
        }
    if (rc == 0 && n_windows == 0)
        rc = dk_fail(err, DK_EDATA, "%s: no sample has %zu tokens behind its first", f->path, window);
    if (rc == 0)
        qsort(w, n_windows, sizeof *w, by_ratio);
    for (size_t i = 0; rc == 0 && i < n_windows && i < n; i++)
        put_window(out, f, tok, &w[i], i + 1, window);
    dk_free(base);
    dk_free(own);
    dk_free(w);
    return rc;
}
