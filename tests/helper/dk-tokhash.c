/* dk-tokhash TOKENIZER TEXTS.jsonl: for the "text" of each row the low 32 bits
 * of the FNV-1a hash of its ids, wrapped; then of what they decode to.
 * Little-endian, as the goldens in tests/golden/tokens have it.  With a third
 * argument, the ids of that row instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/mapfile.h"
#include "text/tokenizer.h"

static uint32_t fnv1a(const void *p, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001B3u;
    return (uint32_t)h;
}

static int one(dk_tokenizer *t, const dk_json *row, bool show, dk_ids *hash, dk_ids *back, dk_err *err)
{
    const dk_json *text = dk_json_get(row, "text");
    dk_ids ids = {0};
    dk_buf out = {0};
    const int rc = dk_tokenizer_encode(t, dk_json_str(text, ""), dk_json_len(text), DK_ENCODE_WRAP,
                                       &ids, NULL, err);

    dk_tokenizer_decode(t, ids.id, ids.n, false, &out);
    dk_ids_add(hash, fnv1a(ids.id, ids.n * sizeof *ids.id));
    dk_ids_add(back, fnv1a(out.s, out.n));
    for (size_t i = 0; show && i < ids.n; i++)
        printf("%u\n", ids.id[i]);
    dk_buf_free(&out);
    dk_free(ids.id);
    return rc;
}

int main(int argc, char **argv)
{
    const size_t shown = argc > 3 ? strtoul(argv[3], NULL, 10) : SIZE_MAX;
    dk_tokenizer *t = NULL;
    dk_mapfile *m = NULL;
    dk_ids hash = {0}, back = {0};
    dk_err err = {0};
    int rc;

    if (argc < 3)
        return 2;
    if ((rc = dk_tokenizer_open(&t, argv[1], &err)) == 0)
        rc = dk_mapfile_open(&m, argv[2], &err);
    for (size_t at = 0, end; rc == 0 && at < m->n; at = end + 1) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);
        dk_json *row = NULL;

        end = nl ? (size_t)(nl - m->p) : m->n;
        if ((rc = dk_json_parse(&row, (const char *)m->p + at, end - at, argv[2], &err)) == 0)
            rc = one(t, row, hash.n == shown, &hash, &back, &err);
        dk_json_free(&row);
    }
    if (rc == 0 && shown == SIZE_MAX) {
        fwrite(hash.id, sizeof *hash.id, hash.n, stdout);
        fwrite(back.id, sizeof *back.id, back.n, stdout);
    } else if (rc < 0)
        fprintf(stderr, "dk-tokhash: error: %s\n", err.msg);
    dk_mapfile_close(&m);
    dk_tokenizer_close(&t);
    dk_free(hash.id);
    dk_free(back.id);
    return rc < 0;
}
