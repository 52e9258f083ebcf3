/* The pipeline around BPE: added tokens are found in the raw text, what is
 * between them is cut by the pre-tokenizer, pieces go to BPE. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "text/tokload.h"
#include "text/utf8.h"

/* Added tokens that are searched in one pass: ordered so that of those that
 * start with one byte the longest comes first. */
struct added_set {
    size_t n;
    dk_added *v;
    uint32_t first[257];    /* v[first[c]] .. v[first[c + 1] - 1] start with byte c */
    int only;               /* the one first byte of all, or -1 */
};

struct dk_tokenizer {
    dk_bpe *bpe;
    dk_tokenizer_info info;
    char *chat_template, *added_text;
    struct added_set raw, later;
    uint8_t *special;       /* [n_vocab] */
    uint32_t model_unk;
    bool fuse_unk;
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
};

/* --- added tokens -------------------------------------------------------- */

static bool starts_with_word(const char *s, size_t n)
{
    size_t at = 0;

    return n > 0 && dk_utf8_is_word(dk_utf8_next(s, n, &at));
}

static bool ends_with_word(const char *s, size_t n)
{
    size_t at = n;

    while (at > 0 && ((uint8_t)s[--at] & 0xC0) == 0x80)
        ;
    return n > 0 && starts_with_word(s + at, n - at);
}

static size_t spaces_at_start(const char *s, size_t n)
{
    size_t at = 0, next = 0;

    while (next < n && dk_utf8_class(dk_utf8_next(s, n, &next)) == DK_CLASS_SPACE)
        at = next;
    return at;
}

static size_t spaces_at_end(const char *s, size_t n)
{
    size_t end = n;

    while (end > 0) {
        size_t at = end, next;

        while (at > 0 && ((uint8_t)s[--at] & 0xC0) == 0x80)
            ;
        next = at;
        if (dk_utf8_class(dk_utf8_next(s, n, &next)) != DK_CLASS_SPACE)
            break;
        end = at;
    }
    return n - end;
}

/* The longest added token that starts at s[at]. */
static const dk_added *added_at(const struct added_set *set, const char *s, size_t n, size_t at)
{
    const uint8_t c = (uint8_t)s[at];

    for (uint32_t i = set->first[c]; i < set->first[c + 1]; i++)
        if (set->v[i].text.n <= n - at && memcmp(set->v[i].text.s, s + at, set->v[i].text.n) == 0)
            return &set->v[i];
    return NULL;
}

/* The leftmost added token in s[from, n), and where it starts. */
static const dk_added *added_next(const struct added_set *set, const char *s, size_t n,
                                  size_t from, size_t *start)
{
    for (size_t at = from; at < n; at++) {
        const dk_added *a;

        if (set->only >= 0) {
            const char *p = memchr(s + at, set->only, n - at);

            if (!p)
                return NULL;
            at = (size_t)(p - s);
        }
        a = added_at(set, s, n, at);
        if (a) {
            *start = at;
            return a;
        }
    }
    return NULL;
}

/* Whether a special token may start at this byte of the text. */
static bool special_here(const struct job *j, size_t at)
{
    size_t lo = 0, hi = j->n_plain;

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
        dk_ids_add(j->at, (uint32_t)at);
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
        dk_ids_add(j->at, (uint32_t)at);
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
static int cut(const struct job *j, const struct added_set *set, stretch_fn *next, size_t from,
               size_t to)
{
    /* Neighbours of a match are looked for inside this stretch only. */
    const char *s = j->s + from;
    const size_t n = to - from;
    size_t done = 0, search = 0, start = 0;
    const dk_added *a;
    int rc = 0;

    while (rc == 0 && (a = added_next(set, s, n, search, &start)) != NULL) {
        size_t end = start + a->text.n;

        search = end;
        if ((a->special && !special_here(j, from + start)) || (a->single_word &&
            (ends_with_word(s, start) || starts_with_word(s + end, n - end))))
            continue;
        if (a->lstrip) {
            start -= spaces_at_end(s, start);
            start = start < done ? done : start;
        }
        if (a->rstrip)
            search = end += spaces_at_start(s + end, n - end);
        if (done < start)
            rc = next(j, from + done, from + start);
        emit(j, a->id, from + start);
        done = end;
    }
    return rc == 0 && done < n ? next(j, from + done, to) : rc;
}

static int second_pass(const struct job *j, size_t from, size_t to)
{
    return j->t->later.n ? cut(j, &j->t->later, plain, from, to) : plain(j, from, to);
}

int dk_tokenizer_encode_guarded(dk_tokenizer *t, const char *s, size_t n, unsigned how,
                                const dk_range *plain_at, size_t n_plain, dk_ids *out, dk_ids *at,
                                dk_err *err)
{
    const struct job j = { t, s, n, how, plain_at, n_plain, out, at, err };
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

dk_span dk_tokenizer_piece(const dk_tokenizer *t, uint32_t id) { return dk_bpe_spelling(t->bpe, id); }
dk_span dk_tokenizer_bytes(const dk_tokenizer *t, uint32_t id) { return dk_bpe_bytes(t->bpe, id); }

uint32_t dk_tokenizer_find(const dk_tokenizer *t, const char *piece)
{
    return dk_bpe_find(t->bpe, piece, strlen(piece));
}

/* --- building ------------------------------------------------------------ */

static int longest_first(const void *va, const void *vb)
{
    const dk_added *a = va, *b = vb;
    const int x = (uint8_t)a->text.s[0], y = (uint8_t)b->text.s[0];

    if (x != y)
        return x - y;
    if (a->text.n != b->text.n)
        return a->text.n < b->text.n ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The texts are moved to *store, which lives as long as the tokenizer. */
static void fill_set(struct added_set *set, const dk_tokenizer_spec *spec, bool normalized,
                     char *store)
{
    set->v = dk_xcalloc(spec->n_added, sizeof *set->v);
    for (size_t i = 0; i < spec->n_added; i++) {
        const dk_added *a = &spec->added[i];

        if (a->normalized == normalized && a->text.n > 0) {
            set->v[set->n] = *a;
            set->v[set->n++].text.s = store;
            memcpy(store, a->text.s, a->text.n);
        }
        store += a->text.n;
    }
    qsort(set->v, set->n, sizeof *set->v, longest_first);
    for (size_t c = 0, i = 0; c < 256; c++) {
        while (i < set->n && (uint8_t)set->v[i].text.s[0] == c)
            i++;
        set->first[c + 1] = (uint32_t)i;
    }
    set->only = set->n && set->v[0].text.s[0] == set->v[set->n - 1].text.s[0]
        ? (uint8_t)set->v[0].text.s[0] : -1;
}

/* Text on its way into the digest, handed over in large pieces. */
struct digest { dk_sha256 *h; dk_buf b; };

static void digest_number(struct digest *d, size_t v)
{
    char s[24];
    size_t i = sizeof s;

    do
        s[--i] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    dk_buf_add(&d->b, s + i, sizeof s - i);
}

static void digest_text(struct digest *d, dk_span t)
{
    digest_number(d, t.n);
    dk_buf_addc(&d->b, ':');
    dk_buf_add(&d->b, t.s, t.n);
    dk_buf_addc(&d->b, '\n');
    if (d->b.n > 1 << 16) {
        dk_sha256_add(d->h, d->b.s, d->b.n);
        dk_buf_clear(&d->b);
    }
}

static void digest_line(struct digest *d, const char *name, size_t v)
{
    dk_buf_adds(&d->b, name);
    dk_buf_addc(&d->b, ' ');
    digest_number(d, v);
    dk_buf_addc(&d->b, '\n');
}

static int by_id(const void *va, const void *vb)
{
    const dk_added *a = va, *b = vb;

    return a->id < b->id ? -1 : a->id > b->id;
}

/* What decides which ids a text gets, and nothing else: the same whichever
 * file it came from.  Each text is preceded by its length. */
static void digest(dk_tokenizer_info *info, const dk_tokenizer_spec *spec)
{
    struct digest d = { .h = dk_sha256_new() };
    dk_added *added = dk_xcalloc(spec->n_added, sizeof *added);

    if (spec->n_added)
        memcpy(added, spec->added, spec->n_added * sizeof *added);
    qsort(added, spec->n_added, sizeof *added, by_id);
    digest_line(&d, "dk-tokenizer", 1);
    digest_line(&d, dk_pretok_name(spec->pretok), 0);
    digest_line(&d, "ignore_merges", spec->ignore_merges);
    digest_line(&d, "unk", spec->model_unk);
    digest_line(&d, "fuse_unk", spec->model_unk != DK_NO_ID && spec->fuse_unk);
    digest_line(&d, "vocab", spec->n_vocab);
    for (size_t i = 0; i < spec->n_vocab; i++)
        digest_text(&d, spec->token[i]);
    digest_line(&d, "merges", spec->n_merges);
    for (size_t i = 0; i < spec->n_merges; i++) {
        digest_text(&d, spec->merge[i][0]);
        digest_text(&d, spec->merge[i][1]);
    }
    digest_line(&d, "added", spec->n_added);
    for (size_t i = 0; i < spec->n_added; i++) {
        const dk_added *a = &added[i];

        digest_line(&d, "id", a->id);
        digest_line(&d, "flags", (size_t)(a->special | a->single_word << 1 | a->lstrip << 2
                                         | a->rstrip << 3 | a->normalized << 4));
        digest_text(&d, a->text);
    }
    dk_sha256_add(d.h, d.b.s, d.b.n);
    dk_sha256_hex(d.h, info->sha256);
    dk_sha256_free(&d.h);
    dk_buf_free(&d.b);
    dk_free(added);
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
    return 0;
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
    t->added_text = dk_xmalloc(bytes);
    fill_set(&t->raw, spec, false, t->added_text);
    fill_set(&t->later, spec, true, t->added_text);
    t->chat_template = spec->chat_template ? dk_xstrdup(spec->chat_template) : NULL;
    t->info = (dk_tokenizer_info){
        .n_vocab = spec->n_vocab, .bos = spec->bos, .eos = spec->eos, .pad = spec->pad,
        .unk = spec->unk, .prefix = spec->prefix, .suffix = spec->suffix, .pretok = spec->pretok,
        .chat_template = t->chat_template,
    };
    digest(&t->info, spec);
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
    dk_free(p->added_text);
    dk_buf_free(&p->clean);
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
