#include "io/hubcache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/outfile.h"

enum { MAX_DEPTH = 8 };

struct dk_hubcache {
    char *root;         /* the folder of all repositories */
    char *folder;       /* "models--owner--name", "datasets--..." */
};

static const char *setting(const char *name)
{
    const char *v = getenv(name);

    return v && *v ? v : NULL;
}

/* "~/x" as the shell would read it. */
static char *expanded(const char *path)
{
    const char *home = setting("HOME");

    if (home && path[0] == '~' && (path[1] == '/' || !path[1]))
        return dk_xasprintf("%s%s", home, path + 1);
    return dk_xstrdup(path);
}

char *dk_hubcache_home(void)
{
    const char *hf = setting("HF_HOME"), *xdg = setting("XDG_CACHE_HOME"), *home = setting("HOME");

    if (hf)
        return expanded(hf);
    if (xdg)
        return dk_xasprintf("%s/huggingface", xdg);
    return home ? dk_xasprintf("%s/.cache/huggingface", home) : NULL;
}

int dk_hubcache_open(dk_hubcache **out, const char *repo, bool data, dk_err *err)
{
    const char *cache = setting("HF_HUB_CACHE"), *slash = strchr(repo, '/');
    char *home = cache ? NULL : dk_hubcache_home();

    *out = NULL;
    if (!cache && !home)
        return dk_fail(err, DK_EUSAGE, "neither HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME nor HOME says "
                       "where what comes from the hub is kept");
    *out = dk_xcalloc(1, sizeof **out);
    (*out)->root = cache ? expanded(cache) : dk_xasprintf("%s/hub", home);
    (*out)->folder = dk_xasprintf("%s--%.*s--%s", data ? "datasets" : "models", (int)(slash - repo), repo, slash + 1);
    dk_free(home);
    return 0;
}

void dk_hubcache_close(dk_hubcache **c)
{
    if (*c) {
        dk_free((*c)->root);
        dk_free((*c)->folder);
        dk_free(*c);
        *c = NULL;
    }
}

const char *dk_hubcache_root(const dk_hubcache *c) { return c->root; }

bool dk_hub_is_commit(const char *s)
{
    return strspn(s, "0123456789abcdef") == 40 && !s[40];
}

bool dk_hubcache_commit(const dk_hubcache *c, const char *revision, char commit[41])
{
    char text[64] = "", *path;
    FILE *f;

    if (dk_hub_is_commit(revision)) {
        memcpy(commit, revision, 41);
        return true;
    }
    path = dk_xasprintf("%s/%s/refs/%s", c->root, c->folder, revision);
    f = fopen(path, "re");
    if (f && !fgets(text, sizeof text, f))
        text[0] = 0;
    if (f)
        fclose(f);
    dk_free(path);
    text[strcspn(text, " \r\n")] = 0;
    if (!dk_hub_is_commit(text))
        return false;
    memcpy(commit, text, 41);
    return true;
}

int dk_hubcache_set_ref(dk_hubcache *c, const char *revision, const char *commit, dk_err *err)
{
    char old[41], *path;
    int rc;

    if (dk_hubcache_commit(c, revision, old) && strcmp(old, commit) == 0)
        return 0;
    path = dk_xasprintf("%s/%s/refs/%s", c->root, c->folder, revision);
    rc = dk_outfile_write(path, commit, 40, err);
    dk_free(path);
    return rc;
}

char *dk_hubcache_snapshot(const dk_hubcache *c, const char *commit, const char *inside)
{
    return dk_xasprintf("%s/%s/snapshots/%s%s%s", c->root, c->folder, commit, *inside ? "/" : "", inside);
}

char *dk_hubcache_picks(const dk_hubcache *c, const char *commit, const char *name)
{
    return dk_xasprintf("%s/%s/picks/%s/%s", c->root, c->folder, commit, name);
}

char *dk_hubcache_blob(const dk_hubcache *c, const char *etag)
{
    return dk_xasprintf("%s/%s/blobs/%s", c->root, c->folder, etag);
}

static void list_folder(const char *dir, const char *prefix, int depth, dk_hublist *out)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;

    while (d && (e = readdir(d))) {
        char *path, *name;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        path = dk_xasprintf("%s/%s", dir, e->d_name);
        name = dk_xasprintf("%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            dk_hublist_add(out, name);
        else if (depth < MAX_DEPTH && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            list_folder(path, name, depth + 1, out);
        dk_free(path);
        dk_free(name);
    }
    if (d)
        closedir(d);
}

void dk_hubcache_list(const dk_hubcache *c, const char *commit, dk_hublist *out)
{
    char *dir = dk_hubcache_snapshot(c, commit, "");

    list_folder(dir, "", 0, out);
    dk_free(dir);
}

bool dk_hubcache_has(const dk_hubcache *c, const char *commit, const char *file)
{
    char *path = dk_hubcache_snapshot(c, commit, file);
    struct stat st;
    const bool has = stat(path, &st) == 0 && S_ISREG(st.st_mode);

    dk_free(path);
    return has;
}

/* All folders above the last name. */
static int make_parents(const char *path, dk_err *err)
{
    char *p = dk_xstrdup(path);
    int rc = 0;

    for (char *s = strchr(p + 1, '/'); rc == 0 && s; s = strchr(s + 1, '/')) {
        *s = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST)
            rc = dk_fail_errno(err, "cannot make the folder %s", p);
        *s = '/';
    }
    dk_free(p);
    return rc;
}

int dk_hubcache_lock(dk_hubcache *c, const char *etag, int *fd, dk_err *err)
{
    char *path = dk_xasprintf("%s/.locks/%s/%s.lock", c->root, c->folder, etag);
    char *blob = dk_hubcache_blob(c, etag);
    int rc = make_parents(blob, err);

    *fd = -1;
    if (rc == 0)
        rc = make_parents(path, err);
    if (rc == 0 && (*fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666)) < 0)
        rc = dk_fail_errno(err, "cannot create %s", path);
    if (rc == 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        dk_log(DK_INFO, "another process is fetching this file; waiting for it");
        while (rc == 0 && flock(*fd, LOCK_EX) != 0)
            if (errno != EINTR)
                rc = dk_fail_errno(err, "cannot lock %s", path);
    }
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    dk_free(blob);
    dk_free(path);
    return rc;
}

int dk_hubcache_link(dk_hubcache *c, const char *commit, const char *file, const char *etag,
                     dk_err *err)
{
    char *path = dk_hubcache_snapshot(c, commit, file);
    dk_buf to = {0};
    int rc = make_parents(path, err);

    dk_buf_adds(&to, "../../");
    for (const char *s = file; (s = strchr(s, '/')); s++)
        dk_buf_adds(&to, "../");
    dk_buf_addf(&to, "blobs/%s", etag);
    while (rc == 0 && symlink(to.s, path) != 0) {
        if (errno != EEXIST)
            rc = dk_fail_errno(err, "cannot make the link %s", path);
        else if (dk_hubcache_has(c, commit, file))
            break;                              /* another process was quicker */
        else if (unlink(path) != 0 && errno != ENOENT)
            rc = dk_fail_errno(err, "cannot replace %s", path);
    }
    dk_buf_free(&to);
    dk_free(path);
    return rc;
}
