/* Problems are collected, so that one run names them all. */
#include "cli/confcheck.h"

#include <string.h>
#include <unistd.h>

#include "cli/confpair.h"
#include "cli/confplace.h"
#include "cli/confsets.h"

struct checker { dk_confcheck *k; const dk_conf_places *at; const char *group, *name; size_t n_bad; };

static void problem(struct checker *ch, const char *what)
{
    dk_buf_addf(&ch->k->problems, "%s '%s': %s\n", ch->group, ch->name, what);
    ch->k->n_problems++;
    ch->n_bad++;
}

/* A failure of a function that has filled err. */
static void failed(struct checker *ch, dk_err *err)
{
    problem(ch, err->msg);
    *err = (dk_err){0};
}

static bool has_file(struct checker *ch, const char *group, const char *name)
{
    char *dir = dk_conf_group_dir(ch->at, group), *path = dk_xasprintf("%s/%s.yaml", dir, name);
    const bool is = access(path, F_OK) == 0;

    dk_free(dir);
    dk_free(path);
    return is;
}

static void path_there(struct checker *ch, const dk_conf *c, const char *key, bool always)
{
    const char *text = dk_conf_text(c, key);
    char *path, *what;

    if (!text)
        return;
    path = dk_conf_path(c, text);
    if (access(path, F_OK) != 0 && (always || dk_conf_must_be_here(c, text))) {
        what = dk_xasprintf("%s: there is no local path '%s'", key, text);
        problem(ch, what);
        dk_free(what);
    }
    dk_free(path);
}

static void need(struct checker *ch, const dk_conf *c, const char *key)
{
    if (!dk_conf_text(c, key)) {
        char *what = dk_xasprintf("%s has no value", key);

        problem(ch, what);
        dk_free(what);
    }
}

static bool listed(const dk_conf *c, const char *key, const char *word)
{
    const dk_setting *s = dk_conf_find(c, key);

    for (size_t i = 0; s && s->list && i < s->list->n; i++)
        if (s->list->item[i].text && strcmp(s->list->item[i].text, word) == 0)
            return true;
    return false;
}

/* "adapter_id" or "model_id" of one pair, and the model it is a finetune of. */
static void pair(struct checker *ch, const dk_conf *c, const char *model, const char *variant,
                 bool new_model)
{
    char *a = dk_xasprintf("organism.finetuned_models.%s.%s.adapter_id", model, variant);
    char *m = dk_xasprintf("organism.finetuned_models.%s.%s.model_id", model, variant), *what = NULL;

    path_there(ch, c, a, false);
    path_there(ch, c, m, false);
    if (dk_conf_find(c, a) && dk_conf_find(c, m))
        what = dk_xasprintf("finetune '%s' of '%s' has both adapter_id and model_id", variant, model);
    else if (!dk_conf_text(c, a) && !dk_conf_text(c, m))
        what = dk_xasprintf("finetune '%s' of '%s' has neither adapter_id nor model_id", variant, model);
    if (what)
        problem(ch, what);
    dk_free(what);
    what = NULL;
    if (new_model && !has_file(ch, "model", model)) {
        what = dk_xasprintf("there is no model '%s' in configs/model", model);
        if (listed(c, "organism.without_model_file", model))
            dk_buf_addf(&ch->k->notes, "organism '%s': %s; known, it cannot be run\n", ch->name, what);
        else
            problem(ch, what);
    }
    dk_free(what);
    dk_free(a);
    dk_free(m);
}

/* What the organism comes to as a whole, with its first pair. */
static void resolve(struct checker *ch, const char *model, const char *variant, dk_err *err)
{
    char *words[3] = { dk_xasprintf("organism=%s", ch->name), dk_xasprintf("model=%s", model),
                       dk_xasprintf("organism_variant=%s", variant) };
    dk_conf *c = NULL;

    if (dk_conf_load(&c, ch->at, 3, words, err) < 0)
        failed(ch, err);
    dk_conf_free(&c);
    for (size_t i = 0; i < 3; i++)
        dk_free(words[i]);
}

static void organism(struct checker *ch, const dk_conf *c, dk_err *err)
{
    const dk_setting *nulls = dk_conf_find(c, "organism.nulls");
    char *model, *variant, *last = NULL;
    bool resolved = false;
    size_t i = 0, n = 0;

    need(ch, c, "organism.type");
    path_there(ch, c, "organism.description_long_file", true);
    path_there(ch, c, "organism.probes", true);
    path_there(ch, c, "organism.facts", true);
    path_there(ch, c, "organism.dataset.id", false);
    for (size_t j = 0; nulls && nulls->list && j < nulls->list->n; j++)
        if (!nulls->list->item[j].text || !has_file(ch, "organism", nulls->list->item[j].text)) {
            char *what = dk_xasprintf("nulls: there is no organism '%s'",
                                      nulls->list->item[j].text ? nulls->list->item[j].text : "");

            problem(ch, what);
            dk_free(what);
        }
    for (; dk_conf_next_pair(c, &i, &model, &variant); n++) {
        pair(ch, c, model, variant, !last || strcmp(last, model) != 0);
        if (!resolved && ch->n_bad == 0 && has_file(ch, "model", model)) {
            resolve(ch, model, variant, err);
            resolved = true;
        }
        dk_free(last);
        dk_free(variant);
        last = model;
    }
    if (n == 0)
        problem(ch, "it has no finetuned model");
    dk_free(last);
}

/* The data sets that config.yaml lists. */
static void config(struct checker *ch, dk_err *err)
{
    static const char *const group[] = { "chat", "pretraining" };
    dk_conf *c = NULL;

    if (dk_conf_load(&c, ch->at, 0, NULL, err) < 0) {
        failed(ch, err);
        return;
    }
    for (size_t g = 0; g < 2; g++) {
        char *key = dk_xasprintf("datasets.%s", group[g]);
        const dk_setting *s = dk_conf_find(c, key);

        for (size_t i = 0; s && s->list && i < s->list->n; i++) {
            char *name = NULL;

            if (s->list->item[i].text &&
                dk_conf_set_named(&name, ch->at, group[g], s->list->item[i].text, err) < 0)
                failed(ch, err);
            dk_free(name);
        }
        dk_free(key);
    }
    dk_conf_free(&c);
}

static void one(struct checker *ch, dk_err *err)
{
    const bool method = strcmp(ch->group, "method") == 0;
    char *key = dk_xasprintf("%s.name", method ? ch->name : ch->group);
    dk_conf *c = NULL;
    const char *name;

    if (dk_conf_load_one(&c, ch->at, ch->group, ch->name, err) < 0)
        failed(ch, err);
    else {
        if (!(name = dk_conf_text(c, key)) || strcmp(name, ch->name) != 0)
            problem(ch, "its key 'name' is not the name of its file");
        if (strcmp(ch->group, "organism") == 0)
            organism(ch, c, err);
        else if (strcmp(ch->group, "model") == 0)
            need(ch, c, "model.model_id");
        else if (strcmp(ch->group, "dataset") == 0) {
            need(ch, c, "dataset.id");
            path_there(ch, c, "dataset.id", false);
        }
    }
    dk_conf_free(&c);
    dk_free(key);
}

int dk_conf_check(dk_confcheck *out, const dk_conf_places *at, dk_err *err)
{
    static const char *const group[] = { "organism", "model", "method", "dataset", "amplification" };
    struct checker ch = { out, at, "file", "config", 0 };
    dk_err e = {0};
    int rc = 0;

    *out = (dk_confcheck){0};
    config(&ch, &e);
    for (size_t g = 0; rc == 0 && g < sizeof group / sizeof *group; g++) {
        dk_buf names = {0};
        char *save = NULL;

        ch.group = group[g];
        rc = dk_conf_names(&names, at, group[g], err);
        for (char *p = names.s ? strtok_r(names.s, "\n", &save) : NULL; rc == 0 && p;
             p = strtok_r(NULL, "\n", &save)) {
            ch.name = p;
            ch.n_bad = 0;
            one(&ch, &e);
            out->n_valid += ch.n_bad == 0;
        }
        dk_buf_free(&names);
    }
    return rc;
}

void dk_confcheck_free(dk_confcheck *k)
{
    dk_buf_free(&k->problems);
    dk_buf_free(&k->notes);
}
