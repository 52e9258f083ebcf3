/* What a tokenizer is made of, whichever file says so.  GGUF metadata and
 * tokenizer.json are two producers; dk_tokenizer_build is the one consumer. */
#ifndef DK_TEXT_TOKSPEC_H
#define DK_TEXT_TOKSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/pretok.h"

#define DK_NO_ID UINT32_MAX

/* Borrowed text, not zero-terminated. */
typedef struct dk_span {
    const char *s;
    size_t n;
} dk_span;

typedef struct dk_added {
    uint32_t id;
    dk_span text;
    bool special;
    bool single_word;       /* not beside a word character */
    bool lstrip, rstrip;    /* takes the white space beside it along */
    bool normalized;        /* searched after the others, in what they leave */
    bool outside;           /* no token of the BPE model: found here or not at all */
} dk_added;

/* The arrays are owned (dk_free), the texts borrowed from the source. */
typedef struct dk_tokenizer_spec {
    size_t n_vocab;             /* ids are 0 .. n_vocab - 1 */
    dk_span *token;             /* [n_vocab] spellings; s NULL: no such id */
    size_t n_merges;
    dk_span (*merge)[2];        /* in order of rank */
    size_t n_added;
    dk_added *added;
    dk_pretok pretok;
    bool nfc;                   /* text between raw added tokens is brought to NFC */
    bool ignore_merges;         /* a whole piece that is a token needs no merges */
    bool fuse_unk;
    uint32_t model_unk;         /* stands for a byte without symbol; DK_NO_ID: it vanishes */
    uint32_t bos, eos, pad, unk;        /* DK_NO_ID: none */
    uint32_t prefix, suffix;            /* what encoding "with special tokens" adds */
    char *chat_template;        /* owned; NULL: none */
    char *template_from;        /* the file it stands in; owned */
} dk_tokenizer_spec;

/* All ids DK_NO_ID, the rest empty. */
void dk_tokenizer_spec_init(dk_tokenizer_spec *spec);
void dk_tokenizer_spec_free(dk_tokenizer_spec *spec);

#endif
