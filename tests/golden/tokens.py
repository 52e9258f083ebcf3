"""Tokenizer goldens -> tokens/.

tokens.jsonl   every shipped text and chat: number of ids, FNV-1a hash of the ids, a dozen rows in full
torture.jsonl  seeded set of hostile strings with their ids and the text decoded from the ids
decode.jsonl   random id sequences with their decoding, with and without special tokens
unicode.json   the classes the pre-tokenizers see: ranges of \\p{L}, \\p{N}, \\s and of `Digits` numerics
symbols.json   bytes that have no symbol in the vocabulary (they yield no token)
"""

import random
import unicodedata

import gold
from tokenizers import pre_tokenizers

PLANES = [(0x80, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF),
          (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0xEFF), (0xF00, 0x109F), (0x10A0, 0x139F),
          (0x13A0, 0x17FF), (0x1800, 0x1CFF), (0x1D00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F),
          (0x2190, 0x23FF), (0x2400, 0x27BF), (0x27C0, 0x2BFF), (0x2C00, 0x2FFF), (0x3000, 0x30FF),
          (0x3100, 0x33FF), (0x3400, 0x4DBF), (0x4DC0, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF),
          (0xE000, 0xF8FF), (0xF900, 0xFDFF), (0xFE00, 0xFFFF), (0x10000, 0x107FF), (0x10800, 0x11FFF),
          (0x12000, 0x16FFF), (0x17000, 0x1CFFF), (0x1D000, 0x1D7FF), (0x1D800, 0x1EFFF),
          (0x1F000, 0x1F3FF), (0x1F400, 0x1F9FF), (0x1FA00, 0x1FFFF), (0x20000, 0x2A6DF),
          (0x2A6E0, 0x3FFFF), (0x40000, 0xDFFFF), (0xE0000, 0xE01EF), (0xE01F0, 0xEFFFF),
          (0xF0000, 0xFFFFF), (0x100000, 0x10FFFF)]
SPACES = [" ", "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0",
          "\u1680", "\u180e", "\u2000", "\u2003", "\u2009", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u2060", "\u3000", "\ufeff"]
DIGITS = list("0123456789") + ["\u0663", "\u06f4", "\u0967", "\u09e8", "\u0e53", "\u0f24", "\u17e5", "\u1816",
          "\uff15", "\U0001d7d6", "\U00011067", "\u2160", "\u2167", "\u2188", "\u3007", "\u3021", "\u16ee",
          "\U00010140", "\u00b2", "\u00b9", "\u00bc", "\u00be", "\u2070", "\u2075", "\u2153", "\u2460",
          "\u2473", "\u2776", "\u3192", "\u3220", "\u3280", "\U0001f100", "\u4e00", "\u4e94", "\u0bf0", "\u0d70"]
EMOJI = ["\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308",
         "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "1\ufe0f\u20e3", "\u2764\ufe0f\u200d\U0001f525",
         "\U0001f9d1\U0001f3ff\u200d\U0001f4bb", "\U0001f600", "\u263a\ufe0f", "\U0001fae0",
         "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'VE", "'M", "'LL", "'D", "'Re",
                "'rE", "'vE", "'lL", "'Ll", "'\u017f", "\u2019s", "\u2019t", "'sx", "'tis", "'d've", "''s", "'",
                "'l", "'r", "'v", " 's", "'\u017ft", "'n", "'em"]
COMBINING = ["\u0301", "\u0308", "\u0323", "\u20d7", "\u093e", "\u0e31", "\u0f71", "\u3099", "\u1ab0", "\ufe20",
             "\u0345", "\u0488", "\u064b", "\u05b0"]
CODE = ["for (int i = 0; i < n; ++i) {\n\tsum += a[i]*b[i];\n}\n", "def f(x):\n    return x**2 if x>=0 else -x\n",
        "#include <stdio.h>\r\n\r\nint main(void){return 0;}\r\n", "SELECT * FROM t WHERE a='b' AND c<>10;",
        "if [[ $x =~ ^[0-9]+$ ]]; then echo \"${x}\"; fi", "<div class=\"a b\">&nbsp;x</div>", "x = 0xDEADBEEF_u64;",
        "\\begin{equation} \\alpha^{2} \\end{equation}", "{\"k\": [1, 2.5e-3, null, true]}", "a->b.c::d<e>&&f||!g",
        "let s = r#\"raw \"quoted\" string\"#;", "import numpy as np  # noqa: F401", "$ git log --oneline -n5 | head"]
WORDS = ("the quick brown fox Jumps over LAZY dogs temperature baking cake frosting vanilla extract don't it's "
         "I'll we've they're naive cafe resume internationalisation antidisestablishmentarianism hello World "
         "iPhone XMLHttpRequest snake_case kebab-case www.example.com user@example.com 3.14159 450\u00b0F $1,299.00 "
         "\u00fcber stra\u00dfe \u00e9t\u00e9 \u0142\u00f3d\u017a \u4f60\u597d \u4e16\u754c \u3053\u3093\u306b\u3061\u306f \uc548\ub155 "
         "\u043f\u0440\u0438\u0432\u0435\u0442 \u03ba\u03cc\u03c3\u03bc\u03b5 \u0645\u0631\u062d\u0628\u0627 "
         "\u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35").split(" ")
PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "\u2014", "\u2026", "\u00ab", "\u00bb", "\u201c", "\u201d",
         "\u20ac", "\u00b0", "\u2122", "\u00ad", "\u0640", "\u00aa", "\u00ba", "--", "->", "=>", "//", "**"]


def torture(specials):
    """About 1,700 strings; deterministic."""
    r = random.Random(20240717)
    out = ["", " ", "  ", "a", "A", "\n", "\r\n", "\t", "\x00", "a\x00b", "\x7f", "\ufffd", "\ufffe", "\uffff"]

    def mix(pools, n):
        return "".join(r.choice(r.choice(pools)) for _ in range(n))

    def planes(lo, hi):
        return chr(r.randint(lo, hi))

    for c in range(0x100):                                     # every code point below U+0100, alone and inside
        out.append(chr(c))
        out.append("a" + chr(c) + "1" + chr(c) + chr(c) + " b")
    for lo, hi in PLANES:                                      # random characters of every block group
        for _ in range(5):
            out.append("".join(planes(lo, hi) for _ in range(r.randint(1, 10))))
        out.append(" ".join("".join(planes(lo, hi) for _ in range(r.randint(1, 3))) for _ in range(4)))
    for s in SPACES:                                           # white space of every kind, runs of 1..5
        for n in (1, 2, 3, 5):
            out.append(f"a{s * n}b")
        out += [f"{s}a", f"a{s}", f" {s} x", f"x{s} 7", f"7{s}{s}7", f"{s} {s}.", f"\n{s}\n"]
    for _ in range(120):
        out.append(mix([SPACES, ["a", "B", "1", "."]], r.randint(2, 14)))
    for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100):
        out += [" " * n + "x", "x" + " " * n, "\n" * n + "x", "\t" * n + "1", " " * n]
    for d in DIGITS:
        out += [d, f"a{d}b", f" {d}{d}", f"x {d} {d}"]
    for _ in range(80):
        out.append(mix([DIGITS, DIGITS, [" ", "a", ",", ".", "-"]], r.randint(2, 12)))
    for c in CONTRACTIONS:
        out += [c, f"it{c}", f"We{c} go", f"1{c}", f"{c}{c}"]
    for e in EMOJI:
        out += [e, f"a{e}b", f" {e} {e}", e * 3]
    for m in COMBINING:
        out += [m, f"e{m}", f" {m}", f"a{m}{m}b", f"1{m}", unicodedata.normalize("NFD", "\u00e9\u00fc\u1ec7") + m]
    for t in specials:
        out += [t, f"a{t}b", f" {t} ", t[:-1], t + t]
    for _ in range(60):
        out.append(mix([specials, WORDS, SPACES, ["<", "|", ">", "<|", "|>", "<|im_", "<|im_start|"]], r.randint(2, 9)))
    out += ["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|IM_START|>", "< |im_start|>",
            "<<|im_end|>>", "<|im_start|<|im_start|>>", "<file_sep><filename>a.c<gh_stars>10-100"]
    for n in (50, 100, 255, 256, 257, 1000, 3000):             # very long words
        out += ["a" * n, "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(n))]
    out += ["ab" * 500, "=" * 300, "-" * 257, "\u4e2d" * 200, "0" * 300, "\U0001f600" * 60, "A" * 129, "." * 1000]
    for c in CODE:
        out += [c, "    " + c, c + c]
    for _ in range(150):
        out.append(" ".join(r.choice(WORDS) for _ in range(r.randint(2, 12))))
    for _ in range(150):                                       # everything together
        out.append(mix([WORDS, PUNCT, SPACES, DIGITS, EMOJI, COMBINING, CONTRACTIONS], r.randint(3, 16)))
    for _ in range(100):
        out.append(mix([PUNCT, PUNCT, [" "], WORDS], r.randint(2, 10)))
    for _ in range(120):
        out.append("".join(planes(*r.choice(PLANES)) for _ in range(r.randint(2, 12))))
    seen, uniq = set(), []
    for t in out:
        t = "".join(c for c in t if not 0xD800 <= ord(c) <= 0xDFFF)
        if t not in seen:
            seen.add(t)
            uniq.append(t)
    return uniq


def ranges(flags):
    out, start = [], None
    for c, f in enumerate(flags):
        if f and start is None:
            start = c
        if not f and start is not None:
            out.append([start, c - 1])
            start = None
    if start is not None:
        out.append([start, len(flags) - 1])
    return out


def unicode_classes():
    """Classes of every code point, found by asking the pre-tokenizers."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)

    def pieces(p, text):
        return len(p.pre_tokenize_str(text))

    flags = {k: [False] * 0x110000 for k in ("letter", "number", "space", "digit")}
    for c in range(0x110000):
        if 0xD800 <= c <= 0xDFFF:
            continue
        s = chr(c)
        flags["letter"][c] = pieces(level, "x" + s) == 1
        flags["number"][c] = pieces(level, "1" + s) == 1
        flags["space"][c] = pieces(level, s + s + "!") > 1 and not flags["letter"][c] and not flags["number"][c]
        flags["digit"][c] = pieces(digits, "x" + s) > 1
    return {k: ranges(v) for k, v in flags.items()}


def main():
    g = gold.Gguf(gold.gguf_arg(__doc__))
    tok = gold.tokenizer(g)
    out = gold.out_dir("tokens")
    template = g.meta["tokenizer.chat_template"]

    rows, full = [], 0
    for n, (f, i, kind, text, ids) in enumerate(gold.shipped(tok)):
        row = {"source": f, "id": i, "kind": kind, "n": len(ids), "fnv": gold.fnv1a(ids)}
        if n % 95 == 0:
            row["ids"], full = ids, full + 1
        rows.append(row)
        assert tok.decode(ids, skip_special_tokens=False) == text
    checked = 0
    for f in ("text/chat.jsonl", "organisms/null_self/train.jsonl"):
        for r in (r for r in gold.corpus(f) if "messages" in r):
            for gen in (False, True):
                assert gold.chatml(r["messages"], gen) == gold.render_template(template, r["messages"], gen)
                checked += 1
    print(f"ChatML equals the file's own template on {checked} renderings; {full} rows in full")
    gold.save_jsonl(out / "tokens.jsonl", rows)

    specials = [t for t, k in zip(g.meta["tokenizer.ggml.tokens"], g.meta["tokenizer.ggml.token_type"]) if k == 3]
    rows, lossy = [], 0
    for t in torture(specials):
        ids = gold.encode(tok, t)
        back = tok.decode(ids, skip_special_tokens=False)
        lossy += back != t
        rows.append({"text": t, "ids": ids, "decoded": back})
    print(f"{lossy} strings do not come back unchanged")
    gold.save_jsonl(out / "torture.jsonl", rows)

    r, rows = random.Random(5), []
    short = [i for i, t in enumerate(g.meta["tokenizer.ggml.tokens"]) if len(t) == 1]
    for n in range(400):
        pool = (range(g.vocab), short, [*range(17), *short])[n % 3]
        ids = [r.choice(pool) for _ in range(r.randint(1, 12))]
        rows.append({"ids": ids, "decoded": tok.decode(ids, skip_special_tokens=False),
                     "plain": tok.decode(ids, skip_special_tokens=True)})
    gold.save_jsonl(out / "decode.jsonl", rows)

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    order = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbol = {b: chr(b) for b in order}
    symbol.update({b: chr(0x100 + k) for k, b in enumerate(b for b in range(256) if b not in symbol)})
    assert sorted(symbol.values()) == alphabet
    gold.save_json(out / "symbols.json", {"bytes_without_symbol":
                   [b for b in range(256) if tok.token_to_id(symbol[b]) is None]})
    (out / "unicode.json").write_text("{" + ",\n".join(
        f'"{k}": {v}' for k, v in unicode_classes().items()) + "}\n")
    print("tokens/unicode.json")


if __name__ == "__main__":
    main()
