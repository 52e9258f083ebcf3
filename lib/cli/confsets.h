/* Which data sets a configuration reads, in which order, by which names. */
#ifndef DK_CLI_CONFSETS_H
#define DK_CLI_CONFSETS_H

#include "cli/registry.h"

/* The file in dataset/ that ENTRY of the list for GROUP ("chat", "pretraining")
 * means: one of that name, or the group's variant ("es").  *name is NULL, after
 * a warning, for a variant that only another group has. */
int dk_conf_set_named(char **name, const dk_conf_places *at, const char *group, const char *entry,
                      dk_err *err);

/* "group name split id subset column" in columns, one line for each split:
 * chats, then pretraining texts, then the organism's own, as far as the one
 * method that is loaded (several: all) reads them. */
int dk_conf_records(const dk_conf_places *at, const dk_conf *c, dk_buf *out, dk_err *err);

#endif
