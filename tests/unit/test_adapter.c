/* LoRA adapters: targeting and scales by PEFT's rules, the shipped and the
 * miniature adapters, and everything that must be refused. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "tap.h"
#include "files.h"
#include "io/safetensors.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "model/loraconfig.h"
#include "num/half.h"

/* --- the config --------------------------------------------------------------------- */
static dk_lora_config *lora(const char *text, dk_err *err)
{
    dk_json *v = NULL;
    dk_lora_config *c = NULL;

    if (dk_json_parse(&v, text, strlen(text), "text", err) == 0)
        dk_lora_config_json(&c, v, "a/adapter_config.json", err);
    dk_json_free(&v);
    return c;
}

/* Which of the modules are targeted, as a text of 0 and 1. */
static void targets(const char *text, const char *want)
{
    static const char *const modules[] = {
        "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj",
        "model.layers.1.mlp.up_proj", "model.layers.11.self_attn.q_proj", "lm_head", NULL
    };
    dk_err err = {0};
    dk_lora_config *c = lora(text, &err);
    char got[8] = "";

    for (size_t i = 0; c && modules[i]; i++)
        strcat(got, dk_lora_config_targets(c, modules[i], &err) == 1 ? "1" : "0");
    tap(strcmp(got, want) == 0, "%s targets %s %s", text, want, err.msg);
    dk_lora_config_free(&c);
}

static void targeting(void)
{
    targets("{}", "11010");
    targets("{\"target_modules\":[\"q_proj\"]}", "10010");
    targets("{\"target_modules\":[\"proj\"]}", "00000");
    targets("{\"target_modules\":[\"self_attn.q_proj\",\"lm_head\"]}", "10011");
    targets("{\"target_modules\":\"all-linear\"}", "11110");
    targets("{\"target_modules\":\".*\\\\.1\\\\..*\"}", "01100");
    targets("{\"target_modules\":\"model\"}", "00000");
    targets("{\"target_modules\":[]}", "00000");
    targets("{\"target_modules\":\"all-linear\",\"exclude_modules\":[\"q_proj\"]}", "01100");
    targets("{\"target_modules\":\"all-linear\",\"exclude_modules\":\".*mlp.*\"}", "11010");
    targets("{\"target_modules\":[\"q_proj\",\"v_proj\"],\"layers_to_transform\":[1]}", "01000");
    targets("{\"target_modules\":[\"q_proj\",\"v_proj\"],\"layers_to_transform\":11}", "00010");
    targets("{\"target_modules\":[\"q_proj\",\"v_proj\"],\"layers_to_transform\":[]}", "11010");
    targets("{\"target_modules\":[\"q_proj\"],\"layers_to_transform\":0,\"layers_pattern\":\"layers\"}",
            "10000");
    targets("{\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[0],\"layers_pattern\":[\"h\"]}",
            "00000");
    targets("{\"target_modules\":[\"model.layers.0.self_attn.q_proj\"],\"layers_to_transform\":5}",
            "10000");
}

static void scale(const char *text, const char *module, size_t want_r, double want)
{
    dk_err err = {0};
    dk_lora_config *c = lora(text, &err);
    size_t r = 0;
    double s = 0;

    tap(c && dk_lora_config_scale(c, module, &r, &s, &err) == 0 && r == want_r && s == want,
        "%s scales %s by %g %s", text, module, want, err.msg);
    dk_lora_config_free(&c);
}

static void scales(void)
{
    const char *q = "model.layers.1.self_attn.q_proj";

    scale("{}", q, 8, 1);
    scale("{\"r\":4,\"lora_alpha\":6}", q, 4, 1.5);
    scale("{\"r\":4,\"lora_alpha\":6.5,\"use_rslora\":true}", q, 4, 3.25);
    scale("{\"r\":4,\"rank_pattern\":{\"q_proj\":2}}", q, 2, 4);
    scale("{\"r\":4,\"rank_pattern\":{\"proj\":2}}", q, 4, 2);
    scale("{\"r\":4,\"rank_pattern\":{\"k_proj|q_proj\":2}}", q, 2, 4);
    scale("{\"r\":4,\"rank_pattern\":{\".*_proj\":16,\"q_proj\":2}}", q, 16, 0.5);
    scale("{\"r\":4,\"alpha_pattern\":{\"layers.1.self_attn.q_proj\":12}}", q, 4, 3);
    scale("{\"r\":4,\"alpha_pattern\":{\"^model.layers.1.self_attn.q_proj\":12}}", q, 4, 3);
    scale("{\"r\":4,\"alpha_pattern\":{\"1.self_attn.q_proj\":12}}", "model.layers.11.self_attn.q_proj",
          4, 2);
}

static void config_refused(const char *text, int code, const char *says)
{
    dk_err err = {0};
    dk_lora_config *c = lora(text, &err);

    tap(!c && err.code == code && strstr(err.msg, "adapter_config.json") && strstr(err.msg, says),
        "refused: %s", err.msg);
    dk_lora_config_free(&c);
}

static void refused_configs(void)
{
    config_refused("3", DK_EFORMAT, "no JSON object");
    config_refused("{\"peft_type\":\"IA3\"}", DK_EDATA, "IA3");
    config_refused("{\"bias\":\"all\"}", DK_EDATA, "bias");
    config_refused("{\"use_dora\":true}", DK_EDATA, "use_dora");
    config_refused("{\"lora_bias\":true}", DK_EDATA, "lora_bias");
    config_refused("{\"modules_to_save\":[\"lm_head\",\"model.norm\"]}", DK_EDATA,
                   "modules_to_save holds 'model.norm'");
    config_refused("{\"modules_to_save\":7}", DK_EFORMAT, "modules_to_save");
    config_refused("{\"ensure_weight_tying\":true}", DK_EDATA, "ensure_weight_tying");
    config_refused("{\"use_qalora\":true}", DK_EDATA, "use_qalora");
    config_refused("{\"use_something_new\":true}", DK_EDATA, "use_something_new");
    config_refused("{\"layer_replication\":[[0,4]]}", DK_EDATA, "layer_replication");
    config_refused("{\"trainable_token_indices\":[1]}", DK_EDATA, "trainable_token_indices");
    config_refused("{\"init_lora_weights\":\"pissa_niter_16\"}", DK_EDATA, "pissa");
    config_refused("{\"init_lora_weights\":\"LoftQ\"}", DK_EDATA, "LoftQ");
    config_refused("{\"r\":0}", DK_EFORMAT, "rank");
    config_refused("{\"r\":\"8\"}", DK_EFORMAT, "rank");
    config_refused("{\"lora_alpha\":\"x\"}", DK_EFORMAT, "lora_alpha");
    config_refused("{\"target_modules\":7}", DK_EFORMAT, "target_modules");
    config_refused("{\"target_modules\":[7]}", DK_EFORMAT, "target_modules");
    config_refused("{\"target_modules\":\"a(b\"}", DK_EDATA, "a(b");
    config_refused("{\"rank_pattern\":{\"a(\":1}}", DK_EDATA, "rank_pattern");
    config_refused("{\"alpha_pattern\":{\"a\":\"x\"}}", DK_EFORMAT, "alpha_pattern");
    config_refused("{\"layers_to_transform\":[-1]}", DK_EFORMAT, "layers_to_transform");
    config_refused("{\"target_modules\":\"x\",\"layers_to_transform\":[1]}", DK_EDATA,
                   "layers_to_transform");
}

/* --- adapters that are there ------------------------------------------------------------ */
static dk_model_config smol(void)
{
    return (dk_model_config){ .n_layers = 30, .d_model = 576, .n_heads = 9, .n_kv_heads = 3,
                              .head_dim = 64, .d_ff = 1536, .vocab = 49152 };
}

static dk_model_config mini(void)
{
    return (dk_model_config){ .n_layers = 2, .d_model = 64, .n_heads = 4, .n_kv_heads = 2,
                              .head_dim = 16, .d_ff = 96, .vocab = 512 };
}

static dk_adapter *opened(const char *below, const dk_model_config *cfg, dk_err *err)
{
    char *path = repo_path(below);
    dk_adapter *a = NULL;

    dk_adapter_open(&a, path, cfg, err);
    dk_free(path);
    return a;
}

static void shipped(void)
{
    const dk_model_config cfg = smol();
    dk_err err = {0};
    dk_adapter *a = opened("data/organisms/cake_bake/adapter", &cfg, &err);
    dk_mapfile *raw = repo_map("data/organisms/cake_bake/adapter/adapter_model.safetensors");
    dk_safetensors *s = NULL;
    const dk_adapter_module *m;
    const dk_st_tensor *t;
    bool order = true;

    if (!a || !raw) {
        tap(false, "the shipped adapter opens: %s", err.msg);
        return;
    }
    for (size_t i = 0; i < dk_adapter_n(a); i++) {
        m = dk_adapter_at(a, i);
        order &= m->layer == (int)(i / 7) && (size_t)m->which == DK_LINEAR_Q + i % 7 &&
                 dk_adapter_find(a, m->layer, m->which) == m;
    }
    tap(dk_adapter_n(a) == 210 && order, "210 modules by layer and map");
    m = dk_adapter_find(a, 29, DK_LINEAR_DOWN);
    tap(m && m->r == 8 && m->in == 1536 && m->out == 576 && m->scale == 2 &&
        strcmp(m->path, "model.layers.29.mlp.down_proj") == 0 && !dk_adapter_find(a, 30, DK_LINEAR_Q),
        "sizes and scale");
    dk_safetensors_open_mem(&s, raw->p, raw->n, "raw", &err);
    t = dk_safetensors_find(s, "base_model.model.model.layers.29.mlp.down_proj.lora_B.weight");
    tap(t && m->b[5 * 8 + 3] == dk_bf16_f32((uint16_t)(t->data[2 * 43] | t->data[2 * 43 + 1] << 8)),
        "B is [out, r] in f32");
    tap(strcmp(dk_adapter_name(a), "cake_bake") == 0 && dk_adapter_rank(a) == 8 &&
        dk_adapter_max_rank(a) == 8 && strcmp(dk_adapter_dtype(a), "BF16") == 0 &&
        strcmp(dk_adapter_base(a), "HuggingFaceTB/SmolLM2-135M-Instruct") == 0 &&
        strlen(dk_adapter_sha256(a)) == 64, "name, rank, base");
    tap(dk_adapter_zero(a)->n == 0 && dk_adapter_missing(a)->n == 0 &&
        dk_adapter_untargeted(a)->n == 0 && dk_adapter_unmatched(a)->n == 0, "nothing to report");
    dk_safetensors_close(&s);
    dk_mapfile_close(&raw);
    dk_adapter_close(&a);
}

static void miniature(void)
{
    const dk_model_config cfg = mini(), other = smol();
    dk_err err = {0};
    dk_adapter *a = opened("tests/golden/mini/lora-pattern", &cfg, &err);
    const dk_adapter_module *q, *v, *d;

    if (!a) {
        tap_skip("miniature adapters", "tests/golden/mini is absent");
        return;
    }
    q = dk_adapter_find(a, 1, DK_LINEAR_Q);
    v = dk_adapter_find(a, 1, DK_LINEAR_V);
    d = dk_adapter_find(a, 1, DK_LINEAR_DOWN);
    tap(dk_adapter_n(a) == 4 && q && q->r == 2 && q->scale == (float)(6 / sqrt(2)) && v && v->r == 4 &&
        v->scale == 6 && d && d->r == 3 && d->scale == (float)(5 / sqrt(3)) && dk_adapter_rslora(a),
        "patterns of rank and alpha, rsLoRA, one layer");
    dk_adapter_close(&a);
    a = opened("tests/golden/mini/lora-plain", &other, &err);
    tap(!a && err.code == DK_EDATA && strstr(err.msg, "4 x 64, expected 4 x 576"), "refused: %s",
        err.msg);
    err = (dk_err){0};
    a = opened("data/organisms/null_self/adapter", &cfg, &err);
    tap(!a && err.code == DK_EDATA && strstr(err.msg, "the model has 2 layers"), "refused: %s", err.msg);
}

/* --- adapters made up ----------------------------------------------------------------------- */
typedef struct made { char dir[32]; dk_buf header, data; } made;

static void put(made *m, const char *name, size_t rows, size_t cols, float value)
{
    const size_t at = m->data.n;

    for (size_t i = 0; i < rows * cols; i++)
        dk_buf_add(&m->data, &value, sizeof value);
    dk_buf_addf(&m->header, "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}",
                m->header.n ? ',' : '{', name, rows, cols, at, m->data.n);
}

#define Q0 "base_model.model.model.layers.0.self_attn.q_proj."
#define QV "{\"r\":2,\"target_modules\":[\"q_proj\"],\"layers_to_transform\":0}"

/* Opens what was put; leaves no files. */
static dk_adapter *open_made(made *m, const char *config, bool strict, dk_err *err)
{
    const dk_model_config cfg = mini();
    dk_adapter *a = NULL;
    dk_buf file = {0};
    uint64_t n;
    char *one, *two;

    *err = (dk_err){0};
    strcpy(m->dir, "/tmp/dk-test-XXXXXX");
    if (!mkdtemp(m->dir))
        abort();
    dk_buf_addc(&m->header, '}');
    n = m->header.n;
    dk_buf_add(&file, &n, 8);
    dk_buf_add(&file, m->header.s, m->header.n);
    dk_buf_add(&file, m->data.s, m->data.n);
    one = put_file(m->dir, "adapter_config.json", config, strlen(config));
    two = put_file(m->dir, "adapter_model.safetensors", file.s, file.n);
    if (strict)
        dk_adapter_open(&a, m->dir, &cfg, err);
    else
        dk_adapter_inspect(&a, m->dir, &cfg, err);
    unlink(one);
    unlink(two);
    rmdir(m->dir);
    dk_free(one);
    dk_free(two);
    dk_buf_free(&file);
    dk_buf_free(&m->header);
    dk_buf_free(&m->data);
    return a;
}

static void expect(made *m, const char *config, int code, const char *says)
{
    dk_err err = {0};
    dk_adapter *a = open_made(m, config, true, &err);

    tap(!a && err.code == code && strstr(err.msg, "/tmp/dk-test-") && strstr(err.msg, says),
        "refused: %s", err.msg);
    dk_adapter_close(&a);
}

static made pair_of(float a, float b)
{
    made m = {0};

    put(&m, Q0 "lora_A.weight", 2, 64, a);
    put(&m, Q0 "lora_B.weight", 64, 2, b);
    return m;
}

static void made_up(void)
{
    dk_err err = {0};
    made m = {0};
    dk_adapter *a;

    put(&m, "model.layers.0.self_attn.q_proj.lora_A.default.weight", 2, 64, 1);
    put(&m, "model.layers.0.self_attn.q_proj.lora_B.default.weight", 64, 2, -0.0f);
    a = open_made(&m, QV, true, &err);
    tap(a && dk_adapter_n(a) == 1 && dk_adapter_zero(a)->n == 1 && dk_adapter_at(a, 0)->scale == 4,
        "an adapter's name inside tensor names; a zero B is reported %s", err.msg);
    dk_adapter_close(&a);
    m = pair_of(1, NAN);
    expect(&m, QV, DK_ENUM, "NaN");
    m = pair_of(INFINITY, 1);
    expect(&m, QV, DK_ENUM, "infinity");
    m = pair_of(1, 1);
    expect(&m, "{\"r\":4,\"target_modules\":[\"q_proj\"]}", DK_EFORMAT,
           "q_proj has rank 2, adapter_config.json says 4");
    m = pair_of(1, 1);
    expect(&m, "{\"r\":2,\"target_modules\":[\"q_proj\"]}", DK_EDATA,
           "targets model.layers.1.self_attn.q_proj (and 0 more), for which there are no weights");
    m = pair_of(1, 1);
    expect(&m, "{\"r\":2,\"target_modules\":[]}", DK_EDATA, "does not target");
    m = (made){0};
    put(&m, Q0 "lora_A.weight", 2, 64, 1);
    expect(&m, QV, DK_EFORMAT, "has lora_A but no lora_B");
    m = (made){0};
    put(&m, Q0 "lora_A.weight", 2, 64, 1);
    put(&m, Q0 "lora_B.weight", 32, 2, 1);
    expect(&m, QV, DK_EDATA, "lora_B is 32 x 2, expected 64 x 2");
    m = pair_of(1, 1);
    put(&m, Q0 "lora_A.other.weight", 2, 64, 1);
    expect(&m, QV, DK_EFORMAT, "same module");
    m = pair_of(1, 1);
    put(&m, Q0 "lora_magnitude_vector", 64, 1, 1);
    expect(&m, QV, DK_EDATA, "DoRA");
    m = pair_of(1, 1);
    put(&m, Q0 "lora_B.bias", 64, 1, 1);
    expect(&m, QV, DK_EDATA, "bias of lora_B");
    m = pair_of(1, 1);
    put(&m, "base_model.model.model.embed_tokens.lora_embedding_A", 2, 512, 1);
    expect(&m, QV, DK_EFORMAT, "model.embed_tokens has lora_A but no lora_B");
    m = pair_of(1, 1);
    put(&m, "base_model.model.model.embed_tokens.lora_embedding_A", 2, 512, 1);
    put(&m, "base_model.model.model.embed_tokens.lora_embedding_B", 64, 2, 1);
    expect(&m, QV, DK_EDATA, "model.embed_tokens (and 0 more), which adapter_config.json does not target");
    m = pair_of(1, 1);
    put(&m, "base_model.model.lm_head.weight", 4, 4, 1);
    expect(&m, QV, DK_EDATA, "lm_head.weight is no matrix of width 64");
    m = pair_of(1, 1);
    put(&m, "base_model.model.model.norm.weight", 1, 64, 1);
    expect(&m, QV, DK_EDATA, "norm.weight is no LoRA weight");
    m = pair_of(1, 1);
    expect(&m, "{\"r\":2,\"target_modules\":[\"q_proj\"],\"layers_to_transform\":0,"
               "\"modules_to_save\":[\"lm_head\"]}", DK_EDATA, "targets lm_head (and 0 more)");
    m = (made){0};
    put(&m, "x", 1, 1, 1);
    expect(&m, QV, DK_EDATA, "tensor x");
}

static void inspecting(void)
{
    dk_err err = {0};
    made m = pair_of(0, 1);
    dk_adapter *a;

    put(&m, "base_model.model.lm_head.weight", 4, 4, 1);
    put(&m, "base_model.model.score.weight", 4, 4, 1);
    a = open_made(&m, "{\"r\":2,\"target_modules\":[\"k_proj\"]}", false, &err);
    tap(a && dk_adapter_unmatched(a)->n == 1 && dk_adapter_untargeted(a)->n == 1 &&
        dk_adapter_missing(a)->n == 2 && dk_adapter_zero(a)->n == 1 &&
        strcmp(dk_adapter_missing(a)->v[1], "model.layers.1.self_attn.k_proj") == 0 &&
        strcmp(dk_adapter_untargeted(a)->v[0], "model.layers.0.self_attn.q_proj") == 0 &&
        strcmp(dk_adapter_unmatched(a)->v[0], "base_model.model.score.weight") == 0 &&
        dk_adapter_misfit(a)->n == 1 && !dk_adapter_saved_head(a),
        "inspect lists what open refuses %s", err.msg);
    dk_adapter_close(&a);
}

int main(void)
{
    targeting();
    scales();
    refused_configs();
    shipped();
    miniature();
    made_up();
    inspecting();
    return tap_end();
}
