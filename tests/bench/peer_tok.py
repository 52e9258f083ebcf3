"""The same texts through HuggingFace tokenizers and tiktoken, for `make bench`: one thread, document by document.

usage: peer_tok.py TEXTS.jsonl,... TOKENIZER...   (needs tokenizers; folders and tekken.json are passed over;
tiktoken, where it is there, for byte-level BPE with one pattern: lines that begin with tiktoken:)
Prints name, bytes, ids, MB/s of the first pass and of the best of three, in processor time.
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def tiktoken_of(path):
    """The vocabulary of a byte-level BPE for tiktoken, or None."""
    import tiktoken

    spec = json.load(open(path, encoding="utf-8"))
    pre = spec["pre_tokenizer"]
    steps = pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]
    split = [p["pattern"]["Regex"] for p in steps if p["type"] == "Split" and "Regex" in p["pattern"]]
    if spec["model"]["type"] != "BPE" or not any(p["type"] == "ByteLevel" for p in steps) or len(split) > 1:
        return None
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    byte = {chr(b): b for b in keep} | {chr(256 + i): b for i, b in enumerate(rest)}
    ranks = {}
    for piece, i in sorted(spec["model"]["vocab"].items(), key=lambda x: x[1]):
        if all(c in byte for c in piece):
            ranks[bytes(byte[c] for c in piece)] = i
    return tiktoken.Encoding(path, pat_str=split[0] if split else GPT2, mergeable_ranks=ranks, special_tokens={})


def passes(name, texts, size, encode):
    times = []
    for _ in range(4):
        t0 = time.process_time()
        n = sum(len(encode(t)) for t in texts)
        times.append(time.process_time() - t0)
    print(f"{name}\t{size}\t{n}\t{size * 1e-6 / times[0]:.1f}\t{size * 1e-6 / min(times[1:]):.1f}", flush=True)


def main():
    rows = [json.loads(line) for f in sys.argv[1].split(",") for line in open(f, encoding="utf-8") if line.strip()]
    texts = [r["text"] for r in rows if "text" in r]
    size = sum(len(t.encode()) for t in texts)
    for path in sys.argv[2:]:
        try:
            tok = Tokenizer.from_file(path)
        except Exception:
            continue
        passes(path, texts, size, lambda t: tok.encode(t, add_special_tokens=False).ids)
        try:
            tik = tiktoken_of(path)
        except Exception:
            continue
        if tik:
            passes(f"tiktoken:{path}", texts, size, tik.encode_ordinary)


if __name__ == "__main__":
    main()
