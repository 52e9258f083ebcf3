/* Checks of the adapter as weights: A6, A7. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/checkrun.h"
#include "num/half.h"
#include "num/kernels.h"

enum { TOKENS = 16, ROWS = 64 };    /* of each probe text; of each matrix */

/* --- A6 ------------------------------------------------------------------------------ */
static size_t first_tokens(const dk_check *c, uint32_t *ids, size_t *offset)
{
    offset[0] = 0;
    for (size_t t = 0; t < DK_PROBE_TEXTS; t++) {
        const size_t n = c->offset[t + 1] - c->offset[t], take = n < TOKENS ? n : TOKENS;

        memcpy(ids + offset[t], c->ids + c->offset[t], take * sizeof *ids);
        offset[t + 1] = offset[t] + take;
    }
    return offset[DK_PROBE_TEXTS];
}

static double log_sum_exp(const float *x, size_t n)
{
    double top = -INFINITY, sum = 0;

    for (size_t v = 0; v < n; v++)
        top = fmax(top, (double)x[v]);
    for (size_t v = 0; v < n; v++)
        sum += exp((double)x[v] - top);
    return top + log(sum);
}

/* KL(p || q) of two rows of logits. */
static double kl_of(const float *p, const float *q, size_t n)
{
    const double zp = log_sum_exp(p, n), zq = log_sum_exp(q, n);
    double kl = 0;

    for (size_t v = 0; v < n; v++) {
        const double lp = (double)p[v] - zp;

        kl += exp(lp) * (lp - ((double)q[v] - zq));
    }
    return kl > 0 ? kl : 0;
}

/* Mean KL(side path || merged); of the base's unembedding, which no adapter changes. */
static int merged_kl(dk_check *c, size_t lane, double *kl, size_t *rows, dk_err *err)
{
    const dk_model *m = c->pair.model;
    const dk_lane base = { .name = "merged", .factor = 1 };
    uint32_t ids[DK_PROBE_TEXTS * TOKENS];
    size_t offset[DK_PROBE_TEXTS + 1];
    const size_t n = first_tokens(c, ids, offset);
    const dk_batch b = { DK_PROBE_TEXTS, offset, ids };
    float *side = NULL, *own = NULL;
    dk_model *merged = NULL;
    int rc = dk_model_load_merged(&merged, c->spec->pair.base, m->dtype, c->pair.adapter[lane], err);

    if (rc == 0)
        rc = dk_check_logits(&side, m, &c->pair.lane[lane], &b, err);
    if (rc == 0) {
        merged->head = m->head;
        rc = dk_check_logits(&own, merged, &base, &b, err);
        merged->head = NULL;
    }
    *kl = 0;
    *rows = n;
    for (size_t i = 0; rc == 0 && i < n; i++)
        *kl += kl_of(side + i * m->config.vocab, own + i * m->config.vocab, m->config.vocab) / (double)n;
    dk_model_free(&merged);
    dk_free(side);
    dk_free(own);
    return rc;
}

int dk_check_a6(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const char *why = dk_check_powerless(c, lane);
    size_t n;
    int rc;

    if (dk_check_no_adapter(c, lane, row))
        return 0;
    if (why) {
        dk_check_say(row, DK_CHECK_SKIP, "%s", why);
        return 0;
    }
    if (c->lane[lane].ends) {
        dk_check_say(row, DK_CHECK_SKIP, "not applicable: the adapter changes more than the blocks");
        return 0;
    }
    rc = merged_kl(c, lane, &row->value, &n, err);
    if (rc < 0)
        return rc;
    row->limit = c->pair.model->dtype == DK_BF16 ? 1e-3 : 1e-6;
    if (row->value < row->limit)
        dk_check_say(row, DK_CHECK_PASS, "mean KL %.2g nats on %zu tokens between the side path and merged "
                     "weights", row->value, n);
    else
        dk_check_say(row, DK_CHECK_FAIL, "the side path and merged weights are two different models: mean KL "
                     "%.2g nats on %zu tokens", row->value, n);
    return 0;
}

/* --- A7 ------------------------------------------------------------------------------ */
struct loss { double n, same, size, lost; };    /* entries; squares of the update */

/* One row: weights, and the update that a merge adds. */
static void count_row(struct loss *to, const float *w, const float *update, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double u = (double)update[i] * (double)update[i];
        const bool same = dk_f32_bf16(w[i] + update[i]) == dk_f32_bf16(w[i]);

        to->n++;
        to->size += u;
        to->same += same;
        to->lost += same ? u : 0;
    }
}

/* Rows spread evenly over a matrix. */
static int count_module(struct loss *to, const dk_checkpoint *file, const dk_adapter_module *m, dk_err *err)
{
    const size_t n = m->out < ROWS ? m->out : ROWS;
    float *w = dk_xcalloc(m->in, sizeof *w), *update = dk_xcalloc(m->in, sizeof *update);
    char *name = dk_xasprintf("%s.weight", m->path);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        const size_t o = i * m->out / n;

        rc = dk_checkpoint_rows(file, name, w, o, 1, err);
        memset(update, 0, m->in * sizeof *update);
        dk_lowrank_out(update, m->in, m->b + o * m->r, m->r, m->a, m->in, 1, m->r, m->in, m->scale);
        if (rc == 0)
            count_row(to, w, update, m->in);
    }
    dk_free(w);
    dk_free(update);
    dk_free(name);
    return rc;
}

int dk_check_a7(dk_check *c, size_t lane, dk_check_row *row, dk_err *err)
{
    const dk_check_lane *l = &c->lane[lane];
    const dk_adapter *a = c->pair.adapter[lane];
    dk_checkpoint *file = NULL;
    struct loss sum = {0};
    int rc;

    if (dk_check_no_adapter(c, lane, row))
        return 0;
    if (!l->usable || l->empty || l->no_scale) {
        dk_check_say(row, DK_CHECK_SKIP, "the adapter does not fit or is empty, see A1 to A3");
        return 0;
    }
    rc = dk_checkpoint_open(&file, c->spec->pair.base, err);
    for (size_t i = 0; rc == 0 && i < dk_adapter_n(a); i++)
        rc = count_module(&sum, file, dk_adapter_at(a, i), err);
    dk_checkpoint_close(&file);
    if (rc < 0)
        return rc;
    row->value = sum.same / sum.n;
    row->limit = 0.5;
    if (row->value <= row->limit)
        dk_check_say(row, DK_CHECK_PASS, "merged in bf16, %.1f %% of the weights would stay as they are, and "
                     "%.1f %% of the squared update be lost", 100 * row->value, 100 * sum.lost / sum.size);
    else
        dk_check_say(row, DK_CHECK_WARN, "most of the update would be lost in rounding if it were merged in "
                     "bf16: %.1f %% of the weights would stay as they are, with %.1f %% of the squared update",
                     100 * row->value, sum.size > 0 ? 100 * sum.lost / sum.size : 100.0);
    return 0;
}
