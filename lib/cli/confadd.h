/* A minimal organism from the folder of a PEFT adapter. */
#ifndef DK_CLI_CONFADD_H
#define DK_CLI_CONFADD_H

#include "cli/registry.h"

/* Writes DIR/NAME.yaml and hands back its path.  name NULL: the folder's;
 * dir NULL: organism/ of the configurations.  A file that is there stays. */
int dk_conf_add(char **path, const dk_conf_places *at, const char *adapter, const char *name,
                const char *dir, dk_err *err);

#endif
