/* The job of dk-extract: tokens, pair, shards. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/outfile.h"
#include "io/merge.h"
#include "method/extract.h"
#include "method/score.h"
#include "model/describe.h"
#include "num/tree.h"

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

/* --- tokens ---------------------------------------------------------------------- */
/* What the model sees, and the rows that are kept of it: the same, where all are. */
struct tokens { dk_tokens run, some; bool all; };

static dk_tokens *kept_of(struct tokens *t) { return t->all ? &t->run : &t->some; }

static void tokens_free(struct tokens *t)
{
    dk_tokens_free(&t->run);
    dk_tokens_free(&t->some);
}

/* Of all shards. */
static int read_tokens(struct tokens *t, const dk_extract_job *job, dk_err *err)
{
    dk_tokens all = {0};
    size_t docs;
    int rc = dk_tokens_read(&all, job->tokens, err);

    if (rc == 0 && all.lineage)
        dk_inputs_add_object(job->inputs, all.lineage);
    if (rc == 0)
        rc = dk_tokens_trim(&t->run, &all, job->max_docs, job->max_tokens, 0, err);
    dk_tokens_free(&all);
    t->all = dk_row_rule_all(&job->rows);
    if (rc < 0 || (!t->all && (rc = dk_rows_kept(&t->some, &t->run, &job->rows, err)) < 0))
        return rc;
    docs = dk_budget_docs(kept_of(t), job->budget, job->budget_batch);
    dk_docs_keep(&t->run, 0, docs);
    if (!t->all)
        dk_docs_keep(&t->some, 0, docs);
    return kept_of(t)->rows ? 0
        : dk_fail(err, DK_EDATA, "%s holds no tokens%s", job->tokens, t->run.rows ? " that are to be kept" : "");
}

/* --- files ------------------------------------------------------------------------- */
/* A shard's own tokens. */
static int cut(struct tokens *own, const struct tokens *all, dk_shard shard, uint64_t unit, dk_extract_part *part, dk_err *err)
{
    static const dk_row_rule any;
    int rc = dk_rows_kept(&own->run, &all->run, &any, err);

    own->all = all->all;
    if (rc == 0)
        rc = dk_shard_cut(&own->run, shard, unit, &part->first_leaf, &part->end_leaf, err);
    if (rc == 0 && !own->all && (rc = dk_rows_kept(&own->some, &all->some, &any, err)) == 0)
        rc = dk_shard_cut(&own->some, shard, unit, NULL, NULL, err);
    return rc;
}

static int one_file(const dk_extract_job *job, const dk_pair *p, struct tokens *all, dk_shard shard, const char *out,
                    const dk_provenance *whole, dk_err *err)
{
    struct tokens own = {0}, *t = shard.count ? &own : all;
    dk_extract_part part = { .out = out, .end_leaf = UINT64_MAX };
    dk_provenance prov = *whole;
    int rc = shard.count ? cut(&own, all, shard, job->stats ? DK_TREE_DOCS : 1, &part, err) : 0;

    prov.shard_index = shard.index;
    prov.shard_count = shard.count;
    if (rc < 0) {
        dk_err_prefix(err, "%s", job->tokens);
    } else {
        part.run = &t->run;
        part.kept = kept_of(t);
        rc = dk_extract_file(job, p, &part, &prov, err);
    }
    tokens_free(&own);
    return rc;
}

/* Is this file there, whole, and of this run? */
static bool made(const char *path, dk_shard shard, const dk_provenance *prov)
{
    char id[DK_CONTENT_ID_LEN];
    dk_err why = {0};
    dk_h5 *f = NULL;
    bool good = false;

    if (access(path, F_OK) == 0 && dk_h5_open(&f, path, NULL, &why) == 0) {
        const dk_h5_root *r = dk_h5_root_of(f);

        good = strcmp(r->stage_key, prov->stage_key) == 0 && r->shard_index == shard.index &&
               r->shard_count == (shard.count ? shard.count : 1) && dk_h5_content_id(f, id, NULL, &why) == 0 &&
               strcmp(id, r->content_id) == 0;
    }
    dk_h5_close(&f);
    return good;
}

/* web.act.h5: web-00002-of-00004.act.h5 */
static char *shard_path(const char *out, dk_shard s)
{
    const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out, *dot = strchr(name, '.');
    const size_t stem = dot && dot != name ? (size_t)(dot - out) : strlen(out);

    return dk_xasprintf("%.*s-%05u-of-%05u%s", (int)stem, out, s.index, s.count, out + stem);
}

/* The shards that are not there yet, and then the whole of them. */
static int all_shards(const dk_extract_job *job, const dk_pair *p, struct tokens *t, const dk_provenance *prov, dk_err *err)
{
    char **path = dk_xcalloc(job->shards, sizeof(char *));
    int rc = 0;

    if (made(job->out, (dk_shard){0}, prov)) {
        dk_log(DK_INFO, "%s is there", job->out);
        dk_free(path);
        return 0;
    }
    dk_outfile_sweep(job->out);
    for (uint32_t i = 0; rc == 0 && job->shards > 1 && i < job->shards; i++) {
        const dk_shard s = { i, job->shards };

        path[i] = shard_path(job->out, s);
        dk_outfile_sweep(path[i]);
        if (made(path[i], s, prov))
            dk_log(DK_INFO, "%s is there", path[i]);
        else
            rc = one_file(job, p, t, s, path[i], prov, err);
    }
    if (rc == 0)
        rc = job->shards > 1 ? dk_merge(path, job->shards, job->out, err) : one_file(job, p, t, (dk_shard){0}, job->out, prov, err);
    for (uint32_t i = 0; i < job->shards; i++) {
        if (rc == 0 && path[i])
            unlink(path[i]);
        dk_free(path[i]);
    }
    dk_free(path);
    return rc;
}

/* --- in all ---------------------------------------------------------------------------- */
int dk_extract_run(const dk_extract_job *job, dk_err *err)
{
    struct tokens t = {0};
    dk_provenance prov;
    dk_pair p = {0};
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
    if (rc == 0 && (rc = dk_pair_open(&p, &job->pair, err)) == 0 &&
        (rc = dk_pair_check_tokens(&p, &t.run, job->tokens, err)) == 0 && (rc = dk_pair_inputs(job->inputs, &p, err)) == 0) {
        prov = job->provenance(job->arg);
        rc = job->shards ? all_shards(job, &p, &t, &prov, err) : one_file(job, &p, &t, job->shard, job->out, &prov, err);
    }
    dk_pair_close(&p);
    tokens_free(&t);
    return rc;
}
