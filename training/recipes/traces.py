"""Read a run's frozen traces, steps with labels or whole solutions with one, and cut them into what a model reads."""

import codecs
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.recipes.chat import Chat
from training.recipes.config import BadConfig
from training.recipes.rows import BadData, Kept, Row, lines, messages
from training.recipes.steps import TooLong, Window, as_messages, prompt_tokens, step_tokens, windows

KINDS = ("stepwise", "outcome")
LEFT_OUT = {  # what `keep` counts, in words
    "dropped": "have a prompt that alone fills max_length {max_length} and would be left out",
    "cut": "hold a step that does not fit into max_length {max_length}; its beginning would not be seen",
    "windowed": "are longer than max_length {max_length} tokens and would be read in overlapping windows",
    "unlabeled": "have no label to learn from and would be left out",
}


@dataclass(frozen=True)
class Example:
    """One window to learn from: the label of each of its ends, from 0 to 1 or None, and the row it is part of."""

    window: Window
    labels: list[float | None]
    row: int

    def __len__(self) -> int:
        return len(self.window)


def load(path: Path, kind: str) -> list[Row]:
    """Rows of `kind` "stepwise" (prompt, completions, labels) or "outcome" (prompt, completions, label)."""
    if not path.exists():
        return []
    return [read(row, kind, where) for where, row in lines(path)]


def read(row: Row, kind: str, where: str) -> Row:
    if isinstance(row.get("prompt"), str) and row["prompt"]:  # TRL's own format
        row |= {"prompt": as_messages(row["prompt"])}
    steps = row.get("completions")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise BadData(f"{where}: completions must be a list of steps, each of them text, and at least one")
    known = {"prompt": messages(row, "prompt", where), "completions": steps}
    if kind == "stepwise":
        return known | {"labels": step_labels(row.get("labels"), len(steps), where)}
    if row.get("label") not in (True, False):
        raise BadData(f"{where}: label must be true or false, not {row.get('label')!r}")
    return known | {"labels": [None] * (len(steps) - 1) + [float(row["label"])]}


def step_labels(labels: Any, count: int, where: str) -> list[float | None]:
    if not isinstance(labels, list) or len(labels) != count:
        there = f"{len(labels)} labels" if isinstance(labels, list) else f"{labels!r} as labels"
        raise BadData(f"{where} has {there} for {count} steps; write null for a step without a label")
    for at, label in enumerate(labels):
        if label is not None and not (isinstance(label, int | float) and 0 <= label <= 1):
            raise BadData(f"{where}: labels[{at}] must be true, false, null or a share from 0 to 1, not {label!r}")
    return [None if label is None else float(label) for label in labels]


def separator_of(config: Any) -> str:
    r"""The step separator as text; in a setting, which is one line, \n stands for a line break.

    Raises BadConfig where that says nothing.
    """
    try:
        text = codecs.decode(config.step_separator.encode("latin-1", "backslashreplace"), "unicode_escape")
    except UnicodeDecodeError as error:
        raise BadConfig(f"step_separator {config.step_separator!r} cannot be read: {error.reason}") from None
    if not text:
        raise BadConfig("step_separator must not be empty; \\n\\n is usual")
    return text


def keep(rows: list[Row], chat: Chat, config: Any) -> Kept:
    """Turn traces into windows of at most max_length tokens, and count what is not seen whole or not at all."""
    kept, separator = Kept(), separator_of(config)
    for row in rows:
        ids, ends = tokens_of(chat, row, separator)
        start = len(prompt_tokens(chat, row["prompt"]))
        kept.sizes.append({"prompt": start, "trace": len(ids)})
        try:
            parts = windows(ids, ends, start, config.max_length)
        except TooLong:
            kept.dropped += 1
            continue
        add(kept, row, parts, config)
    return kept


def add(kept: Kept, row: Row, parts: list[Window], config: Any) -> None:
    """Keep a trace of these windows; those that hold a label are learned from."""
    labels = learned(row["labels"], config)
    examples = [Example(part, [labels[step] for step in part.steps], len(kept.rows)) for part in parts]
    examples = [part for part in examples if any(label is not None for label in part.labels)]
    if not examples:
        kept.unlabeled += 1
        return
    kept.cut += any(part.window.cut for part in examples)
    kept.windowed += len(parts) > 1
    kept.rows.append(row)
    kept.windows += examples
    kept.tokens += map(len, examples)


def tokens_of(chat: Chat, row: Row, separator: str) -> tuple[list[int], list[int]]:
    try:
        return step_tokens(chat, row["prompt"], row["completions"], separator)
    except ValueError as error:
        raise BadConfig(str(error)) from None


def learned(labels: list[float | None], config: Any) -> list[float | None]:
    """The labels as the settings want them: fractions made hard or not, steps after the first bad one in or out."""
    if not hasattr(config, "hard_label_threshold"):  # an outcome is one label
        return labels
    threshold = config.hard_label_threshold
    if threshold is not None:
        labels = [None if label is None else float(label >= threshold) for label in labels]
    if not config.steps_after_first_error:
        first = next((at for at, label in enumerate(labels) if label is not None and label < 0.5), len(labels))
        labels = [label if at <= first else None for at, label in enumerate(labels)]
    return labels


def weights_of(examples: list[Example], bad_weight: float) -> tuple[float, float]:
    """How much a good and a bad label count, 1 on average; `bad_weight` 0 makes both classes weigh the same together.

    >>> weights_of([Example(Window([], [1, 2, 3, 4], [0, 1, 2, 3]), [1.0, 1.0, 1.0, 0.0], 0)], 0)
    (0.6666666666666666, 2.0)
    """
    labels = [label for part in examples for label in part.labels if label is not None]
    good = math.fsum(labels)
    bad = len(labels) - good
    ratio = bad_weight or (good / bad if good and bad else 1.0)
    scale = len(labels) / (good + ratio * bad) if labels else 1.0
    return scale, scale * ratio


def about_rows(split: dict[str, list[Row]]) -> list[str]:
    """Warnings about what the traces say, before any settings."""
    found = []
    for name, part in split.items():
        empty = [at for at, row in enumerate(part, 1) if not all(step.strip() for step in row["completions"])]
        labels = [label for row in part for label in row["labels"] if label is not None]
        if empty:
            found.append(f"{len(empty)} rows of {name}.jsonl have an empty step, row {empty[0]} first")
        if labels and (min(labels) >= 0.5 or max(labels) < 0.5):
            word = "good" if min(labels) >= 0.5 else "bad"
            found.append(f"every label of {name}.jsonl says {word}: nothing tells good from bad")
    return found


def template_fits(part: list[Row], chat: Chat) -> tuple[list[str], list[str]]:
    """Errors and warnings: one beginning-of-text token at most."""
    bos = chat.id_of(chat.special.get("bos_token"))
    twice = bos is not None and any(prompt_tokens(chat, row["prompt"])[:2] == [bos, bos] for row in part)
    return (["the chat template begins with two beginning-of-text tokens"] if twice else []), []


def shown(row: Row, chat: Chat, config: Any) -> dict[str, Any]:
    """One trace as the model reads it: pieces of text, which of them are the prompt, and where a label is learned."""
    ids, ends = tokens_of(chat, row, separator_of(config))
    start = len(prompt_tokens(chat, row["prompt"]))
    labels = learned(row["labels"], config)
    at = {end for end, label in zip(ends, labels, strict=True) if label is not None}
    pieces = [
        {"text": text, "role": "prompt" if place < start else "trace", "loss": place in at}
        for place, text in enumerate(chat.pieces(ids))
    ]
    return {"trace": pieces}
