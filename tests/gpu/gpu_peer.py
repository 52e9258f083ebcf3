"""The same work in PyTorch, transformers and PEFT on the card, for `make bench-gpu`.

usage: gpu_peer.py MODEL_FOLDER ADAPTER_FOLDER [SEQUENCES LENGTH]
bf16, sdpa attention; the best of three, after one to warm up.
"""
import sys
import time

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, __version__ as transformers_version

PROMPTS, PROMPT, NEW = 32, 64, 128


def timed(f, repeats=3):
    f()
    best = 1e9
    for _ in range(repeats):
        torch.cuda.synchronize()
        t = time.perf_counter()
        f()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - t)
    return best


@torch.no_grad()
def main():
    path, adapter = sys.argv[1], sys.argv[2]
    n, length = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 4 else (64, 512)
    print(f"PyTorch {torch.__version__}, transformers {transformers_version}, {torch.cuda.get_device_name()}")

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    rate = 10 * 2 * 8192**3 / timed(lambda: [a @ a.T for _ in range(10)])
    print(f"PyTorch: bf16 products of 8192^3: {rate * 1e-12:.0f} Tflop/s", flush=True)
    del a

    base = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
    pair = PeftModel.from_pretrained(base, adapter).cuda().eval()
    pair.to(torch.bfloat16)
    vocab = base.config.vocab_size
    ids = torch.randint(0, vocab, (n, length), generator=torch.Generator().manual_seed(1)).cuda()

    def batches(rows):
        return ids.split(max(1, rows // length))

    def logp_of(x):
        z = pair(input_ids=x, use_cache=False).logits.float()
        return torch.log_softmax(z, -1)

    def one_lane(rows):
        with pair.disable_adapter():
            for x in batches(rows):
                logp_of(x)[:, :-1].gather(-1, x[:, 1:, None]).cpu()

    def kl(rows):
        for x in batches(rows):
            with pair.disable_adapter():
                q = logp_of(x)
            p = logp_of(x)
            (p.exp() * (p - q)).sum(-1).cpu()

    def topk(rows):
        total = torch.zeros(vocab, device="cuda", dtype=torch.float64)
        for x in batches(rows):
            with pair.disable_adapter():
                q = pair(input_ids=x, use_cache=False).logits.float()
            d = pair(input_ids=x, use_cache=False).logits.float() - q
            for largest in (True, False):
                v, i = d.topk(100, dim=-1, largest=largest)
                v.cpu(), i.cpu()
                torch.bincount(i.flatten(), minlength=vocab)
            total += d.flatten(0, 1).sum(0, dtype=torch.float64)
            (d > 0).flatten(0, 1).sum(0)

    tokens = n * length
    for name, f in (("one lane, log-probabilities", one_lane), ("pair, KL", kl), ("pair, top 100", topk)):
        for rows in (4096, 8192):
            try:
                print(f"PyTorch: {name:28} batches of {rows:5}: {tokens / timed(lambda: f(rows)):8.0f} tokens/s", flush=True)
            except torch.cuda.OutOfMemoryError:
                print(f"PyTorch: {name} batches of {rows}: out of memory", flush=True)
                torch.cuda.empty_cache()

    prompts = ids[:PROMPTS, :PROMPT]

    def decode():
        pair.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                      min_new_tokens=NEW, max_new_tokens=NEW, pad_token_id=0)

    with pair.disable_adapter():
        one = timed(decode, 1)
    two = one + timed(decode, 1)
    print(f"PyTorch: decode, 1 lane, {PROMPTS} sequences: {PROMPTS * NEW / one:.0f} tokens/s, "
          f"2 lanes one after the other: {2 * PROMPTS * NEW / two:.0f} tokens/s (prompts included)")


if __name__ == "__main__":
    main()
