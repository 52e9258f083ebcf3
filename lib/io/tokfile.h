/* Token files (.tok.h5) and token streams: documents as rows of token ids.
 *
 * The path "-" is a stream on standard input or output.  On input it may also
 * be one of JSON lines, which is told by its first byte: a header with the
 * attributes, one object a document, a trailer with the counts and the content
 * id.  A stream that ends without its trailer was cut, and that is an error. */
#ifndef DK_IO_TOKFILE_H
#define DK_IO_TOKFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/h5.h"

/* Bits of a row's flags. */
enum dk_token_flag {
    DK_TOK_SPECIAL   = 1 << 0,
    DK_TOK_BOS       = 1 << 1,
    DK_TOK_ASSISTANT = 1 << 2,      /* text of an assistant's turn */
    DK_TOK_TEMPLATE  = 1 << 3,      /* written by the chat template */
    DK_TOK_MASKED    = 1 << 4,      /* left out of the loss */
    DK_TOK_PADDING   = 1 << 5,      /* reserved; files with it are refused */
    DK_TOK_USER      = 1 << 6       /* text of a user's turn; not in files of earlier versions */
};

/* All pointers are owned (dk_x*, dk_alloc); zero-initialise, then fill with
 * dk_tokens_add_doc and dk_xstrdup, or dk_tokens_read.  NULL strings are "". */
typedef struct dk_tokens {
    size_t docs, rows;
    uint64_t *id;               /* [docs] stable document number, ascending */
    uint64_t *offset;           /* [docs + 1] first row of each document; last = rows */
    uint32_t *token;            /* [rows] */
    uint32_t *pos;              /* [rows] position as the model saw it, from 0 */
    uint8_t *flags;             /* [rows] */
    char *corpus_name, *corpus_sha256, *split;
    char *format;               /* "text", "chat" */
    char *bos;                  /* "added", "present", "none" */
    uint32_t max_tokens;        /* cut documents at; 0: no limit */
    char *tokenizer_sha256, *template_sha256;
    uint32_t vocab;             /* every token is below */
    char *content_id;           /* set by read */
    char *lineage;              /* set by read: a JSON object for dk_inputs_add_object */
    size_t docs_cap, rows_cap;  /* private */
} dk_tokens;

/* Appends a document; pos becomes 0 .. n - 1; flags NULL: all 0.  n may be 0. */
int dk_tokens_add_doc(dk_tokens *t, uint64_t id, const uint32_t *token, const uint8_t *flags,
                      size_t n, dk_err *err);
/* Ids ascend, offsets fit, tokens are below vocab, the words are known. */
int dk_tokens_check(const dk_tokens *t, const char *path, dk_err *err);
/* The id that a file with these tokens has. */
int dk_tokens_content_id(const dk_tokens *t, char id[DK_CONTENT_ID_LEN], dk_err *err);

int dk_tokens_write(const dk_tokens *t, const char *path, const dk_provenance *prov, dk_err *err);
/* As JSON lines to standard output, which may be a terminal. */
int dk_tokens_write_json(const dk_tokens *t, const dk_provenance *prov, dk_err *err);
int dk_tokens_read(dk_tokens *t, const char *path, dk_err *err);
/* Is standard input, of which nothing was read, JSON lines? */
bool dk_tokens_json_on_stdin(void);
void dk_tokens_free(dk_tokens *t);      /* leaves it zeroed, ready for use */

/* /corpus, /docs and /rows of any kind of file that has rows. */
int dk_tokens_put(dk_h5 *f, const dk_tokens *t, dk_err *err);
int dk_tokens_get(dk_h5 *f, dk_tokens *t, dk_err *err);
/* /corpus alone: what the tokens come from, for files without rows. */
int dk_tokens_put_corpus(dk_h5 *f, const dk_tokens *t, dk_err *err);
int dk_tokens_get_corpus(dk_h5 *f, dk_tokens *t, dk_err *err);

#endif
