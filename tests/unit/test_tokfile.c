/* Token files and token streams: round trips, and streams that were cut. */
#include <fcntl.h>
#include <sys/stat.h>

#include "h5make.h"
#include "io/tokstream.h"
#include "tap.h"

static bool same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

static bool same_tokens(const dk_tokens *a, const dk_tokens *b)
{
    return a->docs == b->docs && a->rows == b->rows && a->vocab == b->vocab &&
           a->max_tokens == b->max_tokens && same_text(a->corpus_name, b->corpus_name) &&
           same_text(a->corpus_sha256, b->corpus_sha256) && same_text(a->split, b->split) &&
           same_text(a->format, b->format) && same_text(a->bos, b->bos) &&
           same_text(a->tokenizer_sha256, b->tokenizer_sha256) &&
           same_text(a->template_sha256, b->template_sha256) &&
           memcmp(a->id, b->id, a->docs * sizeof *a->id) == 0 &&
           memcmp(a->offset, b->offset, (a->docs + 1) * sizeof *a->offset) == 0 &&
           memcmp(a->token, b->token, a->rows * sizeof *a->token) == 0 &&
           memcmp(a->pos, b->pos, a->rows * sizeof *a->pos) == 0 &&
           memcmp(a->flags, b->flags, a->rows) == 0;
}

/* What a stream holds: standard output goes to a file meanwhile. */
static char *stream_text(const dk_tokens *t, size_t *n)
{
    char name[] = "/tmp/dk-stream-XXXXXX", *text = NULL;
    const int fd = mkstemp(name), kept = (fflush(stdout), dup(1));
    struct stat st;
    int rc;

    dup2(fd, 1);
    rc = dk_tokens_write_json(t, &sample_prov, NULL);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    unlink(name);
    if (rc == 0 && fstat(fd, &st) == 0) {
        *n = (size_t)st.st_size;
        text = dk_xcalloc(1, *n + 1);
        if (pread(fd, text, *n, 0) != (ssize_t)*n)
            abort();
    }
    close(fd);
    return text;
}

static int read_text(dk_tokens *t, const char *text, size_t n, dk_err *err)
{
    FILE *f = n ? fmemopen((void *)text, n, "r") : fopen("/dev/null", "r");
    const int rc = dk_tokens_read_stream(t, f, "stream", err);

    fclose(f);
    return rc;
}

static void test_file(const char *dir)
{
    static const size_t n[] = { 0, 1, 65531, 65532, 200000 };       /* either side of a chunk */

    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        char *path = dk_xasprintf("%s/t.tok.h5", dir), id[DK_CONTENT_ID_LEN];
        dk_tokens a, b;
        dk_err err = {0};
        bool good;

        sample_tokens(&a, n[i]);
        good = dk_tokens_write(&a, path, NULL, &err) == 0 && dk_tokens_read(&b, path, &err) == 0;
        dk_tokens_content_id(&a, id, NULL);
        if (!tap(good && same_tokens(&a, &b) && strcmp(id, b.content_id) == 0,
                 "a file of %zu rows comes back", a.rows))
            tap_note("%s", err.msg);
        if (good)
            dk_tokens_free(&b);
        dk_tokens_free(&a);
        dk_free(path);
    }
}

static void test_empty(const char *dir)
{
    char *path = dk_xasprintf("%s/e.tok.h5", dir), *text;
    dk_tokens a = { .vocab = 5 }, b, c;
    size_t n = 0;

    a.format = dk_xstrdup("chat");
    a.bos = dk_xstrdup("none");
    tap(dk_tokens_write(&a, path, NULL, NULL) == 0 && dk_tokens_read(&b, path, NULL) == 0 &&
        b.rows == 0 && b.docs == 0, "no documents are a valid file");
    dk_tokens_free(&b);
    text = stream_text(&a, &n);
    tap(text && read_text(&c, text, n, NULL) == 0 && c.docs == 0, "and a valid stream");
    dk_tokens_free(&c);
    dk_tokens_free(&a);
    dk_free(text);
    dk_free(path);
}

static void test_stream(void)
{
    dk_tokens a, b;
    dk_err err = {0};
    size_t n = 0, cut = 0, lines = 0;
    char *text;

    sample_tokens(&a, 40);
    a.pos[7] = 100;         /* positions that are not 0, 1, 2, ... */
    text = stream_text(&a, &n);
    if (!tap(text && read_text(&b, text, n, &err) == 0 && same_tokens(&a, &b),
             "a stream comes back"))
        tap_note("%s", err.msg);
    tap(b.lineage && strstr(b.lineage, "a.jsonl"), "with its lineage");
    dk_tokens_free(&b);
    for (size_t k = 0; k < n; k++) {
        err = (dk_err){0};
        if (read_text(&b, text, k, &err) == 0) {
            tap_note("cut at %zu was taken", k);
            dk_tokens_free(&b);
        } else
            cut += b.id == NULL && err.msg[0] && !strchr(err.msg, '\n');
        lines += text[k] == '\n';
    }
    tap(cut == n, "refused: the stream cut after each of %zu bytes", n);
    for (size_t k = 0; k < lines; k++) {
        char *s = dk_xstrdup(text), *line = s, *next;
        bool bad;

        for (size_t i = 0; i < k; i++)
            line = strchr(line, '\n') + 1;
        next = strchr(line, '\n') + 1;
        memmove(line, next, strlen(next) + 1);
        bad = read_text(&b, s, strlen(s), NULL) < 0;
        tap(bad, "refused: the stream without line %zu", k + 1);
        if (!bad)
            dk_tokens_free(&b);
        dk_free(s);
    }
    dk_free(text);
    dk_tokens_free(&a);
}

#define HEAD "{\"dk\":\"tokens\",\"version\":\"1.0\",\"format\":\"text\",\"bos\":\"none\"," \
             "\"max_tokens\":0,\"vocab\":9}\n"
#define TAIL(rows, docs) "{\"rows\":" rows ",\"docs\":" docs ",\"content_id\":\"sha256:0\"}\n"

static void test_bad_streams(void)
{
    static const struct { const char *name, *text, *says; } bad[] = {
        { "an empty stream", "", "no trailer" },
        { "another kind of line", "{\"rank\":1}\n", "not the header" },
        { "no object", "[1]\n", "not the header" },
        { "a newer version", "{\"dk\":\"tokens\",\"version\":\"2.0\"}\n", "newer dk" },
        { "a negative vocabulary", "{\"dk\":\"tokens\",\"version\":\"1.0\",\"max_tokens\":0,"
          "\"vocab\":-1}\n", "\"vocab\"" },
        { "no ids", HEAD "{\"id\":0}\n", "\"ids\"" },
        { "flags of another length", HEAD "{\"id\":0,\"ids\":[1,2],\"flags\":[0]}\n", "length" },
        { "a token that is no number", HEAD "{\"id\":0,\"ids\":[\"a\"]}\n", "\"ids\"" },
        { "a token with a fraction", HEAD "{\"id\":0,\"ids\":[1.5]}\n", "\"ids\"" },
        { "a token beyond 32 bits", HEAD "{\"id\":0,\"ids\":[4294967296]}\n", "\"ids\"" },
        { "a flag beyond a byte", HEAD "{\"id\":0,\"ids\":[1],\"flags\":[256]}\n", "\"flags\"" },
        { "a token outside the vocabulary", HEAD "{\"id\":0,\"ids\":[9]}\n" TAIL("1", "1"),
          "vocabulary" },
        { "documents out of order", HEAD "{\"id\":3,\"ids\":[]}\n{\"id\":3,\"ids\":[]}\n"
          TAIL("0", "2"), "ascend" },
        { "wrong counts", HEAD "{\"id\":0,\"ids\":[1]}\n" TAIL("2", "1"), "was cut" },
        { "a wrong content id", HEAD "{\"id\":0,\"ids\":[1]}\n" TAIL("1", "1"), "content id" },
        { "broken JSON", HEAD "{\"id\":0,\"ids\":[1}\n", "JSON" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dk_tokens t;
        dk_err err = {0};

        if (!tap(read_text(&t, bad[i].text, strlen(bad[i].text), &err) < 0 &&
                 strstr(err.msg, bad[i].says), "refused: %s", bad[i].name))
            tap_note("%s", err.msg);
    }
}

static void test_check(const char *dir)
{
    char *path = dk_xasprintf("%s/bad.tok.h5", dir);
    dk_tokens t;
    dk_err err = {0};

    sample_tokens(&t, 5);
    t.token[2] = 999;
    tap(dk_tokens_write(&t, path, NULL, &err) < 0 && access(path, F_OK) < 0,
        "a token outside the vocabulary is not written");
    t.token[2] = 1;
    t.flags[2] = DK_TOK_PADDING;
    tap(dk_tokens_write(&t, path, NULL, NULL) < 0, "nor is padding");
    t.flags[2] = 0;
    t.format[0] = 'T';
    tap(dk_tokens_write(&t, path, NULL, NULL) < 0, "nor an unknown format");
    dk_tokens_free(&t);
    dk_free(path);
}

int main(void)
{
    char *dir = work_dir();

    test_file(dir);
    test_empty(dir);
    test_stream();
    test_bad_streams();
    test_check(dir);
    remove_dir(dir);
    return tap_end();
}
