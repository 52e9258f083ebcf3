"""Parquet files as pyarrow writes them, and the rows that they hold as JSON lines.

python parquet.py     (pyarrow 26.0.1; writes parquet/)

NAME.VARIANT.parquet holds the rows of NAME.jsonl.
"""
import json
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parquet")
random.seed(1)


def lines(name, rows):
    with open(os.path.join(HERE, name + ".jsonl"), "w") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=True) + "\n")


def write(table, name, variant, **how):
    pq.write_table(table, os.path.join(HERE, f"{name}.{variant}.parquet"), store_schema=False, **how)


WORDS = "the a cake oven über naïve 東京 \U0001f370 \"quoted\" back\\slash tab\there line\nbreak".split(" ")


def text(i):
    if i % 17 == 3:
        return None
    if i % 29 == 5:
        return ""
    if i % 5 == 0:
        return "the same words again and again"
    if i == 7:
        return "\u0000 \u0001 \u001f \u007f \u2028"
    return f"document {i // 3}: " + " ".join(random.choice(WORDS) for _ in range(random.randrange(1, 30)))


N = 300
texts = [{
    "text": text(i), "id": i * 37 - 999, "big": (1 << 63) - 1 - i * 12345678901, "small": None if i % 7 == 0 else i % 100 - 50,
    "unsigned": (1 << 63) - 1 - i, "word": (1 << 32) - 1 - i, "score": i / 7.0, "half": None if i % 11 == 1 else float(i) / 4, "flag": None if i % 13 == 2 else i % 3 == 0,
    "label": ["cat", "dog", None][i % 3], "nothing": None,
} for i in range(N)]
schema = pa.schema([
    pa.field("text", pa.string()), pa.field("id", pa.int64(), nullable=False), pa.field("big", pa.int64()), pa.field("small", pa.int8()),
    pa.field("unsigned", pa.uint64()), pa.field("word", pa.uint32()), pa.field("score", pa.float64()), pa.field("half", pa.float32()), pa.field("flag", pa.bool_()),
    pa.field("label", pa.dictionary(pa.int32(), pa.string())), pa.field("nothing", pa.null()),
])
table = pa.Table.from_pylist(texts, schema)
lines("texts", texts)
write(table, "texts", "default")
write(table, "texts", "none", compression="none", use_dictionary=False, data_page_size=900, write_batch_size=16)
write(table, "texts", "gzip2", compression="gzip", data_page_version="2.0", row_group_size=70, write_page_checksum=True)
write(table, "texts", "zstd", compression="zstd", use_dictionary=["text"], data_page_size=700, write_batch_size=8, write_page_checksum=True)
write(table, "texts", "snappy2", compression="snappy", data_page_version="2.0", use_dictionary=False, data_page_size=2000, write_batch_size=50)
plain = ["id", "big", "small", "unsigned", "word"]
write(table, "texts", "delta", compression="zstd", use_dictionary=False, version="2.6",
      column_encoding={"text": "DELTA_BYTE_ARRAY", "label": "DELTA_LENGTH_BYTE_ARRAY", "flag": "RLE", **{c: "DELTA_BINARY_PACKED" for c in plain}})
write(table, "texts", "delta2", compression="none", use_dictionary=False, data_page_version="2.0", row_group_size=131, data_page_size=1500,
      column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "label": "DELTA_BYTE_ARRAY", **{c: "DELTA_BINARY_PACKED" for c in plain}})
# Columns that begin with pages of a dictionary and, when that is full, go on with plain ones.
full = dict(dictionary_pagesize_limit=700, data_page_size=400, write_batch_size=8)
write(table, "texts", "fallback", compression="snappy", **full)
write(table, "texts", "fallback2", compression="gzip", data_page_version="2.0", row_group_size=200, write_page_checksum=True, **full)
write(table.slice(0, 0), "empty", "default")
lines("empty", [])


def message(i, k):
    return {"role": ["user", "assistant"][k % 2], "content": None if (i + k) % 41 == 40 else text(i * 10 + k) or "",
            "tools": [None, [], ["oven"], ["oven", None, ""]][(i + k) % 4], "weight": None if k == 2 else k / 2}


def grid(i):
    return None if i % 9 == 8 else [None if (i + j) % 6 == 5 else [None if (i * j + k) % 7 == 6 else i * j - k for k in range((i + j) % 4)]
                                    for j in range(i % 5)]


M = 120
chats = [{
    "messages": None if i % 10 == 9 else [None if (i, k) == (4, 1) else message(i, k) for k in range(i % 6)],
    "grid": grid(i),
    "meta": None if i % 8 == 7 else {"source": None if i % 3 == 0 else f"s{i % 4}", "inner": {"a": i, "b": [i] * (i % 3)} if i % 4 else None},
    "tags": [] if i % 5 == 0 else [{"key": f"k{j}", "value": None if j == 1 else j * i} for j in range(i % 5)],
} for i in range(M)]
msg = pa.struct([("role", pa.string()), ("content", pa.large_string()), ("tools", pa.list_(pa.string())), ("weight", pa.float32())])
schema = pa.schema([
    ("messages", pa.list_(msg)), ("grid", pa.list_(pa.list_(pa.int32()))),
    ("meta", pa.struct([("source", pa.string()), ("inner", pa.struct([("a", pa.int16()), ("b", pa.list_(pa.int64()))]))])),
    ("tags", pa.map_(pa.string(), pa.int32())),
])
as_map = [{**c, "tags": [(t["key"], t["value"]) for t in c["tags"]]} for c in chats]
table = pa.Table.from_pylist(as_map, schema)
lines("chats", chats)
write(table, "chats", "default")
write(table, "chats", "small2", compression="zstd", data_page_version="2.0", row_group_size=33, data_page_size=200, write_batch_size=7)
write(table, "chats", "item", compression="gzip", use_compliant_nested_type=False, use_dictionary=False, data_page_size=300, write_batch_size=5)

dialogs = [{"id": i, "messages": [{"content": f"turn {k} of {i}, " + " ".join(random.choice(WORDS) for _ in range(5)), "role": ["user", "assistant"][k % 2]}
                                  for k in range(2 * (1 + i % 3))]} for i in range(20)]
table = pa.Table.from_pylist(dialogs)
lines("dialogs", dialogs)
write(table, "dialogs", "default")
write(table, "dialogs", "zstd2", compression="zstd", data_page_version="2.0", row_group_size=6, use_dictionary=False)

# What is not read: columns of other types beside one that is, other codecs.
import datetime
import decimal

rows = [{"text": f"t{i}", "beyond": (1 << 64) - 1 - i * 3000, "day": datetime.date(2026, 1, 1 + i), "price": decimal.Decimal(i), "when": datetime.datetime(2026, 1, 1, i)} for i in range(4)]
table = pa.Table.from_pylist(rows, pa.schema([("text", pa.string()), ("beyond", pa.uint64()), ("day", pa.date32()),
                                              ("price", pa.decimal128(9, 2)), ("when", pa.timestamp("us"))]))
lines("others", [{"text": r["text"], "beyond": float(r["beyond"])} for r in rows])
write(table, "others", "default")
table = pa.Table.from_pylist([{"text": "packed " * 20, "x": 1.5}])
write(table, "refused", "brotli", compression="brotli")
write(table, "refused", "lz4", compression="lz4")
write(table, "refused", "split", use_dictionary=False, column_encoding={"x": "BYTE_STREAM_SPLIT", "text": "PLAIN"})

# Small ones, to begin fuzzing from.
HERE = os.path.join(HERE, "../../fuzz/parquet")
small = pa.Table.from_pylist([{"text": t, "n": i, "x": i / 2, "b": i % 2 == 0} for i, t in enumerate(["a", None, "", "ab", "a", "abc", "abd"])])
nested = pa.Table.from_pylist([{"messages": m} for m in (
    [{"role": "user", "content": "a", "l": [1, None]}, {"role": "assistant", "content": None, "l": []}], [], None, [None, {"role": "u", "content": "b", "l": None}])])
write(small, "small", "plain", compression="none", use_dictionary=False, write_statistics=False)
write(small, "small", "dictionary2", compression="none", data_page_version="2.0", row_group_size=4, write_statistics=False)
write(small, "small", "snappy", write_statistics=False)
write(small, "small", "gzip", compression="gzip", write_statistics=False)
write(small, "small", "zstd2", compression="zstd", data_page_version="2.0", write_statistics=False)
write(small, "small", "delta", compression="none", use_dictionary=False, write_statistics=False,
      column_encoding={"text": "DELTA_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED", "b": "RLE"})
write(small, "small", "length", compression="none", use_dictionary=False, write_statistics=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"})
write(nested, "nested", "plain", compression="none", use_dictionary=False, write_statistics=False)
write(nested, "nested", "dictionary2", compression="none", data_page_version="2.0", write_statistics=False)
