/* Descriptions of files.  Text from files is untrusted: control bytes never
 * reach a terminal. */
#include "io/h5info.h"

#include <inttypes.h>
#include <string.h>

#include "base/child.h"
#include "io/h5check.h"
#include "io/h5meta.h"
#include "io/json.h"
#include "io/tokfile.h"
#include "io/weightinfo.h"

static void add_shape(dk_buf *out, const dk_h5_data *d)
{
    dk_buf_adds(out, dk_h5_type_name(d->type));
    for (int i = 0; i < d->rank; i++)
        dk_buf_addf(out, "%s%" PRIu64, i ? " x " : "[", d->dim[i]);
    dk_buf_addc(out, ']');
}

/* --- text ----------------------------------------------------------------- */
/* " name=value" for each attribute; those of the root that have a line of
 * their own stay out. */
static int text_attrs(dk_h5 *f, const char *obj, dk_buf *out, dk_err *err)
{
    static const char own[] = " encoding-type encoding-version rows docs complete content_id "
                              "stage_key writer features_required role shard_index shard_count ";
    int rc = 0;

    for (size_t i = 0; rc == 0; i++) {
        dk_buf name = {0}, text = {0};
        bool quoted;
        char *key;

        rc = dk_h5_attr_text(f, obj, i, &name, &text, &quoted, err);
        if (rc == 0) {
            key = dk_xasprintf(" %s ", name.s);
            if ((strcmp(obj, "/") != 0 || !strstr(own, key)) && text.n) {
                dk_buf_addc(out, ' ');
                dk_buf_addclean(out, name.s);
                dk_buf_addc(out, '=');
                dk_buf_addclean(out, text.s);
            }
            dk_free(key);
        }
        dk_buf_free(&name);
        dk_buf_free(&text);
    }
    return rc < 0 ? rc : 0;
}

static void text_line(dk_buf *out, const char *key, const char *value)
{
    if (!value[0])
        return;
    dk_buf_addf(out, "  %-12s", key);
    dk_buf_addclean(out, value);
    dk_buf_addc(out, '\n');
}

/* Hashes are counted in one line, not listed. */
static void text_hashes(dk_h5 *f, dk_buf *out)
{
    size_t sets = 0;
    uint64_t chunks = 0;

    for (size_t i = 0; i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);

        if (strncmp(o->path, "/check/", 7) == 0 && o->kind == DK_H5_DATASET) {
            sets++;
            chunks += o->data.dim[0];
        }
    }
    if (sets)
        dk_buf_addf(out, "  %-12s%" PRIu64 " chunks of %zu datasets\n", "hashes of", chunks, sets);
}

static int text_objects(dk_h5 *f, dk_buf *out, dk_err *err)
{
    int rc = 0;

    text_hashes(f, out);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        const dk_h5_object *o = dk_h5_at(f, i);
        dk_buf attrs = {0};

        if (strncmp(o->path, "/check", 6) == 0 && (o->path[6] == 0 || o->path[6] == '/'))
            continue;
        rc = text_attrs(f, o->path, &attrs, err);
        if (rc == 0 && (o->kind == DK_H5_DATASET || attrs.n)) {
            dk_buf_adds(out, "  ");
            dk_buf_addclean(out, o->path);
            if (o->kind == DK_H5_DATASET) {
                dk_buf_addc(out, ' ');
                add_shape(out, &o->data);
            }
            dk_buf_adds(out, attrs.n ? attrs.s : "");
            dk_buf_addc(out, '\n');
        }
        dk_buf_free(&attrs);
    }
    return rc;
}

/* "name (role), sha256:..." for each input, of a dk file "role, sha256:..."; what those were made from is for --lineage. */
static int text_inputs(dk_h5 *f, dk_buf *out, dk_err *err)
{
    char *text, *name = dk_xasprintf("%s: /provenance/inputs", dk_h5_path(f));
    dk_json *list = NULL;
    int rc = dk_h5_read_text(f, "/provenance/inputs", &text, err);

    if (rc == 0 && text && (rc = dk_json_parse(&list, text, strlen(text), name, err)) == 0)
        for (size_t i = 0; i < dk_json_len(list); i++) {
            const dk_json *v = dk_json_at(list, i);
            const char *sha = dk_json_str(dk_json_get(v, "sha256"), ""),
                       *id = dk_json_str(dk_json_get(v, "content_id"), ""),
                       *file = dk_json_str(dk_json_get(v, "name"), ""),
                       *role = dk_json_str(dk_json_get(v, "role"), "?");
            char *line = dk_xasprintf("%s%s%s%s%s%s", file, file[0] ? " (" : "", role, file[0] ? ")" : "",
                                      id[0] ? ", " : sha[0] ? ", sha256:" : "", id[0] ? id : sha);

            text_line(out, i ? "" : "inputs", line);
            dk_free(line);
        }
    dk_json_free(&list);
    dk_free(text);
    dk_free(name);
    return rc;
}

static int text_made(dk_h5 *f, dk_buf *out, dk_err *err)
{
    char *command = NULL;
    int rc;

    if ((rc = dk_h5_read_text(f, "/provenance/command", &command, err)) == 0) {
        text_line(out, "command", command ? command : "");
        rc = text_inputs(f, out, err);
    }
    dk_free(command);
    return rc;
}

static int text_file(dk_h5 *f, dk_buf *out, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    dk_buf more = {0};
    int rc;

    dk_buf_addclean(out, dk_h5_path(f));
    dk_buf_addf(out, ": %s %s, %" PRIu64 " rows, %" PRIu64 " docs\n", r->encoding, r->version,
                r->rows, r->docs);
    if (r->shard_count > 1)
        dk_buf_addf(out, "  %-12s%u of %u\n", "shard", r->shard_index, r->shard_count);
    text_line(out, "content", r->content_id);
    text_line(out, "writer", r->writer);
    text_line(out, "stage", r->stage_key);
    if ((rc = text_made(f, out, err)) == 0 && (rc = text_attrs(f, "/", &more, err)) == 0 && more.n)
        text_line(out, "also", more.s + 1);
    dk_buf_free(&more);
    return rc < 0 ? rc : text_objects(f, out, err);
}

/* --- JSON ----------------------------------------------------------------- */
static void key_str(dk_jw *w, const char *key, const char *value)
{
    dk_jw_key(w, key);
    dk_jw_str(w, value);
}

static void key_u64(dk_jw *w, const char *key, uint64_t value)
{
    dk_jw_key(w, key);
    dk_jw_u64(w, value);
}

static int json_attrs(dk_h5 *f, const char *obj, dk_jw *w, dk_err *err)
{
    int rc = 0;

    dk_jw_key(w, "attributes");
    dk_jw_obj_begin(w);
    for (size_t i = 0; rc == 0; i++) {
        dk_buf name = {0}, text = {0};
        bool quoted;
        dk_json *v = NULL;

        rc = dk_h5_attr_text(f, obj, i, &name, &text, &quoted, err);
        if (rc == 0) {
            dk_jw_key(w, name.s);
            if (quoted)
                dk_jw_str(w, text.s ? text.s : "");
            else if (dk_json_parse(&v, text.s, text.n, "", NULL) == 0)
                dk_jw_value(w, v);
            else
                dk_jw_null(w);      /* NaN, infinities, u64 beyond 2^63 */
            dk_json_free(&v);
        }
        dk_buf_free(&name);
        dk_buf_free(&text);
    }
    dk_jw_obj_end(w);
    return rc < 0 ? rc : 0;
}

static void json_dims(dk_jw *w, const char *key, const uint64_t *dim, int rank)
{
    dk_jw_key(w, key);
    dk_jw_arr_begin(w);
    for (int i = 0; i < rank; i++)
        dk_jw_u64(w, dim[i]);
    dk_jw_arr_end(w);
}

static int json_objects(dk_h5 *f, dk_jw *w, dk_err *err)
{
    int rc = 0;

    dk_jw_key(w, "objects");
    dk_jw_arr_begin(w);
    for (size_t i = 0; rc == 0 && i < dk_h5_count(f); i++) {
        static const char *const kind[] = { "group", "dataset", "type" };
        const dk_h5_object *o = dk_h5_at(f, i);

        dk_jw_obj_begin(w);
        key_str(w, "path", o->path);
        key_str(w, "kind", kind[o->kind]);
        if (o->kind == DK_H5_DATASET) {
            key_str(w, "type", dk_h5_type_name(o->data.type));
            json_dims(w, "shape", o->data.dim, o->data.rank);
            if (o->data.chunk[0])
                json_dims(w, "chunk", o->data.chunk, o->data.rank);
        }
        rc = json_attrs(f, o->path, w, err);
        dk_jw_obj_end(w);
    }
    dk_jw_arr_end(w);
    return rc;
}

/* A text that should be JSON, as a value. */
static int json_text(dk_h5 *f, const char *path, const char *key, dk_jw *w, dk_err *err)
{
    char *text, *name;
    dk_json *v = NULL;
    int rc = dk_h5_read_text(f, path, &text, err);

    if (rc < 0 || !text)
        return rc;
    name = dk_xasprintf("%s: %s", dk_h5_path(f), path);
    if ((rc = dk_json_parse(&v, text, strlen(text), name, err)) == 0) {
        dk_jw_key(w, key);
        dk_jw_value(w, v);
    }
    dk_json_free(&v);
    dk_free(name);
    dk_free(text);
    return rc;
}

static int json_file(dk_h5 *f, dk_buf *out, dk_err *err)
{
    const dk_h5_root *r = dk_h5_root_of(f);
    dk_jw w = { .out = out };
    int rc;

    dk_jw_obj_begin(&w);
    key_str(&w, "file", dk_h5_path(f));
    key_str(&w, "kind", r->encoding);
    key_str(&w, "version", r->version);
    key_u64(&w, "rows", r->rows);
    key_u64(&w, "docs", r->docs);
    key_str(&w, "content_id", r->content_id);
    key_str(&w, "writer", r->writer);
    key_str(&w, "stage_key", r->stage_key);
    if ((rc = json_attrs(f, "/", &w, err)) == 0 &&
        (rc = json_text(f, "/provenance/command", "command", &w, err)) == 0 &&
        (rc = json_text(f, "/provenance/inputs", "inputs", &w, err)) == 0)
        rc = json_objects(f, &w, err);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
    return rc;
}

/* --- lineage -------------------------------------------------------------- */
static void add_node(dk_buf *out, const dk_json *v, int depth)
{
    static const char *const key[] = { "name", "role", "writer", "content_id", "sha256" };
    const dk_json *inputs = dk_json_get(v, "inputs");
    bool first = true;

    dk_buf_addf(out, "%*s", 2 * depth, "");
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        const char *s = dk_json_str(dk_json_get(v, key[i]), "");

        if (!s[0])
            continue;
        dk_buf_adds(out, first ? "" : "  ");
        dk_buf_adds(out, strcmp(key[i], "sha256") == 0 ? "sha256:" : "");
        dk_buf_addclean(out, s);
        first = false;
    }
    dk_buf_addc(out, '\n');
    for (size_t i = 0; depth < 100 && i < dk_json_len(inputs); i++)
        add_node(out, dk_json_at(inputs, i), depth + 1);
}

static int print_lineage(const char *object, const char *name, dk_buf *out, dk_err *err)
{
    dk_json *v = NULL;
    int rc = dk_json_parse(&v, object, strlen(object), name, err);

    if (rc == 0)
        add_node(out, v, 0);
    dk_json_free(&v);
    return rc;
}

static int lineage_file(dk_h5 *f, dk_buf *out, dk_err *err)
{
    const char *path = dk_h5_path(f), *slash = strrchr(path, '/');
    dk_buf object = {0};
    int rc = dk_h5_lineage(f, "", &object, err);

    dk_buf_addclean(out, slash ? slash + 1 : path);
    dk_buf_adds(out, "  ");
    if (rc == 0)
        rc = print_lineage(object.s, dk_h5_path(f), out, err);
    dk_buf_free(&object);
    return rc;
}

static int check_file(dk_h5 *f, bool deep, dk_buf *out, dk_err *err)
{
    char id[DK_CONTENT_ID_LEN];
    int rc;

    if (!dk_h5_is_stream(f))
        rc = dk_h5_check(f, deep, id, err);
    else if (deep)
        rc = dk_fail(err, DK_EUSAGE, "a deep check needs a file, not a stream");
    else
        rc = dk_h5_content_id(f, id, NULL, err);    /* reading it to the end was the check */

    if (rc == 0) {
        dk_buf_addclean(out, dk_h5_path(f));
        dk_buf_addf(out, ": ok, %s\n", id);
    }
    return rc;
}

/* --- streams of JSON lines -------------------------------------------------------------- */
static void json_stream(const dk_tokens *t, dk_buf *out)
{
    dk_jw w = { .out = out };

    dk_jw_obj_begin(&w);
    key_str(&w, "file", "-");
    key_str(&w, "kind", "dk-tokens");
    key_u64(&w, "rows", t->rows);
    key_u64(&w, "docs", t->docs);
    key_str(&w, "content_id", t->content_id);
    key_str(&w, "corpus_name", t->corpus_name);
    key_str(&w, "format", t->format);
    key_str(&w, "tokenizer_sha256", t->tokenizer_sha256);
    key_u64(&w, "vocab", t->vocab);
    dk_jw_obj_end(&w);
    dk_jw_line(&w);
}

static int stream(dk_buf *out, dk_info_form form, dk_err *err)
{
    dk_tokens t;
    int rc = dk_tokens_read(&t, "-", err);      /* checks everything */

    if (rc < 0)
        return rc;
    if (form == DK_INFO_JSON)
        json_stream(&t, out);
    else if (form == DK_INFO_LINEAGE)
        rc = print_lineage(t.lineage, "-", out, err);
    else if (form == DK_INFO_CHECK || form == DK_INFO_DEEP)
        dk_buf_addf(out, "-: ok, %s\n", t.content_id);
    else {
        dk_buf_addf(out, "-: dk-tokens stream, %zu rows, %zu docs\n", t.rows, t.docs);
        text_line(out, "content", t.content_id);
        text_line(out, "corpus", t.corpus_name);
        text_line(out, "format", t.format);
        text_line(out, "tokenizer", t.tokenizer_sha256);
    }
    dk_tokens_free(&t);
    return rc;
}

int dk_h5_info(dk_buf *out, const char *path, dk_info_form form, dk_err *err)
{
    dk_h5 *f;
    int rc;

    if (strcmp(path, "-") == 0 && dk_tokens_json_on_stdin())
        return stream(out, form, err);
    if (dk_weights_is(path))
        return dk_weights_info(out, path, form, err);
    if ((rc = dk_h5_open(&f, path, NULL, err)) < 0)
        return rc;
    if ((rc = dk_h5_finish(f, err)) == 0)
        rc = form == DK_INFO_JSON ? json_file(f, out, err)
       : form == DK_INFO_LINEAGE ? lineage_file(f, out, err)
       : form == DK_INFO_CHECK || form == DK_INFO_DEEP ? check_file(f, form == DK_INFO_DEEP, out, err)
       : text_file(f, out, err);
    dk_h5_close(&f);
    return rc;
}

/* --- in a child ----------------------------------------------------------- */
typedef struct request { const char *path; dk_info_form form; } request;

static int answer(void *arg, dk_buf *text, dk_err *err)
{
    const request *r = arg;

    return dk_h5_info(text, r->path, r->form, err);
}

int dk_h5_info_print(const char *path, dk_info_form form, dk_err *err)
{
    request r = { path, form };

    return dk_in_child(answer, &r, path, err);
}
