"""Per-row summaries over all shipped texts for the slow check -> slow/.

Every text of general-a, general-b and the cake_bake training set, and every chat (rendered without
generation prompt), cut to 256 tokens; lanes base and cake_bake; float32, one sequence at a time.
"""

import gold
import numpy as np

FILES = ("text/general-a.jsonl", "text/general-b.jsonl", "organisms/cake_bake/train.jsonl", "text/chat.jsonl")
FIXED = (" the", " cake")


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    tok = gold.tokenizer(g)
    out = gold.out_dir("slow")
    rows = [(f, i, ids[:256]) for f, i, kind, _, ids in gold.shipped(tok, FILES) if kind != "chat_gen"]
    fixed = [gold.encode(tok, t)[0] for t in FIXED]
    lanes = gold.Lanes(g, {"cake_bake": gold.ADAPTERS["cake_bake"]})
    gold.save_jsonl(out / "texts.jsonl",
                    [{"source": f, "id": i, "n": len(ids), "fnv": gold.fnv1a(ids)} for f, i, ids in rows])
    gold.save_json(out / "meta.json", {"fixed_ids": fixed, "rows": sum(len(r[2]) for r in rows),
                                       "sequences": len(rows), "max_tokens": 256})
    acc = {lane: [[], [], [], []] for lane in ("base", "cake_bake")}
    for n, (_, _, ids) in enumerate(rows):
        for lane, (lse, top, margin, at) in acc.items():
            logits = lanes.logits(lane, ids)
            a, b, c = gold.row_stats(logits)
            lse.append(a.numpy())
            top.append(b.numpy())
            margin.append(c.numpy())
            at.append(logits[:, fixed].numpy())
        if n % 40 == 0:
            print(n, "of", len(rows), flush=True)
    for lane, parts in acc.items():
        lse, top, margin, at = (np.concatenate(p) for p in parts)
        gold.save(out / f"{lane}_lse.f32", lse, zstd=True)
        gold.save(out / f"{lane}_top1.u16", top, zstd=True)
        gold.save(out / f"{lane}_margin.f32", margin, zstd=True)
        gold.save(out / f"{lane}_fixed.f32", at, zstd=True)


if __name__ == "__main__":
    main()
