/* Inputs, lineage and models. */
#include "io/h5meta.h"

#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "io/json.h"

/* Files carry bare names: equal runs in other folders give equal bytes. */
static const char *bare(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void key_str(dk_jw *w, const char *key, const char *value)
{
    dk_jw_key(w, key);
    dk_jw_str(w, value);
}

void dk_inputs_add_object(dk_buf *list, const char *object)
{
    dk_buf_addc(list, list->n ? ',' : '[');
    dk_buf_adds(list, object);
}

void dk_inputs_end(dk_buf *list)
{
    if (list->n == 0)
        dk_buf_addc(list, '[');
    dk_buf_addc(list, ']');
}

void dk_inputs_add(dk_buf *list, const char *role, const char *path, const char *sha256,
                   uint64_t bytes)
{
    dk_buf object = {0};
    dk_jw w = { .out = &object };

    dk_jw_obj_begin(&w);
    key_str(&w, "role", role);
    key_str(&w, "name", bare(path));
    if (sha256) {
        dk_jw_key(&w, "bytes");
        dk_jw_u64(&w, bytes);
        key_str(&w, "sha256", sha256);
    }
    dk_jw_obj_end(&w);
    dk_inputs_add_object(list, object.s);
    dk_buf_free(&object);
}

int dk_inputs_add_file(dk_buf *list, const char *role, const char *path, dk_err *err)
{
    struct stat st;
    char hex[65];
    int rc;

    if (strcmp(path, "-") == 0) {
        dk_inputs_add(list, role, path, NULL, 0);
        return 0;
    }
    if (stat(path, &st) < 0)
        return dk_fail_errno(err, "cannot open %s", path);
    if (!S_ISREG(st.st_mode)) {
        dk_inputs_add(list, role, path, NULL, 0);
        return 0;
    }
    if ((rc = dk_sha256_file(path, hex, err)) == 0)
        dk_inputs_add(list, role, path, hex, (uint64_t)st.st_size);
    return rc;
}

/* The list that the file has, through the parser: it may hold anything. */
static int nested(dk_h5 *f, dk_jw *w, dk_err *err)
{
    char *text, *name = dk_xasprintf("%s: /provenance/inputs", dk_h5_path(f));
    dk_json *root = NULL;
    int rc = dk_h5_read_text(f, "/provenance/inputs", &text, err);

    if (rc == 0 && text && (rc = dk_json_parse(&root, text, strlen(text), name, err)) == 0) {
        dk_jw_key(w, "inputs");
        dk_jw_value(w, root);
    }
    dk_json_free(&root);
    dk_free(text);
    dk_free(name);
    return rc;
}

int dk_h5_lineage(dk_h5 *f, const char *role, dk_buf *out, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    dk_jw w = { .out = out };
    int rc;

    dk_jw_obj_begin(&w);
    key_str(&w, "role", role);
    key_str(&w, "content_id", r->content_id);
    key_str(&w, "writer", r->writer);
    rc = nested(f, &w, err);
    dk_jw_obj_end(&w);
    return rc;
}

/* --- models --------------------------------------------------------------- */
bool dk_lane_name_ok(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return name[0] != 0 && name[0] != '.' && name[strspn(name, good)] == 0 && strlen(name) < 128;
}

int dk_lane_name_check(const char *name, dk_err *err)
{
    return dk_lane_name_ok(name) ? 0
        : dk_fail(err, DK_EUSAGE, "'%s' cannot name a lane; use letters, digits, '.', '_', '-'", name);
}

int dk_h5_put_model(dk_h5 *f, const char *name, const dk_model_info *m, dk_err *err)
{
    char *g;
    int rc;

    if ((rc = dk_lane_name_check(name, err)) < 0)
        return rc;
    g = dk_xasprintf("/models/%s", name);
    if ((rc = dk_h5_group(f, g, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "arch", m->arch, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "kind", m->kind, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "dtype", m->dtype, err)) == 0 &&
        (rc = m->backend && *m->backend ? dk_h5_put_str(f, g, "backend", m->backend, err) : 0) == 0 &&
        (rc = dk_h5_put_int(f, g, "n_layers", DK_H5_U32, m->n_layers, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "d_model", DK_H5_U32, m->d_model, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "vocab", DK_H5_U32, m->vocab, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "weights_sha256", m->weights_sha256, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "tokenizer_sha256", m->tokenizer_sha256, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "template_sha256", m->template_sha256, err)) == 0 &&
        (rc = dk_h5_put_str(f, g, "adapter_sha256", m->adapter_sha256, err)) == 0 &&
        (rc = dk_h5_put_int(f, g, "adapter_rank", DK_H5_U32, m->adapter_rank, err)) == 0)
        rc = dk_h5_put_real(f, g, "adapter_scale", DK_H5_F64, m->adapter_scale, err);
    dk_free(g);
    return rc;
}

static int get_str(dk_h5 *f, const char *g, const char *name, const char **out, dk_err *err)
{
    char *s = NULL;
    int rc = dk_h5_has_attr(f, g, name) ? dk_h5_get_str(f, g, name, &s, err) : 0;

    *out = s ? s : dk_xstrdup("");
    return rc;
}

static int get_u32(dk_h5 *f, const char *g, const char *name, uint32_t *out, dk_err *err)
{
    int64_t v = 0;
    int rc = dk_h5_has_attr(f, g, name) ? dk_h5_get_int(f, g, name, &v, err) : 0;

    if (rc == 0 && (v < 0 || v > UINT32_MAX))
        rc = dk_fail(err, DK_EFORMAT, "%s: %s of %s is out of range", dk_h5_path(f), name, g);
    *out = (uint32_t)v;
    return rc;
}

int dk_h5_get_model(dk_h5 *f, const char *name, dk_model_info *m, dk_err *err)
{
    char *g = dk_xasprintf("/models/%s", name);
    int rc;

    *m = (dk_model_info){0};
    if (!dk_h5_find(f, g))
        rc = dk_fail(err, DK_EFORMAT, "%s has no model %s", dk_h5_path(f), name);
    else if ((rc = get_str(f, g, "arch", &m->arch, err)) == 0 &&
             (rc = get_str(f, g, "kind", &m->kind, err)) == 0 &&
             (rc = get_str(f, g, "dtype", &m->dtype, err)) == 0 &&
             (rc = get_str(f, g, "backend", &m->backend, err)) == 0 &&
             (rc = get_u32(f, g, "n_layers", &m->n_layers, err)) == 0 &&
             (rc = get_u32(f, g, "d_model", &m->d_model, err)) == 0 &&
             (rc = get_u32(f, g, "vocab", &m->vocab, err)) == 0 &&
             (rc = get_str(f, g, "weights_sha256", &m->weights_sha256, err)) == 0 &&
             (rc = get_str(f, g, "tokenizer_sha256", &m->tokenizer_sha256, err)) == 0 &&
             (rc = get_str(f, g, "template_sha256", &m->template_sha256, err)) == 0 &&
             (rc = get_str(f, g, "adapter_sha256", &m->adapter_sha256, err)) == 0 &&
             (rc = get_u32(f, g, "adapter_rank", &m->adapter_rank, err)) == 0 &&
             dk_h5_has_attr(f, g, "adapter_scale"))
        rc = dk_h5_get_real(f, g, "adapter_scale", &m->adapter_scale, err);
    dk_free(g);
    if (rc < 0)
        dk_model_info_free(m);
    return rc;
}

void dk_model_info_free(dk_model_info *m)
{
    const char *const owned[] = { m->arch, m->kind, m->dtype, m->backend, m->weights_sha256,
                                  m->tokenizer_sha256, m->template_sha256, m->adapter_sha256 };

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        dk_free((char *)owned[i]);
    *m = (dk_model_info){0};
}

int dk_h5_copy_models(dk_h5 *to, dk_h5 *from, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < dk_h5_count(from); i++) {
        const char *path = dk_h5_at(from, i)->path;
        dk_model_info m;

        if (strncmp(path, "/models/", 8) != 0 || (rc = dk_h5_get_model(from, path + 8, &m, err)) < 0)
            continue;
        rc = dk_h5_put_model(to, path + 8, &m, err);
        dk_model_info_free(&m);
    }
    return rc;
}
