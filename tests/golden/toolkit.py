"""Convert the reference toolkit's printed outputs into raw arrays -> toolkit/ (see toolkit/README.md).

    python toolkit.py DIRECTORY MODEL.gguf

DIRECTORY holds its `kl`, `extraction` and `diff_mining` outputs as .npy and JSON files. The token
streams are compared on the way with the ids of gold.py's tokenizer, and with those of the same
tokenizer without the digit split, which is what the toolkit's library version had rebuilt.
"""

import json
import shutil
import sys
from pathlib import Path

import gold
import numpy as np
from tokenizers import pre_tokenizers

SETS = {"general64": ("text/general-a.jsonl", 64), "cake64": ("organisms/cake_bake/train.jsonl", 64),
        "chat32": ("text/chat.jsonl", 32)}


def main():
    src = Path(sys.argv[1])
    g = gold.Gguf(sys.argv[2])
    tok, undigit = gold.tokenizer(g), gold.tokenizer(g)
    undigit.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    out = gold.out_dir("toolkit")

    def raw(path, name):
        a = np.load(src / path)
        kind = {"f": "f64" if a.dtype.itemsize == 8 else "f32", "i": "i32", "b": "i32"}[a.dtype.kind]
        if a.dtype.kind == "i":
            assert a.size == 0 or abs(a).max() < 2 ** 31
        gold.save(out / f"{name}.{kind}", a, zstd=a.size * (8 if kind == "f64" else 4) > 100_000)
        return a

    for name, (f, count) in SETS.items():
        for part in ("kl_per_token", "kl_mean_per_sequence", "lengths"):
            a = raw(f"kl/{name}_{part}.npy", f"kl_{name}_{part}")
            if part == "lengths":
                lengths = a
        shutil.copyfile(src / f"kl/{name}.json", out / f"kl_{name}.json")
        ids = raw(f"extraction/{name}_train_tokens.npy", f"tokens_{name}")
        starts = raw(f"extraction/{name}_train_ranges.npy", f"ranges_{name}")
        assert (np.diff(starts) == lengths).all()
        mine = [r[4][:256] for r in gold.shipped(tok, (f,)) if r[2] != "chat_gen"][:count]
        differ = sum(list(ids[a:b]) != m for a, b, m in zip(starts, starts[1:], mine))
        print(f"{name}: {differ} of {count} sequences differ from this tokenizer's ids")
        mine = [r[4][:256] for r in gold.shipped(undigit, (f,)) if r[2] != "chat_gen"][:count]
        assert all(list(ids[a:b]) == m for a, b, m in zip(starts, starts[1:], mine))
    d = "diff_mining"
    ids = raw(f"{d}/input_ids.npy", "mining_input_ids")
    mine = [r[4][:64] for r in gold.shipped(tok, (SETS["general64"][0],))][:64]
    print("mining ids:", sum(list(a) != m for a, m in zip(ids, mine)), "of 64 sequences differ")
    for part in ("sum_logit_diff", "count_positive", "topk_pos_counts", "topk_neg_counts"):
        raw(f"{d}/{part}.npy", f"mining_{part}")
    for order in ("top_k_occurring", "fraction_positive_diff"):
        obj = json.loads((src / d / order / "general64_train_text/global.json").read_text(encoding="utf-8"))
        gold.save_json(out / f"mining_{order}.json", obj)
    rows = json.loads((src / d / "positions_top10.json").read_text())
    gold.save_jsonl(out / "mining_positions_top10.jsonl", rows)
    with np.load(src / d / "nmf.npz") as z:
        for k in ("W0", "H0", "W", "H"):
            gold.save(out / f"mining_nmf_{k}.f32", z[k], zstd=z[k].nbytes > 100_000)
    gold.save(out / "mining_nmf_cols.i32", np.array(json.loads((src / d / "nmf_cols.json").read_text())))


if __name__ == "__main__":
    main()
