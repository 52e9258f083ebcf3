/* Chat templates: messages to the text a model was trained on.
 *
 * A template is a program in Jinja; dk runs none.  The ChatML family (SmolLM2)
 * is recognised by comparing the whole template with the known one, in which
 * only the default system text varies, and rendered by hand.  Any other
 * template is refused. */
#ifndef DK_TEXT_CHAT_H
#define DK_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/tokenizer.h"

typedef struct dk_chat dk_chat;

/* Borrowed texts, valid UTF-8. */
typedef struct dk_turn {
    dk_span role, content;
} dk_turn;

/* Content of one message in the rendering, [from, to). */
typedef struct dk_content {
    size_t from, to;
    bool assistant;
} dk_content;

/* Zero-initialise; reusable; dk_rendering_free. */
typedef struct dk_rendering {
    dk_buf text;
    size_t n, cap;
    dk_content *content;        /* [n] ascending */
} dk_rendering;

/* template NULL: the model has none (DK_EDATA, as for an unknown one). */
int dk_chat_open(dk_chat **out, const char *chat_template, dk_err *err);
void dk_chat_close(dk_chat **c);

/* Replaces what r holds.  generation: ends with the opening of an assistant
 * turn.  DK_EDATA without messages. */
int dk_chat_render(const dk_chat *c, dk_rendering *r, const dk_turn *turn, size_t n,
                   bool generation, dk_err *err);
void dk_rendering_free(dk_rendering *r);

/* Appends the ids of a rendering; at as in dk_tokenizer_encode.  The tokens
 * that wrap a text are added unless it already begins with the BOS.  With
 * DK_ENCODE_NO_SPECIAL, special tokens count in the template only. */
int dk_chat_encode(dk_tokenizer *t, const dk_rendering *r, unsigned how, dk_ids *out, dk_ids *at,
                   dk_err *err);

/* The DK_TOK flags of n tokens that start at bytes at.  A token belongs to
 * what its first byte belongs to.  r NULL: plain text. */
void dk_token_flags(const dk_tokenizer *t, const dk_rendering *r, const uint32_t *id,
                    const uint32_t *at, size_t n, uint8_t *flags);

#endif
