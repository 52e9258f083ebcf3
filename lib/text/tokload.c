/* Which file describes the tokenizer, and the GGUF keys. */
#include "text/tokload.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "text/tokjson.h"

struct source {
    dk_json *root, *config;
    dk_gguf *gguf;
};

/* --- GGUF ---------------------------------------------------------------- */

enum { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 };

static uint32_t id_of(const dk_gguf *g, const char *key)
{
    const int64_t id = dk_gguf_int(g, key, -1);

    return id < 0 || id >= UINT32_MAX ? DK_NO_ID : (uint32_t)id;
}

static int gguf_tokens(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const dk_gguf_kv *tokens = dk_gguf_get(g, "tokenizer.ggml.tokens");
    const dk_gguf_kv *types = dk_gguf_get(g, "tokenizer.ggml.token_type");
    const dk_gguf_str *text = dk_gguf_kv_strs(tokens);
    const size_t one = sizeof *spec->token;
    int rc;

    if (!text)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer.ggml.tokens in it");
    spec->n_vocab = dk_gguf_kv_len(tokens);
    if (types && dk_gguf_kv_len(types) != spec->n_vocab)
        return dk_fail(err, DK_EFORMAT, "%zu tokens, but %zu token types", spec->n_vocab,
                       dk_gguf_kv_len(types));
    if ((rc = dk_alloc(&spec->token, spec->n_vocab, one, "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&spec->added, spec->n_vocab, sizeof *spec->added, "added tokens", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_vocab; i++) {
        const int64_t type = dk_gguf_kv_int(types, i, 1);

        spec->token[i] = (dk_span){ text[i].s, text[i].n };
        if (type == TYPE_CONTROL || type == TYPE_USER_DEFINED)
            spec->added[spec->n_added++] = (dk_added){
                .id = (uint32_t)i, .text = spec->token[i], .special = type == TYPE_CONTROL,
                .outside = true     /* in all families that look up whole pieces */
            };
    }
    return 0;
}

static int gguf_merges(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const dk_gguf_kv *merges = dk_gguf_get(g, "tokenizer.ggml.merges");
    const dk_gguf_str *text = dk_gguf_kv_strs(merges);
    int rc;

    if (!text)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer.ggml.merges in it");
    spec->n_merges = dk_gguf_kv_len(merges);
    if ((rc = dk_alloc(&spec->merge, spec->n_merges, sizeof *spec->merge, "the merges", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_merges; i++) {
        const char *space = text[i].n ? memchr(text[i].s, ' ', text[i].n) : NULL;
        const size_t n = space ? (size_t)(space - text[i].s) : 0;

        if (!space || memchr(space + 1, ' ', text[i].n - n - 1))
            return dk_fail(err, DK_EFORMAT, "merge %zu is no pair of tokens", i);
        spec->merge[i][0] = (dk_span){ text[i].s, n };
        spec->merge[i][1] = (dk_span){ space + 1, text[i].n - n - 1 };
    }
    return 0;
}

/* An absent add_bos_token means what the pre-tokenizer's family does. */
static bool adds_bos(const dk_gguf *g, dk_pretok pretok)
{
    return dk_gguf_bool(g, "tokenizer.ggml.add_bos_token", pretok == DK_PRETOK_LLAMA3);
}

static int from_gguf(dk_tokenizer_spec *spec, const dk_gguf *g, dk_err *err)
{
    const char *model = dk_gguf_str_of(g, "tokenizer.ggml.model", "");
    const char *pre = dk_gguf_str_of(g, "tokenizer.ggml.pre", "");
    const char *chat = dk_gguf_str_of(g, "tokenizer.chat_template", NULL);
    int rc;

    if (!*model)
        return dk_fail(err, DK_EFORMAT, "there is no tokenizer in it");
    if (strcmp(model, "gpt2") != 0)
        return dk_fail(err, DK_EFORMAT, "tokenizer model '%.100s' is not supported", model);
    if ((rc = dk_pretok_from_name(&spec->pretok, pre, err)) < 0 ||
        (rc = gguf_tokens(spec, g, err)) < 0 || (rc = gguf_merges(spec, g, err)) < 0)
        return rc;
    if (dk_gguf_bool(g, "tokenizer.ggml.add_space_prefix", false))
        return dk_fail(err, DK_EFORMAT, "a tokenizer with add_space_prefix is not supported");
    /* What GGUF does not say: the families of these pre-tokenizers do so. */
    spec->ignore_merges = spec->pretok == DK_PRETOK_LLAMA3;
    spec->nfc = spec->pretok == DK_PRETOK_QWEN2;
    spec->bos = id_of(g, "tokenizer.ggml.bos_token_id");
    spec->eos = id_of(g, "tokenizer.ggml.eos_token_id");
    spec->unk = id_of(g, "tokenizer.ggml.unknown_token_id");
    spec->pad = id_of(g, "tokenizer.ggml.padding_token_id");
    if (adds_bos(g, spec->pretok))
        spec->prefix = spec->bos;
    if (dk_gguf_bool(g, "tokenizer.ggml.add_eos_token", false))
        spec->suffix = spec->eos;
    if (chat)
        spec->chat_template = dk_xstrdup(chat);
    return 0;
}

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

    if (rc == 0 && (rc = dk_tokjson_read(spec, src->root, err)) < 0)
        dk_err_prefix(err, "%s", path);
    if (rc == 0 && access(config, F_OK) == 0 &&
        (rc = dk_json_load(&src->config, config, err)) == 0 &&
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
    char *json = dk_xasprintf("%s/tokenizer.json", path);
    struct dirent *e;
    size_t found = 0;
    DIR *d;

    if (access(json, F_OK) == 0) {
        *out = json;
        return 0;
    }
    dk_free(json);
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
        (rc = from_gguf(spec, src->gguf, err)) < 0)
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
    if (rc == 0)
        rc = load_file(spec, src, inside ? inside : path, err);
    dk_free(inside);
    return rc;
}

void dk_tokload_release(void **source)
{
    struct source *src = *source;

    if (!src)
        return;
    dk_json_free(&src->root);
    dk_json_free(&src->config);
    dk_gguf_close(&src->gguf);
    dk_free(src);
    *source = NULL;
}
