"""Accuracy against N and against tokens: unbiased from a pool of samples, or from searches run; with intervals.

A pool of M samples a problem gives every N ≤ M without new samples. What picks by score has a closed form over all
subsets of N (as pass@k has, arXiv 2107.03374); votes are averaged over every subset where there are few, else over
random ones drawn without replacement.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, groupby
from math import comb, fsum
from typing import Any, NamedTuple

from training.step_metrics import bootstrap, mean

SUBSETS = 200  # subsets of a pool behind a vote's accuracy


class Sample(NamedTuple):
    """One solution of a problem: its answer (equal ones spelled alike; None: it has none), its score, its tokens."""

    answer: str | None
    right: bool
    score: float | None
    tokens: int


class Run(NamedTuple):
    """One search that was run: whether its answer is right, and the policy's tokens it took."""

    right: bool
    tokens: int


@dataclass(frozen=True)
class Point:
    """Accuracy at one N with its 95 % interval over problems, and the mean tokens a problem."""

    strategy: str
    n: int
    accuracy: float
    low: float
    high: float
    tokens: float
    problems: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def any_right(pool: Sequence[Sample], n: int) -> float:
    """Chance that n samples hold a right one: what a perfect scorer would reach (pass@k).

    >>> any_right([Sample("4", True, None, 1), Sample("5", False, None, 1)], 1)
    0.5
    """
    wrong = sum(not sample.right for sample in pool)
    return 1 - comb(wrong, n) / comb(len(pool), n)


def best_of(pool: Sequence[Sample], n: int) -> float:
    """Chance that the best-scored of n samples is right, over all subsets of n; equal scores share their chance.

    The i-th best of M (from 0) is the best of a subset with probability C(M − 1 − i, n − 1) / C(M, n).

    >>> pool = [Sample("4", True, 0.9, 1), Sample("5", False, 0.5, 1), Sample("6", False, 0.1, 1)]
    >>> [round(best_of(pool, n), 3) for n in (1, 2, 3)]
    [0.333, 0.667, 1.0]
    """
    ranked = sorted(pool, key=score_of, reverse=True)
    total, place = 0.0, 0
    for _, alike in groupby(ranked, key=score_of):
        tied = list(alike)
        places = range(place, place + len(tied))
        chance = fsum(comb(len(pool) - 1 - i, n - 1) for i in places) / comb(len(pool), n)
        total += chance * sum(sample.right for sample in tied) / len(tied)
        place += len(tied)
    return total


def score_of(sample: Sample) -> float:
    return float("-inf") if sample.score is None else sample.score


def voted(pool: Sequence[Sample], n: int, weigh: Callable[[Sample], float], seed: int = 0) -> float:
    """Chance that the answer with the highest sum of weights among n samples is right; ties go to the first sampled.

    >>> pool = [Sample("4", True, 1, 1), Sample("4", True, 1, 1), Sample("5", False, 1, 1)]
    >>> voted(pool, 3, weigh=lambda sample: 1.0)
    1.0
    """
    if comb(len(pool), n) <= SUBSETS:
        subsets = list(combinations(pool, n))
    else:
        generator = random.Random(seed)
        subsets = [generator.sample(pool, n) for _ in range(SUBSETS)]
    return mean([float(winner_is_right(subset, weigh)) for subset in subsets])


def winner_is_right(samples: Sequence[Sample], weigh: Callable[[Sample], float]) -> bool:
    weights: dict[str, float] = {}
    right: dict[str, bool] = {}
    for sample in samples:
        if sample.answer is not None:
            weights[sample.answer] = weights.get(sample.answer, 0.0) + weigh(sample)
            right.setdefault(sample.answer, sample.right)
    return bool(weights) and right[max(weights, key=weights.__getitem__)]


def majority(pool: Sequence[Sample], n: int, seed: int = 0) -> float:
    return voted(pool, n, lambda sample: 1.0, seed)


def weighted(pool: Sequence[Sample], n: int, seed: int = 0) -> float:
    return voted(pool, n, lambda sample: sample.score or 0.0, seed)


FROM_POOL: dict[str, Callable[[Sequence[Sample], int], float]] = {
    "majority": majority,
    "best_of_n": best_of,
    "weighted": weighted,
    "any_right": any_right,
}


def pool_curve(strategy: str, pools: Sequence[Sequence[Sample]], ns: Iterable[int], name: str = "") -> list[Point]:
    """One Point for each N that every pool holds; `pools` has one pool a problem. `name` is the points' strategy."""
    smallest = min(map(len, pools))
    points = []
    for n in (n for n in ns if n <= smallest):
        shares = [FROM_POOL[strategy](pool, n) for pool in pools]
        tokens = n * mean([mean([sample.tokens for sample in pool]) for pool in pools])
        points.append(Point(name or strategy, n, *bootstrap(shares), tokens, len(pools)))
    return points


def run_point(strategy: str, n: int, problems: Sequence[Sequence[Run]]) -> Point:
    """The point of searches run: one or more seeds a problem, averaged within it, so that problems are resampled."""
    shares = [mean([float(run.right) for run in runs]) for runs in problems]
    tokens = mean([mean([run.tokens for run in runs]) for runs in problems])
    return Point(strategy, n, *bootstrap(shares), tokens, len(problems))
