"""Read a run's frozen rows and decide, by their tokens, which are trained on, which are cut and which are dropped."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.recipes.chat import Chat

Row = dict[str, Any]
SIDES = {"chosen", "rejected", "completion"}
CHECKED = 200  # rows the chat template is tried on
LEFT_OUT = {  # what `keep` counts, in words
    "dropped": "are longer than max_length {max_length} tokens and would be left out",
    "cut": "would lose the end of a completion at max_length {max_length}",
}


class BadData(ValueError):
    """Rows that cannot be trained on. The message names the file, the line and what is wrong."""


@dataclass
class Kept:
    """The rows a training sees, and how many it does not see whole."""

    rows: list[Row] = field(default_factory=list)
    windows: list[Any] = field(default_factory=list)  # of kept traces: what passes through the model at once
    tokens: list[int] = field(default_factory=list)  # of each example, both sides of a pair counted
    sizes: list[dict[str, int]] = field(default_factory=list)  # of every row, kept or not: tokens by side
    dropped: int = 0  # longer than max_length, so left out
    cut: int = 0  # the end of a completion, or the beginning of a step, is missing
    windowed: int = 0  # traces longer than max_length, read in overlapping windows
    unlabeled: int = 0  # traces without a label to learn from

    @property
    def examples(self) -> list[Any]:
        """What a batch is made of: windows of traces, or rows."""
        return self.windows or self.rows


def load(path: Path, kind: str) -> list[Row]:
    """Rows of `kind` "pairs" (prompt, chosen, rejected [, margin]) or "sft" (prompt, completion)."""
    if not path.exists():
        return []
    return list(pairs(path) if kind == "pairs" else demonstrations(path))


def lines(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path.name} line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BadData(f"{where} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise BadData(f"{where} is not a JSON object")
            yield where, row


def pairs(path: Path) -> Iterator[Row]:
    for where, row in lines(path):
        pair = {side: messages(row, side, where) for side in ("prompt", "chosen", "rejected")}
        if isinstance(row.get("margin"), int | float):
            pair["margin"] = float(row["margin"])
        yield pair


def demonstrations(path: Path) -> Iterator[Row]:
    """Rows to imitate: as given, each assistant turn of a chat, or the chosen side of pairs, each once."""
    seen = set()
    for where, row in lines(path):
        for example in imitate(row, where):
            key = json.dumps(example, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield example


def imitate(row: Row, where: str) -> Iterator[Row]:
    if "messages" in row:
        turns = messages(row, "messages", where)
        for at, turn in enumerate(turns):
            if turn["role"] == "assistant" and at:
                yield {"prompt": turns[:at], "completion": [turn]}
    else:
        side = "completion" if "completion" in row else "chosen"
        yield {"prompt": messages(row, "prompt", where), "completion": messages(row, side, where)}


def messages(row: Row, side: str, where: str) -> list[Row]:
    """Only role and content: a column that comes and goes would not survive the trip through Arrow."""
    turns = row.get(side)
    if not isinstance(turns, list) or not turns:
        raise BadData(f"{where}: {side} must be a list of messages")
    for turn in turns:
        if not (isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)):
            raise BadData(f"{where}: every message of {side} needs a role and a content, both text")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def lengths(row: Row, chat: Chat) -> dict[str, int]:
    """Tokens of the prompt, and of the prompt with each side."""
    found = {"prompt": len(chat.tokens(row["prompt"], add_generation_prompt=True))}
    sides = [side for side in ("chosen", "rejected", "completion") if side in row]
    return found | {side: len(chat.tokens(row["prompt"] + row[side])) for side in sides}


def keep(rows: list[Row], chat: Chat, config: Any) -> Kept:
    """Apply max_length. `too_long` "drop" leaves a long row out; "cut" ends its completion at max_length.

    A row whose prompt alone fills max_length is dropped either way: nothing to learn from would be left.
    """
    kept, max_length, too_long = Kept(), config.max_length, getattr(config, "too_long", "drop")
    for row in rows:
        size = lengths(row, chat)
        kept.sizes.append(size)
        sides = [count for side, count in size.items() if side != "prompt"]
        over = max(sides) > max_length
        if size["prompt"] >= max_length or (over and too_long == "drop"):
            kept.dropped += 1
            continue
        kept.cut += over
        kept.rows.append(row)
        kept.tokens.append(sum(min(count, max_length) for count in sides))
    return kept


def about_rows(split: dict[str, list[Row]]) -> list[str]:
    found = []
    for name, part in split.items():
        same = [at for at, row in enumerate(part, 1) if "chosen" in row and row["chosen"] == row["rejected"]]
        empty = [at for at, row in enumerate(part, 1) if any(not text.strip() for text in answers(row))]
        if same:
            found.append(f"{len(same)} rows of {name}.jsonl have equal chosen and rejected: {some(same)}")
        if empty:
            found.append(f"{len(empty)} rows of {name}.jsonl have an empty completion: {some(empty)}")
    return found


def answers(row: Row) -> list[str]:
    return [row[side][-1]["content"] for side in sorted(SIDES & row.keys())]


def some(numbers: list[int]) -> str:
    return "row " + ", ".join(map(str, numbers[:5])) + ", …" * (len(numbers) > 5)


def template_fits(part: list[Row], chat: Chat) -> tuple[list[str], list[str]]:
    """One BOS if any, an end of text after the completion, and the prompt's tokens a prefix of each whole row."""
    errors: set[str] = set()
    warnings: set[str] = set()
    bos, eos = chat.id_of(chat.special.get("bos_token")), chat.id_of(chat.eos)
    if eos is None:
        return ["the tokenizer has no end-of-text token: a model could never learn to stop"], []
    for row in part[:CHECKED]:
        prompt = chat.tokens(row["prompt"], add_generation_prompt=True)
        for side in SIDES & row.keys():
            whole = chat.tokens(row["prompt"] + row[side])
            ends = whole[len(prompt) :].count(eos)
            if whole[: len(prompt)] != prompt:
                errors.add("the chat template writes a prompt differently once a completion follows it")
            if bos is not None and whole[:2] == [bos, bos]:
                errors.add("the chat template begins with two beginning-of-text tokens")
            if ends != 1:
                number = "no end of text" if not ends else "more than one end of text"
                warnings.add(f"the chat template puts {number} ({chat.eos}) after a completion")
    return sorted(errors), sorted(warnings)


def shown(row: Row, chat: Chat, config: Any) -> dict[str, Any]:
    """One row as the trainer sees it: pieces of text, whose turn it is, and whether the loss looks at it."""
    prompt = chat.tokens(row["prompt"], add_generation_prompt=True)
    sides = {}
    for side in sorted(SIDES & row.keys()):
        pieces = chat.pieces(chat.tokens(row["prompt"] + row[side]))
        sides[side] = [
            {"text": text, "role": "prompt" if at < len(prompt) else side, "loss": at >= len(prompt)}
            for at, text in enumerate(pieces)
        ]
    return sides
