/* Extraction. */
#include "method/extract.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "base/parse.h"
#include "method/extractstats.h"
#include "method/kl.h"
#include "method/score.h"
#include "model/budget.h"
#include "model/describe.h"

/* --- layers ------------------------------------------------------------------ */
static int one_layer(int *out, const char *s, size_t blocks, dk_err *err)
{
    int64_t block;
    double share;
    int rc;

    if (strchr(s, '.')) {
        rc = dk_parse_real(&share, s, 0, 1, "a layer as a share of the depth", err);
        *out = rc < 0 ? 0 : (int)(share * (double)(blocks - 1));
        return rc;
    }
    rc = dk_parse_int(&block, s, 0, (int64_t)blocks - 1, "a layer", err);
    *out = (int)block;
    return rc;
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int dk_extract_layers(int out[DK_MAX_LAYERS], size_t *n, char *const *text, size_t n_text, size_t blocks,
                      dk_err *err)
{
    size_t kept = 0;
    int rc = 0;

    *n = 0;
    if (n_text == 0 || n_text > DK_MAX_LAYERS)
        return dk_fail(err, DK_EUSAGE, "name 1 to %d layers", DK_MAX_LAYERS);
    for (size_t i = 0; rc == 0 && i < n_text; i++)
        rc = one_layer(&out[i], text[i], blocks, err);
    if (rc < 0)
        return rc;
    qsort(out, n_text, sizeof *out, ascending);
    for (size_t i = 0; i < n_text; i++)
        if (i == 0 || out[i] != out[kept - 1])
            out[kept++] = out[i];
    *n = kept;
    return 0;
}

/* --- sites ---------------------------------------------------------------------- */
struct dk_extract_site {
    const char *name;
    dk_site tap;
    int before;                     /* what enters a block is what the one before hands on */
};

/* In the order of a file; what O and DOWN give is what attention and MLP add
 * to the residual stream, the adapter's part included. */
static const struct dk_extract_site site_of[DK_MAX_SITES] = {
    { "attn_out", DK_SITE_O, 0 }, { "mlp_out", DK_SITE_DOWN, 0 },
    { "resid_post", DK_SITE_OUT, 0 }, { "resid_pre", DK_SITE_OUT, 1 }
};

int dk_extract_sites(bool wanted[DK_MAX_SITES], char *const *name, size_t n, dk_err *err)
{
    for (size_t i = 0; i < DK_MAX_SITES; i++)
        wanted[i] = false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < DK_MAX_SITES && strcmp(site_of[k].name, name[i]) != 0)
            k++;
        if (k == DK_MAX_SITES)
            return dk_fail(err, DK_EUSAGE, "--site: '%s' is none of attn_out, mlp_out, resid_post, resid_pre", name[i]);
        wanted[k] = true;
    }
    return n ? 0 : dk_fail(err, DK_EUSAGE, "--site: name one of attn_out, mlp_out, resid_post, resid_pre");
}

/* --- what is run and kept ------------------------------------------------------ */
struct work {
    const dk_extract_job *job;
    const dk_pair *p;
    const char *out;
    const dk_tokens *t, *kept;      /* what is run; the rows that are kept of it */
    bool all;                       /* these are the same */
    struct place { int layer; const struct dk_extract_site *site; } place[DK_MAX_LAYERS * DK_MAX_SITES];
    size_t n_places, d, most;       /* most: rows of a pass */
    bool begun;                     /* rows have been taken */
    dk_tap *tap;                    /* [place][lane]; then those of the differences */
    size_t n_taps;
    float **diff;                   /* [place][lane]; NULL: not wanted */
    const float **rows;             /* in the order of the datasets */
    size_t n_rows;
    dk_acts_writer *w;
    size_t batch;                   /* tokens of a lane in a pass, longer texts apart */
    dk_collect *stats;              /* instead of a writer */
    dk_h5 *file;                    /* of the statistics */
    uint64_t first_leaf, end_leaf;  /* of this shard */
    dk_kl *eye;                     /* NULL: no KL */
    uint32_t *next;                 /* [most] */
    float *kl[DK_MAX_LANES], *reverse[DK_MAX_LANES], *logp[DK_MAX_LANES];   /* [most] */
    size_t *chosen;                 /* [most]: rows that are kept, where rows stay on the device */
    float *moved;                   /* d [most, d] */
};

static size_t at(const struct work *k, size_t place, size_t lane) { return place * k->p->n_lanes + lane; }

/* Rows of a pass: on the device, where only their statistics are wanted. */
static int rows_room(struct work *k, float **out, dk_err *err)
{
    dk_dev *dev = dk_device();
    size_t n;

    if (!dk_mul_size(&n, k->most, k->d) || !dk_mul_size(&n, n, sizeof **out))
        return dk_fail(err, DK_ENOMEM, "the activations of a pass do not fit in memory");
    return k->job->stats ? dev->ops->alloc(dev, (void **)out, n, "the activations of a pass", err)
                         : dk_alloc(out, n / sizeof **out, sizeof **out, "the activations of a pass", err);
}

static void rows_free(const struct work *k, float *rows)
{
    dk_dev *dev = dk_device();

    if (k->job->stats)
        dev->ops->release(dev, rows);
    else
        dk_free(rows);
}

static int room(struct work *k, dk_err *err)
{
    const size_t n = k->n_places * k->p->n_lanes;
    int rc = 0;

    k->tap = dk_xcalloc(2 * n, sizeof *k->tap);
    k->n_taps = n;
    k->diff = dk_xcalloc(n, sizeof *k->diff);
    k->rows = dk_xcalloc(2 * n, sizeof *k->rows);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct place *x = &k->place[i / k->p->n_lanes];

        k->tap[i].layer = x->layer - x->site->before;
        k->tap[i].site = x->site->tap;
        k->tap[i].lane = i % k->p->n_lanes;
        k->tap[i].stays = k->job->stats;
        rc = rows_room(k, &k->tap[i].out, err);
        if (rc == 0 && k->job->diff && k->tap[i].lane > 0) {
            rc = rows_room(k, &k->diff[i], err);
            k->tap[k->n_taps] = k->tap[i];
            k->tap[k->n_taps].out = k->diff[i];
            k->tap[k->n_taps++].diff = true;
        }
    }
    if (rc == 0 && k->job->stats && !k->all && (rc = rows_room(k, &k->moved, err)) == 0)
        rc = dk_alloc(&k->chosen, k->most, sizeof *k->chosen, "the rows that are kept", err);
    return rc;
}

static void release(struct work *k)
{
    for (size_t i = 0; k->tap && i < k->n_places * k->p->n_lanes; i++) {
        rows_free(k, k->tap[i].out);
        rows_free(k, k->diff[i]);
    }
    rows_free(k, k->moved);
    dk_free(k->chosen);
    dk_free(k->tap);
    dk_free(k->diff);
    dk_collect_free(&k->stats);
    dk_free(k->rows);
    if (k->eye)
        dk_kl_free(&k->eye);
    dk_free(k->next);
    for (size_t l = 0; l < DK_MAX_LANES; l++) {
        dk_free(k->kl[l]);
        dk_free(k->reverse[l]);
        dk_free(k->logp[l]);
    }
    dk_acts_abandon(&k->w);
    dk_h5_close(&k->file);
}

static int add_set(struct work *k, size_t place, const char *what, bool delta, bool gram, bool diff, const float *rows,
                   dk_err *err)
{
    const dk_act_info a = {
        .layer = k->place[place].layer, .site = k->place[place].site->name, .what = what, .delta = delta,
        .computed_in = dk_dtype_name(k->p->model->dtype), .arith = k->p->diff ? "difference" : "plain",
        .dtype = k->job->dtype, .d = k->d
    };

    k->rows[k->n_rows++] = rows;
    if (k->stats)
        return dk_collect_rows(k->stats, a.layer, a.site, a.what, rows, gram, diff, err);
    return dk_acts_add(k->w, &a, err);
}

static int add_lane(struct work *k, size_t place, size_t lane, dk_err *err)
{
    const char *name = k->p->lane[lane].name;
    const size_t i = at(k, place, lane);
    char *diff;
    int rc = 0;

    if (lane == 0)
        return k->job->base ? add_set(k, place, "base", false, k->job->gram_base, false, k->tap[i].out, err) : 0;
    if (k->job->ft)
        rc = add_set(k, place, name, k->job->ft_delta, k->job->gram_ft, false, k->tap[i].out, err);
    diff = strcmp(name, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", name);
    if (rc == 0 && k->job->diff)
        rc = add_set(k, place, diff, false, k->job->gram_diff, true, k->diff[i], err);
    dk_free(diff);
    return rc;
}

/* --- statistics ----------------------------------------------------------------- */
/* As dk_acts_new and dk_acts_add_model do it. */
static int begin_stats(struct work *k, const dk_provenance *prov, dk_err *err)
{
    const dk_collect_plan plan = { .positions = k->job->positions, .seed = k->job->seed, .first_leaf = k->first_leaf,
                                   .end_leaf = k->end_leaf, .replicates = k->job->replicates,
                                   .rep_positions = k->job->rep_positions };
    dk_buf lanes = {0};
    int rc = dk_h5_create(&k->file, k->out, "dk-statistics", prov, err);

    for (size_t l = 0; l < k->p->n_lanes; l++)
        dk_buf_addf(&lanes, "%s%s", l ? "," : "", k->p->lane[l].name);
    if (rc == 0)
        rc = dk_tokens_put_corpus(k->file, k->kept, err);
    if (rc == 0)
        rc = dk_h5_put_str(k->file, "/", "lanes", lanes.s, err);
    if (rc == 0)
        rc = dk_collect_new(&k->stats, k->d, &plan, err);
    dk_buf_free(&lanes);
    return rc;
}

/* What is measured row by row of every lane, stored or not. */
static int add_norms(struct work *k, size_t place, dk_err *err)
{
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++) {
        const dk_collect_lane lane = {
            .layer = k->place[place].layer, .site = k->place[place].site->name, .lane = k->p->lane[l].name,
            .base = l ? k->tap[at(k, place, 0)].out : NULL, .own = k->tap[at(k, place, l)].out,
            .diff = k->diff[at(k, place, l)]
        };

        rc = dk_collect_norms(k->stats, &lane, err);
    }
    return rc;
}

static int add_score(struct work *k, float **values, const char *what, size_t lane, bool gaps, dk_err *err)
{
    char *name = dk_xasprintf("%s/%s", what, k->p->lane[lane].name);
    int rc = dk_alloc(values, k->most, sizeof **values, "scores", err);

    if (rc == 0)
        rc = dk_collect_values(k->stats, name, "nats", *values, gaps, gaps, err);
    dk_free(name);
    return rc;
}

/* A divergence has no sign to be tested; log-probabilities have gaps, and a change that has one. */
static int add_kl(struct work *k, dk_err *err)
{
    int rc = dk_kl_new(&k->eye, k->p->n_lanes, 1, err);

    if (rc == 0)
        rc = dk_alloc(&k->next, k->most, sizeof *k->next, "next tokens", err);
    for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++) {
        rc = add_score(k, &k->logp[l], "logp", l, true, err);
        if (rc == 0 && l > 0)
            rc = add_score(k, &k->kl[l], "kl", l, false, err);
        if (rc == 0 && l > 0 && k->job->reverse)
            rc = add_score(k, &k->reverse[l], "kl_reverse", l, false, err);
    }
    return rc;
}

static int run_head(struct work *k, dk_runner *r, size_t first, size_t last, dk_err *err)
{
    const dk_tokens *t = k->t;
    const dk_visitor eye = dk_kl_visitor(k->eye);
    const size_t row0 = t->offset[first];

    for (size_t d = first; d < last; d++)
        for (size_t i = t->offset[d]; i < t->offset[d + 1]; i++)
            k->next[i - row0] = i + 1 < t->offset[d + 1] ? t->token[i + 1] : UINT32_MAX;
    dk_kl_target(k->eye, k->kl, k->logp, k->next);
    if (k->job->reverse)
        dk_kl_reverse(k->eye, k->reverse);
    return dk_runner_head(r, NULL, 0, &eye, 1, err);
}

static int end_stats(struct work *k, dk_err *err)
{
    const int rc = dk_collect_put(k->stats, k->file, err);

    return rc < 0 ? rc : dk_h5_commit(&k->file, k->kept->rows, k->kept->docs, NULL, err);
}

/* --- the pass ------------------------------------------------------------------- */
/* The file with its models and datasets, still without rows. */
static int begin(struct work *k, const dk_provenance *prov, dk_err *err)
{
    int rc;

    rc = k->job->stats ? begin_stats(k, prov, err)
                       : dk_acts_new(&k->w, k->out, k->kept, k->job->ft_delta, prov, err);
    for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++) {
        dk_model_info m;
        char hex[65];

        if ((rc = dk_pair_model_info(&m, k->p, l, k->t, hex, err)) == 0)
            rc = k->job->stats ? dk_h5_put_model(k->file, k->p->lane[l].name, &m, err)
                          : dk_acts_add_model(k->w, k->p->lane[l].name, &m, err);
    }
    for (size_t i = 0; rc == 0 && i < k->n_places; i++)
        for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++)
            rc = add_lane(k, i, l, err);
    for (size_t i = 0; rc == 0 && k->stats && i < k->n_places; i++)
        rc = add_norms(k, i, err);
    return rc == 0 && k->job->kl ? add_kl(k, err) : rc;
}

/* Moves the rows that are kept of n to the front. */
static void compact(struct work *k, size_t row0, size_t n)
{
    const size_t kept = k->chosen ? dk_rows_list(k->chosen, k->t, row0, n, &k->job->rows) : 0;
    dk_dev *dev = dk_device();

    for (size_t i = 0; i < k->n_taps; i++)
        if (!k->chosen)
            dk_rows_compact(k->tap[i].out, k->d, k->t, row0, n, &k->job->rows);
        else if (kept < n) {
            dev->ops->gather(dev, k->moved, k->tap[i].out, k->chosen, kept, k->d);
            dev->ops->copy(dev, k->tap[i].out, k->moved, kept * k->d * sizeof(float));
        }
}

/* The rows of documents first .. last - 1, which the model has just run, to the file. */
static int take(struct work *k, size_t first, size_t last, dk_err *err)
{
    const size_t row0 = k->t->offset[first], n = k->t->offset[last] - row0;

    if (!k->all)
        compact(k, row0, n);
    for (size_t l = 0; !k->all && k->eye && l < k->p->n_lanes; l++) {
        dk_rows_compact(k->logp[l], 1, k->t, row0, n, &k->job->rows);
        if (l > 0)
            dk_rows_compact(k->kl[l], 1, k->t, row0, n, &k->job->rows);
        if (l > 0 && k->job->reverse)
            dk_rows_compact(k->reverse[l], 1, k->t, row0, n, &k->job->rows);
    }
    return k->stats ? dk_collect_batch(k->stats, k->kept, first, last, k->out, err)
                    : dk_acts_append(k->w, k->rows, k->kept->offset[last] - k->kept->offset[first], err);
}

static int pass(struct work *k, dk_runner *r, dk_err *err)
{
    const dk_tokens *t = k->t;
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    int last_layer = k->eye ? -1 : 0;
    dk_progress bar;
    int rc = 0;

    for (size_t i = 0; !k->eye && i < k->n_places; i++)
        last_layer = k->tap[at(k, i, 0)].layer > last_layer ? k->tap[at(k, i, 0)].layer : last_layer;
    dk_progress_begin(&bar, "model", "tokens", (double)t->rows);
    for (size_t first = 0, last; rc == 0 && first < t->docs; first = last) {
        const size_t row0 = t->offset[first];
        dk_pass p = { .taps = k->tap, .n_taps = k->n_taps, .last_layer = last_layer };

        last = dk_tokens_batch(t, first, k->batch, offset);
        if (t->offset[last] == row0)
            continue;
        p.batch = (dk_batch){ last - first, offset, t->token + row0 };
        rc = dk_runner_forward(r, &p, err);
        if (rc == 0 && k->eye)
            rc = run_head(k, r, first, last, err);
        k->begun = k->begun || rc == 0;
        if (rc == 0)
            rc = take(k, first, last, err);
        dk_progress_add(&bar, (double)(t->offset[last] - row0));
    }
    dk_progress_end(&bar);
    dk_free(offset);
    return rc;
}

/* --- one file -------------------------------------------------------------------- */
static int choose_places(struct work *k, dk_err *err)
{
    int layer[DK_MAX_LAYERS];
    size_t n;
    const int rc = dk_extract_layers(layer, &n, k->job->layers, k->job->n_layers,
                                     k->p->model->config.n_layers, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        for (size_t s = 0; s < DK_MAX_SITES; s++)
            if (k->job->site[s])
                k->place[k->n_places++] = (struct place){ layer[i], &site_of[s] };
    return rc;
}

/* What a token takes there beside the pass, where its rows stay. */
static double device_bytes(const struct work *k)
{
    const double sets = (double)(k->n_places * (k->p->n_lanes + (k->job->diff ? k->p->n_lanes - 1 : 0)) + !k->all);

    return k->job->stats ? sets * (double)(k->d * sizeof(float)) : 0;
}

static int run_pass(struct work *k, dk_err *err)
{
    dk_runner *r = NULL;
    int rc = dk_pair_runner(&r, k->p, dk_tokens_batch_most(k->t, k->batch), err);

    if (rc == 0)
        rc = pass(k, r, err);
    dk_runner_free(&r);
    return rc;
}

static int run(struct work *k, const dk_provenance *prov, dk_err *err)
{
    const size_t longest = dk_tokens_batch_most(k->t, 1);
    int rc = choose_places(k, err);

    k->d = k->p->model->config.d_model;
    if (rc == 0)
        rc = dk_pair_rows(&k->batch, k->p, device_bytes(k), k->job->batch_rows, longest, err);
    if (rc < 0)
        return rc;
    k->batch = k->most = dk_tokens_batch_most(k->t, k->batch);
    if ((rc = room(k, err)) == 0 && (rc = begin(k, prov, err)) == 0)
        do
            rc = run_pass(k, err);
        while (rc < 0 && !k->begun && dk_pair_halve(&k->batch, longest, err));
    return rc < 0 ? rc : k->stats ? end_stats(k, err) : dk_acts_commit(&k->w, err);
}

int dk_extract_file(const dk_extract_job *job, const dk_pair *p, const dk_extract_part *part, const dk_provenance *prov,
                    dk_err *err)
{
    struct work k = { .job = job, .p = p, .t = part->run, .kept = part->kept, .all = dk_row_rule_all(&job->rows),
                      .first_leaf = part->first_leaf, .end_leaf = part->end_leaf, .out = part->out };
    const int rc = run(&k, prov, err);

    release(&k);
    return rc;
}
