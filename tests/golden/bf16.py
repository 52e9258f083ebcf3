"""Distance of the library's bfloat16 model from its float32 model -> bf16.json.

Mean KL(float32 || bfloat16) and top-1 agreement over the rows of forward/texts.jsonl. The bfloat16
model is the dequantised one cast to bfloat16, adapters loaded onto it as the library does: "library"
through the model library's integration (adapter weights in bfloat16), "peft" through PEFT's own
loader (adapter weights promoted to float32).
"""

import gold
import torch
from forward import kl64


def main():
    from peft import PeftModel
    g = gold.Gguf(gold.gguf_arg(__doc__))
    texts = [t["ids"] for t in gold.read_jsonl(gold.HERE / "forward/texts.jsonl")]
    adapter = str(gold.ADAPTERS["cake_bake"])
    lanes = gold.Lanes(g, {"cake_bake": adapter})

    library = gold.hf_model(g).to(torch.bfloat16)
    library.load_adapter(adapter, adapter_name="cake_bake")
    library.eval()
    kinds = {str(p.dtype) for n, p in library.named_parameters() if "lora_" in n}
    peft = PeftModel.from_pretrained(gold.hf_model(g).to(torch.bfloat16), adapter).eval()
    kinds_peft = {str(p.dtype) for n, p in peft.named_parameters() if "lora_" in n}

    def bf16(variant, ids):
        x = torch.tensor([ids])
        with torch.no_grad():
            if variant == "peft":
                return peft(input_ids=x, use_cache=False).logits[0].float()
            library.enable_adapters() if variant == "library" else library.disable_adapters()
            return library(input_ids=x, use_cache=False).logits[0].float()

    acc = {"base": [], "library": [], "peft": []}
    top = dict.fromkeys(acc, 0)
    for ids in texts:
        for variant in acc:
            want = lanes.logits("base" if variant == "base" else "cake_bake", ids)
            got = bf16(variant, ids)
            acc[variant].append(kl64(want, got))
            top[variant] += int((want.argmax(-1) == got.argmax(-1)).sum())
    rows = sum(len(t) for t in texts)
    out = {"rows": rows, "adapter_dtypes": {"library": sorted(kinds), "peft": sorted(kinds_peft)}}
    for variant, kl in acc.items():
        kl = torch.cat(kl)
        name = "base" if variant == "base" else f"cake_bake_{variant}"
        out[name] = {"kl_mean": float(kl.mean()), "kl_max": float(kl.max()), "top1_agreement": top[variant] / rows}
    gold.save_json(gold.HERE / "bf16.json", out)


if __name__ == "__main__":
    main()
