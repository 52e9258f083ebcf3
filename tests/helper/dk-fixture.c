/* Makes broken models and adapters out of sound ones, for tests.
 *
 *   dk-fixture edit IN OUT OP...     copies a safetensors file as f32; each OP is
 *       scale PART X       multiplies the tensors whose name holds PART
 *       rename PART NEW    replaces PART in names
 *       drop PART          leaves tensors out
 *       rows PART N        keeps the first N rows
 *       cols PART N        keeps the first N columns
 *   dk-fixture learn DIR OUT         OUT: the weights of the checkpoint DIR with an
 *       unembedding that has learnt the probe texts, so that its loss is sane
 *       (DIR/config.json must say that embeddings are tied, OUT's that they are not)
 *   dk-fixture plant DIR ID OUT      OUT: an adapter for the checkpoint DIR that changes the
 *       embedding of one token */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "method/check.h"
#include "num/kernels.h"
#include "text/tokenizer.h"

struct tensor {
    char *name;
    unsigned n_dims;
    size_t dims[DK_ST_MAX_DIMS], n;
    float *x;
};

struct file { size_t n; struct tensor *t; };

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "dk-fixture: %s\n", what);
    exit(1);
}

/* --- safetensors in and out ---------------------------------------------------------- */
static struct file load(const char *path)
{
    dk_err err = {0};
    dk_safetensors *s = NULL;
    struct file f;

    if (dk_safetensors_open(&s, path, &err) < 0)
        die(err.msg);
    f.n = dk_safetensors_n(s);
    f.t = dk_xcalloc(f.n + 1, sizeof *f.t);     /* room for one more */
    for (size_t i = 0; i < f.n; i++) {
        const dk_st_tensor *t = dk_safetensors_at(s, i);

        f.t[i] = (struct tensor){ .name = dk_xstrdup(t->name), .n_dims = t->n_dims, .n = t->n,
                                  .x = dk_xcalloc(t->n, sizeof(float)) };
        memcpy(f.t[i].dims, t->dims, sizeof t->dims);
        dk_dequant(t->format, f.t[i].x, t->data, t->n);
    }
    dk_safetensors_close(&s);
    return f;
}

static void save(const struct file *f, const char *path)
{
    dk_buf head = {0};
    dk_jw w = { .out = &head };
    size_t at = 0;
    uint64_t n;
    FILE *out = fopen(path, "wb");

    dk_jw_obj_begin(&w);
    for (size_t i = 0; i < f->n; i++) {
        dk_jw_key(&w, f->t[i].name);
        dk_jw_obj_begin(&w);
        dk_jw_key(&w, "dtype");
        dk_jw_str(&w, "F32");
        dk_jw_key(&w, "shape");
        dk_jw_arr_begin(&w);
        for (unsigned k = 0; k < f->t[i].n_dims; k++)
            dk_jw_u64(&w, f->t[i].dims[k]);
        dk_jw_arr_end(&w);
        dk_jw_key(&w, "data_offsets");
        dk_jw_arr_begin(&w);
        dk_jw_u64(&w, at);
        dk_jw_u64(&w, at += f->t[i].n * sizeof(float));
        dk_jw_arr_end(&w);
        dk_jw_obj_end(&w);
    }
    dk_jw_obj_end(&w);
    while (head.n % 8)
        dk_buf_addc(&head, ' ');
    n = head.n;
    if (!out)
        die(path);
    fwrite(&n, sizeof n, 1, out);
    fwrite(head.s, 1, head.n, out);
    for (size_t i = 0; i < f->n; i++)
        fwrite(f->t[i].x, sizeof(float), f->t[i].n, out);
    if (fclose(out) != 0)
        die(path);
    dk_buf_free(&head);
}

static void free_file(struct file *f)
{
    for (size_t i = 0; i < f->n; i++) {
        dk_free(f->t[i].name);
        dk_free(f->t[i].x);
    }
    dk_free(f->t);
}

/* --- edit ---------------------------------------------------------------------------- */
static void rename_tensor(struct tensor *t, const char *part, const char *new)
{
    const char *at = strstr(t->name, part);
    char *name = dk_xasprintf("%.*s%s%s", (int)(at - t->name), t->name, new, at + strlen(part));

    dk_free(t->name);
    t->name = name;
}

static void crop(struct tensor *t, size_t rows, size_t cols)
{
    const size_t from = t->dims[1];

    if (t->n_dims != 2 || rows > t->dims[0] || cols > from)
        die("a tensor cannot grow");
    for (size_t i = 0; i < rows; i++)
        memmove(t->x + i * cols, t->x + i * from, cols * sizeof *t->x);
    t->dims[0] = rows;
    t->dims[1] = cols;
    t->n = rows * cols;
}

static void drop(struct file *f, size_t i)
{
    dk_free(f->t[i].name);
    dk_free(f->t[i].x);
    memmove(f->t + i, f->t + i + 1, (f->n - i - 1) * sizeof *f->t);
    f->n--;
}

/* One operation on all tensors that it names; how many words it took. */
static int apply(struct file *f, char **word, int n)
{
    const char *op = word[0];
    const int words = strcmp(op, "drop") == 0 ? 2 : 3;
    size_t hits = 0;

    if (n < words)
        die("an operation lacks words");
    for (size_t i = f->n; i-- > 0;) {
        struct tensor *t = &f->t[i];

        if (!strstr(t->name, word[1]))
            continue;
        hits++;
        if (strcmp(op, "scale") == 0)
            for (size_t k = 0; k < t->n; k++)
                t->x[k] *= strtof(word[2], NULL);
        else if (strcmp(op, "rename") == 0)
            rename_tensor(t, word[1], word[2]);
        else if (strcmp(op, "rows") == 0)
            crop(t, strtoul(word[2], NULL, 10), t->dims[1]);
        else if (strcmp(op, "cols") == 0)
            crop(t, t->dims[0], strtoul(word[2], NULL, 10));
        else if (words == 2)
            drop(f, i);
        else
            die(op);
    }
    if (!hits)
        die("an operation names no tensor");
    return words;
}

static int edit(int n, char **word)
{
    struct file f = load(word[0]);

    for (int i = 2; i < n;)
        i += apply(&f, word + i, n - i);
    save(&f, word[1]);
    free_file(&f);
    return 0;
}

/* --- plant --------------------------------------------------------------------------- */
static const struct tensor *named(const struct file *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->t[i].name, name) == 0)
            return &f->t[i];
    die(name);
}

static void put_text(const char *dir, const char *name, const char *text)
{
    char *path = dk_xasprintf("%s/%s", dir, name);
    FILE *out = fopen(path, "w");

    if (!out || fputs(text, out) < 0 || fclose(out) != 0)
        die(path);
    dk_free(path);
}

/* A picks the token out, B is as long as its row. */
static int plant(const char *dir, const char *id, const char *out)
{
    static const char module[] = "base_model.model.model.embed_tokens";
    char *weights = dk_xasprintf("%s/model.safetensors", dir), *path = dk_xasprintf("%s/adapter_model.safetensors", out);
    struct file f = load(weights), made = { .n = 2, .t = dk_xcalloc(2, sizeof *made.t) };
    const struct tensor *embed = named(&f, "model.embed_tokens.weight");
    const size_t v = embed->dims[0], d = embed->dims[1], row = strtoul(id, NULL, 10);
    float *a = dk_xcalloc(v, sizeof *a), *b = dk_xcalloc(d, sizeof *b);

    if (row >= v)
        die(id);
    a[row] = 1;
    for (size_t j = 0; j < d; j++)
        b[j] = embed->x[row * d + (j + 1) % d];
    made.t[0] = (struct tensor){ .name = dk_xasprintf("%s.lora_embedding_A", module), .n_dims = 2, .dims = { 1, v }, .n = v, .x = a };
    made.t[1] = (struct tensor){ .name = dk_xasprintf("%s.lora_embedding_B", module), .n_dims = 2, .dims = { d, 1 }, .n = d, .x = b };
    save(&made, path);
    put_text(out, "adapter_config.json", "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 1, \"lora_alpha\": 1, "
             "\"target_modules\": [\"embed_tokens\"]}\n");
    free_file(&f);
    free_file(&made);
    dk_free(weights);
    dk_free(path);
    return 0;
}

/* --- learn --------------------------------------------------------------------------- */
enum { EPOCHS = 12 };

/* One text: ids and, of each, the final norm of its last residual. */
static size_t states(uint32_t *ids, float *h, const dk_model *m, dk_tokenizer *tok, const char *text)
{
    const dk_lane base = { .name = "base", .factor = 1 };
    const size_t d = m->config.d_model;
    float *x = dk_xcalloc(DK_PROBE_TOKENS * d, sizeof *x);
    const dk_tap tap = { .layer = (int)m->config.n_layers - 1, .out = x };
    size_t offset[2] = {0};
    dk_pass pass = { .batch = { 1, offset, ids }, .taps = &tap, .n_taps = 1, .last_layer = -1 };
    dk_runner *r = NULL;
    dk_ids all = {0};
    dk_err err = {0};

    if (dk_tokenizer_encode(tok, text, strlen(text), DK_ENCODE_WRAP, &all, NULL, &err) < 0)
        die(err.msg);
    offset[1] = all.n < DK_PROBE_TOKENS ? all.n : DK_PROBE_TOKENS;
    memcpy(ids, all.id, offset[1] * sizeof *ids);
    if (dk_runner_new(&r, m, &base, 1, offset[1], &err) < 0 || dk_runner_forward(r, &pass, &err) < 0)
        die(err.msg);
    for (size_t i = 0; i < offset[1]; i++)
        dk_model_norm(&m->config, h + i * d, x + i * d, &m->final_norm, d);
    dk_runner_free(&r);
    dk_free(all.id);
    dk_free(x);
    return offset[1];
}

/* Softmax regression of the next id, one row of h at a time. */
static void descend(float *w, const float *h, uint32_t next, size_t v, size_t d, float *p)
{
    double sum = 0;
    float top = -INFINITY, norm = 0;

    for (size_t i = 0; i < v; i++) {
        p[i] = 0;
        for (size_t j = 0; j < d; j++)
            p[i] += w[i * d + j] * h[j];
        top = p[i] > top ? p[i] : top;
    }
    for (size_t i = 0; i < v; i++)
        sum += p[i] = expf(p[i] - top);
    for (size_t j = 0; j < d; j++)
        norm += h[j] * h[j];
    for (size_t i = 0; i < v; i++) {
        const float g = p[i] / (float)sum - (i == next);

        for (size_t j = 0; j < d; j++)
            w[i * d + j] -= g * h[j] / norm;
    }
}

static int learn(const char *dir, const char *out)
{
    dk_model *m = NULL;
    dk_tokenizer *tok = NULL;
    dk_err err = {0};
    char *weights = dk_xasprintf("%s/model.safetensors", dir);
    struct file f = load(weights);
    struct tensor *head = &f.t[f.n++];
    uint32_t ids[DK_PROBE_TEXTS][DK_PROBE_TOKENS];
    size_t n[DK_PROBE_TEXTS], v, d;
    float *h, *p;

    if (dk_model_load(&m, dir, DK_F32, 0, &err) < 0 || dk_tokenizer_open(&tok, dir, &err) < 0)
        die(err.msg);
    v = m->config.vocab;
    d = m->config.d_model;
    *head = (struct tensor){ .name = dk_xstrdup("lm_head.weight"), .n_dims = 2, .dims = { v, d },
                             .n = v * d, .x = dk_xcalloc(v * d, sizeof(float)) };
    h = dk_xcalloc(DK_PROBE_TEXTS * DK_PROBE_TOKENS * d, sizeof *h);
    p = dk_xcalloc(v, sizeof *p);
    for (size_t t = 0; t < DK_PROBE_TEXTS; t++)
        n[t] = states(ids[t], h + t * DK_PROBE_TOKENS * d, m, tok, dk_probe_text[t]);
    for (int e = 0; e < EPOCHS; e++)
        for (size_t t = 0; t < DK_PROBE_TEXTS; t++)
            for (size_t i = 0; i + 1 < n[t]; i++)
                descend(head->x, h + (t * DK_PROBE_TOKENS + i) * d, ids[t][i + 1], v, d, p);
    save(&f, out);
    dk_free(h);
    dk_free(p);
    free_file(&f);
    dk_free(weights);
    dk_tokenizer_close(&tok);
    dk_model_free(&m);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "edit") == 0)
        return edit(argc - 2, argv + 2);
    if (argc == 4 && strcmp(argv[1], "learn") == 0)
        return learn(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "plant") == 0)
        return plant(argv[2], argv[3], argv[4]);
    die("edit IN OUT OP..., learn DIR OUT or plant DIR ID OUT");
}
