"""Keep a run's rollouts to look at: whole groups with every reward, advantage and KL, as lines of rollouts.jsonl."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from training.recipes.scoring import Answer, Score

FILE = "rollouts.jsonl"
LONGEST = 20_000  # characters kept of a completion, and of its row's reference
WHY = 300  # characters kept of what a reward says of itself

Group = tuple[dict[str, Any], list[dict[str, Any]]]  # a row, and what is kept of the completions of its prompt


class Rollouts:
    """Writes groups until `rollouts_kept` completions are written, from the first step of the run to its last."""

    def __init__(self, run: Any, groups: int, a_step: int) -> None:
        """`groups` are foreseen for the whole run, `a_step` of them in each step."""
        self.run, self.a_step = run, a_step
        self.share = min(1.0, run.config.rollouts_kept / max(1, groups * run.config.num_generations))

    def keep(self, step: int, groups: Sequence[Group]) -> None:
        for place, (row, completions) in enumerate(groups):
            self.keep_one(step, place, row, completions)

    def keep_one(self, step: int, place: int, row: dict[str, Any], completions: list[dict[str, Any]]) -> None:
        if not chosen(step * self.a_step + place, self.share):
            return
        reference = {"reference": str(row["reference"])[:LONGEST]} if row.get("reference") is not None else {}
        known = {"step": step, "place": place, "prompt": row["prompt"]} | reference
        self.run.append(FILE, known | {"completions": [short(one) for one in completions]})


def of_steps(session: Any) -> Rollouts:
    """For a recipe that draws as many completions in every step."""
    a_step = max(1, session.config.rollout_size // session.config.num_generations)
    return Rollouts(session.run, session.total * a_step, a_step)


def chosen(number: int, share: float) -> bool:
    """Whether a group is one of the share that is kept, evenly spread; the same when a resumed run asks again.

    >>> [number for number in range(10) if chosen(number, 0.3)], any(chosen(number, 0.0) for number in range(10))
    ([3, 6, 9], False)
    """
    return int((number + 1) * share) > int(number * share)


def described(answers: Sequence[Answer], scores: Sequence[Score], ended: Sequence[bool]) -> list[dict[str, Any]]:
    """What is kept of each completion, as far as it is known before anything is learned from it."""
    return [
        {
            "completion": answer.text, "reward": score.total, "parts": dict(score.parts), "why": dict(score.why),
            "tokens": len(answer.tokens), "ended": bool(done),
        }
        for answer, score, done in zip(answers, scores, ended, strict=True)
    ]  # fmt: skip


def grouped(rows: Sequence[dict[str, Any]], completions: Sequence[dict[str, Any]], n: int) -> Iterator[Group]:
    """n completions in a row belong to a row."""
    for at, row in enumerate(rows):
        yield row, list(completions[at * n : at * n + n])


def short(one: dict[str, Any]) -> dict[str, Any]:
    """A completion with its numbers as JSON can say them, and no text longer than somebody reads."""
    text = one["completion"]
    left_out = {"left_out": len(text) - LONGEST} if len(text) > LONGEST else {}
    why = {name: said[:WHY] for name, said in one["why"].items() if said}
    numbers = {name: brief(one[name]) for name in ("reward", "advantage", "kl") if name in one}
    parts = {name: brief(value) for name, value in one["parts"].items()}
    return one | numbers | {"completion": text[:LONGEST], "parts": parts, "why": why} | left_out


def brief(value: float | None) -> float | None:
    """Six figures; nothing where there is no finite number.

    >>> brief(2 / 3), brief(float("nan")), brief(None)
    (0.666667, None, None)
    """
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
