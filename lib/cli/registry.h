/* The configuration of a pair: which organism, model and data, and every
 * parameter of every method, with the place each value comes from.
 *
 * The files live in a folder configs/: config.yaml (global keys), organism/,
 * model/, dataset/ and method/ (one file each), and schema/, which names the
 * keys that exist: type, range, and whether a key is honoured or only accepted
 * at its default ("fixed", with the reason).  A new method is three new files
 * and no code.
 *
 * Later sources win: default < organism < model < site < command line. */
#ifndef DK_CLI_REGISTRY_H
#define DK_CLI_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/yaml.h"

enum dk_origin {
    DK_FROM_DEFAULT, DK_FROM_ORGANISM, DK_FROM_MODEL, DK_FROM_SITE, DK_FROM_COMMAND
};

typedef struct dk_setting {
    char *key;              /* "kl.method_params.max_samples" */
    char *text;             /* a plain value as text, a list or map as one line of YAML */
    dk_yaml_kind kind;
    dk_yaml *list;          /* the elements of a list; NULL otherwise */
    enum dk_origin origin;
    char *where;            /* "FILE:LINE", or "" for the command line */
    const char *fixed;      /* why only the default is accepted; NULL: honoured */
} dk_setting;

typedef struct dk_conf dk_conf;

typedef struct dk_conf_places {
    const char *configs;    /* NULL: $DK_CONFIGS, or the folder that belongs to this program */
    const char *site;       /* NULL: ~/.config/dk/site.yaml where it exists; "": none */
} dk_conf_places;

/* Everything for one pair.  words: "organism=NAME", "model=NAME|auto|PATH",
 * "method=NAME[,NAME]" or "method=all" (default: those that are built), and
 * "KEY=VALUE", "+KEY=VALUE", "++KEY=VALUE", "~KEY" (cli/confword.h). */
int dk_conf_load(dk_conf **out, const dk_conf_places *at, int n, char *const *words, dk_err *err);
/* One file of a group ("model", "dataset", ...), checked, keys with the
 * group's name (of a method: its own) in front. */
int dk_conf_load_one(dk_conf **out, const dk_conf_places *at, const char *group, const char *name,
                     dk_err *err);
void dk_conf_free(dk_conf **c);

size_t dk_conf_size(const dk_conf *c);
const dk_setting *dk_conf_at(const dk_conf *c, size_t i);
const dk_setting *dk_conf_find(const dk_conf *c, const char *key);     /* NULL: none */
/* The value as text; NULL when the key is absent or null. */
const char *dk_conf_text(const dk_conf *c, const char *key);
/* A loaded method that no graph runs yet; NULL: there is none. */
const char *dk_conf_unbuilt(const dk_conf *c);
bool dk_conf_true(const dk_conf *c, const char *key);
const char *dk_conf_origin_name(enum dk_origin o);

/* A path of a configuration file: as it stands, or, when there is no such file
 * here, below the folder that holds configs/.  The caller frees it. */
char *dk_conf_path(const dk_conf *c, const char *text);
/* Where the model of this configuration lies, or will lie once fetched, below
 * dir (NULL: $DK_CACHE, or dk/ in the user's cache); of one that only a hub has,
 * its id.  The caller frees *path. */
int dk_conf_model_path(const dk_conf *c, const char *dir, char **path, bool *must_fetch,
                       dk_err *err);

/* The folder of a group's files.  The caller frees it. */
char *dk_conf_group_dir(const dk_conf_places *at, const char *group);
/* The names in a group, sorted, one a line. */
int dk_conf_names(dk_buf *out, const dk_conf_places *at, const char *group, dk_err *err);

#endif
