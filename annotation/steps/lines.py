"""A trace as a line of our own export, with what every source said of it; `read` takes the line in again. Pure."""

from typing import Any

from annotation.importing.cells import BadRow, Completion, as_prompt, as_text, kind_of
from annotation.importing.items import Item, Said, Trace, columns
from annotation.steps.marks import as_steps, rating, share

KINDS = ("import", "monte-carlo", "verifier", "model", "consensus")  # who is no labeler of ours; as StepLabels has them
TEXTS = ("gave_up", "bad_problem", "comment")
OBJECTS = ("notes", "rewrites", "alternatives")


def is_ours(row: dict) -> bool:
    """Whether the labels are objects, one a source, as nobody else writes them."""
    labels = row.get("labels")
    return "steps" in row and isinstance(labels, list) and all(isinstance(one, dict) for one in labels)


def read(row: dict, mapping: dict) -> Item:
    messages, facts = as_prompt(row.get("prompt")), columns(row, mapping)
    if row["steps"] is None:
        return Item(messages, **facts)
    steps = as_steps(row["steps"])
    solution = row.get("solution") if isinstance(row.get("solution"), dict) else {}
    text = as_text(solution.get("text") or "\n\n".join(steps), "solution")
    answer = Completion(text, str(solution.get("source") or "")[:200], solution.get("metadata") or None)
    said = [said_of(one, len(steps)) for one in row["labels"]]
    return Item(messages, [answer], trace=Trace(steps, said, others(row, len(steps))), **facts)


def said_of(one: dict, steps: int) -> Said:
    """A labeler's labels come in as labels of the file they stand in: nobody is made to have said them here."""
    name = f"the labels of {one.get('labeler') or one.get('source') or 'a source'!s:.80}"
    labeler, kind = one.get("labeler"), one.get("kind")
    if not labeler and kind not in KINDS:
        raise BadRow(f"{name} are of the kind {kind!r:.40}; known are {', '.join(KINDS)}")
    along = {field: along_steps(one.get(field), name, steps) for field in ("ratings", "scores", "errors")}
    given = {field: one[field] for field in OBJECTS if isinstance(one.get(field), dict)}
    given |= {field: one[field] for field in TEXTS if isinstance(one.get(field), str)}
    seconds, flagged = one.get("seconds"), one.get("flagged") or []
    return Said(
        [rating(value, number) for number, value in enumerate(along["ratings"] or [], 1)],
        along["scores"] and [share(value, number) for number, value in enumerate(along["scores"], 1)],
        along["errors"],
        kind="import" if labeler else kind,
        source=f":{labeler}" if labeler else str(one.get("source") or "")[:120],
        flagged=[step for step in flagged if isinstance(step, int) and 0 <= step < steps],
        seconds=float(seconds) if isinstance(seconds, (int, float)) else 0.0,
        **given,
    )


def along_steps(values: Any, name: str, steps: int) -> list | None:
    if values is not None and not isinstance(values, list):
        raise BadRow(f"{name} are {kind_of(values)}; they should be a list, one for each step")
    if values and len(values) > steps:
        raise BadRow(f"{name} are {len(values)} for {steps} step{'s' * (steps != 1)}; there is at most one for each")
    return values


def others(row: dict, steps: int) -> list[tuple[int, str, str]]:
    found = row.get("alternatives") or []
    known = [one for one in found if isinstance(one, dict) and isinstance(one.get("step"), int)]
    return [
        (one["step"], as_text(one.get("text"), "an alternative"), str(one.get("source") or "")[:200])
        for one in known
        if 0 <= one["step"] < steps
    ]
