/* One rule of a schema file: {type: int, min: 1, max: 9, null: true, choices:
 * [...], later: [...], fixed: "why"}, and whether a value obeys it. */
#ifndef DK_CLI_SCHEMA_H
#define DK_CLI_SCHEMA_H

#include <stdbool.h>

#include "io/yaml.h"

bool dk_schema_is(const dk_yaml *rule, const char *type);
/* The text of one field of the rule; NULL if it has none. */
const char *dk_schema_text(const dk_yaml *rule, const char *name);
/* 0, or DK_EUSAGE with a sentence that begins with what. */
int dk_schema_check(const dk_yaml *rule, const dk_yaml *v, const char *what, dk_err *err);

#endif
