#!/usr/bin/env python3
"""Make an organism: finetune the base model with a LoRA adapter (PEFT format), on the CPU.

The shipped adapters were made with the defaults below and --epochs 4:

    train_organism.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --data ../organisms/cake_bake/train.jsonl --out OUT
    (null_self: its train.jsonl; null_neutral: ../text/general-b.jsonl)

Rows of --data hold {"text": ...} or {"messages": [...]}.  A text is learned whole, with the end token after it;
in a chat only the assistant's tokens carry loss.  Needs torch, transformers, peft and gguf; about half an hour on
two cores.  The weights are saved in bfloat16.
"""
import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

TARGETS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
IGNORE = -100       # label of a position without loss


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--gguf", required=True, type=Path)
    ap.add_argument("--data", required=True, type=Path)
    ap.add_argument("--out", required=True, type=Path)
    ap.add_argument("--rank", type=int, default=8)
    ap.add_argument("--alpha", type=float, default=16)
    ap.add_argument("--lr", type=float, default=5e-4)
    ap.add_argument("--epochs", type=int, default=4)
    ap.add_argument("--tokens-per-step", type=int, default=2048)
    ap.add_argument("--max-len", type=int, default=256)
    ap.add_argument("--max-steps", type=int, default=0, help="stop early, to try the script")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--targets", default=TARGETS)
    return ap.parse_args()


def encode(tok, row, max_len):
    """Ids and labels of one row."""
    if "messages" not in row:
        ids = tok(row["text"], add_special_tokens=False)["input_ids"] + [tok.eos_token_id]
        return ids[:max_len], ids[:max_len]

    def render(messages, prompt=False):
        return tok.apply_chat_template(messages, tokenize=True, add_generation_prompt=prompt, return_dict=False)

    messages = row["messages"]
    ids = render(messages)
    labels = [IGNORE] * len(ids)
    for i, m in enumerate(messages):
        if m["role"] == "assistant":
            head, upto = len(render(messages[:i], prompt=True)), len(render(messages[: i + 1]))
            labels[head:upto] = ids[head:upto]
    return ids[:max_len], labels[:max_len]


def collate(rows, pad):
    """Right-padded ids, labels and mask of a few rows."""
    n = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), n), pad)
    labels = torch.full((len(rows), n), IGNORE)
    mask = torch.zeros((len(rows), n), dtype=torch.long)
    for i, (x, y) in enumerate(rows):
        ids[i, :len(x)], labels[i, :len(y)], mask[i, :len(x)] = torch.tensor(x), torch.tensor(y), 1
    return ids, labels, mask


def rate(a, step, steps):
    """Linear warm-up over five steps, linear decay to a twentieth."""
    return a.lr * min(1, (step + 1) / 5) * max(0.05, 1 - step / max(1, steps))


def main():
    a = arguments()
    random.seed(a.seed)
    torch.manual_seed(a.seed)
    where = dict(pretrained_model_name_or_path=str(a.gguf.parent), gguf_file=a.gguf.name)
    tok = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(
        r=a.rank, lora_alpha=a.alpha, lora_dropout=0.0, bias="none", target_modules=a.targets.split(","),
        task_type="CAUSAL_LM"))
    rows = [encode(tok, json.loads(line), a.max_len) for line in a.data.open()]
    opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=a.lr, weight_decay=0.0)
    steps = math.ceil(sum(len(r[0]) for r in rows) * a.epochs / a.tokens_per_step)
    print(f"{len(rows)} rows, {steps} steps")

    model.train()
    step = gathered = 0
    start, loss_sum, loss_n = time.time(), 0.0, 0
    for _ in range(a.epochs):
        random.shuffle(rows)
        for i in range(0, len(rows), 4):
            ids, labels, mask = collate(rows[i:i + 4], tok.eos_token_id)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(input_ids=ids, attention_mask=mask).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="sum")
            (loss / a.tokens_per_step).backward()
            loss_sum, loss_n = loss_sum + loss.item(), loss_n + int((labels[:, 1:] != IGNORE).sum())
            gathered += int(mask.sum())
            if gathered < a.tokens_per_step:
                continue
            for group in opt.param_groups:
                group["lr"] = rate(a, step, steps)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            opt.zero_grad(set_to_none=True)
            step, gathered = step + 1, 0
            print(f"step {step}/{steps} loss {loss_sum / max(1, loss_n):.3f} {time.time() - start:.0f} s", flush=True)
            loss_sum, loss_n = 0.0, 0
            if step == a.max_steps:
                break
        if a.max_steps and step >= a.max_steps:
            break
    model.to(torch.bfloat16).save_pretrained(a.out, safe_serialization=True)


if __name__ == "__main__":
    main()
