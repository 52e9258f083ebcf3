/* The pipeline around BPE: added tokens are found in the raw text, what is
 * between them is normalized and cut by the pre-tokenizer, pieces go to BPE. */
#include "text/tokenizer.h"

#include <string.h>

#include "base/hash.h"
#include "text/added.h"
#include "text/back.h"
#include "text/normal.h"
#include "text/pieces.h"
#include "text/tokdigest.h"
#include "text/tokload.h"
#include "text/utf8.h"

struct dk_tokenizer {
    dk_back *back;
    dk_normal *normal;
    dk_pieces *pieces;
    dk_bpe *bpe;
    dk_tokenizer_info info;
    char *chat_template, *template_from;
    dk_added_set raw, later;
    uint8_t *special;       /* [n_vocab] */
    bool byte_level_back;   /* bytes of tokens, joined, are the text */
    const dk_added **form;  /* [n_vocab] those that decode to their normal form, or NULL */
    dk_buf clean;           /* scratch for texts that are not valid UTF-8 */
};

/* One text on its way through the passes. */
struct job {
    dk_tokenizer *t;
    const char *s;
    size_t n;
    unsigned how;
    const dk_range *plain;
    size_t n_plain;
    dk_ids *out, *at;
    dk_err *err;
    size_t base;            /* s is a normal form of the text from here on: */
    const uint32_t *map;    /* places go through map; NULL: s is the text */
    bool begin;             /* s begins where the text does */
};

/* --- places --------------------------------------------------------------- */

/* The byte of the text that byte at of s comes from. */
static size_t place(const struct job *j, size_t at)
{
    return j->map ? j->base + j->map[at] : j->base + at;
}

/* Whether a special token may start at this byte of the text. */
static bool special_here(const struct job *j, size_t s_at)
{
    size_t lo = 0, hi = j->n_plain, at;

    if (j->how & DK_ENCODE_NO_SPECIAL)
        return false;
    if (hi == 0)
        return true;
    at = place(j, s_at);

    while (lo < hi) {       /* the first range that ends after at */
        const size_t mid = (lo + hi) / 2;

        if (j->plain[mid].to <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == j->n_plain || at < j->plain[lo].from;
}

/* --- encoding ------------------------------------------------------------ */

static void emit(const struct job *j, uint32_t id, size_t at)
{
    dk_ids_add(j->out, id);
    if (j->at)
        dk_ids_add(j->at, (uint32_t)place(j, at));
}

/* Where the tokens of the piece s[from, to) start, which map may lead back to
 * j->s. */
static void locate(const struct job *j, const char *s, size_t from, size_t to,
                   const uint32_t *map, size_t first)
{
    const dk_bpe *b = j->t->bpe;
    size_t at = 0;

    for (size_t i = first; i < j->out->n; i++) {
        size_t here;

        at = dk_bpe_start(b, s + from, to - from, at);
        /* Behind the end: what waits for its turn stands at the last character. */
        here = from + at < to ? from + at : to - 1;
        dk_ids_add(j->at, (uint32_t)place(j, map ? map[here] : here));
        at = dk_bpe_end(b, s + from, to - from, at, j->out->id[i]);
    }
}

static int piece(void *arg, const char *s, size_t from, size_t to, const uint32_t *map)
{
    const struct job *j = arg;
    const size_t first = j->out->n;
    const int rc = dk_bpe_piece(j->t->bpe, s + from, to - from, j->out, j->err);

    if (rc == 0 && j->at)
        locate(j, s, from, to, map, first);
    return rc;
}

static int plain(const struct job *j, size_t from, size_t to)
{
    /* The pre-tokenizer sees this stretch alone: an added token ends a text. */
    return dk_pieces_each(j->t->pieces, j->s, from, to, j->begin && from == 0, j->at, piece,
                          (void *)j, j->err);
}

typedef int stretch_fn(const struct job *j, size_t from, size_t to);

/* Cuts s[from, to) at the added tokens of set; the rest goes to next. */
static int cut(const struct job *j, const dk_added_set *set, stretch_fn *next, size_t from,
               size_t to)
{
    /* Neighbours of a match are looked for inside this stretch only. */
    const char *s = j->s + from;
    const size_t n = to - from;
    size_t done = 0, search = 0, start = 0, end = 0;
    const dk_added *a;
    int rc = 0;

    while (rc == 0 && (a = dk_added_next(set, s, n, search, &start, &end)) != NULL) {
        search = end;
        if ((a->special && !special_here(j, from + start)) ||
            (a->single_word && dk_added_touches(s, n, start, end)))
            continue;
        if (a->lstrip) {
            start -= dk_utf8_spaces_before(s, start);
            start = start < done ? done : start;
        }
        if (a->rstrip)
            search = end += dk_utf8_spaces_after(s + end, n - end);
        if (done < start)
            rc = next(j, from + done, from + start);
        emit(j, a->id, from + start);
        done = end;
    }
    return rc == 0 && done < n ? next(j, from + done, to) : rc;
}

static int third_pass(const struct job *j, size_t from, size_t to)
{
    return cut(j, &j->t->later, plain, from, to);
}

static int second_pass(const struct job *j, size_t from, size_t to)
{
    const bool places = j->at || j->n_plain;
    const dk_form *form = NULL;
    struct job moved = *j;
    const int rc = dk_normal_apply(j->t->normal, j->s + from, to - from, places, &form, j->err);

    if (rc <= 0)
        return rc < 0 ? rc : third_pass(j, from, to);
    moved.s = form->text.s;
    moved.n = form->text.n;
    moved.base = from;
    moved.map = places ? form->at : NULL;
    moved.begin = from == 0;
    return third_pass(&moved, 0, moved.n);
}

int dk_tokenizer_encode_guarded(dk_tokenizer *t, const char *s, size_t n, unsigned how,
                                const dk_range *plain_at, size_t n_plain, dk_ids *out, dk_ids *at,
                                dk_err *err)
{
    const struct job j = { t, s, n, how, plain_at, n_plain, out, at, err, 0, NULL, true };
    const bool wrap = how & DK_ENCODE_WRAP;
    int rc;

    if (dk_utf8_valid(s, n) < n) {
        dk_buf_clear(&t->clean);
        dk_utf8_clean(&t->clean, s, n);
        return dk_tokenizer_encode_guarded(t, t->clean.s, t->clean.n, how, plain_at, n_plain, out,
                                           at, err);
    }
    if ((at || n_plain) && n >= UINT32_MAX)
        return dk_fail(err, DK_EDATA, "a text of %zu bytes: token places need less than 4 GiB", n);
    if (wrap && t->info.prefix != DK_NO_ID)
        emit(&j, t->info.prefix, 0);
    rc = cut(&j, &t->raw, second_pass, 0, n);
    if (rc == 0 && wrap && t->info.suffix != DK_NO_ID)
        emit(&j, t->info.suffix, n);
    return rc;
}

int dk_tokenizer_encode(dk_tokenizer *t, const char *s, size_t n, unsigned how, dk_ids *out,
                        dk_ids *at, dk_err *err)
{
    return dk_tokenizer_encode_guarded(t, s, n, how, NULL, 0, out, at, err);
}

/* --- decoding and looking up --------------------------------------------- */

void dk_tokenizer_decode(const dk_tokenizer *t, const uint32_t *id, size_t n, bool skip_special,
                         dk_buf *out)
{
    dk_span *token = dk_xcalloc(n + 1, sizeof *token);
    dk_buf raw = {0};
    size_t kept = 0;

    dk_buf_add(&raw, "", 0);
    for (size_t i = 0; i < n; i++) {
        const dk_added *form = t->form && id[i] < t->info.n_vocab ? t->form[id[i]] : NULL;
        const dk_span b = form ? form->text : t->byte_level_back ? dk_bpe_bytes(t->bpe, id[i])
                                                                 : dk_bpe_spelling(t->bpe, id[i]);

        if (!b.s || (skip_special && dk_tokenizer_is_special(t, id[i])))
            continue;
        if (t->byte_level_back)
            dk_buf_add(&raw, b.s, b.n);
        else
            token[kept++] = b;
    }
    dk_buf_add(out, "", 0);
    if (t->byte_level_back)
        dk_utf8_clean(out, raw.s, raw.n);
    else
        dk_back_decode(t->back, token, kept, out);
    dk_buf_free(&raw);
    dk_free(token);
}

const dk_tokenizer_info *dk_tokenizer_about(const dk_tokenizer *t) { return &t->info; }

void dk_tokenizer_put(const dk_tokenizer *t, dk_jw *w, const char *key, const uint32_t *id, size_t n)
{
    dk_buf text = {0};

    dk_tokenizer_decode(t, id, n, false, &text);
    dk_jw_key(w, key);
    dk_jw_strn(w, text.s ? text.s : "", text.n);
    dk_buf_free(&text);
}

int dk_tokenizer_check(const dk_tokenizer *t, const char *sha256, const char *path, const char *model,
                       dk_err *err)
{
    return strcmp(t->info.sha256, sha256) == 0 ? 0
        : dk_fail(err, DK_EDATA, "%s was made with another tokenizer than that of %s", path, model);
}

bool dk_tokenizer_is_special(const dk_tokenizer *t, uint32_t id)
{
    return id < t->info.n_vocab && t->special[id];
}

dk_span dk_tokenizer_piece(const dk_tokenizer *t, uint32_t id)
{
    return dk_bpe_spelling(t->bpe, id);
}

dk_span dk_tokenizer_bytes(const dk_tokenizer *t, uint32_t id)
{
    return dk_bpe_bytes(t->bpe, id);
}

uint32_t dk_tokenizer_find(const dk_tokenizer *t, const char *piece)
{
    return dk_bpe_find(t->bpe, piece, strlen(piece));
}

/* --- building ------------------------------------------------------------ */

static int check_ids(const dk_tokenizer_spec *spec, dk_err *err)
{
    const struct { const char *name; uint32_t id; } ids[] = {
        { "bos", spec->bos }, { "eos", spec->eos }, { "pad", spec->pad }, { "unk", spec->unk },
        { "unknown", spec->model_unk }, { "first", spec->prefix }, { "last", spec->suffix }
    };

    if (spec->n_vocab == 0 || spec->n_vocab > INT32_MAX)
        return dk_fail(err, DK_EFORMAT, "a vocabulary of %zu tokens", spec->n_vocab);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id != DK_NO_ID && ids[i].id >= spec->n_vocab)
            return dk_fail(err, DK_EFORMAT, "the %s token is %u, outside the vocabulary of %zu",
                           ids[i].name, ids[i].id, spec->n_vocab);
    for (size_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].id >= spec->n_vocab)
            return dk_fail(err, DK_EFORMAT, "added token %u is outside the vocabulary of %zu",
                           spec->added[i].id, spec->n_vocab);
    return 0;
}

/* What is searched for an added token in normalized text is normalized too. */
static int load_added(dk_tokenizer *t, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_span *text = dk_xcalloc(spec->n_added, sizeof *text);
    dk_buf forms = {0};
    const dk_form *form = NULL;
    int rc = 0;

    dk_buf_adds(&forms, "");
    for (size_t i = 0; i < spec->n_added; i++)
        text[i] = spec->added[i].text;
    dk_added_fill(&t->raw, spec, false, text);
    for (size_t i = 0; rc >= 0 && i < spec->n_added; i++) {
        const dk_span own = spec->added[i].text;

        if (!spec->added[i].normalized)
            continue;
        rc = dk_utf8_valid(own.s, own.n) < own.n ? 0
            : dk_normal_apply(t->normal, own.s, own.n, false, &form, err);
        text[i].n = rc > 0 ? form->text.n : own.n;
        dk_buf_add(&forms, rc > 0 ? form->text.s : own.s, text[i].n);
    }
    for (size_t i = 0, at = 0; rc >= 0 && i < spec->n_added; i++)
        if (spec->added[i].normalized) {
            text[i].s = forms.s + at;
            at += text[i].n;
        }
    if (rc >= 0) {
        dk_added_fill(&t->later, spec, true, text);
        rc = t->later.n && spec->n_norm
            ? dk_alloc(&t->form, spec->n_vocab, sizeof *t->form, "added tokens", err) : 0;
    }
    for (size_t i = 0; rc >= 0 && t->form && i < t->later.n; i++)
        t->form[t->later.v[i].id] = &t->later.v[i];
    dk_buf_free(&forms);
    dk_free(text);
    return rc < 0 ? rc : 0;
}

static int load(dk_tokenizer *t, const dk_tokenizer_spec *spec, dk_err *err)
{
    int rc;

    if ((rc = check_ids(spec, err)) < 0 ||
        (rc = dk_back_new(&t->back, spec->back, spec->n_back, err)) < 0 ||
        (rc = dk_normal_new(&t->normal, spec->norm, spec->n_norm, err)) < 0 ||
        (rc = dk_pieces_new(&t->pieces, spec->cut, spec->n_cut, err)) < 0 ||
        (rc = dk_bpe_new(&t->bpe, spec, t->back, err)) < 0 ||
        (rc = dk_alloc(&t->special, spec->n_vocab, 1, "the vocabulary", err)) < 0)
        return rc;
    for (size_t i = 0; i < spec->n_added; i++)
        t->special[spec->added[i].id] |= spec->added[i].special;
    return load_added(t, spec, err);
}

int dk_tokenizer_build(dk_tokenizer **out, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_tokenizer *t = dk_xcalloc(1, sizeof *t);
    const int rc = load(t, spec, err);

    if (rc < 0) {
        dk_tokenizer_close(&t);
        return rc;
    }
    t->byte_level_back = spec->n_back == 1 && spec->back[0].kind == DK_BACK_BYTE_LEVEL && !t->form;
    t->chat_template = spec->chat_template ? dk_xstrdup(spec->chat_template) : NULL;
    t->template_from = spec->template_from ? dk_xstrdup(spec->template_from) : NULL;
    t->info = (dk_tokenizer_info){
        .n_vocab = spec->n_vocab, .bos = spec->bos, .eos = spec->eos, .pad = spec->pad,
        .unk = spec->unk, .prefix = spec->prefix, .suffix = spec->suffix,
        .chat_template = t->chat_template, .template_from = t->template_from,
    };
    dk_tokdigest(spec, t->info.sha256);
    if (t->chat_template)
        dk_sha256_mem(t->chat_template, strlen(t->chat_template), t->info.template_sha256);
    *out = t;
    return 0;
}

void dk_tokenizer_close(dk_tokenizer **t)
{
    dk_tokenizer *p = *t;

    if (!p)
        return;
    dk_bpe_free(&p->bpe);
    dk_pieces_free(&p->pieces);
    dk_normal_free(&p->normal);
    dk_back_free(&p->back);
    dk_added_free(&p->raw);
    dk_added_free(&p->later);
    dk_free(p->special);
    dk_free(p->form);
    dk_free(p->chat_template);
    dk_free(p->template_from);
    dk_buf_free(&p->clean);
    dk_free(p);
    *t = NULL;
}

int dk_tokenizer_open(dk_tokenizer **out, const char *path, dk_err *err)
{
    dk_tokenizer_spec spec;
    void *source = NULL;
    int rc;

    *out = NULL;
    dk_tokenizer_spec_init(&spec);
    if ((rc = dk_tokload(&spec, &source, path, err)) == 0 &&
        (rc = dk_tokenizer_build(out, &spec, err)) < 0)
        dk_err_prefix(err, "%s", spec.file);
    dk_tokenizer_spec_free(&spec);
    dk_tokload_release(&source);
    return rc;
}
