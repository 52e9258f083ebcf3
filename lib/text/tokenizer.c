/* The pipeline around BPE: added tokens are found in the raw text, what is
 * between them is cut by the pre-tokenizer, pieces go to BPE. */
#include "text/tokenizer.h"

#include <string.h>

#include "base/hash.h"
#include "text/added.h"
#include "text/tokdigest.h"
#include "text/tokload.h"
#include "text/utf8.h"

struct dk_tokenizer {
    dk_bpe *bpe;
    dk_tokenizer_info info;
    char *chat_template, *template_from, *added_text;
    dk_added_set raw, later;
    uint8_t *special;       /* [n_vocab] */
    uint32_t model_unk;
    bool fuse_unk, nfc;
    dk_buf form;            /* scratch: a stretch in NFC, and where its parts come from */
    struct origin *origin;
    size_t n_origin, origin_cap;
    dk_buf clean;           /* scratch for texts that are not valid UTF-8 */
};

/* A part of a normalized stretch, and the part of the text it was. */
struct origin { size_t form, text, n_text; };

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
    bool moved;             /* s is t->form: places go through t->origin */
};

/* --- places --------------------------------------------------------------- */

/* The byte of the text that byte at of s comes from. */
static size_t place(const struct job *j, size_t at)
{
    const struct origin *o = j->t->origin;
    size_t lo = 0, hi = j->t->n_origin, past;

    if (!j->moved)
        return at;
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;

        if (o[mid].form <= at)
            lo = mid;
        else
            hi = mid;
    }
    past = at - o[lo].form;
    return o[lo].text + (past < o[lo].n_text ? past : o[lo].n_text - 1);
}

/* Whether a special token may start at this byte of the text. */
static bool special_here(const struct job *j, size_t s_at)
{
    size_t lo = 0, hi = j->n_plain, at = place(j, s_at);

    while (lo < hi) {       /* the first range that ends after at */
        const size_t mid = (lo + hi) / 2;

        if (j->plain[mid].to <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return !(j->how & DK_ENCODE_NO_SPECIAL) && (lo == j->n_plain || at < j->plain[lo].from);
}

/* --- encoding ------------------------------------------------------------ */

static void emit(const struct job *j, uint32_t id, size_t at)
{
    dk_ids_add(j->out, id);
    if (j->at)
        dk_ids_add(j->at, (uint32_t)place(j, at));
}

static size_t unknown_end(const dk_bpe *b, const char *s, size_t at, size_t to)
{
    while (at < to && !dk_bpe_has_byte(b, (uint8_t)s[at]))
        at++;
    return at;
}

/* Where the tokens of the piece s[from, to) start.  Bytes without symbol are
 * in no token, unless the model has one for the unknown. */
static void locate(const struct job *j, size_t from, size_t to, size_t first)
{
    const dk_tokenizer *t = j->t;
    const dk_bpe *b = t->bpe;
    size_t at = from;

    for (size_t i = first; i < j->out->n; i++) {
        size_t left = dk_bpe_bytes(b, j->out->id[i]).n;

        if (t->model_unk == DK_NO_ID)
            at = unknown_end(b, j->s, at, to);
        dk_ids_add(j->at, (uint32_t)place(j, at));
        if (j->out->id[i] == t->model_unk && at < to && !dk_bpe_has_byte(b, (uint8_t)j->s[at]))
            at = t->fuse_unk ? unknown_end(b, j->s, at, to) : at + 1;
        else
            for (; left > 0 && at < to; at++)
                left -= (size_t)dk_bpe_has_byte(b, (uint8_t)j->s[at]);
    }
}

static int plain(const struct job *j, size_t from, size_t to)
{
    /* The pre-tokenizer sees this stretch alone: an added token ends a text. */
    for (size_t at = from; at < to;) {
        const size_t first = j->out->n;
        const size_t end = from + dk_pretok_next(j->t->info.pretok, j->s + from, to - from,
                                                 at - from);
        const int rc = dk_bpe_piece(j->t->bpe, j->s + at, end - at, j->out, j->err);

        if (rc < 0)
            return rc;
        if (j->at)
            locate(j, at, end, first);
        at = end;
    }
    return 0;
}

typedef int stretch_fn(const struct job *j, size_t from, size_t to);

/* Cuts s[from, to) at the added tokens of set; the rest goes to next. */
static int cut(const struct job *j, const dk_added_set *set, stretch_fn *next, size_t from,
               size_t to)
{
    /* Neighbours of a match are looked for inside this stretch only. */
    const char *s = j->s + from;
    const size_t n = to - from;
    size_t done = 0, search = 0, start = 0;
    const dk_added *a;
    int rc = 0;

    while (rc == 0 && (a = dk_added_next(set, s, n, search, &start)) != NULL) {
        size_t end = start + a->text.n;

        search = end;
        if ((a->special && !special_here(j, from + start)) ||
            (a->single_word && dk_added_touches(s, n, start, end)))
            continue;
        if (a->lstrip) {
            start -= dk_spaces_before(s, start);
            start = start < done ? done : start;
        }
        if (a->rstrip)
            search = end += dk_spaces_after(s + end, n - end);
        if (done < start)
            rc = next(j, from + done, from + start);
        emit(j, a->id, from + start);
        done = end;
    }
    return rc == 0 && done < n ? next(j, from + done, to) : rc;
}

/* End of the part that begins at at: plain ASCII up to a character that is not
 * followed by more of it, or one character and what may compose with it. */
static size_t part_end(const char *s, size_t at, size_t to)
{
    size_t end = at;

    while (end < to && (uint8_t)s[end] < 0x80 && (end + 1 == to || (uint8_t)s[end + 1] < 0x80))
        end++;
    if (end > at)
        return end;
    for (end = at + 1; end < to && (uint8_t)s[end] >= 0x80; end++)
        ;
    return end;
}

/* s[from, to) in NFC into t->form, part by part: a part begins with an ASCII
 * character, which composes with nothing before it.  False: nothing changed. */
static bool normalize(const struct job *j, size_t from, size_t to)
{
    dk_tokenizer *t = j->t;
    bool changed = false;

    dk_buf_clear(&t->form);
    t->n_origin = 0;
    for (size_t at = from, end; at < to; at = end) {
        end = part_end(j->s, at, to);
        if (t->n_origin == t->origin_cap) {
            t->origin_cap = t->origin_cap ? 2 * t->origin_cap : 64;
            t->origin = dk_xrealloc(t->origin, t->origin_cap * sizeof *t->origin);
        }
        t->origin[t->n_origin++] = (struct origin){ t->form.n, at, end - at };
        if (dk_utf8_nfc(&t->form, j->s + at, end - at))
            changed = true;
        else
            dk_buf_add(&t->form, j->s + at, end - at);
    }
    return changed;
}

static int third_pass(const struct job *j, size_t from, size_t to)
{
    return j->t->later.n ? cut(j, &j->t->later, plain, from, to) : plain(j, from, to);
}

static int second_pass(const struct job *j, size_t from, size_t to)
{
    struct job moved = *j;

    if (!j->t->nfc || !normalize(j, from, to))
        return third_pass(j, from, to);
    moved.s = j->t->form.s;
    moved.n = j->t->form.n;
    moved.moved = true;
    return third_pass(&moved, 0, moved.n);
}

int dk_tokenizer_encode_guarded(dk_tokenizer *t, const char *s, size_t n, unsigned how,
                                const dk_range *plain_at, size_t n_plain, dk_ids *out, dk_ids *at,
                                dk_err *err)
{
    const struct job j = { t, s, n, how, plain_at, n_plain, out, at, err, false };
    const bool wrap = how & DK_ENCODE_WRAP;
    int rc;

    if (dk_utf8_valid(s, n) < n) {
        dk_buf_clear(&t->clean);
        dk_utf8_clean(&t->clean, s, n);
        return dk_tokenizer_encode_guarded(t, t->clean.s, t->clean.n, how, plain_at, n_plain, out,
                                           at, err);
    }
    if (at && n >= UINT32_MAX)
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
    dk_buf raw = {0};

    dk_buf_add(&raw, "", 0);
    for (size_t i = 0; i < n; i++) {
        const dk_span b = dk_bpe_bytes(t->bpe, id[i]);

        if (!skip_special || !dk_tokenizer_is_special(t, id[i]))
            dk_buf_add(&raw, b.s, b.n);
    }
    dk_buf_add(out, "", 0);
    dk_utf8_clean(out, raw.s, raw.n);
    dk_buf_free(&raw);
}

const dk_tokenizer_info *dk_tokenizer_about(const dk_tokenizer *t) { return &t->info; }

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

/* A token that is searched in normalized text must be normalized itself. */
static int check_forms(const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_buf form = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && spec->nfc && i < spec->n_added; i++)
        if (spec->added[i].normalized && dk_utf8_nfc(&form, spec->added[i].text.s,
                                                     spec->added[i].text.n))
            rc = dk_fail(err, DK_EFORMAT, "added token %u is not in normalization form C",
                         spec->added[i].id);
    dk_buf_free(&form);
    return rc;
}

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
    return check_forms(spec, err);
}

int dk_tokenizer_build(dk_tokenizer **out, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_tokenizer *t = dk_xcalloc(1, sizeof *t);
    size_t bytes = 0;
    int rc;

    if ((rc = check_ids(spec, err)) < 0 || (rc = dk_bpe_new(&t->bpe, spec, err)) < 0 ||
        (rc = dk_alloc(&t->special, spec->n_vocab, 1, "the vocabulary", err)) < 0) {
        dk_tokenizer_close(&t);
        return rc;
    }
    for (size_t i = 0; i < spec->n_added; i++) {
        bytes += spec->added[i].text.n;
        t->special[spec->added[i].id] |= spec->added[i].special;
    }
    t->model_unk = spec->model_unk;
    t->fuse_unk = spec->fuse_unk;
    t->nfc = spec->nfc;
    t->added_text = dk_xmalloc(bytes);
    dk_added_fill(&t->raw, spec, false, t->added_text);
    dk_added_fill(&t->later, spec, true, t->added_text);
    t->chat_template = spec->chat_template ? dk_xstrdup(spec->chat_template) : NULL;
    t->template_from = spec->template_from ? dk_xstrdup(spec->template_from) : NULL;
    t->info = (dk_tokenizer_info){
        .n_vocab = spec->n_vocab, .bos = spec->bos, .eos = spec->eos, .pad = spec->pad,
        .unk = spec->unk, .prefix = spec->prefix, .suffix = spec->suffix, .pretok = spec->pretok,
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
    dk_free(p->raw.v);
    dk_free(p->later.v);
    dk_free(p->special);
    dk_free(p->chat_template);
    dk_free(p->template_from);
    dk_free(p->added_text);
    dk_buf_free(&p->clean);
    dk_buf_free(&p->form);
    dk_free(p->origin);
    dk_free(p);
    *t = NULL;
}

void dk_tokenizer_spec_init(dk_tokenizer_spec *spec)
{
    *spec = (dk_tokenizer_spec){ .model_unk = DK_NO_ID, .bos = DK_NO_ID, .eos = DK_NO_ID,
                                 .pad = DK_NO_ID, .unk = DK_NO_ID, .prefix = DK_NO_ID,
                                 .suffix = DK_NO_ID };
}

void dk_tokenizer_spec_free(dk_tokenizer_spec *spec)
{
    dk_free(spec->token);
    dk_free(spec->merge);
    dk_free(spec->added);
    dk_free(spec->chat_template);
    dk_free(spec->template_from);
    dk_tokenizer_spec_init(spec);
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
        dk_err_prefix(err, "%s", path);
    dk_tokenizer_spec_free(&spec);
    dk_tokload_release(&source);
    return rc;
}
