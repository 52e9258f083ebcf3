/* A child process: its outcome travels through a pipe, the error record first,
 * then the text. */
#include "base/child.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn static void child(int fd, int (*work)(void *arg, dk_buf *text, dk_err *err), void *arg)
{
    dk_buf text = {0};
    dk_err err = {0};
    FILE *to = fdopen(fd, "w");
    bool good;

    if (work(arg, &text, &err) == 0)
        err.code = 0;
    good = to && fwrite(&err, sizeof err, 1, to) == 1 &&
           (text.n == 0 || fwrite(text.s, 1, text.n, to) == text.n) && fflush(to) == 0;
    _exit(good ? 0 : 1);
}

static void take(FILE *from, dk_err *outcome, bool *whole)
{
    char block[1 << 14];
    size_t n;

    *whole = fread(outcome, sizeof *outcome, 1, from) == 1;
    while (*whole && (n = fread(block, 1, sizeof block, from)) > 0)
        fwrite(block, 1, n, stdout);
    outcome->msg[sizeof outcome->msg - 1] = 0;
}

int dk_in_child(int (*work)(void *arg, dk_buf *text, dk_err *err), void *arg, const char *what,
                dk_err *err)
{
    dk_err outcome = {0};
    bool whole = false;
    int fd[2], status = 0;
    FILE *from;
    pid_t pid;

    if (fflush(stdout) != 0)
        return dk_fail_errno(err, "cannot write standard output");
    if (pipe(fd) < 0 || (pid = fork()) < 0)
        return dk_fail_errno(err, "cannot start a process to read %s", what);
    if (pid == 0) {
        close(fd[0]);
        child(fd[1], work, arg);
    }
    close(fd[1]);
    if ((from = fdopen(fd[0], "r"))) {
        take(from, &outcome, &whole);
        fclose(from);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!whole || status != 0)
        return dk_fail(err, DK_EFORMAT, "%s: reading it ended in a crash (%s); the file is damaged "
                       "or hostile", what,
                       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "early exit");
    return outcome.code ? dk_fail(err, outcome.code, "%s", outcome.msg) : 0;
}
