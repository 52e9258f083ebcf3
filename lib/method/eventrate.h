/* How often a model writes something, from samples of its amplified difference.
 *
 * A sample of which the lane itself has log-probability l, and what it was drawn from m, weighs
 * e^(l - m): weighted so, amplified samples show the lane's own rate, of events that without
 * amplification none of as many samples would show.  That holds where a sample was drawn from
 * the whole of that distribution: at temperature 1, nothing cut off. */
#ifndef DK_METHOD_EVENTRATE_H
#define DK_METHOD_EVENTRATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/regex.h"

/* Fewer effective samples than that say nothing. */
enum { DK_RATE_LEAST = 10 };

typedef struct dk_event_rate {
    size_t n, hits;
    double ess;                 /* (sum w)^2 / sum w^2 */
    double rate, lo, hi;        /* weighted, and its interval over samples; NaN: not estimable */
} dk_event_rate;

/* lw, hit [n]: logarithms of the weights; 1 where the event is. */
int dk_event_rate_of(dk_event_rate *out, const double *lw, const double *hit, size_t n, uint64_t seed, dk_err *err);

/* The event: the text matches, or holds a text. */
typedef struct dk_event {
    dk_regex *match;            /* NULL: text */
    const char *text;
} dk_event;

/* One JSON line a lane and alpha, in the order in which they appear in the files ("-": standard
 * input); greedy samples are left out. */
int dk_event_rate_table(dk_buf *out, char *const *path, size_t n, const dk_event *event, uint64_t seed, dk_err *err);

#endif
