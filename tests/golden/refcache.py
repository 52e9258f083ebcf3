"""Caches of activations as the reference toolkit leaves them: tests/golden/refcache.

python refcache.py      (torch 2.13.0)

Folders NAME/web/train: base and ft (bfloat16, layers 1 and 3) of 24 tokens in shards of 10, 9 and 5; long of 28 tokens,
of which the first 24 are those of the others; half and single as ft, in float16 and float32; these of layer 1 alone.
"""
import json
import os
import struct

import torch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "refcache")
D, RANGES, SHARDS = 6, [0, 5, 5, 8, 9, 19, 24], [10, 9, 5]
torch.manual_seed(5)
tokens = torch.randint(3, 500, (28,))
acts = {l: torch.randn(28, D) * torch.tensor([1.0, 300, 1, 1e-3, 1, 1]) for l in (1, 3)}


def cache(name, ranges, shards, values, dtype):
    to = os.path.join(HERE, name, "web", "train")
    os.makedirs(to, exist_ok=True)
    n = sum(shards)
    torch.save(tokens[:n].clone(), os.path.join(to, "tokens.pt"))
    torch.save(torch.tensor(ranges), os.path.join(to, "sequence_ranges.pt"))
    for l, x in values.items():
        sub = os.path.join(to, f"layer_{l}_out")
        os.makedirs(sub, exist_ok=True)
        rows = x[:n].to(dtype)
        at = 0
        for k, m in enumerate(shards):
            rows[at : at + m].contiguous().view(torch.uint8).numpy().tofile(os.path.join(sub, f"shard_{k}.memmap"))
            with open(os.path.join(sub, f"shard_{k}.meta"), "w") as f:
                json.dump({"shape": [m, D], "dtype": str(dtype)}, f)
            at += m
        with open(os.path.join(sub, "config.json"), "w") as f:
            json.dump({"batch_size": 2, "context_len": 16, "shard_size": 9, "d_model": D, "shuffle_shards": False, "io": "out",
                       "total_size": n, "shard_count": len(shards), "store_tokens": True, "store_sequence_ranges": True}, f)


ft = {l: x * 1.01 + 0.02 * torch.randn(28, D) for l, x in acts.items()}
cache("base", RANGES, SHARDS, acts, torch.bfloat16)
cache("ft", RANGES, SHARDS, ft, torch.bfloat16)
one = {1: ft[1]}
cache("long", RANGES + [28], [20, 8], one, torch.bfloat16)
cache("half", RANGES, SHARDS, one, torch.float16)
cache("single", RANGES, SHARDS, one, torch.float32)

# The difference of layer 3 as torch takes it: in bfloat16, rounded once.
diff = ft[3][:24].to(torch.bfloat16) - acts[3][:24].to(torch.bfloat16)
with open(os.path.join(HERE, "diff_3.txt"), "w") as f:
    for row in diff.float().tolist():
        f.write(" ".join(f"{v:.9g}" for v in row) + "\n")
