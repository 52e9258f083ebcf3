/* KL tables. */
#include "method/kltable.h"

#include <math.h>
#include <string.h>

#include "io/jsonstats.h"
#include "num/resample.h"

/* Base and finetune change places in the sign-flip test: this changes its sign
 * with them, where a divergence is positive either way. */
static void put_change(dk_jw *w, const dk_change *c)
{
    dk_jw_key(w, "logp_change");
    dk_jw_obj_begin(w);
    dk_jw_key(w, "value"); dk_jw_num(w, c->value);
    dk_jw_key(w, "lo"); dk_jw_num(w, c->lo);
    dk_jw_key(w, "hi"); dk_jw_num(w, c->hi);
    dk_jw_key(w, "docs"); dk_jw_u64(w, c->docs);
    if (!isnan(c->p) || c->docs < 2) {
        dk_jw_key(w, "p_any"); dk_jw_num(w, c->p);
    }
    dk_jw_obj_end(w);
}

static void put_head(dk_jw *w, const char *lane, const char *against, bool reverse, const char *dataset)
{
    dk_jw_obj_begin(w);
    dk_jw_key(w, "lane"); dk_jw_str(w, lane);
    dk_jw_key(w, "against"); dk_jw_str(w, against);
    if (reverse) {
        dk_jw_key(w, "reverse"); dk_jw_bool(w, true);
    }
    dk_jw_key(w, "dataset_id"); dk_jw_str(w, dataset);
    dk_jw_key(w, "unit"); dk_jw_str(w, "nats");
}

static void put_tail(dk_jw *w, uint64_t rows, uint64_t docs, const dk_change *change)
{
    dk_jw_key(w, "total_tokens_processed"); dk_jw_u64(w, rows);
    dk_jw_key(w, "total_sequences_processed"); dk_jw_u64(w, docs);
    if (change->docs)
        put_change(w, change);
    dk_jw_obj_end(w);
    dk_jw_line(w);
}

/* --- kinds of token --------------------------------------------------------------- */
enum { FIRST, LAST, SPECIAL, TEMPLATE, ASSISTANT, TEXT, GROUPS };

/* The ends of a document belong to a role, too. */
static bool in_group(const dk_tokens *t, size_t doc, size_t row, int group)
{
    const uint8_t f = t->flags[row];
    const int role = f & (DK_TOK_SPECIAL | DK_TOK_BOS) ? SPECIAL : f & DK_TOK_TEMPLATE ? TEMPLATE : f & DK_TOK_ASSISTANT ? ASSISTANT : TEXT;

    return group == FIRST ? row == t->offset[doc] : group == LAST ? row + 1 == t->offset[doc + 1] : group == role;
}

/* Room for sums of documents. */
struct sums { double *x, *n; };

static int put_group(dk_jw *w, const dk_tokens *t, const float *kl, int group, const struct sums *of, uint64_t seed, dk_err *err)
{
    static const char *const name[GROUPS] = { "first", "last", "special", "template", "assistant", "text" };
    double x = 0, n = 0, lo, hi;
    size_t docs = 0;
    int rc;

    for (size_t d = 0; d < t->docs; d++) {
        of->x[d] = of->n[d] = 0;
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            if (in_group(t, d, i, group)) {
                of->x[d] += kl[i];
                of->n[d]++;
            }
        x += of->x[d];
        n += of->n[d];
        docs += of->n[d] > 0;
    }
    if (docs == 0)
        return 0;
    rc = dk_bootstrap_ratio(&lo, &hi, of->x, of->n, t->id, t->docs, seed, err);
    if (rc == 0) {
        dk_jw_key(w, name[group]);
        dk_jw_obj_begin(w);
        dk_jw_key(w, "value"); dk_jw_num(w, x / n);
        dk_jw_key(w, "lo"); dk_jw_num(w, docs > 1 ? lo : NAN);
        dk_jw_key(w, "hi"); dk_jw_num(w, docs > 1 ? hi : NAN);
        dk_jw_key(w, "docs"); dk_jw_u64(w, docs);
        dk_jw_key(w, "tokens"); dk_jw_num(w, n);
        dk_jw_obj_end(w);
    }
    return rc;
}

static int put_groups(dk_jw *w, const dk_tokens *t, const float *kl, const struct sums *of, uint64_t seed, dk_err *err)
{
    int rc = 0;

    dk_jw_key(w, "groups");
    dk_jw_obj_begin(w);
    for (int g = 0; rc == 0 && g < GROUPS; g++)
        rc = put_group(w, t, kl, g, of, seed, err);
    dk_jw_obj_end(w);
    return rc;
}

int dk_kl_table_row(dk_buf *out, const char *lane, const char *against, bool reverse, const dk_tokens *t,
                    const float *kl, const float *logp, const float *logp_against, uint64_t seed, dk_err *err)
{
    dk_jw w = { .out = out };
    dk_stats token, sample;
    dk_change change = {0};
    double *sum = NULL, *count = NULL, lo, hi;
    float *mean = NULL;
    size_t docs = 0;
    int rc = dk_alloc(&sum, t->docs, sizeof *sum, "statistics", err);

    if (rc == 0) rc = dk_alloc(&count, t->docs, sizeof *count, "statistics", err);
    if (rc == 0) rc = dk_alloc(&mean, t->docs, sizeof *mean, "statistics", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            sum[d] += kl[i];
        count[d] = (double)(t->offset[d + 1] - t->offset[d]);
        if (count[d] > 0)
            mean[docs++] = (float)(sum[d] / count[d]);
    }
    if (rc == 0) rc = dk_stats_of(&token, kl, t->rows, err);
    if (rc == 0) rc = dk_stats_of(&sample, mean, docs, err);
    if (rc == 0) rc = dk_bootstrap_ratio(&lo, &hi, sum, count, t->id, t->docs, seed, err);
    if (rc == 0) {
        put_head(&w, lane, against, reverse, t->corpus_name);
        dk_jw_key(&w, "value"); dk_jw_num(&w, token.mean);
        dk_jw_key(&w, "lo"); dk_jw_num(&w, lo);
        dk_jw_key(&w, "hi"); dk_jw_num(&w, hi);
        dk_jw_key(&w, "docs"); dk_jw_u64(&w, docs);
        dk_jw_stats(&w, "per_token_statistics", &token, false);
        dk_jw_stats(&w, "mean_per_sample_statistics", &sample, false);
        rc = put_groups(&w, t, kl, &(struct sums){ sum, count }, seed, err);
    }
    if (rc == 0 && logp && logp_against)
        rc = dk_mean_change(&change, logp, logp_against, t->offset, t->id, t->docs, seed, err);
    if (rc == 0)
        put_tail(&w, t->rows, docs, &change);
    dk_free(sum);
    dk_free(count);
    dk_free(mean);
    return rc;
}

static const dk_measure *measure_of(const dk_statistics *s, const char *what, const char *lane)
{
    char *name = dk_xasprintf("%s/%s", what, lane);
    const dk_measure *m = dk_measure_find(s, name);

    dk_free(name);
    return m;
}

static void put_sums(dk_buf *out, const dk_act_input *in, const char *lane, const char *first, bool reverse)
{
    const dk_measure *kl = measure_of(&in->stats, reverse ? "kl_reverse" : "kl", lane);
    const dk_measure *own = measure_of(&in->stats, "logp", lane), *base = measure_of(&in->stats, "logp", first);
    dk_change change = { .p = NAN };
    dk_jw w = { .out = out };

    if (!kl || kl->count == 0)
        return;
    if (own && base && !reverse)
        dk_measure_change(&change, own, base);
    put_head(&w, lane, first, reverse, in->corpus.corpus_name);
    dk_jw_measure(&w, kl);
    put_tail(&w, kl->count, kl->docs, &change);
}

int dk_kl_stats_table(dk_buf *out, const dk_act_input *in, dk_err *err)
{
    for (int reverse = 0; reverse < 2; reverse++) {
        char *lanes = dk_xstrdup(in->lanes), *save = NULL;
        const char *first = strtok_r(lanes, ",", &save);

        for (char *lane = first ? strtok_r(NULL, ",", &save) : NULL; lane; lane = strtok_r(NULL, ",", &save))
            put_sums(out, in, lane, first, reverse);
        dk_free(lanes);
    }
    return out->n ? 0 : dk_fail(err, DK_EDATA, "%s has no KL of any document: extract with --kl", dk_h5_path(in->f));
}
