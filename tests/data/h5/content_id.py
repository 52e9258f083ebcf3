#!/usr/bin/env python3
"""The content id of the sample that tests/unit/h5make.h describes, from the
definition in dk-formats(5) and nothing else."""
import hashlib
import struct

n = 300
tokens = [0, 17, 4, 4, 998] + [i * i % 999 for i in range(n)]
flags = [3, 0, 0, 4, 16] + [0] * n
pos = list(range(5)) + list(range(n))
h = hashlib.sha256(b"encoding-version=1.0\ncorpus.sha256=c0\n")
for path, kind, fmt, values in [
    ("/docs/id", "u64", "Q", [3, 4, 9]),
    ("/docs/offset", "u64", "Q", [0, 5, 5, 5 + n]),
    ("/rows/flags", "u8", "B", flags),
    ("/rows/pos", "u32", "I", pos),
    ("/rows/token", "u32", "I", tokens),
]:
    h.update(f"{path} {kind} {len(values)}\n".encode())
    h.update(struct.pack(f"<{len(values)}{fmt}", *values))
print("sha256:" + h.hexdigest())
