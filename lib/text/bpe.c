/* Byte-pair encoding: symbols, the two merge loops and the cache of pieces. */
#include "text/bpe.h"

#include <string.h>

#include "base/mem.h"
#include "text/utf8.h"
#include "text/vocab.h"

enum {
    SHORT = 48,             /* bytes up to which the pairs are searched one by one */
    CACHE_SETS = 1 << 14, CACHE_SETS_SMALL = 1 << 8, CACHE_WAYS = 4, CACHE_KEY = 30, CACHE_IDS = 8
};

struct cached { uint8_t n_bytes, n_ids; char key[CACHE_KEY]; uint32_t id[CACHE_IDS]; };

/* Scratch of the heap merge: a doubly linked list of symbols and the heap. */
struct link { uint32_t id; int32_t prev, next; };
struct cand { uint64_t key; uint32_t left, right, id; };    /* key: rank, then place */

struct dk_bpe {
    dk_vocab vocab;
    bool byte_level, ignore_merges, fuse_unk;
    uint32_t unk;
    uint32_t byte_id[256];          /* byte level: symbols; else those of <0xHH> */
    uint32_t ascii_id[128];         /* characters: symbols of the commonest */
    uint8_t byte_symbol[256][2];    /* byte level: UTF-8 in the alphabet; second byte 0: one byte */
    bool fallback;
    bool cuts;                      /* a piece can be cut before the character gap ... */
    char gap[4];
    size_t n_gap;
    bool keeps[256];                /* ... unless this byte is before it */
    dk_buf spelling;                /* scratch */
    struct cached *cache;           /* from the first piece on */
    size_t cache_sets;
    struct link *links;
    struct cand *heap;
    uint32_t *symbols;
    size_t scratch_cap;
};

void dk_ids_add(dk_ids *a, uint32_t id)
{
    if (a->n == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 256;
        a->id = dk_xrealloc(a->id, a->cap * sizeof *a->id);
    }
    a->id[a->n++] = id;
}

/* --- loading ------------------------------------------------------------- */

static int load_bytes(dk_bpe *b, dk_err *err)
{
    memset(b->byte_id, 0xFF, sizeof b->byte_id);
    for (int32_t cp = 0x21; cp <= 0x143; cp++) {
        const int byte = dk_alphabet_byte(cp);
        dk_buf sym = {0};

        if (byte < 0)
            continue;
        dk_utf8_add(&sym, cp);
        memcpy(b->byte_symbol[byte], sym.s, sym.n);
        b->byte_id[byte] = dk_vocab_symbol(&b->vocab, sym.s, sym.n);
        dk_buf_free(&sym);
        if (b->fallback && b->byte_id[byte] == DK_NO_ID)
            return dk_fail(err, DK_EFORMAT, "unsupported: byte_fallback of byte-level symbols, of "
                           "which 0x%02X is missing", (unsigned)byte);
    }
    return 0;
}

static void load_characters(dk_bpe *b)
{
    for (int c = 0; c < 256; c++) {
        const char symbol = (char)c, hex[] = "0123456789ABCDEF";
        const char name[6] = { '<', '0', 'x', hex[c >> 4], hex[c & 15], '>' };

        b->byte_id[c] = b->fallback ? dk_vocab_symbol(&b->vocab, name, 6) : DK_NO_ID;
        if (c < 128)
            b->ascii_id[c] = dk_vocab_symbol(&b->vocab, &symbol, 1);
    }
}

/* U+2581 stands for a space and begins words.  Where no token has it behind a
 * certain character, nothing merges across that place, and a text can be cut
 * there into pieces that are short and come again. */
static void find_cuts(dk_bpe *b)
{
    static const char gap[] = "\xE2\x96\x81";

    if (b->byte_level || b->ignore_merges || dk_vocab_symbol(&b->vocab, gap, 3) == DK_NO_ID)
        return;
    b->cuts = true;
    b->n_gap = 3;
    memcpy(b->gap, gap, 3);
    b->keeps[(uint8_t)gap[2]] = true;       /* runs of it are tokens */
    for (uint32_t id = 0; id < b->vocab.n; id++) {
        const dk_span t = dk_vocab_spelling(&b->vocab, id);

        for (size_t at = 1; !b->vocab.outside[id] && at + 3 <= t.n; at++)
            if (memcmp(t.s + at, gap, 3) == 0)
                b->keeps[(uint8_t)t.s[at - 1]] = true;
    }
}

int dk_bpe_new(dk_bpe **out, const dk_tokenizer_spec *spec, const dk_back *back, dk_err *err)
{
    dk_bpe *b = dk_xcalloc(1, sizeof *b);
    int rc;

    b->byte_level = spec->byte_level;
    b->fallback = spec->byte_fallback;
    b->ignore_merges = spec->ignore_merges;
    b->fuse_unk = spec->fuse_unk;
    b->unk = spec->model_unk;
    /* Whose vocabulary is small will not be asked for much. */
    b->cache_sets = spec->n_vocab < 256 ? CACHE_SETS_SMALL : CACHE_SETS;
    rc = dk_vocab_load(&b->vocab, spec, back, err);
    if (rc == 0 && b->byte_level)
        rc = load_bytes(b, err);
    if (rc < 0) {
        dk_bpe_free(&b);
        return rc;
    }
    if (!b->byte_level)
        load_characters(b);
    find_cuts(b);
    *out = b;
    return 0;
}

void dk_bpe_free(dk_bpe **b)
{
    dk_bpe *p = *b;

    if (!p)
        return;
    dk_vocab_free(&p->vocab);
    dk_free(p->cache);
    dk_free(p->links);
    dk_free(p->heap);
    dk_free(p->symbols);
    dk_buf_free(&p->spelling);
    dk_free(p);
    *b = NULL;
}

uint32_t dk_bpe_find(const dk_bpe *b, const char *s, size_t n)
{
    return dk_vocab_find(&b->vocab, s, n);
}

dk_span dk_bpe_spelling(const dk_bpe *b, uint32_t id) { return dk_vocab_spelling(&b->vocab, id); }
dk_span dk_bpe_bytes(const dk_bpe *b, uint32_t id) { return dk_vocab_bytes(&b->vocab, id); }

/* --- symbols ------------------------------------------------------------- */

/* Symbols of the bytes of a piece.  A byte without symbol vanishes, and its
 * neighbours become adjacent, unless there is an unknown token. */
static size_t split_bytes(const dk_bpe *b, const char *s, size_t n, uint32_t *sym)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t id = b->byte_id[(uint8_t)s[i]];
        const bool again = i > 0 && b->byte_id[(uint8_t)s[i - 1]] == DK_NO_ID;

        if (id != DK_NO_ID)
            sym[k++] = id;
        else if (b->unk != DK_NO_ID && !(b->fuse_unk && again))
            sym[k++] = b->unk;
    }
    return k;
}

static inline uint32_t character(const dk_bpe *b, const char *s, size_t n)
{
    return n == 1 && (uint8_t)*s < 0x80 ? b->ascii_id[(uint8_t)*s] : dk_vocab_symbol(&b->vocab, s, n);
}

static bool falls_back(const dk_bpe *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (b->byte_id[(uint8_t)s[i]] == DK_NO_ID)
            return false;
    return true;
}

/* Symbols of its characters.  The unknown token waits for the next symbol:
 * bytes that stand for a character overtake it, as they do with the makers. */
static size_t split_characters(const dk_bpe *b, const char *s, size_t n, uint32_t *sym)
{
    size_t k = 0;
    bool waits = false;

    for (size_t at = 0, end = 0; at < n; at = end) {
        uint32_t id;

        dk_utf8_next(s, n, &end);
        id = character(b, s + at, end - at);
        if (id != DK_NO_ID) {
            if (waits)
                sym[k++] = b->unk;
            waits = false;
            sym[k++] = id;
        } else if (b->fallback && falls_back(b, s + at, end - at)) {
            for (size_t i = at; i < end; i++)
                sym[k++] = b->byte_id[(uint8_t)s[i]];
        } else if (b->unk != DK_NO_ID) {
            if (waits && !b->fuse_unk)
                sym[k++] = b->unk;
            waits = true;
        }
    }
    if (waits)
        sym[k++] = b->unk;
    return k;
}

static size_t split(const dk_bpe *b, const char *s, size_t n, uint32_t *sym)
{
    return b->byte_level ? split_bytes(b, s, n, sym) : split_characters(b, s, n, sym);
}

static size_t symbol_end(const dk_bpe *b, const char *s, size_t n, size_t at)
{
    if (b->byte_level)
        return at + 1;
    dk_utf8_next(s, n, &at);
    return at;
}

/* Whether the symbol s[at, end) has an id or, byte by byte, several. */
static bool has_symbol(const dk_bpe *b, const char *s, size_t at, size_t end)
{
    if (b->byte_level)
        return b->byte_id[(uint8_t)s[at]] != DK_NO_ID;
    return character(b, s + at, end - at) != DK_NO_ID ||
           (b->fallback && falls_back(b, s + at, end - at));
}

static size_t unknown_end(const dk_bpe *b, const char *s, size_t n, size_t at, size_t most)
{
    for (size_t end; at < n && most > 0; at = end, most--)
        if (has_symbol(b, s, at, end = symbol_end(b, s, n, at)))
            break;
    return at;
}

/* The bytes of s[at, n) that a token other than the unknown covers. */
static size_t token_end(const dk_bpe *b, const char *s, size_t n, size_t at, uint32_t id)
{
    const dk_span t = dk_vocab_spelling(&b->vocab, id);
    size_t left = dk_vocab_bytes(&b->vocab, id).n;

    if (b->byte_level) {
        for (; left > 0 && at < n; at++)
            left -= (size_t)(b->byte_id[(uint8_t)s[at]] != DK_NO_ID);
        return at;
    }
    /* Characters that vanished lie between those of the token. */
    for (size_t i = 0, end; i < t.n && at < n; at = end) {
        end = symbol_end(b, s, n, at);
        if (end - at <= t.n - i && memcmp(t.s + i, s + at, end - at) == 0)
            i += end - at;
        else if (i == 0 && b->fallback && b->byte_id[(uint8_t)s[at]] == id)
            return at + 1;
        else if (has_symbol(b, s, at, end))
            break;
    }
    return at;
}

size_t dk_bpe_start(const dk_bpe *b, const char *s, size_t n, size_t at)
{
    return b->unk == DK_NO_ID ? unknown_end(b, s, n, at, SIZE_MAX) : at;
}

size_t dk_bpe_end(const dk_bpe *b, const char *s, size_t n, size_t at, uint32_t id)
{
    size_t end = at;

    if (id == b->unk && at < n)
        end = unknown_end(b, s, n, at, b->fuse_unk ? SIZE_MAX : 1);
    return end > at ? end : token_end(b, s, n, at, id);
}

/* --- merging ------------------------------------------------------------- */

static size_t merge_short(const dk_bpe *b, uint32_t *sym, size_t k)
{
    uint32_t rank[SHORT], id[SHORT];

    for (size_t i = 0; i + 1 < k; i++) {
        const dk_merge *m = dk_vocab_merge(&b->vocab, sym[i], sym[i + 1]);

        rank[i] = m ? m->rank : UINT32_MAX;
        id[i] = m ? m->id : 0;
    }
    while (k > 1) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < k; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == UINT32_MAX)
            break;
        sym[best] = id[best];
        k--;
        memmove(sym + best + 1, sym + best + 2, (k - best - 1) * sizeof *sym);
        if (k > best + 1) {
            memmove(rank + best, rank + best + 1, (k - best - 1) * sizeof *rank);
            memmove(id + best, id + best + 1, (k - best - 1) * sizeof *id);
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < k; i++) {
            const dk_merge *m = dk_vocab_merge(&b->vocab, sym[i], sym[i + 1]);

            rank[i] = m ? m->rank : UINT32_MAX;
            id[i] = m ? m->id : 0;
        }
    }
    return k;
}

static void push(struct cand *heap, size_t *n, struct cand c)
{
    size_t i = (*n)++;

    while (i > 0 && heap[(i - 1) / 2].key > c.key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = c;
}

static struct cand pop(struct cand *heap, size_t *n)
{
    const struct cand top = heap[0], last = heap[--*n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < *n) {
        if (child + 1 < *n && heap[child + 1].key < heap[child].key)
            child++;
        if (heap[child].key >= last.key)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

static void propose(const dk_bpe *b, int32_t at, size_t *n)
{
    const struct link *l = b->links;
    const dk_merge *m = l[at].next < 0 ? NULL : dk_vocab_merge(&b->vocab, l[at].id, l[l[at].next].id);

    if (m)
        push(b->heap, n, (struct cand){ (uint64_t)m->rank << 32 | (uint32_t)at, l[at].id,
                                        l[l[at].next].id, m->id });
}

/* An entry of the heap counts only while its two symbols are still there:
 * a symbol that was merged away has id DK_NO_ID, one that grew another id. */
static size_t merge_long(const dk_bpe *b, uint32_t *sym, size_t k)
{
    struct link *l = b->links;
    size_t n = 0, out = 0;

    for (size_t i = 0; i < k; i++)
        l[i] = (struct link){ sym[i], (int32_t)i - 1, i + 1 < k ? (int32_t)i + 1 : -1 };
    for (size_t i = 0; i + 1 < k; i++)
        propose(b, (int32_t)i, &n);
    while (n > 0) {
        const struct cand c = pop(b->heap, &n);
        const int32_t at = (int32_t)(uint32_t)c.key, next = l[at].next;

        if (l[at].id != c.left || next < 0 || l[next].id != c.right)
            continue;
        l[at].id = c.id;
        l[at].next = l[next].next;
        l[next].id = DK_NO_ID;
        if (l[at].next >= 0)
            l[l[at].next].prev = at;
        if (l[at].prev >= 0)
            propose(b, l[at].prev, &n);
        propose(b, at, &n);
    }
    for (int32_t i = k ? 0 : -1; i >= 0; i = l[i].next)
        sym[out++] = l[i].id;
    return out;
}

/* Room for a piece of n symbols.  Every merge takes one entry from the heap
 * and adds two at most, so 3 n entries are enough. */
static int reserve(dk_bpe *b, size_t n, dk_err *err)
{
    int rc;

    if (n <= b->scratch_cap)
        return 0;
    n += n / 2;
    dk_free(b->links);
    dk_free(b->heap);
    dk_free(b->symbols);
    b->links = NULL;
    b->heap = NULL;
    b->symbols = NULL;
    b->scratch_cap = 0;
    if ((rc = dk_alloc(&b->links, n, sizeof *b->links, "merging one long word", err)) < 0 ||
        (rc = dk_alloc(&b->symbols, n, sizeof *b->symbols, "merging one long word", err)) < 0 ||
        (rc = dk_alloc(&b->heap, 3 * n, sizeof *b->heap, "merging one long word", err)) < 0)
        return rc;
    b->scratch_cap = n;
    return 0;
}

/* The token that is the whole piece, where that goes before merges. */
static uint32_t whole_piece(dk_bpe *b, const char *s, size_t n)
{
    if (!b->ignore_merges || n > b->vocab.longest)
        return DK_NO_ID;
    if (!b->byte_level)
        return dk_vocab_symbol(&b->vocab, s, n);
    dk_buf_clear(&b->spelling);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *sym = b->byte_symbol[(uint8_t)s[i]];

        dk_buf_add(&b->spelling, sym, sym[1] ? 2 : 1);
    }
    return dk_vocab_symbol(&b->vocab, b->spelling.s, b->spelling.n);
}

static int encode_long(dk_bpe *b, const char *s, size_t n, dk_ids *out, dk_err *err)
{
    const uint32_t whole = whole_piece(b, s, n);
    size_t k;
    int rc;

    if (whole != DK_NO_ID) {
        dk_ids_add(out, whole);
        return 0;
    }
    if (n > INT32_MAX)
        return dk_fail(err, DK_EDATA, "a word of %zu bytes: at most 2^31 can be tokenised", n);
    if ((rc = reserve(b, n, err)) < 0)
        return rc;
    k = merge_long(b, b->symbols, split(b, s, n, b->symbols));
    for (size_t i = 0; i < k; i++)
        dk_ids_add(out, b->symbols[i]);
    return 0;
}

static size_t encode_short(dk_bpe *b, const char *s, size_t n, uint32_t *sym)
{
    sym[0] = whole_piece(b, s, n);
    if (sym[0] != DK_NO_ID)
        return 1;
    return merge_short(b, sym, split(b, s, n, sym));
}

/* memcmp for texts of one length up to 32, without the call. */
static inline bool same(const char *a, const char *b, size_t n)
{
    if (n >= 16)
        return ((dk_rd8(a) ^ dk_rd8(b)) | (dk_rd8(a + 8) ^ dk_rd8(b + 8)) | (dk_rd8(a + n - 16) ^ dk_rd8(b + n - 16))
                | (dk_rd8(a + n - 8) ^ dk_rd8(b + n - 8))) == 0;
    if (n >= 8)
        return ((dk_rd8(a) ^ dk_rd8(b)) | (dk_rd8(a + n - 8) ^ dk_rd8(b + n - 8))) == 0;
    if (n >= 4)
        return ((dk_rd4(a) ^ dk_rd4(b)) | (dk_rd4(a + n - 4) ^ dk_rd4(b + n - 4))) == 0;
    return a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1];
}

/* A set keeps the last pieces that were not found in it, the newest first. */
static const struct cached *cache_find(const struct cached *set, const char *s, size_t n)
{
    for (int i = 0; i < CACHE_WAYS; i++)
        if (set[i].n_bytes == n && same(set[i].key, s, n))
            return &set[i];
    return NULL;
}

static void cache_put(struct cached *set, const char *s, size_t n, const uint32_t *id, size_t k)
{
    memmove(set + 1, set, (CACHE_WAYS - 1) * sizeof *set);
    set->n_bytes = (uint8_t)n;
    set->n_ids = (uint8_t)k;
    memcpy(set->key, s, n);
    memcpy(set->id, id, k * sizeof *id);
}

static int encode_piece(dk_bpe *b, const char *s, size_t n, dk_ids *out, dk_err *err)
{
    uint32_t sym[SHORT];
    const uint32_t *id = sym;
    size_t k = 0;
    int rc;

    if (n > SHORT)
        return encode_long(b, s, n, out, err);
    if (!b->cache && (rc = dk_alloc(&b->cache, b->cache_sets * CACHE_WAYS, sizeof *b->cache,
                                    "the cache of pieces", err)) < 0)
        return rc;
    if (n <= CACHE_KEY) {
        struct cached *set = b->cache + ((dk_hash_bytes(s, n) >> 40) & (b->cache_sets - 1)) * CACHE_WAYS;
        const struct cached *c = cache_find(set, s, n);

        if (c) {
            id = c->id;
            k = c->n_ids;
        } else if ((k = encode_short(b, s, n, sym)) <= CACHE_IDS)
            cache_put(set, s, n, sym, k);
    } else
        k = encode_short(b, s, n, sym);
    for (size_t i = 0; i < k; i++)
        dk_ids_add(out, id[i]);
    return 0;
}

int dk_bpe_piece(dk_bpe *b, const char *s, size_t n, dk_ids *out, dk_err *err)
{
    size_t from = 0;
    int rc = 0;

    for (size_t at = 1; rc == 0 && b->cuts && at < n; at++) {
        const char *hit = memchr(s + at, b->gap[0], n - at);

        if (!hit)
            break;
        at = (size_t)(hit - s);
        if (!b->keeps[(uint8_t)s[at - 1]] && n - at >= b->n_gap &&
            memcmp(s + at, b->gap, b->n_gap) == 0) {
            rc = encode_piece(b, s + from, at - from, out, err);
            from = at;
        }
    }
    return rc == 0 && from < n ? encode_piece(b, s + from, n - from, out, err) : rc;
}
