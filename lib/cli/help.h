/* What --help, --help=man, --help=bash and --version print, from the table. */
#ifndef DK_CLI_HELP_H
#define DK_CLI_HELP_H

#include "cli/tool.h"

enum dk_help_form { DK_HELP_TEXT, DK_HELP_MAN, DK_HELP_BASH, DK_HELP_PURPOSE, DK_HELP_VERSION };

void dk_help_print(const dk_tool *tool, enum dk_help_form form);
const dk_opt *dk_opts_common(void);

#endif
