#include "io/hubpick.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "io/json.h"

void dk_hublist_add(dk_hublist *l, const char *name)
{
    if ((l->n & (l->n - 1)) == 0)
        l->v = dk_xrealloc(l->v, (l->n ? 2 * l->n : 1) * sizeof *l->v);
    l->v[l->n++] = dk_xstrdup(name);
}

bool dk_hublist_has(const dk_hublist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

void dk_hublist_free(dk_hublist *l)
{
    for (size_t i = 0; i < l->n; i++)
        dk_free(l->v[i]);
    dk_free(l->v);
    *l = (dk_hublist){0};
}

bool dk_hub_path_ok(const char *path)
{
    const size_t n = strlen(path);

    if (n == 0 || n > 1024)
        return false;
    for (const char *s = path; *s; s++)
        if ((unsigned char)*s < 32 || *s == 127)
            return false;
    for (const char *s = path; ; ) {
        const size_t k = strcspn(s, "/");

        if (k == 0 || k > 255 || (k == 1 && s[0] == '.') || (k == 2 && memcmp(s, "..", 2) == 0))
            return false;
        if (!s[k])
            return true;
        s += k + 1;
    }
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

bool dk_hub_is_weights(const char *path)
{
    return ends_with(path, ".safetensors") || ends_with(path, ".gguf");
}

static bool is_pickle(const char *path)
{
    static const char *const end[] = { ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib" };

    for (size_t i = 0; i < sizeof end / sizeof *end; i++)
        if (strlen(path) >= strlen(end[i]) && strcasecmp(path + strlen(path) - strlen(end[i]), end[i]) == 0)
            return true;
    return false;
}

/* Beside the weights: what says how to use them. */
static bool is_small(const char *name)
{
    static const char *const names[] = {
        "config.json", "generation_config.json", "special_tokens_map.json", "chat_template.jinja",
        "chat_template.json", "tekken.json", "adapter_config.json"
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "tokenizer", 9) == 0 && ends_with(name, ".json");
}

/* The name in the folder, or NULL when the path is not directly in it. */
static const char *name_in(const char *path, const char *folder)
{
    const size_t n = strlen(folder);

    if (n && (strncmp(path, folder, n) != 0 || path[n] != '/'))
        return NULL;
    path += n ? n + 1 : 0;
    return strchr(path, '/') ? NULL : path;
}

static char *in_folder(const char *folder, const char *name)
{
    return dk_xasprintf("%s%s%s", folder, *folder ? "/" : "", name);
}

static bool listed(const dk_hublist *files, const char *folder, const char *name)
{
    char *path = in_folder(folder, name);
    const bool has = dk_hublist_has(files, path);

    dk_free(path);
    return has;
}

static int only_pickles(const dk_hubwish *w, dk_err *err)
{
    return dk_fail(err, DK_EDATA, "%s offers its weights only as pickles, which can run any code when "
                   "they are read: save them as safetensors and give that folder", w->repo);
}

static int no_weights(const dk_hublist *files, const dk_hubwish *w, dk_err *err)
{
    bool any = false, pickle = false;
    const char *gguf = NULL;

    for (size_t i = 0; i < files->n; i++)
        if (name_in(files->v[i], w->inside)) {
            any = true;
            pickle = pickle || is_pickle(files->v[i]);
            gguf = ends_with(files->v[i], ".gguf") ? files->v[i] : gguf;
        }
    if (gguf)
        return dk_fail(err, DK_EDATA, "%s offers GGUF files: name one of them (%s/%s)", w->repo, w->repo,
                       gguf);
    if (pickle)
        return only_pickles(w, err);
    if (!any && *w->inside)
        return dk_fail(err, DK_EDATA, "%s has no folder '%s'", w->repo, w->inside);
    return dk_fail(err, DK_EDATA, "%s%s%s holds no safetensors: it is no model that can be read", w->repo,
                   *w->inside ? "/" : "", w->inside);
}

static void add_all_safetensors(dk_hubpick *p, const dk_hublist *files, const char *folder)
{
    for (size_t i = 0; i < files->n; i++) {
        const char *name = name_in(files->v[i], folder);

        if (name && ends_with(name, ".safetensors"))
            dk_hublist_add(&p->weights, files->v[i]);
    }
}

static void add_weight(dk_hubpick *p, const char *folder, const char *name)
{
    char *path = in_folder(folder, name);

    dk_hublist_add(&p->weights, path);
    dk_free(path);
}

/* One file, else what the index names, else all there are. */
static int pick_weights(dk_hubpick *p, const dk_hublist *files, const dk_hubwish *w, dk_err *err)
{
    if (p->adapter) {
        if (!listed(files, w->inside, "adapter_model.safetensors"))
            return no_weights(files, w, err);
        add_weight(p, w->inside, "adapter_model.safetensors");
    } else if (listed(files, w->inside, "model.safetensors"))
        add_weight(p, w->inside, "model.safetensors");
    else if (listed(files, w->inside, "model.safetensors.index.json")) {
        p->index = in_folder(w->inside, "model.safetensors.index.json");
        dk_hublist_add(&p->small, p->index);
    } else
        add_all_safetensors(p, files, w->inside);
    if (!p->index && p->weights.n == 0)
        return no_weights(files, w, err);
    if (!p->adapter && !listed(files, w->inside, "config.json"))
        return dk_fail(err, DK_EDATA, "%s%s%s has no config.json: it is no model that can be read",
                       w->repo, *w->inside ? "/" : "", w->inside);
    return 0;
}

static int pick_usual(dk_hubpick *p, const dk_hublist *files, const dk_hubwish *w, dk_err *err)
{
    p->adapter = listed(files, w->inside, "adapter_config.json");
    p->tokenizer = listed(files, w->inside, "tekken.json") ||
                   (listed(files, w->inside, "tokenizer.json") &&
                    listed(files, w->inside, "tokenizer_config.json"));
    for (size_t i = 0; i < files->n; i++) {
        const char *name = name_in(files->v[i], w->inside);

        if (name && is_small(name))
            dk_hublist_add(&p->small, files->v[i]);
    }
    return pick_weights(p, files, w, err);
}

/* The path as seen from the folder. */
static const char *below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);

    if (n == 0)
        return path;
    return strncmp(path, folder, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

static int pick_patterns(dk_hubpick *p, const dk_hublist *files, const dk_hubwish *w, dk_err *err)
{
    for (size_t k = 0; k < w->n_include; k++) {
        size_t found = 0, pickles = 0;

        for (size_t i = 0; i < files->n; i++) {
            const char *path = below(files->v[i], w->inside);
            dk_hublist *to = dk_hub_is_weights(files->v[i]) ? &p->weights : &p->small;

            if (!path || fnmatch(w->include[k], path, 0) != 0)
                continue;
            if (is_pickle(path)) {
                pickles++;
                continue;
            }
            found++;
            if (!dk_hublist_has(to, files->v[i]))
                dk_hublist_add(to, files->v[i]);
        }
        if (!found && pickles)
            return dk_fail(err, DK_EDATA, "%s: only pickles match '%s', and those are never fetched: "
                           "reading one can run any code", w->repo, w->include[k]);
        if (!found)
            return dk_fail(err, DK_EDATA, "%s has no file that matches '%s'", w->repo, w->include[k]);
    }
    return 0;
}

int dk_hubpick_from(dk_hubpick *p, const dk_hublist *files, const dk_hubwish *w, dk_err *err)
{
    *p = (dk_hubpick){0};
    if (ends_with(w->inside, ".gguf")) {
        if (!dk_hublist_has(files, w->inside))
            return dk_fail(err, DK_EDATA, "%s has no file '%s'", w->repo, w->inside);
        dk_hublist_add(&p->weights, w->inside);
        p->tokenizer = true;            /* a GGUF file holds its own */
        return 0;
    }
    return w->n_include ? pick_patterns(p, files, w, err) : pick_usual(p, files, w, err);
}

int dk_hubpick_shards(dk_hubpick *p, const char *path, dk_err *err)
{
    const char *slash = strrchr(p->index, '/');
    char *folder = slash ? dk_xstrndup(p->index, (size_t)(slash - p->index)) : dk_xstrdup("");
    dk_json *root = NULL;
    dk_json_iter it = {0};
    int rc = dk_json_load(&root, path, err);

    while (rc == 0 && dk_json_next(dk_json_get(root, "weight_map"), &it)) {
        const char *name = dk_json_str(it.value, "");
        char *file = in_folder(folder, name);

        if (!dk_hub_path_ok(name) || strchr(name, '/') || !ends_with(name, ".safetensors"))
            rc = dk_fail(err, DK_EDATA, "%s names a file that cannot be one of its shards", path);
        else if (!dk_hublist_has(&p->weights, file))
            dk_hublist_add(&p->weights, file);
        dk_free(file);
    }
    if (rc == 0 && p->weights.n == 0)
        rc = dk_fail(err, DK_EDATA, "%s names no file", path);
    dk_json_free(&root);
    dk_free(folder);
    return rc;
}

void dk_hubpick_free(dk_hubpick *p)
{
    dk_hublist_free(&p->small);
    dk_hublist_free(&p->weights);
    dk_free(p->index);
    *p = (dk_hubpick){0};
}
