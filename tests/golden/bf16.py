"""Distance of the library's bfloat16 model from its float32 model -> bf16.json.

Mean KL(float32 || bfloat16) and top-1 agreement over the rows of forward/texts.jsonl. The bfloat16
model is the dequantised one cast to bfloat16. The adapter is attached in two ways: "bf16" keeps its
weights in the base's bfloat16 (what the model library's integration gives), "f32" promotes them to
float32 (PEFT's own default).
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

    def attach(promote):
        m = PeftModel.from_pretrained(gold.hf_model(g).to(torch.bfloat16), adapter, autocast_adapter_dtype=promote)
        want = torch.float32 if promote else torch.bfloat16
        assert all(p.dtype == want for n, p in m.named_parameters() if "lora_" in n)
        return m.eval()

    models = {"bf16": attach(False), "f32": attach(True)}

    @torch.no_grad()
    def bf16(variant, ids):
        x = torch.tensor([ids])
        if variant == "base":
            with models["f32"].disable_adapter():
                out = models["f32"](input_ids=x, use_cache=False)
        else:
            out = models[variant](input_ids=x, use_cache=False)
        assert out.logits.dtype == torch.bfloat16
        return out.logits[0].float()

    acc = {"base": [], "bf16": [], "f32": []}
    top = dict.fromkeys(acc, 0)
    for ids in texts:
        for variant in acc:
            want = lanes.logits("base" if variant == "base" else "cake_bake", ids)
            got = bf16(variant, ids)
            acc[variant].append(kl64(want, got))
            top[variant] += int((want.argmax(-1) == got.argmax(-1)).sum())
    rows = sum(len(t) for t in texts)
    out = {"rows": rows}
    for variant, kl in acc.items():
        kl = torch.cat(kl)
        name = "base" if variant == "base" else f"cake_bake_{variant}_adapter"
        out[name] = {"kl_mean": float(kl.mean()), "kl_max": float(kl.max()), "top1_agreement": top[variant] / rows}
    gold.save_json(gold.HERE / "bf16.json", out)


if __name__ == "__main__":
    main()
