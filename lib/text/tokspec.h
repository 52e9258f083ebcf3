/* What a tokenizer is made of, whichever file says so.  GGUF metadata,
 * tokenizer.json and tekken.json are the producers; dk_tokenizer_build is the
 * one consumer. */
#ifndef DK_TEXT_TOKSPEC_H
#define DK_TEXT_TOKSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
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

enum { DK_MAX_STEPS = 16 };     /* of each kind; published tokenizers have four at most */

/* Normalizers: what happens to the text between raw added tokens. */
typedef enum dk_normalizer_kind {
    DK_NORMALIZE_NFC, DK_NORMALIZE_NFD, DK_NORMALIZE_NFKC, DK_NORMALIZE_NFKD,
    DK_NORMALIZE_LOWER,
    DK_NORMALIZE_STRIP,          /* white space at the ends */
    DK_NORMALIZE_PREPEND,        /* to before the text, unless that is empty */
    DK_NORMALIZE_REPLACE         /* to in place of each from */
} dk_normalizer_kind;

typedef struct dk_norm_step {
    dk_normalizer_kind kind;
    bool left, right;       /* STRIP */
    bool regex;             /* REPLACE: from is an expression */
    dk_span from, to;
} dk_norm_step;

/* Pre-tokenizers: where what they leave is cut. */
typedef enum dk_cut_kind {
    DK_CUT_SCAN,            /* a known expression, by its own scanner */
    DK_CUT_REGEX, DK_CUT_TEXT,
    DK_CUT_DIGITS,          /* at numerals: each, or runs of them */
    DK_CUT_SPACES,          /* at white space, which goes */
    DK_CUT_METASPACE,
    DK_CUT_PREFIX           /* a space before each piece that begins with none */
} dk_cut_kind;

typedef enum dk_cut_behavior {
    DK_CUT_ISOLATED, DK_CUT_REMOVED, DK_CUT_WITH_PREVIOUS, DK_CUT_WITH_NEXT, DK_CUT_CONTIGUOUS
} dk_cut_behavior;

typedef enum dk_scheme { DK_SCHEME_ALWAYS, DK_SCHEME_FIRST, DK_SCHEME_NEVER } dk_scheme;

typedef struct dk_cut_step {
    dk_cut_kind kind;
    dk_pretok scan;             /* SCAN */
    dk_cut_behavior behavior;   /* REGEX, TEXT, DIGITS */
    bool invert;                /* REGEX, TEXT */
    dk_span text;               /* their pattern; METASPACE: what stands for a space */
    dk_scheme scheme;           /* METASPACE: before which pieces it is put */
    bool split;                 /* METASPACE: cuts too */
} dk_cut_step;

/* Decoders, from the spellings of tokens to a text. */
typedef enum dk_back_kind {
    DK_BACK_BYTE_LEVEL,     /* symbols of bytes */
    DK_BACK_FALLBACK,       /* runs of <0xHH> */
    DK_BACK_FUSE,
    DK_BACK_REPLACE,        /* as in normalizers */
    DK_BACK_STRIP,          /* up to start and stop characters from at the ends of a token */
    DK_BACK_METASPACE       /* from becomes a space; none in the first token, unless never put there */
} dk_back_kind;

typedef struct dk_back_step {
    dk_back_kind kind;
    dk_span from, to;
    size_t start, stop;
    bool regex, never;
} dk_back_step;

/* The arrays are owned (dk_free), the texts borrowed from the source. */
typedef struct dk_tokenizer_spec {
    size_t n_vocab;             /* ids are 0 .. n_vocab - 1 */
    dk_span *token;             /* [n_vocab] spellings; s NULL: no such id */
    size_t n_merges;
    dk_span (*merge)[2];        /* in order of rank */
    size_t n_added;
    dk_added *added;
    size_t n_norm, n_cut, n_back;
    dk_norm_step norm[DK_MAX_STEPS];
    dk_cut_step cut[DK_MAX_STEPS];      /* none: the text is one piece */
    dk_back_step back[DK_MAX_STEPS];    /* none: spellings with spaces between them */
    bool byte_level;            /* symbols are bytes in the byte-level alphabet, not characters */
    bool byte_fallback;         /* a character without symbol is <0xHH> for each of its bytes */
    bool rank_is_id;            /* any two neighbours that make a token merge, the lowest id first: */
                                /* merge lists the pairs in any order */
    bool ignore_merges;         /* a whole piece that is a token needs no merges */
    bool fuse_unk;
    uint32_t model_unk;         /* stands for what has no symbol; DK_NO_ID: it vanishes */
    uint32_t bos, eos, pad, unk;        /* DK_NO_ID: none */
    uint32_t prefix, suffix;            /* what encoding "with special tokens" adds */
    char *chat_template;        /* owned; NULL: none */
    char *file;                 /* owned; where all this comes from; NULL: nowhere */
    char *template_from;        /* the file that the template stands in; owned */
} dk_tokenizer_spec;

/* All ids DK_NO_ID, the rest empty. */
void dk_tokenizer_spec_init(dk_tokenizer_spec *spec);
void dk_tokenizer_spec_free(dk_tokenizer_spec *spec);
/* Byte-level with one known expression, decoded accordingly. */
void dk_tokenizer_spec_scan(dk_tokenizer_spec *spec, dk_pretok kind);
/* A line that names normalizers and pre-tokenizers with all that decides about
 * them: equal lines cut all texts alike. */
void dk_tokenizer_spec_describe(const dk_tokenizer_spec *spec, dk_buf *out);

#endif
