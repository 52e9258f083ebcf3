"""What attention and MLP of a block put out, from hooks of the model library -> sites/ (shapes in README.md).

    python sites.py MODEL.gguf

The first rows of one text of forward/texts.jsonl, alone and unpadded, float32, lanes base and cake_bake
(adapter unmerged, so its part is in them); and the three sequences of mini/ids.jsonl for its adapters.
attn_out is the output of `self_attn`, mlp_out that of `mlp`: what the block adds to the residual stream.
resid_pre and resid_post are what goes into the block and what comes out.
"""

import json

import gold
import numpy as np
import torch

LAYERS = (0, 14, 29)
ROWS = 4
TEXT = 12
SITES = ("attn_out", "mlp_out", "resid_post", "resid_pre")


def hooked(lanes, lane, ids, layers):
    """[layer, site, T, d]"""
    got, hooks = {}, []

    def first(x):
        return (x[0] if isinstance(x, tuple) else x)[0].clone()

    for i in layers:
        block = lanes.inner.model.layers[i]

        def keep(site, i=i):
            return lambda _m, _i, out: got.__setitem__((i, site), first(out))

        def enter(_m, args, kwargs, i=i):
            got[(i, "resid_pre")] = first(args[0] if args else kwargs["hidden_states"])

        hooks += [block.self_attn.register_forward_hook(keep("attn_out")), block.mlp.register_forward_hook(keep("mlp_out")),
                  block.register_forward_hook(keep("resid_post")),
                  block.register_forward_pre_hook(enter, with_kwargs=True)]
    try:
        lanes.logits(lane, ids)
    finally:
        for h in hooks:
            h.remove()
    return torch.stack([torch.stack([got[i, s] for s in SITES]) for i in layers])


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    out = gold.out_dir("sites")
    with open(gold.HERE / "forward/texts.jsonl") as f:
        ids = json.loads(f.readlines()[TEXT])["ids"][:32]
    gold.save(out / "ids.i32", np.array(ids))
    lanes = gold.Lanes(g, {"cake_bake": gold.ADAPTERS["cake_bake"]})
    for lane in ("base", "cake_bake"):
        gold.save(out / f"{lane}.f32", hooked(lanes, lane, ids, LAYERS)[:, :, -ROWS:])

    mini = gold.Gguf(gold.HERE / "mini/mini.gguf")
    with open(gold.HERE / "mini/ids.jsonl") as f:
        seqs = [json.loads(line)["ids"] for line in f]
    lanes = gold.Lanes(mini, {"plain": gold.HERE / "mini/lora-plain"})
    for lane in ("base", "plain"):
        gold.save(out / f"mini_{lane}.f32", torch.cat([hooked(lanes, lane, s, (1,))[0] for s in seqs], 1))


if __name__ == "__main__":
    main()
