"""How much better one model is than another, with an interval. Plain numbers in, plain numbers out."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval and the number of independent units behind it."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.value:.0f} % [{100 * self.low:.0f}–{100 * self.high:.0f}]"


def outcome(ours: float, theirs: float) -> float:
    """1 for a win, 0 for a loss, ½ for a tie."""
    return 0.5 if ours == theirs else float(ours > theirs)


def win_rate(by_prompt: Sequence[Sequence[tuple[float, float]]], draws: int = 2000, seed: int = 0) -> Share:
    """Share of (ours, theirs) scores that ours wins, ties counting ½; prompts are resampled, not single answers.

    Answers to one prompt resemble each other, so the percentile bootstrap draws whole prompts
    (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 8).

    >>> win_rate([[(1.0, 0.0), (2.0, 0.5)], [(1.0, 0.0)]])
    Share(value=1.0, low=1.0, high=1.0, count=2)
    >>> win_rate([[(0.0, 0.0)]]).value
    0.5

    Raises ValueError without any pair of scores.
    """
    rates = [sum(outcome(*pair) for pair in pairs) / len(pairs) for pairs in by_prompt if pairs]
    if not rates:
        raise ValueError("a win rate needs at least one prompt with scores of both models")
    generator = random.Random(seed)
    means = sorted(sum(generator.choices(rates, k=len(rates))) / len(rates) for _ in range(draws))
    low, high = means[int(0.025 * draws)], means[int(0.975 * draws) - 1]
    return Share(sum(rates) / len(rates), low, high, len(rates))


def wilson(successes: int, count: int, z: float = 1.96) -> Share:
    """A share of independent trials with Wilson's score interval (Wilson 1927).

    >>> str(wilson(8, 10))
    '80 % [49–94]'

    Raises ValueError for no trials.
    """
    if not count:
        raise ValueError("a share needs at least one trial")
    share = successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), count)
