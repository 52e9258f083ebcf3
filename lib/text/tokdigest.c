/* The canonical text of a tokenizer and its SHA-256. */
#include "text/tokdigest.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

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

/* One known expression on bytes is "NAME 0" or, after NFC, "NAME 1". */
static void digest_steps(struct digest *d, const dk_tokenizer_spec *spec)
{
    const bool nfc = spec->n_norm == 1 && spec->norm[0].kind == DK_NORMALIZE_NFC;
    dk_buf text = {0};

    if (spec->byte_level && !spec->rank_is_id && spec->n_cut == 1 &&
        spec->cut[0].kind == DK_CUT_SCAN && spec->n_norm == nfc) {
        digest_line(d, dk_pretok_name(spec->cut[0].scan), nfc);
        return;
    }
    dk_tokenizer_spec_describe(spec, &text);
    digest_line(d, "rank_is_id", spec->rank_is_id);
    digest_text(d, (dk_span){ text.s, text.n });
    dk_buf_free(&text);
}

void dk_tokdigest(const dk_tokenizer_spec *spec, char hex[65])
{
    struct digest d = { .h = dk_sha256_new() };
    dk_added *added = dk_xcalloc(spec->n_added, sizeof *added);

    if (spec->n_added)
        memcpy(added, spec->added, spec->n_added * sizeof *added);
    qsort(added, spec->n_added, sizeof *added, by_id);
    digest_line(&d, "dk-tokenizer", 1);
    digest_steps(&d, spec);
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
    dk_sha256_hex(d.h, hex);
    dk_sha256_free(&d.h);
    dk_buf_free(&d.b);
    dk_free(added);
}
