"""Every architecture on miniatures with counted weights -> archs/ (shapes in README.md).

archs/CASE/config.json     as the library saves it (new style)
archs/CASE/tensors.txt     the checkpoint: name, dtype, offset, scale, shape, a line each
archs/CASE/gold.f32        residual stream [L + 1, T, d], logits [T, V]: HF float32, eager attention
archs/CASE/lora/           adapter_config.json, tensors.txt, logits.f32: the same through PEFT
archs/CASE/model.gguf      some cases: the same numbers as F16
archs/ids.txt              two sequences, longer than the windows

No weights are kept: element i of tensor NAME is offset + scale * k / 64 with k in -64 .. 63 drawn from a
counter generator (value() here, tests/unit/seeded.h there); such numbers are exact in half precision.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers as tf

HERE = Path(__file__).resolve().parent / "archs"
IDS = [[7 * i * i % 79 + 1 for i in range(19)], [5, 71, 8, 8, 33, 60]]
V, D, FF = 80, 32, 48
M = (1 << 64) - 1


def fnv(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 & M
    return h


def mix(z):
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def value(name, shape, offset, scale):
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    k = (mix(mix(np.array([fnv(name)], np.uint64)) ^ i) >> np.uint64(57)).astype(np.int64) - 64
    return torch.from_numpy((offset + scale * k / 64.0).astype(np.float32).reshape(shape))


def spread(name, gemma):
    """Offset and scale of a tensor's values."""
    if "norm" in name or ".ln_" in name:
        return (0.0 if gemma or name.endswith("bias") else 1.0), 0.25
    if "lora_" in name:
        return 0.0, 0.25
    return 0.0, 1.0 if "embed" in name or "wte" in name or "lm_head" in name else 0.375


COMMON = dict(vocab_size=V, hidden_size=D, intermediate_size=FF, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def common(**more):
    return {**COMMON, **more}


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


SLIDING, FULL = "sliding_attention", "full_attention"
GEMMA3 = common(head_dim=16, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=24,
                layer_types=[SLIDING, FULL, SLIDING],
                rope_parameters={FULL: rope("linear", 1e6, factor=8.0), SLIDING: rope(theta=10000.0)})
CASES = {
    "gpt2": (tf.GPT2LMHeadModel, tf.GPT2Config(
        vocab_size=V, n_embd=D, n_layer=2, n_head=4, n_positions=24, bos_token_id=1, eos_token_id=2)),
    "llama3": (tf.LlamaForCausalLM, tf.LlamaConfig(**common(
        head_dim=12, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        rope_parameters=rope("llama3", 5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=16)))),
    "llama-linear": (tf.LlamaForCausalLM, tf.LlamaConfig(**common(
        tie_word_embeddings=True, num_key_value_heads=4, num_hidden_layers=2, rms_norm_eps=1e-5,
        rope_parameters=rope("linear", 10000.0, factor=2.0)))),
    "mistral": (tf.MistralForCausalLM, tf.MistralConfig(**common(
        head_dim=12, num_key_value_heads=1, sliding_window=7, tie_word_embeddings=False, num_hidden_layers=2,
        rope_parameters=rope(theta=1e6)))),
    "ministral": (tf.MinistralForCausalLM, tf.MinistralConfig(**common(
        head_dim=8, sliding_window=5, layer_types=[FULL, SLIDING, SLIDING], tie_word_embeddings=False,
        rope_parameters=rope(theta=1e6)))),
    "qwen2": (tf.Qwen2ForCausalLM, tf.Qwen2Config(**common(
        tie_word_embeddings=False, use_sliding_window=True, sliding_window=7, max_window_layers=1,
        rope_parameters=rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=16)))),
    "qwen3": (tf.Qwen3ForCausalLM, tf.Qwen3Config(**common(
        head_dim=16, tie_word_embeddings=False, rope_parameters=rope(theta=1e6)))),
    "gemma2": (tf.Gemma2ForCausalLM, tf.Gemma2Config(**common(
        head_dim=16, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=24, num_hidden_layers=4,
        attn_logit_softcapping=2.0, final_logit_softcapping=5.0, rope_parameters=rope()))),
    "gemma3": (tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**GEMMA3)),
    # the language models of image-text models, as files name their tensors
    "gemma3-vl": (tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**{**GEMMA3, "num_key_value_heads": 4})),
    "mistral3": (tf.MistralForCausalLM, tf.MistralConfig(**common(
        head_dim=8, sliding_window=None, tie_word_embeddings=False, num_hidden_layers=2,
        rope_parameters=rope(theta=1e9)))),
    "qwen25-vl": (tf.Qwen2_5_VLForConditionalGeneration, tf.Qwen2_5_VLConfig(
        text_config=common(tie_word_embeddings=True, num_hidden_layers=2,
                           rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[1, 1, 2])),
        vision_config=dict(depth=1, hidden_size=16, num_heads=2, intermediate_size=16, out_hidden_size=D,
                           fullatt_block_indexes=[0]), tie_word_embeddings=True)),
}
WRAPPED = {"gemma3-vl": ("Gemma3ForConditionalGeneration", "gemma3"),
           "mistral3": ("Mistral3ForConditionalGeneration", "mistral3")}
ADAPTERS = {
    "gpt2": dict(r=3, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True,
                 use_rslora=True, rank_pattern={"mlp.c_proj": 2}, alpha_pattern={"h.1.attn.c_attn": 7}),
    "llama3": dict(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj", "lm_head"], layers_to_transform=None),
    "gemma2": dict(r=2, lora_alpha=3, target_modules=["embed_tokens", "k_proj", "o_proj", "up_proj"]),
    "qwen3": dict(r=2, lora_alpha=2, target_modules="all-linear", modules_to_save=["lm_head", "embed_tokens"]),
    "qwen2": dict(r=4, lora_alpha=8, target_modules=["v_proj", "gate_proj"], layers_to_transform=[0, 2]),
    "gemma3": dict(r=2, lora_alpha=4, target_modules=r".*\.self_attn\.(q|k|v)_proj"),
}
# what a GGUF file cannot say stays at what it means: the scale is that of the key length, one layer in six is full
CASES["gemma2-gguf"] = (tf.Gemma2ForCausalLM, tf.Gemma2Config(**common(
    head_dim=8, tie_word_embeddings=True, sliding_window=7, query_pre_attn_scalar=8, num_hidden_layers=2,
    attn_logit_softcapping=2.0, final_logit_softcapping=5.0, rope_parameters=rope())))
CASES["gemma3-gguf"] = (tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**{
    **GEMMA3, "head_dim": 8, "query_pre_attn_scalar": 8, "num_hidden_layers": 6, "layer_types": None}))
CASES["qwen2-gguf"] = (tf.Qwen2ForCausalLM, tf.Qwen2Config(**common(
    tie_word_embeddings=True, num_hidden_layers=2, rope_parameters=rope(theta=1e6))))
GGUF = {"gpt2": "GPT2", "qwen2-gguf": "QWEN2", "qwen3": "QWEN3", "gemma2-gguf": "GEMMA2", "gemma3-gguf": "GEMMA3"}


def build(cls, config):
    config._attn_implementation = "eager"
    if hasattr(config, "text_config"):
        config.text_config._attn_implementation = "eager"
    return cls(config).float().eval().requires_grad_(False)


def stored_name(case, name):
    """The name in the checkpoint file of a parameter of the model."""
    if case in WRAPPED:
        return "language_model." + name
    if case == "qwen25-vl":
        return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
    return name


def fill(case, model, out):
    gemma = case.startswith("gemma")
    tied = model.config.get_text_config().tie_word_embeddings
    lines, state = [], {}
    for name, p in model.state_dict().items():
        if tied and name == "lm_head.weight" or "inv_freq" in name:
            continue
        stored = stored_name(case, name)
        offset, scale = spread(stored, gemma)
        state[name] = value(stored, p.shape, offset, scale)
        if "visual" not in name:
            lines.append(f"{stored} F32 {offset:g} {scale:g} {' '.join(map(str, p.shape))}\n")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("lm_head" in m for m in missing), (missing, unexpected)
    model.tie_weights()
    if case in ("gemma3-vl", "qwen25-vl"):
        lines.append("visual.patch_embed.weight F32 0 1 4 4\n")
    (out / "tensors.txt").write_text("".join(lines))


def layers_of(model):
    base = model.get_decoder() if hasattr(model, "get_decoder") else model.model
    base = getattr(base, "language_model", base)
    return base.h if hasattr(base, "h") else base.layers


def trace(model):
    """Residual stream [L + 1, T, d] and logits [T, V] of the joined sequences."""
    streams, logits = [], []
    layers = layers_of(model)
    for ids in IDS:
        kept = []

        def keep_in(module, args, kwargs):
            kept.append((args[0] if args else kwargs["hidden_states"])[0].clone())

        def keep_out(module, args, out):
            kept.append((out[0] if isinstance(out, tuple) else out)[0].clone())

        hooks = [layers[0].register_forward_pre_hook(keep_in, with_kwargs=True)]
        hooks += [layer.register_forward_hook(keep_out) for layer in layers]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), use_cache=False)
        for h in hooks:
            h.remove()
        streams.append(torch.stack([k.reshape(len(ids), -1) for k in kept]))
        logits.append(out.logits[0])
    return torch.cat(streams, 1), torch.cat(logits)


def write(path, *arrays):
    with open(path, "wb") as f:
        for a in arrays:
            f.write(np.ascontiguousarray(a.numpy().astype("<f4")).tobytes())


def write_config(case, model, out):
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["architectures"] = [type(model).__name__]
    if case in WRAPPED:
        name, kind = WRAPPED[case]
        config.pop("architectures")
        config = {"architectures": [name], "model_type": kind, "text_config": config,
                  "tie_word_embeddings": config["tie_word_embeddings"]}
    config.pop("vision_config", None)
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def adapt(case, model, out):
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file
    lora = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **ADAPTERS[case]))
    gemma = case.startswith("gemma")
    state, lines = {}, []
    with tempfile.TemporaryDirectory() as tmp:
        lora.save_pretrained(tmp)
        names = load_file(f"{tmp}/adapter_model.safetensors")
        config = json.loads(Path(f"{tmp}/adapter_config.json").read_text())
    for name, p in names.items():
        offset, scale = spread(name, gemma)
        state[name] = value(name, p.shape, offset, scale)
        lines.append(f"{name} F32 {offset:g} {scale:g} {' '.join(map(str, p.shape))}\n")
    assert not set_peft_model_state_dict(lora, state).unexpected_keys
    back = get_peft_model_state_dict(lora)
    assert all(torch.equal(back[n], state[n]) for n in state)
    folder = out / "lora"
    folder.mkdir(exist_ok=True)
    config["base_model_name_or_path"] = f"miniature/{case}"
    for key, v in config.items():           # sets have no order
        config[key] = sorted(v) if isinstance(v, list) else v
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (folder / "tensors.txt").write_text("".join(lines))
    with torch.no_grad():
        logits = torch.cat([lora(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids in IDS])
    write(folder / "logits.f32", logits)


def write_gguf(case, model, path):
    """The model as F16 under the names of the gguf package, values as its converters store them."""
    import gguf
    arch = GGUF[case]
    c, names = model.config, gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, arch), 8)
    gpt2 = arch == "GPT2"
    w = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[getattr(gguf.MODEL_ARCH, arch)])
    w.add_name(case)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_head_count(c.num_attention_heads)
    w.add_vocab_size(c.vocab_size)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    if gpt2:
        w.add_feed_forward_length(4 * c.hidden_size)
        w.add_layer_norm_eps(c.layer_norm_epsilon)
    else:
        w.add_feed_forward_length(c.intermediate_size)
        w.add_head_count_kv(c.num_key_value_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
        w.add_key_length(model.model.layers[0].self_attn.head_dim)
        w.add_value_length(model.model.layers[0].self_attn.head_dim)
        full = c.rope_parameters.get(FULL, c.rope_parameters)
        w.add_rope_freq_base(full["rope_theta"])
        if full["rope_type"] == "linear":
            w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(full["factor"])
    if arch.startswith("GEMMA"):
        w.add_sliding_window(c.sliding_window)
    if arch == "GEMMA2":
        w.add_attn_logit_softcapping(c.attn_logit_softcapping)
        w.add_final_logit_softcapping(c.final_logit_softcapping)
    for name, p in model.state_dict().items():
        if c.tie_word_embeddings and name == "lm_head.weight":
            continue
        x = p.numpy()
        if gpt2 and x.ndim == 2 and ("attn.c_" in name or "mlp.c_" in name):
            x = np.ascontiguousarray(x.T)
        if arch.startswith("GEMMA") and "norm" in name:
            x = x + 1
        half = x.astype(np.float16 if x.ndim == 2 else np.float32)
        assert np.array_equal(half.astype(np.float32), x)
        base, _, end = name.rpartition(".")
        w.add_tensor(names.get_name(base) + "." + end, half)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    only = sys.argv[1:] or list(CASES)
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    (HERE / "ids.txt").write_text("".join(" ".join(map(str, ids)) + "\n" for ids in IDS))
    for case in only:
        cls, config = CASES[case]
        out = HERE / case
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        model = build(cls, config)
        fill(case, model, out)
        write_config(case, model, out)
        stream, logits = trace(model)
        write(out / "gold.f32", stream, logits)
        print(f"{case}: stream {tuple(stream.shape)} of size {stream.abs().mean():.3g}, "
              f"logits {tuple(logits.shape)} of size {logits.abs().mean():.3g}")
        if case in GGUF:
            write_gguf(case, model, out / "model.gguf")
        if case in ADAPTERS:
            adapt(case, model, out)


if __name__ == "__main__":
    main()
