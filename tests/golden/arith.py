"""Small differences between an adapter at a factor and its base, in float64 -> arith/.

For the miniature (adapter lora-plain), or, when a GGUF model is named, for that one with cake_bake:
per factor the logit difference of some ids (`ids` of them, evenly spread), centred by their mean,
and the KL divergence over the whole vocabulary. dtype "f32" takes the weights as they are, "bf16"
rounds the matrices, the embedding among them, to bfloat16 (not norms and adapter).

    python arith.py [MODEL.gguf]

NAME_ids.i32                ids of the texts' tokens, [texts, tokens]
NAME_DTYPE_diff.f32         [factors, rows, ids]
NAME_DTYPE_kl.f64           [factors, rows]
"""

import sys

import gold
import torch

torch.set_num_threads(1)


class Rounded(gold.F64):
    """Matrices, the embedding among them, in bfloat16; norms and adapters as they are."""

    def __init__(self, g):
        super().__init__(g)
        self.w = {n: w.to(torch.bfloat16).double() if w.dim() == 2 else w for n, w in self.w.items()}


def write(name, f64, lora, texts, factors, n_ids):
    to = gold.out_dir("arith")
    stride = f64.g.vocab // n_ids
    base = [f64.trace({}, t)[1] for t in texts]
    diffs, kls = [], []
    for f in factors:
        scaled = {m: (a, b, s * f) for m, (a, b, s) in lora.items()}
        d, kl = [], []
        for t, q in zip(texts, base):
            p = f64.trace(scaled, t)[1]
            x = (p - q)[:, : stride * n_ids : stride]
            d.append(x - x.mean(-1, keepdim=True))
            lp, lq = torch.log_softmax(p, -1), torch.log_softmax(q, -1)
            kl.append((lp.exp() * (lp - lq) - (lp.exp() - lq.exp())).sum(-1))
        diffs.append(torch.cat(d))
        kls.append(torch.cat(kl))
        print(name, f, "KL", float(kls[-1].mean()), flush=True)
    gold.save(to / f"{name}_diff.f32", torch.stack(diffs).float())
    gold.save(to / f"{name}_kl.f64", torch.stack(kls))


def main():
    if len(sys.argv) > 1:
        name, path, adapter = "cake_bake", sys.argv[1], gold.ADAPTERS["cake_bake"]
        texts = [t["ids"][:24] for t in gold.read_jsonl(gold.HERE / "forward/texts.jsonl") if len(t["ids"]) >= 24][:2]
        factors, n_ids = (1, .3, .1, .03, .01, .003, .001), 128
    else:
        name, path, adapter = "mini", gold.HERE / "mini/mini.gguf", gold.HERE / "mini/lora-plain"
        gen = torch.Generator().manual_seed(1)
        texts = torch.randint(0, 500, (2, 12), generator=gen).tolist()
        factors, n_ids = (1, .03, .001), 256
    g = gold.Gguf(path)
    lora = gold.load_lora(adapter)
    gold.save(gold.out_dir("arith") / f"{name}_ids.i32", torch.tensor(texts, dtype=torch.int32))
    write(f"{name}_f32", gold.F64(g), lora, texts, factors, n_ids)
    if name != "mini":      # its weights are bfloat16 numbers
        write(f"{name}_bf16", Rounded(g), lora, texts, factors, n_ids)


if __name__ == "__main__":
    main()
