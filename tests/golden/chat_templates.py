"""Renderings of whole chat templates -> chat/.

chats.json       the conversations
templates.jsonl  each template of tests/data/templates with each conversation and several options, as
                 `apply_chat_template` of transformers renders it; today is 26 July 2024
masks.jsonl      token masks of a template with {% generation %}, by the tokenizer of mini/hf
elsewhere.jsonl  the same for the templates of a folder that is given; digests only

    python chat_templates.py [DIR]
"""

import datetime
import hashlib
import json
import sys
from pathlib import Path

import jinja2
import transformers.utils.chat_template_utils as utils
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
OWN = HERE.parent / "data" / "templates"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Day(datetime.datetime):
    @classmethod
    def now(cls):
        return cls(2024, 7, 26)


utils.datetime = Day


def chats():
    def chat(*turns):
        return [{"role": {"s": "system", "u": "user", "a": "assistant", "t": "tool"}[t[0]], "content": t[1:]} for t in turns]

    out = [
        chat("uWhat is the capital of France?"),
        chat("sYou are terse.", "uHi"),
        chat("uHi", "aHello! How can I help?", "uBye"),
        chat("sYou are terse.", "uHi", "aHello.", "uAnd now?", "aNothing."),
        chat("uHi", "aHello."),
        chat("u2 + 2?", "a<think>\nLet me add.\n</think>\n\nIt is 4.", "uSure?", "a<think>\nYes.\n</think>\n\nSure."),
        chat("u  spaces before\nand after \n\n", "a\n answer \t\n", "u\u00a0nbsp\u3000"),
        chat("u\u4f60\u597d, \u00fcber \U0001f468\u200d\U0001f469 \u0645\u0631\u062d\u0628\u0627", "a\u0917\u094d\u0930\u0947\u091f \u2028 \u200b|", "u\ufeff?"),
        chat("u", "a", "u"),
        chat("uone", "utwo"),
        chat("aI begin.", "uWho are you?"),
        chat("uHi", "sNow be rude.", "uHi again"),
        chat("u{{ messages }} {% if x %} <|im_end|> [/INST] </s> <end_of_turn> {# c #}", "a<|eot_id|> ' \" \\n \\"),
        chat("uWeather?", "aI shall look.", "t{\"t\": 21}", "aIt is 21 degrees."),
        chat("uHi", "a   ", "uHi"),
        chat("sOnly a system message."),
        chat(*(f"{'ua'[i % 2]}turn {i}" for i in range(13))),
        chat("uHi", "aI was a fool, a foolish fool. ", "uWhy?", "afool"),
        chat("u<tool_response>\nx\n</tool_response>", "a</think>", "uq"),
    ]
    out.append(chat("uHi", "aYes."))
    out[-1][1]["reasoning_content"] = "\nThey greet me.\n"
    out.append(chat("uHi", "aYes.", "uThen?", "aNo."))
    out[-1][3]["thinking"] = "Hm."
    out[-1][1]["name"] = "bob"
    return out


def calls():
    """Options: closed, open for an answer, to be continued; the thinking switch."""
    for end in ("closed", "open"):
        for args in ({}, {"enable_thinking": False}, {"enable_thinking": True, "date_string": "1 May 2025"}):
            yield end, args
    yield "continue", {}


def one(template, chat, end, args):
    row = {"end": end, "args": args}
    want = dict(chat_template=template, continue_final_message=end == "continue",
                add_generation_prompt=end == "open", **TOKENS, **args)
    try:
        out, said = utils.render_jinja_template(
            conversations=[chat], return_assistant_tokens_mask=end != "continue" and "generation" in template, **want)
    except jinja2.exceptions.TemplateError as e:
        return row | {"error": str(e)}
    except Exception:
        return row | {"error": None}
    at = [len(out[0][:i].encode()) for i in range(len(out[0]) + 1)] if said else []
    row |= {"out": out[0]}
    if said and said[0]:
        row["said"] = [[at[a], at[b]] for a, b in said[0]]
    return row


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def rows(path):
    """A rendering that came before is told by its digest."""
    template = path.read_text(encoding="utf-8")
    seen = set()
    for i, chat in enumerate(chats()):
        for end, args in calls():
            row = {"template": path.stem, "chat": i} | one(template, chat, end, args)
            if "out" in row and digest(row["out"]) in seen:
                row["sha"] = digest(row.pop("out"))[:16]
            elif "out" in row:
                seen.add(digest(row["out"]))
            yield row


def brief(path):
    """The template's digest, and eight digits for each rendering or error, in the order of rows()."""
    template = path.read_text(encoding="utf-8")
    every = [one(template, chat, end, args) for chat in chats() for end, args in calls()]
    marks = [digest(r["out"])[:8] if "out" in r else digest("error: " + r["error"])[:8] if r["error"] else "error" for r in every]
    return {"template": path.stem, "sha": digest(template), "rows": " ".join(marks)}


def write(name, all_rows):
    with open(HERE / "chat" / name, "w", encoding="ascii") as f:
        for row in all_rows:
            f.write(json.dumps(row) + "\n")


def masks():
    tok = PreTrainedTokenizerFast.from_pretrained(HERE / "mini" / "hf")
    template = (OWN / "generation.jinja").read_text(encoding="utf-8")
    for i, chat in enumerate(chats()):
        out = tok.apply_chat_template(chat, chat_template=template, tokenize=True, return_dict=True,
                                      return_assistant_tokens_mask=True)
        yield {"chat": i, "ids": out["input_ids"], "mask": "".join(map(str, out["assistant_masks"]))}


def main():
    (HERE / "chat").mkdir(exist_ok=True)
    with open(HERE / "chat" / "chats.json", "w", encoding="ascii") as f:
        json.dump(chats(), f, indent=0)
        f.write("\n")
    if len(sys.argv) > 1:
        write("elsewhere.jsonl", map(brief, sorted(Path(sys.argv[1]).glob("*.jinja"))))
    write("templates.jsonl", (r for p in sorted(OWN.glob("*.jinja")) for r in rows(p)))
    write("masks.jsonl", masks())


if __name__ == "__main__":
    main()
