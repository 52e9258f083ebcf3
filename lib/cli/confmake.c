/* Values for make: blanks separate and dollars expand there, so texts are
 * escaped, and paths that make cannot hold are refused. */
#include "cli/confmake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/confplace.h"
#include "cli/confsets.h"
#include "io/hub.h"
#include "io/hubdata.h"

static void make_value(const char *s, dk_buf *out)
{
    for (; *s; s++)
        if (*s == '$')
            dk_buf_adds(out, "$$");
        else if (*s == '#')
            dk_buf_adds(out, "\\#");
        else
            dk_buf_addc(out, *s == '\n' ? ' ' : *s);
}

static void var(dk_buf *out, const char *prefix, const char *name, const char *value)
{
    dk_buf_addf(out, "%s.%s := ", prefix, name);
    make_value(value ? value : "", out);
    dk_buf_addc(out, '\n');
}

static int make_can(const char *path, dk_err *err)
{
    return strpbrk(path, " \t\n:%") ? dk_fail(err, DK_EUSAGE, "'%s': make cannot handle blanks, ':' or '%%' in a path",
                                              path) : 0;
}

/* Make splits lists at blanks, so a path with one cannot be a prerequisite. */
static int path_var(dk_buf *out, const char *prefix, const char *name, const dk_conf *c,
                    const char *text, dk_err *err)
{
    char *path = dk_conf_path(c, text);
    int rc = make_can(path, err);

    if (rc == 0 && access(path, F_OK) != 0)
        rc = dk_fail(err, DK_EUSAGE, "%s: there is no local path '%s'", name, path);
    if (rc == 0)
        var(out, prefix, name, path);
    dk_free(path);
    return rc;
}

/* The same of a finetune or a model, which may be on a hub: then the value is
 * its id, and its name joins *hubs, what the graph fetches first. */
static int model_var(dk_buf *out, dk_buf *hubs, const char *prefix, const char *name, const dk_conf *c,
                     const char *text, dk_err *err)
{
    char *path = NULL, *hub = NULL;
    int rc = dk_conf_place(&path, &hub, c, name, text, err);

    if (rc == 0)
        rc = make_can(hub ? hub : path, err);
    if (rc == 0)
        var(out, prefix, name, hub ? hub : path);
    if (rc == 0 && hub)
        dk_buf_addf(hubs, "%s%s", hubs->n ? " " : "", name);
    dk_free(path);
    dk_free(hub);
    return rc;
}

/* ---- data sets --------------------------------------------------------- */

struct sets {
    dk_buf known, hubs;         /* described; only on a hub */
    uint64_t rows;              /* of one that a hub has */
};

/* What goes through make into a shell. */
static int plain_word(const char *what, const char *text, dk_err *err)
{
    return text && text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._+")]
               ? dk_fail(err, DK_EUSAGE, "'%s': a %s has letters, digits and -._+", text, what) : 0;
}

/* The files that are here, one after the other. */
static int hub_files(dk_buf *list, const char *id, const dk_hub_data *which, dk_err *err)
{
    const dk_hub_options cache = { .offline = true };
    dk_hublist paths = {0};
    int rc = 0;

    if (dk_hub_fetch_data(&paths, id, which, &cache, NULL) < 0)
        return 0;
    for (size_t i = 0; rc == 0 && i < paths.n; i++) {
        rc = make_can(paths.v[i], err);
        dk_buf_addf(list, "%s%s", i ? " " : "", paths.v[i]);
    }
    dk_hublist_free(&paths);
    return rc;
}

/* Data sets that are not streamed, and chats, which never are, are shuffled where the
 * reference toolkit does it; those of dk's own that say nothing of it are not. */
static bool shuffled(const dk_conf *c, const char *head)
{
    char *streaming = dk_xasprintf("%s.streaming", head), *chat = dk_xasprintf("%s.is_chat", head);
    const bool is = dk_conf_find(c, streaming) && (!dk_conf_true(c, streaming) || dk_conf_true(c, chat));

    dk_free(streaming);
    dk_free(chat);
    return is;
}

/* set.NAME.path; of a data set of a hub also set.NAME.fetch, the words for
 * dk-fetch, and where it is not here the path is its id. */
static int set_place(dk_buf *out, struct sets *sets, const char *prefix, const dk_conf *c, const char *head,
                     const char *name, const char *id, dk_err *err)
{
    char *path_name = dk_xasprintf("set.%s.path", name), *fetch_name = dk_xasprintf("set.%s.fetch", name);
    char *splits_key = dk_xasprintf("%s.splits", head), *subset_key = dk_xasprintf("%s.subset", head), *path = dk_conf_path(c, id);
    const dk_setting *splits = dk_conf_find(c, splits_key);
    const char *first = splits && splits->list && splits->list->n ? splits->list->item[0].text : NULL;
    const dk_hub_data which = { dk_conf_text(c, subset_key), first ? first : "train", shuffled(c, head) ? 0 : sets->rows };
    dk_buf files = {0}, words = {0};
    int rc = 0;

    if (access(path, F_OK) == 0 || dk_conf_must_be_here(c, id) || !dk_hub_is_id(id)) {
        rc = path_var(out, prefix, path_name, c, id, err);
    } else if ((rc = plain_word("subset", which.subset, err)) == 0 && (rc = plain_word("split", which.split, err)) == 0 &&
               (rc = make_can(id, err)) == 0 && (rc = hub_files(&files, id, &which, err)) == 0) {
        dk_buf_addf(&words, "--data%s%s --split %s --rows %llu %s", which.subset ? " --subset " : "", which.subset ? which.subset : "",
                    which.split, (unsigned long long)which.rows, id);
        var(out, prefix, path_name, files.n ? files.s : id);
        var(out, prefix, fetch_name, words.s);
        if (files.n == 0)
            dk_buf_addf(&sets->hubs, "%s%s", sets->hubs.n ? " " : "", name);
    }
    dk_buf_free(&files);
    dk_buf_free(&words);
    dk_free(path_name);
    dk_free(fetch_name);
    dk_free(splits_key);
    dk_free(subset_key);
    dk_free(path);
    return rc;
}

/* set.NAME.{path,fetch,shuffle,format,column}, from keys that begin with HEAD. */
static int set_vars(dk_buf *out, struct sets *sets, const char *prefix, const dk_conf *c, const char *head,
                    const char *name, dk_err *err)
{
    char key[256], var_name[256];
    const char *id, *column;
    bool chat;

    snprintf(key, sizeof key, "%s.id", head);
    if (!(id = dk_conf_text(c, key)))
        return dk_fail(err, DK_EUSAGE, "data set '%s' has no id", name);
    snprintf(key, sizeof key, "%s.is_chat", head);
    chat = dk_conf_true(c, key);
    snprintf(key, sizeof key, "%s.%s", head, chat ? "messages_column" : "text_column");
    column = dk_conf_text(c, key);
    if (set_place(out, sets, prefix, c, head, name, id, err) < 0)
        return err->code;
    snprintf(var_name, sizeof var_name, "set.%s.shuffle", name);
    var(out, prefix, var_name, shuffled(c, head) ? "yes" : "");
    snprintf(var_name, sizeof var_name, "set.%s.format", name);
    var(out, prefix, var_name, chat ? "chat" : "text");
    snprintf(var_name, sizeof var_name, "set.%s.column", name);
    var(out, prefix, var_name, column ? column : chat ? "messages" : "text");
    return 0;
}

/* Appends the names listed at KEY to *list and describes each new one. */
static int named_sets(dk_buf *out, dk_buf *list, struct sets *sets, const dk_conf_places *at,
                      const char *prefix, const dk_conf *c, const char *key, const char *group,
                      dk_err *err)
{
    const dk_setting *s = dk_conf_find(c, key);
    int rc = 0;

    for (size_t i = 0; rc == 0 && s && s->list && i < s->list->n; i++) {
        const char *entry = s->list->item[i].text;
        char *name = NULL, *mark;
        dk_conf *d = NULL;

        if (!entry)
            return dk_fail(err, DK_EUSAGE, "%s: expected names of data sets (dk-conf list datasets)", key);
        if (dk_conf_set_named(&name, at, group, entry, err) < 0)
            return dk_err_prefix(err, "%s", key);
        if (!name)
            continue;
        mark = dk_xasprintf(" %s ", name);
        if (!sets->known.s || !strstr(sets->known.s, mark)) {
            dk_buf_adds(&sets->known, mark);
            if ((rc = dk_conf_load_one(&d, at, "dataset", name, err)) < 0)
                dk_err_prefix(err, "%s", key);
            else
                rc = set_vars(out, sets, prefix, d, "dataset", name, err);
        }
        if (rc == 0)
            dk_buf_addf(list, "%s%s", list->n ? " " : "", name);
        dk_conf_free(&d);
        dk_free(mark);
        dk_free(name);
    }
    return rc;
}

static bool use(const dk_conf *c, const char *method, const char *family)
{
    char *key = dk_xasprintf("%s.datasets.use_%s_dataset", method, family);
    const bool yes = dk_conf_true(c, key);

    dk_free(key);
    return yes;
}

/* The sets of a method that reads kinds of text: METHOD.sets. */
static int family_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix, const dk_conf *c,
                       const char *method, dk_err *err)
{
    char *name = dk_xasprintf("%s.sets", method);
    dk_buf list = {0};
    int rc = 0;

    if (use(c, method, "training") && dk_conf_find(c, "organism.dataset.id")) {
        const char *own = dk_conf_text(c, "organism.name");
        char *mark = dk_xasprintf(" %s ", own);

        if (!sets->known.s || !strstr(sets->known.s, mark)) {
            dk_buf_adds(&sets->known, mark);
            rc = set_vars(out, sets, prefix, c, "organism.dataset", own, err);
        }
        dk_free(mark);
        dk_buf_adds(&list, own);
    }
    if (rc == 0 && use(c, method, "pretraining"))
        rc = named_sets(out, &list, sets, at, prefix, c, "datasets.pretraining", "pretraining", err);
    if (rc == 0 && use(c, method, "chat"))
        rc = named_sets(out, &list, sets, at, prefix, c, "datasets.chat", "chat", err);
    if (rc == 0)
        var(out, prefix, name, list.s);
    dk_buf_free(&list);
    dk_free(name);
    return rc;
}

/* METHOD.depths: the list METHOD.layers with commas; null is the middle. */
static int depths_var(dk_buf *out, const char *prefix, const dk_conf *c, const char *method, dk_err *err)
{
    char *key = dk_xasprintf("%s.layers", method), *name = dk_xasprintf("%s.depths", method);
    const dk_setting *l = dk_conf_find(c, key);
    dk_buf depths = {0};
    int rc = 0;

    if (l && l->kind == DK_YAML_NULL)
        dk_buf_adds(&depths, "0.5");
    for (size_t i = 0; l && l->list && i < l->list->n; i++)
        dk_buf_addf(&depths, "%s%s", i ? "," : "", l->list->item[i].text ? l->list->item[i].text : "");
    if (depths.n == 0)
        rc = dk_fail(err, DK_EUSAGE, "%s names no layer", key);
    else
        var(out, prefix, name, depths.s);
    dk_buf_free(&depths);
    dk_free(key);
    dk_free(name);
    return rc;
}

static int analysis_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix, const dk_conf *c,
                         dk_err *err)
{
    int rc = family_sets(out, sets, at, prefix, c, "activation_analysis", err);

    return rc == 0 ? depths_var(out, prefix, c, "activation_analysis", err) : rc;
}

/* A file of prompts; where the toolkit's resources are not here, ours of the same name. */
static int prompts_var(dk_buf *out, const char *prefix, const char *name, const dk_conf *c, const char *text, dk_err *err)
{
    static const char toolkit[] = "resources/";
    char *path = dk_conf_path(c, text), *ours = NULL;
    int rc;

    if (access(path, F_OK) != 0 && strncmp(text, toolkit, strlen(toolkit)) == 0)
        ours = dk_xasprintf("data/prompts/%s", text + strlen(toolkit));
    rc = path_var(out, prefix, name, c, ours ? ours : text, err);
    dk_free(path);
    dk_free(ours);
    return rc;
}

static int pca_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix, const dk_conf *c,
                    dk_err *err)
{
    const char *prompts = dk_conf_text(c, "pca.analysis.component_steering.prompts_file");
    const char *steer = dk_conf_text(c, "pca.analysis.component_steering.enabled");
    int rc = family_sets(out, sets, at, prefix, c, "pca", err);

    if (rc == 0 && prompts && steer && strcmp(steer, "true") == 0)
        rc = prompts_var(out, prefix, "pca.prompts", c, prompts, err);
    return rc == 0 ? depths_var(out, prefix, c, "pca", err) : rc;
}

static int mining_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix,
                       const dk_conf *c, dk_err *err)
{
    const dk_setting *o = dk_conf_find(c, "diff_mining.token_ordering.method");
    dk_buf list = {0}, orders = {0};
    int rc = named_sets(out, &list, sets, at, prefix, c, "diff_mining.datasets", "pretraining", err);

    for (size_t i = 0; o && o->list && i < o->list->n; i++)
        dk_buf_addf(&orders, "%s%s", i ? " " : "", o->list->item[i].text);
    if (rc == 0) {
        var(out, prefix, "diff_mining.sets", list.s);
        var(out, prefix, "diff_mining.orderings", orders.s);
    }
    dk_buf_free(&list);
    dk_buf_free(&orders);
    return rc;
}

static int adl_sets(dk_buf *out, struct sets *sets, const dk_conf_places *at, const char *prefix,
                    const dk_conf *c, dk_err *err)
{
    dk_buf list = {0};
    int rc = named_sets(out, &list, sets, at, prefix, c, "activation_difference_lens.datasets", "pretraining",
                        err);

    if (rc == 0)
        var(out, prefix, "activation_difference_lens.sets", list.s);
    dk_buf_free(&list);
    return rc == 0 ? depths_var(out, prefix, c, "activation_difference_lens", err) : rc;
}

/* An organism's finetune of this model, an adapter or full weights; NULL: none. */
static const char *finetune_of(const dk_conf *c, const char *model, const char *variant)
{
    static const char *const kind[] = { "adapter_id", "model_id" };
    const char *text = NULL;

    for (size_t i = 0; !text && i < 2; i++) {
        char *key = dk_xasprintf("organism.finetuned_models.%s.%s.%s", model, variant, kind[i]);

        text = dk_conf_text(c, key);
        dk_free(key);
    }
    return text;
}

/* A null without a finetune of this model is left out, and said so. */
static int null_vars(dk_buf *out, dk_buf *hubs, const dk_conf_places *at, const char *prefix, const dk_conf *c,
                     dk_err *err)
{
    const dk_setting *s = dk_conf_find(c, "organism.nulls");
    const char *model = dk_conf_text(c, "model.name"), *self = dk_conf_text(c, "organism.name");
    dk_buf list = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && s && s->list && i < s->list->n; i++) {
        const char *name = s->list->item[i].text, *id;
        char *var_name = dk_xasprintf("null.%s", name ? name : "");
        dk_conf *d = NULL;

        if (name && strcmp(name, self) != 0 &&
            (rc = dk_conf_load_one(&d, at, "organism", name, err)) == 0) {
            if (!(id = finetune_of(d, model, "default")))
                dk_log(DK_WARN, "null %s has no finetune of %s; left out", name, model);
            else if ((rc = model_var(out, hubs, prefix, var_name, c, id, err)) == 0)
                dk_buf_addf(&list, "%s%s", list.n ? " " : "", name);
        }
        dk_conf_free(&d);
        dk_free(var_name);
    }
    if (rc == 0)
        var(out, prefix, "nulls", list.s);
    dk_buf_free(&list);
    return rc;
}

static int model_vars(dk_buf *out, dk_buf *hubs, const char *prefix, const dk_conf *c, dk_err *err)
{
    const char *model = dk_conf_text(c, "model.name"), *variant = dk_conf_text(c, "organism_variant"), *id;
    char *path = NULL;
    bool must_fetch;
    int rc = dk_conf_model_path(c, NULL, &path, &must_fetch, err);

    if (rc < 0)
        return rc;
    rc = make_can(path, err);
    var(out, prefix, "model", model);
    var(out, prefix, "model.path", path);
    if (must_fetch && !dk_conf_text(c, "model.source.member")) {    /* only a hub has it */
        dk_buf_adds(hubs, "model.path");
        must_fetch = false;
    }
    var(out, prefix, "model.fetch", must_fetch ? model : "");
    dk_free(path);
    if (rc == 0 && !(id = finetune_of(c, model, variant)))
        rc = dk_fail(err, DK_EUSAGE, "organism '%s' has no finetune '%s' of model '%s'",
                     dk_conf_text(c, "organism.name"), variant, model);
    else if (rc == 0)
        rc = model_var(out, hubs, prefix, "finetune", c, id, err);
    return rc;
}

/* The long description: a file, or whether there is a text. */
static int description_vars(dk_buf *out, const char *prefix, const dk_conf *c, dk_err *err)
{
    const char *file = dk_conf_text(c, "organism.description_long_file"), *text = dk_conf_text(c, "organism.description_long");

    var(out, prefix, "described", text && *text ? "yes" : "");
    if (file)
        return path_var(out, prefix, "description", c, file, err);
    var(out, prefix, "description", "");
    return 0;
}

/* Long texts, and the pairs that were not chosen. */
static bool unused(const char *key)
{
    return strcmp(key, "organism.description_long") == 0 ||
           strncmp(key, "organism.finetuned_models.", 26) == 0;
}

int dk_conf_make(const dk_conf_places *at, const char *prefix, const dk_conf *c, dk_buf *result,
                 dk_err *err)
{
    struct sets sets = {0};
    dk_buf out = {0}, hubs = {0};
    const char *probes = dk_conf_text(c, "organism.probes"), *facts = dk_conf_text(c, "organism.facts"), *unbuilt = dk_conf_unbuilt(c);
    const char *rows = dk_conf_text(c, "datasets.rows");
    int rc;

    sets.rows = rows ? strtoull(rows, NULL, 10) : 0;
    if (unbuilt)
        return dk_fail(err, DK_EUSAGE, "method '%s' is not built yet", unbuilt);
    for (size_t i = 0; i < dk_conf_size(c); i++)
        if (!unused(dk_conf_at(c, i)->key))
            var(&out, prefix, dk_conf_at(c, i)->key, dk_conf_at(c, i)->text);
    rc = model_vars(&out, &hubs, prefix, c, err);
    if (rc == 0)
        rc = null_vars(&out, &hubs, at, prefix, c, err);
    var(&out, prefix, "hubs", hubs.s);
    if (rc == 0 && dk_conf_find(c, "kl.name"))
        rc = family_sets(&out, &sets, at, prefix, c, "kl", err);
    if (rc == 0 && dk_conf_find(c, "diff_mining.name"))
        rc = mining_sets(&out, &sets, at, prefix, c, err);
    if (rc == 0 && dk_conf_find(c, "activation_difference_lens.name"))
        rc = adl_sets(&out, &sets, at, prefix, c, err);
    if (rc == 0 && dk_conf_find(c, "activation_analysis.name"))
        rc = analysis_sets(&out, &sets, at, prefix, c, err);
    if (rc == 0 && dk_conf_find(c, "pca.name"))
        rc = pca_sets(&out, &sets, at, prefix, c, err);
    var(&out, prefix, "hubsets", sets.hubs.s);
    if (rc == 0 && probes)
        rc = path_var(&out, prefix, "probes", c, probes, err);
    else
        var(&out, prefix, "probes", "");
    if (rc == 0 && facts)
        rc = path_var(&out, prefix, "facts", c, facts, err);
    else
        var(&out, prefix, "facts", "");
    if (rc == 0)
        rc = description_vars(&out, prefix, c, err);
    if (rc == 0)
        dk_buf_add(result, out.s, out.n);
    dk_buf_free(&out);
    dk_buf_free(&hubs);
    dk_buf_free(&sets.known);
    dk_buf_free(&sets.hubs);
    return rc;
}
