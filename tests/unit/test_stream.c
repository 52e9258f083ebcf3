/* Streams: what goes in comes out, with the content id of the file; a stream
 * that was cut or changed anywhere is refused, by one line. */
#include <math.h>
#include <sys/stat.h>

#include "h5make.h"
#include "io/actfile.h"
#include "io/dirfile.h"
#include "io/frame.h"
#include "num/half.h"
#include "tap.h"

enum { D = 24 };

/* --- standard output into memory --------------------------------------------------- */
struct captured { int fd, kept; char name[32]; };

static struct captured capture(void)
{
    struct captured c = { .name = "/tmp/dk-stream-XXXXXX" };

    fflush(stdout);
    c.kept = dup(1);
    c.fd = mkstemp(c.name);
    dup2(c.fd, 1);
    return c;
}

static dk_buf captured(struct captured *c)
{
    dk_buf b = {0};
    char block[65536];
    ssize_t n;
    off_t at = 0;

    fflush(stdout);
    dup2(c->kept, 1);
    close(c->kept);
    while ((n = pread(c->fd, block, sizeof block, at)) > 0) {
        dk_buf_add(&b, block, (size_t)n);
        at += n;
    }
    close(c->fd);
    unlink(c->name);
    return b;
}

static FILE *memory(const dk_buf *b, size_t n) { return n ? fmemopen(b->s, n, "r") : fopen("/dev/null", "r"); }

/* All of a stream as its reader takes it, whatever its kind. */
static int take(const dk_buf *b, size_t n, const char *kind, dk_err *err)
{
    FILE *in = memory(b, n);
    dk_h5 *f = NULL;
    dk_tokens t = {0};
    int rc = dk_h5_open_stream(&f, in, "stream", kind, err);

    if (rc == 0 && dk_h5_find(f, "/rows/token"))
        rc = dk_tokens_get(f, &t, err);
    if (rc == 0)
        rc = dk_h5_finish(f, err);
    dk_tokens_free(&t);
    dk_h5_close(&f);
    fclose(in);
    return rc;
}

/* --- activations ---------------------------------------------------------------------- */
static float value(size_t what, size_t i)
{
    const uint32_t x = (uint32_t)(i * 2654435761u + 12345);

    return (float)(int32_t)x * 1e-7f * (what == 2 ? 1e-3f : 1) + (what == 1 ? (float)(x % 7) * 1e-2f : 0);
}

static void tokens_of(dk_tokens *t, size_t docs)
{
    uint32_t ids[100];

    *t = (dk_tokens){ .vocab = 999 };
    t->corpus_name = dk_xstrdup("a");
    t->corpus_sha256 = dk_xstrdup("c0");
    t->format = dk_xstrdup("text");
    t->bos = dk_xstrdup("none");
    for (size_t d = 0; d < docs; d++) {
        for (size_t i = 0; i < d % 100; i++)
            ids[i] = (uint32_t)(d * i % 999);
        dk_tokens_add_doc(t, d, ids, NULL, d % 100, NULL);
    }
}

static int write_acts(const char *path, size_t docs, bool delta, dk_err *err)
{
    static const char *const what[] = { "base", "ft", "diff" };
    static const dk_model_info m = { .arch = "llama", .weights_sha256 = "w", .adapter_scale = 0.1 + 0.2 };
    float *x[3];
    const float *rows[3];
    dk_acts_writer *w = NULL;
    dk_tokens t;
    int rc;

    tokens_of(&t, docs);
    rc = dk_acts_new(&w, path, &t, delta, &sample_prov, err);
    if (rc == 0)
        rc = dk_acts_add_model(w, "base", &m, err);
    for (size_t s = 0; s < 3; s++) {
        const dk_act_info a = { .layer = 7, .site = "mlp_out", .what = what[s], .computed_in = "f32",
                                .dtype = DK_H5_BF16, .delta = delta && s == 1, .d = D };

        rc = rc == 0 ? dk_acts_add(w, &a, err) : rc;
        x[s] = dk_xcalloc(t.rows * D, sizeof(float));
        for (size_t i = 0; i < t.rows * D; i++)
            x[s][i] = value(s, i);
    }
    for (size_t at = 0, n; rc == 0 && at < t.rows; at += n) {
        n = t.rows - at < 777 ? t.rows - at : 777;
        for (size_t s = 0; s < 3; s++)
            rows[s] = x[s] + at * D;
        rc = dk_acts_append(w, rows, n, err);
    }
    if (rc == 0)
        rc = dk_acts_commit(&w, err);
    dk_acts_abandon(&w);
    for (size_t s = 0; s < 3; s++)
        dk_free(x[s]);
    dk_tokens_free(&t);
    return rc;
}

static dk_buf acts_stream(size_t docs, bool delta)
{
    struct captured c = capture();
    dk_err err = {0};
    const int rc = write_acts("-", docs, delta, &err);
    dk_buf b = captured(&c);

    tap(rc == 0 && b.n > 8 && memcmp(b.s, "DKSTRM01", 8) == 0, "a stream of %zu documents: %zu bytes %s", docs, b.n,
        err.msg);
    return b;
}

/* Document by document, as means are taken. */
static bool same_rows(dk_acts *a, dk_err *err)
{
    static const char *const what[] = { "base", "ft", "diff" };
    const dk_tokens *t = dk_acts_tokens(a);
    float x[100 * D];
    size_t bad = 0, n = 0;

    for (size_t d = 0; d < t->docs; d++) {
        for (size_t s = 0; s < 3; s++) {
            const dk_act_info *i = dk_acts_find(a, 7, "mlp_out", what[s]);

            if (!i || dk_acts_read(a, i, t->offset[d], t->offset[d + 1] - t->offset[d], x, err) < 0)
                return false;
            for (size_t k = 0; k < (t->offset[d + 1] - t->offset[d]) * D; k++, n++)
                bad += x[k] != dk_bf16_f32(dk_f32_bf16(value(s, t->offset[d] * D + k)));
        }
        dk_acts_done(a, t->offset[d + 1]);
    }
    return bad == 0 && n > 0;
}

static void test_acts(const char *dir, bool delta)
{
    char *path = dk_xasprintf("%s/x.act.h5", dir), *other = dk_xasprintf("%s/x.strm", dir);
    dk_buf b = acts_stream(300, delta);
    dk_acts *a = NULL;
    dk_h5 *f = NULL;
    dk_err err = {0};
    FILE *in;

    tap(write_acts(path, 300, delta, &err) == 0 && dk_acts_open(&a, path, &err) == 0 && same_rows(a, &err),
        "%s: the file has the values %s", delta ? "delta" : "plain", err.msg);
    in = fopen(other, "wb");
    fwrite(b.s, 1, b.n, in);
    fclose(in);
    if (!freopen(other, "rb", stdin))
        abort();
    f = dk_acts_file(a);
    {
        char *id = dk_xstrdup(dk_h5_root_of(f)->content_id);
        dk_buf one = {0}, two = {0};

        dk_h5_lineage(f, "acts", &one, NULL);
        dk_acts_close(&a);
        tap(dk_acts_open(&a, "-", &err) == 0 && same_rows(a, &err) && dk_acts_finish(a, &err) == 0,
            "the stream has them, too %s", err.msg);
        tap(a && strcmp(dk_h5_root_of(dk_acts_file(a))->content_id, id) == 0, "and the content id of the file");
        dk_h5_lineage(dk_acts_file(a), "acts", &two, NULL);
        tap(one.n == two.n && memcmp(one.s, two.s, one.n) == 0 && strstr(one.s, "a.jsonl"), "and its lineage");
        dk_buf_free(&one);
        dk_buf_free(&two);
        dk_free(id);
    }
    if (a) {
        float x[D];
        dk_model_info m;

        tap(dk_acts_read(a, dk_acts_at(a, 0), 0, 1, x, &err) == DK_EDATA, "rows that have passed: %s", err.msg);
        tap(dk_h5_get_model(dk_acts_file(a), "base", &m, NULL) == 0 && m.adapter_scale == 0.1 + 0.2,
            "attributes come back to the last bit");
        dk_model_info_free(&m);
    }
    dk_acts_close(&a);
    dk_buf_free(&b);
    dk_free(path);
    dk_free(other);
}

/* --- what is refused -------------------------------------------------------------------- */
static void test_damage(void)
{
    dk_buf b = acts_stream(8, false), longer = {0};
    size_t cut = 0, flipped = 0, lines = 0;
    dk_err err = {0};

    tap(take(&b, b.n, "dk-activations", &err) == 0, "taken as it is %s", err.msg);
    for (size_t n = 0; n < b.n; n++) {
        err = (dk_err){0};
        cut += take(&b, n, NULL, &err) < 0;
        lines += err.msg[0] && !strchr(err.msg, '\n') && strstr(err.msg, "stream");
    }
    tap(cut == b.n && lines == b.n, "refused: cut after each of %zu bytes", b.n);
    lines = 0;
    for (size_t i = 0; i < b.n; i++) {
        b.s[i] ^= (char)(1 << i % 8);
        err = (dk_err){0};
        flipped += take(&b, b.n, NULL, &err) < 0;
        lines += err.msg[0] && !strchr(err.msg, '\n');
        b.s[i] ^= (char)(1 << i % 8);
    }
    /* A few bits of a zstd frame's header have no meaning. */
    tap(flipped + 40 >= b.n && lines == flipped, "refused: %zu of %zu with one bit changed", flipped, b.n);
    dk_buf_add(&longer, b.s, b.n);
    dk_buf_addc(&longer, 'x');
    err = (dk_err){0};
    tap(take(&longer, longer.n, NULL, &err) < 0 && strstr(err.msg, "after its end"), "refused: a byte more: %s", err.msg);
    err = (dk_err){0};
    tap(take(&b, b.n, "dk-tokens", &err) < 0 && strstr(err.msg, "holds dk-activations"), "refused: another kind: %s",
        err.msg);
    b.s[7] = '2';
    err = (dk_err){0};
    tap(take(&b, b.n, NULL, &err) < 0 && strstr(err.msg, "newer dk"), "refused: a newer form: %s", err.msg);
    dk_buf_free(&b);
    dk_buf_free(&longer);
}

/* --- streams made by hand ------------------------------------------------------------------ */
#define ROOT(version, features) "[\"encoding-type\",\"str\",\"dk-tokens\"],[\"encoding-version\",\"str\",\"" version "\"]," \
    "[\"features_required\",\"str\",\"" features "\"],[\"rows\",\"u64\",2],[\"docs\",\"u64\",1]"
#define HEAD(root, sets) "{\"groups\":[{\"path\":\"/\",\"attributes\":[" root "]}],\"datasets\":[" sets "]}"
#define SET(path, type, shape) "{\"path\":\"" path "\",\"type\":\"" type "\",\"shape\":[" shape "],\"attributes\":[]}"

struct part { dk_frame h; const char *rows; };

static int by_hand(const char *head, const struct part *part, size_t n, dk_err *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    dk_frames_out *o = dk_frames_out_new(out);
    dk_buf b;
    int rc;

    dk_frames_put(o, head, strlen(head), NULL, 0, NULL);
    for (size_t i = 0; i < n; i++) {
        uint8_t packed[DK_FRAME_HEAD];

        dk_frame_pack(packed, &part[i].h);
        dk_frames_put(o, packed, sizeof packed, part[i].rows, strlen(part[i].rows), NULL);
    }
    dk_frames_out_free(&o);
    fclose(out);
    b = (dk_buf){ text, size, size };
    rc = take(&b, size, NULL, err);
    free(text);
    return rc;
}

static void test_by_hand(void)
{
    static const struct { const char *name, *head; struct part part; const char *says; } bad[] = {
        { "no JSON", "{", {{0}, ""}, "no JSON" },
        { "a newer version", HEAD(ROOT("2.0", ""), ""), {{0}, ""}, "newer dk" },
        { "an unknown feature", HEAD(ROOT("1.0", "cakes"), ""), {{0}, ""}, "cakes" },
        { "no root", "{\"groups\":[],\"datasets\":[]}", {{0}, ""}, "encoding-type" },
        { "an unknown type", HEAD(ROOT("1.0", ""), SET("/x", "u128", "2")), {{0}, ""}, "no known type" },
        { "no shape", HEAD(ROOT("1.0", ""), SET("/x", "u32", "")), {{0}, ""}, "no known type or shape" },
        { "absurd rows", HEAD(ROOT("1.0", ""), SET("/x", "u32", "99999999999999")), {{0}, ""}, "absurd" },
        { "absurd width", HEAD(ROOT("1.0", ""), SET("/x", "u32", "2,4294967296,4294967296")), {{0}, ""}, "absurd" },
        { "two of a name", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2") "," SET("/x", "u8", "2")), {{0}, ""}, "one name" },
        { "an odd path", HEAD(ROOT("1.0", ""), SET("x//y", "u8", "2")), {{0}, ""}, "usable name" },
        { "fewer rows than the root says", HEAD(ROOT("1.0", ""), SET("/rows/x", "u8", "1")), {{0}, ""}, "promises 2" },
        { "an attribute twice", HEAD(ROOT("1.0", "") ",[\"rows\",\"u64\",2]", ""), {{0}, ""}, "another has" },
        { "rows of no dataset", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ 5, 0, 2, 2 }, "ab"}, "do not follow" },
        { "rows out of order", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ 0, 1, 1, 1 }, "a"}, "do not follow" },
        { "rows beyond the end", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ 0, 0, 3, 3 }, "abc"}, "do not follow" },
        { "another width", HEAD(ROOT("1.0", ""), SET("/x", "u16", "2")), {{ 0, 0, 2, 2 }, "ab"}, "do not follow" },
        { "another length", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ 0, 0, 2, 2 }, "abc"}, "another length" },
        { "missing rows", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ DK_FRAME_END, 0, 0, 2 }, "{}"}, "changed, lost" },
        { "an end that is no JSON", HEAD(ROOT("1.0", ""), SET("/x", "u8", "2")), {{ DK_FRAME_END, 0, 0, 1 }, "{"}, "end is no JSON" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dk_err err = {0};
        const int rc = by_hand(bad[i].head, &bad[i].part, 1, &err);

        tap(rc < 0 && strstr(err.msg, bad[i].says) && strncmp(err.msg, "stream", 6) == 0, "refused: %s: %s", bad[i].name, err.msg);
    }
}

/* A frame that unpacks to more than it may, and one with a promise of gigabytes. */
static void test_bombs(void)
{
    const size_t n = (size_t)DK_FRAME_TEXT + 5;
    char *zeros = dk_xcalloc(n, 1);
    dk_err err = {0};

    memset(zeros, ' ', n - 1);
    tap(by_hand(zeros, NULL, 0, &err) < 0 && strstr(err.msg, "too long"), "refused: a head of 16 MiB: %s", err.msg);
    dk_free(zeros);
    err = (dk_err){0};
    tap(by_hand(HEAD(ROOT("1.0", ""), SET("/x", "u8", "1099511627776")), NULL, 0, &err) < 0 && strstr(err.msg, "cut"),
        "a terabyte that does not come takes no memory: %s", err.msg);
}

static void test_deltas(void)
{
    size_t bad = 0, far = 0;

    for (uint32_t b = 0; b < 65536; b += 251)
        for (uint32_t v = 0; v < 65536; v++)
            bad += dk_act_undelta(dk_act_delta((uint16_t)v, (uint16_t)b), (uint16_t)b) != v;
    /* the next number up and down, across a power of two and across zero */
    far += dk_act_delta(0x3f80, 0x3f7f) != 2 || dk_act_delta(0x3f7f, 0x3f80) != 1 || dk_act_delta(0x3f80, 0x3f80) != 0;
    far += dk_act_delta(0x0000, 0x8000) != 2 || dk_act_delta(0x8000, 0x0000) != 1;
    tap(bad == 0 && far == 0, "deltas come back, and count bf16 numbers");
}

int main(void)
{
    char *dir = work_dir();

    test_acts(dir, false);
    test_acts(dir, true);
    test_damage();
    test_by_hand();
    test_bombs();
    test_deltas();
    remove_dir(dir);
    return tap_end();
}
