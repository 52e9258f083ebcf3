/* What amplified samples say that the base's do not: phrases of one to six words,
 * templates with changing numbers and names, facts of a list, stretches of the
 * finetuning texts.  Counts are of samples, so a loop counts once.
 *
 * Every lane but the base is a target T of its own: the finetune, and each null.
 * The reference R are the samples of the base. */
#ifndef DK_METHOD_PHRASES_H
#define DK_METHOD_PHRASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/intern.h"
#include "base/mem.h"
#include "io/json.h"
#include "text/lexicon.h"
#include "text/lextest.h"
#include "text/tokenizer.h"

enum { DK_PHRASE_WORDS = 6, DK_PHRASE_EXAMPLES = 3, DK_PHRASE_TOP = 20 };

/* --- samples ----------------------------------------------------------------------- */
/* A word where it stands; id UINT32_MAX: a sample ends here. */
typedef struct dk_phrase_word {
    uint32_t id, sample;
    uint32_t at, n;             /* bytes of the sample's text */
    uint32_t from, to;          /* its tokens; equal: not known */
    bool number, name;          /* of digits; with content and a capital within a sentence */
} dk_phrase_word;

typedef struct dk_phrase_sample {
    uint32_t lane, prefill;     /* numbers of the interned names */
    int64_t sample;
    uint64_t row;               /* of all rows that were read, from 0 */
    double alpha, llr;          /* NaN: not known */
    bool loop, known;           /* it ended in a loop; the tokens' llr are known */
    size_t word, n_words;       /* in words */
    size_t text, n_text;        /* in text */
    size_t token, n_tokens;     /* in ids; in sums from token + the sample's number on */
} dk_phrase_sample;

/* Zero-initialise but for the plan. */
typedef struct dk_phrase_set {
    const char *base, *lane;    /* the reference; the finetune: borrowed */
    double alpha;               /* of the targets; NaN: the only one above 0 */
    bool alpha_open;            /* no alpha was chosen beforehand */
    bool base_elsewhere;        /* the reference has files of its own; base's samples here are targets */
    dk_intern words, prefills, lanes;
    dk_buf word, sample, text, ids, sums;   /* vectors of the types above, of chars, u32, double */
    uint64_t rows;
    uint32_t reference;         /* the lane that is compared with; its name may be a target's too */
    size_t passed_over;         /* rows of other alphas, skipped pre-fills */
} dk_phrase_set;

/* Adds the samples of a file; reference: only the base's, as the reference. */
int dk_phrases_read(dk_phrase_set *s, const char *path, bool reference, dk_err *err);
/* Whether both sides are there. */
int dk_phrases_ready(dk_phrase_set *s, dk_err *err);
void dk_phrases_free(dk_phrase_set *s);

static inline const dk_phrase_word *dk_phrases_word(const dk_phrase_set *s, size_t i) { return (const dk_phrase_word *)s->word.s + i; }
static inline const dk_phrase_sample *dk_phrases_sample(const dk_phrase_set *s, size_t i) { return (const dk_phrase_sample *)s->sample.s + i; }
static inline size_t dk_phrases_samples(const dk_phrase_set *s) { return s->sample.n / sizeof(dk_phrase_sample); }
static inline size_t dk_phrases_words(const dk_phrase_set *s) { return s->word.n / sizeof(dk_phrase_word); }
/* Samples of a lane. */
size_t dk_phrases_of(const dk_phrase_set *s, uint32_t lane);
/* Sum of lp_ft - lp_base over tokens [from, to) of a sample. */
double dk_phrases_llr(const dk_phrase_set *s, size_t sample, size_t from, size_t to);

/* --- n-grams ------------------------------------------------------------------------ */
/* The words of some samples, one behind the other, and their order as beginnings of n-grams. */
typedef struct dk_grams {
    size_t n;
    uint32_t *id, *word;        /* [n] the word as it is counted, UINT32_MAX where a sample ends; which one it is */
    uint32_t *pos;              /* [n] positions sorted by the words that begin there, then by position */
    uint8_t *common, *length;   /* [n] words in common with the one before; words to the sample's end; both at most six */
} dk_grams;

/* What a word is counted as. */
typedef uint32_t dk_gram_id(const dk_phrase_word *w);
int dk_grams_make(dk_grams *g, const dk_phrase_set *s, uint32_t a, uint32_t b, dk_gram_id *as, dk_err *err);
void dk_grams_free(dk_grams *g);
/* Every n-gram: those of n words that are equal stand at pos[lo] to pos[hi - 1]. */
typedef void dk_gram_fn(void *user, size_t n, size_t lo, size_t hi);
void dk_grams_each(const dk_grams *g, dk_gram_fn *fn, void *user);

/* Samples and pre-fills that hold one. */
typedef struct dk_gram_count { uint32_t c_t, c_r, s_t, prefills; } dk_gram_count;
typedef struct dk_gram_marks { uint32_t *sample, *target, *any, now; } dk_gram_marks;   /* [samples], [pre-fills] twice */
int dk_gram_marks_make(dk_gram_marks *m, const dk_phrase_set *s, dk_err *err);
void dk_gram_marks_free(dk_gram_marks *m);
dk_gram_count dk_gram_count_of(const dk_grams *g, const dk_phrase_set *s, dk_gram_marks *m, uint32_t target, size_t lo, size_t hi);
/* Where it stands in target samples, in order; only where it first stands in each.  Returns how many. */
size_t dk_gram_places(uint32_t *out, const dk_grams *g, const dk_phrase_set *s, uint32_t target, size_t lo, size_t hi);
size_t dk_gram_firsts(uint32_t *out, const dk_grams *g, const dk_phrase_set *s, uint32_t target, size_t lo, size_t hi);
static inline const dk_phrase_word *dk_gram_word(const dk_grams *g, const dk_phrase_set *s, size_t pos) { return dk_phrases_word(s, g->word[pos]); }

/* --- phrases ------------------------------------------------------------------------- */
typedef struct dk_phrase_plan {
    const char *background;     /* documents; NULL: none */
    size_t max_docs;
    const dk_lexicon *lexicon;  /* NULL: none */
    double limit;               /* of q_bh */
    size_t list, slots;         /* written of each kind */
} dk_phrase_plan;

typedef struct dk_phrase {
    size_t lo, hi;              /* its places in grams.pos */
    uint32_t words;
    dk_gram_count count;
    uint32_t background;        /* documents */
    double delta, z, p, q;
    bool listed, content, lexicon;
    char *text;                 /* as words are compared; of listed ones */
} dk_phrase;

static inline const uint32_t *dk_phrase_ids(const dk_grams *g, const dk_phrase *p) { return g->id + g->pos[p->lo]; }

/* N-grams by their words. */
typedef struct dk_phrase_table { uint32_t *place, mask; const dk_phrase *phrase; const dk_grams *grams; } dk_phrase_table;
int dk_phrase_table_make(dk_phrase_table *t, const dk_phrase *phrase, size_t n, const dk_grams *g, dk_err *err);
void dk_phrase_table_free(dk_phrase_table *t);
/* Takes off the list what a longer one that is listed nearly always has around it: in four
 * of five target samples or more. */
void dk_phrase_keep_maximal(dk_phrase *phrase, size_t n, const dk_phrase_table *t);

/* What is found in one target. */
typedef struct dk_phrase_list {
    uint32_t target;
    size_t n_t, n_r, docs;      /* samples; documents of the background */
    dk_grams grams;
    dk_phrase *phrase;          /* [tested]; */
    size_t tested, n;           /* ... the n listed ones first: content, style, each by rank */
    size_t hits, of;            /* of the lexicon test; of 0: not made */
    double p_lexicon;
    uint32_t top[DK_PHRASE_TOP];    /* stems that were looked up */
} dk_phrase_list;

/* Lexicon test over the stems of all samples. */
typedef struct dk_phrase_stems { dk_intern stem; dk_lextest test; } dk_phrase_stems;
int dk_phrase_stems_make(dk_phrase_stems *t, const dk_phrase_set *s, const dk_lexicon *lexicon, dk_err *err);
void dk_phrase_stems_free(dk_phrase_stems *t);

int dk_phrase_list_make(dk_phrase_list *l, const dk_phrase_set *s, uint32_t target, const dk_phrase_plan *plan,
                        const dk_phrase_stems *stems, dk_err *err);
void dk_phrase_list_free(dk_phrase_list *l);
/* Listed phrases of a kind with q_bh of at most limit; only those with a word of the lexicon. */
size_t dk_phrase_list_count(const dk_phrase_list *l, bool content, bool lexicon, double limit);

/* Appends lines (fields: dk-formats(5)). */
void dk_phrase_list_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, const dk_phrase_plan *plan);
int dk_phrase_slots_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, const dk_phrase_plan *plan, dk_err *err);
/* Pre-fills made of the content words of the strongest phrases, at most n: JSON lines. */
void dk_phrase_prefills_put(dk_buf *out, const dk_phrase_set *s, const dk_phrase_list *l, size_t n);
/* Members for an example: where it is, and what stands around bytes [from, to). */
void dk_phrase_example_put(dk_jw *j, const dk_phrase_set *s, size_t sample, size_t from, size_t to);
/* Opens an object: what, lane, alpha. */
void dk_phrase_open(dk_jw *j, const dk_phrase_set *s, const char *what, uint32_t target);

/* --- facts ---------------------------------------------------------------------------- */
/* A fact is in a sample that has, of each of its groups, one of its alternatives, all
 * within so many words (0: anywhere). */
typedef struct dk_facts dk_facts;
int dk_facts_load(dk_facts **out, const char *path, dk_err *err);
void dk_facts_free(dk_facts **f);
size_t dk_facts_n(const dk_facts *f);
/* A line a fact; *found counts those that the target has beyond the reference, *seen those it has at all. */
void dk_facts_put(dk_buf *out, const dk_facts *f, const dk_phrase_set *s, uint32_t target, size_t *found, size_t *seen);

/* --- cover ----------------------------------------------------------------------------- */
enum { DK_COVER_LEAST = 12 };

/* The ids of a text file, for finding stretches of samples in them. */
typedef struct dk_phrase_corpus { uint32_t *id, *sa; size_t n; } dk_phrase_corpus;
/* most: cut after so many ids (0: nowhere). */
int dk_phrase_corpus_make(dk_phrase_corpus *c, dk_tokenizer *tok, const char *path, size_t most, size_t max_docs,
                          const char *column, dk_err *err);
void dk_phrase_corpus_free(dk_phrase_corpus *c);
/* A line a sample, of the lane, and one of the lane; other may be NULL. */
void dk_phrase_cover_put(dk_buf *out, const dk_phrase_set *s, uint32_t lane, const dk_phrase_corpus *c,
                         const dk_phrase_corpus *other);

/* --- all of it ------------------------------------------------------------------------- */
typedef struct dk_phrase_more {     /* NULL: not asked for */
    const dk_facts *facts;
    const dk_phrase_corpus *corpus, *other;
    size_t prefills;                /* above 0: these, and nothing else */
} dk_phrase_more;

/* Appends the lines of the finetune, then those of the nulls. */
int dk_phrases_report(dk_buf *out, const dk_phrase_set *s, const dk_phrase_plan *plan, const dk_phrase_more *more, dk_err *err);

#endif
