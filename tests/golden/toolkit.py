"""Convert the reference toolkit's printed outputs into raw arrays -> toolkit/ (see toolkit/README.md).

    python toolkit.py DIRECTORY MODEL.gguf

DIRECTORY holds its `kl`, `extraction`, `activation_analysis`, `activation_difference_lens`, `diff_mining` and
`pca` outputs as NumPy and JSON files. The token
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

ADL = {"general200": ("text/general-a.jsonl", 200), "chat110": ("text/chat.jsonl", 110)}
N, LISTED = 8, 30       # tokens of a text, entries kept of a list


def adl_ids(tok, f, count):
    """The sequences that the toolkit's method accepts, by the rules of its sampling."""
    for row in list(gold.corpus(f))[:count]:
        if "text" in row:
            ids = gold.encode(tok, row["text"][:10 * N])
            if len(ids) >= N:
                yield ids[:N]
        elif row["messages"][0]["role"] == "user":
            user, answer = row["messages"][:2]
            start = len(gold.encode(tok, gold.chatml([user], True)))
            answer = {**answer, "content": answer["content"][:10 * N]}
            ids = gold.encode(tok, gold.chatml([user, answer], False))
            if start <= 512 and len(ids) - start >= N:
                yield ids[:start + N]


def activations(src, tok, out):
    d = src / "activation_difference_lens"
    norms = {}
    for name, (f, count) in ADL.items():
        seqs = list(adl_ids(tok, f, count))
        print(f"{name}: {len(seqs)} sequences")
        gold.save(out / f"adl_{name}_ids.i32", np.array([i for s in seqs for i in s], np.int32))
        gold.save(out / f"adl_{name}_ranges.i32", np.cumsum([0] + [len(s) for s in seqs]).astype(np.int32))
        ids, probs = [], []
        for what in ("", "base_", "ft_"):
            gold.save(out / f"adl_{name}_{what}mean.f32", np.load(d / f"{name}_{what}mean.npy"))
            rows = json.loads((d / f"{name}_{what}logit_lens.json").read_text())
            ids.append([[r[k][:LISTED] for k in ("ids", "inv_ids")] for r in rows])
            probs.append([[r[k][:LISTED] for k in ("probs", "inv_probs")] for r in rows])
        gold.save(out / f"adl_{name}_lens.i32", np.array(ids, np.int32))
        gold.save(out / f"adl_{name}_lens.f32", np.array(probs, np.float32))
        got = json.loads((d / f"model_norms_{name}.json").read_text())
        norms[name] = [got["base_model_norms"]["14"], got["ft_model_norms"]["14"]]
    gold.save_json(out / "adl_norms.json", norms)
    e = src / "extraction"
    gold.save(out / "acts_general64_rows.f32", np.load(e / "general64_train_rows0_24.npy")[:8])
    for name in SETS:
        gold.save(out / f"acts_{name}_mean_diff.f64", np.load(e / f"{name}_train_mean_diff.npy"))
        stats = [np.load(e / f"{name}_train_{m}_stats.npz")[k] for m in ("base", "ft") for k in ("mean", "std")]
        gold.save(out / f"acts_{name}_stats.f32", np.array(stats, np.float32))


def components(src, out):
    with np.load(src / "pca/model.npz") as z:
        assert z["n_samples_seen"] == 24576
        parts = [z[k] for k in ("mean", "var", "explained_variance", "explained_variance_ratio")]
        gold.save(out / "pca_model.f64", np.stack(parts))
    gold.save(out / "pca_components.f32", np.load(src / "pca/components_first64.npy")[:16])
    with np.load(src / "pca/dropped_rows.npz") as z:
        assert list(z["sizes"]) == [6864, 9374, 12412]
        gold.save(out / "pca_dropped.i32", np.sort(z["dropped"]))
    best = {}
    for side in ("positive", "negative"):
        for r in json.loads((src / f"pca/{side}_examples.json").read_text()):
            of = best.setdefault(r["dataset"], {}).setdefault(side, [[] for _ in range(16)])
            of[r["component"]].append([r["score"], r["length"]])
    gold.save_json(out / "pca_examples.json", best)


def analysis(src, out):
    d = src / "activation_analysis"
    for name in SETS:
        gold.save(out / f"aa_{name}_per_token.f32", np.load(d / f"{name}_per_token.npy"), zstd=True)
        shutil.copyfile(d / f"{name}_layer_14.json", out / f"aa_{name}.json")
        about = json.loads((d / f"{name}_means.json").read_text())
        with np.load(d / f"{name}_means.npz") as z:
            gold.save(out / f"aa_{name}_means.f32", np.array([z[k] for k in about], np.float32))
        gold.save_jsonl(out / f"aa_{name}_means.jsonl",
                        [{"position": m["position"], "token_id": m["token_id"], "count": m["count"]}
                         for m in about.values()])
    top = {}
    for path in sorted(d.glob("top_*.json")):
        rows = json.loads(path.read_text())
        top[path.stem[4:]] = [[r["dataset"], r["score"], [r["length"], *r["first_ids"]]] for r in rows]
    gold.save_json(out / "aa_top.json", top)


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
    activations(src, undigit, out)
    components(src, out)
    analysis(src, out)
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
