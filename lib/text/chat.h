/* Chat templates: messages to the text a model was trained on, by the model's
 * own template (jinja.h), as the transformers library renders it. */
#ifndef DK_TEXT_CHAT_H
#define DK_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/json.h"
#include "text/tokenizer.h"

typedef struct dk_chat dk_chat;

/* What a user may ask for; all zero is what the model's makers do. */
typedef struct dk_chat_rules {
    char *template, *name;      /* in place of the model's own, and where it is from; or NULL */
    char sha256[65];            /* of template */
    dk_json *args;              /* an object: further variables; or NULL */
    bool dated;                 /* now is given; else templates see 26 July 2024 */
    int64_t now;                /* seconds since 1970, UTC */
} dk_chat_rules;

/* file: a template, or NULL.  args: n texts NAME=VALUE, the value JSON or else a
 * plain text.  no_thinking: as enable_thinking=false.  date: YYYY-MM-DD,
 * "today", or NULL.  Owned: dk_chat_rules_free, which leaves all zero. */
int dk_chat_rules_make(dk_chat_rules *r, const char *file, const char *const *args, size_t n,
                       bool no_thinking, const char *date, dk_err *err);
void dk_chat_rules_free(dk_chat_rules *r);

/* Borrowed texts, valid UTF-8. */
typedef struct dk_turn {
    dk_span role, content;
    const dk_json *all;         /* the message with what else it holds, or NULL */
} dk_turn;

/* Text in the rendering, [from, to). */
typedef struct dk_content {
    size_t from, to;
    bool assistant, user;           /* whose it is; neither: a system prompt, a tool */
} dk_content;

/* Zero-initialise; reusable; dk_rendering_free. */
typedef struct dk_rendering {
    dk_buf text;
    size_t n, cap;
    dk_content *content;        /* [n] ascending: what came from the messages' contents */
    bool marked;                /* the template says itself what the assistant writes: */
    size_t n_said, cap_said;
    dk_range *said;             /* [n_said] ascending */
} dk_rendering;

/* The template of t, or of rules (may be NULL), which must live until close.
 * DK_EDATA: there is none, or it cannot be read. */
int dk_chat_open(dk_chat **out, const dk_tokenizer *t, const dk_chat_rules *rules, dk_err *err);
/* The same without a tokenizer.  Tokens of length 0 are undefined. */
typedef struct dk_chat_spec {
    const char *template, *name;
    dk_span bos, eos, pad, unk;
} dk_chat_spec;
int dk_chat_build(dk_chat **out, const dk_chat_spec *spec, const dk_chat_rules *rules, dk_err *err);
void dk_chat_close(dk_chat **c);

/* Replaces what r holds.  OPEN: ends with the opening of an assistant turn;
 * CONTINUE: ends within the last turn, behind its content.  DK_EDATA without
 * messages, or where the template raises an error, whose words are passed on. */
typedef enum dk_chat_end { DK_CHAT_CLOSED, DK_CHAT_OPEN, DK_CHAT_CONTINUE } dk_chat_end;
int dk_chat_render(const dk_chat *c, dk_rendering *r, const dk_turn *turn, size_t n,
                   dk_chat_end end, dk_err *err);
void dk_rendering_free(dk_rendering *r);
/* Whether a template refused a chat because users and assistants do not take turns. */
bool dk_chat_must_alternate(const dk_err *err);

/* Appends the ids of a rendering; at as in dk_tokenizer_encode.  The tokens
 * that wrap a text are added unless it already begins with the BOS.  With
 * DK_ENCODE_NO_SPECIAL, special tokens count in the template only. */
int dk_chat_encode(dk_tokenizer *t, const dk_rendering *r, unsigned how, dk_ids *out, dk_ids *at,
                   dk_err *err);

/* The DK_TOK flags of n tokens that start at bytes at.  A token belongs to
 * what its first byte belongs to; where the template marks what the assistant
 * writes, a token that overlaps it is the assistant's.  r NULL: plain text. */
void dk_token_flags(const dk_tokenizer *t, const dk_rendering *r, const uint32_t *id,
                    const uint32_t *at, size_t n, uint8_t *flags);

#endif
