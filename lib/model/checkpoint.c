/* Checkpoints.  What an architecture needs is a table (tensors.c); each source
 * of tensors answers one question: where is the tensor of this name. */
#include "model/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/safetensors.h"
#include "model/tensors.h"

/* A stored tensor as a matrix. */
typedef struct tensor {
    char *name;
    const dk_qformat *format;
    const char *type;       /* also where format is NULL */
    const uint8_t *data;
    size_t rows, cols;
    unsigned n_dims;
    bool paired;            /* rows of each head are stored as pairs (2t, 2t + 1) */
    bool transposed;        /* stored [cols, rows] */
    bool offset;            /* 1 + w is stored */
    bool used;
} tensor;

struct dk_checkpoint {
    char *path;
    dk_model_config cfg;
    dk_gguf *gguf;
    dk_safetensors **shard;
    char **shard_name;
    size_t n_shards;
    tensor *stored;         /* all in the files, sorted by name */
    size_t n_stored;
    tensor *need;           /* sorted by name */
    size_t n_need;
    char embed_name[128];
    bool quantised;
    char sha256[65];
};

/* --- look-up ------------------------------------------------------------------ */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

static tensor *look_up(tensor *list, size_t n, const char *name)
{
    const tensor key = { .name = (char *)(uintptr_t)name };

    return n ? bsearch(&key, list, n, sizeof key, by_name) : NULL;
}

static const tensor *needed(const dk_checkpoint *c, const char *name)
{
    if (c->cfg.tied && strcmp(name, "lm_head.weight") == 0)
        name = c->embed_name;
    return look_up(c->need, c->n_need, name);
}

/* --- GGUF: stored names stay, the table knows them ------------------------------ */
static int list_gguf(dk_checkpoint *c, dk_err *err)
{
    const size_t n = dk_gguf_n_tensors(c->gguf);

    if (dk_alloc(&c->stored, n, sizeof *c->stored, "the list of tensors", err) < 0)
        return DK_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const dk_gguf_tensor *t = dk_gguf_tensor_at(c->gguf, i);

        c->stored[c->n_stored++] = (tensor){
            .name = dk_xstrdup(t->name), .format = t->format, .type = t->format->name,
            .data = t->data, .rows = t->dims[1] * t->dims[2] * t->dims[3], .cols = t->dims[0],
            .n_dims = t->n_dims
        };
    }
    return 0;
}

static int open_gguf(dk_checkpoint *c, dk_err *err)
{
    int rc = dk_gguf_open(&c->gguf, c->path, err);

    if (rc == 0)
        rc = dk_model_config_gguf(&c->cfg, c->gguf, c->path, err);
    return rc < 0 ? rc : list_gguf(c, err);
}

/* --- a directory of safetensors ---------------------------------------------------- */

static int add_shard(dk_checkpoint *c, const char *file, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", c->path, file);
    dk_safetensors *s = NULL;
    const int rc = dk_safetensors_open(&s, path, err);

    if (rc == 0) {
        const size_t n = c->n_shards++;

        c->shard = dk_xrealloc(c->shard, c->n_shards * sizeof *c->shard);
        c->shard_name = dk_xrealloc(c->shard_name, c->n_shards * sizeof *c->shard_name);
        c->shard[n] = s;
        c->shard_name[n] = dk_xstrdup(file);
    }
    dk_free(path);
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A name that stays in the directory. */
static bool plain_name(const char *s)
{
    return *s && *s != '.' && !strchr(s, '/') && strlen(s) < 256;
}

static int open_shards(dk_checkpoint *c, const dk_json *map, const char *index, dk_err *err)
{
    const size_t n = dk_json_len(map);
    dk_json_iter it = {0};
    char **file = NULL;
    size_t k = 0;
    int rc = 0;

    if (dk_json_type(map) != DK_JSON_OBJECT || n == 0)
        return dk_fail(err, DK_EFORMAT, "%s has no weight_map", index);
    if (dk_alloc(&file, n, sizeof *file, "the list of shards", err) < 0)
        return DK_ENOMEM;
    while (rc == 0 && dk_json_next(map, &it)) {
        const char *s = dk_json_str(it.value, "");

        if (!plain_name(s) || strlen(s) != dk_json_len(it.value))
            rc = dk_fail(err, DK_EFORMAT, "%s: tensor %.200s is said to be in '%.200s', which is no "
                         "file name in that directory", index, it.key, s);
        file[k++] = (char *)(uintptr_t)s;
    }
    if (rc == 0)
        qsort(file, k, sizeof *file, by_text);
    for (size_t i = 0; rc == 0 && i < k; i++)
        if (i == 0 || strcmp(file[i], file[i - 1]) != 0)
            rc = add_shard(c, file[i], err);
    dk_free(file);
    return rc;
}

static int open_weights(dk_checkpoint *c, dk_err *err)
{
    char *one = dk_xasprintf("%s/model.safetensors", c->path);
    char *index = dk_xasprintf("%s/model.safetensors.index.json", c->path);
    dk_json *v = NULL;
    int rc;

    if (access(one, F_OK) == 0)
        rc = add_shard(c, "model.safetensors", err);
    else if (access(index, F_OK) != 0)
        rc = dk_fail(err, DK_EIO, "%s has neither model.safetensors nor model.safetensors.index.json; "
                     "other weight files (.bin, .pt) must be converted to safetensors", c->path);
    else if ((rc = dk_json_load(&v, index, err)) == 0)
        rc = open_shards(c, dk_json_get(v, "weight_map"), index, err);
    dk_json_free(&v);
    dk_free(index);
    dk_free(one);
    return rc;
}

static int list_shards(dk_checkpoint *c, dk_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_shards; i++)
        n += dk_safetensors_n(c->shard[i]);
    if (dk_alloc(&c->stored, n, sizeof *c->stored, "the list of tensors", err) < 0)
        return DK_ENOMEM;
    for (size_t i = 0; i < c->n_shards; i++)
        for (size_t k = 0; k < dk_safetensors_n(c->shard[i]); k++) {
            const dk_st_tensor *t = dk_safetensors_at(c->shard[i], k);
            char *name = dk_canonical_name(&c->cfg, t->name);

            if (name)
                c->stored[c->n_stored++] = (tensor){
                    .name = name, .format = t->format, .type = t->dtype, .data = t->data,
                    .rows = t->n_dims > 1 ? t->dims[0] : 1,
                    .cols = t->n_dims > 1 ? t->dims[1] : t->dims[0], .n_dims = t->n_dims
                };
        }
    return 0;
}

static int open_directory(dk_checkpoint *c, dk_err *err)
{
    int rc = dk_model_config_load(&c->cfg, c->path, err);

    if (rc == 0)
        rc = open_weights(c, err);
    return rc < 0 ? rc : list_shards(c, err);
}

/* --- matching needs with what is stored ---------------------------------------------- */
static int sort_stored(dk_checkpoint *c, dk_err *err)
{
    qsort(c->stored, c->n_stored, sizeof *c->stored, by_name);
    for (size_t i = 1; i < c->n_stored; i++)
        if (by_name(&c->stored[i - 1], &c->stored[i]) == 0)
            return dk_fail(err, DK_EFORMAT, "%s: tensor %s occurs twice", c->path, c->stored[i].name);
    return 0;
}

static int match(dk_checkpoint *c, const dk_need *want, const char *name, const char *stored,
                 dk_err *err)
{
    tensor *t = look_up(c->stored, c->n_stored, stored), *to;
    size_t rows, cols;

    if (!t)
        return dk_fail(err, DK_EFORMAT, "%s has no tensor %s (%zu x %zu)", c->path, stored, want->rows,
                       want->cols);
    rows = want->stored_transposed ? want->cols : want->rows;
    cols = want->stored_transposed ? want->rows : want->cols;
    if (t->rows != rows || t->cols != cols || t->n_dims > 2)
        return dk_fail(err, DK_EFORMAT, "%s: tensor %s is %zu x %zu, the configuration says %zu x %zu",
                       c->path, stored, t->rows, t->cols, rows, cols);
    if (!t->format)
        return dk_fail(err, DK_EDATA, "%s: tensor %s has dtype %s, which holds no weights this build "
                       "reads", c->path, stored, t->type);
    t->used = true;
    c->quantised |= t->format->quantised;
    to = &c->need[c->n_need++];
    *to = *t;
    to->name = dk_xstrdup(name);
    to->rows = want->rows;
    to->cols = want->cols;
    to->transposed = want->stored_transposed;
    to->paired = c->gguf && want->paired;
    to->offset = c->gguf && want->stored_offset;
    return 0;
}

static int match_need(dk_checkpoint *c, const dk_need *want, size_t layer, dk_err *err)
{
    char name[128], stored[128];

    dk_role_name(name, &c->cfg, want->role, layer);
    if (!c->gguf)
        return match(c, want, name, name, err);
    if (want->of_layer)
        snprintf(stored, sizeof stored, "blk.%zu.%s", layer, want->gguf);
    else
        snprintf(stored, sizeof stored, "%s", want->gguf);
    return match(c, want, name, stored, err);
}

/* What is in a layer and has no place there belongs to another model than the
 * configuration describes; what is outside may be anything. */
static int check_leftovers(const dk_checkpoint *c, dk_err *err)
{
    const char *prefix = c->gguf ? "blk." : dk_layers_prefix(&c->cfg);

    for (size_t i = 0; i < c->n_stored; i++) {
        const char *name = c->stored[i].name;

        if (c->stored[i].used || dk_tensor_idle(name))
            continue;
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            return dk_fail(err, DK_EFORMAT, "%s: tensor %s has no place in a model of %zu layers of architecture "
                           "%s as its configuration describes it", c->path, name, c->cfg.n_layers,
                           c->cfg.arch_name);
        dk_log(DK_DEBUG, "%s: tensor %s is not used", c->path, name);
    }
    return 0;
}

static int match_all(dk_checkpoint *c, dk_err *err)
{
    dk_need need[DK_MAX_NEEDS];
    size_t n;
    int rc = sort_stored(c, err);

    if (rc < 0)
        return rc;
    /* Without a head of its own a model is tied, whatever its config says. */
    if (!look_up(c->stored, c->n_stored, c->gguf ? "output.weight" : "lm_head.weight"))
        c->cfg.tied = true;
    dk_role_name(c->embed_name, &c->cfg, DK_ROLE_EMBED, 0);
    n = dk_needs(need, &c->cfg);
    rc = dk_alloc(&c->need, n * c->cfg.n_layers, sizeof *c->need, "the list of tensors", err);
    for (size_t k = 0; rc == 0 && k < n; k++)
        for (size_t i = 0; rc == 0 && i < (need[k].of_layer ? c->cfg.n_layers : 1); i++)
            rc = match_need(c, &need[k], i, err);
    if (rc == 0)
        rc = check_leftovers(c, err);
    if (rc < 0)
        return rc;
    qsort(c->need, c->n_need, sizeof *c->need, by_name);
    return 0;
}

int dk_checkpoint_open(dk_checkpoint **out, const char *path, dk_err *err)
{
    dk_checkpoint *c;
    struct stat st;
    int rc;

    *out = NULL;
    if (stat(path, &st) < 0)
        return dk_fail_errno(err, "cannot open %s", path);
    c = dk_xcalloc(1, sizeof *c);
    c->path = dk_xstrdup(path);
    if (S_ISDIR(st.st_mode))
        rc = open_directory(c, err);
    else if (dk_gguf_is(path))
        rc = open_gguf(c, err);
    else
        rc = dk_fail(err, DK_EFORMAT, "%s is no checkpoint: expected a GGUF file, or a directory with "
                     "config.json and safetensors", path);
    if (rc == 0)
        rc = match_all(c, err);
    if (rc < 0)
        dk_checkpoint_close(&c);
    *out = c;
    return rc;
}

void dk_checkpoint_close(dk_checkpoint **cp)
{
    dk_checkpoint *c = *cp;

    if (!c)
        return;
    for (size_t i = 0; i < c->n_stored; i++)
        dk_free(c->stored[i].name);
    for (size_t i = 0; i < c->n_need; i++)
        dk_free(c->need[i].name);
    for (size_t i = 0; i < c->n_shards; i++) {
        dk_safetensors_close(&c->shard[i]);
        dk_free(c->shard_name[i]);
    }
    dk_gguf_close(&c->gguf);
    dk_free(c->stored);
    dk_free(c->need);
    dk_free(c->shard);
    dk_free(c->shard_name);
    dk_free(c->path);
    dk_free(c);
    *cp = NULL;
}

/* --- accessors --------------------------------------------------------------------- */
const dk_model_config *dk_checkpoint_config(const dk_checkpoint *c) { return &c->cfg; }
const char *dk_checkpoint_path(const dk_checkpoint *c) { return c->path; }
const dk_gguf *dk_checkpoint_gguf(const dk_checkpoint *c) { return c->gguf; }
bool dk_checkpoint_quantised(const dk_checkpoint *c) { return c->quantised; }
size_t dk_checkpoint_n(const dk_checkpoint *c) { return c->n_need; }
const char *dk_checkpoint_name_at(const dk_checkpoint *c, size_t i) { return c->need[i].name; }

bool dk_checkpoint_find(const dk_checkpoint *c, const char *name, size_t *rows, size_t *cols)
{
    const tensor *t = needed(c, name);

    if (t) {
        *rows = t->rows;
        *cols = t->cols;
    }
    return t != NULL;
}

const char *dk_checkpoint_type(const dk_checkpoint *c, const char *name)
{
    const tensor *t = needed(c, name);

    return t ? t->format->name : NULL;
}

/* Row h hd + j hd/2 + t of the library is row h hd + 2t + j of a llama GGUF file. */
static size_t stored_row(size_t r, size_t head_dim)
{
    const size_t in = r % head_dim, half = head_dim / 2;

    return r - in + 2 * (in % half) + in / half;
}

/* A bias is one row whose elements are in pairs; it is short and rarely there. */
static int paired_bias(const tensor *t, float *out, size_t head_dim, dk_err *err)
{
    float *raw = NULL;

    if (dk_alloc(&raw, t->cols, sizeof *raw, "a bias", err) < 0)
        return DK_ENOMEM;
    dk_dequant(t->format, raw, t->data, t->cols);
    for (size_t i = 0; i < t->cols; i++)
        out[i] = raw[stored_row(i, head_dim)];
    dk_free(raw);
    return 0;
}

/* Rows of W from columns of what is stored; only formats without blocks are stored so. */
static int transposed_rows(const tensor *t, float *out, size_t row0, size_t n, dk_err *err)
{
    float *line = NULL;

    if (dk_alloc(&line, n, sizeof *line, "rows of a tensor", err) < 0)
        return DK_ENOMEM;
    DK_ASSERT(t->format->block == 1);
    for (size_t k = 0; k < t->cols; k++) {
        dk_dequant(t->format, line, t->data + (k * t->rows + row0) * t->format->bytes, n);
        for (size_t i = 0; i < n; i++)
            out[i * t->cols + k] = line[i];
    }
    dk_free(line);
    return 0;
}

int dk_checkpoint_rows(const dk_checkpoint *c, const char *name, float *out, size_t row0, size_t n,
                       dk_err *err)
{
    const tensor *t = needed(c, name);
    const size_t head_dim = c->cfg.head_dim;
    size_t stride;

    if (!t)
        return dk_fail(err, DK_EDATA, "%s has no tensor %s", c->path, name);
    if (row0 > t->rows || n > t->rows - row0)
        return dk_fail(err, DK_EDATA, "%s: tensor %s has %zu rows, not %zu from %zu on", c->path, name,
                       t->rows, n, row0);
    if (t->transposed)
        return transposed_rows(t, out, row0, n, err);
    stride = t->cols / t->format->block * t->format->bytes;
    if (n > 0 && t->paired && t->rows == 1)
        return paired_bias(t, out, head_dim, err);
    if (!t->paired)
        dk_dequant(t->format, out, t->data + row0 * stride, n * t->cols);
    for (size_t i = 0; t->paired && i < n; i++)
        dk_dequant(t->format, out + i * t->cols, t->data + stored_row(row0 + i, head_dim) * stride,
                   t->cols);
    for (size_t i = 0; t->offset && i < n * t->cols; i++)
        out[i] -= 1;
    return 0;
}

void dk_checkpoint_drop(dk_checkpoint *c)
{
    if (c->gguf)
        dk_gguf_drop(c->gguf);
    for (size_t i = 0; i < c->n_shards; i++)
        dk_safetensors_drop(c->shard[i]);
}

static int sum_line(const dk_checkpoint *c, dk_buf *lines, const char *file, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", c->path, file);
    char hex[65];
    const int rc = dk_sha256_file(path, hex, err);

    if (rc == 0)
        dk_buf_addf(lines, "%s  %s\n", hex, file);
    dk_free(path);
    return rc;
}

int dk_checkpoint_sha256(dk_checkpoint *c, char hex[65], dk_err *err)
{
    dk_buf lines = {0};
    int rc = 0;

    if (!*c->sha256 && c->gguf)
        rc = dk_sha256_file(c->path, c->sha256, err);
    else if (!*c->sha256) {
        size_t i = 0;

        /* Shards are sorted already; config.json takes its place among them. */
        for (; rc == 0 && i < c->n_shards && strcmp(c->shard_name[i], "config.json") < 0; i++)
            rc = sum_line(c, &lines, c->shard_name[i], err);
        if (rc == 0)
            rc = sum_line(c, &lines, "config.json", err);
        for (; rc == 0 && i < c->n_shards; i++)
            rc = sum_line(c, &lines, c->shard_name[i], err);
        if (rc == 0)
            dk_sha256_mem(lines.s, lines.n, c->sha256);
    }
    dk_buf_free(&lines);
    if (rc == 0)
        memcpy(hex, c->sha256, 65);
    return rc;
}
