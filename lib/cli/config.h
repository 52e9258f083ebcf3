/* -c FILE: a YAML file of "key: value" pairs, nested maps joined with dots.
 * A sequence calls set once per element. */
#ifndef DK_CLI_CONFIG_H
#define DK_CLI_CONFIG_H

#include "base/err.h"

/* set is called in file order; where is "FILE:LINE". */
typedef int dk_config_set(void *arg, const char *key, const char *value, const char *where,
                          dk_err *err);
int dk_config_read(const char *path, dk_config_set *set, void *arg, dk_err *err);

#endif
