/* Joining shards: the checks, and what all kinds need. */
#include "io/merge.h"

#include <string.h>

#include "base/outfile.h"
#include "io/mergepriv.h"

/* --- what a shard says of its run -------------------------------------------- */
enum { RUN, PARAMETERS, INPUTS, CORPUS, MODELS, CONTENTS, PARTS };
static const char *const part_name[PARTS] = { "another kind, writer or version", "other parameters", "other inputs",
                                              "another corpus", "other models", "other contents" };

struct said { dk_buf part[PARTS]; };

static void said_free(struct said *s)
{
    for (int i = 0; i < PARTS; i++)
        dk_buf_free(&s->part[i]);
}

/* The one attribute that sums up rows is left out. */
static int add_attrs(dk_buf *to, dk_h5 *f, const char *obj, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0; i++) {
        dk_buf name = {0}, text = {0};
        bool quoted;

        rc = dk_h5_attr_text(f, obj, i, &name, &text, &quoted, err);
        if (rc == 0 && strcmp(name.s, "norm_rms") != 0)
            dk_buf_addf(to, "%s=%s\n", name.s, text.s ? text.s : "");
        dk_buf_free(&name);
        dk_buf_free(&text);
    }
    return rc < 0 ? rc : 0;
}

static bool below(const char *path, const char *folder) { return strncmp(path, folder, strlen(folder)) == 0; }

static int add_object(struct said *s, dk_h5 *f, const dk_h5_object *o, dk_err *err)
{
    dk_buf *to = &s->part[below(o->path, "/models/") ? MODELS : strcmp(o->path, "/corpus") == 0 ? CORPUS : CONTENTS];

    if (below(o->path, "/check") || below(o->path, "/provenance") || below(o->path, "/types") || below(o->path, "/docs") ||
        below(o->path, "/rows"))
        return 0;
    dk_buf_addf(to, "%s %s", o->path, o->kind == DK_H5_DATASET ? dk_h5_type_name(o->data.type) : "group");
    for (int k = 1; o->kind == DK_H5_DATASET && k < o->data.rank; k++)
        dk_buf_addf(to, "x%llu", (unsigned long long)o->data.dim[k]);
    dk_buf_addc(to, '\n');
    return add_attrs(to, f, o->path, err);
}

static int add_text(dk_buf *to, dk_h5 *f, const char *path, dk_err *err)
{
    char *text = NULL;
    const int rc = dk_h5_read_text(f, path, &text, err);

    if (rc == 0)
        dk_buf_adds(to, text ? text : "");
    dk_free(text);
    return rc;
}

static int listen(struct said *s, dk_h5 *f, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    char *lanes = NULL;
    int rc;

    *s = (struct said){0};
    dk_buf_addf(&s->part[RUN], "%s\n%s\n%s\n%s\n%s", r->encoding, r->version, r->features, r->role, r->writer);
    if ((rc = add_text(&s->part[PARAMETERS], f, "/provenance/command", err)) < 0 ||
        (rc = add_text(&s->part[INPUTS], f, "/provenance/inputs", err)) < 0 ||
        (rc = dk_h5_get_str(f, "/", "lanes", &lanes, err)) < 0)
        return rc;
    dk_buf_addf(&s->part[MODELS], "%s\n", lanes);
    dk_free(lanes);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++)
        rc = add_object(s, f, dk_h5_at(f, i), err);
    return rc;
}

/* --- the table ------------------------------------------------------------------ */
struct table {
    uint32_t count;
    struct { const char *path; uint64_t rows, docs; } *at;      /* [count] */
    struct said first;
    const char *first_path;
    char *encoding, *command, *inputs, *writer, *stage_key, *lanes, *features;
};

static void table_free(struct table *t)
{
    char *const owned[] = { t->encoding, t->command, t->inputs, t->writer, t->stage_key, t->lanes, t->features };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free(owned[i]);
    said_free(&t->first);
    dk_free(t->at);
}

static int begin_table(struct table *t, dk_h5 *f, const char *path, size_t n, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    int rc;

    if (strcmp(r->encoding, "dk-activations") != 0 && strcmp(r->encoding, "dk-scores") != 0 &&
        strcmp(r->encoding, "dk-statistics") != 0)
        return dk_fail(err, DK_EFORMAT, "%s holds %s, which is not made in shards", path, r->encoding);
    if (r->shard_count < 2)
        return dk_fail(err, DK_EDATA, "%s is no shard: it is the whole", path);
    if (n > r->shard_count)
        return dk_fail(err, DK_EDATA, "%s is one of %u shards, and here are %zu files", path, r->shard_count, n);
    t->count = r->shard_count;
    t->first_path = path;
    if ((rc = dk_alloc(&t->at, t->count, sizeof *t->at, "the table of shards", err)) < 0)
        return rc;
    t->encoding = dk_xstrdup(r->encoding);
    t->writer = dk_xstrdup(r->writer);
    t->stage_key = dk_xstrdup(r->stage_key);
    t->features = dk_xstrdup(r->features);
    if ((rc = dk_h5_read_text(f, "/provenance/command", &t->command, err)) == 0 &&
        (rc = dk_h5_read_text(f, "/provenance/inputs", &t->inputs, err)) == 0 &&
        (rc = dk_h5_get_str(f, "/", "lanes", &t->lanes, err)) == 0)
        rc = listen(&t->first, f, err);
    return rc;
}

static int enter(struct table *t, dk_h5 *f, const char *path, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);

    if (r->shard_count != t->count)
        return dk_fail(err, DK_EDATA, "%s is one of %u shards, %s of %u", t->first_path, t->count, path, r->shard_count);
    if (r->shard_index >= t->count)
        return dk_fail(err, DK_EFORMAT, "%s calls itself shard %u of %u (from 0)", path, r->shard_index, t->count);
    if (t->at[r->shard_index].path)
        return dk_fail(err, DK_EDATA, "%s and %s are both shard %u of %u", t->at[r->shard_index].path, path, r->shard_index,
                       t->count);
    t->at[r->shard_index].path = path;
    t->at[r->shard_index].rows = r->rows;
    t->at[r->shard_index].docs = r->docs;
    return 0;
}

/* Reading compares hashes; what has none (attributes) goes into the content id. */
static int check_content(dk_h5 *f, const char *path, dk_err *err)
{
    char id[DK_CONTENT_ID_LEN];
    int rc = dk_h5_content_id(f, id, NULL, err);

    if (rc == 0 && strcmp(id, dk_h5_root_of(f)->content_id) != 0)
        rc = dk_fail(err, DK_EFORMAT, "%s is damaged: its content is not what its content id says", path);
    return rc;
}

static int check_shard(struct table *t, const char *path, size_t n, dk_err *err)
{
    struct said own = {0};
    dk_h5 *f = NULL;
    int rc = strcmp(path, "-") == 0 ? dk_fail(err, DK_EUSAGE, "shards are files, not streams") : dk_h5_open(&f, path, NULL, err);

    if (rc == 0 && !t->first_path)
        rc = begin_table(t, f, path, n, err);
    if (rc == 0)
        rc = listen(&own, f, err);
    for (int i = 0; rc == 0 && i < PARTS; i++)
        if (own.part[i].n != t->first.part[i].n || memcmp(own.part[i].s, t->first.part[i].s, own.part[i].n) != 0)
            rc = dk_fail(err, DK_EDATA, "%s has %s than %s: they are not of one run", path, part_name[i], t->first_path);
    if (rc == 0)
        rc = enter(t, f, path, err);
    if (rc == 0)
        rc = check_content(f, path, err);
    said_free(&own);
    dk_h5_close(&f);
    return rc;
}

/* --- for all kinds ------------------------------------------------------------------ */
static int add_documents(dk_tokens *t, dk_h5 *f, const char *path, dk_err *err)
{
    dk_tokens own = {0};
    int rc = dk_tokens_get(f, &own, err);

    if (rc == 0 && t->docs && own.docs && own.id[0] <= t->id[t->docs - 1])
        rc = dk_fail(err, DK_EDATA, "%s: document %llu belongs to an earlier shard", path, (unsigned long long)own.id[0]);
    for (size_t d = 0; rc == 0 && d < own.docs; d++) {
        const size_t at = own.offset[d], n = own.offset[d + 1] - at;

        rc = dk_tokens_add_doc(t, own.id[d], own.token + at, own.flags + at, n, err);
        if (rc == 0 && n)
            memcpy(t->pos + t->rows - n, own.pos + at, n * sizeof *own.pos);
    }
    dk_tokens_free(&own);
    return rc;
}

int dk_merge_tokens(dk_tokens *t, const dk_merge_job *job, dk_err *err)
{
    int rc = 0;

    *t = (dk_tokens){0};
    for (size_t i = 0; rc == 0 && i < job->n; i++) {
        dk_h5 *f;

        if ((rc = dk_h5_open(&f, job->path[i], NULL, err)) == 0 && i == 0)
            rc = dk_tokens_get_corpus(f, t, err);
        if (rc == 0)
            rc = add_documents(t, f, job->path[i], err);
        dk_h5_close(&f);
    }
    return rc;
}

int dk_merge_models(const dk_merge_job *job, int (*put)(void *to, const char *name, const dk_model_info *m, dk_err *err),
                    void *to, dk_err *err)
{
    char *lanes = dk_xstrdup(job->lanes), *save = NULL;
    dk_h5 *f = NULL;
    int rc = dk_h5_open(&f, job->path[0], NULL, err);

    for (char *lane = strtok_r(lanes, ",", &save); rc == 0 && lane; lane = strtok_r(NULL, ",", &save)) {
        dk_model_info m;

        if ((rc = dk_h5_get_model(f, lane, &m, err)) < 0)
            break;
        rc = put(to, lane, &m, err);
        dk_model_info_free(&m);
    }
    dk_free(lanes);
    dk_h5_close(&f);
    return rc;
}

/* --- in all ------------------------------------------------------------------------- */
static int join(const struct table *t, const char *out, dk_err *err)
{
    dk_merge_job job = {
        .path = dk_xcalloc(t->count, sizeof(char *)), .n = t->count, .out = out, .lanes = t->lanes, .features = t->features,
        .prov = { .writer = t->writer, .command_json = t->command, .inputs_json = t->inputs, .stage_key = t->stage_key }
    };
    int rc;

    for (uint32_t i = 0; i < t->count; i++) {
        job.path[i] = t->at[i].path;
        job.rows += t->at[i].rows;
        job.docs += t->at[i].docs;
    }
    rc = strcmp(t->encoding, "dk-activations") == 0 ? dk_merge_acts(&job, err)
       : strcmp(t->encoding, "dk-scores") == 0 ? dk_merge_scores(&job, err) : dk_merge_stats(&job, err);
    dk_free(job.path);
    return rc;
}

int dk_merge(char *const *path, size_t n, const char *out, dk_err *err)
{
    struct table t = {0};
    int rc = dk_outfile_check(out, err);

    if (rc == 0)
        rc = dk_h5_check_terminal(out, "", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = strcmp(path[i], out) == 0 ? dk_fail(err, DK_EUSAGE, "%s is a shard and the result", out)
                                       : check_shard(&t, path[i], n, err);
    for (uint32_t i = 0; rc == 0 && i < t.count; i++)
        if (!t.at[i].path)
            rc = dk_fail(err, DK_EDATA, "shard %u of %u (from 0) is missing; %s is another one", i, t.count, t.first_path);
    if (rc == 0)
        rc = join(&t, out, err);
    table_free(&t);
    return rc;
}
