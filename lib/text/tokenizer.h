/* Tokenizers: text to ids and back, as the model's makers do it.
 *
 * Supported: BPE of bytes and, as SentencePiece has it, of characters, with the
 * steps of tokspec.h around it, from a GGUF file, a tokenizer.json, a
 * tekken.json, or a directory with one.  Anything else that such a file may ask
 * for is refused by name: nothing is guessed.  A GGUF is read by its own
 * metadata even where a tokenizer.json lies beside it. */
#ifndef DK_TEXT_TOKENIZER_H
#define DK_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/json.h"
#include "text/bpe.h"
#include "text/tokspec.h"

typedef struct dk_tokenizer dk_tokenizer;

/* Ids are DK_NO_ID where the model has no such token. */
typedef struct dk_tokenizer_info {
    size_t n_vocab;                 /* every id is below */
    uint32_t bos, eos, pad, unk;
    uint32_t prefix, suffix;        /* what DK_ENCODE_WRAP puts around a text */
    const char *chat_template;      /* NULL: none */
    const char *template_from;      /* the file it stands in, or NULL */
    char sha256[65];                /* of vocabulary, merges, added tokens, normalizers and */
                                    /* pre-tokenizers: the same from GGUF and tokenizer.json */
    char template_sha256[65];       /* "" without template */
} dk_tokenizer_info;

enum {
    DK_ENCODE_WRAP = 1,             /* add the tokens that the model wants around a text */
    DK_ENCODE_NO_SPECIAL = 2        /* the text of a special token is ordinary text */
};

/* DK_EIO, DK_EFORMAT; messages name the path. */
int dk_tokenizer_open(dk_tokenizer **out, const char *path, dk_err *err);
int dk_tokenizer_build(dk_tokenizer **out, const dk_tokenizer_spec *spec, dk_err *err);
void dk_tokenizer_close(dk_tokenizer **t);

/* Borrowed, valid while t is open. */
const dk_tokenizer_info *dk_tokenizer_about(const dk_tokenizer *t);

/* Appends the ids of s.  Invalid UTF-8 is read as U+FFFD.  With at (may be
 * NULL) also the byte in s where each token starts: then s must be valid and
 * shorter than 4 GiB; tokens that wrap the text start at 0 and n.  Uses
 * scratch space of t: one thread at a time. */
int dk_tokenizer_encode(dk_tokenizer *t, const char *s, size_t n, unsigned how, dk_ids *out,
                        dk_ids *at, dk_err *err);

/* Special tokens that start inside one of the ascending ranges are ordinary
 * text: what people wrote between the parts of a template. */
typedef struct dk_range {
    size_t from, to;
} dk_range;
int dk_tokenizer_encode_guarded(dk_tokenizer *t, const char *s, size_t n, unsigned how,
                                const dk_range *plain, size_t n_plain, dk_ids *out, dk_ids *at,
                                dk_err *err);

/* Appends the text of ids; what is not UTF-8 becomes U+FFFD.  Ids without
 * token are passed over. */
void dk_tokenizer_decode(const dk_tokenizer *t, const uint32_t *id, size_t n, bool skip_special,
                         dk_buf *out);

/* The decoded text of ids as a member of a JSON object. */
void dk_tokenizer_put(const dk_tokenizer *t, dk_jw *w, const char *key, const uint32_t *id, size_t n);

/* DK_EDATA unless sha256 is the tokenizer's: the ids of the file at path would
 * mean other texts.  model: what the message calls the tokenizer's model. */
int dk_tokenizer_check(const dk_tokenizer *t, const char *sha256, const char *path, const char *model,
                       dk_err *err);

bool dk_tokenizer_is_special(const dk_tokenizer *t, uint32_t id);
/* Spelling in the vocabulary; bytes it stands for (perhaps part of a
 * character); id of a spelling.  Borrowed; {NULL, 0} and DK_NO_ID for none. */
dk_span dk_tokenizer_piece(const dk_tokenizer *t, uint32_t id);
dk_span dk_tokenizer_bytes(const dk_tokenizer *t, uint32_t id);
uint32_t dk_tokenizer_find(const dk_tokenizer *t, const char *piece);

#endif
