/* dk-run: runs one stage of a pipeline and notes beside its result what make
 * asks for later: the parameters (FILE.args, compared on the next run) and the
 * time and memory it took (FILE.time).  The notes are written only after the
 * command has succeeded, so a killed stage is a stale stage. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"

struct params { const char *stage, *record, *out; };

static const dk_opt opts[] = {
    DK_STR(struct params, 's', "stage", stage, NULL, "the stage's name, for messages and FILE.time"),
    DK_STR(struct params, 'r', "record", record, NULL, "write TEXT to FILE.args when all went well"),
    DK_PATH(struct params, 'o', "stdout", out, NULL,
            "write the command's standard output to FILE, whole or not at all"),
    DK_END
};

static volatile sig_atomic_t child;

/* What stops this process stops the command; the command cleans up. */
static void forward(int sig)
{
    if (child > 0)
        kill((pid_t)child, sig);
}

static void catch_signals(void)
{
    static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction sa = { .sa_handler = forward, .sa_flags = SA_RESTART };

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
        sigaction(sigs[i], &sa, NULL);
}

static pid_t start(char **command, const char *out)
{
    const pid_t parent = getpid(), pid = fork();
    int fd;

    if (pid != 0)
        return pid;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);       /* also when this process is killed outright */
    if (getppid() != parent)
        _exit(1);
    if (out) {
        fd = open(out, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || dup2(fd, 1) < 0)
            _exit(126);
    }
    execvp(command[0], command);
    fprintf(stderr, "dk-run: cannot run %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

/* Renamed into place, but not flushed to the disk: a note that a power cut
 * takes away only means a stage that runs again. */
static int write_note(const char *target, const char *ext, const char *text, dk_err *err)
{
    char *path = dk_xasprintf("%s.%s", target, ext), *temp = dk_xasprintf("%s.%s.tmp", target, ext);
    FILE *f = fopen(temp, "we");
    int rc = 0;

    if (!f || fprintf(f, "%s\n", text) < 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (f && fclose(f) != 0 && rc == 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (rc == 0 && rename(temp, path) != 0)
        rc = dk_fail_errno(err, "cannot write %s", path);
    if (rc < 0)
        unlink(temp);
    dk_free(path);
    dk_free(temp);
    return rc;
}

static int failed(const struct params *p, char **command, int status, dk_err *err)
{
    const int st = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    const char *name = strrchr(command[0], '/') ? strrchr(command[0], '/') + 1 : command[0];

    if (WIFSIGNALED(status))
        return dk_fail(err, DK_EIO, "stage '%s' was stopped: %s, %s", p->stage, name,
                       strsignal(WTERMSIG(status)));
    return dk_fail(err, st == 2 ? DK_EUSAGE : st == 3 ? DK_ECHECK : DK_EIO,
                   "stage '%s' failed: %s ended with status %d (its message stands above)",
                   p->stage, name, st);
}

static int notes(const struct params *p, const char *target, double seconds,
                 const struct rusage *ru, dk_err *err)
{
    char text[512];
    int rc = 0;

    snprintf(text, sizeof text, "{\"stage\": \"%s\", \"seconds\": %.3f, \"peak_bytes\": %lld}",
             p->stage, seconds, (long long)ru->ru_maxrss * 1024);
    if (access(target, F_OK) != 0)
        return dk_fail(err, DK_EIO, "stage '%s' ended well but wrote no %s", p->stage, target);
    rc = write_note(target, "time", text, err);
    if (rc == 0 && p->record)
        rc = write_note(target, "args", p->record, err);
    return rc;
}

/* --stdout goes to a temporary name first. */
static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *target = args[0];
    dk_outfile *o = NULL;
    const double t0 = dk_now();
    struct rusage ru;
    int status = 0, rc = 0;

    (void)ctx;
    (void)n;
    if (!p->stage || strpbrk(p->stage, "\"\\\n"))
        return dk_fail(err, DK_EUSAGE, "--stage needs a name without quotes");
    if (p->out)
        rc = dk_outfile_new(&o, p->out, err);
    if (rc < 0)
        return rc;
    catch_signals();
    child = start(args + 1, o ? dk_outfile_temp(o) : NULL);
    if (child < 0)
        rc = dk_fail_errno(err, "cannot start %s", args[1]);
    while (rc == 0 && wait4((pid_t)child, &status, 0, &ru) < 0)
        if (errno != EINTR)
            rc = dk_fail_errno(err, "cannot wait for %s", args[1]);
    child = 0;
    if (rc == 0 && status != 0)
        rc = failed(p, args + 1, status, err);
    if (rc == 0 && o)
        rc = dk_outfile_commit(&o, err);
    if (rc == 0)
        rc = notes(p, target, dk_now() - t0, &ru, err);
    dk_outfile_abandon(&o);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-run", .purpose = "run one stage of a pipeline and note its parameters, time and memory",
    .algo = 1, .usage = "[options] FILE COMMAND [ARGUMENT...]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 2, .max_args = -1, .runs_others = true,
    .run = run,
};
