/* Writes a checkpoint of the llama architecture with random bf16 weights, and a
 * LoRA adapter on its queries and values (or on all projections): for tests of
 * memory and time.
 *
 *   dk-random-model DIR LAYERS D FF HEADS VOCAB [all]
 *
 * DIR/config.json, DIR/model.safetensors, DIR/lora/. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { RANK = 16 };

static uint64_t state = 1;
static size_t layers, d, ff, heads, vocab;
static int all_projections;

static void need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "dk-random-model: %s\n", what);
    exit(1);
}

/* Uniform in +-0.04 as bf16; of the higher bits of a linear generator. */
static uint16_t value(void)
{
    union { float x; uint32_t u; } v;

    state = state * 6364136223846793005u + 1442695040888963407u;
    v.x = ((float)(state >> 40) * 0x1p-24f - 0.5f) * 0.08f;
    return (uint16_t)(v.u >> 16);
}

struct list { dk_buf head; size_t bytes; FILE *f; };

/* Twice over all tensors: names and offsets first, then the values. */
static void tensor(struct list *l, const char *name, size_t rows, size_t cols)
{
    const size_t n = rows * cols;

    if (!l->f) {
        dk_buf_addf(&l->head, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[", l->head.n ? "," : "{", name);
        if (rows > 1)
            dk_buf_addf(&l->head, "%zu,", rows);
        dk_buf_addf(&l->head, "%zu", cols);
        dk_buf_addf(&l->head, "],\"data_offsets\":[%zu,%zu]}", l->bytes, l->bytes + 2 * n);
        l->bytes += 2 * n;
        return;
    }
    for (size_t i = 0; i < n;) {
        uint16_t block[4096];
        size_t k = 0;

        for (; k < 4096 && i < n; i++)
            block[k++] = rows > 1 ? value() : 0x3f80;       /* norms are 1 */
        fwrite(block, 2, k, l->f);
    }
}

static void checkpoint(struct list *l)
{
    static const char *const square[] = { "q", "k", "v", "o" };
    char name[128];

    tensor(l, "model.embed_tokens.weight", vocab, d);
    for (size_t i = 0; i < layers; i++) {
        snprintf(name, sizeof name, "model.layers.%zu.input_layernorm.weight", i);
        tensor(l, name, 1, d);
        snprintf(name, sizeof name, "model.layers.%zu.post_attention_layernorm.weight", i);
        tensor(l, name, 1, d);
        for (size_t k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "model.layers.%zu.self_attn.%s_proj.weight", i, square[k]);
            tensor(l, name, d, d);
        }
        snprintf(name, sizeof name, "model.layers.%zu.mlp.gate_proj.weight", i);
        tensor(l, name, ff, d);
        snprintf(name, sizeof name, "model.layers.%zu.mlp.up_proj.weight", i);
        tensor(l, name, ff, d);
        snprintf(name, sizeof name, "model.layers.%zu.mlp.down_proj.weight", i);
        tensor(l, name, d, ff);
    }
    tensor(l, "model.norm.weight", 1, d);
}

static void adapter(struct list *l)
{
    static const struct { const char *name; int all, in, out; } site[] = {      /* in, out: 1 where it is ff */
        { "self_attn.q", 0, 0, 0 }, { "self_attn.v", 0, 0, 0 }, { "self_attn.k", 1, 0, 0 }, { "self_attn.o", 1, 0, 0 },
        { "mlp.gate", 1, 0, 1 }, { "mlp.up", 1, 0, 1 }, { "mlp.down", 1, 1, 0 } };
    char name[160];

    for (size_t i = 0; i < layers; i++)
        for (size_t k = 0; k < sizeof site / sizeof *site && site[k].all <= all_projections; k++) {
            snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s_proj.lora_A.weight", i, site[k].name);
            tensor(l, name, RANK, site[k].in ? ff : d);
            snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s_proj.lora_B.weight", i, site[k].name);
            tensor(l, name, site[k].out ? ff : d, RANK);
        }
}

static void safetensors(const char *path, void (*all)(struct list *))
{
    struct list l = {0};
    uint64_t n;

    all(&l);
    dk_buf_adds(&l.head, "}");
    while (l.head.n % 8)
        dk_buf_adds(&l.head, " ");
    l.f = fopen(path, "wb");
    need(l.f != NULL, path);
    n = l.head.n;
    fwrite(&n, sizeof n, 1, l.f);
    fwrite(l.head.s, 1, l.head.n, l.f);
    all(&l);
    need(fclose(l.f) == 0, path);
    dk_buf_free(&l.head);
}

static void text(const char *path, const char *s)
{
    FILE *f = fopen(path, "w");

    need(f && fputs(s, f) >= 0 && fclose(f) == 0, path);
}

int main(int argc, char **argv)
{
    char path[4096], json[1024];

    need(argc == 7 || argc == 8, "usage: dk-random-model DIR LAYERS D FF HEADS VOCAB [all]");
    all_projections = argc == 8;
    layers = strtoul(argv[2], NULL, 10);
    d = strtoul(argv[3], NULL, 10);
    ff = strtoul(argv[4], NULL, 10);
    heads = strtoul(argv[5], NULL, 10);
    vocab = strtoul(argv[6], NULL, 10);
    mkdir(argv[1], 0777);
    snprintf(path, sizeof path, "%s/lora", argv[1]);
    mkdir(path, 0777);
    snprintf(json, sizeof json, "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":%zu,"
             "\"intermediate_size\":%zu,\"num_hidden_layers\":%zu,\"num_attention_heads\":%zu,\"vocab_size\":%zu,"
             "\"max_position_embeddings\":8192,\"rms_norm_eps\":1e-5,\"rope_theta\":10000,\"tie_word_embeddings\":true,"
             "\"torch_dtype\":\"bfloat16\",\"hidden_act\":\"silu\",\"bos_token_id\":1,\"eos_token_id\":2}\n",
             d, ff, layers, heads, vocab);
    snprintf(path, sizeof path, "%s/config.json", argv[1]);
    text(path, json);
    snprintf(path, sizeof path, "%s/lora/adapter_config.json", argv[1]);
    text(path, all_projections ? "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"r\":16,\"lora_alpha\":32,\"target_modules\":"
         "[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]}\n"
         : "{\"peft_type\":\"LORA\",\"r\":16,\"lora_alpha\":32,\"target_modules\":[\"q_proj\",\"v_proj\"]}\n");
    snprintf(path, sizeof path, "%s/model.safetensors", argv[1]);
    safetensors(path, checkpoint);
    snprintf(path, sizeof path, "%s/lora/adapter_model.safetensors", argv[1]);
    safetensors(path, adapter);
    return 0;
}
