"""Read steps and what a file says of them: ratings, shares of good, the index of the first mistake. Pure."""

import math
from typing import Any

from annotation.importing.cells import TEXT_LIMIT, BadRow, as_text, kind_of, unpacked
from annotation.importing.items import Said

STEP_LIMIT = 1000
RATINGS = (-1, 0, 1)
SCALES = {
    "shares": "true and false, or a number from 0 (bad) to 1 (good)",
    "ratings": "−1 bad, 0 neutral, 1 good",
}
SIGNS = {"+": 1, "-": -1}


def as_steps(value: Any, what: str = "steps") -> list[str]:
    """
    >>> as_steps(["2 + 2 = 4", {"text": "So 4."}])
    ['2 + 2 = 4', 'So 4.']
    """
    value = unpacked(value)
    if not isinstance(value, list):
        raise BadRow(f"{what} is {kind_of(value)}; it should be a list of steps")
    if not value:
        raise BadRow(f"there are no steps: {what} is an empty list")
    if len(value) > STEP_LIMIT:
        raise BadRow(f"{len(value):,} steps; the most is {STEP_LIMIT:,}")
    steps = [as_text(text_of(step), f"step {number}") for number, step in enumerate(value, 1)]
    if (characters := sum(map(len, steps))) > TEXT_LIMIT:
        raise BadRow(f"the steps have {characters:,} characters together; the most is {TEXT_LIMIT:,}")
    return steps


def text_of(step: Any) -> Any:
    return step.get("text", step.get("content")) if isinstance(step, dict) else step


def as_labels(value: Any, steps: int, scale: str = "shares") -> Said:
    """A label a step, null where there is none; what is missing at the end was not labeled.

    >>> as_labels([True, 0.25, None], 4)[:2]
    ([1, -1, None], [1.0, 0.25, None])
    >>> as_labels([1, 0, -1], 3, "ratings")[:2]
    ([1, 0, -1], None)
    """
    value = unpacked(value)
    if not isinstance(value, list):
        raise BadRow(f"the labels are {kind_of(value)}; they should be a list, one for each step")
    if len(value) > steps:
        raise BadRow(f"{len(value)} labels for {steps} step{'s' * (steps != 1)}; there is at most one for each")
    if scale == "ratings":
        return Said([rating(label, number) for number, label in enumerate(value, 1)])
    scores = [share(label, number) for number, label in enumerate(value, 1)]
    soft = any(type(label) is float for label in value)
    return Said([score if score is None else 1 if score >= 0.5 else -1 for score in scores], scores if soft else None)


def rating(label: Any, number: int) -> int | None:
    if label is None or label in SIGNS:
        return SIGNS.get(label)
    if isinstance(label, bool) or label not in RATINGS:
        raise BadRow(f"the label of step {number} is {label!r:.40}; a rating is −1, 0, 1 or null")
    return int(label)


def share(label: Any, number: int) -> float | None:
    if label is None or (isinstance(label, str) and label in SIGNS):
        return None if label is None else float(label == "+")
    if not isinstance(label, (bool, int, float)) or not 0 <= label <= 1:
        more = "; choose ratings where labels are −1, 0 and 1" if label == -1 else ""
        raise BadRow(f"the label of step {number} is {label!r:.40}; it should be true, false or from 0 to 1{more}")
    return float(label)


def as_mistake(value: Any, steps: int) -> Said:
    """Labels from the index (from 0) of the first wrong step; null or −1: every step is good. Later ones are unmarked.

    >>> as_mistake(1, 4).ratings, as_mistake(None, 2).ratings
    ([1, -1], [1, 1])
    """
    number = -1 if value is None else value
    if isinstance(number, str) and number.strip().removeprefix("-").isdecimal():
        number = int(number)
    if isinstance(number, float) and math.isfinite(number) and number == int(number):
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < -1:
        raise BadRow(f"the first mistake is {value!r:.40}; it should be the step's index from 0, or null where none is")
    if number >= steps:
        raise BadRow(f"the first mistake is at index {number}, after the last of {steps} steps; indices begin at 0")
    return Said([1] * steps if number < 0 else [1] * number + [-1])
