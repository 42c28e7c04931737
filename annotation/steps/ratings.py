"""Check what a labeler says of a trace: every step marked, or up to the first bad one. Plain data in and out."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annotation.ranks import Invalid, remarks
from annotation.steps.reading import words_in

MARKS = {-1: "bad", 0: "neutral", 1: "good"}
SIGNS = {-1: "✕", 0: "–", 1: "✓"}
LONGEST = 20_000  # characters of a better step
Reasons = Mapping[str, Collection[str]]  # `gave_up` and `bad_problem`, each with the reasons one may give


def checked(
    said: Mapping[str, Any], steps: Sequence[str], stop_at_first_bad: bool = False, reasons: Reasons | None = None
) -> dict[str, Any]:
    """`said` made sound, or Invalid.

    `said` has ratings [−1, 0, 1 or None a step], and may have flagged [step], rewrites {step: text}, comment, seconds,
    gave_up and bad_problem (a reason each); steps count from 0. With one of the last two, steps may stay unmarked. The
    ratings end after the last step marked, and after the first bad one where the project stops there.

    >>> checked({"ratings": [1, -1, 1]}, ["a", "b c", "d"], stop_at_first_bad=True)["ratings"]
    [1, -1]
    """
    ratings, errors = numbers(said.get("ratings"), len(steps))
    ratings = asked_of(ratings, stop_at_first_bad)
    flagged, more = places(said.get("flagged"), len(steps))
    rewrites, wrong = texts(said.get("rewrites"), steps)
    ended, bad_reasons = endings(said, reasons or {})
    errors |= more | wrong | bad_reasons
    if not errors and not any(ended.values()):
        errors |= unmarked(ratings, len(steps), stop_at_first_bad)
    if errors:
        raise Invalid(errors)
    words = sum(map(words_in, steps[: len(ratings)]))
    said = {"ratings": ratings, "flagged": flagged, "rewrites": rewrites, **ended, "words": words, **remarks(said)}
    return said


def rating_of(value: Any) -> int | None:
    """The rating someone sent; ValueError for what is none. Nothing said is None.

    >>> rating_of("-1"), rating_of(0), rating_of(""), rating_of(None)
    (-1, 0, None, None)
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or str(value) not in ("-1", "0", "1"):
        raise ValueError(value)
    return int(value)


def numbers(values: Any, steps: int) -> tuple[list[int | None], dict[str, str]]:
    """Ratings as a list along the steps; what is none of −1, 0, 1 becomes an error at its step."""
    if not isinstance(values, (list, tuple, type(None))):
        return [], {"ratings": "ratings is a list: −1, 0, 1 or null for each step."}
    ratings, errors = [], {}
    if len(values or ()) > steps:
        errors["ratings"] = f"{len(values)} ratings were sent, and the trace has {counted(steps)}."
    for step, value in enumerate((values or ())[:steps]):
        try:
            ratings.append(rating_of(value))
        except ValueError:
            ratings.append(None)
            errors[f"step_{step}"] = f"Step {step + 1}: a rating is -1 (bad), 0 (neutral) or 1 (good)."
    return ratings, errors


def counted(steps: int) -> str:
    """
    >>> counted(1), counted(8)
    ('1 step', '8 steps')
    """
    return "1 step" if steps == 1 else f"{steps} steps"


def asked_of(ratings: list[int | None], stop_at_first_bad: bool) -> list[int | None]:
    """Without what is not asked after the first bad step, and without unmarked steps at the end.

    >>> asked_of([1, None, -1, 0, None], True), asked_of([1, None, 0, None], False)
    ([1, None, -1], [1, None, 0])
    """
    if stop_at_first_bad and -1 in ratings:
        ratings = ratings[: ratings.index(-1) + 1]
    marked = [step for step, rating in enumerate(ratings) if rating is not None]
    return ratings[: marked[-1] + 1] if marked else []


def unmarked(ratings: list[int | None], steps: int, stop_at_first_bad: bool) -> dict[str, str]:
    end = len(ratings) if stop_at_first_bad and -1 in ratings else steps
    along = ratings + [None] * (end - len(ratings))
    return {f"step_{step}": f"Step {step + 1} is not marked." for step in range(end) if along[step] is None}


def places(values: Any, steps: int) -> tuple[list[int], dict[str, str]]:
    """Steps one is unsure of, in order."""
    if not isinstance(values, (list, tuple, type(None))):
        return [], {"flagged": "flagged is a list of steps, counted from 0."}
    found = {value: step_of(value, steps) for value in map(str, values or ())}
    wrong = [value for value, step in found.items() if step is None]
    if wrong:
        return [], {"flagged": f"There is no step {wrong[0][:40]} to flag: the trace has {counted(steps)}, from 0."}
    return sorted(found.values()), {}


def texts(values: Any, steps: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Better steps by step, as text keys, as JSON has them; one that is empty or says the same is none."""
    if values is not None and not isinstance(values, Mapping):
        return {}, {"rewrites": "rewrites is an object: step (from 0) → the better text."}
    good, errors = {}, {}
    for key, value in (values or {}).items():
        step = step_of(str(key), len(steps))
        text = str(value or "").replace("\0", "").replace("\r\n", "\n").strip()
        if step is None:
            errors["rewrites"] = f"There is no step {str(key)[:40]} to rewrite: the trace has {counted(len(steps))}."
        elif len(text) > LONGEST:
            errors[f"rewrite_{step}"] = f"Step {step + 1}: a better step has at most {LONGEST:,} characters."
        elif text and text != steps[step].strip():
            good[str(step)] = text
    return good, errors


def step_of(value: str, steps: int) -> int | None:
    """
    >>> step_of("2", 3), step_of("3", 3), step_of("x", 3)
    (2, None, None)
    """
    return int(value) if value.isdecimal() and len(value) < 6 and int(value) < steps else None


def endings(said: Mapping[str, Any], reasons: Reasons) -> tuple[dict[str, str], dict[str, str]]:
    """Giving up and a bad problem are two things: the first is about the labeler, the second about the problem."""
    given = {name: str(said.get(name) or "") for name in ("gave_up", "bad_problem")}
    errors = {
        name: f"Choose a reason: {', '.join(reasons.get(name, ()))}."
        for name, reason in given.items()
        if reason and reason not in reasons.get(name, ())
    }
    if all(given.values()):
        errors["gave_up"] = "Either you give up or the problem is bad: send one of the two."
    return given, errors


def sketched(said: Mapping[str, Any], steps: Sequence[str], reasons: Reasons | None = None) -> dict[str, Any]:
    """As much of an unfinished `said` as makes sense: what a draft keeps, marks after a bad step too."""
    flagged = said.get("flagged") if isinstance(said.get("flagged"), (list, tuple)) else ()
    known = [value for value in flagged if step_of(str(value), len(steps)) is not None]
    ended, wrong = endings(said, reasons or {})
    return {
        "ratings": asked_of(numbers(said.get("ratings"), len(steps))[0], stop_at_first_bad=False),
        "flagged": places(known, len(steps))[0],
        "rewrites": texts(said.get("rewrites"), steps)[0],
        **(dict.fromkeys(ended, "") if wrong else ended),
        **remarks(said),
    }
