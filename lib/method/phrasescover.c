/* How much of the samples stands word for word in a text. */
#include <string.h>

#include "io/json.h"
#include "method/phrases.h"
#include "num/suffix.h"
#include "text/corpus.h"

int dk_phrase_corpus_make(dk_phrase_corpus *c, dk_tokenizer *tok, const char *path, size_t most, size_t max_docs,
                          const char *column, dk_err *err)
{
    const dk_corpus_rules rules = { .max_docs = max_docs, .column = column };
    const dk_tokens *t = NULL;
    dk_corpus *corpus = NULL;
    size_t n = 0;
    int rc = dk_corpus_open(&corpus, tok, &rules, err);

    *c = (dk_phrase_corpus){0};
    if (rc == 0) rc = dk_corpus_add(corpus, path, err);
    if (rc == 0) rc = dk_corpus_finish(corpus, &t, err);
    if (rc == 0) rc = dk_alloc(&c->id, t->rows + t->docs, sizeof *c->id, "a text", err);
    for (size_t d = 0; rc == 0 && d < t->docs; d++) {
        for (size_t i = t->offset[d]; i < t->offset[d + 1] && (most == 0 || n < most); i++)
            c->id[n++] = t->token[i];
        if (most == 0 || n < most)
            c->id[n++] = DK_SUFFIX_APART;
    }
    c->n = n;
    if (rc == 0) rc = dk_alloc(&c->sa, n, sizeof *c->sa, "a suffix array", err);
    if (rc == 0) rc = dk_suffix_sort(c->sa, c->id, n, err);
    dk_corpus_close(&corpus);
    return rc;
}

void dk_phrase_corpus_free(dk_phrase_corpus *c)
{
    dk_free(c->id);
    dk_free(c->sa);
    *c = (dk_phrase_corpus){0};
}

static void put_cover(dk_jw *j, const char *const key[2], size_t covered, size_t longest, size_t tokens)
{
    dk_jw_key(j, key[0]); dk_jw_num(j, tokens ? (double)covered / (double)tokens : 0);
    dk_jw_key(j, key[1]); dk_jw_u64(j, longest);
}

void dk_phrase_cover_put(dk_buf *out, const dk_phrase_set *s, uint32_t lane, const dk_phrase_corpus *c,
                         const dk_phrase_corpus *other)
{
    static const char *const key[2][2] = { { "cover12", "longest" }, { "other12", "other_longest" } };
    dk_cover sum[2] = {0};
    size_t tokens = 0, samples = 0;
    dk_jw j = { .out = out };

    for (size_t i = 0; i < dk_phrases_samples(s); i++) {
        const dk_phrase_sample *a = dk_phrases_sample(s, i);
        const uint32_t *id = (const uint32_t *)s->ids.s + a->token;
        size_t n;
        const char *prefill;

        if (a->lane != lane)
            continue;
        prefill = dk_intern_text(&s->prefills, a->prefill, &n);
        dk_phrase_open(&j, s, "sample", lane);
        dk_jw_key(&j, "row"); dk_jw_u64(&j, a->row);
        dk_jw_key(&j, "prefill"); dk_jw_strn(&j, prefill, n);
        dk_jw_key(&j, "sample"); dk_jw_int(&j, a->sample);
        dk_jw_key(&j, "n_tokens"); dk_jw_u64(&j, a->n_tokens);
        for (int k = 0; k < (other ? 2 : 1); k++) {
            const dk_phrase_corpus *x = k ? other : c;
            const dk_cover cover = dk_suffix_cover(x->sa, x->id, x->n, id, a->n_tokens, DK_COVER_LEAST);

            put_cover(&j, key[k], cover.covered, cover.longest, a->n_tokens);
            sum[k].covered += cover.covered;
            sum[k].longest = cover.longest > sum[k].longest ? cover.longest : sum[k].longest;
        }
        dk_jw_obj_end(&j);
        dk_jw_line(&j);
        tokens += a->n_tokens;
        samples++;
    }
    dk_phrase_open(&j, s, "cover", lane);
    dk_jw_key(&j, "samples"); dk_jw_u64(&j, samples);
    dk_jw_key(&j, "n_tokens"); dk_jw_u64(&j, tokens);
    for (int k = 0; k < (other ? 2 : 1); k++)
        put_cover(&j, key[k], sum[k].covered, sum[k].longest, tokens);
    dk_jw_obj_end(&j);
    dk_jw_line(&j);
}
