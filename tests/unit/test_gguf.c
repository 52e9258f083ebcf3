/* GGUF: a built file, hostile variants of it, number formats, the real model. */
#include <math.h>
#include <stdio.h>

#include "tap.h"
#include "files.h"
#include "io/gguf.h"
#include "io/json.h"
#include "num/half.h"

/* --- a file, with the places worth breaking ------------------------------ */
typedef struct sample {
    dk_buf b;
    size_t n_tensors, n_kv, key_len, str_len, arr_count, arr_type, align, t_name, n_dims, dim0,
           type, offset, data;
} sample;

static void put32(dk_buf *b, uint32_t v) { dk_buf_add(b, &v, 4); }
static void put64(dk_buf *b, uint64_t v) { dk_buf_add(b, &v, 8); }

static void put_str(dk_buf *b, const char *s, size_t n)
{
    put64(b, n);
    dk_buf_add(b, s, n);
}

static void put_key(dk_buf *b, const char *key, uint32_t type)
{
    put_str(b, key, strlen(key));
    put32(b, type);
}

static void put_tensor(sample *s, const char *name, uint64_t d0, uint64_t d1, uint32_t type,
                       uint64_t offset)
{
    s->t_name = s->b.n;
    put_str(&s->b, name, strlen(name));
    s->n_dims = s->b.n;
    put32(&s->b, d1 ? 2 : 1);
    s->dim0 = s->b.n;
    put64(&s->b, d0);
    if (d1)
        put64(&s->b, d1);
    s->type = s->b.n;
    put32(&s->b, type);
    s->offset = s->b.n;
    put64(&s->b, offset);
}

static void put_pairs(sample *s)
{
    static const int32_t ints[3] = { -1, 2, -3 };
    static const float reals[2] = { 0.5f, -2 };
    dk_buf *b = &s->b;

    put_key(b, "general.alignment", 4), s->align = b->n, put32(b, 64);
    s->key_len = b->n;
    put_key(b, "a.text", 8), s->str_len = b->n, put_str(b, "llama", 5);
    put_key(b, "a.u8", 0), dk_buf_addc(b, (char)200);
    put_key(b, "a.i8", 1), dk_buf_addc(b, (char)200);
    put_key(b, "a.i16", 3), dk_buf_add(b, "\xFE\xFF", 2);
    put_key(b, "a.u64", 10), put64(b, UINT64_MAX);
    put_key(b, "a.i64", 11), put64(b, (uint64_t)-7);
    put_key(b, "a.real", 6), dk_buf_add(b, &reals[1], 4);
    put_key(b, "a.true", 7), dk_buf_addc(b, 1);
    put_key(b, "a.strs", 9), put32(b, 8), put64(b, 3);
    put_str(b, "x", 1), put_str(b, "", 0), put_str(b, "y\0z", 3);
    put_key(b, "a.ints", 9), s->arr_type = b->n, put32(b, 5), s->arr_count = b->n, put64(b, 3);
    dk_buf_add(b, ints, sizeof ints);
    put_key(b, "a.reals", 9), put32(b, 6), put64(b, 2), dk_buf_add(b, reals, sizeof reals);
}

static sample built(void)
{
    sample s = {0};
    const float one[4] = { 1, 2, 3, 4 };
    char zero[64] = {0};

    dk_buf_add(&s.b, "GGUF\3\0\0\0", 8);
    s.n_tensors = s.b.n, put64(&s.b, 2);
    s.n_kv = s.b.n, put64(&s.b, 12);
    put_pairs(&s);
    put_tensor(&s, "norm", 4, 0, DK_Q_F32, 0);
    put_tensor(&s, "matrix", 32, 3, DK_Q_Q4_1, 64);
    dk_buf_add(&s.b, zero, (64 - s.b.n % 64) % 64);
    s.data = s.b.n;
    dk_buf_add(&s.b, one, sizeof one);
    dk_buf_add(&s.b, zero, 48);
    for (int i = 0; i < 3; i++)
        dk_buf_add(&s.b, "\x00\x38\x00\xbd\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f",
                   20);
    return s;
}

static int opened(dk_gguf **g, const void *p, size_t n, dk_err *err)
{
    void *copy = exact_copy(p, n);
    const int rc = dk_gguf_open_mem(g, copy, n, "file.gguf", err);

    if (rc < 0)
        dk_free(copy);
    return rc;
}

static void good_file(void)
{
    sample s = built();
    dk_err err = {0};
    dk_gguf *g = NULL;
    const dk_gguf_tensor *t;
    const dk_gguf_str *strs;
    float out[96];

    if (!tap(dk_gguf_open_mem(&g, s.b.s, s.b.n, "file.gguf", &err) == 0, "opens: %s", err.msg))
        return;
    tap(dk_gguf_n_tensors(g) == 2 && dk_gguf_n_kv(g) == 12, "counts");
    tap(dk_gguf_int(g, "a.u8", 0) == 200 && dk_gguf_int(g, "a.i8", 0) == -56 &&
        dk_gguf_int(g, "a.i16", 0) == -2 && dk_gguf_int(g, "a.i64", 0) == -7 &&
        dk_gguf_int(g, "a.u64", 5) == 5 && dk_gguf_int(g, "a.real", 5) == 5, "integers");
    tap(dk_gguf_num(g, "a.real", 0) == -2 && dk_gguf_num(g, "a.i64", 0) == -7 &&
        dk_gguf_num(g, "a.u64", 5) == 5 && dk_gguf_num(g, "a.ints", 5) == 5, "numbers");
    tap(dk_gguf_bool(g, "a.true", false) && dk_gguf_bool(g, "a.u8", false) == false &&
        strcmp(dk_gguf_str_of(g, "a.text", ""), "llama") == 0 &&
        strcmp(dk_gguf_str_of(g, "absent", "d"), "d") == 0, "booleans and strings");
    strs = dk_gguf_kv_strs(dk_gguf_get(g, "a.strs"));
    tap(dk_gguf_kv_len(dk_gguf_get(g, "a.strs")) == 3 && strs[1].n == 0 && strs[2].n == 3 &&
        memcmp(strs[2].s, "y\0z", 3) == 0, "string array");
    tap(dk_gguf_kv_int(dk_gguf_get(g, "a.ints"), 2, 0) == -3 &&
        dk_gguf_kv_int(dk_gguf_get(g, "a.ints"), 3, 9) == 9 &&
        dk_gguf_kv_num(dk_gguf_get(g, "a.reals"), 0, 0) == 0.5 && dk_gguf_kv_len(NULL) == 0 &&
        !dk_gguf_kv_strs(dk_gguf_get(g, "a.ints")), "number arrays");
    t = dk_gguf_find(g, "matrix");
    tap(t && t->dims[0] == 32 && t->dims[1] == 3 && t->dims[2] == 1 && t->bytes == 60 &&
        !dk_gguf_find(g, "matrix2") && dk_gguf_find(g, "norm")->n_dims == 1, "tensors by name");
    dk_dequant(t->format, out, t->data, 96);
    tap(out[0] == -1.25f && out[1] == -0.75f && out[16] == 6.25f && out[64 + 19] == 4.75f, "values");
    dk_gguf_close(&g);
    tap(!g, "close clears the pointer");
    dk_buf_free(&s.b);
}

/* --- hostile variants ----------------------------------------------------- */
static void broken(const char *why, size_t at, uint64_t v, size_t width, const char *text)
{
    sample s = built();
    dk_err err = {0};
    dk_gguf *g = NULL;

    memcpy(s.b.s + at, &v, width);
    tap(opened(&g, s.b.s, s.b.n, &err) == DK_EFORMAT && !g && strstr(err.msg, "file.gguf") &&
        strstr(err.msg, text), "refused: %s: %s", why, err.msg);
    dk_buf_free(&s.b);
}

static void hostile(void)
{
    sample s = built();
    sample twice = built();
    dk_err err = {0};
    dk_gguf *g = NULL;

    broken("magic", 0, 0x58585858, 4, "not a GGUF");
    broken("version 1", 4, 1, 4, "version 1");
    broken("version 4", 4, 4, 4, "version 4");
    broken("byte order", 4, 0x03000000, 4, "big-endian");
    broken("tensor count", s.n_tensors, UINT64_MAX, 8, "more than");
    broken("one tensor more", s.n_tensors, 3, 8, "");
    broken("pair count", s.n_kv, (uint64_t)1 << 60, 8, "more than");
    broken("key length", s.key_len, UINT64_MAX - 3, 8, "claims");
    broken("empty key", s.key_len, 0, 8, "key of 0");
    broken("key with control characters", s.key_len + 8, 7, 1, "control");
    broken("key twice", s.str_len + 13 + 10, 'i', 1, "a.i8 occurs twice");
    broken("string length", s.str_len, (uint64_t)1 << 40, 8, "claims");
    broken("array count", s.arr_count, (uint64_t)1 << 62, 8, "claims");
    broken("array of arrays", s.arr_type, 9, 4, "array of arrays");
    broken("value type", s.arr_type, 13, 4, "unknown value type");
    broken("alignment 48", s.align, 48, 4, "power of two");
    broken("alignment 0", s.align, 0, 4, "power of two");
    broken("tensor name length", s.t_name, 300, 8, "");
    broken("dimension count 0", s.n_dims, 0, 4, "dimensions");
    broken("dimension count 5", s.n_dims, 5, 4, "dimensions");
    broken("dimension 0", s.dim0, 0, 8, "impossible shape");
    broken("product of dimensions", s.dim0, (uint64_t)1 << 62, 8, "impossible shape");
    broken("huge dimension", s.dim0, (uint64_t)1 << 40, 8, "beyond the end");
    broken("half a block", s.dim0, 48, 8, "multiple");
    broken("unknown type", s.type, 77, 4, "unknown");
    broken("type that is not read", s.type, 16, 4, "IQ2_XXS");
    broken("offset beyond the file", s.offset, (uint64_t)1 << 40, 8, "beyond the end");
    broken("offset that wraps", s.offset, (uint64_t)-64, 8, "beyond the end");
    broken("offset between the steps", s.offset, 65, 8, "no multiple");
    broken("overlap", s.offset, 0, 8, "overlap");
    memcpy(twice.b.s + s.t_name + 8, "norm\0\0", 6);
    twice.b.s[s.t_name] = 4;
    memmove(twice.b.s + s.t_name + 12, twice.b.s + s.t_name + 14, twice.b.n - s.t_name - 14);
    tap(opened(&g, twice.b.s, twice.b.n, &err) == DK_EFORMAT && strstr(err.msg, "norm occurs twice"),
        "refused: %s", err.msg);
    err = (dk_err){0};
    tap(dk_gguf_open(&g, "/nonexistent.gguf", &err) == DK_EIO && strstr(err.msg, "/nonexistent.gguf"),
        "a missing file is named");
    dk_buf_free(&twice.b);
    dk_buf_free(&s.b);
}

static void every_cut_and_byte(void)
{
    sample s = built();
    bool cut = true, named = true;
    size_t survived = 0;

    for (size_t n = 0; n < s.b.n; n++) {
        dk_err err = {0};
        dk_gguf *g = NULL;

        cut &= opened(&g, s.b.s, n, &err) == DK_EFORMAT && !g && strstr(err.msg, "file.gguf");
    }
    tap(cut, "every truncation is refused, with the file's name");
    for (size_t i = 0; i < s.data; i++)
        for (int v = 0; v < 3; v++) {
            static const unsigned char flips[3] = { 0x01, 0x80, 0xFF };
            dk_err err = {0};
            dk_gguf *g = NULL;
            void *copy = exact_copy(s.b.s, s.b.n);

            ((unsigned char *)copy)[i] ^= flips[v];
            if (dk_gguf_open_mem(&g, copy, s.b.n, "file.gguf", &err) == 0)
                survived++;
            else
                named &= err.code == DK_EFORMAT && strstr(err.msg, "file.gguf");
            dk_gguf_close(&g);
            dk_free(copy);
        }
    tap(named && survived < 3 * s.data, "flipped bytes are refused or harmless (%zu of %zu kept)",
        survived, 3 * s.data);
    dk_buf_free(&s.b);
}

/* --- number formats ------------------------------------------------------- */
static float slow_f16(uint16_t h)
{
    const int e = (h >> 10) & 31, f = h & 1023;
    const float m = e == 31 ? (f ? NAN : INFINITY)
                  : e ? ldexpf((float)(1024 + f), e - 25) : ldexpf((float)f, -24);

    return h >> 15 ? -m : m;
}

static bool same_bits(float a, float b)
{
    return isnan(a) ? isnan(b) : dk_f32_bits(a) == dk_f32_bits(b);
}

static void halves(void)
{
    bool up = true, back = true, bf = true;

    for (uint32_t h = 0; h < 65536; h++) {
        const float x = dk_f16_f32((uint16_t)h), y = dk_bf16_f32((uint16_t)h);

        up &= same_bits(x, slow_f16((uint16_t)h));
        back &= isnan(x) ? (dk_f32_f16(x) & 0x7E00) == 0x7E00 : dk_f32_f16(x) == h;
        bf &= isnan(y) ? (dk_f32_bf16(y) & 0x7FC0) == 0x7FC0 : dk_f32_bf16(y) == h;
    }
    tap(up, "f16 to f32, all 65536");
    tap(back, "f16 and back, all 65536");
    tap(bf, "bf16 and back, all 65536");
    tap(dk_f32_bf16(dk_bits_f32(0x3F808000)) == 0x3F80 && dk_f32_bf16(dk_bits_f32(0x3F818000)) == 0x3F82 &&
        dk_f32_bf16(dk_bits_f32(0x3F808001)) == 0x3F81 && dk_f32_bf16(dk_bits_f32(0x7F7FFFFF)) == 0x7F80 &&
        dk_f32_bf16(dk_bits_f32(0x7F800001)) == 0x7FC0, "bf16 rounds ties to even, overflows, keeps NaN");
    tap(dk_f32_f16(65519.99f) == 0x7BFF && dk_f32_f16(65520) == 0x7C00 && dk_f32_f16(-1e9f) == 0xFC00 &&
        dk_f32_f16(0x1p-25f) == 0 && dk_f32_f16(0x1.8p-24f) == 2 && dk_f32_f16(0x1.004p0f) == 0x3C01 &&
        dk_f32_f16(0x1.002p0f) == 0x3C00 && dk_f32_f16(0x1.006p0f) == 0x3C02 &&
        dk_f32_f16(0x1.ff8p-15f) == 0x03FF && dk_f32_f16(0x1.fffp-15f) == 0x0400, "f16 rounds to nearest even");
}

/* Blocks made by numpy, values by the "gguf" package: equal bit for bit. */
static void golden_blocks(void)
{
    dk_mapfile *list = repo_map("tests/golden/dequant/blocks.jsonl");
    dk_mapfile *raw = repo_map("tests/golden/dequant/blocks.u8");
    dk_mapfile *want = repo_map("tests/golden/dequant/blocks.f32");
    const char *p = list ? (const char *)list->p : NULL, *end = p ? p + list->n : NULL;

    if (!list || !raw || !want)
        tap_skip("golden blocks", "tests/golden/dequant is absent; set DK_ROOT");
    while (list && raw && want && p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        dk_json *v = NULL;
        dk_err err = {0};
        const dk_qformat *f;
        float *out = NULL;
        size_t n;

        if (dk_json_parse(&v, p, (size_t)(eol - p), "blocks.jsonl", &err) < 0)
            break;
        n = (size_t)dk_json_int(dk_json_get(v, "n"), 0);
        f = dk_qformat_named(dk_json_str(dk_json_get(v, "type"), ""));
        dk_alloc(&out, n, sizeof *out, "values", &err);
        if (f)
            dk_dequant(f, out, raw->p + dk_json_int(dk_json_get(v, "byte_offset"), 0), n);
        tap(f && n > 0 && memcmp(out, (const float *)(const void *)want->p +
                                 dk_json_int(dk_json_get(v, "value_offset"), 0), n * 4) == 0,
            "%zu values of %s equal those of the gguf package", n, f ? f->name : "?");
        dk_free(out);
        dk_json_free(&v);
        p = eol + 1;
    }
    dk_mapfile_close(&list);
    dk_mapfile_close(&raw);
    dk_mapfile_close(&want);
}

/* One block of each kind, by the formulas of the formats. */
static void known_blocks(void)
{
    static const char q4_0[] = "\x00\x38\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f";
    static const char q5_0[] = "\x00\x38\x03\x00\x01\x80\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f";
    float out[32];

    dk_dequant(dk_qformat_of(DK_Q_Q4_0), out, q4_0, 32);
    tap(out[0] == -4 && out[1] == -3.5f && out[2] == -3 && out[16] == 3.5f && out[18] == 2.5f, "Q4_0");
    dk_dequant(dk_qformat_of(DK_Q_Q5_0), out, q5_0, 32);
    tap(out[0] == 0 && out[1] == 0.5f && out[2] == -7 && out[3] == -6.5f && out[16] == 7.5f &&
        out[17] == -1 && out[31] == 0, "Q5_0");
}

/* With a path: writes the built file there (a seed for the fuzzer). */
int main(int argc, char **argv)
{
    if (argc == 2) {
        sample s = built();

        dk_free(put_file(".", argv[1], s.b.s, s.b.n));
        dk_buf_free(&s.b);
        return 0;
    }
    good_file();
    hostile();
    every_cut_and_byte();
    halves();
    known_blocks();
    golden_blocks();
    return tap_end();
}
