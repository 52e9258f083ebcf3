/* From text files to token rows: which documents are kept, where they are cut,
 * which get a BOS. */
#ifndef DK_TEXT_CORPUS_H
#define DK_TEXT_CORPUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/textfile.h"
#include "io/tokfile.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct dk_corpus_rules {
    dk_doc_kind kind;
    const char *column;         /* NULL: "text", or "messages" */
    const char *name;           /* of the data set; NULL: after its files */
    size_t max_docs;            /* keep at most so many; 0: all */
    size_t max_tokens;          /* cut documents there; 0: nowhere */
    size_t min_tokens;          /* drop shorter ones */
    /* > 0: all documents get the same length n.  Blank texts are passed over,
     * 10 n characters are looked at, and of texts with n ids or more the first
     * n are kept.  Chats: their first two messages, question and answer; the
     * question's ids and n more are kept, if the question has 512 or fewer. */
    size_t fixed_tokens;
    bool no_special;            /* special tokens in documents are ordinary text */
    /* Texts as the reference toolkit has them: encoded and cut, decoded with their
     * special tokens, and encoded again; whether they then get the tokens around a
     * text the first of them decides for all. */
    bool roundtrip;
    const uint32_t (*replace)[2];   /* [n_replace] an id, and the id that takes its place */
    size_t n_replace;
    const dk_chat_rules *chat;  /* how chats are rendered; or NULL */
} dk_corpus_rules;

typedef struct dk_corpus dk_corpus;

/* t is used until close.  A text gets the tokens that the model puts around
 * one unless the BOS already occurs in it, a chat unless it begins with it. */
int dk_corpus_open(dk_corpus **out, dk_tokenizer *t, const dk_corpus_rules *rules, dk_err *err);
void dk_corpus_close(dk_corpus **c);

/* Reads one file to its end, or until max_docs are kept; "-": standard input. */
int dk_corpus_add(dk_corpus *c, const char *path, dk_err *err);
/* The same in steps, for another order of rows (text/shuffle.h): open a file, name
 * it, hand over its documents, count what was mended. */
int dk_corpus_file(dk_corpus *c, dk_textfile **f, const char *path, dk_err *err);
void dk_corpus_name(dk_corpus *c, const char *path);
int dk_corpus_take(dk_corpus *c, const dk_textfile *f, const dk_doc *d, dk_err *err);
void dk_corpus_replaced(dk_corpus *c, const dk_textfile *f);
bool dk_corpus_full(const dk_corpus *c);

/* Completes and hands out what was collected (borrowed until close) and warns
 * of invalid UTF-8.  DK_EDATA if there was nothing, or nothing long enough. */
int dk_corpus_finish(dk_corpus *c, const dk_tokens **out, dk_err *err);

#endif
