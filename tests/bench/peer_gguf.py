"""A GGUF file whose matrices are bf16 or f16, from a quantised one, for `make bench`: what llama.cpp is given.

usage: peer_gguf.py MODEL.gguf BF16|F16 OUT.gguf   (needs gguf)
"""
import sys

import gguf
from gguf.quants import dequantize, quantize


def main():
    r = gguf.GGUFReader(sys.argv[1])
    to = gguf.GGMLQuantizationType[sys.argv[2]]
    w = gguf.GGUFWriter(sys.argv[3], r.get_field("general.architecture").contents())
    for f in r.fields.values():
        if f.name.startswith("GGUF.") or f.name in ("general.architecture", "general.file_type"):
            continue
        kind = f.types[0]
        w.add_key_value(f.name, f.contents(), kind, f.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for t in r.tensors:
        x = dequantize(t.data, t.tensor_type).astype("float32")
        as_type = to if x.ndim == 2 else gguf.GGMLQuantizationType.F32
        w.add_tensor(t.name, quantize(x, as_type), raw_dtype=as_type)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
