/* dk-run: runs one stage of a pipeline and notes beside its result what make
 * asks for later: the parameters (FILE.args, compared on the next run) and the
 * time and memory it took (FILE.time).  The notes are written only after the
 * command has succeeded, so a killed stage is a stale stage. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/outfile.h"
#include "cli/tool.h"

enum { MAX_CARDS = 64 };

struct params { const char *stage, *record, *out; bool spread; };

static const dk_opt opts[] = {
    DK_STR(struct params, 's', "stage", stage, NULL, "the stage's name, for messages and FILE.time"),
    DK_STR(struct params, 'r', "record", record, NULL, "write TEXT to FILE.args when all went well"),
    DK_PATH(struct params, 'o', "stdout", out, NULL,
            "write the command's standard output to FILE, whole or not at all"),
    DK_FLAG(struct params, 0, "spread", spread,
            "where DK_DEVICES names several cards, run the command on each, for a shard, and join the files"),
    DK_END
};

static volatile sig_atomic_t child[MAX_CARDS];

/* What stops this process stops the commands; they clean up. */
static void forward(int sig)
{
    for (size_t i = 0; i < MAX_CARDS; i++)
        if (child[i] > 0)
            kill((pid_t)child[i], sig);
}

static void catch_signals(void)
{
    static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction sa = { .sa_handler = forward, .sa_flags = SA_RESTART };

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
        sigaction(sigs[i], &sa, NULL);
}

/* card: of the command; NULL: as it is. */
static pid_t start(char **command, const char *out, const char *card)
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
    if (card && setenv("DK_DEVICES", card, 1) != 0)
        _exit(126);
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

/* --- one command -------------------------------------------------------------- */
/* Until all n have ended: the status of the first that failed, else 0; the others
 * are then stopped.  ru: the largest. */
static int wait_all(size_t n, int *status, struct rusage *ru, dk_err *err)
{
    size_t left = n;

    *status = 0;
    *ru = (struct rusage){0};
    while (left) {
        struct rusage own;
        int st;
        const pid_t pid = wait4(-1, &st, 0, &own);

        if (pid < 0 && errno != EINTR)
            return dk_fail_errno(err, "cannot wait for the command");
        for (size_t i = 0; pid > 0 && i < n; i++)
            if (child[i] == pid) {
                child[i] = 0;
                left--;
                ru->ru_maxrss = own.ru_maxrss > ru->ru_maxrss ? own.ru_maxrss : ru->ru_maxrss;
                if (st != 0 && *status == 0) {
                    *status = st;
                    forward(SIGTERM);
                }
            }
    }
    return 0;
}

/* The command, and *status with which it ended. */
static int run_one(char **command, const char *out, const char *card, int *status, struct rusage *ru, dk_err *err)
{
    const pid_t pid = start(command, out, card);

    if (pid < 0)
        return dk_fail_errno(err, "cannot start %s", command[0]);
    child[0] = pid;
    return wait_all(1, status, ru, err);
}

/* --- on several cards ------------------------------------------------------------ */
struct spread { size_t n; char *card[MAX_CARDS], *file[MAX_CARDS]; };

static int cards(struct spread *s, dk_err *err)
{
    const char *list = getenv("DK_DEVICES");

    for (size_t len; list && *list; list += len + (list[len] == ',')) {
        len = strcspn(list, ",");
        if (len == 0 || strspn(list, "0123456789") < len || s->n == MAX_CARDS)
            return dk_fail(err, DK_EUSAGE, "DK_DEVICES=%.60s is no list of cards, such as 0,1", getenv("DK_DEVICES"));
        s->card[s->n++] = dk_xstrndup(list, len);
    }
    return 0;
}

/* Of a stage that has one: by its result's name, so that stages beside each other share them out. */
static const char *card_of(const struct spread *s, const char *target)
{
    uint32_t h = 2166136261u;

    for (const char *c = target; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    return s->n > 1 ? s->card[h / 65536 % s->n] : NULL;
}

/* web.act.h5: web-00000-of-00002.act.h5 */
static char *part_name(const char *file, size_t i, size_t n)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file, *dot = strchr(name, '.');
    const size_t stem = dot && dot != name ? (size_t)(dot - file) : strlen(file);

    return dk_xasprintf("%.*s-%05zu-of-%05zu%s", (int)stem, file, i, n, file + stem);
}

/* TOOL --shard I/N ..., with the part's name where the file's stood. */
static pid_t start_part(const struct spread *s, size_t i, const char *target, char **command, size_t n_args)
{
    char **own = dk_xcalloc(n_args + 3, sizeof(char *));
    char *shard = dk_xasprintf("--shard=%zu/%zu", i, s->n);
    pid_t pid;

    own[0] = command[0];
    own[1] = shard;
    for (size_t k = 1; k < n_args; k++)
        own[k + 1] = strcmp(command[k], target) == 0 ? s->file[i] : command[k];
    pid = start(own, NULL, s->card[i]);
    dk_free(own);
    dk_free(shard);
    return pid;
}

static int join(const struct spread *s, const char *target, const char *tool, int *status, dk_err *err)
{
    const char *slash = strrchr(tool, '/');
    char *merge = slash ? dk_xasprintf("%.*s/dk-merge", (int)(slash - tool), tool) : dk_xstrdup("dk-merge");
    char **command = dk_xcalloc(s->n + 4, sizeof(char *)), option[] = "-o", *copy = dk_xstrdup(target);
    struct rusage ru;
    int rc;

    command[0] = merge;
    command[1] = option;
    command[2] = copy;
    for (size_t i = 0; i < s->n; i++)
        command[3 + i] = s->file[i];
    rc = run_one(command, NULL, NULL, status, &ru, err);
    dk_free(command);
    dk_free(merge);
    dk_free(copy);
    return rc;
}

static int run_parts(struct spread *s, const char *target, char **command, size_t n_args, int *status, struct rusage *ru,
                     dk_err *err)
{
    size_t started = 0;
    int rc = 0;

    for (size_t i = 0; i < s->n; i++)
        s->file[i] = part_name(target, i, s->n);
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const pid_t pid = start_part(s, i, target, command, n_args);

        if (pid < 0) {
            rc = dk_fail_errno(err, "cannot start %s", command[0]);
            forward(SIGTERM);
        } else
            child[started++] = pid;
    }
    if (wait_all(started, status, ru, rc == 0 ? err : NULL) < 0 && rc == 0)
        rc = err->code;
    if (rc == 0 && *status == 0)
        rc = join(s, target, command[0], status, err);
    for (size_t i = 0; i < s->n; i++)
        unlink(s->file[i]);
    return rc;
}

static void spread_free(struct spread *s)
{
    for (size_t i = 0; i < s->n; i++) {
        dk_free(s->card[i]);
        dk_free(s->file[i]);
    }
}

/* --stdout goes to a temporary name first. */
static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    const struct params *p = vp;
    const char *target = args[0];
    struct spread s = {0};
    dk_outfile *o = NULL;
    const double t0 = dk_now();
    struct rusage ru = {0};
    int status = 0, rc = 0;

    (void)ctx;
    if (!p->stage || strpbrk(p->stage, "\"\\\n"))
        return dk_fail(err, DK_EUSAGE, "--stage needs a name without quotes");
    if (p->spread && p->out)
        return dk_fail(err, DK_EUSAGE, "--spread and --stdout do not go together");
    rc = cards(&s, err);
    if (rc == 0 && p->out)
        rc = dk_outfile_new(&o, p->out, err);
    if (rc == 0) {
        catch_signals();
        rc = p->spread && s.n > 1 ? run_parts(&s, target, args + 1, (size_t)n - 1, &status, &ru, err)
            : run_one(args + 1, o ? dk_outfile_temp(o) : NULL, card_of(&s, target), &status, &ru, err);
    }
    if (rc == 0 && status != 0)
        rc = failed(p, args + 1, status, err);
    if (rc == 0 && o)
        rc = dk_outfile_commit(&o, err);
    if (rc == 0)
        rc = notes(p, target, dk_now() - t0, &ru, err);
    dk_outfile_abandon(&o);
    spread_free(&s);
    return rc;
}

const dk_tool dk_this_tool = {
    .name = "dk-run", .purpose = "run one stage of a pipeline and note its parameters, time and memory",
    .algo = 1, .usage = "[options] FILE COMMAND [ARGUMENT...]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 2, .max_args = -1, .runs_others = true,
    .run = run,
};
