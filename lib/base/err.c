/* Error records. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dk_fail(dk_err *err, int code, const char *fmt, ...)
{
    if (err && err->code == 0) {
        va_list ap;

        err->code = code;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

int dk_fail_errno(dk_err *err, const char *fmt, ...)
{
    const int saved = errno;

    if (err && err->code == 0) {
        va_list ap;
        size_t n;

        err->code = DK_EIO;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        n = strlen(err->msg);
        snprintf(err->msg + n, sizeof err->msg - n, ": %s", strerror(saved));
    }
    return DK_EIO;
}

int dk_err_prefix(dk_err *err, const char *fmt, ...)
{
    char old[sizeof err->msg];
    va_list ap;
    size_t n;

    if (!err || err->code == 0)
        return err ? err->code : DK_EIO;
    memcpy(old, err->msg, sizeof old);
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %.*s", (int)(sizeof err->msg - n - 3), old);
    return err->code;
}

_Noreturn void dk_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "dk: broken invariant: %s (%s:%d); please report this\n", cond, file, line);
    abort();
}
