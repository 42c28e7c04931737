"""Generate the demo project's completions: every prompt under every setting, by one model, with fixed seeds.

    python -m training.recipes.demo MODEL_FOLDER OUT.jsonl

Reads `prompts.jsonl` and `settings.json` from annotation/demo. The prompts came in rounds, and each round has settings
of its own. A completion that is cut off, or that repeats another one of its prompt, is drawn again, `attempts` draws in
all; if none will do, the first stays, and says "length" when it was cut. The same machine, thread count and library
versions give the same file.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "annotation" / "demo"


@dataclass(frozen=True)
class Drawn:
    """One sampled completion: its text, how many tokens it took, and whether the model ended it by itself."""

    text: str
    tokens: int
    finished: bool
    attempt: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the demo project's completions.")
    parser.add_argument("model", help="folder or hub id of a chat model")
    parser.add_argument("out", type=Path, help="JSONL file to write")
    parser.add_argument("--demo", type=Path, default=DEMO, help="folder with prompts.jsonl and settings.json")
    args = parser.parse_args()
    prompts = [json.loads(line) for line in (args.demo / "prompts.jsonl").read_text("utf-8").splitlines()]
    config = json.loads((args.demo / "settings.json").read_text("utf-8"))
    found: dict[str, list[dict]] = {prompt["id"]: [] for prompt in prompts}
    for number, options in enumerate(config["rounds"], 1):
        for row in completions(args.model, [prompt for prompt in prompts if prompt["round"] == number], options):
            found[row["id"]].append(row)
    write_jsonl(args.out, [row for rows in found.values() for row in rows])


def completions(model_name: str, prompts: list[dict], config: dict) -> Iterator[dict]:
    """Yield one row for every prompt and setting of a round, a prompt's rows together."""
    model, tokenizer = load(model_name)
    taken: dict[str, dict[str, Drawn]] = {prompt["id"]: {} for prompt in prompts}
    progress = Progress(len(config["settings"]))
    for number, setting in enumerate(config["settings"]):
        for attempt in range(config["attempts"]):
            pending = by_length([p for p in prompts if not settled(taken[p["id"]], setting["name"])])
            for start in range(0, len(pending), config["batch_size"]):
                batch = pending[start : start + config["batch_size"]]
                seed = config["seed"] + 1_000_000 * number + 10_000 * attempt + start
                answers = sample(model, tokenizer, batch, setting, config["max_new_tokens"], seed)
                for prompt, (text, tokens, finished) in zip(batch, answers, strict=True):
                    keep(taken[prompt["id"]], setting["name"], Drawn(text, tokens, finished, attempt + 1))
                progress.show(number, attempt, taken)
    for prompt in prompts:
        for setting in config["settings"]:
            yield row(prompt["id"], setting, taken[prompt["id"]][setting["name"]])


def load(name: str):
    """The model in fp32 on this machine's best device, its tokenizer padding on the left for generation."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).to(device).eval(), tokenizer


def sample(model, tokenizer, batch: list[dict], setting: dict, limit: int, seed: int) -> list[tuple]:
    """Draw one completion for each prompt of the batch: (text, tokens, whether the model ended it)."""
    import torch

    chats = [with_system(prompt["messages"], setting["system"]) for prompt in batch]
    inputs = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    torch.manual_seed(seed)
    with torch.inference_mode():
        out = model.generate(
            **inputs,
            do_sample=True,
            temperature=setting["temperature"],
            top_p=setting["top_p"],
            top_k=0,
            max_new_tokens=limit,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    return [read(tokenizer, ids) for ids in out[:, inputs["input_ids"].shape[1] :].tolist()]


def read(tokenizer, ids: list[int]) -> tuple[str, int, bool]:
    finished = tokenizer.eos_token_id in ids
    ids = ids[: ids.index(tokenizer.eos_token_id)] if finished else ids
    return tokenizer.decode(ids, skip_special_tokens=True).strip(), len(ids), finished


def with_system(messages: list[dict], system: str | None) -> list[dict]:
    return [{"role": "system", "content": system}, *messages] if system else messages


def by_length(prompts: list[dict]) -> list[dict]:
    """Like lengths together, so that a batch is not mostly padding."""
    return sorted(prompts, key=lambda prompt: sum(len(message["content"]) for message in prompt["messages"]))


def settled(taken: dict[str, Drawn], name: str) -> bool:
    """Whether the prompt has a completion under this setting that needs no further draw."""
    drawn, others = taken.get(name), {other.text for key, other in taken.items() if key != name}
    return drawn is not None and drawn.finished and drawn.text != "" and drawn.text not in others


def keep(taken: dict[str, Drawn], name: str, new: Drawn) -> None:
    """Keep the first draw unless a later one is better: it settles the matter where the first did not."""
    if name not in taken or settled({**taken, name: new}, name):
        taken[name] = new


def row(prompt_id: str, setting: dict, drawn: Drawn) -> dict:
    return {
        "id": prompt_id,
        "setting": setting["name"],
        "text": drawn.text,
        "finish_reason": "stop" if drawn.finished else "length",
        "tokens": drawn.tokens,
        "attempt": drawn.attempt,
    }


class Progress:
    """One line a batch: how many completions are settled, and, as if all settings took equally long, the time left."""

    def __init__(self, settings: int) -> None:
        self.settings, self.began = settings, time.monotonic()

    def show(self, number: int, attempt: int, taken: dict[str, dict[str, Drawn]]) -> None:
        done = sum(settled(found, name) for found in taken.values() for name in found)
        total = self.settings * len(taken)
        spent, share = time.monotonic() - self.began, max(number / self.settings, done / total)
        left = f"about {spent / share - spent:.0f} s left" if share else "estimating"
        where = f"setting {number + 1} of {self.settings}, draw {attempt + 1}"
        print(f"{where} · {done} of {total} settled · {left}", flush=True)


def write_jsonl(path: Path, rows: list[dict]) -> None:
    """Write all rows or nothing: to a temporary name first, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
