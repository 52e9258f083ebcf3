"""Tokenizer goldens of the families that are not the default model's -> tokens/families/.

Small tokenizers, each with other components, trained here on words of the hostile strings; for each the ids and
the decoded text of every string of tokens/torture.jsonl, from HuggingFace tokenizers.

NAME.json        the tokenizer
NAME.u32         for each string the low 32 bits of the FNV-1a hash of its ids, wrapped in the tokens that the
                 template adds; then for each the same of the bytes of the decoded text, special tokens kept
rows.jsonl       for each tokenizer the ids of every 211th string in full
tekken/          a tekken.json; ids from tiktoken over the same ranks (the makers' own code adds only the offset)
NAME.gguf        the tokenizer of NAME.json as a GGUF's metadata: must give the same ids

    python families.py
"""

import base64
import json
import random
import re
import struct
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent / "tokens"
OUT = HERE / "families"
GAP = "\u2581"

REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
HEAD, BODY = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cased(tail):
    return (rf"[^\r\n\p{{L}}\p{{N}}]?{HEAD}*{BODY}+{tail}|[^\r\n\p{{L}}\p{{N}}]?{HEAD}+{BODY}*{tail}")


TEKKEN = cased("") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
GPT4O = cased(CONTRACTION + "?") + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
# Published with line ends as they are, not escaped.
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            ("[!\"" r"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*" + REST).replace(r"\r\n", "\r\n")]
# Known to no scanner: possessive, a word class, a digit class.
GENERAL = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"


def texts():
    return [json.loads(line)["text"] for line in open(HERE / "torture.jsonl", encoding="utf-8")]


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h & 0xFFFFFFFF


def sample():
    """What the small vocabularies are learnt from."""
    r = random.Random(3)
    words = [w for t in texts() for w in t.split(" ") if 0 < len(w) < 20]
    return [" ".join(r.choice(words) for _ in range(12)) for _ in range(1500)]


def trained(tok, size, alphabet=(), special=()):
    tok.train_from_iterator(sample(), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=list(alphabet), special_tokens=list(special), show_progress=False,
        limit_alphabet=max(len(alphabet), 120)))
    return tok


def byte_level(pre, size=700, norm=None, decoder=None, **model):
    """Trained with the pre-tokenizers it has; the model's flags are set afterwards."""
    tok = Tokenizer(models.BPE())
    if norm:
        tok.normalizer = norm
    tok.pre_tokenizer = pre_tokenizers.Sequence(pre) if len(pre) > 1 else pre[0]
    trained(tok, size, sorted(pre_tokenizers.ByteLevel.alphabet()), ["<s>", "</s>"])
    spec = json.loads(tok.to_str())
    spec["model"].update(model)
    tok = Tokenizer.from_str(json.dumps(spec))
    tok.decoder = decoder or decoders.ByteLevel()
    bos = tok.token_to_id("<s>")
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    return tok


def split(*patterns):
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return [*(pre_tokenizers.Split(Regex(p), "isolated") for p in patterns), level]


def characters(norm=None, pre=None, size=700, decoder=None, bytes_too=True, drop=(), added=(), train_pre=None, **model):
    """SentencePiece-like: symbols are characters; trained on words that U+2581 begins."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Replace(" ", GAP)
    tok.pre_tokenizer = train_pre or pre_tokenizers.Split(GAP, "merged_with_next")
    fallback = [f"<0x{b:02X}>" for b in range(256)] if bytes_too else []
    trained(tok, size, [GAP], ["<unk>", "<s>", "</s>", *fallback])
    spec = json.loads(tok.to_str())
    spec["added_tokens"] = spec["added_tokens"][:3]
    vocab, merges = spec["model"]["vocab"], spec["model"]["merges"]
    for t in [*added, GAP * 2, GAP * 4, "\n"]:
        vocab.setdefault(t, len(vocab))
    merges[:0] = [[GAP, GAP], [GAP * 2, GAP * 2]]
    for t in drop:
        vocab[f"(no {t})"] = vocab.pop(t)
    spec["model"].update(byte_fallback=bytes_too, **model)
    spec["normalizer"] = spec["pre_tokenizer"] = None
    tok = Tokenizer.from_str(json.dumps(spec))
    if norm:
        tok.normalizer = norm
    if pre:
        tok.pre_tokenizer = pre
    if decoder:
        tok.decoder = decoder
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tok


def llama2():
    back = [decoders.Replace(GAP, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tok = characters(normalizers.Sequence([normalizers.Prepend(GAP), normalizers.Replace(" ", GAP)]),
                     decoder=decoders.Sequence(back))
    tok.add_tokens([AddedToken("don't", normalized=True), AddedToken("fox", single_word=True, lstrip=True)])
    return tok


def gemma():
    back = [decoders.Replace(GAP, " "), decoders.ByteFallback(), decoders.Fuse()]
    tok = characters(normalizers.Replace(" ", GAP), pre_tokenizers.Split(" ", "merged_with_previous"),
                     decoder=decoders.Sequence(back), added=["\n\n", GAP * 3, "a" + GAP + "b"])
    tok.add_tokens([AddedToken(t, normalized=False) for t in ("\n\n", "\n\n\n", GAP * 2, GAP * 3, "<b>", "<br>", "<")])
    return tok


def metaspace(scheme, cut=True, **more):
    meta = dict(replacement=GAP, prepend_scheme=scheme, split=cut)
    return characters(None, pre_tokenizers.Metaspace(**meta), decoder=decoders.Metaspace(**meta), **more)


def level(**k):
    return pre_tokenizers.ByteLevel(**k)


def forms(*norm):
    return byte_level([level(add_prefix_space=False)], norm=normalizers.Sequence(list(norm)), size=420)


def also(tok, *words):
    tok.add_tokens([AddedToken(w, normalized=True) for w in words])
    return tok


def s(pattern, behavior, invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


PLAIN = level(add_prefix_space=False, use_regex=False)
FAMILIES = {
    "gpt2": lambda: byte_level([level(add_prefix_space=False)]),
    "prefix": lambda: byte_level([level(add_prefix_space=True)]),
    "llama3": lambda: byte_level(split(LLAMA3), ignore_merges=True),
    "qwen2": lambda: byte_level(split(QWEN2), norm=normalizers.NFC()),
    "tekken": lambda: byte_level(split(TEKKEN), ignore_merges=True),
    "gpt4o": lambda: byte_level(split(GPT4O)),
    "deepseek3": lambda: byte_level(split(*DEEPSEEK)),
    "general": lambda: byte_level(split(GENERAL)),
    "words": lambda: byte_level(split(r"\w+|[^\w\s]+", r"\d{2}", r"^.|\s$")),
    "digits": lambda: byte_level([pre_tokenizers.Digits(individual_digits=False), level(add_prefix_space=False)], 420),
    "spaces": lambda: byte_level([pre_tokenizers.WhitespaceSplit(), PLAIN], 420),
    "previous": lambda: byte_level([s(" ", "merged_with_previous"), s(Regex("[aeiou]"), "merged_with_next"), PLAIN], 420),
    "contiguous": lambda: byte_level([s(Regex(r"\p{P}"), "contiguous"), s(".", "removed"), PLAIN], 420),
    "invert": lambda: byte_level([s(Regex(r"\p{L}+|\s*"), "removed", True), level(add_prefix_space=True)], 420),
    "lower": lambda: also(forms(normalizers.Strip(), normalizers.Lowercase(), normalizers.NFKC()), "The", "\u00e9T", "ab"),
    "nfd": lambda: forms(normalizers.NFD(), normalizers.Replace(Regex(r"\s+"), " ")),
    "nfkd": lambda: forms(normalizers.NFKD(), normalizers.Strip(left=False, right=True), normalizers.Prepend("x")),
    "llama2": llama2,
    "gemma": gemma,
    "always": lambda: metaspace("always"),
    "first": lambda: metaspace("first", drop=["<0xF0>"]),
    "never": lambda: metaspace("never", cut=False),
    "unknown": lambda: metaspace("always", bytes_too=False, fuse_unk=False),
    "joined": lambda: characters(normalizers.Replace(" ", GAP), bytes_too=False, size=420),
}


def save_rows(rows, name, encode, decode):
    ids, back = [], []
    for n, t in enumerate(texts()):
        got = encode(t)
        ids.append(fnv(struct.pack(f"<{len(got)}I", *got)))
        back.append(fnv(decode(got).encode()))
        if n % 211 == 0:
            rows.append({"name": name, "row": n, "ids": got})
    (OUT / f"{name}.u32").write_bytes(struct.pack(f"<{2 * len(ids)}I", *ids, *back))


def compact(tok):
    """As saved, without the second sequence of the template and what nothing reads."""
    spec = json.loads(tok.to_str())
    for k in ("truncation", "padding"):
        spec.pop(k)
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":"))


def gguf(name, tok):
    """Scores in the order of the merges' results; the reader derives the merges again."""
    from gguf import GGUFWriter

    spec = json.loads(tok.to_str())
    vocab = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)
    w = GGUFWriter(OUT / f"{name}.gguf", "llama")
    special = {a["id"]: a["special"] for a in spec["added_tokens"]}
    tokens = vocab + [a["content"] for a in spec["added_tokens"] if a["id"] >= len(vocab)]
    rank = {}
    for i, (a, b) in enumerate(spec["model"]["merges"]):
        rank.setdefault(a + b, i)
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([float(-rank.get(t, 100000)) for t in tokens])
    w.add_token_types([2 if i == 0 else 3 if special.get(i) else 4 if i in special else
                       6 if t.startswith("<0x") and len(t) == 6 else 1 for i, t in enumerate(tokens)])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    w.add_add_space_prefix(name == "sp-prefix")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def complete(tok):
    """The tokenizer with all merges that its vocabulary implies, ordered by score as its makers' converter does."""
    spec = json.loads(tok.to_str())
    vocab = spec["model"]["vocab"]
    rank = {}
    for i, (a, b) in enumerate(spec["model"]["merges"]):
        rank.setdefault(a + b, i)
    merges = []
    for t, i in sorted(vocab.items(), key=lambda x: x[1]):
        pairs = [(t[:k], t[k:]) for k in range(1, len(t)) if t[:k] in vocab and t[k:] in vocab]
        merges += [(-rank.get(t, 100000), p) for p in sorted(pairs, key=lambda p: (vocab[p[0]], vocab[p[1]]))]
    merges.sort(key=lambda m: m[0], reverse=True)
    spec["model"]["merges"] = [p for _, p in merges]
    return Tokenizer.from_str(json.dumps(spec))


def sp(prefix):
    back = [decoders.Replace(GAP, " "), decoders.ByteFallback(), decoders.Fuse()]
    norm = [normalizers.Prepend(GAP)] if prefix else []
    # Tokens with U+2581 behind another character: there a text is not cut into words.
    tok = characters(normalizers.Sequence([*norm, normalizers.Replace(" ", GAP)]), added=["a" + GAP, "a" + GAP + "b", "t" + GAP],
                     decoder=decoders.Sequence(back + ([decoders.Strip(" ", 1, 0)] if prefix else [])))
    return complete(tok)


def tekken(rows):
    """Ranks: the bytes, then the merges of a trained tokenizer; 20 special tokens, one of them unnamed."""
    import tiktoken

    tok = byte_level(split(TEKKEN))
    spec = json.loads(tok.to_str())
    level = pre_tokenizers.ByteLevel.alphabet()
    order = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    char = {chr(b): b for b in order}
    char.update({chr(0x100 + k): b for k, b in enumerate(b for b in range(256) if b not in order)})
    assert set(char) == set(level)
    ranks = {bytes([b]): b for b in range(256)}
    for a, b in spec["model"]["merges"]:
        ranks.setdefault(bytes(char[c] for c in a + b), len(ranks))
    n_special, extra = 20, 5
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>"]
    file = {"config": {"pattern": TEKKEN, "num_vocab_tokens": len(ranks), "default_vocab_size": len(ranks) + n_special - extra,
                       "default_num_special_tokens": n_special, "version": "v11"},
            "vocab": [{"rank": r, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for t, r in ranks.items()],
            "special_tokens": [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(names)]}
    (OUT / "tekken").mkdir(exist_ok=True)
    (OUT / "tekken" / "tekken.json").write_text(json.dumps(file, separators=(",", ":")))
    kept = {t: r for t, r in ranks.items() if r < len(ranks) - extra}
    enc = tiktoken.Encoding("small", pat_str=TEKKEN, mergeable_ranks=kept, special_tokens={})

    def encode(t):
        # Names of special tokens in a text are these tokens here, as in every family.
        ids = [1]
        for part in re.split("(" + "|".join(map(re.escape, [*names, *(f"<SPECIAL_{i}>" for i in range(6, 20))])) + ")", t):
            if part in names:
                ids.append(names.index(part))
            elif re.fullmatch(r"<SPECIAL_\d+>", part) and 6 <= int(part[9:-1]) < 20:
                ids.append(int(part[9:-1]))
            else:
                ids += [i + n_special for i in enc.encode_ordinary(part)]
        return ids

    def decode(ids):
        out = b"".join(kept_by[i - n_special] if i >= n_special else names[i].encode() if i < len(names)
                       else f"<SPECIAL_{i}>".encode() for i in ids)
        return out.decode("utf-8", errors="replace")

    kept_by = {r: t for t, r in kept.items()}
    save_rows(rows, "tekken/tekken", encode, decode)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in [*FAMILIES, "sp-prefix", "sp-plain"]:
        tok = sp(name == "sp-prefix") if name.startswith("sp-") else FAMILIES[name]()
        (OUT / f"{name}.json").write_text(compact(tok) + "\n", encoding="utf-8")
        tok = Tokenizer.from_file(str(OUT / f"{name}.json"))
        if name.startswith("sp-"):
            gguf(name, tok)
        save_rows(rows, name, lambda t: tok.encode(t).ids, lambda ids: tok.decode(ids, skip_special_tokens=False))
        print(name, tok.get_vocab_size(), flush=True)
    tekken(rows)
    (OUT / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


if __name__ == "__main__":
    main()
