/* Which file describes the tokenizer. */
#include "text/tokload.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "text/tekken.h"
#include "text/tokgguf.h"
#include "text/tokjson.h"

struct source {
    dk_json *root, *config;
    dk_gguf *gguf;
    dk_buf store;           /* spellings that the file writes in another way */
};

/* --- tokenizer.json and what lies beside it ------------------------------ */

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return dk_xasprintf("%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
}

static void from(dk_tokenizer_spec *spec, const char *path)
{
    dk_free(spec->template_from);
    spec->template_from = dk_xstrdup(path);
}

static int jinja_file(dk_tokenizer_spec *spec, const char *path, dk_err *err)
{
    dk_mapfile *m = NULL;
    int rc;

    if (access(path, F_OK) != 0)
        return 0;
    if ((rc = dk_mapfile_open(&m, path, err)) < 0)
        return rc;
    dk_free(spec->chat_template);
    spec->chat_template = dk_xstrndup((const char *)m->p, m->n);
    from(spec, path);
    dk_mapfile_close(&m);
    return 0;
}

/* What processors of older checkpoints keep: {"chat_template": "..."}. */
static int template_json(dk_tokenizer_spec *spec, const char *path, dk_err *err)
{
    dk_json *root = NULL;
    const char *text;
    int rc;

    if (spec->chat_template || access(path, F_OK) != 0)
        return 0;
    if ((rc = dk_json_load(&root, path, err)) < 0)
        return rc;
    if ((text = dk_json_str(dk_json_get(root, "chat_template"), NULL)) != NULL) {
        spec->chat_template = dk_xstrdup(text);
        from(spec, path);
    } else
        rc = dk_fail(err, DK_EFORMAT, "%s: there is no text 'chat_template' in it", path);
    dk_json_free(&root);
    return rc;
}

static int from_json(dk_tokenizer_spec *spec, struct source *src, const char *path, dk_err *err)
{
    char *config = beside(path, "tokenizer_config.json");
    char *jinja = beside(path, "chat_template.jinja"), *json = beside(path, "chat_template.json");
    int rc = dk_json_load(&src->root, path, err);

    const bool tekken = rc == 0 && dk_tekken_is(src->root);

    if (rc == 0 && (rc = tekken ? dk_tekken_read(spec, &src->store, src->root, err)
                                : dk_tokjson_read(spec, src->root, err)) < 0)
        dk_err_prefix(err, "%s", path);
    if (rc == 0 && !tekken && access(config, F_OK) == 0 &&
        (rc = dk_json_load_big(&src->config, config, err)) == 0 &&
        (rc = dk_tokjson_config(spec, src->config, err)) < 0)
        dk_err_prefix(err, "%s", config);
    if (rc == 0 && spec->chat_template)
        from(spec, config);
    if (rc == 0 && (rc = jinja_file(spec, jinja, err)) == 0)
        rc = template_json(spec, json, err);
    /* Without a config, what the file itself puts before a text is its BOS. */
    if (rc == 0 && spec->bos == DK_NO_ID)
        spec->bos = spec->prefix;
    dk_free(config);
    dk_free(jinja);
    dk_free(json);
    return rc;
}

/* --- the entry ----------------------------------------------------------- */

/* The file in the directory that describes a tokenizer; owned by the caller. */
static int in_directory(char **out, const char *path, dk_err *err)
{
    static const char *const names[] = { "tokenizer.json", "tekken.json" };
    struct dirent *e;
    size_t found = 0;
    DIR *d;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *out = dk_xasprintf("%s/%s", path, names[i]);
        if (access(*out, F_OK) == 0)
            return 0;
        dk_free(*out);
        *out = NULL;
    }
    if (!(d = opendir(path)))
        return dk_fail_errno(err, "cannot read %s", path);
    while ((e = readdir(d)) != NULL) {
        const size_t n = strlen(e->d_name);

        if (n > 5 && strcmp(e->d_name + n - 5, ".gguf") == 0 && found++ == 0)
            *out = dk_xasprintf("%s/%s", path, e->d_name);
    }
    closedir(d);
    if (found == 1)
        return 0;
    dk_free(*out);
    *out = NULL;
    return dk_fail(err, DK_EFORMAT, "%s holds no tokenizer.json and %s", path,
                   found ? "several GGUF files: name one of them" : "no GGUF file");
}

static int load_file(dk_tokenizer_spec *spec, struct source *src, const char *path, dk_err *err)
{
    int rc;

    if (access(path, R_OK) != 0)
        return dk_fail_errno(err, "cannot read %s", path);
    if (!dk_gguf_is(path))
        return from_json(spec, src, path, err);
    if ((rc = dk_gguf_open(&src->gguf, path, err)) == 0 &&
        (rc = dk_tokgguf_read(spec, src->gguf, err)) < 0)
        dk_err_prefix(err, "%s", path);
    if (rc == 0 && spec->chat_template)
        from(spec, path);
    return rc;
}

int dk_tokload(dk_tokenizer_spec *spec, void **source, const char *path, dk_err *err)
{
    struct source *src = dk_xcalloc(1, sizeof *src);
    char *inside = NULL;
    struct stat st;
    int rc = 0;

    *source = src;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        rc = in_directory(&inside, path, err);
    spec->file = inside ? inside : dk_xstrdup(path);
    return rc == 0 ? load_file(spec, src, spec->file, err) : rc;
}

void dk_tokload_release(void **source)
{
    struct source *src = *source;

    if (!src)
        return;
    dk_json_free(&src->root);
    dk_json_free(&src->config);
    dk_gguf_close(&src->gguf);
    dk_buf_free(&src->store);
    dk_free(src);
    *source = NULL;
}
