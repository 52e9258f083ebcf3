/* Configurations and checkpoints: the real model and the miniature in all its
 * forms against golden sums, and everything that must be refused. */
#include <stdio.h>
#include <unistd.h>

#include "tap.h"
#include "files.h"
#include "base/hash.h"
#include "io/json.h"
#include "model/checkpoint.h"

/* --- configurations -------------------------------------------------------------- */
#define SIZES "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":96," \
              "\"num_hidden_layers\":2,\"num_attention_heads\":4"
#define LLAMA "\"architectures\":[\"LlamaForCausalLM\"],"

static int config(dk_model_config *c, const char *text, dk_err *err)
{
    dk_json *v = NULL;
    int rc = dk_json_parse(&v, text, strlen(text), "text", err);

    if (rc == 0)
        rc = dk_model_config_json(c, v, "dir/config.json", err);
    dk_json_free(&v);
    return rc;
}

static void config_refused(const char *text, int code, const char *says)
{
    dk_model_config c;
    dk_err err = {0};

    tap(config(&c, text, &err) == code && strstr(err.msg, "config.json") && strstr(err.msg, says),
        "refused: %s", err.msg);
}

static void configs(void)
{
    dk_model_config c;
    dk_err err = {0};

    tap(config(&c, "{" LLAMA SIZES "}", &err) == 0 && c.head_dim == 16 && c.n_kv_heads == 4 &&
        c.norm_eps == 1e-6 && c.rope.theta == 10000 && !c.tied && c.bos == -1 && c.n_eos == 0 &&
        c.rope.kind == DK_ROPE_PLAIN && strcmp(c.dtype, "float32") == 0, "defaults %s", err.msg);
    tap(config(&c, "{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":2,\"head_dim\":32,"
                   "\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
                   "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                   "\"original_max_position_embeddings\":8192},\"eos_token_id\":[5,7,5,512],"
                   "\"bos_token_id\":1,\"attention_bias\":true,\"torch_dtype\":\"bfloat16\"}", &err) == 0 &&
        c.rope.kind == DK_ROPE_LLAMA3 && c.rope.factor == 8 && c.rope.original == 8192 &&
        c.rope.theta == 500000 && c.n_eos == 2 && c.eos[1] == 7 && c.bos == 1 && c.qkv_bias &&
        c.o_bias && !c.mlp_bias && c.head_dim == 32 && strcmp(c.dtype, "bfloat16") == 0,
        "old-style llama3 scaling, lists of ids, bias flags %s", err.msg);
    tap(config(&c, "{" LLAMA SIZES ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,"
                   "\"rope_theta\":20000}}", &err) == 0 &&
        c.rope.kind == DK_ROPE_LINEAR && c.rope.theta == 20000 && c.rope.factor == 2, "new-style RoPE");
    config_refused("[]", DK_EFORMAT, "no JSON object");
    config_refused("{}", DK_EFORMAT, "no architecture");
    config_refused("{\"architectures\":[\"Foo\"]}", DK_EDATA, "architecture Foo is not known");
    config_refused("{" LLAMA "\"hidden_size\":64}", DK_EFORMAT, "has no num_hidden_layers");
    config_refused("{" LLAMA SIZES ",\"num_key_value_heads\":3}", DK_EFORMAT, "cannot share");
    config_refused("{" LLAMA SIZES ",\"num_key_value_heads\":0}", DK_EFORMAT, "key-value heads is 0");
    config_refused("{" LLAMA SIZES ",\"head_dim\":15}", DK_EFORMAT, "odd");
    config_refused("{" LLAMA SIZES ",\"rms_norm_eps\":0}", DK_EFORMAT, "epsilon");
    config_refused("{" LLAMA SIZES ",\"rms_norm_eps\":\"x\"}", DK_EFORMAT, "no number");
    config_refused("{" LLAMA SIZES ",\"rope_theta\":-1}", DK_EFORMAT, "rope_theta");
    config_refused("{" LLAMA SIZES ",\"max_position_embeddings\":-5}", DK_EFORMAT, "whole number");
    config_refused("{" LLAMA SIZES ",\"hidden_act\":\"gelu\"}", DK_EDATA, "activation 'gelu'");
    config_refused("{" LLAMA SIZES ",\"rope_scaling\":{\"type\":\"dynamic\"}}", DK_EDATA, "'dynamic'");
    config_refused("{" LLAMA SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}",
                   DK_EFORMAT, "original positions");
    config_refused("{" LLAMA SIZES ",\"quantization_config\":{\"bits\":4}}", DK_EDATA, "quantization");
    config_refused("{" LLAMA SIZES ",\"partial_rotary_factor\":0.5}", DK_EDATA, "partial_rotary");
    config_refused("{" LLAMA "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":96,"
                   "\"num_hidden_layers\":1001,\"num_attention_heads\":4}", DK_EFORMAT, "layers is 1001");
    config_refused("{" LLAMA "\"vocab_size\":512,\"hidden_size\":65,\"intermediate_size\":96,"
                   "\"num_hidden_layers\":2,\"num_attention_heads\":4}", DK_EFORMAT, "divide");
    config_refused("{" LLAMA "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":96,"
                   "\"num_hidden_layers\":2,\"num_attention_heads\":0}", DK_EFORMAT, "heads");
}

/* --- values --------------------------------------------------------------------------- */
static void tensor_sum(const dk_checkpoint *c, const char *name, char hex[65])
{
    size_t rows = 0, cols = 0;
    float *x = NULL;
    dk_err err = {0};

    *hex = 0;
    if (dk_checkpoint_find(c, name, &rows, &cols) &&
        dk_alloc(&x, rows * cols, sizeof *x, "a tensor", &err) == 0 &&
        dk_checkpoint_rows(c, name, x, 0, rows, &err) == 0)
        dk_sha256_mem(x, rows * cols * sizeof *x, hex);
    dk_free(x);
}

/* Every tensor of the real model has the sum that the gguf package's values have. */
static void real_model(void)
{
    const char *path = getenv("DK_TEST_MODEL");
    dk_mapfile *list = repo_map("tests/golden/dequant/tensors.jsonl");
    dk_checkpoint *c = NULL;
    dk_err err = {0};
    size_t n = 0, good = 0;
    char hex[65];

    if (!path || !list || dk_checkpoint_open(&c, path, &err) < 0) {
        tap_skip("the real model", path ? err.msg : "DK_TEST_MODEL is not set");
        dk_mapfile_close(&list);
        return;
    }
    for (const char *p = (const char *)list->p, *end = p + list->n, *eol;
         p < end && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1) {
        dk_json *v = NULL;
        const char *name;

        dk_json_parse(&v, p, (size_t)(eol - p), "tensors.jsonl", &err);
        name = dk_json_str(dk_json_get(v, "name"), "");
        tensor_sum(c, name, hex);
        n++;
        good += strcmp(hex, dk_json_str(dk_json_get(v, "sha256"), "?")) == 0 &&
                strcmp(dk_checkpoint_type(c, name), dk_json_str(dk_json_get(v, "type"), "?")) == 0;
        dk_json_free(&v);
    }
    tap(n > 0 && good == n && n == dk_checkpoint_n(c), "%zu of %zu tensors have the golden sum", good,
        n);
    tap(dk_checkpoint_quantised(c) && dk_checkpoint_config(c)->tied, "it is quantised and tied");
    dk_checkpoint_drop(c);
    tensor_sum(c, "model.norm.weight", hex);
    tap(strlen(hex) == 64, "reads again after the pages were dropped");
    dk_checkpoint_close(&c);
    dk_mapfile_close(&list);
}

static dk_checkpoint *mini(const char *form)
{
    char *below = dk_xasprintf("tests/golden/mini/%s", form), *path = repo_path(below);
    dk_checkpoint *c = NULL;
    dk_err err = {0};

    if (dk_checkpoint_open(&c, path, &err) < 0)
        tap_note("%s", err.msg);
    dk_free(path);
    dk_free(below);
    return c;
}

/* The same numbers lie in a GGUF file, one safetensors file and two shards. */
static void three_forms(void)
{
    dk_checkpoint *g = mini("mini.gguf"), *one = mini("hf"), *two = mini("hf-sharded");
    bool same = g && one && two && dk_checkpoint_n(g) == 20 && dk_checkpoint_n(one) == 20;
    char a[65], b[65], d[65];
    dk_err err = {0};

    for (size_t i = 0; same && i < dk_checkpoint_n(g); i++) {
        const char *name = dk_checkpoint_name_at(g, i);

        tensor_sum(g, name, a);
        tensor_sum(one, name, b);
        tensor_sum(two, name, d);
        same &= strlen(a) == 64 && strcmp(a, b) == 0 && strcmp(b, d) == 0;
    }
    if (!tap(same, "GGUF, one file and shards hold the same numbers"))
        return;
    tap(dk_checkpoint_quantised(g) && !dk_checkpoint_quantised(one) && dk_checkpoint_gguf(g) &&
        !dk_checkpoint_gguf(one) && strcmp(dk_checkpoint_type(one, "model.norm.weight"), "BF16") == 0,
        "stored types");
    tap(dk_checkpoint_config(one)->n_eos == 2 && dk_checkpoint_config(one)->eos[1] == 0 &&
        dk_checkpoint_config(g)->n_eos == 1 && strcmp(dk_checkpoint_config(one)->name, "hf") == 0 &&
        strcmp(dk_checkpoint_config(g)->name, "mini") == 0, "end tokens and names");
    tap(dk_checkpoint_sha256(g, a, &err) == 0 && dk_checkpoint_sha256(one, b, &err) == 0 &&
        dk_checkpoint_sha256(two, d, &err) == 0 && strcmp(a, b) != 0 && strcmp(b, d) != 0 &&
        strlen(d) == 64, "sums of the files");
    dk_checkpoint_close(&g);
    dk_checkpoint_close(&one);
    dk_checkpoint_close(&two);
}

static void some_rows(void)
{
    const char *q = "model.layers.0.self_attn.q_proj.weight";
    dk_checkpoint *c = mini("mini.gguf");
    dk_err err = {0};
    float all[64 * 64], part[7 * 64];
    size_t rows = 0, cols = 0;
    bool same;

    if (!c)
        return;
    same = dk_checkpoint_rows(c, q, all, 0, 64, &err) == 0;
    for (size_t r = 0; r + 7 <= 64; r++)
        same &= dk_checkpoint_rows(c, q, part, r, 7, &err) == 0 &&
                memcmp(part, all + r * 64, sizeof part) == 0;
    tap(same, "rows in pieces equal rows at once");
    tap(dk_checkpoint_find(c, "lm_head.weight", &rows, &cols) && rows == 512 && cols == 64 &&
        strcmp(dk_checkpoint_type(c, "lm_head.weight"), "Q8_0") == 0, "a tied head is the embedding");
    tap(dk_checkpoint_find(c, "model.norm.weight", &rows, &cols) && rows == 1 && cols == 64 &&
        !dk_checkpoint_find(c, "model.layers.2.input_layernorm.weight", &rows, &cols) &&
        !dk_checkpoint_type(c, "x"), "vectors and absent tensors");
    tap(dk_checkpoint_rows(c, q, all, 60, 5, &err) == DK_EDATA && strstr(err.msg, "64 rows"), "%s",
        err.msg);
    err = (dk_err){0};
    tap(dk_checkpoint_rows(c, "x", all, 0, 0, &err) == DK_EDATA, "%s", err.msg);
    dk_checkpoint_close(&c);
}

/* --- directories that do not hold ------------------------------------------------------- */
static char *slurp(const char *below)
{
    dk_mapfile *m = repo_map(below);
    char *s = m ? dk_xstrndup((const char *)m->p, m->n) : NULL;

    dk_mapfile_close(&m);
    return s;
}

/* A directory with config.json = the miniature's with "from" made "to". */
static void put_config(const char *dir, const char *from, const char *to)
{
    char *text = slurp("tests/golden/mini/hf/config.json"), *at = strstr(text, from);
    dk_buf b = {0};

    if (!at)
        abort();
    dk_buf_add(&b, text, (size_t)(at - text));
    dk_buf_adds(&b, to);
    dk_buf_adds(&b, at + strlen(from));
    dk_free(put_file(dir, "config.json", b.s, b.n));
    dk_buf_free(&b);
    dk_free(text);
}

static void directory_refused(const char *dir, const char *says)
{
    dk_checkpoint *c = NULL;
    dk_err err = {0};
    const int rc = dk_checkpoint_open(&c, dir, &err);

    tap(rc < 0 && !c && strstr(err.msg, dir) && strstr(err.msg, says), "refused: %s", err.msg);
    dk_checkpoint_close(&c);
}

static void put_index(const char *dir, const char *file)
{
    char *text = dk_xasprintf("{\"weight_map\":{\"model.norm.weight\":\"%s\"}}", file);

    dk_free(put_file(dir, "model.safetensors.index.json", text, strlen(text)));
    dk_free(text);
}

static void bad_directories(void)
{
    char dir[] = "/tmp/dk-test-XXXXXX", *weights, *index;
    dk_mapfile *m = repo_map("tests/golden/mini/hf/model.safetensors");

    if (!m || !mkdtemp(dir)) {
        tap_skip("bad directories", "tests/golden/mini is absent");
        return;
    }
    directory_refused("/nonexistent", "cannot open");
    directory_refused(dir, "config.json");
    put_config(dir, "512", "512");
    directory_refused(dir, "neither model.safetensors nor");
    put_index(dir, "../x.safetensors");
    directory_refused(dir, "no file name in that directory");
    put_index(dir, "/etc/passwd");
    directory_refused(dir, "no file name in that directory");
    put_index(dir, "x\\u0000y");
    directory_refused(dir, "no file name in that directory");
    put_index(dir, "absent.safetensors");
    directory_refused(dir, "absent.safetensors");
    index = put_file(dir, "model.safetensors.index.json", "{}", 2);
    directory_refused(dir, "no weight_map");
    weights = put_file(dir, "model.safetensors", m->p, m->n);
    put_config(dir, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    directory_refused(dir, "has no tensor model.layers.2.input_layernorm.weight (1 x 64)");
    put_config(dir, "\"intermediate_size\": 96", "\"intermediate_size\": 128");
    directory_refused(dir, "gate_proj.weight is 96 x 64, the configuration says 128 x 64");
    put_config(dir, "\"attention_bias\": false", "\"attention_bias\": true");
    directory_refused(dir, "has no tensor model.layers.0.self_attn.q_proj.bias");
    dk_free(put_file(dir, "model.safetensors", m->p, m->n / 2));
    put_config(dir, "512", "512");
    directory_refused(dir, "incomplete");
    directory_refused(weights, "no checkpoint");
    unlink(weights);
    unlink(index);
    dk_free(weights);
    dk_free(index);
    weights = dk_xasprintf("%s/config.json", dir);
    unlink(weights);
    dk_free(weights);
    rmdir(dir);
    dk_mapfile_close(&m);
}

int main(void)
{
    configs();
    three_forms();
    some_rows();
    real_model();
    bad_directories();
    return tap_end();
}
