/* The smallest TAP: tap(cond, name...) prints "ok N - name", tap_end() the
 * plan, and its value is main's exit status. */
#ifndef DK_TESTS_TAP_H
#define DK_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_n, tap_bad;

__attribute__((format(printf, 2, 3), unused))
static bool tap(bool good, const char *fmt, ...)
{
    va_list ap;

    tap_n++;
    tap_bad += !good;
    printf("%s %d - ", good ? "ok" : "not ok", tap_n);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    return good;
}

/* Something that cannot be checked here, and why. */
__attribute__((unused))
static void tap_skip(const char *name, const char *why)
{
    printf("ok %d - %s # SKIP %s\n", ++tap_n, name, why);
}

/* A remark under the last line. */
__attribute__((format(printf, 1, 2), unused))
static void tap_note(const char *fmt, ...)
{
    va_list ap;

    fputs("# ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static int tap_end(void)
{
    printf("1..%d\n", tap_n);
    return tap_bad || tap_n == 0;
}

#endif
