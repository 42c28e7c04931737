"""Math-Shepherd: one text with a mark at the end of every step, and the same text with + or − in its place. Pure."""

import re
from collections.abc import Iterator

from annotation.importing.cells import BadRow, Completion, as_prompt, as_text
from annotation.importing.items import Item, Said, Trace, columns
from annotation.steps.marks import as_steps

MARK = "ки"
ENDS = re.compile(rf" {MARK}[^\S\n]*(?:\n|$)")
FIRST = re.compile(r"\s*\bStep 1:")
SIGNS = {"+": 1, "-": -1}


def read(row: dict, mapping: dict) -> Iterator[Item]:
    """The text before “Step 1:” is the problem; each mark ends a step."""
    text, label = as_text(row.get("input"), "input"), as_text(row.get("label"), "label")
    first = FIRST.search(text)
    if not first or not text[: first.start()].strip():
        raise BadRow("input has no problem before “Step 1:”")
    ends = list(ENDS.finditer(text))
    if not ends:
        raise BadRow(f"there are no steps: input has no mark {MARK} at the end of a line")
    if text[ends[-1].end() :].strip():
        raise BadRow(f"input goes on after its last mark {MARK}")
    starts = [first.end() - len("Step 1:"), *(end.end() for end in ends[:-1])]
    steps = as_steps([text[start : end.start()] for start, end in zip(starts, ends, strict=True)], "input")
    trace = Trace(steps, [Said(signs(label, text, ends))])
    facts = columns(row, mapping)
    if row.get("task"):
        facts["metadata"] = facts.get("metadata", {}) | {"task": row["task"]}
    problem = as_prompt(as_text(text[: first.start()].rstrip(), "the problem"))
    yield Item(problem, [Completion("\n\n".join(steps))], trace=trace, **facts)


def signs(label: str, text: str, ends: list[re.Match]) -> list[int]:
    """Walk both texts together: they may differ in the marks alone."""
    at, before, found = 0, 0, []
    for number, end in enumerate(ends, 1):
        part = text[before : end.start()] + " "
        sign = label[at + len(part) : at + len(part) + 1]
        if not label.startswith(part, at) or sign not in SIGNS:
            raise BadRow(f"input and label differ before the mark of step {number}, or that is neither + nor -")
        found.append(SIGNS[sign])
        at += len(part) + 1 + len(end.group()) - len(MARK) - 1
        before = end.end()
    return found


def write(problem: str, steps: list[str], said: Said, task: str = "") -> dict:
    """A source's labels as a row of Math-Shepherd. BadRow where the format cannot hold them.

    >>> write("2 + 2?", ["2 + 2 = 4", "So 5."], Said([1, -1]))["label"]
    '2 + 2? Step 1: 2 + 2 = 4 +\\nStep 2: So 5. -'
    """
    if len(said.ratings) < len(steps) or not set(said.ratings) <= {1, -1}:
        raise BadRow("Math-Shepherd needs good or bad for every step")
    if any(ENDS.search(f"{text}\n") for text in (problem, *steps)) or FIRST.search(problem):
        raise BadRow(f"a text holds the mark {MARK} or “Step 1:” itself")
    named = [text if text.startswith(f"Step {n}:") else f"Step {n}: {text}" for n, text in enumerate(steps, 1)]
    signs = {1: "+", -1: "-"}
    marked = "\n".join(f"{text} {MARK}" for text in named)
    signed = "\n".join(f"{text} {signs[mark]}" for text, mark in zip(named, said.ratings, strict=True))
    row = {"input": f"{problem} {marked}", "label": f"{problem} {signed}"}
    return row | ({"task": task} if task else {})
