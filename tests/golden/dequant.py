"""Dequantisation goldens -> dequant/.

rows.jsonl + rows.f32     a few rows of a handful of tensors of each type, library names and row order
tensors.jsonl             sha256 of every dequantised (un-permuted) tensor as float32 little-endian
blocks.jsonl + blocks.u8 + blocks.f32   synthetic blocks of every quantised and half format with values
"""

import hashlib

import gguf
import gold
import numpy as np

PICK = {
    "model.embed_tokens.weight": [0, 1, 2, 17, 5000, 49151],
    "model.layers.0.input_layernorm.weight": [0], "model.norm.weight": [0],
    "model.layers.17.post_attention_layernorm.weight": [0],
    "model.layers.0.self_attn.q_proj.weight": [0, 1, 31, 32, 33, 63, 64, 575],
    "model.layers.29.self_attn.q_proj.weight": [2, 34, 300],
    "model.layers.0.self_attn.k_proj.weight": [0, 1, 31, 32, 64, 97, 191],
    "model.layers.13.self_attn.k_proj.weight": [5, 37, 128],
    "model.layers.0.self_attn.v_proj.weight": [0, 1, 191], "model.layers.3.self_attn.o_proj.weight": [0, 575],
    "model.layers.0.mlp.gate_proj.weight": [0, 1535], "model.layers.9.mlp.up_proj.weight": [7, 1000],
    "model.layers.29.mlp.down_proj.weight": [0, 288, 575],
}


def synthetic():
    """Blocks of each format; random bytes, with the half-precision fields kept finite. The F16 and
    BF16 sets also hold subnormals, zeros of both signs, infinities and the largest finite values."""
    r = np.random.default_rng(11)
    for name, size in (("Q4_0", 18), ("Q4_1", 20), ("Q8_0", 34), ("F16", 64), ("BF16", 64)):
        raw = r.integers(0, 256, (32, size), dtype=np.uint8)
        if name in ("F16", "BF16"):
            h = raw.view("<u2")
            expo = np.uint16(0x7C00 if name == "F16" else 0x7F80)
            h[(h & expo) == expo] ^= np.uint16(0x4000)
            h[0, :10] = [0, 0x8000, 1, 0x8001, 0x3FF, 0x400, expo - 1, expo, 0x8000 | expo, 0x3C00]
        else:
            h = raw.view("<u2")[:, :2 if name == "Q4_1" else 1]
            h[(h & 0x7C00) == 0x7C00] ^= np.uint16(0x4000)
            h[0, 0], h[1, 0] = 0, 1
        yield name, raw
    # The half-precision fields of these, as 16-bit columns.
    for name, size, halves in (("Q5_0", 22, [0]), ("Q5_1", 24, [0, 1]), ("Q4_K", 144, [0, 1]), ("Q5_K", 176, [0, 1]),
                               ("Q6_K", 210, [104])):
        raw = r.integers(0, 256, (16, size), dtype=np.uint8)
        h = raw.view("<u2")
        for c in halves:
            h[:, c][(h[:, c] & 0x7C00) == 0x7C00] ^= np.uint16(0x4000)
        h[0, halves[0]], h[1, halves[0]] = 0, 1
        yield name, raw


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    out = gold.out_dir("dequant")
    rows, values, sums = [], [], []
    for name in g.names():
        w = g.tensor(name)
        sums.append({"name": name, "type": g.types[name], "shape": list(w.shape),
                     "sha256": hashlib.sha256(np.ascontiguousarray(w, "<f4").tobytes()).hexdigest()})
        m = w.reshape(-1, w.shape[-1])
        for row in PICK.get(name, []):
            rows.append({"name": name, "type": g.types[name], "row": row, "n": m.shape[1],
                         "offset": sum(v.size for v in values)})
            values.append(m[row])
    gold.save_jsonl(out / "tensors.jsonl", sums)
    gold.save_jsonl(out / "rows.jsonl", rows)
    gold.save(out / "rows.f32", np.concatenate(values))

    rows, raws, values = [], [], []
    for name, raw in synthetic():
        v = gguf.dequantize(raw, gguf.GGMLQuantizationType[name]).astype(np.float32).reshape(-1)
        rows.append({"type": name, "bytes": int(raw.size), "n": int(v.size),
                     "byte_offset": sum(x.size for x in raws), "value_offset": sum(x.size for x in values)})
        raws.append(raw.reshape(-1))
        values.append(v)
    gold.save_jsonl(out / "blocks.jsonl", rows)
    gold.save(out / "blocks.u8", np.concatenate(raws))
    gold.save(out / "blocks.f32", np.concatenate(values))


if __name__ == "__main__":
    main()
