"""Texts as the reference toolkit tokenizes them, with its round trip -> roundtrip/.

python roundtrip.py     (transformers, tokenizers; reads tokens/families/*.json, tokens/torture.jsonl)

Each text is encoded and truncated, decoded with its special tokens, and encoded again; special tokens are added the
first time where the tokenizer has a BOS that the text does not contain, the second time as the first text decides.

texts.jsonl     the texts
NAME.N.jsonl    the ids of each, for a context of N tokens
"""
import json
import os

from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "roundtrip")
os.makedirs(OUT, exist_ok=True)

texts = [json.loads(line)["text"] for line in open(os.path.join(HERE, "tokens/torture.jsonl"), encoding="utf-8")]
texts = [t for t in texts if "\0" not in t and 0 < len(t) < 300][::17]
texts[5:5] = ["a <s> in the middle", "<s>already begun", "it 's not , is it ?  No !", "\u00fc\u6771\u4eac\U0001f370" * 9]
with open(os.path.join(OUT, "texts.jsonl"), "w") as f:
    for t in texts:
        f.write(json.dumps({"text": t}) + "\n")

for name in ("llama2", "llama3", "gemma", "gpt2"):
    tok = PreTrainedTokenizerFast(tokenizer_file=os.path.join(HERE, f"tokens/families/{name}.json"), bos_token="<s>",
                                  clean_up_tokenization_spaces=False)
    for n in (6, 40):
        once = []
        for t in texts:
            special = tok.bos_token is not None and tok.bos_token not in t
            ids = tok(t, truncation=True, max_length=n, add_special_tokens=special)["input_ids"]
            once.append(tok.decode(ids))
        special = tok.bos_token is not None and tok.bos_token not in once[0]
        with open(os.path.join(OUT, f"{name}.{n}.jsonl"), "w") as f:
            for t in once:
                f.write(json.dumps(tok(t, truncation=True, max_length=n, add_special_tokens=special)["input_ids"]) + "\n")
        plain = [tok(t, truncation=True, max_length=n, add_special_tokens=tok.bos_token not in t)["input_ids"] for t in texts]
        print(name, n, sum(a != json.loads(b) for a, b in zip(plain, open(os.path.join(OUT, f"{name}.{n}.jsonl")))), "of", len(texts), "differ")
