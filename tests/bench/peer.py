"""The same pair pass in the reference stack, for `make bench`: base and base + adapter, KL over all logits.

usage: peer.py MODEL.gguf ADAPTER [SEQUENCES LENGTH]   (needs torch, transformers, peft, gguf)
Prints tokens per second; products in bfloat16 and in float32.
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
import gold  # noqa: E402
import torch  # noqa: E402


def timed(f, repeats=2):
    best = 1e9
    for _ in range(repeats):
        t = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - t)
    return best


def main():
    path, adapter = sys.argv[1], sys.argv[2]
    n, length = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 4 else (16, 64)
    g = gold.Gguf(path)
    lanes = gold.Lanes(g, {"ft": adapter})
    ids = torch.randint(0, 49000, (n, length), generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def logits():
        return lanes.peft(input_ids=ids, use_cache=False).logits.float()

    def kl():
        with lanes.peft.disable_adapter():
            q = torch.log_softmax(logits(), -1)
        p = torch.log_softmax(logits(), -1)
        return (p.exp() * (p - q)).sum(-1)

    lanes.peft.set_adapter("ft")
    for dtype in (torch.float32, torch.bfloat16):
        lanes.peft.to(dtype)
        print(f"PyTorch {torch.__version__}, {str(dtype)[6:]}: pair + KL, {n} x {length} tokens: "
              f"{n * length / timed(kl):.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
