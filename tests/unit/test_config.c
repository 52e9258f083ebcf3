/* Configurations of every architecture: what they mean where they say nothing,
 * old style and new; and what must be refused, in configurations and in
 * checkpoints that do not keep to them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "io/json.h"
#include "model/model.h"
#include "seeded.h"
#include "tap.h"

static int read_config(dk_model_config *c, const char *text, dk_err *err)
{
    dk_json *v = NULL;
    int rc = dk_json_parse(&v, text, strlen(text), "text", err);

    if (rc == 0)
        rc = dk_model_config_json(c, v, "dir/config.json", err);
    dk_json_free(&v);
    return rc;
}

static dk_model_config config(const char *text)
{
    dk_model_config c = {0};
    dk_err err = {0};

    if (read_config(&c, text, &err) < 0)
        tap(false, "%s: %s", text, err.msg);
    return c;
}

static void refused(const char *text, int code, const char *says)
{
    dk_model_config c;
    dk_err err = {0};
    const int rc = read_config(&c, text, &err);

    tap(rc == code && strstr(err.msg, "config.json") && strstr(err.msg, says) && !strchr(err.msg, '\n'),
        "refused: %s", rc < 0 ? err.msg : text);
}

static size_t sliding(const dk_model_config *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_layers; i++)
        n += dk_layer_window(c, i) > 0;
    return n;
}

#define SIZES "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":8," \
              "\"num_attention_heads\":4,\"num_key_value_heads\":2"
#define OF(class) "{\"architectures\":[\"" class "\"]," SIZES
#define GPT2 "{\"architectures\":[\"GPT2LMHeadModel\"],\"vocab_size\":512,\"n_embd\":64,\"n_layer\":2"

/* --- what is meant ------------------------------------------------------------------ */
static void llama_like(void)
{
    dk_model_config c = config(OF("MistralForCausalLM") ",\"attention_bias\":true}");

    tap(c.window == 4096 && sliding(&c) == 8 && !c.qkv_bias && !c.tied, "mistral: a window unless it is null, no biases");
    c = config(OF("MistralForCausalLM") ",\"sliding_window\":null}");
    tap(c.window == 0 && sliding(&c) == 0, "mistral: null is no window");
    c = config(OF("Qwen2ForCausalLM") ",\"attention_bias\":false,\"sliding_window\":32}");
    tap(c.qkv_bias && !c.o_bias && !c.mlp_bias && c.window == 0 && c.head_dim == 16, "qwen2: biases of q, k, v always, windows off");
    c = config(OF("Qwen2ForCausalLM") ",\"use_sliding_window\":true,\"sliding_window\":32,\"max_window_layers\":6}");
    tap(c.window == 32 && sliding(&c) == 2 && !dk_layer_window(&c, 5) && dk_layer_window(&c, 6) == 32, "qwen2: windows in the upper layers");
    c = config(OF("Qwen3ForCausalLM") ",\"use_sliding_window\":true}");
    tap(c.qk_norm && c.head_dim == 128 && !c.qkv_bias && sliding(&c) == 0 && c.window == 4096, "qwen3: heads of 128, normed");
    c = config(OF("Qwen3ForCausalLM") ",\"use_sliding_window\":true,\"sliding_window\":9,\"layer_types\":[\"full_attention\","
               "\"sliding_attention\",\"full_attention\",\"full_attention\",\"full_attention\",\"full_attention\","
               "\"full_attention\",\"sliding_attention\"]}");
    tap(sliding(&c) == 2 && dk_layer_window(&c, 1) == 9 && dk_layer_window(&c, 7) == 9, "a list of layer types wins");
    c = config(OF("Qwen2ForCausalLM") ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
               "\"original_max_position_embeddings\":32768}}");
    tap(c.rope.kind == DK_ROPE_YARN && c.rope.factor == 4 && c.rope.low == 1 && c.rope.high == 32 && c.rope.whole &&
        fabs(c.rope.attention - (0.1 * log(4) + 1)) < 1e-12, "yarn as Qwen has it");
    c = config(OF("Qwen2ForCausalLM") ",\"max_position_embeddings\":8192,\"rope_scaling\":{\"rope_type\":\"yarn\","
               "\"original_max_position_embeddings\":4096,\"mscale\":0.5,\"mscale_all_dim\":1.0,\"beta_fast\":16}}");
    tap(c.rope.factor == 2 && c.rope.high == 16 && fabs(c.rope.attention - (0.05 * log(2) + 1) / (0.1 * log(2) + 1)) < 1e-12,
        "yarn with a factor by lengths, and mscale");
}

static void gemma(void)
{
    dk_model_config c = config(OF("Gemma2ForCausalLM") "}");

    tap(c.head_dim == 256 && c.attn_softcap == 50 && c.final_softcap == 30 && c.window == 4096 && sliding(&c) == 4 &&
        dk_layer_window(&c, 0) && !dk_layer_window(&c, 1) && c.tied && c.attn_scale == 1.0 / 16 && c.post_norms &&
        c.embed_scaled && c.norm == DK_NORM_RMS_OFFSET && c.act == DK_ACT_GELU_TANH, "gemma 2: what it means unsaid");
    c = config(OF("Gemma2ForCausalLM") ",\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null,"
               "\"query_pre_attn_scalar\":144,\"tie_word_embeddings\":false}");
    tap(c.attn_softcap == 0 && c.final_softcap == 0 && c.attn_scale == 1.0 / 12 && !c.tied, "gemma 2: caps that are null, a scalar");
    c = config("{\"architectures\":[\"Gemma3ForCausalLM\"],\"model_type\":\"gemma3_text\"}");
    tap(c.n_layers == 26 && c.d_model == 2304 && c.n_heads == 8 && c.n_kv_heads == 4 && c.head_dim == 256 && c.d_ff == 9216 &&
        c.vocab == 262208 && c.max_positions == 131072 && c.window == 4096 && sliding(&c) == 22 && !dk_layer_window(&c, 5) &&
        c.rope.theta == 1e6 && c.rope_local.theta == 1e4 && c.attn_softcap == 0 && c.qk_norm && c.tied,
        "gemma 3: every size may be left out");
    c = config("{\"architectures\":[\"Gemma3ForCausalLM\"],\"sliding_window_pattern\":3,\"rope_local_base_freq\":500,"
               "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}");
    tap(!dk_layer_window(&c, 2) && dk_layer_window(&c, 3) && c.rope.kind == DK_ROPE_LINEAR && c.rope.factor == 8 &&
        c.rope_local.kind == DK_ROPE_PLAIN && c.rope_local.theta == 500 && dk_layer_rope(&c, 2) == &c.rope &&
        dk_layer_rope(&c, 3) == &c.rope_local, "gemma 3, old style: scaling is that of the full layers");
    c = config("{\"architectures\":[\"Gemma3ForCausalLM\"],\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\","
               "\"factor\":8.0,\"rope_theta\":2000000.0},\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":700.0}}}");
    tap(c.rope.kind == DK_ROPE_LINEAR && c.rope.theta == 2e6 && c.rope_local.theta == 700, "gemma 3, new style");
    c = config("{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"eos_token_id\":[1,106],\"torch_dtype\":\"bfloat16\","
               "\"text_config\":{\"hidden_size\":2560,\"num_hidden_layers\":34}}");
    tap(c.d_model == 2560 && c.n_layers == 34 && c.tied && c.n_eos == 2 && strcmp(c.dtype, "bfloat16") == 0,
        "the language model of an image-text model; the rest from the top");
}

static void gpt2(void)
{
    dk_model_config c = config(GPT2 ",\"n_head\":4}");

    tap(c.norm == DK_NORM_LAYER && c.learned_positions && c.fused_qkv && c.transposed && c.qkv_bias && c.o_bias && c.mlp_bias &&
        !c.gated && c.d_ff == 256 && c.max_positions == 1024 && c.norm_eps == 1e-5 && c.tied && c.head_dim == 16 &&
        c.attn_scale == 0.25, "gpt2: what it means unsaid");
    c = config(GPT2 ",\"n_head\":4,\"n_ctx\":77,\"n_inner\":100,\"scale_attn_weights\":false,\"head_dim\":null}");
    tap(c.max_positions == 77 && c.d_ff == 100 && c.attn_scale == 1, "gpt2: a context, a width, no scale");
}

/* --- what is refused ------------------------------------------------------------------ */
static void refusals(void)
{
    refused("{\"architectures\":[\"FalconForCausalLM\"]}", DK_EDATA, "architecture FalconForCausalLM is not known; supported: Llama");
    refused("{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"model_type\":\"qwen3_moe\"}", DK_EDATA, "Qwen3MoeForCausalLM");
    refused("{\"model_type\":\"phi3\"}", DK_EDATA, "architecture phi3 is not known");
    refused("{\"architectures\":[]}", DK_EFORMAT, "names no architecture");
    refused(GPT2 ",\"n_head\":0}", DK_EFORMAT, "64 does not divide into 0 heads");
    refused(GPT2 ",\"n_head\":3}", DK_EFORMAT, "64 does not divide into 3 heads");
    refused(GPT2 "}", DK_EFORMAT, "has no n_head");
    refused(GPT2 ",\"n_head\":4,\"activation_function\":\"relu\"}", DK_EDATA, "activation 'relu'");
    refused(GPT2 ",\"n_head\":4,\"scale_attn_by_inverse_layer_idx\":true}", DK_EDATA, "scale_attn_by_inverse_layer_idx is true");
    refused(GPT2 ",\"n_head\":4,\"n_inner\":9223372036854775807}", DK_EFORMAT, "the MLP width");
    refused(GPT2 ",\"n_head\":4,\"n_positions\":-3}", DK_EFORMAT, "n_positions is no whole number");
    refused("{\"architectures\":[\"GPT2LMHeadModel\"],\"vocab_size\":512,\"n_layer\":2,\"n_head\":1,\"n_embd\":4611686018427387904}",
            DK_EFORMAT, "the hidden size is 4611686018427387904");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"num_hidden_layers\":1000000000}", DK_EFORMAT, "layers is 1000000000");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"vocab_size\":99999999999}", DK_EFORMAT, "vocabulary size");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"head_dim\":100000}", DK_EFORMAT, "head size is 100000");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"sliding_window\":0}", DK_EFORMAT, "a sliding window of 0");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"sliding_window_pattern\":0}", DK_EFORMAT, "pattern 0");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"sliding_window\":9223372036854775807}", DK_EFORMAT, "a window of");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"query_pre_attn_scalar\":-4}", DK_EFORMAT, "scores are scaled by 0");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"query_pre_attn_scalar\":1e-9}", DK_EFORMAT, "scores are scaled by");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"rope_local_base_freq\":0}", DK_EFORMAT, "rope_theta is 0");
    refused("{\"architectures\":[\"Gemma3ForCausalLM\"],\"use_bidirectional_attention\":true}", DK_EDATA, "use_bidirectional_attention");
    refused(OF("Gemma2ForCausalLM") ",\"attn_logit_softcapping\":-1}", DK_EFORMAT, "soft caps of -1");
    refused(OF("Gemma2ForCausalLM") ",\"final_logit_softcapping\":\"x\"}", DK_EFORMAT, "final_logit_softcapping is no number");
    refused(OF("Gemma2ForCausalLM") ",\"hidden_activation\":\"gelu\"}", DK_EDATA, "activation 'gelu'");
    refused(OF("MinistralForCausalLM") ",\"layer_types\":[\"full_attention\"]}", DK_EFORMAT, "layer_types has 1 entries for 8 layers");
    refused(OF("MinistralForCausalLM") ",\"layer_types\":[\"full_attention\",\"chunked_attention\",3,3,3,3,3,3]}", DK_EDATA,
            "layer type 'chunked_attention'");
    refused(OF("Qwen2ForCausalLM") ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":0.5}}", DK_EFORMAT, "factor is 0.5");
    refused(OF("Qwen2ForCausalLM") ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":0.5}}", DK_EFORMAT, "yarn RoPE scaling");
    refused(OF("Qwen2ForCausalLM") ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"attention_factor\":-1}}", DK_EFORMAT, "attention factor -1");
    refused(OF("Qwen2ForCausalLM") ",\"rope_scaling\":{\"type\":\"mrope\"}}", DK_EDATA, "'mrope'");
    refused(OF("Qwen2_5_VLForConditionalGeneration") ",\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[16,24,24]}}", DK_EFORMAT,
            "mrope_section does not divide 8 pairs");
    refused(OF("LlamaForCausalLM") ",\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.5}}", DK_EDATA, "partial_rotary");
    refused("{\"architectures\":[\"Mistral3ForConditionalGeneration\"],\"text_config\":{\"model_type\":\"ministral3\"}}", DK_EDATA,
            "of type ministral3, which is not supported");
    refused("{\"architectures\":[\"Mistral3ForConditionalGeneration\"]}", DK_EFORMAT, "has no num_hidden_layers");
}

/* --- checkpoints that do not keep to their configuration --------------------------------- */
static char root[] = "/tmp/dk-config-XXXXXX";

static char *slurp(const char *path)
{
    dk_mapfile *m = NULL;
    char *s = NULL;

    if (dk_mapfile_open(&m, path, NULL) == 0)
        s = dk_xstrndup((const char *)m->p, m->n);
    dk_mapfile_close(&m);
    return s;
}

/* The miniature NAME with the first line that begins with FIND replaced (NULL: left out). */
static bool write_broken(const char *name, const char *find, const char *replace)
{
    char *from = dk_xasprintf("tests/golden/archs/%s/tensors.txt", name), *path = repo_path(from), *text = slurp(path);
    char *list = dk_xasprintf("%s/tensors.txt", root), *file = dk_xasprintf("%s/model.safetensors", root), *command;
    char *at = text, *end;
    dk_buf b = {0};
    bool ok;

    while (at && strncmp(at, find, strlen(find)) != 0)
        at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    if (!at || !(end = strchr(at, '\n')))
        return false;
    dk_buf_add(&b, text, (size_t)(at - text));
    if (replace)
        dk_buf_addf(&b, "%s\n", replace);
    dk_buf_adds(&b, end + 1);
    dk_free(put_file(root, "tensors.txt", b.s, b.n));
    command = dk_xasprintf("cp \"${DK_ROOT:-.}/tests/golden/archs/%s/config.json\" %s/", name, root);
    ok = system(command) == 0 && seeded_write(list, file);
    dk_free(command);
    dk_free(list);
    dk_free(file);
    dk_free(text);
    dk_free(path);
    dk_free(from);
    dk_buf_free(&b);
    return ok;
}

static void broken(const char *name, const char *find, const char *replace, int code, const char *says)
{
    dk_model *m = NULL;
    dk_err err = {0};
    const bool made = write_broken(name, find, replace);

    tap(made && dk_model_load(&m, root, DK_F32, 1, &err) == code && strstr(err.msg, root) && strstr(err.msg, says) &&
        !strchr(err.msg, '\n'), "refused: %s", err.msg);
    dk_model_free(&m);
}

static void accepted(const char *name, const char *find, const char *replace, const char *what)
{
    dk_model *m = NULL;
    dk_err err = {0};
    const bool made = write_broken(name, find, replace);

    tap(made && dk_model_load(&m, root, DK_F32, 1, &err) == 0, "%s: %s %s", name, what, err.msg);
    dk_model_free(&m);
}

static void checkpoints(void)
{
    broken("gpt2", "transformer.wpe.weight", NULL, DK_EFORMAT, "has no tensor transformer.wpe.weight (24 x 32)");
    broken("gpt2", "transformer.h.1.attn.c_attn.weight", "transformer.h.1.attn.c_attn.weight F32 0 1 96 32", DK_EFORMAT,
           "c_attn.weight is 96 x 32, the configuration says 32 x 96");
    broken("gpt2", "transformer.h.0.mlp.c_fc.bias", NULL, DK_EFORMAT, "has no tensor transformer.h.0.mlp.c_fc.bias");
    broken("gpt2", "transformer.h.1.ln_2.bias", "transformer.h.1.ln_2.bias F32 nan 1 32", DK_ENUM, "h.1.ln_2.bias holds NaN");
    broken("gpt2", "transformer.wpe.weight", "transformer.wpe.weight F32 inf 1 24 32", DK_ENUM, "wpe.weight holds NaN or infinity");
    broken("gpt2", "transformer.h.1.mlp.c_proj.weight", "transformer.h.1.mlp.c_proj.weight F32 nan 1 128 32", DK_ENUM,
           "h.1.mlp.c_proj.weight holds NaN");
    broken("gpt2", "transformer.ln_f.weight", "transformer.ln_f.weight F32 1 0.25 32\ntransformer.h.2.ln_1.weight F32 1 1 32", DK_EFORMAT,
           "tensor transformer.h.2.ln_1.weight has no place in a model of 2 layers");
    broken("gpt2", "transformer.ln_f.weight", "transformer.ln_f.weight I64 1 0.25 32", DK_EFORMAT, "");
    accepted("gpt2", "transformer.h.1.attn.c_attn.weight",
             "transformer.h.1.attn.c_attn.weight F32 0 0.375 32 96\ntransformer.h.1.attn.masked_bias F32 0 1 1\n"
             "transformer.h.1.attn.bias F32 0 1 24 24\nlm_head.weight F32 0 1 80 32\nscore.weight F32 0 1 2 32",
             "buffers, a copy of the tied head and a head of another kind are let be");
    broken("gemma2", "model.layers.2.post_feedforward_layernorm", NULL, DK_EFORMAT, "post_feedforward_layernorm.weight (1 x 32)");
    broken("gemma2", "model.embed_tokens.weight", "model.embed_tokens.weight F32 0 1 79 32", DK_EFORMAT, "79 x 32, the configuration says 80 x 32");
    broken("gemma2", "model.norm.weight", "model.norm.weight F32 -inf 1 32", DK_ENUM, "model.norm.weight holds");
    broken("qwen3", "model.layers.1.self_attn.k_norm", "model.layers.1.self_attn.k_norm.weight F32 1 1 8", DK_EFORMAT, "k_norm.weight is 1 x 8");
    broken("qwen3", "model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj.weight F32 nan 1 48 32", DK_ENUM, "up_proj.weight holds NaN");
    broken("qwen3", "model.norm.weight", "model.norm.weight F32 1 0.25 32\nmodel.layers.0.self_attn.q_proj.bias F32 0 1 64", DK_EFORMAT,
           "q_proj.bias has no place");
    broken("qwen2", "model.layers.2.self_attn.v_proj.bias", NULL, DK_EFORMAT, "has no tensor model.layers.2.self_attn.v_proj.bias (1 x 16)");
    broken("gemma3-vl", "language_model.model.layers.1.mlp.gate_proj", NULL, DK_EFORMAT, "has no tensor model.layers.1.mlp.gate_proj.weight");
    accepted("llama-linear", "model.norm.weight", "model.norm.weight F32 1 0.25 32\nmodel.layers.0.self_attn.rotary_emb.inv_freq F32 1 0 4",
             "old buffers of the rotation are let be");
}

int main(void)
{
    char command[64];

    if (!mkdtemp(root))
        return 1;
    llama_like();
    gemma();
    gpt2();
    refusals();
    checkpoints();
    snprintf(command, sizeof command, "rm -r %s", root);
    tap(system(command) == 0, "cleaned up");
    return tap_end();
}
