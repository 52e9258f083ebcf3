/* Atomic output files and their clean-up. */
#include "base/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_OPEN = 64 };

struct dk_outfile {
    char *path, *temp, *target;     /* as named; written to; path with its link followed */
    FILE *f;
    int slot;
};

/* What the signal handler removes: only ever written whole, one pointer each. */
static char *volatile pending[MAX_OPEN];

static void remove_pending(void)
{
    for (int i = 0; i < MAX_OPEN; i++)
        if (pending[i])
            unlink(pending[i]);
}

static void on_signal(int sig)
{
    remove_pending();
    signal(sig, SIG_DFL);
    raise(sig);
}

void dk_outfile_init(void)
{
    const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ, SIGXCPU };
    struct sigaction sa = { .sa_handler = on_signal };

    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        struct sigaction old;

        sigaction(sigs[i], NULL, &old);
        if (old.sa_handler != SIG_IGN)
            sigaction(sigs[i], &sa, NULL);
    }
    signal(SIGXFSZ, SIG_IGN);       /* a file size limit then shows as EFBIG */
    atexit(remove_pending);
    at_quick_exit(remove_pending);
}

int dk_outfile_check(const char *path, dk_err *err)
{
    char *copy = dk_xstrdup(path), *dir = copy;
    struct stat st;
    int rc = 0;

    if (strcmp(path, "-") == 0)
        ;
    else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = EISDIR;
        rc = S_ISDIR(st.st_mode) ? dk_fail_errno(err, "cannot write %s", path) : 0;
    } else {
        do
            dir = dirname(dir);
        while (access(dir, F_OK) < 0 && errno == ENOENT && strcmp(dir, ".") != 0 && strcmp(dir, "/") != 0);
        if (access(dir, F_OK) == 0 && stat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) {
            errno = ENOTDIR;
            rc = dk_fail_errno(err, "cannot write %s", path);
        } else if (access(dir, W_OK | X_OK) < 0)
            rc = dk_fail_errno(err, "cannot write %s", path);
    }
    dk_free(copy);
    return rc;
}

static int make_parents(const char *path, dk_err *err)
{
    char *p = dk_xstrdup(path);

    for (char *s = p + 1; *s; s++)
        if (*s == '/') {
            *s = 0;
            if (mkdir(p, 0777) < 0 && errno != EEXIST) {
                const int rc = dk_fail_errno(err, "cannot make the folder %s", p);

                dk_free(p);
                return rc;
            }
            *s = '/';
        }
    dk_free(p);
    return 0;
}

static void release(dk_outfile **op)
{
    dk_outfile *o = *op;

    if (o->slot >= 0)
        pending[o->slot] = NULL;
    dk_free(o->path);
    dk_free(o->temp);
    dk_free(o->target);
    dk_free(o);
    *op = NULL;
}

/* Written as it stands: standard output, and what renaming would replace (a
 * device, a pipe). */
static dk_outfile *direct(const char *path)
{
    dk_outfile *o = dk_xcalloc(1, sizeof *o);
    const bool out = strcmp(path, "-") == 0;

    o->path = dk_xstrdup(out ? "standard output" : path);
    o->temp = dk_xstrdup(path);
    o->f = out ? stdout : NULL;
    o->slot = -1;
    return o;
}

int dk_outfile_new(dk_outfile **out, const char *path, dk_err *err)
{
    dk_outfile *o;
    struct stat st;
    int fd, slot = 0;

    *out = NULL;
    if (strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
        *out = direct(path);
        return 0;
    }
    if (dk_outfile_check(path, err) < 0)
        return DK_EIO;
    if (make_parents(path, err) < 0)
        return DK_EIO;
    while (slot < MAX_OPEN && pending[slot])
        slot++;
    if (slot == MAX_OPEN)
        return dk_fail(err, DK_EIO, "%s: too many files being written", path);
    o = dk_xcalloc(1, sizeof *o);
    o->path = dk_xstrdup(path);
    o->target = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
    o->target = o->target ? o->target : dk_xstrdup(path);
    o->temp = dk_xasprintf("%s.%ld.tmp", o->target, (long)getpid());
    o->slot = slot;
    pending[slot] = o->temp;
    fd = open(o->temp, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0) {
        const int rc = dk_fail_errno(err, "cannot write %s", path);

        release(&o);
        return rc;
    }
    close(fd);
    *out = o;
    return 0;
}

const char *dk_outfile_temp(const dk_outfile *o) { return o->temp; }

int dk_outfile_stream(dk_outfile *o, FILE **f, dk_err *err)
{
    if (!o->f)
        o->f = fopen(o->temp, "we");
    if (!o->f)
        return dk_fail_errno(err, "cannot write %s", o->path);
    *f = o->f;
    return 0;
}

/* Without the fsync of file and folder a power cut can leave an empty target. */
static int sync_path(const char *path, int flags, const char *name, dk_err *err)
{
    const int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        rc = dk_fail_errno(err, "cannot write %s", name);
    if (fd >= 0)
        close(fd);
    return rc;
}

int dk_outfile_commit(dk_outfile **op, dk_err *err)
{
    dk_outfile *o = *op;
    int rc = 0;

    if (o->f && (ferror(o->f) || fflush(o->f) != 0))
        rc = dk_fail_errno(err, "cannot write %s", o->path);
    if (o->f && o->f != stdout && fclose(o->f) != 0 && rc == 0)
        rc = dk_fail_errno(err, "cannot write %s", o->path);
    if (o->slot < 0) {
        release(op);
        return rc;
    }
    if (rc == 0)
        rc = sync_path(o->temp, 0, o->path, err);
    if (rc == 0 && rename(o->temp, o->target) < 0)
        rc = dk_fail_errno(err, "cannot write %s", o->path);
    if (rc == 0) {
        char *copy = dk_xstrdup(o->target);

        rc = sync_path(dirname(copy), O_DIRECTORY, o->path, err);
        dk_free(copy);
    } else
        unlink(o->temp);
    release(op);
    return rc;
}

void dk_outfile_abandon(dk_outfile **op)
{
    if (!op || !*op)
        return;
    if ((*op)->f && (*op)->f != stdout)
        fclose((*op)->f);
    if ((*op)->slot >= 0)
        unlink((*op)->temp);
    release(op);
}

/* NAME.PID.tmp of a process that is not there any more. */
static bool is_left(const char *entry, const char *name)
{
    const size_t n = strlen(name);
    char *end;
    long pid;

    if (strncmp(entry, name, n) != 0 || entry[n] != '.' || entry[n + 1] < '1' || entry[n + 1] > '9')
        return false;
    pid = strtol(entry + n + 1, &end, 10);
    return strcmp(end, ".tmp") == 0 && pid <= INT_MAX && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* The folder may be shared with other machines: HDF5 holds a lock on what it writes. */
static void remove_left(int folder, const char *entry)
{
    const int fd = openat(folder, entry, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, entry, 0);
    if (fd >= 0)
        close(fd);
}

void dk_outfile_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = slash ? dk_xstrndup(path, (size_t)(slash - path) + 1) : dk_xstrdup("./");
    DIR *d = opendir(folder);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (is_left(e->d_name, name))
            remove_left(dirfd(d), e->d_name);
    if (d)
        closedir(d);
    dk_free(folder);
}

int dk_outfile_write(const char *path, const void *p, size_t n, dk_err *err)
{
    dk_outfile *o = NULL;
    FILE *f = NULL;
    int rc = dk_outfile_new(&o, path, err);

    if (rc == 0)
        rc = dk_outfile_stream(o, &f, err);
    if (rc < 0) {
        dk_outfile_abandon(&o);
        return rc;
    }
    if (n)
        fwrite(p, 1, n, f);         /* commit asks ferror */
    return dk_outfile_commit(&o, err);
}
