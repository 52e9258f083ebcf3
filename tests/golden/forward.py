"""Forward, KL and top-k goldens over about 2,000 tokens -> forward/ (shapes in README.md).

Lanes base, cake_bake, null_neutral; every text alone, unpadded. Float32 values come from the
`transformers` model (adapters unmerged); float64 values from the plain pass of gold.py.
"""

import random

import gold
import numpy as np
import torch

LANES = ("base", "cake_bake", "null_neutral")
MAXLEN = 96
N_FIXED = 32


def choose(tok):
    """Ten general texts, eight cake texts, six chats (rendered, no generation prompt) and one one-token text."""
    picks = [("text/general-a.jsonl", range(0, 220, 22)), ("organisms/cake_bake/train.jsonl", range(3, 150, 19)),
             ("text/chat.jsonl", range(1, 110, 19))]
    out = []
    for f, which in picks:
        by_id = {}
        for _, i, kind, _, ids in gold.shipped(tok, (f,)):
            if kind != "chat_gen":
                by_id[i] = ids
        keys = list(by_id)
        for n, k in enumerate(which):
            cut = MAXLEN - (7 * n) % 40                   # unequal lengths, 57 to 96
            out.append({"source": f, "id": keys[k], "ids": by_id[keys[k]][:cut]})
    out.append({"source": "", "id": "one-token", "ids": [0]})
    return out


def kl64(ft, base):
    """KL(ft || base) per row, float64 softmax of float32 (or float64) logits."""
    p, q = torch.log_softmax(ft.double(), -1), torch.log_softmax(base.double(), -1)
    return (p.exp() * (p - q)).sum(-1)


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    tok = gold.tokenizer(g)
    out = gold.out_dir("forward")
    texts = choose(tok)
    gold.save_jsonl(out / "texts.jsonl", texts)
    starts = np.cumsum([0] + [len(t["ids"]) for t in texts])
    total = int(starts[-1])

    lanes = gold.Lanes(g, {n: gold.ADAPTERS[n] for n in LANES[1:]})
    f64 = gold.F64(g)
    loras = {n: gold.load_lora(gold.ADAPTERS[n]) if n != "base" else {} for n in LANES}

    r = random.Random(99)
    common = [gold.encode(tok, w)[0] for w in (" the", " a", ",", ".", "\n", " cake", " butter", " is")]
    fixed = sorted(set(common) | {0, 1, 2, g.vocab - 1})
    while len(fixed) < N_FIXED:
        c = r.randrange(g.vocab)
        if c not in fixed:
            fixed.append(c)
    gold.save(out / "fixed_ids.i32", np.array(sorted(fixed)))
    fixed = torch.tensor(sorted(fixed))
    # rows whose whole residual stream is kept: first, second and last tokens, and some in between
    full = sorted({0, 1, 2, 40, total - 2, total - 1, int(starts[9]) + 5, int(starts[10]), int(starts[12]) + 50,
                   int(starts[17]) - 1, int(starts[18]), int(starts[18]) + 30, int(starts[20]) - 1, int(starts[21]) + 11})
    gold.save(out / "full_rows.i32", np.array(full))

    acc = {n: {k: [] for k in ("norms", "lse", "lse64", "top1", "margin", "fixed", "fixed64", "err", "kl", "kl64")} for n in LANES}
    resid = {n: [] for n in ("base", "cake_bake")}
    dist = {n: {"logit_max": 0.0, "logit_sum": 0.0, "rel_max": 0.0, "rel_sum": 0.0, "kl_max": 0.0, "top1": 0} for n in LANES}
    topk = []
    for t, (text, start) in enumerate(zip(texts, starts)):
        ids, base = text["ids"], None
        local = [x - int(start) for x in full if start <= x < starts[t + 1]]
        for n in LANES:
            r32, l32 = lanes.trace(n, ids)
            r64, l64 = f64.trace(loras[n], ids)
            a, d = acc[n], dist[n]
            lse, top, margin = gold.row_stats(l32)
            a["norms"].append(r64.norm(dim=-1).T)
            a["lse"].append(lse)
            a["lse64"].append(torch.logsumexp(l64, -1))
            a["top1"].append(top)
            a["margin"].append(margin)
            a["fixed"].append(l32[:, fixed])
            a["fixed64"].append(l64[:, fixed])
            diff = (l32 - l64).abs()
            a["err"].append(diff.amax(-1))
            rel = (r32.double() - r64).norm(dim=-1) / r64.norm(dim=-1)
            d["logit_max"] = max(d["logit_max"], float(diff.max()))
            d["logit_sum"] += float(diff.sum())
            d["rel_max"] = max(d["rel_max"], float(rel.max()))
            d["rel_sum"] += float(rel.sum())
            d["top1"] += int((l64.argmax(-1) == top).sum())
            if n in resid:
                resid[n].append(r64[:, local])
            if n == "base":
                base = (l32, l64)
            else:
                a["kl"].append(kl64(l32, base[0]))
                a["kl64"].append(kl64(l64, base[1]))
                d["kl_max"] = max(d["kl_max"], float((a["kl"][-1] - a["kl64"][-1]).abs().max()))
            if n == "cake_bake" and t in (1, 12):
                x = (l32 - base[0])[:64]
                assert len(x) == 64
                up, down = x.topk(100), (-x).topk(100)
                topk.append({"text": t, "rows": 64})
                for name, sel, sign in (("top", up, 1), ("bottom", down, -1)):
                    gold.save(out / f"{name}_text{t}_ids.i32", sel.indices)
                    gold.save(out / f"{name}_text{t}_values.f32", sign * sel.values)
        print(t, "of", len(texts), flush=True)

    for n in LANES:
        for k in ("norms", "lse", "margin", "fixed", "err"):
            gold.save(out / f"{n}_{k}.f32", torch.cat(acc[n][k]))
        gold.save(out / f"{n}_top1.i32", torch.cat(acc[n]["top1"]))
        gold.save(out / f"{n}_lse64.f64", torch.cat(acc[n]["lse64"]))
        gold.save(out / f"{n}_fixed64.f32", torch.cat(acc[n]["fixed64"]))
        if n != "base":
            gold.save(out / f"{n}_kl.f64", torch.cat(acc[n]["kl"]))
            gold.save(out / f"{n}_kl64.f64", torch.cat(acc[n]["kl64"]))
        if n in resid:
            gold.save(out / f"{n}_residual.f32", torch.cat(resid[n], 1))
    summary = {"rows": total, "texts": len(texts), "topk": topk, "lanes": {}}
    for n in LANES:
        d = dist[n]
        summary["lanes"][n] = {
            "logit_max_abs": d["logit_max"], "logit_mean_abs": d["logit_sum"] / (total * g.vocab),
            "residual_rel_l2_max": d["rel_max"], "residual_rel_l2_mean": d["rel_sum"] / (total * (g.n_layer + 1)),
            "top1_agree": d["top1"], "kl_max_abs": d["kl_max"],
            "kl_mean": float(torch.cat(acc[n]["kl"]).mean()) if n != "base" else 0.0}
    gold.save_json(out / "summary.json", summary)


if __name__ == "__main__":
    main()
