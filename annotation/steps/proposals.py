"""What machines propose for the steps of a trace, and what became of it. Plain data in and out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD_FROM = 0.5  # a score from here on proposes that the step is good


@dataclass(frozen=True)
class Proposal:
    """One source's rating of one step, with what it says of its certainty."""

    source: str
    rating: int
    score: float | None = None
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Source:
    """A machine's labels of one trace; its lists run along the steps and may end early."""

    pk: int
    name: str
    ratings: Sequence[int | None]
    scores: Sequence[float | None] = ()
    errors: Sequence[float | None] = ()
    notes: Mapping[str, str] | None = None

    def of(self, step: int) -> Proposal | None:
        """
        >>> Source(1, "model:prm-v1", [], [0.9, 0.2]).of(1)
        Proposal(source='model:prm-v1', rating=-1, score=0.2, error=None, note='')
        >>> Source(1, "verifier:arithmetic", [None, -1]).of(0) is None
        True
        """
        rating, score = at(self.ratings, step), at(self.scores, step)
        if rating is None and score is not None:
            rating = 1 if score >= GOOD_FROM else -1
        if rating is None:
            return None
        return Proposal(self.name, rating, score, at(self.errors, step), str((self.notes or {}).get(str(step), "")))


def at(values: Sequence[Any] | None, step: int) -> Any:
    return values[step] if values and step < len(values) else None


def became(sources: Iterable[Source], ratings: Sequence[int | None]) -> dict[str, dict[str, str]]:
    """Source → step → accepted or corrected, for the steps that were both proposed and marked.

    >>> became([Source(1, "model:prm-v1", [1, -1, 1])], [1, 1, None])
    {'model:prm-v1': {'0': 'accepted', '1': 'corrected'}}
    """
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        for step, rating in enumerate(ratings):
            proposal = source.of(step)
            if rating is not None and proposal:
                outcome = "accepted" if proposal.rating == rating else "corrected"
                found.setdefault(source.name, {})[str(step)] = outcome
    return found
