/* Where configuration files lie, and the models that they name. */
#include "cli/registrypriv.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/confplace.h"

static char *own_configs(void)
{
    static const char *const rel[] = { "../../configs", "../share/dk/configs" };
    char exe[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    exe[n > 0 ? n : 0] = 0;
    if (strrchr(exe, '/'))
        *strrchr(exe, '/') = 0;
    for (size_t i = 0; *exe && i < 2; i++) {
        char *dir = dk_xasprintf("%s/%s", exe, rel[i]), *real = realpath(dir, NULL);

        dk_free(dir);
        if (real) {
            dir = dk_xstrdup(real);
            free(real);
            return dir;
        }
    }
    return dk_xstrdup("configs");
}

char *dk_conf_dir(const dk_conf_places *at)
{
    const char *env = getenv("DK_CONFIGS");

    if (at && at->configs)
        return dk_xstrdup(at->configs);
    return env && *env ? dk_xstrdup(env) : own_configs();
}

char *dk_conf_site_file(const dk_conf_places *at)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path = NULL;

    if (at && at->site)
        return *at->site ? dk_xstrdup(at->site) : NULL;
    if (xdg && *xdg)
        path = dk_xasprintf("%s/dk/site.yaml", xdg);
    else if (home)
        path = dk_xasprintf("%s/.config/dk/site.yaml", home);
    if (path && access(path, F_OK) != 0) {
        dk_free(path);
        path = NULL;
    }
    return path;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_yaml(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');

    return d->d_name[0] != '.' && dot && strcmp(dot, ".yaml") == 0;
}

int dk_conf_list(dk_buf *out, const char *dir, const char *group, dk_err *err)
{
    char *path = dk_xasprintf("%s/%s", dir, group);
    struct dirent **list = NULL;
    const int n = scandir(path, &list, is_yaml, by_name);
    int rc = 0;

    for (int i = 0; i < n; i++) {
        dk_buf_add(out, list[i]->d_name, strlen(list[i]->d_name) - 5);
        dk_buf_addc(out, '\n');
        free(list[i]);
    }
    free(list);
    if (n < 0 && errno == ENOENT && access(dir, F_OK) == 0)
        rc = 0;         /* a group that this folder does without */
    else if (n < 0)
        rc = dk_fail_errno(err, "cannot list %s", path);
    dk_free(path);
    return rc;
}

int dk_conf_names(dk_buf *out, const dk_conf_places *at, const char *group, dk_err *err)
{
    char *dir = dk_conf_dir(at);
    const int rc = dk_conf_list(out, dir, group, err);

    dk_free(dir);
    return rc;
}

char *dk_conf_group_dir(const dk_conf_places *at, const char *group)
{
    char *dir = dk_conf_dir(at), *sub = dk_xasprintf("%s/%s", dir, group);

    dk_free(dir);
    return sub;
}

char *dk_conf_path(const dk_conf *c, const char *text)
{
    const char *slash = strrchr(c->dir, '/');

    if (text[0] == '/' || !slash || access(text, F_OK) == 0)
        return dk_xstrdup(text);
    return dk_xasprintf("%.*s/%s", (int)(slash - c->dir), c->dir, text);
}

/* The folder that models are kept in; NULL when nothing says where. */
static char *cache_dir(void)
{
    const char *cache = getenv("DK_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (cache && *cache)
        return dk_xstrdup(cache);
    if (xdg && *xdg)
        return dk_xasprintf("%s/dk", xdg);
    return home && *home ? dk_xasprintf("%s/.cache/dk", home) : NULL;
}

int dk_conf_model_path(const dk_conf *c, const char *dir, char **path, bool *must_fetch, dk_err *err)
{
    const char *id = dk_conf_text(c, "model.model_id"), *name = dk_conf_text(c, "model.name");
    const char *member = dk_conf_text(c, "model.source.member"), *slash;
    char *root, *hub;
    int rc;

    *must_fetch = member != NULL;
    if (!name || !id)
        return dk_fail(err, DK_EUSAGE, "the model's configuration lacks its name or model_id");
    if (!member) {
        rc = dk_conf_place(path, &hub, c, "model.model_id", id, err);
        *must_fetch = hub != NULL;
        *path = hub ? hub : *path;
        return rc;
    }
    if (!(root = dir ? dk_xstrdup(dir) : cache_dir()))
        return dk_fail(err, DK_EUSAGE, "neither DK_CACHE, XDG_CACHE_HOME nor HOME says where models "
                       "are kept");
    slash = strrchr(member, '/');
    *path = dk_xasprintf("%s/models/%s/%s", root, name, slash ? slash + 1 : member);
    dk_free(root);
    return 0;
}
