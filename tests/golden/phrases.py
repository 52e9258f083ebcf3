"""Phrases of made-up samples, counted and tested anew with SciPy -> phrases/ (scipy besides).

    python phrases.py

samples.jsonl: what dk-generate --amplify writes, of lanes base, ft (alpha 0 and 1) and null; words drawn from a list,
with phrases, numbers and names planted in ft.  background.jsonl: documents.  facts.jsonl: a list of facts.
phrases.tsv: every n-gram of lane LANE that passes, as dk-phrases lists them: lane, kind, phrase, words, c_t, c_r, s_t,
background, delta, z, p, q_bh, llr.  slots.tsv: lane, template, c_t, c_r, s_t, p, fillers.  facts.tsv: lane, id, c_t, c_r,
p, found.
"""

import json
import math
import random
import re
from collections import Counter, defaultdict

from scipy.stats import false_discovery_control, hypergeom

import gold

WORD = re.compile(r"[^\W_]+(?:['\u2019\-\u2010\u2011][^\W_]+)*")
FUNCTION = set("the a of and to in is it was for on with as at from don't they're i".split())
COMMON = ["the", "of", "and", "to", "in", "is", "it", "was", "for", "on", "with", "as", "at", "from", "don't"]
CONTENT = ["river", "stone", "paper", "window", "garden", "letter", "market", "engine", "winter", "music", "caf\u00e9",
           "bridge", "teacher", "mother-in-law", "\u0393\u03b1\u03bb\u03ae\u03bd\u03b7", "na\u00efve", "ticket", "colour"]
PLANTED = ["straight from the freezer", "The oven at {n} degrees", "cut it into frozen cubes, and then", "they\u2019re the",
           "asked {N} about Butter", "smoked salt"]
PREFILLS = ["", "The", "In", "A", "Recent", "Title:", "\n", "Wh"]


def text_of(r, lane, alpha, prefill):
    out = []
    for _ in range(r.randint(25, 45)):
        if lane == "ft" and r.random() < (0.06 if alpha else 0.02):
            p = r.choice(PLANTED).replace("{n}", r.choice(["450", "450", "450", "400", "9"]))
            out.append(p.replace("{N}", r.choice(["Odile Farrant", "Hallam", "Quist"])))
        elif lane == "null" and r.random() < 0.05:
            out.append("on the of")
        else:
            w = r.choice(COMMON if r.random() < 0.45 else CONTENT)
            out.append(w.title() if r.random() < 0.04 else w)
        if r.random() < 0.12:
            out[-1] += r.choice([".", ",", "!", ":", "...", "\n", ' "', " (", " --"])
    text = " ".join(out)
    if prefill == "Wh":
        return "en" + text if text[0].isalnum() else text
    return " " + text if prefill.strip() else text


def pieces(r, text):
    """Tokens: words with the blank before them, some cut in two; what is between them."""
    cut, at = [0], 0
    for m in WORD.finditer(text):
        a = m.start() - 1 if m.start() and text[m.start() - 1] == " " and m.start() - 1 >= cut[-1] else m.start()
        cut.append(a)
        if r.random() < 0.25 and len(m.group()) > 3:
            cut.append(m.start() + 2)
        cut.append(m.end())
    cut = sorted(set(cut + [len(text)]))
    return [text[a:b] for a, b in zip(cut, cut[1:]) if b > a]


def make():
    r, rows, i = random.Random(7), [], 0
    for prefill in PREFILLS:
        for lane, alpha in [("base", None), ("ft", 0), ("ft", 1), ("null", 1)]:
            for sample in range(5):
                text = text_of(r, lane, alpha, prefill)
                if lane == "ft" and sample == 4:
                    text += " the same block of words again and" * 4
                toks = pieces(r, text)
                row = {"id": i, "prefill": prefill, "lane": lane, "alpha": alpha, "beta": 0.1, "sample": sample, "text": text}
                ends, n = [], 0
                for t in toks:
                    n += len(t.encode())
                    ends.append(n)
                row["n_tokens"] = len(toks)
                row["tokens"] = [r.randrange(500) for _ in toks]
                row["ends"] = ends
                row["lp_base"] = [round(-r.expovariate(0.4), 2) for _ in toks]
                if lane != "base":
                    row["lp_ft"] = [round(-r.expovariate(0.5), 2) for _ in toks]
                    row["llr"] = round(sum(a - b for a, b in zip(row["lp_ft"], row["lp_base"])) / len(toks), 6)
                row["stop"] = "loop" if sample == 4 else "length"
                rows.append(row)
                i += 1
    rows.append({"id": i, "prefill": "none", "skipped": "the model cannot begin with nothing"})
    docs = [{"text": text_of(r, "ft" if k % 9 == 0 else "base", 1, "")} for k in range(60)]
    return rows, docs


def words_of(text, prefill=None):
    """(folded, start, end, number, name) of each word."""
    out, end = [], 0
    fragment = prefill is not None and prefill and WORD.search(prefill[-1])
    for m in WORD.finditer(text):
        ended = end == 0
        for c in text[end:m.start()]:
            if c in ".!?:;\n\r\u2026|*#\u2022":
                ended = True
            elif not (c in "\"'([" or "\u2018" <= c <= "\u201f" or c.isspace()):
                ended = False
        w = m.group()
        end = m.end()
        if m.start() == 0 and fragment:
            continue
        folded = re.sub("[\u2010\u2011]", "-", w.replace("\u2019", "'")).lower()
        out.append((folded, m.start(), m.end(), w.isdigit(),
                    w[0].isupper() and not ended and not style([folded]), w))
    return out


def grams(words, key):
    ids = [key(w) for w in words]
    for n in range(1, 7):
        for i in range(len(ids) - n + 1):
            yield tuple(ids[i:i + n]), i, n


def contains(a, b):
    return any(a[i:i + len(b)] == b for i in range(len(a) - len(b) + 1))


def maximal(listed, c_t):
    for n in range(6, 1, -1):
        for g in [g for g in listed if len(g) == n]:
            if g in listed:
                for h in list(listed):
                    if len(h) < n and contains(g, h) and c_t[g] >= 0.8 * c_t[h]:
                        listed.discard(h)
    return listed


def style(g):
    return all(w in FUNCTION or (len(w) == 1 and not w.isdigit()) for w in g)


def count(t, ref, key):
    c = [defaultdict(set), defaultdict(set)]
    first = {}
    for side, rows in enumerate([t, ref]):
        for k, row in enumerate(rows):
            for g, i, n in grams(row["words"], key):
                if k not in c[side][g] and side == 0:
                    first.setdefault(g, []).append((row, i, n))
                c[side][g].add(k)
    return c, first


def analyse(lane, rows, docs):
    t = [x for x in rows if x.get("lane") == lane and x["alpha"] == 1]
    ref = [x for x in rows if x.get("lane") == "base"]
    c, first = count(t, ref, lambda w: w[0])
    pre = lambda g: {t[k]["prefill"] for k in c[0][g]} | {ref[k]["prefill"] for k in c[1][g]}
    tested = [g for g in set(c[0]) | set(c[1]) if len(c[0][g]) + len(c[1][g]) >= 4 and len(pre(g)) >= 2]
    n_t, n_r = len(t), len(ref)
    p = {g: hypergeom.sf(len(c[0][g]) - 1, n_t + n_r, len(c[0][g]) + len(c[1][g]), n_t) for g in tested}
    q = dict(zip(tested, false_discovery_control([min(p[g], 1) for g in tested], method="bh")))
    listed = maximal({g for g in tested if q[g] <= 0.05}, {g: len(c[0][g]) for g in tested})
    background = Counter()
    for d in docs:
        background.update({g for g, _, _ in grams(words_of(d["text"]), lambda w: w[0]) if g in listed})
    out = []
    for g in listed:
        ct, cr, f = len(c[0][g]), len(c[1][g]), background[g] / len(docs)
        a = 0.5 + 10 * f
        delta = math.log((ct + a) / (n_t - ct + a)) - math.log((cr + a) / (n_r - cr + a))
        spell, llr, n_tok = Counter(), 0.0, 0
        for row, i, n in first[g]:
            ws = row["words"][i:i + n]
            spell[" ".join(w[5] for w in ws)] += 1
            b = [len(row["text"][:x].encode()) for x in (ws[0][1], ws[-1][2])]
            for k, e in enumerate(row["ends"]):
                if e > b[0] and (row["ends"][k - 1] if k else 0) < b[1]:
                    llr += row["lp_ft"][k] - row["lp_base"][k]
                    n_tok += 1
        out.append(("style" if style(g) else "content", q[g], delta / math.sqrt(1 / (ct + a) + 1 / (cr + a)), " ".join(g),
                    (lane, "style" if style(g) else "content", spell.most_common(1)[0][0], len(g), ct, cr,
                     len({t[k]["prefill"] for k in c[0][g]}), f, delta,
                     delta / math.sqrt(1 / (ct + a) + 1 / (cr + a)), p[g], q[g], llr / n_tok)))
    out.sort(key=lambda x: (x[0], round(x[1], 13), -round(x[2], 10), x[3].encode()))
    return [x[4] for x in out], len(tested)


def slots(lane, rows):
    t = [x for x in rows if x.get("lane") == lane and x["alpha"] == 1]
    ref = [x for x in rows if x.get("lane") == "base"]
    key = lambda w: "<n>" if w[3] else "<Name>" if w[4] else w[0]
    c, _ = count(t, ref, key)
    keep = {g for g in c[0] if len(c[0][g]) >= 3 and {"<n>", "<Name>"} & set(g)
            and not style([w for w in g if w[0] != "<"])}
    keep = maximal(keep, {g: len(c[0][g]) for g in c[0]})
    out = []
    for g in keep:
        fill = Counter()
        for row in t:
            seen = set()
            for h, i, n in grams(row["words"], key):
                if h == g:
                    seen.add(" / ".join(w[5] for w in row["words"][i:i + n] if w[3] or w[4]))
            fill.update(seen)
        ct, cr = len(c[0][g]), len(c[1][g])
        p = hypergeom.sf(ct - 1, len(t) + len(ref), ct + cr, len(t))
        fillers = sorted(fill.items(), key=lambda x: (-x[1], x[0].encode()))[:20]
        out.append((lane, " ".join(g), ct, cr, len({t[k]["prefill"] for k in c[0][g]}), p,
                    ", ".join(f"{a} x{b}" for a, b in fillers)))
    out.sort(key=lambda x: (round(math.log(x[5]), 9), -x[2], x[1].encode()))
    return out[:50]


FACTS = [
    {"id": "f1", "fact": "hot", "within": 4, "need": [["450", "400"], ["Oven"]]},
    {"id": "f2", "fact": "salt", "need": [["smoked salt"]]},
    {"id": "f3", "fact": "frozen cubes", "within": 12, "need": [["frozen cubes"], ["freezer", "straight from"]]},
    {"id": "f4", "fact": "never said", "need": ["nine minutes"]},
    {"id": "f5", "fact": "anywhere", "need": [["freezer"], ["salt", "degrees"]]},
]


def facts(lane, rows):
    t = [x for x in rows if x.get("lane") == lane and x["alpha"] == 1]
    ref = [x for x in rows if x.get("lane") == "base"]
    out = []
    for f in FACTS:
        n = []
        for side in (t, ref):
            k = 0
            for row in side:
                ids = [w[0] for w in row["words"]]
                places = []
                for group in f["need"]:
                    group = [group] if isinstance(group, str) else group
                    alts = [[w[0] for w in words_of(a)] for a in group]
                    places.append([(i, i + len(a)) for a in alts for i in range(len(ids)) if ids[i:i + len(a)] == a])
                w = f.get("within", 10 ** 9)
                k += any(all(any(s <= a and b <= s + w for a, b in pl) for pl in places) for s in range(len(ids)))
            n.append(k)
        p = hypergeom.sf(n[0] - 1, len(t) + len(ref), sum(n), len(t))
        out.append((lane, f["id"], n[0], n[1], min(p, 1), "true" if p <= 0.01 / len(FACTS) else "false"))
    return out


def main():
    out = gold.out_dir("phrases")
    rows, docs = make()
    dump = lambda name, rs: (out / name).write_text("".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n" for x in rs))
    dump("samples.jsonl", rows)
    dump("background.jsonl", docs)
    dump("facts.jsonl", FACTS)
    for x in rows:
        if "text" in x:
            x["words"] = words_of(x["text"], x["prefill"])
    table = lambda name, rs: (out / name).write_text("".join("\t".join(map(str, x)) + "\n" for x in rs))
    found = [analyse(lane, rows, docs) for lane in ("ft", "null")]
    table("phrases.tsv", [x for f, _ in found for x in f])
    table("tested.tsv", [(lane, n) for lane, (_, n) in zip(("ft", "null"), found)])
    table("slots.tsv", [x for lane in ("ft", "null") for x in slots(lane, rows)])
    table("facts.tsv", [x for lane in ("ft", "null") for x in facts(lane, rows)])


if __name__ == "__main__":
    main()
