"""What frozen rows say of steps: ratings and scores as hard or soft labels, merged, cut at the first error. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

LABELS = {
    "hard": "good or bad (several labelers: what most of them say)",
    "soft": "from 0 to 1 (a source's score, else the share of labelers who say good)",
}
POLICIES = {
    "all": "keep the labels of every step",
    "first_error": "keep the labels up to the first bad step; later steps stay without",
}
NEUTRAL = {"good": "counts as good", "out": "is left without a label"}
Value = bool | float | None


class Voice(NamedTuple):
    """One source's labels of a trace, as models.StepLabels keeps them."""

    pk: int
    name: str
    ratings: list[int | None]
    scores: list[float | None] | None = None
    flagged: Sequence[int] = ()
    rewrites: dict = {}
    alternatives: dict = {}
    labeler: int | None = None


def good(rating: int | None, neutral: str = "good") -> bool | None:
    """
    >>> good(1), good(0), good(0, "out"), good(-1), good(None)
    (True, True, None, False, None)
    """
    if rating is None or (rating == 0 and neutral == "out"):
        return None
    return rating >= 0


def verdicts(voice: Voice, steps: int, neutral: str = "good", keep_unsure: bool = True) -> list[bool | None]:
    """Good or bad for each step; None where the source says neither. A score alone is good from one half on.

    >>> verdicts(Voice(1, "bob", [1, 0, -1], flagged=[2]), 4, keep_unsure=False)
    [True, True, None, None]
    """
    found = [good(rating, neutral) for rating in voice.ratings]
    if not voice.ratings and voice.scores:
        found = [None if score is None else score >= 0.5 for score in voice.scores]
    found += [None] * (steps - len(found))
    return found if keep_unsure else [None if n in voice.flagged else value for n, value in enumerate(found)]


def shares(voice: Voice, steps: int, neutral: str = "good", keep_unsure: bool = True) -> list[float | None]:
    """The score of each step where the source gives one, else 1 for good and 0 for bad.

    >>> shares(Voice(1, "monte-carlo", [1, -1], [0.25, 0]), 3)
    [0.25, 0.0, None]
    """
    scores = (voice.scores or []) + [None] * steps
    said = zip(verdicts(voice, steps, neutral, keep_unsure), scores, strict=False)
    unsure = () if keep_unsure else voice.flagged
    return [
        None if n in unsure else float(score) if score is not None else None if value is None else float(value)
        for n, (value, score) in enumerate(said)
    ]


def majority(said: Sequence[Sequence[bool | None]]) -> list[bool | None]:
    """What most say of each step; None where as many say the opposite.

    >>> majority([[True, False, None], [True, True, False]])
    [True, None, False]
    """
    if len(said) == 1:
        return list(said[0])
    votes = [Counter(value for value in step if value is not None) for step in zip(*said, strict=True)]
    return [None if vote[True] == vote[False] else vote[True] > vote[False] for vote in votes]


def mean(said: Sequence[Sequence[float | None]]) -> list[float | None]:
    """
    >>> mean([[1.0, 0.0, None], [1.0, 1.0, None]])
    [1.0, 0.5, None]
    """
    if len(said) == 1:
        return list(said[0])
    known = [[value for value in step if value is not None] for step in zip(*said, strict=True)]
    return [round(fmean(step), 4) if step else None for step in known]


def first_bad(values: Iterable[bool | None]) -> int | None:
    """
    >>> first_bad([True, None, False]), first_bad([True])
    (2, None)
    """
    return next((n for n, value in enumerate(values) if value is False), None)


def labels_of(voices: Sequence[Voice], steps: int, options: dict[str, Any]) -> tuple[list[Value], list[bool | None]]:
    """The row's labels, and the good or bad they stand for, under a freeze's options."""
    how = {"neutral": options["neutral"], "keep_unsure": options["keep_unsure"]}
    hard = majority([verdicts(voice, steps, **how) for voice in voices])
    soft = options["labels"] == "soft"
    labels: list[Value] = mean([shares(voice, steps, **how) for voice in voices]) if soft else list(hard)
    end = first_bad(hard)
    if options["policy"] == "first_error" and end is not None:
        labels[end + 1 :] = [None] * (steps - end - 1)
        hard[end + 1 :] = [None] * (steps - end - 1)
    return labels, hard


def others_of(voice: Voice, steps: Sequence[str], neutral: str = "good") -> Iterator[tuple[int, str, bool]]:
    """Other texts of single steps the source judged: completions it rated, and better steps it wrote or chose.

    >>> voice = Voice(1, "bob", [-1], rewrites={"0": {"text": "4"}}, alternatives={"0": [{"text": "6", "rating": -1}]})
    >>> list(others_of(voice, ["5"]))
    [(0, '4', True), (0, '6', False)]
    """
    for number, better in voice.rewrites.items():
        if int(number) < len(steps) and better.get("text") and better["text"] != steps[int(number)]:
            yield int(number), better["text"], True
    for number, texts in voice.alternatives.items():
        for one in texts:
            value = good(one.get("rating"), neutral)
            if value is not None and int(number) < len(steps):
                yield int(number), one["text"], value


def disagreement(voices: Sequence[Voice], steps: int) -> tuple[int, str, str] | None:
    """The first step of which two sources say the opposite, with their names.

    >>> disagreement([Voice(1, "alice", [1, 1]), Voice(2, "bob", [1, -1])], 2)
    (1, 'alice', 'bob')
    """
    said = [(voice.name, verdicts(voice, steps, "out")) for voice in voices]
    for step in range(steps if len(said) > 1 else 0):
        by_value = {values[step]: name for name, values in reversed(said) if values[step] is not None}
        if len(by_value) > 1:
            return step, *sorted(by_value.values())
    return None
