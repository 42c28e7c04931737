"""Which shape a file has, and which of its columns is what: the guess a person may override."""

import re
from collections.abc import Iterable
from typing import Any

from annotation.importing.shapes import SHAPES
from annotation.models import SPLITS
from annotation.steps.marks import SCALES
from annotation.steps.recognising import STEP_NAMES, options_of, step_shape_of

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


def guess(rows: Iterable[Any], said: dict[str, Any] | None = None, kind: str = "ranking") -> dict[str, Any]:
    """The mapping (shape, and field → column) that fits a file's first rows; an empty one when nothing fits.

    What is said of a column already goes before its name. `kind` is the project's.

    >>> guess([{"question": "2 + 2?", "answer": "4"}])
    {'shape': 'prompts', 'prompt': 'question', 'reference': 'answer'}
    >>> guess(["2 + 2?"])
    {'shape': 'prompts', 'prompt': 'prompt'}
    >>> guess([{"ask": "2 + 2?", "left": "4", "right": "5"}], {"prompt": "ask", "completions": ["left", "right"]})
    {'shape': 'completions', 'prompt': 'ask', 'completions': ['left', 'right']}
    >>> guess([{"input": "2 + 2?", "steps": ["5"], "target": "4", "mistake_index": 0}], kind="steps")
    {'shape': 'traces', 'prompt': 'input', 'steps': 'steps', 'mistake': 'mistake_index', 'reference': 'target'}
    """
    rows = [row if isinstance(row, dict) else {"prompt": row} for row in rows if isinstance(row, (dict, str))]
    names = list(dict.fromkeys(name for row in rows for name in row))
    known = STEP_NAMES if kind == "steps" else NAMES
    found: dict[str, Any] = {field: column for field in known if (column := named(known[field], names))}
    if "completions" not in found and len(numbered := [name for name in names if NUMBERED.fullmatch(name)]) > 1:
        found["solution" if kind == "steps" else "completions"] = numbered
    found |= {field: column for field, column in (said or {}).items() if field in known and column}
    shape = step_shape_of(found, rows) if kind == "steps" else shape_of(found, rows)
    if not shape:
        return {}
    wanted = (*SHAPES[shape].needs, *SHAPES[shape].takes)
    mapping = {"shape": shape, **{field: found[field] for field in wanted if field in found}}
    return mapping | (options_of(mapping, rows) if kind == "steps" else {})


def named(known: Iterable[str], names: list[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in known if name in lower), None)


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


def check(mapping: dict, names: Iterable[str], kind: str = "ranking") -> str:
    """What keeps this mapping from reading a file with these columns into such a project; '' when nothing does."""
    shape = SHAPES.get(mapping.get("shape", ""))
    if shape is None:
        return "Choose what the rows are: no known shape was recognised."
    for option, values in {"rule": SPLITS, "scale": SCALES}.items():
        if mapping.get(option, next(iter(values))) not in values:
            return f"{option} is {mapping[option]!r}; known are {', '.join(values)}."
    if shape.kind != kind:
        return f"{shape.label} go into a project of kind {shape.kind}; this one is of kind {kind}."
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
