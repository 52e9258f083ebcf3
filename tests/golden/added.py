"""Added-token goldens -> tokens/added/.

tokenizer.json   a small byte-level tokenizer whose added tokens have every combination of flags,
                 a template that puts <s> before a text, and whole-piece lookup before merges
added.jsonl      seeded strings, their ids with and without the template, and with the names of
                 special tokens read as ordinary text

    python added.py
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

HERE = Path(__file__).resolve().parent / "tokens" / "added"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def build():
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("a", "b"), ("Ġ", "a"), ("Ġ", "ab"), ("b", "a"), ("Ġ", "Ġ"), ("c", "d"), ("ab", "c")]
    for m in merges:
        vocab["".join(m)] = len(vocab)
    vocab["xyz"] = len(vocab)           # reached by whole-piece lookup only
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
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


def main():
    tok = build()
    HERE.mkdir(parents=True, exist_ok=True)
    tok.save(str(HERE / "tokenizer.json"))
    r = random.Random(11)
    parts = ["<s>", "<s>>", "</s>", "[L]", "[R]", "[B]", "[N]", "wo", "word", "new word", "new words", "\u00e9\u00e9",
             "\u00e9", " ", "  ", "\n", "\t ", "\u00a0", "\u3000", "a", "ab", "ba", "abc", "cd", "xyz", " xyz", "1234",
             ".", "_", "-", "<", ">", "\u0301", "\u200d", "'LL", "\u4e2d"]
    texts = sorted({"".join(r.choice(parts) for _ in range(r.randint(1, 9))) for _ in range(600)})
    with open(HERE / "added.jsonl", "w", encoding="utf-8") as f:
        for t in texts:
            row = {"text": t, "ids": tok.encode(t, add_special_tokens=False).ids, "wrapped": tok.encode(t).ids}
            tok.encode_special_tokens = True
            row["plain"] = tok.encode(t, add_special_tokens=False).ids
            tok.encode_special_tokens = False
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
