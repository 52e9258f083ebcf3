/* MB/s of tokenizers on the shipped texts, document by document, one thread:
 * the first pass, which fills the cache of pieces, and the best of ten.
 * Processor time of the thread, so that a busy machine counts less.
 *
 * usage: bench_tok TEXTS.jsonl,... TOKENIZER... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "text/tokenizer.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct texts { size_t n, bytes; dk_json *row[8192]; };

static void read_texts(struct texts *x, const char *path)
{
    dk_mapfile *m = NULL;

    if (dk_mapfile_open(&m, path, NULL) < 0)
        exit(1);
    for (size_t at = 0, end; at < m->n && x->n < 8192; at = end + 1) {
        const uint8_t *nl = memchr(m->p + at, '\n', m->n - at);
        dk_json *row = NULL;

        end = nl ? (size_t)(nl - m->p) : m->n;
        if (dk_json_parse(&row, (const char *)m->p + at, end - at, path, NULL) == 0 &&
            dk_json_get(row, "text")) {
            x->row[x->n++] = row;
            x->bytes += dk_json_len(dk_json_get(row, "text"));
        } else
            dk_json_free(&row);
    }
    dk_mapfile_close(&m);
}

static double pass(dk_tokenizer *t, const struct texts *x, dk_ids *ids)
{
    const double t0 = now();

    ids->n = 0;
    for (size_t i = 0; i < x->n; i++) {
        const dk_json *v = dk_json_get(x->row[i], "text");

        if (dk_tokenizer_encode(t, dk_json_str(v, ""), dk_json_len(v), 0, ids, NULL, NULL) < 0)
            exit(1);
    }
    return now() - t0;
}

int main(int argc, char **argv)
{
    static struct texts x;
    char *names = dk_xstrdup(argc > 1 ? argv[1] : "");

    for (char *at = names, *name; (name = strsep(&at, ",")) != NULL;)
        read_texts(&x, name);
    for (int i = 2; i < argc; i++) {
        dk_tokenizer *t = NULL;
        dk_ids ids = {0};
        dk_err err = {0};
        double first, best = 1e9;

        if (dk_tokenizer_open(&t, argv[i], &err) < 0) {
            fprintf(stderr, "bench_tok: %s\n", err.msg);
            return 1;
        }
        first = pass(t, &x, &ids);
        for (int k = 0; k < 10; k++) {
            const double s = pass(t, &x, &ids);

            best = s < best ? s : best;
        }
        printf("%s\t%zu\t%zu\t%.1f\t%.1f\n", argv[i], x.bytes, ids.n, (double)x.bytes * 1e-6 / first,
               (double)x.bytes * 1e-6 / best);
        fflush(stdout);
        dk_free(ids.id);
        dk_tokenizer_close(&t);
    }
    for (size_t i = 0; i < x.n; i++)
        dk_json_free(&x.row[i]);
    dk_free(names);
    return 0;
}
