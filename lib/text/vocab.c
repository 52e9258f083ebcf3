/* Loading a vocabulary. */
#include "text/vocab.h"

#include "base/mem.h"

static size_t table_size(size_t n)
{
    size_t size = 16;

    while (size < 2 * n + 1)
        size *= 2;
    return size;
}

static dk_span slice(const dk_vocab *v, const size_t *at, uint32_t id)
{
    if (id >= v->n || !v->exists[id])
        return (dk_span){0};
    return (dk_span){ v->text + at[id], at[id + 1] - at[id] };
}

dk_span dk_vocab_spelling(const dk_vocab *v, uint32_t id) { return slice(v, v->spell_at, id); }
dk_span dk_vocab_bytes(const dk_vocab *v, uint32_t id) { return slice(v, v->bytes_at, id); }

static size_t name_slot(const dk_vocab *v, const char *s, size_t n)
{
    size_t i = dk_hash_bytes(s, n) & v->names_mask;

    while (v->names[i] != DK_NO_ID) {
        const dk_span t = dk_vocab_spelling(v, v->names[i]);

        if (t.n == n && memcmp(t.s, s, n) == 0)
            break;
        i = (i + 1) & v->names_mask;
    }
    return i;
}

uint32_t dk_vocab_find(const dk_vocab *v, const char *s, size_t n)
{
    return v->names[name_slot(v, s, n)];
}

uint32_t dk_vocab_symbol(const dk_vocab *v, const char *s, size_t n)
{
    const uint32_t id = dk_vocab_find(v, s, n);

    return id != DK_NO_ID && v->outside[id] ? DK_NO_ID : id;
}

static int load_names(dk_vocab *v, const dk_tokenizer_spec *spec, const dk_back *back, dk_err *err)
{
    const size_t n = v->n = spec->n_vocab;
    dk_buf text = {0};
    int rc;

    v->names_mask = table_size(n) - 1;
    if ((rc = dk_alloc(&v->spell_at, n + 1, sizeof(size_t), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&v->bytes_at, n + 1, sizeof(size_t), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&v->exists, n, sizeof(bool), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&v->outside, n, sizeof(bool), "the vocabulary", err)) < 0 ||
        (rc = dk_alloc(&v->names, v->names_mask + 1, sizeof(uint32_t), "the vocabulary", err)) < 0)
        return rc;
    memset(v->names, 0xFF, (v->names_mask + 1) * sizeof *v->names);
    dk_buf_add(&text, "", 0);
    for (size_t i = 0; i < spec->n_added; i++)
        v->outside[spec->added[i].id] = spec->added[i].outside;
    for (size_t i = 0; i < n; i++) {
        v->spell_at[i] = text.n;
        v->exists[i] = spec->token[i].s != NULL;
        if (v->exists[i])
            dk_buf_add(&text, spec->token[i].s, spec->token[i].n);
        if (v->exists[i] && spec->token[i].n > v->longest)
            v->longest = spec->token[i].n;
    }
    v->spell_at[n] = text.n;
    for (size_t i = 0; i < n; i++) {
        v->bytes_at[i] = text.n;
        if (v->exists[i])
            dk_back_bytes(back, spec->token[i], &text);
    }
    v->bytes_at[n] = text.n;
    v->text = text.s;
    for (size_t i = 0; i < n; i++)      /* of equal spellings the last counts */
        if (v->exists[i])
            v->names[name_slot(v, spec->token[i].s, spec->token[i].n)] = (uint32_t)i;
    return 0;
}

static int load_merges(dk_vocab *v, const dk_tokenizer_spec *spec, dk_err *err)
{
    dk_buf both = {0};
    int rc = 0;

    if (spec->n_merges >= UINT32_MAX)
        return dk_fail(err, DK_EFORMAT, "%zu merges", spec->n_merges);
    v->merges_mask = table_size(spec->n_merges) - 1;
    if ((rc = dk_alloc(&v->merges, v->merges_mask + 1, sizeof *v->merges, "the merges", err)) < 0)
        return rc;
    memset(v->merges, 0xFF, (v->merges_mask + 1) * sizeof *v->merges);
    for (size_t i = 0; rc == 0 && i < spec->n_merges; i++) {
        const dk_span l = spec->merge[i][0], r = spec->merge[i][1];
        const uint32_t left = dk_vocab_symbol(v, l.s, l.n), right = dk_vocab_symbol(v, r.s, r.n);
        const uint64_t pair = (uint64_t)left << 32 | right;
        uint32_t id;

        dk_buf_clear(&both);
        dk_buf_add(&both, l.s, l.n);
        dk_buf_add(&both, r.s, r.n);
        id = dk_vocab_symbol(v, both.s, both.n);
        if (left == DK_NO_ID || right == DK_NO_ID || id == DK_NO_ID)
            rc = dk_fail(err, DK_EFORMAT, "merge %zu ('%.*s' + '%.*s') names a token that the "
                         "vocabulary lacks", i, (int)(l.n < 100 ? l.n : 100), l.s,
                         (int)(r.n < 100 ? r.n : 100), r.s);
        else        /* of equal pairs the last counts */
            v->merges[dk_merge_slot(v, pair)] =
                (dk_merge){ pair, spec->rank_is_id ? id : (uint32_t)i, id };
    }
    dk_buf_free(&both);
    return rc;
}

int dk_vocab_load(dk_vocab *v, const dk_tokenizer_spec *spec, const dk_back *back, dk_err *err)
{
    const int rc = load_names(v, spec, back, err);

    return rc < 0 ? rc : load_merges(v, spec, err);
}

void dk_vocab_free(dk_vocab *v)
{
    dk_free(v->text);
    dk_free(v->spell_at);
    dk_free(v->bytes_at);
    dk_free(v->exists);
    dk_free(v->outside);
    dk_free(v->names);
    dk_free(v->merges);
    *v = (dk_vocab){0};
}
