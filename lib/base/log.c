/* Log lines and the progress line. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *log_tool = "dk";
static int log_level = DK_WARN;

void dk_log_setup(const char *tool, int level)
{
    log_tool = tool;
    log_level = level;
}

void dk_log(int level, const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    if (level > log_level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: %s%s\n", log_tool, level == DK_WARN ? "warning: " : "", line);
}

double dk_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void dk_progress_begin(dk_progress *p, const char *what, const char *unit, double total)
{
    *p = (dk_progress){ .what = what, .unit = unit, .total = total, .t0 = dk_now() };
    p->last = p->t0;
}

static void show(dk_progress *p, double now, const char *end)
{
    const double t = now - p->t0, rate = t > 0 ? p->done / t : 0;

    fprintf(stderr, "%s%s: %s", *end ? "" : "\r", log_tool, p->what);
    if (p->total > 0)
        fprintf(stderr, " %3.0f%%", 100 * p->done / p->total);
    fprintf(stderr, " %.0f %s, %.0f/s", p->done, p->unit, rate);
    if (p->total > 0 && rate > 0 && p->done < p->total)
        fprintf(stderr, ", %.0f s left", (p->total - p->done) / rate);
    fprintf(stderr, "%s", *end ? end : "   ");
    fflush(stderr);
}

void dk_progress_add(dk_progress *p, double n)
{
    const double now = dk_now();
    const int tty = isatty(2);

    p->done += n;
    if (log_level < DK_WARN)
        return;
    if (tty ? (now - p->t0 > 1 && now - p->last > 0.1) : now - p->last > 60) {
        show(p, now, tty ? "" : "\n");
        p->last = now;
        p->shown = tty;
    }
}

void dk_progress_end(dk_progress *p)
{
    const double t = dk_now() - p->t0;

    if (p->shown)
        fputs("\r\033[K", stderr);
    dk_log(DK_INFO, "%s: %.0f %s in %.2f s, %.1f/s", p->what, p->done, p->unit, t,
           t > 0 ? p->done / t : 0);
}
