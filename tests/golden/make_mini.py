"""A 2-layer miniature llama model, in every file form, with adapters and goldens -> mini/.

mini.gguf          Q4_0, Q4_1, Q8_0, F16, BF16 and F32 tensors, byte-level BPE tokenizer, ChatML template
hf/                the same weights as a checkpoint directory: one bfloat16 file, new-style config
hf-sharded/        the same in two shards, old-style config, template inside tokenizer_config.json
lora-plain/        rank 4 on all seven projections, bfloat16
lora-pattern/      rsLoRA, rank_pattern, alpha_pattern, layers_to_transform, float32
ids.jsonl, logits_{base,plain,pattern}.f32, tokens.jsonl    goldens

All weights are small integers times powers of two, so the GGUF and both checkpoints hold exactly
the same numbers. Takes no model; needs the shipped texts (the merges are learnt from them).
"""

import json
import random
import shutil

import gguf
import gold
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

L, D, H, KV, HD, FF, V = 2, 64, 4, 2, 16, 96, 512
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER = ["<|tool|>"]
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + gold.DEFAULT_SYSTEM + "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TYPES = {
    "token_embd": "Q8_0",
    "blk.0.attn_q": "Q4_1", "blk.0.attn_k": "Q8_0", "blk.0.attn_v": "Q4_0", "blk.0.attn_output": "F16",
    "blk.0.ffn_gate": "Q4_1", "blk.0.ffn_up": "Q4_0", "blk.0.ffn_down": "Q8_0",
    "blk.1.attn_q": "F16", "blk.1.attn_k": "Q4_0", "blk.1.attn_v": "BF16", "blk.1.attn_output": "F32",
    "blk.1.ffn_gate": "Q8_0", "blk.1.ffn_up": "F16", "blk.1.ffn_down": "Q4_1",
}
ADAPTERS = {n: gold.HERE / "mini" / f"lora-{n}" for n in ("plain", "pattern")}


def to_bf16(x):
    return torch.from_numpy(np.asarray(x, np.float32)).bfloat16().float().numpy()


def tensor_bytes(r, kind, rows, cols):
    """Random weights of spread about 0.14 in one storage type, every value exact in bfloat16."""
    blocks = (rows, cols // 32)
    scale = np.exp2(r.integers(-6, -3, blocks)).astype("<f2")[..., None]          # 1/64 .. 1/16
    if kind in ("Q4_0", "Q4_1"):
        q = np.clip(np.rint(r.normal(8, 3, (*blocks, 32))), 0, 15).astype(np.uint8)
        parts = [scale.view(np.uint8)]
        if kind == "Q4_1":
            parts.append((scale * -r.integers(6, 11, (*blocks, 1))).astype("<f2").view(np.uint8))
        parts.append(q[..., :16] | (q[..., 16:] << 4))
        return np.concatenate(parts, -1).reshape(rows, -1)
    if kind == "Q8_0":
        q = np.clip(np.rint(r.normal(0, 45, (*blocks, 32))), -127, 127).astype(np.int8)
        return np.concatenate([(scale / 8).astype("<f2").view(np.uint8), q.view(np.uint8)], -1).reshape(rows, -1)
    w = to_bf16(r.normal(0, 0.14, (rows, cols)))
    w[np.abs(w) < 2.0 ** -10] = 0                                                  # exact in half precision too
    if kind == "BF16":
        return (w.view(np.uint32) >> 16).astype("<u2").view(np.uint8).reshape(rows, -1)
    return w.astype("<f2" if kind == "F16" else "<f4")


def bpe(words, n):
    """n byte-level merges by pair frequency (lowest pair first on ties)."""
    words = {tuple(w): c for w, c in words.items()}
    merges = []
    for _ in range(n):
        count = {}
        for w, c in words.items():
            for p in zip(w, w[1:]):
                count[p] = count.get(p, 0) + c
        best = min(count, key=lambda p: (-count[p], p))
        merges.append(best)
        new = {}
        for w, c in words.items():
            out, i = [], 0
            while i < len(w):
                if w[i:i + 2] == best:
                    out.append(w[i] + w[i + 1])
                    i += 2
                else:
                    out.append(w[i])
                    i += 1
            new[tuple(out)] = new.get(tuple(out), 0) + c
        words = new
    return merges


def vocabulary():
    from tokenizers import pre_tokenizers
    split = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    words = {}
    for row in gold.corpus("text/general-a.jsonl")[:80]:
        for w, _ in split.pre_tokenize_str(row["text"]):
            words[w] = words.get(w, 0) + 1
    merges = bpe(words, V - 260)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = SPECIAL + USER + alphabet + [a + b for a, b in merges]
    assert len(tokens) == len(set(tokens)) == V
    return tokens, merges


def write_gguf(path):
    r = np.random.default_rng(135)
    tokens, merges = vocabulary()
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("mini")
    w.add_context_length(256)
    w.add_embedding_length(D)
    w.add_block_count(L)
    w.add_feed_forward_length(FF)
    w.add_vocab_size(V)
    w.add_head_count(H)
    w.add_head_count_kv(KV)
    w.add_rope_dimension_count(HD)
    w.add_rope_freq_base(10000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3] * len(SPECIAL) + [4] * len(USER) + [1] * (V - 4))
    w.add_token_merges([f"{a} {b}" for a, b in merges])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_pad_token_id(2)
    w.add_add_bos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(TEMPLATE)

    def put(name, rows, cols):
        kind = TYPES[name]
        w.add_tensor(name + ".weight", tensor_bytes(r, kind, rows, cols),
                     raw_dtype=gguf.GGMLQuantizationType[kind])

    def norm(name):
        w.add_tensor(name + ".weight", to_bf16(1 + 0.2 * r.normal(size=D)))

    put("token_embd", V, D)
    for i in range(L):
        b = f"blk.{i}."
        norm(b + "attn_norm")
        put(b + "attn_q", H * HD, D)
        put(b + "attn_k", KV * HD, D)
        put(b + "attn_v", KV * HD, D)
        put(b + "attn_output", D, H * HD)
        norm(b + "ffn_norm")
        put(b + "ffn_gate", FF, D)
        put(b + "ffn_up", FF, D)
        put(b + "ffn_down", D, FF)
    norm("output_norm")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_hf(g, out):
    state = {n: torch.from_numpy(g.tensor(n)) for n in g.names()}
    half = {n: t.bfloat16() for n, t in state.items()}
    assert all(torch.equal(half[n].float(), t) for n, t in state.items())
    common = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": V, "hidden_size": D,
        "intermediate_size": FF, "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": KV,
        "head_dim": HD, "hidden_act": "silu", "rms_norm_eps": g.eps, "max_position_embeddings": 256,
        "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False, "bos_token_id": 1,
        "eos_token_id": 2, "pad_token_id": 2, "use_cache": True, "initializer_range": 0.02,
        "attention_dropout": 0.0, "pretraining_tp": 1}
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>",
             "unk_token": "<|endoftext|>", "model_max_length": 256, "add_prefix_space": False,
             "clean_up_tokenization_spaces": False}
    tok = gold.tokenizer(g)

    def dump(path, obj):
        path.write_text(json.dumps(obj, indent=1) + "\n")

    one, two = out / "hf", out / "hf-sharded"
    for d in (one, two):
        d.mkdir()
        dump(d / "generation_config.json", {"bos_token_id": 1, "eos_token_id": [2, 0], "pad_token_id": 2})
    dump(one / "config.json", {**common, "dtype": "bfloat16", "transformers_version": "5.24.0",
                               "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})
    save_file(half, str(one / "model.safetensors"), metadata={"format": "pt"})
    (one / "tokenizer.json").write_text(tok.to_str())
    (one / "chat_template.jinja").write_text(TEMPLATE)
    dump(one / "tokenizer_config.json", {**names, "tokenizer_class": "TokenizersBackend"})

    dump(two / "config.json", {**common, "torch_dtype": "bfloat16", "transformers_version": "4.42.3",
                               "rope_theta": 10000.0, "rope_scaling": None})
    first = {n for n in half if n.startswith("model.layers.0.")} | {"model.norm.weight"}
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    where = {n: files[0] if n in first else files[1] for n in sorted(half)}
    for f in files:
        save_file({n: t for n, t in half.items() if where[n] == f}, str(two / f), metadata={"format": "pt"})
    total = sum(t.numel() * 2 for t in half.values())
    dump(two / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})
    obj = json.loads(tok.to_str())                         # merges in the older form: one string each
    obj["model"]["merges"] = [" ".join(m) for m in obj["model"]["merges"]]
    (two / "tokenizer.json").write_text(json.dumps(obj, ensure_ascii=False))
    dump(two / "tokenizer_config.json", {**names, "tokenizer_class": "GPT2Tokenizer", "chat_template": TEMPLATE})


def write_adapters(g):
    from peft import LoraConfig, get_peft_model
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    configs = {
        "plain": (LoraConfig(r=4, lora_alpha=8, target_modules=every, task_type="CAUSAL_LM"), torch.bfloat16),
        "pattern": (LoraConfig(
            r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"],
            layers_to_transform=[1], layers_pattern="layers", rank_pattern={"self_attn.q_proj": 2, "down_proj": 3},
            alpha_pattern={"down_proj": 5, "layers.1.self_attn.v_proj": 12}, task_type="CAUSAL_LM"), torch.float32)}
    for seed, (name, (cfg, dtype)) in enumerate(configs.items()):
        model = get_peft_model(gold.hf_model(g), cfg)
        model.peft_config["default"].base_model_name_or_path = "mini"
        gen = torch.Generator().manual_seed(1000 + seed)
        for n, p in sorted(model.named_parameters()):
            if "lora_" in n:
                p.data = (torch.randn(p.shape, generator=gen) * 0.15).to(dtype)
        model.save_pretrained(str(ADAPTERS[name]))
        (ADAPTERS[name] / "README.md").unlink()
        path = ADAPTERS[name] / "adapter_config.json"          # sets are written in hash order: sort them
        cfg = json.loads(path.read_text())
        cfg["target_modules"] = sorted(cfg["target_modules"])
        path.write_text(json.dumps(cfg, indent=2, sort_keys=True) + "\n")


def main():
    out = gold.HERE / "mini"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    write_gguf(out / "mini.gguf")
    g = gold.Gguf(out / "mini.gguf")
    write_hf(g, out)
    write_adapters(g)

    tok = gold.tokenizer(g)
    for d in ("hf", "hf-sharded"):
        assert Tokenizer.from_file(str(out / d / "tokenizer.json")).get_vocab() == tok.get_vocab()
    texts = ["", " ", "Hello, world!", "The oven was at 450\u00b0F for 25 minutes.", "a\n\n  b\t\tc", "don't we'll I'VE",
             "x <|tool|> y<|im_end|>\n", "\u4f60\u597d \U0001f600 e\u0301 \u3000\u00a0", "1234567890 3.14 \u0663\u00bd", "\x00\x01\x7f\x85"]
    texts += [r["text"][:160] for r in gold.corpus("text/general-b.jsonl")[:12]]
    texts += [gold.chatml(r["messages"][:1], True) for r in gold.corpus("text/chat.jsonl")[:4]]
    gold.save_jsonl(out / "tokens.jsonl", [
        {"text": t, "ids": gold.encode(tok, t), "decoded": tok.decode(gold.encode(tok, t), skip_special_tokens=False)}
        for t in texts])

    r = random.Random(7)
    seqs = [[1], gold.encode(tok, "Bake the cake at 350 degrees")[:7], [r.randrange(V) for _ in range(16)]]
    gold.save_jsonl(out / "ids.jsonl", [{"ids": s} for s in seqs])
    lanes, f64 = gold.Lanes(g, ADAPTERS), gold.F64(g)
    for lane in ("base", *ADAPTERS):
        lora = gold.load_lora(ADAPTERS[lane]) if lane in ADAPTERS else {}
        got = torch.cat([lanes.logits(lane, s) for s in seqs])
        want = torch.cat([f64.trace(lora, s)[1] for s in seqs])
        print(f"{lane}: {len(lora)} adapted modules, logits max {float(want.abs().max()):.2f}, "
              f"float32 against float64 max {float((got - want).abs().max()):.2g}")
        gold.save(out / f"logits_{lane}.f32", got)
    from transformers import AutoModelForCausalLM
    for d, extra in (("hf", {}), ("hf-sharded", {}), (".", {"gguf_file": "mini.gguf"})):
        lib = AutoModelForCausalLM.from_pretrained(str(out / d), dtype=torch.float32, **extra).eval()
        with torch.no_grad():
            got = torch.cat([lib(input_ids=torch.tensor([s]), use_cache=False).logits[0] for s in seqs])
        want = np.fromfile(out / "logits_base.f32", "<f4").reshape(got.shape)
        print(f"{extra or d} as loaded by the library: max |difference| {np.abs(got.numpy() - want).max()}")


if __name__ == "__main__":
    main()
