"""The same texts through HuggingFace tokenizers, for `make bench`: one thread, document by document.

usage: peer_tok.py TEXTS.jsonl,... TOKENIZER...   (needs tokenizers; folders and tekken.json are passed over)
Prints name, bytes, ids, MB/s of the first pass and of the best of three, in processor time.
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402


def main():
    rows = [json.loads(line) for f in sys.argv[1].split(",") for line in open(f, encoding="utf-8") if line.strip()]
    texts = [r["text"] for r in rows if "text" in r]
    size = sum(len(t.encode()) for t in texts)
    for path in sys.argv[2:]:
        try:
            tok = Tokenizer.from_file(path)
        except Exception:
            continue
        times = []
        for _ in range(4):
            t0 = time.process_time()
            n = sum(len(tok.encode(t, add_special_tokens=False).ids) for t in texts)
            times.append(time.process_time() - t0)
        print(f"{path}\t{size}\t{n}\t{size * 1e-6 / times[0]:.1f}\t{size * 1e-6 / min(times[1:]):.1f}", flush=True)


if __name__ == "__main__":
    main()
