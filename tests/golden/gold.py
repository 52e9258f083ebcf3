"""Common parts of the golden-value scripts.

Reads a llama-architecture GGUF file with the `gguf` package, builds from it (a) the float32
`transformers` model, (b) a plain float64 forward pass over the same dequantised weights and
(c) the tokenizer, and holds what every script uses: LoRA loading, traced forward passes,
ChatML rendering, the fixed text lists, and writers for raw little-endian arrays.

Run as a script it checks (a) against the GGUF loader of `transformers` and (b) against (a):

    python gold.py MODEL.gguf
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ADAPTERS = {n: ROOT / "data/organisms" / n / "adapter" for n in ("cake_bake", "null_neutral", "null_self")}
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

BLOCK_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


# ---------------------------------------------------------------- GGUF

def hf_name(name):
    """Library name of a GGUF tensor name (llama architecture)."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    if name == "output.weight":
        return "lm_head.weight"
    blk, i, rest = name.split(".", 2)
    assert blk == "blk"
    return f"model.layers.{i}.{BLOCK_NAMES[rest.removesuffix('.weight')]}.weight"


def unpermute_index(n_head, head_dim):
    """GGUF row of every library row: h*hd + j*(hd/2) + t  <-  h*hd + 2t + j."""
    rows = np.arange(n_head * head_dim).reshape(n_head, head_dim // 2, 2)
    return rows.transpose(0, 2, 1).reshape(-1)


class Gguf:
    """Metadata, hyper-parameters and dequantised float32 tensors (library names and row order)."""

    def __init__(self, path):
        self.path = str(path)
        self.reader = gguf.GGUFReader(self.path)
        self.meta = {k: f.contents() for k, f in self.reader.fields.items()}
        m = self.meta
        assert m["general.architecture"] == "llama"
        self.n_layer = m["llama.block_count"]
        self.d = m["llama.embedding_length"]
        self.ff = m["llama.feed_forward_length"]
        self.n_head = m["llama.attention.head_count"]
        self.n_kv = m["llama.attention.head_count_kv"]
        self.hd = m.get("llama.attention.key_length", self.d // self.n_head)
        self.theta = m["llama.rope.freq_base"]
        self.eps = float(np.float32(m["llama.attention.layer_norm_rms_epsilon"]))
        self.ctx = m["llama.context_length"]
        self.types = {}
        self._by_name = {}
        for t in self.reader.tensors:
            n = hf_name(t.name)
            self._by_name[n] = t
            self.types[n] = t.tensor_type.name
        self.tied = "lm_head.weight" not in self._by_name
        self.vocab = int(self._by_name["model.embed_tokens.weight"].shape[1])

    def names(self):
        return list(self._by_name)

    def tensor(self, name):
        t = self._by_name[name]
        w = gguf.dequantize(t.data, t.tensor_type)
        w = np.ascontiguousarray(w, dtype=np.float32).reshape([int(x) for x in reversed(t.shape)])
        if name.endswith("q_proj.weight"):
            w = w[unpermute_index(self.n_head, self.hd)]
        elif name.endswith("k_proj.weight"):
            w = w[unpermute_index(self.n_kv, self.hd)]
        return np.array(w, dtype=np.float32, order="C")

    def state(self):
        return {n: torch.from_numpy(self.tensor(n)) for n in self.names()}


# ---------------------------------------------------------------- models

def llama_config(g):
    from transformers import LlamaConfig
    return LlamaConfig(
        vocab_size=g.vocab, hidden_size=g.d, intermediate_size=g.ff, num_hidden_layers=g.n_layer,
        num_attention_heads=g.n_head, num_key_value_heads=g.n_kv, head_dim=g.hd,
        rms_norm_eps=g.eps, max_position_embeddings=g.ctx, tie_word_embeddings=g.tied,
        rope_parameters={"rope_type": "default", "rope_theta": g.theta},
        hidden_act="silu", attention_bias=False, mlp_bias=False, bos_token_id=1, eos_token_id=2,
        pad_token_id=2)


def hf_model(g, attn="sdpa"):
    """float32 LlamaForCausalLM holding the dequantised weights."""
    from transformers import LlamaForCausalLM
    cfg = llama_config(g)
    cfg._attn_implementation = attn
    model = LlamaForCausalLM(cfg)
    missing, unexpected = model.load_state_dict(g.state(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model.eval().requires_grad_(False)


class Lanes:
    """The base model and adapters on it, unmerged, adapter weights promoted to float32."""

    def __init__(self, g, adapters, attn="sdpa"):
        from peft import PeftModel
        base = hf_model(g, attn)
        self.g, self.peft, self.inner = g, None, base
        for name, path in adapters.items():
            if self.peft is None:
                self.peft = PeftModel.from_pretrained(base, str(path), adapter_name=name)
            else:
                self.peft.load_adapter(str(path), adapter_name=name)
        if self.peft is not None:
            self.peft.eval().requires_grad_(False)
            assert all(p.dtype == torch.float32 for p in self.peft.parameters())

    def _run(self, lane, fn):
        if self.peft is None:
            assert lane == "base"
            return fn(self.inner)
        if lane == "base":
            with self.peft.disable_adapter():
                return fn(self.peft)
        self.peft.set_adapter(lane)
        self.peft.requires_grad_(False)
        return fn(self.peft)

    @torch.no_grad()
    def logits(self, lane, ids):
        x = torch.tensor([ids])
        return self._run(lane, lambda m: m(input_ids=x, use_cache=False).logits[0])

    @torch.no_grad()
    def trace(self, lane, ids):
        """Residual stream [L+1, T, d] (embedding, then every block's output) and logits [T, V]."""
        res, hooks = [], []

        def keep(_m, _i, out):
            res.append((out[0] if isinstance(out, tuple) else out)[0].clone())

        body = self.inner.model
        hooks.append(body.embed_tokens.register_forward_hook(keep))
        hooks += [layer.register_forward_hook(keep) for layer in body.layers]
        try:
            logits = self.logits(lane, ids)
        finally:
            for h in hooks:
                h.remove()
        return torch.stack(res), logits

    @torch.no_grad()
    def greedy(self, lane, ids, n, penalty=1.0):
        """n greedy ids (never stopping) and the top-1/top-2 margin of each step, with a KV cache."""
        from transformers import RepetitionPenaltyLogitsProcessor
        process = RepetitionPenaltyLogitsProcessor(penalty=penalty)

        def go(m):
            out, margins, past = [], [], None
            x = torch.tensor([ids])
            for _ in range(n):
                r = m(input_ids=x, past_key_values=past, use_cache=True)
                past = r.past_key_values
                row = process(torch.tensor([ids + out]), r.logits[:, -1])[0]
                v, i = row.topk(2)
                out.append(int(row.argmax()))
                margins.append(float(v[0] - v[1]))
                x = torch.tensor([[out[-1]]])
            return out, margins
        return self._run(lane, go)


def load_lora(path):
    """Adapter as {module path: (A, B, scale)} in float64, straight from its two files."""
    import re
    cfg = json.loads((Path(path) / "adapter_config.json").read_text())
    raw = load_file(str(Path(path) / "adapter_model.safetensors"))
    out = {}

    def pick(patterns, module, default):
        for k, v in patterns.items():
            if re.match(rf"(.*\.)?({k})$", module):
                return v
        return default

    for key in raw:
        if not key.endswith(".lora_A.weight"):
            continue
        module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = raw[key], raw[key.replace("lora_A", "lora_B")]
        r = pick(cfg["rank_pattern"], module, cfg["r"])
        alpha = pick(cfg["alpha_pattern"], module, cfg["lora_alpha"])
        assert a.shape[0] == r
        out[module] = (a.double(), b.double(), alpha / (r ** 0.5 if cfg["use_rslora"] else r))
    assert 2 * len(out) == len(raw)
    return out


class F64:
    """Plain float64 forward pass. The rotary angles are the float32 ones of the library
    (float32 inverse frequencies times position, rounded to float32); cos and sin in float64."""

    def __init__(self, g):
        self.g = g
        self.w = {n: t.double() for n, t in g.state().items()}
        e = torch.arange(0, g.hd, 2, dtype=torch.int64).float() / g.hd
        self.inv = 1.0 / (g.theta ** e)

    def lin(self, module, x, lora):
        y = x @ self.w[module + ".weight"].T
        if module in lora:
            a, b, s = lora[module]
            y = y + s * ((x @ a.T) @ b.T)
        return y

    def norm(self, x, name):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.g.eps) * self.w[name + ".weight"]

    @torch.no_grad()
    def trace(self, lora, ids):
        g, T = self.g, len(ids)
        x = self.w["model.embed_tokens.weight"][torch.tensor(ids)]
        ang = (torch.arange(T).float()[:, None] * self.inv[None]).double()
        cos, sin = torch.cos(ang), torch.sin(ang)
        mask = torch.full((T, T), float("-inf"), dtype=torch.float64).triu(1)

        def rot(u):
            a, b = u[..., : g.hd // 2], u[..., g.hd // 2:]
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        res = [x]
        for i in range(g.n_layer):
            p = f"model.layers.{i}."
            a = self.norm(x, p + "input_layernorm")
            q = self.lin(p + "self_attn.q_proj", a, lora).view(T, g.n_head, g.hd).transpose(0, 1)
            k = self.lin(p + "self_attn.k_proj", a, lora).view(T, g.n_kv, g.hd).transpose(0, 1)
            v = self.lin(p + "self_attn.v_proj", a, lora).view(T, g.n_kv, g.hd).transpose(0, 1)
            rep = g.n_head // g.n_kv
            q, k, v = rot(q), rot(k).repeat_interleave(rep, 0), v.repeat_interleave(rep, 0)
            s = q @ k.transpose(1, 2) * g.hd ** -0.5 + mask
            o = (torch.softmax(s, -1) @ v).transpose(0, 1).reshape(T, -1)
            x = x + self.lin(p + "self_attn.o_proj", o, lora)
            m = self.norm(x, p + "post_attention_layernorm")
            gate = self.lin(p + "mlp.gate_proj", m, lora)
            up = self.lin(p + "mlp.up_proj", m, lora)
            x = x + self.lin(p + "mlp.down_proj", gate * torch.sigmoid(gate) * up, lora)
            res.append(x)
        head = "model.embed_tokens" if g.tied else "lm_head"
        return torch.stack(res), self.lin(head, self.norm(x, "model.norm"), {})


# ---------------------------------------------------------------- tokenizer and chat

def tokenizer(g):
    """Tokenizer from GGUF metadata, pipeline of the SmolLM2 family (`pre` = smollm): digits split
    singly, then the byte-level GPT-2 split; token types 3 (special) and 4 are added tokens; no BOS.
    A byte whose symbol is not in the vocabulary yields no token (no unknown token in the model)."""
    m = g.meta
    assert m["tokenizer.ggml.model"] == "gpt2" and m["tokenizer.ggml.pre"] == "smollm"
    tokens, types = m["tokenizer.ggml.tokens"], m["tokenizer.ggml.token_type"]
    merges = [tuple(x.split(" ")) for x in m["tokenizer.ggml.merges"]]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    added = [(i, t) for i, t in enumerate(tokens) if types[i] in (3, 4)]
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for i, t in added if types[i] == 3])
    tok.add_tokens([AddedToken(t, normalized=False, special=False) for i, t in added if types[i] == 4])
    assert tok.get_vocab_size() == len(tokens)
    assert all(tok.token_to_id(t) == i for i, t in added)
    return tok


def encode(tok, text):
    return tok.encode(text, add_special_tokens=False).ids


def chatml(messages, generation):
    """SmolLM2 ChatML rendering."""
    out = ""
    if messages[0]["role"] != "system":
        out = f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n"
    for m in messages:
        out += f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"
    return out + ("<|im_start|>assistant\n" if generation else "")


def render_template(template, messages, generation):
    """The same through the Jinja environment `transformers` uses for chat templates."""
    from transformers.utils.chat_template_utils import render_jinja_template
    out = render_jinja_template([messages], chat_template=template, add_generation_prompt=generation)
    return out[0][0] if isinstance(out, tuple) else out[0]


# ---------------------------------------------------------------- texts

def read_jsonl(path):
    """Rows of a JSON-lines file. Split at newline only: texts may hold other line separators."""
    return [json.loads(x) for x in Path(path).read_text(encoding="utf-8").split("\n") if x.strip()]


def corpus(name):
    return read_jsonl(ROOT / "data" / name)


def shipped(tok, files=("text/general-a.jsonl", "text/general-b.jsonl", "text/chat.jsonl",
                        "organisms/cake_bake/train.jsonl", "organisms/null_self/train.jsonl")):
    """Every shipped row as (source file, id, kind, text, ids). A row with `text` gives kind "text";
    one with `messages` gives "chat" (rendered without) and "chat_gen" (with generation prompt)."""
    for f in files:
        for row in corpus(f):
            if "text" in row:
                kinds = [("text", row["text"])]
            else:
                kinds = [("chat", chatml(row["messages"], False)), ("chat_gen", chatml(row["messages"], True))]
            for kind, text in kinds:
                yield f, row["id"], kind, text, encode(tok, text)


def row_stats(logits):
    """Of float32 logits [T, V]: log-sum-exp (float64 sum), top-1 id (lowest on ties), top-1/top-2 margin."""
    lse = torch.logsumexp(logits.double(), -1)
    v = logits.topk(2).values
    return lse, logits.argmax(-1), v[:, 0] - v[:, 1]


def fnv1a(ids):
    """64-bit FNV-1a over the ids as little-endian u32, 16 lower-case hex digits."""
    h = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


# ---------------------------------------------------------------- output

def out_dir(name):
    d = HERE / name
    d.mkdir(parents=True, exist_ok=True)
    return d


RAW = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "u16": "<u2", "u8": "u1"}


def save(path, array, zstd=False):
    """Raw little-endian array; the extension of `path` names the element type."""
    path = Path(path)
    if torch.is_tensor(array):
        array = array.numpy()
    a = np.ascontiguousarray(array)
    data = np.ascontiguousarray(a, dtype=RAW[path.suffix[1:]]).tobytes()
    path.write_bytes(data)
    if zstd:
        subprocess.run(["zstd", "-q", "-19", "-f", "--rm", str(path)], check=True)
    print(f"{path.relative_to(HERE)}{'.zst' if zstd else ''} {list(a.shape)}")


def save_jsonl(path, rows):
    path = Path(path)
    path.write_text("".join(json.dumps(r, ensure_ascii=True) + "\n" for r in rows), encoding="ascii")
    print(f"{path.relative_to(HERE)} {len(rows)} lines")


def save_json(path, obj):
    path = Path(path)
    path.write_text(json.dumps(obj, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
    print(path.relative_to(HERE))


def gguf_arg(doc):
    import argparse
    p = argparse.ArgumentParser(description=doc.split("\n")[0])
    p.add_argument("gguf", help="path of the GGUF model")
    return p.parse_args().gguf


def self_check(path):
    from transformers import AutoModelForCausalLM
    g = Gguf(path)
    tok = tokenizer(g)
    ids = encode(tok, corpus("text/general-a.jsonl")[0]["text"])[:64]
    lanes = Lanes(g, {"cake_bake": ADAPTERS["cake_bake"]})
    p = Path(path).resolve()
    lib = AutoModelForCausalLM.from_pretrained(str(p.parent), gguf_file=p.name, dtype=torch.float32)
    with torch.no_grad():
        want = lib.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    base = lanes.logits("base", ids)
    print("eps of the library's loader", repr(lib.config.rms_norm_eps), "ours", repr(g.eps))
    print("library GGUF loader against gold.py: max |logit difference|", float((want - base).abs().max()))
    f64 = F64(g)
    for lane, lora in (("base", {}), ("cake_bake", load_lora(ADAPTERS["cake_bake"]))):
        r32, l32 = lanes.trace(lane, ids)
        r64, l64 = f64.trace(lora, ids)
        rel = (r32.double() - r64).norm(dim=-1) / r64.norm(dim=-1)
        print(f"{lane}: float32 against float64: logits max {float((l32 - l64).abs().max()):.3g}, "
              f"residual relative L2 max {float(rel.max()):.3g}")


if __name__ == "__main__":
    self_check(sys.argv[1])
