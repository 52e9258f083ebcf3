/* dk: the front.  `dk VERB ...` becomes dk-VERB, from the folder of this
 * program or else from PATH; nothing about the verbs is known here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/suggest.h"
#include "cli/tool.h"

struct params { char none; };

static const dk_opt opts[] = { DK_END };

static const char *own_folder(void)
{
    static char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    path[n > 0 ? n : 0] = 0;
    if (strrchr(path, '/'))
        *strrchr(path, '/') = 0;
    return path;
}

static int is_verb(const struct dirent *d) { return strncmp(d->d_name, "dk-", 3) == 0; }

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Calls visit for each verb beside this program. */
static void each_verb(void (*visit)(void *arg, const char *path, const char *verb), void *arg)
{
    struct dirent **list = NULL;
    const int n = scandir(own_folder(), &list, is_verb, by_name);

    for (int i = 0; i < n; i++) {
        char *path = dk_xasprintf("%s/%s", own_folder(), list[i]->d_name);

        if (access(path, X_OK) == 0)
            visit(arg, path, list[i]->d_name + 3);
        dk_free(path);
        free(list[i]);
    }
    free(list);
}

/* The tool itself knows what it is for. */
static void print_verb(void *arg, const char *path, const char *verb)
{
    char line[256] = "";
    ssize_t n = 0;
    int fds[2];
    pid_t pid;

    (void)arg;
    fflush(stdout);
    if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
        return;
    if (pid == 0) {
        dup2(fds[1], 1);
        execl(path, path, "--help=purpose", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    n = read(fds[0], line, sizeof line - 1);
    line[n > 0 ? n : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    close(fds[0]);
    waitpid(pid, NULL, 0);
    printf("  %-14s %s\n", verb, line);
}

static void try_verb(void *arg, const char *path, const char *verb)
{
    (void)path;
    dk_suggest_try(arg, verb);
}

static int list(void)
{
    each_verb(print_verb, NULL);
    return 0;
}

static int become(const char *verb, char **args, dk_err *err)
{
    char *name = dk_xasprintf("dk-%s", verb), *path = dk_xasprintf("%s/%s", own_folder(), name);
    dk_suggest s;
    char buf[192];
    int rc;

    args[0] = name;
    execv(path, args);
    if (errno == ENOENT && !strchr(verb, '/'))
        execvp(name, args);
    if (errno != ENOENT)
        rc = dk_fail_errno(err, "cannot run %s", name);
    else {
        dk_suggest_begin(&s, verb);
        each_verb(try_verb, &s);
        rc = dk_fail(err, DK_EUSAGE, "there is no verb '%s'%s (dk list shows them)", verb,
                     dk_suggest_text(&s, buf, sizeof buf));
    }
    dk_free(name);
    dk_free(path);
    return rc;
}

static int run(dk_ctx *ctx, const void *vp, int n, char **args, dk_err *err)
{
    char help[] = "--help", *ask[] = { NULL, help, NULL };

    (void)ctx;
    (void)vp;
    if (strcmp(args[0], "list") == 0 && n == 1)
        return list();
    if (strcmp(args[0], "help") == 0 && n == 2)
        return become(args[1], ask, err);
    if (strcmp(args[0], "help") == 0) {
        printf("usage: dk VERB [options] [arguments]\n\nverbs:\n");
        list();
        printf("\n'dk help VERB' or 'man dk-VERB' says more about one of them.\n");
        return 0;
    }
    return become(args[0], args, err);
}

const dk_tool dk_this_tool = {
    .name = "dk", .purpose = "compare a language model with its finetune: one verb a tool (dk list)",
    .algo = 1, .usage = "VERB [options] [arguments] | list | help [VERB]", .opts = opts,
    .params_size = sizeof(struct params), .min_args = 1, .max_args = -1, .runs_others = true,
    .run = run,
};
