"""Added-token and normalization goldens -> tokens/added/.

tokenizer.json   a small byte-level tokenizer whose added tokens have every combination of flags,
                 a template that puts <s> before a text, and whole-piece lookup before merges
added.jsonl      seeded strings, their ids with and without the template, and with the names of
                 special tokens read as ordinary text
nfc.json, nfc.jsonl
                 the same with normalization form C and the pre-tokenizer of Qwen 2

    python added.py
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).resolve().parent / "tokens" / "added"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def build(nfc):
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("a", "b"), ("Ġ", "a"), ("Ġ", "ab"), ("b", "a"), ("Ġ", "Ġ"), ("c", "d"), ("ab", "c")]
    for m in merges:
        vocab["".join(m)] = len(vocab)
    vocab["xyz"] = len(vocab)           # reached by whole-piece lookup only
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=not nfc))
    if nfc:
        tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2 if nfc else LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("<s>>", normalized=False),
                            AddedToken("</s>", normalized=False, rstrip=True)])
    tok.add_tokens([
        AddedToken("[L]", lstrip=True, normalized=False), AddedToken("[R]", rstrip=True, normalized=False),
        AddedToken("[B]", lstrip=True, rstrip=True, normalized=True), AddedToken("[N]", normalized=True),
        AddedToken("wo", single_word=True, normalized=False), AddedToken("\u00e9\u00e9", normalized=False),
        AddedToken("new word", single_word=True, lstrip=True, normalized=True)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tok.token_to_id("<s>"))])
    return tok


PARTS = ["<s>", "<s>>", "</s>", "[L]", "[R]", "[B]", "[N]", "wo", "word", "new word", "new words", "\u00e9\u00e9",
         "\u00e9", " ", "  ", "\n", "\t ", "\u00a0", "\u3000", "a", "ab", "ba", "abc", "cd", "xyz", " xyz", "1234",
         ".", "_", "-", "<", ">", "\u0301", "\u200d", "'LL", "\u4e2d"]
FORMS = ["e\u0301", "\u0301", "\u0323", "e\u0323\u0301", "a\u030a", "\u212b", "\u1100\u1161\u11a8", "\uac00", "\u11a8",
         "\u0958", "\u0f73", "\u0344", "\u2126", "\uf900", "\ufb1d", "\U0001d15e", "A\u0300", "o\u0302\u0301", "\u00e9"]


def save(tok, name, rows, parts, r):
    texts = sorted({"".join(r.choice(parts) for _ in range(r.randint(1, 9))) for _ in range(600)})
    with open(HERE / rows, "w", encoding="utf-8") as f:
        for t in texts:
            row = {"text": t, "ids": tok.encode(t, add_special_tokens=False).ids, "wrapped": tok.encode(t).ids}
            tok.encode_special_tokens = True
            row["plain"] = tok.encode(t, add_special_tokens=False).ids
            tok.encode_special_tokens = False
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
    tok.save(str(HERE / name))


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    r = random.Random(11)
    save(build(False), "tokenizer.json", "added.jsonl", PARTS, r)
    save(build(True), "nfc.json", "nfc.jsonl", PARTS + 2 * FORMS, r)


if __name__ == "__main__":
    main()
