/* Is every configuration in order?  Nothing but the files is looked at. */
#ifndef DK_CLI_CONFCHECK_H
#define DK_CLI_CONFCHECK_H

#include "cli/registry.h"

typedef struct dk_confcheck {
    dk_buf problems;        /* one line each */
    dk_buf notes;           /* known gaps, one line each */
    size_t n_problems, n_valid;
} dk_confcheck;

/* Reads every file of every group, resolves each organism once, and looks at
 * what files say of each other: names, models, nulls, paths.  Fails only when
 * a folder cannot be listed. */
int dk_conf_check(dk_confcheck *out, const dk_conf_places *at, dk_err *err);
void dk_confcheck_free(dk_confcheck *k);

#endif
