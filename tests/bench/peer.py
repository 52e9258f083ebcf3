"""The same passes in the reference stack, for `make bench`: PyTorch, transformers, PEFT.

usage: peer.py MODEL.gguf ADAPTER [SHARE]   (needs torch, transformers, peft, gguf)
One line a measurement: NAME SHAPE RATE as bench_pass prints them; minimum of two runs. Products in
float32, and in bfloat16 at one shape where the processor has no bf16 products: there it is slow.
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
import gold  # noqa: E402
import torch  # noqa: E402

PROMPT, STEPS = 64, 32


def timed(f, repeats=2):
    best = 1e9
    for _ in range(repeats):
        t = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - t)
    return best


@torch.no_grad()
def main():
    path, adapter = sys.argv[1], sys.argv[2]
    share = float(sys.argv[3]) if len(sys.argv) > 3 else 0.25
    lanes = gold.Lanes(gold.Gguf(path), {"ft": adapter})
    peft = lanes.peft
    peft.set_adapter("ft")
    body, head = peft.base_model.model.model, peft.base_model.model.lm_head

    def run(ids, logits):
        h = body(input_ids=ids, use_cache=False).last_hidden_state
        return head(h) if logits else h

    def one(ids, logits):
        with peft.disable_adapter():
            return run(ids, logits)

    def pair_kl(ids):
        q = torch.log_softmax(one(ids, True).float(), -1)
        p = torch.log_softmax(run(ids, True).float(), -1)
        (p.exp() * (p - q)).sum(-1)
        torch.topk(p - q, 100)
        torch.topk(q - p, 100)

    def pair(ids):
        one(ids, False)
        run(ids, False)

    def decode(n):
        with peft.disable_adapter():
            out = body(input_ids=torch.randint(0, 49000, (n, PROMPT)), use_cache=True)
            ids, kv = torch.randint(0, 49000, (n, 1)), out.past_key_values

            def steps():
                nonlocal ids
                for _ in range(STEPS):
                    o = body(input_ids=ids, past_key_values=kv, use_cache=True)
                    ids = head(o.last_hidden_state).argmax(-1)

            return timed(steps, 1)

    fast = "avx512_bf16" in Path("/proc/cpuinfo").read_text() or "amx_bf16" in Path("/proc/cpuinfo").read_text()
    for dtype, name in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        peft.to(dtype)
        slow = name == "bf16" and not fast
        for n, length in ((64, 64),) if slow else ((8, 512), (64, 64), (819, 5)):
            n = max(1, int(n * (share / 4 if slow else share)))
            ids = torch.randint(0, 49000, (n, length), generator=torch.Generator().manual_seed(1))
            for what, f in (("one-logits", lambda: one(ids, True)), ("one-blocks", lambda: one(ids, False)),
                            ("pair-blocks", lambda: pair(ids)), ("pair-kl-top", lambda: pair_kl(ids))):
                print(f"torch-{name}-{what}\t{n}x{length}\t{n * length / timed(f, 1 if slow else 2):.1f}", flush=True)
        for n in () if slow else (32, 1):
            print(f"torch-{name}-decode\t{n}\t{n * STEPS / decode(n):.1f}", flush=True)


if __name__ == "__main__":
    main()
