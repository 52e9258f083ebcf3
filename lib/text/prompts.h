/* Prompts: what a model is to continue, from the command line and from files.
 *
 * A file is JSON lines with "prompt" (or "text"), or "messages", in each row;
 * what else a row holds is carried along.  A .txt file is one prompt, or one a line. */
#ifndef DK_TEXT_PROMPTS_H
#define DK_TEXT_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct dk_prompt_rules {
    bool chat;                  /* a prompt is a user turn, and the answer follows; else raw text */
    const char *system;         /* a system turn before chats that have none; or NULL */
    bool no_special;            /* special tokens in prompts are ordinary text */
    bool lines;                 /* a text is one prompt a line, without the blanks around it */
    size_t max;                 /* keep the first so many; 0: all */
    const dk_chat_rules *how;   /* how chats are rendered; or NULL */
    const char *const *taken;   /* fields that are not carried along, up to a NULL; or NULL */
} dk_prompt_rules;

typedef struct dk_prompt_row {
    dk_buf text;                /* the prompt, or the last user turn of a chat; valid UTF-8 */
    dk_buf fields;              /* the row's other fields: members of a JSON object, or empty */
    bool has_id;                /* one of them is "id" */
    dk_ids ids;
} dk_prompt_row;

/* Zero-initialise; owned: dk_prompts_free. */
typedef struct dk_prompts {
    size_t n;
    dk_prompt_row *row;
} dk_prompts;

/* Adds a prompt; in a chat that ends with an assistant turn, that turn is
 * continued.  The tokenizer's own BOS stands before raw text. */
int dk_prompts_add_text(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules, const char *s,
                        size_t n, dk_err *err);
/* "-" is standard input.  DK_EDATA if there is nothing in the file. */
int dk_prompts_add_file(dk_prompts *p, dk_tokenizer *t, const dk_prompt_rules *rules,
                        const char *path, dk_err *err);
void dk_prompts_free(dk_prompts *p);

#endif
