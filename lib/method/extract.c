/* Extraction. */
#include "method/extract.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "base/parse.h"
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

/* --- the pass ----------------------------------------------------------------- */
struct work {
    const dk_extract_job *job;
    const dk_pair *p;
    const dk_tokens *t;
    struct place { int layer; const struct dk_extract_site *site; } place[DK_MAX_LAYERS * DK_MAX_SITES];
    size_t n_places, d, most;       /* most: rows of a pass */
    dk_tap *tap;                    /* [place][lane]; then those of the differences */
    size_t n_taps;
    float **diff;                   /* [place][lane]; NULL: not wanted */
    const float **rows;             /* in the order of the datasets */
    size_t n_rows;
    dk_acts_writer *w;
    size_t batch;                   /* tokens of a lane in a pass, longer texts apart */
    dk_stats *stats;                /* [n_rows], instead of a writer */
    dk_h5 *file;                    /* of the statistics */
};

static size_t at(const struct work *k, size_t place, size_t lane) { return place * k->p->n_lanes + lane; }

static int room(struct work *k, dk_err *err)
{
    const size_t n = k->n_places * k->p->n_lanes;
    size_t each;
    int rc = 0;

    if (!dk_mul_size(&each, k->most, k->d))
        return dk_fail(err, DK_ENOMEM, "the activations of a pass do not fit in memory");
    k->tap = dk_xcalloc(2 * n, sizeof *k->tap);
    k->n_taps = n;
    k->diff = dk_xcalloc(n, sizeof *k->diff);
    k->rows = dk_xcalloc(2 * n, sizeof *k->rows);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct place *x = &k->place[i / k->p->n_lanes];

        k->tap[i].layer = x->layer - x->site->before;
        k->tap[i].site = x->site->tap;
        k->tap[i].lane = i % k->p->n_lanes;
        rc = dk_alloc(&k->tap[i].out, each, sizeof(float), "the activations of a pass", err);
        if (rc == 0 && k->job->diff && k->tap[i].lane > 0) {
            rc = dk_alloc(&k->diff[i], each, sizeof(float), "the activations of a pass", err);
            k->tap[k->n_taps] = k->tap[i];
            k->tap[k->n_taps].out = k->diff[i];
            k->tap[k->n_taps++].diff = true;
        }
    }
    return rc;
}

static void release(struct work *k)
{
    for (size_t i = 0; k->tap && i < k->n_places * k->p->n_lanes; i++) {
        dk_free(k->tap[i].out);
        dk_free(k->diff[i]);
    }
    dk_free(k->tap);
    dk_free(k->diff);
    for (size_t i = 0; k->stats && i < k->n_rows; i++)
        dk_stats_free(&k->stats[i]);
    dk_free(k->stats);
    dk_free(k->rows);
    dk_acts_abandon(&k->w);
    dk_h5_close(&k->file);
}

static int add_set(struct work *k, size_t place, const char *what, bool delta, const float *rows, dk_err *err)
{
    const dk_act_info a = {
        .layer = k->place[place].layer, .site = k->place[place].site->name, .what = what, .delta = delta,
        .computed_in = dk_dtype_name(k->p->model->dtype), .arith = k->p->diff ? "difference" : "plain",
        .dtype = k->job->dtype, .d = k->d
    };

    k->rows[k->n_rows++] = rows;
    if (k->stats)
        return dk_stats_new(&k->stats[k->n_rows - 1], a.layer, a.site, a.what, a.d, k->job->positions, err);
    return dk_acts_add(k->w, &a, err);
}

static int add_lane(struct work *k, size_t place, size_t lane, dk_err *err)
{
    const char *name = k->p->lane[lane].name;
    const size_t i = at(k, place, lane);
    char *diff;
    int rc = 0;

    if (lane == 0)
        return k->job->base ? add_set(k, place, "base", false, k->tap[i].out, err) : 0;
    if (k->job->ft)
        rc = add_set(k, place, name, k->job->ft_delta, k->tap[i].out, err);
    diff = strcmp(name, "ft") == 0 ? dk_xstrdup("diff") : dk_xasprintf("diff.%s", name);
    if (rc == 0 && k->job->diff)
        rc = add_set(k, place, diff, false, k->diff[i], err);
    dk_free(diff);
    return rc;
}

/* As dk_acts_new and dk_acts_add_model do it. */
static int begin_stats(struct work *k, const dk_provenance *prov, dk_err *err)
{
    dk_buf lanes = {0};
    int rc = dk_h5_create(&k->file, k->job->out, "dk-statistics", prov, err);

    for (size_t l = 0; l < k->p->n_lanes; l++)
        dk_buf_addf(&lanes, "%s%s", l ? "," : "", k->p->lane[l].name);
    if (rc == 0)
        rc = dk_tokens_put_corpus(k->file, k->t, err);
    if (rc == 0)
        rc = dk_h5_put_str(k->file, "/", "lanes", lanes.s, err);
    dk_buf_free(&lanes);
    return rc;
}

static int add_stats(struct work *k, size_t first, size_t rows, dk_err *err)
{
    for (size_t i = 0; i < k->n_rows; i++) {
        const size_t n = dk_stats_add(&k->stats[i], k->rows[i], k->t->pos + first, rows);

        if (n < rows)
            return dk_fail(err, DK_ENUM, "%s: L%02d/%s/%s, row %zu: activations are NaN or infinite", k->job->out,
                           k->stats[i].layer, k->stats[i].site, k->stats[i].what, first + n);
    }
    return 0;
}

static int end_stats(struct work *k, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < k->n_rows; i++)
        rc = dk_stats_put(k->file, &k->stats[i], err);
    return rc < 0 ? rc : dk_h5_commit(&k->file, k->t->rows, k->t->docs, NULL, err);
}

/* The file with its models and datasets, still without rows. */
static int begin(struct work *k, const dk_provenance *prov, dk_err *err)
{
    int rc;

    if (k->job->stats)
        k->stats = dk_xcalloc(2 * k->n_places * k->p->n_lanes, sizeof *k->stats);
    rc = k->stats ? begin_stats(k, prov, err) : dk_acts_new(&k->w, k->job->out, k->t, k->job->ft_delta, prov, err);
    for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++) {
        dk_model_info m;
        char hex[65];

        if ((rc = dk_pair_model_info(&m, k->p, l, k->t, hex, err)) == 0)
            rc = k->stats ? dk_h5_put_model(k->file, k->p->lane[l].name, &m, err)
                          : dk_acts_add_model(k->w, k->p->lane[l].name, &m, err);
    }
    for (size_t i = 0; rc == 0 && i < k->n_places; i++)
        for (size_t l = 0; rc == 0 && l < k->p->n_lanes; l++)
            rc = add_lane(k, i, l, err);
    return rc;
}

static int pass(struct work *k, dk_runner *r, dk_err *err)
{
    const dk_tokens *t = k->t;
    size_t *offset = dk_xcalloc(t->docs + 1, sizeof *offset);
    int last_layer = 0;
    dk_progress bar;
    int rc = 0;

    for (size_t i = 0; i < k->n_places; i++)
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
        if (rc == 0)
            rc = k->stats ? add_stats(k, row0, t->offset[last] - row0, err)
                          : dk_acts_append(k->w, k->rows, t->offset[last] - row0, err);
        dk_progress_add(&bar, (double)(t->offset[last] - row0));
    }
    dk_progress_end(&bar);
    dk_free(offset);
    return rc;
}

/* --- the job ------------------------------------------------------------------- */
static int check_pair(const dk_extract_job *job, const dk_pair *p, dk_err *err)
{
    if (strcmp(p->lane[0].name, "base") != 0)
        return dk_fail(err, DK_EUSAGE, "the first lane must be the base");
    if (p->n_lanes < 2 && (job->ft || job->diff))
        return dk_fail(err, DK_EUSAGE, "a difference needs a finetune: name one with --ft or lanes with --null");
    for (size_t l = 1; l < p->n_lanes; l++)
        if (strcmp(p->lane[l].name, "diff") == 0 || strncmp(p->lane[l].name, "diff.", 5) == 0)
            return dk_fail(err, DK_EUSAGE, "a lane cannot be called '%s' here: differences are", p->lane[l].name);
    return 0;
}

static int read_tokens(dk_tokens *t, const dk_extract_job *job, dk_err *err)
{
    dk_tokens all = {0};
    int rc = dk_tokens_read(&all, job->tokens, err);

    if (rc == 0 && all.lineage)
        dk_inputs_add_object(job->inputs, all.lineage);
    if (rc == 0)
        rc = dk_tokens_trim(t, &all, job->max_docs, job->max_tokens, 1, err);
    if (rc == 0 && t->rows == 0)
        rc = dk_fail(err, DK_EDATA, "%s holds no tokens", job->tokens);
    dk_tokens_free(&all);
    return rc;
}

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

static int extract(struct work *k, dk_err *err)
{
    const dk_extract_job *job = k->job;
    dk_provenance prov;
    dk_runner *r = NULL;
    int rc = choose_places(k, err);

    if (rc == 0)
        rc = dk_pair_check_tokens(k->p, k->t, job->tokens, err);
    k->d = k->p->model->config.d_model;
    if (rc == 0)
        rc = dk_pair_rows(&k->batch, k->p, job->batch_rows, dk_tokens_batch_most(k->t, 1), err);
    if (rc < 0)
        return rc;
    k->most = dk_tokens_batch_most(k->t, k->batch);
    rc = room(k, err);
    if (rc == 0)
        rc = dk_pair_inputs(job->inputs, k->p, err);
    if (rc < 0)
        return rc;
    prov = job->provenance(job->arg);
    rc = begin(k, &prov, err);
    if (rc == 0)
        rc = dk_pair_runner(&r, k->p, k->most, err);
    if (rc == 0)
        rc = pass(k, r, err);
    dk_runner_free(&r);
    return rc < 0 ? rc : k->stats ? end_stats(k, err) : dk_acts_commit(&k->w, err);
}

int dk_extract_run(const dk_extract_job *job, dk_err *err)
{
    dk_tokens t = {0};
    dk_pair p = {0};
    struct work k = { .job = job, .p = &p, .t = &t };
    int rc = dk_outfile_check(job->out, err);

    if (rc == 0)
        rc = dk_h5_check_terminal(job->out, "", err);
    if (rc == 0)
        rc = read_tokens(&t, job, err);
    if (rc == 0)
        rc = dk_pair_name(&p, &job->pair, err);
    if (rc == 0)
        rc = check_pair(job, &p, err);
    dk_pair_close(&p);
    if (rc == 0)
        rc = dk_pair_open(&p, &job->pair, err);
    if (rc == 0)
        rc = extract(&k, err);
    release(&k);
    dk_pair_close(&p);
    dk_tokens_free(&t);
    return rc;
}
