/* Messages on stderr: one event a line, the tool's name first.  The default
 * level shows warnings; -q hides them, -v adds stages and timings, -vv shapes
 * and choices.  Errors are not logged here: see base/err.h. */
#ifndef DK_BASE_LOG_H
#define DK_BASE_LOG_H

enum { DK_WARN = 0, DK_INFO = 1, DK_DEBUG = 2 };

void dk_log_setup(const char *tool, int level);     /* level -1: nothing */
void dk_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
double dk_now(void);                                /* monotonic seconds */

/* Progress: one redrawn line on a terminal after a second, else a line a
 * minute, never on stdout.  total 0 means unknown. */
typedef struct dk_progress {
    const char *what, *unit;
    double total, done, t0, last;
    int shown;
} dk_progress;

void dk_progress_begin(dk_progress *p, const char *what, const char *unit, double total);
void dk_progress_add(dk_progress *p, double n);
void dk_progress_end(dk_progress *p);               /* at -v: the rate and wall time */

#endif
