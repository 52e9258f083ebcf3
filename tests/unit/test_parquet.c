/* Parquet files of pyarrow, whose rows are known; and the seeds of the fuzzer
 * with some thousand changes of each: what it found stays found. */
#include <stdio.h>

#include "../fuzz/fuzz_parquet.c"
#include "files.h"
#include "io/json.h"
#include "replay.h"
#include "tap.h"

static dk_json *parse(const char *s, size_t n)
{
    dk_json *v = NULL;

    dk_json_parse(&v, s, n, "", NULL);
    return v;
}

/* Are two lines the same value, with members in the same order? */
static bool same(const char *a, size_t n, const char *b, size_t m)
{
    dk_json *x = parse(a, n), *y = parse(b, m);
    dk_buf s = {0}, t = {0};
    dk_jw w = { .out = &s }, v = { .out = &t };
    bool is;

    dk_jw_value(&w, x);
    dk_jw_value(&v, y);
    is = x && y && s.n == t.n && memcmp(s.s, t.s, s.n) == 0;
    if (!is)
        tap_note("%.300s\n# %.300s", s.s, t.s);
    dk_buf_free(&s);
    dk_buf_free(&t);
    dk_json_free(&x);
    dk_json_free(&y);
    return is;
}

/* All rows, against the lines of the table's name; only: of that column. */
static bool holds(const char *variant, const char *table, const char *only)
{
    char *path = repo_path("tests/golden/parquet/"), *file = dk_xasprintf("%s%s.%s.parquet", path, table, variant);
    char *lines = dk_xasprintf("tests/golden/parquet/%s.jsonl", table);
    dk_mapfile *m = repo_map(lines);
    const char *at = m ? (const char *)m->p : NULL, *end = m ? at + m->n : NULL;
    dk_parquet *f = NULL;
    dk_buf row = {0};
    dk_err err = {0};
    int rc = dk_parquet_open(&f, file, &err);
    uint64_t n = 0;

    if (rc == 0 && only)
        rc = dk_parquet_choose(f, only, &err);
    rc = rc == 0 && m ? 1 : -1;
    while (rc == 1) {
        const char *nl = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

        dk_buf_clear(&row);
        if ((rc = dk_parquet_next(f, &row, &err)) != 1)
            break;
        if (!nl) {
            rc = -2;
        } else if (only) {
            dk_json *x = parse(at, (size_t)(nl - at));
            dk_buf one = {0};
            dk_jw w = { .out = &one };

            dk_jw_obj_begin(&w);
            dk_jw_key(&w, only);
            dk_jw_value(&w, dk_json_get(x, only));
            dk_jw_obj_end(&w);
            rc = same(row.s, row.n, one.s, one.n) ? 1 : -3;
            dk_buf_free(&one);
            dk_json_free(&x);
        } else
            rc = same(row.s, row.n, at, (size_t)(nl - at)) ? 1 : -3;
        at = nl ? nl + 1 : at;
        n++;
    }
    if (rc < 0)
        tap_note("%d after %llu rows: %s", rc, (unsigned long long)n, err.msg);
    rc = rc == 0 && at == end && n == dk_parquet_rows(f) ? 0 : -1;
    dk_buf_free(&row);
    dk_parquet_close(&f);
    dk_mapfile_close(&m);
    dk_free(path);
    dk_free(file);
    dk_free(lines);
    return rc == 0;
}

/* The message, or "" where a column of a file is read. */
static const char *refusal(const char *file, const char *column)
{
    static dk_err err;
    char *path = repo_path("tests/golden/parquet/"), *whole = dk_xasprintf("%s%s", path, file);
    dk_parquet *f = NULL;
    dk_buf row = {0};
    const char *said;

    err = (dk_err){0};
    if (dk_parquet_open(&f, whole, &err) == 0 && dk_parquet_choose(f, column, &err) == 0)
        dk_parquet_next(f, &row, &err);
    said = strstr(err.msg, file);
    dk_buf_free(&row);
    dk_parquet_close(&f);
    dk_free(path);
    dk_free(whole);
    return said ? said : err.msg;
}

static void refused(const char *file, const char *column, const char *message)
{
    const char *said = refusal(file, column);

    if (!tap(strcmp(said, message) == 0, "%s, column %s: %s", file, column, *message ? message : "is read"))
        tap_note("%s", said);
}

int main(void)
{
    static const char *const texts[] = { "default", "none", "gzip2", "zstd", "snappy2", "delta", "delta2", "fallback",
                                         "fallback2" };
    static const char *const chats[] = { "default", "small2", "item" };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tap(holds(texts[i], "texts", NULL), "texts, %s: all columns", texts[i]);
        tap(holds(texts[i], "texts", "text"), "texts, %s: one column", texts[i]);
    }
    for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) {
        tap(holds(chats[i], "chats", NULL), "chats, %s: all columns", chats[i]);
        tap(holds(chats[i], "chats", "messages"), "chats, %s: one column", chats[i]);
    }
    tap(holds("default", "dialogs", NULL) && holds("zstd2", "dialogs", NULL), "lists of structs and nothing else");
    tap(holds("default", "empty", NULL), "no rows");
    tap(holds("default", "others", NULL), "columns of other types are left out");
    refused("others.default.parquet", "day", "others.default.parquet: column 'day' holds values of type DATE, which are not read");
    refused("others.default.parquet", "price",
            "others.default.parquet: column 'price' holds values of type DECIMAL, which are not read");
    refused("others.default.parquet", "when",
            "others.default.parquet: column 'when' holds values of type TIMESTAMP, which are not read");
    refused("others.default.parquet", "gone", "others.default.parquet: no column 'gone'");
    refused("refused.brotli.parquet", "text",
            "refused.brotli.parquet, row 1: column 'text': it is packed with Brotli, which is not read");
    refused("refused.lz4.parquet", "text", "refused.lz4.parquet, row 1: column 'text': it is packed with LZ4, which is not read");
    refused("refused.split.parquet", "x",
            "refused.split.parquet, row 1: column 'x': its encoding is BYTE_STREAM_SPLIT, which is not read");
    refused("refused.split.parquet", "text", "");
    replay("tests/fuzz/parquet", 9);
    return tap_end();
}
