"""Which shape a file has, and which of its columns is what: the guess a person may override."""

import re
from collections.abc import Iterable
from typing import Any

from annotation.shapes import SHAPES

# field → names it goes by in the wild, best first; `completions` may be spread over numbered columns
NAMES = {
    "prompt": ("prompt", "instruction", "question", "conversations", "conversation", "messages", "query", "problem")
    + ("input", "text"),
    "completions": ("completions", "responses", "candidates", "outputs", "generations", "answers"),
    "chosen": ("chosen", "preferred", "better", "positive"),
    "rejected": ("rejected", "dispreferred", "worse", "negative"),
    "reference": ("reference", "answer", "solution", "canonical_solution", "target"),
    "criterion": ("criterion", "criteria", "category"),
    "metadata": ("metadata",),
    "id": ("id", "prompt_id", "idx", "uuid", "task_id"),
}
NUMBERED = re.compile(r"(?:completion|response|answer|output|candidate)[ _-]?(?:\d{1,2}|[a-h])", re.IGNORECASE)


def guess(rows: Iterable[Any], said: dict[str, Any] | None = None) -> dict[str, Any]:
    """The mapping (shape, and field → column) that fits a file's first rows; an empty one when nothing fits.

    What is said of a column already goes before its name.

    >>> guess([{"question": "2 + 2?", "answer": "4"}])
    {'shape': 'prompts', 'prompt': 'question', 'reference': 'answer'}
    >>> guess(["2 + 2?"])
    {'shape': 'prompts', 'prompt': 'prompt'}
    >>> guess([{"ask": "2 + 2?", "left": "4", "right": "5"}], {"prompt": "ask", "completions": ["left", "right"]})
    {'shape': 'completions', 'prompt': 'ask', 'completions': ['left', 'right']}
    """
    rows = [row if isinstance(row, dict) else {"prompt": row} for row in rows if isinstance(row, (dict, str))]
    names = list(dict.fromkeys(name for row in rows for name in row))
    found: dict[str, Any] = {field: column for field in NAMES if (column := named(field, names))}
    if "completions" not in found and len(numbered := [name for name in names if NUMBERED.fullmatch(name)]) > 1:
        found["completions"] = numbered
    found |= {field: column for field, column in (said or {}).items() if field in NAMES and column}
    shape = shape_of(found, rows)
    wanted = (*SHAPES[shape].needs, *SHAPES[shape].takes) if shape else ()
    return {"shape": shape, **{field: found[field] for field in wanted if field in found}} if shape else {}


def named(field: str, names: list[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in NAMES[field] if name in lower), None)


def shape_of(found: dict, rows: list[dict]) -> str:
    prompt = next((row[found["prompt"]] for row in rows if row.get(found.get("prompt"))), None)
    if isinstance(prompt, dict) and "replies" in prompt:
        return "tree"
    if "chosen" in found and "rejected" in found:
        first = prompt[0] if prompt and isinstance(prompt, list) else None
        return "sharegpt" if isinstance(first, dict) and "from" in first else "preference"
    if "prompt" in found:
        return "completions" if "completions" in found else "prompts"
    return ""


def check(mapping: dict, names: Iterable[str]) -> str:
    """What keeps this mapping from reading a file with these columns; '' when nothing does."""
    shape = SHAPES.get(mapping.get("shape", ""))
    if shape is None:
        return "Choose what the rows are: no known shape was recognised."
    names = set(names)
    for field in shape.needs:
        if not mapping.get(field):
            return f"Choose the column that holds the {field}."
    for field in (*shape.needs, *shape.takes):
        column = mapping.get(field)
        missing = [c for c in (column if isinstance(column, list) else [column]) if c and c not in names]
        if missing:
            return f"There is no column {missing[0]!r}; the file has {', '.join(sorted(names)[:20])}."
    return ""
