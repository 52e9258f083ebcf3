/* Importing activations. */
#include "method/import.h"

#include <string.h>

#include "base/log.h"
#include "io/actfile.h"
#include "io/refcache.h"

enum { PIECE = 4096, LANES = 2 };

static const char *const lane_name[LANES] = { "base", "ft" };

struct work {
    const dk_import_job *job;
    size_t n_lanes, n_layers, d;
    int *layer;
    size_t n_tokens[LANES];
    dk_tokens t;
    dk_refrows *rows;               /* [layer][lane] */
    float **piece;                  /* [layer][lane, then their difference]: [PIECE, d] */
    const float **put;              /* in the order of the datasets */
    size_t n_put;
    dk_acts_writer *w;
};

static const char *folder(const struct work *k, size_t lane) { return lane ? k->job->ft : k->job->base; }
static dk_refrows *rows_of(const struct work *k, size_t layer, size_t lane) { return &k->rows[layer * LANES + lane]; }
static float *piece_of(const struct work *k, size_t layer, size_t which) { return k->piece[layer * (LANES + 1) + which]; }

/* --- tokens ------------------------------------------------------------------- */
/* Both have the same tokens, as far as the shorter goes. */
static int compare(const dk_reftokens *a, const dk_reftokens *b, dk_err *err)
{
    const size_t n = a->rows < b->rows ? a->rows : b->rows;

    for (size_t i = 0; i < n; i++)
        if (a->token[i] != b->token[i])
            return dk_fail(err, DK_EDATA, "%s and %s have other tokens at %zu: %lld and %lld", a->dir, b->dir, i,
                           (long long)a->token[i], (long long)b->token[i]);
    if (a->rows != b->rows)
        dk_log(DK_WARN, "%s has %zu tokens and %s %zu: the first %zu of both are taken", a->dir, a->rows, b->dir, b->rows, n);
    return 0;
}

/* A BOS is where a sequence begins, if its first tokens are there. */
static void flags_of(uint8_t *flags, const dk_import_job *job, const uint32_t *id, size_t n)
{
    for (size_t i = 0; job->tokenizer && i < n; i++)
        flags[i] = dk_tokenizer_is_special(job->tokenizer, id[i]) ? DK_TOK_SPECIAL : 0;
    if (job->tokenizer && job->skipped == 0 && n && id[0] == dk_tokenizer_about(job->tokenizer)->bos)
        flags[0] |= DK_TOK_BOS;
}

static int add_documents(struct work *k, const dk_reftokens *from, dk_err *err)
{
    const dk_import_job *job = k->job;
    uint32_t *id = NULL;
    uint8_t *flags = NULL;
    int rc = dk_alloc(&id, from->rows, sizeof *id, "tokens", err);

    if (rc == 0)
        rc = dk_alloc(&flags, from->rows, 1, "token flags", err);
    for (size_t i = 0; rc == 0 && i < from->rows; i++) {
        id[i] = (uint32_t)from->token[i];
        if (job->tokenizer && id[i] >= k->t.vocab)
            rc = dk_fail(err, DK_EDATA, "%s: token %u at %zu is not below the tokenizer's %u", from->dir, id[i], i, k->t.vocab);
        k->t.vocab = id[i] >= k->t.vocab ? id[i] + 1 : k->t.vocab;
    }
    for (size_t d = 0; rc == 0 && d < from->docs; d++) {
        const size_t first = (size_t)from->range[d], n = (size_t)from->range[d + 1] - first;

        flags_of(flags, job, id + first, n);
        rc = dk_tokens_add_doc(&k->t, d, id + first, flags, n, err);
        for (size_t i = 0; rc == 0 && i < n; i++)
            k->t.pos[first + i] += (uint32_t)job->skipped;
    }
    dk_free(id);
    dk_free(flags);
    return rc;
}

static void name_tokens(struct work *k)
{
    const dk_tokenizer_info *info = k->job->tokenizer ? dk_tokenizer_about(k->job->tokenizer) : NULL;

    k->t.corpus_name = dk_xstrdup(k->job->name);
    k->t.split = dk_xstrdup(k->job->split);
    k->t.format = dk_xstrdup("text");
    k->t.tokenizer_sha256 = dk_xstrdup(info ? info->sha256 : "");
    k->t.template_sha256 = dk_xstrdup(info ? info->template_sha256 : "");
    k->t.vocab = info ? (uint32_t)info->n_vocab : 0;
}

static int read_tokens(struct work *k, dk_err *err)
{
    dk_reftokens t[LANES] = {0};
    const dk_reftokens *shorter = &t[0];
    int rc = 0;

    name_tokens(k);
    for (size_t l = 0; rc == 0 && l < k->n_lanes; l++)
        if ((rc = dk_reftokens_read(&t[l], folder(k, l), err)) == 0)
            k->n_tokens[l] = t[l].rows;
    if (rc == 0 && k->n_lanes == LANES && (rc = compare(&t[0], &t[1], err)) == 0 && t[1].rows < t[0].rows)
        shorter = &t[1];
    if (rc == 0 && shorter->rows == 0)
        rc = dk_fail(err, DK_EDATA, "%s has no tokens", shorter->dir);
    if (rc == 0)
        rc = add_documents(k, shorter, err);
    k->t.bos = dk_xstrdup(k->t.rows && (k->t.flags[0] & DK_TOK_BOS) ? "present" : "none");
    for (size_t l = 0; l < LANES; l++)
        dk_reftokens_free(&t[l]);
    return rc;
}

/* --- layers ------------------------------------------------------------------- */
static int choose_layers(struct work *k, dk_err *err)
{
    const dk_import_job *job = k->job;
    int *other = NULL;
    size_t n_other = 0, kept = 0;
    int rc;

    if (job->n_layers) {
        k->layer = dk_xcalloc(job->n_layers, sizeof *k->layer);
        memcpy(k->layer, job->layer, job->n_layers * sizeof *k->layer);
        k->n_layers = job->n_layers;
        return 0;
    }
    if ((rc = dk_reflayers(&k->layer, &k->n_layers, job->base, err)) < 0 || k->n_lanes < LANES)
        return rc;
    rc = dk_reflayers(&other, &n_other, job->ft, err);
    for (size_t i = 0, j = 0; rc == 0 && i < k->n_layers; i++) {
        while (j < n_other && other[j] < k->layer[i])
            j++;
        if (j < n_other && other[j] == k->layer[i])
            k->layer[kept++] = k->layer[i];
    }
    k->n_layers = kept;
    dk_free(other);
    return rc < 0 || kept ? rc : dk_fail(err, DK_EDATA, "%s and %s have no layer in common", job->base, job->ft);
}

/* All of one width and type, with a row for each token. */
static int open_rows(struct work *k, dk_err *err)
{
    int rc = 0;

    k->rows = dk_xcalloc(k->n_layers * LANES, sizeof *k->rows);
    for (size_t i = 0; rc == 0 && i < k->n_layers; i++)
        for (size_t l = 0; rc == 0 && l < k->n_lanes; l++) {
            dk_refrows *r = rows_of(k, i, l);
            const dk_refrows *first = rows_of(k, 0, 0);

            if ((rc = dk_refrows_open(r, folder(k, l), k->layer[i], err)) < 0)
                break;
            if (r->d != first->d || r->dtype != first->dtype)
                rc = dk_fail(err, DK_EDATA, "%s has rows of %zu %s, and %s of %zu %s", r->dir, r->d, dk_h5_type_name(r->dtype),
                             first->dir, first->d, dk_h5_type_name(first->dtype));
            else if (r->rows != k->n_tokens[l])
                rc = dk_fail(err, DK_EDATA, "%s has %zu rows for %zu tokens", r->dir, r->rows, k->n_tokens[l]);
        }
    k->d = rows_of(k, 0, 0)->d;
    return rc;
}

/* --- the provenance ------------------------------------------------------------- */
static int add_input(const struct work *k, const char *role, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", dir, name);
    const int rc = dk_inputs_add_file(k->job->inputs, role, path, err);

    dk_free(path);
    return rc;
}

static int add_inputs(const struct work *k, dk_err *err)
{
    int rc = 0;

    for (size_t l = 0; rc == 0 && l < k->n_lanes; l++) {
        if ((rc = add_input(k, lane_name[l], folder(k, l), "tokens.pt", err)) == 0)
            rc = add_input(k, lane_name[l], folder(k, l), "sequence_ranges.pt", err);
        for (size_t i = 0; rc == 0 && i < k->n_layers; i++)
            for (size_t s = 0; rc == 0 && s < rows_of(k, i, l)->n_shards; s++)
                rc = dk_inputs_add_file(k->job->inputs, lane_name[l], rows_of(k, i, l)->shard[s]->path, err);
    }
    return rc;
}

/* --- the file --------------------------------------------------------------------- */
static int add_set(struct work *k, size_t layer, const char *what, const float *rows, dk_err *err)
{
    const dk_act_info a = { .layer = k->layer[layer], .site = "resid_post", .what = what, .dtype = rows_of(k, 0, 0)->dtype,
                            .d = k->d, .arith = "plain" };

    k->put[k->n_put++] = rows;
    return dk_acts_add(k->w, &a, err);
}

static int add_sets(struct work *k, size_t layer, dk_err *err)
{
    const dk_import_job *job = k->job;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i <= LANES; i++)
        rc = dk_alloc(&k->piece[layer * (LANES + 1) + i], PIECE * k->d, sizeof(float), "activations", err);
    if (rc == 0 && job->put_base)
        rc = add_set(k, layer, "base", piece_of(k, layer, 0), err);
    if (rc == 0 && job->put_ft)
        rc = add_set(k, layer, "ft", piece_of(k, layer, 1), err);
    if (rc == 0 && job->put_diff)
        rc = add_set(k, layer, "diff", piece_of(k, layer, LANES), err);
    return rc;
}

/* Nothing is said of a model in a cache but the width of its rows. */
static int begin(struct work *k, const dk_provenance *prov, dk_err *err)
{
    const char *sha = k->t.tokenizer_sha256, *template = k->t.template_sha256;
    int rc = dk_acts_new(&k->w, k->job->out, &k->t, false, prov, err);

    for (size_t l = 0; rc == 0 && l < k->n_lanes; l++) {
        const dk_model_info m = { .kind = l ? NULL : "base", .d_model = (uint32_t)k->d, .vocab = k->t.vocab,
                                  .tokenizer_sha256 = sha, .template_sha256 = template };

        rc = dk_acts_add_model(k->w, lane_name[l], &m, err);
    }
    k->piece = dk_xcalloc(k->n_layers * (LANES + 1), sizeof *k->piece);
    k->put = dk_xcalloc(k->n_layers * (LANES + 1), sizeof *k->put);
    for (size_t i = 0; rc == 0 && i < k->n_layers; i++)
        rc = add_sets(k, i, err);
    return rc;
}

static void load(const struct work *k, size_t layer, size_t first, size_t n)
{
    const float *base = piece_of(k, layer, 0), *ft = piece_of(k, layer, 1);
    float *diff = piece_of(k, layer, LANES);

    for (size_t l = 0; l < k->n_lanes; l++)
        dk_refrows_read(rows_of(k, layer, l), first, n, piece_of(k, layer, l));
    for (size_t i = 0; k->job->put_diff && i < n * k->d; i++)
        diff[i] = ft[i] - base[i];
}

static int copy(struct work *k, dk_err *err)
{
    dk_progress bar;
    int rc = 0;

    dk_progress_begin(&bar, "import", "rows", (double)k->t.rows);
    for (size_t first = 0, n; rc == 0 && first < k->t.rows; first += n) {
        n = k->t.rows - first < PIECE ? k->t.rows - first : PIECE;
        for (size_t i = 0; i < k->n_layers; i++)
            load(k, i, first, n);
        rc = dk_acts_append(k->w, k->put, n, err);
        dk_progress_add(&bar, (double)n);
    }
    dk_progress_end(&bar);
    return rc;
}

static void release(struct work *k)
{
    for (size_t i = 0; k->piece && i < k->n_layers * (LANES + 1); i++)
        dk_free(k->piece[i]);
    for (size_t i = 0; k->rows && i < k->n_layers * LANES; i++)
        dk_refrows_close(&k->rows[i]);
    dk_free(k->piece);
    dk_free(k->put);
    dk_free(k->rows);
    dk_free(k->layer);
    dk_tokens_free(&k->t);
    dk_acts_abandon(&k->w);
}

int dk_import_run(const dk_import_job *job, dk_err *err)
{
    struct work k = { .job = job, .n_lanes = job->ft ? LANES : 1 };
    dk_provenance prov;
    int rc = read_tokens(&k, err);

    if (rc == 0)
        rc = choose_layers(&k, err);
    if (rc == 0)
        rc = open_rows(&k, err);
    if (rc == 0)
        rc = add_inputs(&k, err);
    if (rc == 0) {
        prov = job->provenance(job->arg);
        if ((rc = begin(&k, &prov, err)) == 0 && (rc = copy(&k, err)) == 0)
            rc = dk_acts_commit(&k.w, err);
    }
    release(&k);
    return rc;
}
