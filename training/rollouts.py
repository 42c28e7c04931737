"""Rollouts of a run as rows of the database: made from lines of rollouts.jsonl, found by text, steps and numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, QuerySet, Window
from django.db.models.fields.json import KeyTransform

from training.models import RolloutGroup, TrainingJob
from training.tail import count, finite

FILE = "rollouts.jsonl"
END = "\x1e"  # between texts that are kept as one
PAGE = 25  # groups
PART = "part:"  # before a reward's name, among the numbers of a completion
NAMES = {"reward": "reward", "advantage": "advantage", "kl": "KL", "length": "length"}
LOOKED_AT = 200  # groups of a run that say which numbers there are
EXCERPT = 200  # characters of a text that stand for it
LARGEST = 2**31 - 1


def row_of(job: TrainingJob, line: int, record: dict) -> RolloutGroup:
    """A line as a row. Whatever the line says, the row can be stored and shown."""
    given = record.get("completions")
    said = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    prompt = record.get("prompt") if isinstance(record.get("prompt"), list) else []
    texts = [words(prompt), *(str(one.get("completion", "")) for one in said)]
    completions = [numbers_and_words(one) for one in said]
    low, high = bounds(completions)
    return RolloutGroup(
        job=job, line=line, step=record["step"], place=record["place"] if count(record.get("place")) else line,
        low=low, high=high, prompt=prompt, reference=str(record.get("reference") or ""), completions=completions,
        text=END.join(text.replace(END, "\ufffd") for text in texts),
    )  # fmt: skip


def words(prompt: list) -> str:
    return "\n".join(str(turn.get("content", "")) for turn in prompt if isinstance(turn, dict))


def numbers_and_words(one: dict) -> dict[str, Any]:
    """A completion without its text."""
    parts, why = (value if isinstance(value := one.get(name), dict) else {} for name in ("parts", "why"))
    known = {name: one[name] for name in ("reward", "advantage", "kl", "tokens", "left_out") if finite(one.get(name))}
    return known | {
        "parts": {str(name): value if finite(value) else None for name, value in parts.items()},
        "why": {str(name): str(text) for name, text in why.items()},
        "ended": one.get("ended") is not False,
        "mark": str(one.get("mark") or ""),
    }


def numbers(one: dict) -> dict[str, float]:
    """All that completions can be sorted by.

    >>> numbers({"reward": 1.2, "tokens": 7, "parts": {"math": 1, "format": None}})
    {'reward': 1.2, 'length': 7, 'part:math': 1}
    """
    named = {"reward": one.get("reward"), "advantage": one.get("advantage"), "kl": one.get("kl")}
    named |= {"length": one.get("tokens")} | {PART + name: value for name, value in one.get("parts", {}).items()}
    return {name: value for name, value in named.items() if value is not None}


def bounds(completions: Iterable[dict]) -> tuple[dict[str, float], dict[str, float]]:
    """Each number's lowest and highest value in a group.

    >>> bounds([{"reward": 1.0, "kl": 0.5}, {"reward": 2.0}])
    ({'reward': 1.0, 'kl': 0.5}, {'reward': 2.0, 'kl': 0.5})
    """
    found: dict[str, list[float]] = {}
    for one in completions:
        for name, value in numbers(one).items():
            found.setdefault(name, []).append(value)
    return {name: min(values) for name, values in found.items()}, {n: max(values) for n, values in found.items()}


def keep(rows: list[RolloutGroup]) -> None:
    """Store rows. A resumed run repeats steps: what came before of the same step and place is replaced."""
    latest = {(row.step, row.place): row for row in rows}
    fields = ["line", "low", "high", "prompt", "reference", "completions", "text"]
    RolloutGroup.objects.bulk_create(
        latest.values(), update_conflicts=True, unique_fields=["job", "step", "place"], update_fields=fields,
        batch_size=50,
    )  # fmt: skip


def as_line(row: RolloutGroup) -> dict[str, Any]:
    """The line it was made from."""
    known = {"step": row.step, "place": row.place, "prompt": row.prompt}
    known |= {"reference": row.reference} if row.reference else {}
    said = [one | {"completion": text} for one, text in zip(row.completions, row.texts, strict=True)]
    return known | {"completions": said}


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for in a run's rollouts. Anything in an address that is not offered is left out."""

    text: str = ""
    sort: str = "-step"
    first: int | None = None
    last: int | None = None
    until: int | None = None  # the newest line when the list was opened: what came since does not move it
    page: int = 1

    @classmethod
    def of(cls, said: Any, known: Iterable[str]) -> "Wanted":
        sort = said.get("sort", "")
        return cls(
            text=said.get("q", "")[:200].strip().replace("\x00", ""),
            sort=sort if sort.removeprefix("-") in {"step", *known} else "-step",
            first=whole(said.get("from")), last=whole(said.get("to")), until=whole(said.get("until")),
            page=min(max(whole(said.get("page")) or 1, 1), 100_000),
        )  # fmt: skip

    @property
    def by(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def highest_first(self) -> bool:
        return self.sort.startswith("-")

    @property
    def narrowed(self) -> bool:
        return bool(self.text) or self.first is not None or self.last is not None


def whole(text: str | None) -> int | None:
    return min(int(text), LARGEST) if text and text.isascii() and text.isdecimal() and len(text) < 20 else None


def known_numbers(job: TrainingJob) -> list[str]:
    """What this run's completions can be sorted by, as far as its newest groups say."""
    newest = job.rollouts.order_by("-line").values_list("high", flat=True)[:LOOKED_AT]
    there = dict.fromkeys(name for high in newest for name in high)
    return [name for name in NAMES if name in there] + sorted(name for name in there if name.startswith(PART))


def matching(job: TrainingJob, wanted: Wanted) -> QuerySet:
    found = job.rollouts.all()
    if wanted.first is not None:
        found = found.filter(step__gte=wanted.first)
    if wanted.last is not None:
        found = found.filter(step__lte=wanted.last)
    return found.filter(text__icontains=wanted.text) if wanted.text else found


def ordered(found: QuerySet, wanted: Wanted) -> QuerySet:
    """By the highest number in each group, highest first, or by the lowest, lowest first; groups without one last."""
    if wanted.by == "step":
        return found.order_by("-step", "place") if wanted.highest_first else found.order_by("step", "place")
    number = KeyTransform(wanted.by, "high" if wanted.highest_first else "low")
    by = number.desc(nulls_last=True) if wanted.highest_first else number.asc(nulls_last=True)
    return found.order_by(by, F("step").desc(), "place")


def found_on(page: QuerySet, wanted: Wanted) -> tuple[list[RolloutGroup], int]:
    """The groups of this page, and how many match in all, from one look through them."""
    start = (wanted.page - 1) * PAGE
    rows = page.annotate(matches=Window(Count("*"))).values_list("pk", "matches")[start : start + PAGE]
    places = {pk: at for at, (pk, _) in enumerate(rows)}
    groups = sorted(RolloutGroup.objects.filter(pk__in=places), key=lambda group: places[group.pk])
    return groups, next((matches for _, matches in rows), 0)


def in_order(group: RolloutGroup, wanted: Wanted) -> list[dict[str, Any]]:
    """Its completions with their texts; where groups are sorted by a number, so are they."""
    said = [one | {"text": text} for one, text in zip(group.completions, group.texts, strict=False)]
    if wanted.by == "step":
        return said
    sign = -1 if wanted.highest_first else 1
    values = [numbers(one).get(wanted.by) for one in said]
    places = sorted(range(len(said)), key=lambda at: (values[at] is None, sign * (values[at] or 0)))
    return [said[at] for at in places]


def excerpt(texts: Iterable[str], looked_for: str) -> tuple[str, str, str]:
    """The first text, or the first that says what is looked for: what comes before it, itself, what comes after.

    >>> excerpt(["Four.", "No. Wait, it is 5."], "wait"), excerpt(["Four."], ""), excerpt([], "x")
    (('No. ', 'Wait', ', it is 5.'), ('', '', 'Four.'), ('', '', ''))
    """
    texts = list(texts)
    for text in texts if looked_for else ():
        if hit := re.search(re.escape(looked_for), text, re.I):
            start = max(0, hit.start() - EXCERPT // 3)
            return "…" * bool(start) + text[start : hit.start()], hit[0], text[hit.end() : hit.end() + EXCERPT]
    return "", "", texts[0][:EXCERPT] if texts else ""
