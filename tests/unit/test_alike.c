/* Blocks before the first in which lanes differ: run once for all of them, with the
 * bits of lanes that run by themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "files.h"
#include "io/stwrite.h"
#include "model/lanes.h"
#include "tap.h"

enum { LANES = 3, ROWS = 11, SEQS = 2, LAYERS = 2, STREAM = LAYERS + 1, SITES = STREAM + 2 };

static dk_model *model;
static dk_adapter *early, *late;        /* late: none of its modules is in the first block */
static const uint32_t ids[ROWS] = { 5, 17, 80, 3, 200, 41, 9, 9, 77, 150, 6 }, others[ROWS] = { 8, 17, 80 };
static const size_t offset[SEQS + 1] = { 0, 7, ROWS };

static void must(int rc, const dk_err *err)
{
    if (rc < 0) {
        tap(false, "%s", err->msg);
        exit(tap_end());
    }
}

/* --- rows that go through products ------------------------------------------------- */
static size_t seen;
static const dk_ops *real;

static int counting(dk_dev *dev, const dk_project_args *a, dk_err *err)
{
    seen += a->m;
    return real->project(dev, a, err);
}

static void count_rows(void)
{
    static dk_ops ops;

    real = dk_device()->ops;
    ops = *real;
    ops.project = counting;
    dk_device()->ops = &ops;
}

/* --- an adapter of the last block alone ---------------------------------------------- */
static void write_late(const char *dir)
{
    static const char config[] = "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"layers_to_transform\":[1],"
        "\"target_modules\":[\"down_proj\",\"gate_proj\",\"k_proj\",\"o_proj\",\"q_proj\",\"up_proj\",\"v_proj\"]}";
    char *path = dk_xasprintf("%s/adapter_model.safetensors", dir);
    dk_st_out out[32];
    size_t n = 0;
    dk_err err = {0};

    for (size_t i = 0; i < dk_adapter_n(early); i++) {
        const dk_adapter_module *m = dk_adapter_at(early, i);

        if (m->layer != 1)
            continue;
        out[n++] = (dk_st_out){ dk_xasprintf("base_model.model.%s.lora_A.weight", m->path), 2, { m->r, m->in }, m->a };
        out[n++] = (dk_st_out){ dk_xasprintf("base_model.model.%s.lora_B.weight", m->path), 2, { m->out, m->r }, m->b };
    }
    must(dk_st_write(path, out, n, (const char *const[]){ NULL }, &err), &err);
    while (n-- > 0)
        dk_free((void *)(size_t)out[n].name);
    dk_free(path);
    dk_free(put_file(dir, "adapter_config.json", config, sizeof config - 1));
}

static void open_all(dk_dtype dtype)
{
    char *base = repo_path("tests/golden/mini/mini.gguf"), *plain = repo_path("tests/golden/mini/lora-plain");
    char dir[] = "/tmp/dk-alike-XXXXXX", file[64];
    dk_err err = {0};

    must(dk_model_load(&model, base, dtype, 1, &err), &err);
    must(dk_adapter_open(&early, plain, &model->config, &err), &err);
    if (!mkdtemp(dir))
        abort();
    write_late(dir);
    must(dk_adapter_open(&late, dir, &model->config, &err), &err);
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", dir);
    unlink(file);
    snprintf(file, sizeof file, "%s/adapter_config.json", dir);
    unlink(file);
    rmdir(dir);
    dk_free(base);
    dk_free(plain);
}

/* --- passes --------------------------------------------------------------------------- */
/* What a pass gave: the residual stream before, between and behind the blocks and what goes into the
 * second one's products, of each lane and as its difference; logits of the last rows, also one step later. */
struct got { size_t rows; float *tap[LANES][2][SITES], *logits, *next; };

struct how { size_t n; const dk_adapter *adapter[LANES]; bool diff; const dk_edit *edit; const uint32_t *const *lane_ids; };

/* A cache whose slots held another sequence. */
static void soil(dk_kv *kv, size_t lanes)
{
    const size_t n = lanes * SEQS * ROWS * model->config.n_kv_heads * model->config.head_dim;
    float *x = dk_xcalloc(n, sizeof *x), *at[2];
    dk_err err = {0};

    for (size_t i = 0; i < n; i++)
        x[i] = 3;
    for (size_t l = 0; l < LAYERS; l++) {
        dk_kv_layer(kv, l, &at[0], &at[1]);
        for (int v = 0; v < 2; v++)
            must(dk_device()->ops->put(dk_device(), at[v], x, n * sizeof *x, &err), &err);
    }
    dk_free(x);
}

static struct got run(const struct how *how)
{
    const size_t vocab = model->config.vocab, last[SEQS] = { 6, ROWS - 1 }, step[] = { 0, 1, 2 };
    const size_t map[] = { 0, 1 }, ends[] = { 0, 1 };
    const uint32_t next[SEQS] = { 12, 90 };
    dk_lane lane[LANES] = {{0}};
    dk_tap taps[2 * LANES * SITES];
    struct got g = {0};
    dk_pass p = { .batch = { SEQS, offset, ids }, .lane_ids = how->lane_ids, .taps = taps, .edits = how->edit,
                  .n_edits = how->edit != NULL, .last_layer = -1 };
    dk_runner *r = NULL;
    dk_err err = {0};

    for (size_t l = 0; l < how->n; l++) {
        lane[l] = (dk_lane){ .name = "a", .adapter = how->adapter[l], .factor = 1 };
        for (size_t k = 0; k < 2 * SITES; k++) {
            const int at = (int)(k % SITES);
            const dk_site site = at < STREAM ? DK_SITE_OUT : at == STREAM ? DK_SITE_QKV : DK_SITE_ATTN_ADD;

            g.tap[l][k / SITES][at] = dk_xcalloc(ROWS * dk_site_width(&model->config, site), sizeof(float));
            taps[p.n_taps++] = (dk_tap){ .layer = at < STREAM ? at - 1 : 0, .lane = l, .out = g.tap[l][k / SITES][at],
                                         .site = site, .diff = k >= SITES };
        }
    }
    g.logits = dk_xcalloc(how->n * (SEQS + DK_BLOCK_ROWS_MAX) * vocab, sizeof(float));
    g.next = dk_xcalloc(how->n * (SEQS + DK_BLOCK_ROWS_MAX) * vocab, sizeof(float));
    must(dk_runner_new(&r, model, lane, how->n, ROWS, &err), &err);
    if (how->diff)
        must(dk_runner_diff(r, &err), &err);
    must(dk_kv_new(&p.kv, &model->config, how->n, SEQS, ROWS, &err), &err);
    soil(p.kv, how->n);
    dk_kv_map(p.kv, map, SEQS);
    seen = 0;
    must(dk_runner_forward(r, &p, &err), &err);
    g.rows = seen;
    must(dk_runner_logits(r, last, SEQS, g.logits, &err), &err);
    p = (dk_pass){ .batch = { SEQS, step, next }, .last_layer = -1, .kv = p.kv, .steps = true };
    must(dk_runner_forward(r, &p, &err), &err);
    must(dk_runner_logits(r, ends, SEQS, g.next, &err), &err);
    dk_kv_free(&p.kv);
    dk_runner_free(&r);
    return g;
}

static void release(struct got *g)
{
    for (size_t l = 0; l < LANES; l++)
        for (size_t k = 0; k < 2 * SITES; k++)
            dk_free(g->tap[l][k / SITES][k % SITES]);
    dk_free(g->logits);
    dk_free(g->next);
}

static bool same_lane(const struct got *a, size_t la, const struct got *b, size_t lb, bool diff)
{
    const size_t v = SEQS * model->config.vocab;
    bool same = memcmp(a->logits + la * v, b->logits + lb * v, v * 4) == 0 &&
                memcmp(a->next + la * v, b->next + lb * v, v * 4) == 0;

    for (size_t t = 0; t < SITES; t++) {
        const size_t n = ROWS * (t == STREAM ? dk_site_width(&model->config, DK_SITE_QKV) : model->config.d_model);

        same = same && memcmp(a->tap[la][0][t], b->tap[lb][0][t], n * 4) == 0;
        for (size_t i = 0; diff && i < n; i++)      /* whatever the sign of a zero */
            same = same && a->tap[la][1][t][i] == b->tap[lb][1][t][i];
    }
    return same;
}

static size_t rows_of(size_t first, size_t second) { return ROWS * DK_N_GROUPS * (first + second); }

static void pairs(const char *dtype)
{
    const struct how both = { 2, { NULL, late }, false, NULL, NULL }, all = { 3, { NULL, late, early }, false, NULL, NULL },
        base = { 1, { NULL }, false, NULL, NULL }, alone = { 1, { late }, false, NULL, NULL },
        diff = { 2, { NULL, late }, true, NULL, NULL }, diffs = { 3, { NULL, late, early }, true, NULL, NULL };
    struct got g = run(&both), of_all = run(&all), of_base = run(&base), of_late = run(&alone), d = run(&diff),
               ds = run(&diffs);

    tap(g.rows == rows_of(1, 2) && of_all.rows == rows_of(3, 3), "%s: the first block runs once for both, not with a lane "
        "that differs there: %zu and %zu rows", dtype, g.rows, of_all.rows);
    tap(d.rows == rows_of(1, 2) && ds.rows == rows_of(3, 3), "%s: the same of differences", dtype);
    tap(same_lane(&g, 0, &of_base, 0, false) && same_lane(&g, 1, &of_late, 0, false), "%s: the bits of lanes by themselves",
        dtype);
    tap(same_lane(&g, 0, &of_all, 0, true) && same_lane(&g, 1, &of_all, 1, true), "%s: the bits of lanes that all run",
        dtype);
    tap(same_lane(&d, 0, &ds, 0, true) && same_lane(&d, 1, &ds, 1, true), "%s: differences: likewise", dtype);
    release(&g);
    release(&of_all);
    release(&of_base);
    release(&of_late);
    release(&d);
    release(&ds);
}

/* What else tells lanes apart. */
static void others_differ(void)
{
    const size_t d = model->config.d_model;
    float *v = dk_xcalloc(d, sizeof *v);
    const dk_edit edit = { .layer = 0, .lane = 1, .vector = v, .strength = 2 }, before = { .layer = -1, .lane = 1, .vector = v, .strength = 2 };
    const uint32_t *const same[] = { ids, ids }, *const own[] = { ids, others };
    const struct how edited = { 2, { NULL }, false, &edit, NULL }, at_once = { 2, { NULL }, false, &before, NULL },
        whole = { 3, { NULL, NULL, early }, false, &edit, NULL }, alike = { 2, { NULL }, false, NULL, same },
        apart = { 2, { NULL }, false, NULL, own };
    struct got e, b, w, s, a;

    for (size_t i = 0; i < d; i++)
        v[i] = (float)(i % 5) - 1.5f;
    e = run(&edited);
    w = run(&whole);
    b = run(&at_once);
    s = run(&alike);
    a = run(&apart);
    tap(e.rows == rows_of(1, 2) && b.rows == rows_of(2, 2), "an edit behind a block: lanes are alike up to there");
    tap(same_lane(&e, 0, &w, 0, true) && same_lane(&e, 1, &w, 1, true) && !same_lane(&e, 0, &e, 1, false),
        "the edited lane has the bits that it has beside one that runs from the first block");
    tap(s.rows == rows_of(1, 1) && a.rows == rows_of(2, 2), "lanes with ids of their own: alike where these are");
    release(&e);
    release(&b);
    release(&w);
    release(&s);
    release(&a);
    dk_free(v);
}

static void on(const char *device)
{
    char name[32];

    count_rows();
    for (int i = 0; i < 2; i++) {
        open_all(i ? DK_BF16 : DK_F32);
        snprintf(name, sizeof name, "%s, %s", device, i ? "bf16" : "f32");
        pairs(name);
        if (i == 0)
            others_differ();
        dk_adapter_close(&early);
        dk_adapter_close(&late);
        dk_model_free(&model);
    }
    dk_device()->ops = real;
}

/* The emulation of a card beside this program, unless another library is named. */
static bool card(void)
{
    char path[2200];
    const ssize_t n = readlink("/proc/self/exe", path, 2000);

    path[n > 0 ? n : 0] = 0;
    if (strrchr(path, '/'))
        strcpy(strrchr(path, '/'), "/../lib/libdk_cuda_emu.so");
    if (access(path, R_OK) == 0 && !getenv("DK_CUDA_LIB")) {
        setenv("DK_CUDA_LIB", path, 1);
        setenv("DK_CUBLASLT_LIB", path, 1);
    }
    return getenv("DK_CUDA_LIB") != NULL;
}

int main(void)
{
    dk_err err = {0};

    on("cpu");
    if (card()) {
        must(dk_device_select("cuda", &err), &err);
        on("cuda");
    } else
        tap_skip("the same on a card", "neither its library nor the emulation");
    return tap_end();
}
