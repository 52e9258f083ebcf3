/* Export: the folder, tokens, directions, and files of other kinds. */
#include "method/export.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/outfile.h"
#include "io/dirfile.h"
#include "io/json.h"
#include "io/npy.h"

/* Texts of the file become names here: no folder of its own choosing. */
char *dk_export_word(const char *text)
{
    char *s = dk_xstrdup(text && text[0] ? text : "data");

    for (char *p = s; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '/')
            *p = '_';
    if (s[0] == '.')
        s[0] = '_';
    if (strlen(s) > 120)
        s[120] = 0;
    return s;
}

int dk_export_tokens(const dk_tokens *t, const char *dir, dk_err *err)
{
    char *ids = dk_xasprintf("%s/tokens.npy", dir), *ranges = dk_xasprintf("%s/sequence_ranges.npy", dir);
    const uint64_t rows = t->rows, ends = t->docs + 1;
    int64_t *wide;
    int rc = dk_alloc(&wide, t->rows, sizeof *wide, "tokens", err);

    for (size_t i = 0; rc == 0 && i < t->rows; i++)
        wide[i] = t->token[i];
    if (rc == 0 && (rc = dk_npy_write(ids, "<i8", 1, &rows, wide, err)) == 0)
        rc = dk_npy_write(ranges, "<i8", 1, &ends, t->offset, err);
    dk_free(wide);
    dk_free(ids);
    dk_free(ranges);
    return rc;
}

/* --- directions ----------------------------------------------------------------- */
/* diff has no prefix, as there; a null's difference carries its name. */
static char *vector_name(const dk_dir_set *s, size_t k)
{
    char *name = dk_export_word(s->name[k]), *what = dk_export_word(s->what);
    char *out = strcmp(what, "diff") == 0 ? dk_xstrdup(name) : dk_xasprintf("%s_%s", what, name);

    dk_free(name);
    dk_free(what);
    return out;
}

static int put_meta(const char *path, const dk_dir_set *s, size_t k, dk_err *err)
{
    dk_buf text = {0};
    dk_jw w = { .out = &text };
    int rc;

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "count"); dk_jw_u64(&w, s->count[k]);
    dk_jw_key(&w, "activation_dim"); dk_jw_u64(&w, s->d);
    dk_jw_key(&w, "position");
    if (s->position[k] == DK_NO_POSITION)
        dk_jw_null(&w);
    else
        dk_jw_int(&w, s->position[k]);
    dk_jw_key(&w, "token_id"); dk_jw_null(&w);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    rc = dk_outfile_write(path, text.s, text.n, err);
    dk_buf_free(&text);
    return rc;
}

static int put_set(const dk_dir_set *s, const char *dir, const char *set, dk_err *err)
{
    const uint64_t d = s->d;
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < s->n; k++) {
        char *name = vector_name(s, k), *site = dk_export_word(s->site);
        char *folder = strcmp(site, "resid_post") == 0
                     ? dk_xasprintf("%s/layer_%d/%s", dir, s->layer, set)
                     : dk_xasprintf("%s/layer_%d_%s/%s", dir, s->layer, site, set);
        char *npy = dk_xasprintf("%s/%s.npy", folder, name), *meta = dk_xasprintf("%s/%s.meta", folder, name);

        if ((rc = dk_npy_write(npy, "<f4", 1, &d, s->vector + k * s->d, err)) == 0)
            rc = put_meta(meta, s, k, err);
        dk_free(npy);
        dk_free(meta);
        dk_free(folder);
        dk_free(site);
        dk_free(name);
    }
    return rc;
}

/* Of the finetune alone: that is what the file has. */
static int put_norms(dk_dirs *d, const char *dir, const char *set, dk_err *err)
{
    char *path = dk_xasprintf("%s/model_norms_%s.json", dir, set), key[16];
    dk_buf text = {0};
    dk_jw w = { .out = &text };
    int rc = 0, last = -1;

    dk_jw_obj_begin(&w);
    dk_jw_key(&w, "ft_model_norms");
    dk_jw_obj_begin(&w);
    for (size_t i = 0; i < dk_dirs_n(d); i++) {
        const dk_dir_set *s = dk_dirs_at(d, i);

        if (s->layer == last || strcmp(s->site, "resid_post") != 0 || !isfinite(s->act_norm))
            continue;
        snprintf(key, sizeof key, "%d", last = s->layer);
        dk_jw_key(&w, key);
        dk_jw_num(&w, s->act_norm);
    }
    dk_jw_obj_end(&w);
    dk_jw_key(&w, "skip_tokens"); dk_jw_int(&w, 5);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    if (last >= 0)
        rc = dk_outfile_write(path, text.s, text.n, err);
    dk_buf_free(&text);
    dk_free(path);
    return rc;
}

int dk_export_dirs(const char *path, const char *dir, dk_err *err)
{
    dk_dirs *d;
    char *set = NULL;
    int rc = dk_dirs_open(&d, path, err);

    if (rc == 0)
        set = dk_export_word(dk_dirs_corpus(d)->corpus_name);
    for (size_t i = 0; rc == 0 && i < dk_dirs_n(d); i++)
        rc = put_set(dk_dirs_at(d, i), dir, set, err);
    if (rc == 0)
        rc = put_norms(d, dir, set, err);
    dk_free(set);
    dk_dirs_close(&d);
    return rc;
}

/* --- any other kind: each dataset of numbers under its own path -------------------- */
static const char *descr_of(dk_h5_type t)
{
    switch (t) {
    case DK_H5_U8: return "<u1";
    case DK_H5_U32: return "<u4";
    case DK_H5_U64: return "<u8";
    case DK_H5_I32: return "<i4";
    case DK_H5_I64: return "<i8";
    case DK_H5_F16: return "<f2";
    case DK_H5_BF16: case DK_H5_F32: return "<f4";
    case DK_H5_F64: return "<f8";
    default: return NULL;
    }
}

static int put_rows(dk_h5 *f, const dk_h5_object *o, dk_npy *npy, uint64_t step, void *block,
                    uint32_t *wide, dk_err *err)
{
    size_t items = 1;
    int rc = 0;

    for (int i = 1; i < o->data.rank; i++)
        items *= o->data.dim[i];
    for (uint64_t at = 0; rc == 0 && at < o->data.dim[0]; at += step) {
        const uint64_t n = o->data.dim[0] - at < step ? o->data.dim[0] - at : step;

        if ((rc = dk_h5_read(f, o->path, o->data.type, at, n, block, err)) < 0)
            break;
        for (size_t i = 0; o->data.type == DK_H5_BF16 && i < n * items; i++)
            wide[i] = (uint32_t)((uint16_t *)block)[i] << 16;
        rc = dk_npy_append(npy, o->data.type == DK_H5_BF16 ? (void *)wide : block,
                           n * items * (o->data.type == DK_H5_BF16 ? 4 : o->data.item), err);
    }
    return rc;
}

static int put_dataset(dk_h5 *f, const dk_h5_object *o, const char *dir, dk_err *err)
{
    char *path = dk_xasprintf("%s%s.npy", dir, o->path);
    size_t items = 1;
    uint64_t step;
    void *block = NULL;
    uint32_t *wide = NULL;
    dk_npy *npy = NULL;
    int rc;

    for (int i = 1; i < o->data.rank; i++)
        items *= o->data.dim[i];
    step = ((uint64_t)1 << 18) / (items ? items : 1) + 1;
    if ((rc = dk_npy_create(&npy, path, descr_of(o->data.type), o->data.rank, o->data.dim, err)) == 0 &&
        (rc = dk_alloc(&block, step * items, o->data.item, o->path, err)) == 0 &&
        (o->data.type != DK_H5_BF16 || (rc = dk_alloc(&wide, step * items, 4, o->path, err)) == 0) &&
        (rc = put_rows(f, o, npy, step, block, wide, err)) == 0)
        rc = dk_npy_commit(&npy, err);
    dk_npy_abandon(&npy);
    dk_free(block);
    dk_free(wide);
    dk_free(path);
    return rc;
}

static int export_datasets(dk_h5 *f, const char *dir, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);

        if (o->kind == DK_H5_DATASET && descr_of(o->data.type) && strstr(o->path, "/.") == NULL &&
            strncmp(o->path, "/check/", 7) != 0 && strncmp(o->path, "/provenance/", 12) != 0)
            rc = put_dataset(f, o, dir, err);
    }
    return rc;
}

/* --- the folder -------------------------------------------------------------------- */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int check_folder(const char *dir, dk_err *err)
{
    struct dirent **list = NULL;
    struct stat st;
    int n;

    if (lstat(dir, &st) < 0 && errno == ENOENT)
        return 0;
    if ((n = scandir(dir, &list, NULL, NULL)) < 0)
        return dk_fail_errno(err, "cannot write %s", dir);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    return n > 2 ? dk_fail(err, DK_EUSAGE, "%s is not empty; name a new folder for the export", dir) : 0;
}

static int export_file(const char *path, const char *dir, const dk_tokenizer *tok, dk_err *err)
{
    dk_tokens t = {0};
    const char *kind;
    dk_h5 *f;
    int rc;

    if (strcmp(path, "-") == 0) {
        if ((rc = dk_tokens_read(&t, path, err)) == 0)
            rc = dk_export_tokens(&t, dir, err);
        dk_tokens_free(&t);
        return rc;
    }
    if ((rc = dk_h5_open(&f, path, NULL, err)) < 0)
        return rc;
    kind = dk_h5_root_of(f)->encoding;
    if (strcmp(kind, "dk-tokens") == 0) {
        if ((rc = dk_tokens_get(f, &t, err)) == 0)
            rc = dk_export_tokens(&t, dir, err);
        dk_tokens_free(&t);
    } else
        rc = strcmp(kind, "dk-activations") == 0 ? dk_export_acts(path, dir, err)
           : strcmp(kind, "dk-directions") == 0 ? dk_export_dirs(path, dir, err)
           : strcmp(kind, "dk-scores") == 0 ? dk_export_scores(path, dir, tok, err)
           : export_datasets(f, dir, err);
    dk_h5_close(&f);
    return rc;
}

int dk_export(const char *path, const char *dir, const dk_tokenizer *tok, dk_err *err)
{
    size_t n = strlen(dir);
    char *temp;
    int rc = check_folder(dir, err);

    if (rc < 0)
        return rc;
    while (n > 1 && dir[n - 1] == '/')
        n--;
    temp = dk_xasprintf("%.*s.%ld.tmp", (int)n, dir, (long)getpid());
    rc = export_file(path, temp, tok, err);
    if (rc == 0 && rename(temp, dir) < 0)
        rc = dk_fail_errno(err, "cannot write %s", dir);
    if (rc < 0)
        nftw(temp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    dk_free(temp);
    return rc;
}
