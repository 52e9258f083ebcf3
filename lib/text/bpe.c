/* Byte-pair encoding: vocabulary and merge tables, the two merge loops and the
 * cache of pieces. */
#include "text/bpe.h"

#include <string.h>

#include "base/mem.h"
#include "text/utf8.h"

enum {
    SHORT = 48,             /* symbols up to which the pairs are searched one by one */
    CACHE_SETS = 1 << 14, CACHE_WAYS = 4, CACHE_KEY = 30, CACHE_IDS = 8
};

struct merge { uint64_t pair; uint32_t rank, id; };     /* id DK_NO_ID: empty */

struct cached { uint8_t n_bytes, n_ids; char key[CACHE_KEY]; uint32_t id[CACHE_IDS]; };

/* Scratch of the heap merge: a doubly linked list of symbols and the heap. */
struct link { uint32_t id; int32_t prev, next; };
struct cand { uint64_t key; uint32_t left, right, id; };    /* key: rank, then place */

struct dk_bpe {
    size_t n_vocab;
    char *text;                     /* all spellings, then all bytes */
    size_t *spell_at, *bytes_at;    /* [n_vocab + 1] */
    bool *exists, *outside;         /* [n_vocab] */
    uint32_t *names;                /* spelling -> id, open addressing */
    size_t names_mask;
    struct merge *merges;           /* pair -> rank, id */
    size_t merges_mask;
    uint32_t byte_id[256];
    uint8_t byte_symbol[256][2];    /* UTF-8 in the alphabet; second byte 0: one byte */
    size_t longest;                 /* bytes of the longest spelling */
    dk_buf spelling;                /* scratch */
    bool ignore_merges, fuse_unk;
    uint32_t unk;
    struct cached *cache;
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

/* --- hashing ------------------------------------------------------------- */

static inline uint64_t rd8(const char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t rd4(const char *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Reads the ends of the text, which overlap when it is short, so that no tail
 * loop is needed. */
static inline uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, a, b;

    for (; n > 16; p += 16, n -= 16)
        h = fold(rd8(p) ^ 0xA0761D6478BD642Fu, rd8(p + 8) ^ h);
    if (n >= 8) {
        a = rd8(p);
        b = rd8(p + n - 8);
    } else if (n >= 4) {
        a = rd4(p);
        b = rd4(p + n - 4);
    } else {
        a = n ? (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8
              | (uint8_t)p[n - 1] : 0;
        b = 0;
    }
    return fold(a ^ 0xE7037ED1A0B428DBu, b ^ h);
}

static size_t table_size(size_t n)
{
    size_t size = 16;

    while (size < 2 * n + 1)
        size *= 2;
    return size;
}

/* --- vocabulary ---------------------------------------------------------- */

/* Byte that stands for a code point of the byte-level alphabet, or -1. */
static int alphabet_byte(int32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF))
        return cp;
    if (cp >= 0x100 && cp <= 0x120)
        return cp - 0x100;
    if (cp >= 0x121 && cp <= 0x142)
        return cp - 0x121 + 0x7F;
    return cp == 0x143 ? 0xAD : -1;
}

/* Appends the bytes that a spelling stands for: those of its characters if all
 * are in the alphabet, else its own. */
static void add_bytes(dk_buf *out, dk_span t)
{
    const size_t start = out->n;

    for (size_t at = 0; at < t.n;) {
        const int b = alphabet_byte(dk_utf8_next(t.s, t.n, &at));

        if (b < 0) {
            out->n = start;
            dk_buf_add(out, t.s, t.n);
            return;
        }
        dk_buf_addc(out, (char)b);
    }
}

static size_t name_slot(const dk_bpe *b, const char *s, size_t n)
{
    size_t i = hash_bytes(s, n) & b->names_mask;

    while (b->names[i] != DK_NO_ID) {
        const dk_span t = dk_bpe_spelling(b, b->names[i]);

        if (t.n == n && memcmp(t.s, s, n) == 0)
            break;
        i = (i + 1) & b->names_mask;
    }
    return i;
}

static int load_vocab(dk_bpe *b, const dk_tokenizer_spec *spec, dk_err *err)
{
    const size_t n = b->n_vocab = spec->n_vocab;
    dk_buf text = {0};
    int rc;

    b->names_mask = table_size(n) - 1;
    if ((rc = dk_alloc(&b->spell_at, n + 1, sizeof(size_t), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&b->bytes_at, n + 1, sizeof(size_t), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&b->exists, n, sizeof(bool), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&b->outside, n, sizeof(bool), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&b->names, b->names_mask + 1, sizeof(uint32_t), "the vocabulary", err)) < 0)
        return rc;
    memset(b->names, 0xFF, (b->names_mask + 1) * sizeof *b->names);
    dk_buf_add(&text, "", 0);
    for (size_t i = 0; i < spec->n_added; i++)
        b->outside[spec->added[i].id] = spec->added[i].outside;
    for (size_t i = 0; i < n; i++) {
        b->spell_at[i] = text.n;
        b->exists[i] = spec->token[i].s != NULL;
        if (b->exists[i])
            dk_buf_add(&text, spec->token[i].s, spec->token[i].n);
        if (b->exists[i] && spec->token[i].n > b->longest)
            b->longest = spec->token[i].n;
    }
    b->spell_at[n] = text.n;
    for (size_t i = 0; i < n; i++) {
        b->bytes_at[i] = text.n;
        if (b->exists[i])
            add_bytes(&text, spec->token[i]);
    }
    b->bytes_at[n] = text.n;
    b->text = text.s;
    for (size_t i = 0; i < n; i++)      /* of equal spellings the last counts */
        if (b->exists[i])
            b->names[name_slot(b, spec->token[i].s, spec->token[i].n)] = (uint32_t)i;
    return 0;
}

static void load_bytes(dk_bpe *b)
{
    memset(b->byte_id, 0xFF, sizeof b->byte_id);
    for (int32_t cp = 0x21; cp <= 0x143; cp++) {
        const int byte = alphabet_byte(cp);
        dk_buf sym = {0};

        if (byte < 0)
            continue;
        dk_utf8_add(&sym, cp);
        memcpy(b->byte_symbol[byte], sym.s, sym.n);
        b->byte_id[byte] = dk_bpe_find(b, sym.s, sym.n);
        dk_buf_free(&sym);
    }
}

static size_t merge_slot(const dk_bpe *b, uint64_t pair)
{
    size_t i = fold(pair ^ 0xA0761D6478BD642Fu, 0x9E3779B97F4A7C15u) & b->merges_mask;

    while (b->merges[i].id != DK_NO_ID && b->merges[i].pair != pair)
        i = (i + 1) & b->merges_mask;
    return i;
}

static const struct merge *find_merge(const dk_bpe *b, uint32_t left, uint32_t right)
{
    const struct merge *m = &b->merges[merge_slot(b, (uint64_t)left << 32 | right)];

    return m->id == DK_NO_ID ? NULL : m;
}

static int load_merges(dk_bpe *b, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_buf both = {0};
    int rc = 0;

    b->merges_mask = table_size(spec->n_merges) - 1;
    if ((rc = dk_alloc(&b->merges, b->merges_mask + 1, sizeof *b->merges, "the merges", err)) < 0)
        return rc;
    memset(b->merges, 0xFF, (b->merges_mask + 1) * sizeof *b->merges);
    for (size_t i = 0; rc == 0 && i < spec->n_merges; i++) {
        const dk_span l = spec->merge[i][0], r = spec->merge[i][1];
        const uint32_t left = dk_bpe_find(b, l.s, l.n), right = dk_bpe_find(b, r.s, r.n);
        const uint64_t pair = (uint64_t)left << 32 | right;
        uint32_t id;

        dk_buf_clear(&both);
        dk_buf_add(&both, l.s, l.n);
        dk_buf_add(&both, r.s, r.n);
        id = dk_bpe_find(b, both.s, both.n);
        if (left == DK_NO_ID || right == DK_NO_ID || id == DK_NO_ID)
            rc = dk_fail(err, DK_EFORMAT, "merge %zu ('%.*s' + '%.*s') names a token that the "
                         "vocabulary lacks", i, (int)(l.n < 100 ? l.n : 100), l.s,
                         (int)(r.n < 100 ? r.n : 100), r.s);
        else
            b->merges[merge_slot(b, pair)] = (struct merge){ pair, (uint32_t)i, id };
    }
    dk_buf_free(&both);
    return rc;
}

int dk_bpe_new(dk_bpe **out, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_bpe *b = dk_xcalloc(1, sizeof *b);
    int rc;

    b->ignore_merges = spec->ignore_merges;
    b->fuse_unk = spec->fuse_unk;
    b->unk = spec->model_unk;
    if ((rc = load_vocab(b, spec, err)) == 0 && (rc = load_merges(b, spec, err)) == 0)
        rc = dk_alloc(&b->cache, CACHE_SETS * CACHE_WAYS, sizeof *b->cache, "the cache of pieces",
                      err);
    if (rc < 0) {
        dk_bpe_free(&b);
        return rc;
    }
    load_bytes(b);
    *out = b;
    return 0;
}

void dk_bpe_free(dk_bpe **b)
{
    dk_bpe *p = *b;

    if (!p)
        return;
    dk_free(p->text);
    dk_free(p->spell_at);
    dk_free(p->bytes_at);
    dk_free(p->exists);
    dk_free(p->outside);
    dk_free(p->names);
    dk_free(p->merges);
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
    return b->names[name_slot(b, s, n)];
}

static dk_span slice(const dk_bpe *b, const size_t *at, uint32_t id)
{
    if (id >= b->n_vocab || !b->exists[id])
        return (dk_span){0};
    return (dk_span){ b->text + at[id], at[id + 1] - at[id] };
}

dk_span dk_bpe_spelling(const dk_bpe *b, uint32_t id) { return slice(b, b->spell_at, id); }
dk_span dk_bpe_bytes(const dk_bpe *b, uint32_t id) { return slice(b, b->bytes_at, id); }
int dk_bpe_has_byte(const dk_bpe *b, uint8_t c) { return b->byte_id[c] != DK_NO_ID; }

/* --- merging ------------------------------------------------------------- */

/* Symbols of the bytes of a piece.  A byte without symbol vanishes, and its
 * neighbours become adjacent, unless there is an unknown token. */
static size_t split(const dk_bpe *b, const char *s, size_t n, uint32_t *sym)
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

static size_t merge_short(const dk_bpe *b, uint32_t *sym, size_t k)
{
    uint32_t rank[SHORT], id[SHORT];

    for (size_t i = 0; i + 1 < k; i++) {
        const struct merge *m = find_merge(b, sym[i], sym[i + 1]);

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
            const struct merge *m = find_merge(b, sym[i], sym[i + 1]);

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
    const struct merge *m = l[at].next < 0 ? NULL : find_merge(b, l[at].id, l[l[at].next].id);

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
    uint32_t id;

    if (!b->ignore_merges || n > b->longest)
        return DK_NO_ID;
    dk_buf_clear(&b->spelling);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *sym = b->byte_symbol[(uint8_t)s[i]];

        dk_buf_add(&b->spelling, sym, sym[1] ? 2 : 1);
    }
    id = dk_bpe_find(b, b->spelling.s, b->spelling.n);
    return id != DK_NO_ID && b->outside[id] ? DK_NO_ID : id;
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
        return ((rd8(a) ^ rd8(b)) | (rd8(a + 8) ^ rd8(b + 8)) | (rd8(a + n - 16) ^ rd8(b + n - 16))
                | (rd8(a + n - 8) ^ rd8(b + n - 8))) == 0;
    if (n >= 8)
        return ((rd8(a) ^ rd8(b)) | (rd8(a + n - 8) ^ rd8(b + n - 8))) == 0;
    if (n >= 4)
        return ((rd4(a) ^ rd4(b)) | (rd4(a + n - 4) ^ rd4(b + n - 4))) == 0;
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

int dk_bpe_piece(dk_bpe *b, const char *s, size_t n, dk_ids *out, dk_err *err)
{
    uint32_t sym[SHORT];
    const uint32_t *id = sym;
    size_t k = 0;

    if (n == 0)
        return 0;
    if (n > SHORT)
        return encode_long(b, s, n, out, err);
    if (n <= CACHE_KEY) {
        struct cached *set = b->cache + (hash_bytes(s, n) >> 40) % CACHE_SETS * CACHE_WAYS;
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
