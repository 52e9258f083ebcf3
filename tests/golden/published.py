"""Goldens of published tokenizers -> tokens/published/.

    python published.py DIR

DIR/NAME/package/models/tokenizer.json: what `npm pack @lenml/tokenizer-NAME` has in it, version 3.7.2;
DIR/tekken/tekken.json: mistral_common/data/tekken_240911.json of mistral-common 1.13.1.
NAME.u32 as in families.py; sums: the SHA-256 of each file that was read.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

import families
from tokenizers import Tokenizer

NAMES = ["llama2", "llama3_1", "qwen3", "gemma3", "deepseek_v3", "gptoss"]
OUT = families.HERE / "published"


def save(name, file, encode, decode):
    ids, back = [], []
    for t in families.texts():
        got = encode(t)
        ids.append(families.fnv(struct.pack(f"<{len(got)}I", *got)))
        back.append(families.fnv(decode(got).encode()))
    (OUT / f"{name}.u32").write_bytes(struct.pack(f"<{2 * len(ids)}I", *ids, *back))
    print(hashlib.sha256(file.read_bytes()).hexdigest(), name, flush=True)
    return f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n"


def tekken(file):
    """No hostile string has a special token's name in it, so all of a text is ordinary."""
    import tiktoken

    spec = json.loads(file.read_text(encoding="utf-8"))
    n_special = spec["config"]["default_num_special_tokens"]
    n = spec["config"]["default_vocab_size"] - n_special
    ranks = {base64.b64decode(v["token_bytes"]): v["rank"] for v in spec["vocab"][:n]}
    enc = tiktoken.Encoding("tekken", pat_str=spec["config"]["pattern"], mergeable_ranks=ranks, special_tokens={})

    def decode(ids):
        return "<s>" + enc.decode([i - n_special for i in ids[1:]], errors="replace")

    return save("tekken", file, lambda t: [1, *(i + n_special for i in enc.encode_ordinary(t))], decode)


def main():
    root = Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    sums = ""
    for name in NAMES:
        file = root / name / "package" / "models" / "tokenizer.json"
        tok = Tokenizer.from_file(str(file))
        sums += save(name, file, lambda t: tok.encode(t).ids, lambda ids: tok.decode(ids, skip_special_tokens=False))
    sums += tekken(root / "tekken" / "tekken.json")
    (OUT / "sums").write_text(sums)


if __name__ == "__main__":
    main()
