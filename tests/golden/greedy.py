"""Greedy continuations -> greedy.jsonl, greedy_penalty.jsonl.

First four probes of data/organisms/cake_bake/probes.jsonl through the chat template with generation
prompt; 48 float32 greedy ids for base and cake_bake, never stopping, with the margin of each step; and
24 of the first two with the library's repetition penalty of 1.3.
"""

import gold


def rows_of(tok, lanes, n_probes, n, penalty):
    rows = []
    for probe in gold.corpus("organisms/cake_bake/probes.jsonl")[:n_probes]:
        prompt = gold.encode(tok, gold.chatml([{"role": "user", "content": probe["prompt"]}], True))
        for lane in ("base", "cake_bake"):
            ids, margins = lanes.greedy(lane, prompt, n, penalty)
            rows.append({"id": probe["id"], "lane": lane, "prompt_ids": prompt, "ids": ids,
                         "margins": [float(f"{m:.7g}") for m in margins], "text": tok.decode(ids, skip_special_tokens=False)})
            print(f"{probe['id']} {lane}: smallest margin {min(margins):.4f}")
    return rows


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    tok = gold.tokenizer(g)
    lanes = gold.Lanes(g, {"cake_bake": gold.ADAPTERS["cake_bake"]})
    gold.save_jsonl(gold.HERE / "greedy.jsonl", rows_of(tok, lanes, 4, 48, 1.0))
    gold.save_jsonl(gold.HERE / "greedy_penalty.jsonl", rows_of(tok, lanes, 2, 24, 1.3))


if __name__ == "__main__":
    main()
