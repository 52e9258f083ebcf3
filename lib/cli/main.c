/* The one main of all tools. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/outfile.h"
#include "base/thread.h"
#include "cli/tool.h"

/* Descriptors 0 to 2 open (a file must never become "standard error"; what
 * was closed is opened the wrong way round, so that its use still fails),
 * SIGPIPE as inherited from nobody, handlers for left-over files. */
static void init(const char *name)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            abort();
    signal(SIGPIPE, SIG_DFL);
    dk_log_setup(name, DK_WARN);
    dk_outfile_init();
}

static int finish(const char *name, dk_err *err, int rc)
{
    if (rc >= 0 && (ferror(stdout) || fflush(stdout) != 0)) {
        rc = dk_fail_errno(err, "cannot write standard output");
    }
    if (rc >= 0)
        return 0;
    fprintf(stderr, "%s: error: %s\n", name, err->code ? err->msg : "failed for an unknown reason");
    return rc == DK_EUSAGE ? 2 : rc == DK_ECHECK ? 3 : 1;
}

int main(int argc, char **argv)
{
    const dk_tool *tool = &dk_this_tool;
    dk_err err = {0};
    dk_ctx ctx = {0};
    void *params = dk_xcalloc(1, tool->params_size);
    int first = 0, rc;

    init(tool->name);
    rc = dk_opts_parse(tool, argc, argv, &ctx, params, &first, &err);
    if (rc == 0) {
        dk_log_setup(tool->name, ctx.verbosity);
        dk_threads_set((int)ctx.threads);
        rc = tool->run(&ctx, params, argc - first, argv + first, &err);
    }
    rc = finish(tool->name, &err, rc);
    dk_opts_release(tool, params);
    dk_free(params);
    return rc;
}
