/* A client of OpenAI-compatible chat completions.
 *
 * What may pass is tried again after 0.5 s, 1 s, 1.5 s ... or what the server asks
 * for: broken connections, 408, 429, 5xx, and answers that are none.  Replies can
 * be kept in a folder, by the hash of what was asked, and asked for again without
 * a network.  Not thread-safe: one dk_chat a thread. */
#ifndef DK_JUDGE_CLIENT_H
#define DK_JUDGE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct dk_chat dk_chat;

typedef struct dk_chat_plan {
    const char *endpoint;       /* as in http://HOST/v1 */
    const char *model;
    const char *key;            /* NULL: none is sent */
    const char *cache;          /* folder of replies; NULL: none are kept */
    bool offline;               /* of the folder alone */
    int64_t max_tokens, timeout_s, tries;
} dk_chat_plan;

typedef struct dk_chat_question {
    const char *system, *user;
    bool cold;                  /* at temperature 0; else what the server takes */
    int attempt;                /* of the same question: each has its own reply */
} dk_chat_question;

typedef struct dk_chat_reply {
    dk_buf text;                /* may hold anything but is valid UTF-8 */
    bool kept;                  /* it came from the folder */
    bool refused;               /* the server would not answer such a request (4xx) */
    int64_t prompt_tokens, completion_tokens;       /* 0: not told */
} dk_chat_reply;

/* What must hold before anything is asked: DK_EUSAGE. */
int dk_chat_check(const dk_chat_plan *plan, dk_err *err);
int dk_chat_new(dk_chat **out, const dk_chat_plan *plan, dk_err *err);
void dk_chat_free(dk_chat **c);
int dk_chat_ask(dk_chat *c, const dk_chat_question *q, dk_chat_reply *reply, dk_err *err);
void dk_chat_reply_free(dk_chat_reply *r);

/* The key in a file, or without one in the environment; NULL where there is none
 * and the endpoint is this machine. */
int dk_chat_key(char **key, const char *file, const char *endpoint, dk_err *err);

#endif
