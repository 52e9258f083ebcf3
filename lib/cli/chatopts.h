/* The options that say how chats are rendered, once for all tools. */
#ifndef DK_CLI_CHATOPTS_H
#define DK_CLI_CHATOPTS_H

#include "cli/tool.h"

typedef struct dk_chat_opts {
    const char *file, *date;
    dk_strs args;
    bool no_thinking;
} dk_chat_opts;

/* The member of T must be called chat; dk_chat_rules_make takes its members. */
#define DK_CHAT_OPTS(T) \
    DK_PATH(T, 0, "template", chat.file, NULL, "render chats by the Jinja template in FILE, not by the model's own"), \
    DK_LIST(T, 0, "template-arg", chat.args, NULL, "a variable for the template, NAME=VALUE (repeat the option)"), \
    DK_FLAG(T, 0, "no-thinking", chat.no_thinking, "tell the template enable_thinking=false"), \
    DK_STR(T, 0, "template-date", chat.date, NULL, "the date that templates see: YYYY-MM-DD or today; default 2024-07-26")

#define DK_CHAT_RULES(o, rules, err) \
    dk_chat_rules_make(rules, (o)->file, (const char *const *)(o)->args.v, (o)->args.n, (o)->no_thinking, (o)->date, err)

#endif
