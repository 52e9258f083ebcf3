#include "method/minerate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "num/infer.h"
#include "num/resample.h"

enum { DECILES = 10 };

struct sums { double *x, *xx, *xn; };

/* Adds one text's counts; touched [n] are the tokens that have any. */
static void add_text(struct sums *s, double *count, const uint32_t *touched, size_t n, double positions)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t v = touched[i];

        s->x[v] += count[v];
        s->xx[v] += count[v] * count[v];
        s->xn[v] += count[v] * positions;
        count[v] = 0;
    }
}

static void finish(dk_rates *r, const struct sums *s, size_t vocab, double n, double nn)
{
    for (size_t v = 0; v < vocab; v++) {
        const dk_rate_sums of = { s->x[v], s->xx[v], s->xn[v], n, nn, r->texts };

        r->rate[v] = dk_rate(&r->se[v], &of);
    }
}

int dk_rates_make(dk_rates *r, const dk_mine_file *f, const dk_mine_lists *l, const dk_words *w, dk_err *err)
{
    const dk_tokens *t = f->t;
    struct sums s = {0};
    double *count = NULL, nn = 0;
    size_t *seen = NULL;            /* [vocab]: row + 1 in which it was last met */
    uint32_t *touched = NULL;
    int rc = dk_alloc(&s.x, f->vocab, sizeof(double), "rates", err);

    *r = (dk_rates){0};
    if (rc == 0) rc = dk_alloc(&s.xx, f->vocab, sizeof(double), "rates", err);
    if (rc == 0) rc = dk_alloc(&s.xn, f->vocab, sizeof(double), "rates", err);
    if (rc == 0) rc = dk_alloc(&count, f->vocab, sizeof *count, "rates", err);
    if (rc == 0) rc = dk_alloc(&seen, f->vocab, sizeof *seen, "rates", err);
    if (rc == 0) rc = dk_alloc(&touched, f->vocab, sizeof *touched, "rates", err);
    if (rc == 0) rc = dk_alloc(&r->rate, f->vocab, sizeof(double), "rates", err);
    if (rc == 0) rc = dk_alloc(&r->se, f->vocab, sizeof(double), "rates", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        size_t n = 0;

        for (size_t row = t->offset[d]; row < t->offset[d + 1]; row++)
            for (size_t j = 0; j < l->k; j++) {
                const uint32_t v = dk_words_of(w, l->id[row * l->k + j]);

                if (v == DK_NO_ID || seen[v] == row + 1)
                    continue;
                seen[v] = row + 1;
                if (count[v]++ == 0)
                    touched[n++] = v;
            }
        add_text(&s, count, touched, n, (double)(t->offset[d + 1] - t->offset[d]));
        nn += (double)(t->offset[d + 1] - t->offset[d]) * (double)(t->offset[d + 1] - t->offset[d]);
        r->texts += t->offset[d + 1] > t->offset[d];
    }
    if (rc == 0)
        finish(r, &s, f->vocab, (double)t->rows, nn);
    else
        dk_rates_free(r);
    dk_free(s.x);
    dk_free(s.xx);
    dk_free(s.xn);
    dk_free(count);
    dk_free(seen);
    dk_free(touched);
    return rc;
}

void dk_rates_free(dk_rates *r)
{
    dk_free(r->rate);
    dk_free(r->se);
    *r = (dk_rates){0};
}

/* --- against nulls --------------------------------------------------------------- */
struct often { uint64_t count; uint32_t id; };

static int by_count(const void *va, const void *vb)
{
    const struct often *a = va, *b = vb;

    return a->count != b->count ? (a->count < b->count ? -1 : 1) : a->id < b->id ? -1 : a->id > b->id;
}

/* Raises the standard deviation s of tokens to the median one of their decile. */
static int floor_by_decile(double *s, const dk_tokens *t, size_t vocab, dk_err *err)
{
    struct often *order = NULL;
    double *part = NULL;
    int rc = dk_alloc(&order, vocab, sizeof *order, "deciles", err);

    if (rc == 0)
        rc = dk_alloc(&part, vocab / DECILES + 1, sizeof *part, "deciles", err);
    for (uint32_t v = 0; rc == 0 && v < vocab; v++)
        order[v].id = v;
    for (size_t r = 0; rc == 0 && r < t->rows; r++)
        if (t->token[r] < vocab)
            order[t->token[r]].count++;
    if (rc == 0)
        qsort(order, vocab, sizeof *order, by_count);
    for (size_t d = 0; rc == 0 && d < DECILES; d++) {
        const size_t from = d * vocab / DECILES, to = (d + 1) * vocab / DECILES;
        double middle;

        for (size_t i = from; i < to; i++)
            part[i - from] = s[order[i].id];
        middle = dk_lower_median(part, to - from);
        for (size_t i = from; i < to; i++)
            s[order[i].id] = fmax(s[order[i].id], middle);
    }
    dk_free(order);
    dk_free(part);
    return rc;
}

static double mean_and_sd(const dk_rates *nulls, size_t n, size_t v, double *sd)
{
    double r[UINT8_MAX];

    for (size_t i = 0; i < n; i++)
        r[i] = nulls[i].rate[v];
    return dk_mean_sd(sd, r, n);
}

int dk_rates_compare(dk_rates_z *out, const dk_rates *ft, const dk_rates *nulls, size_t n, const dk_tokens *t,
                     size_t vocab, dk_err *err)
{
    double *sd = NULL;
    int rc = dk_alloc(&out->z, vocab, sizeof *out->z, "rates", err);

    DK_ASSERT(n > 0 && n <= UINT8_MAX);
    if (rc == 0) rc = dk_alloc(&out->null, vocab, sizeof *out->null, "rates", err);
    if (rc == 0) rc = dk_alloc(&sd, vocab, sizeof *sd, "rates", err);
    for (size_t v = 0; rc == 0 && v < vocab; v++) {
        size_t best = 0;

        for (size_t i = 1; i < n; i++)
            if (nulls[i].rate[v] > nulls[best].rate[v])
                best = i;
        out->null[v] = (uint8_t)(best + 1);
        out->z[v] = nulls[best].rate[v];
        sd[v] = nulls[best].se[v];
        if (n >= DK_FEW_NULLS)
            out->z[v] = mean_and_sd(nulls, n, v, &sd[v]);
    }
    if (rc == 0 && n >= DK_FEW_NULLS)
        rc = floor_by_decile(sd, t, vocab, err);
    for (size_t v = 0; rc == 0 && v < vocab; v++)
        out->z[v] = dk_null_z(ft->rate[v], ft->se[v], out->z[v], sd[v]);
    dk_free(sd);
    if (rc < 0)
        dk_rates_z_free(out);
    return rc;
}

void dk_rates_z_free(dk_rates_z *z)
{
    dk_free(z->z);
    dk_free(z->null);
    *z = (dk_rates_z){0};
}
