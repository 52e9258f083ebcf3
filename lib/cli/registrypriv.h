/* What the files of the registry share: the settings as they lie in memory, the
 * rules of their schemas, and the putting of values. */
#ifndef DK_CLI_REGISTRYPRIV_H
#define DK_CLI_REGISTRYPRIV_H

#include "cli/registry.h"

#define DK_CONF_UNSET "???"     /* must be given a value before it is read */

struct dk_conf_schema { char *group; dk_yaml *tree; };

struct dk_conf {
    char *dir;
    size_t n_schema, n;
    struct dk_conf_schema schema[32];
    dk_setting *item;
};

/* A source of values: what is being put where. */
struct dk_conf_source { dk_conf *c; enum dk_origin origin; const char *file, *prefix; dk_err *err; };

/* confdirs.c.  The caller frees the paths. */
char *dk_conf_dir(const dk_conf_places *at);
char *dk_conf_site_file(const dk_conf_places *at);      /* NULL: there is none */
/* The names in DIR/GROUP, sorted, one a line. */
int dk_conf_list(dk_buf *out, const char *dir, const char *group, dk_err *err);

/* confvalue.c */
/* Loads schema/GROUP.yaml once. */
int dk_conf_schema(dk_conf *c, const char *group, dk_err *err);
void dk_conf_schema_drop(dk_conf *c);                   /* the last that was loaded */
/* Has the graph of this method been written?  Its schema must be loaded. */
bool dk_conf_built(const dk_conf *c, const char *method);
const dk_yaml *dk_conf_rule(const dk_conf *c, const char *key);     /* NULL: there is no such key */
int dk_conf_put(const struct dk_conf_source *src, const char *key, const dk_yaml *v, const dk_yaml *rule);
/* Each value of a tree; brief: keys may leave out what lies between first and last part. */
int dk_conf_put_tree(const struct dk_conf_source *src, const dk_yaml *y, const char *key, bool brief);
/* Puts a group's file into c under PREFIX.  "overrides" of other keys count
 * only where the file was chosen for the pair, not when it is looked up. */
int dk_conf_put_file(dk_conf *c, const char *group, const char *name, const char *prefix, enum dk_origin origin,
                     dk_err *err);
int dk_conf_drop(const struct dk_conf_source *src, const char *key);
int dk_conf_not_set(const struct dk_conf_source *src, const char *key);     /* fails where it has a value */
void dk_setting_free(dk_setting *s);

#endif
