/* A set of ids below a bound that is emptied at no cost: those in it carry the mark of
 * now.  A thread needs one of its own. */
#ifndef DK_NUM_IDSET_H
#define DK_NUM_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct dk_idset {
    uint32_t *mark, now;        /* [n], zeroed to begin with; the caller's */
    size_t n;
} dk_idset;

static inline void dk_idset_clear(dk_idset *s)
{
    if (++s->now == 0) {        /* went round: no old mark may count */
        memset(s->mark, 0, s->n * sizeof *s->mark);
        s->now = 1;
    }
}

/* False: it is there, or not below n.  After dk_idset_clear. */
static inline bool dk_idset_add(dk_idset *s, uint32_t id)
{
    if (id >= s->n || s->mark[id] == s->now)
        return false;
    s->mark[id] = s->now;
    return true;
}

#endif
