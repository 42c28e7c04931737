"""Step labels from completions: how often a prefix of a solution still reaches the answer. Plain counts in and out.

A *prefix of k steps* is the prompt and the first k steps; its count says how many of the completions tried from there
were right. Step i (from 0) is judged by the prefix of i + 1 steps. The whole solution needs no completions: its verdict
is a count by itself. Walks (`sweep`, `bisect`) are generators: each yields the prefixes whose counts it wants next and
is sent a dict with them, so that whoever drives them decides how completions are made; `together` makes many one batch.

Sources: Math-Shepherd (https://arxiv.org/abs/2312.08935, equations 3 and 4) for hard and soft estimates; OmegaPRM
(https://arxiv.org/abs/2406.06592, section 3.1) and MATH-APS for the binary search.
"""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Count:
    """Completions of one prefix: how many were tried, how many of them were right.

    >>> Count(3, 4).soft, Count(3, 4).hard, Count(0, 4).hard
    (0.75, True, False)
    >>> round(Count(3, 4).error, 3), round(Count(0, 16).error, 3)
    (0.178, 0.053)
    """

    right: int
    tried: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.tried or not self.tried:
            raise ValueError(f"{self.right} right of {self.tried} completions is not a count")

    def __add__(self, other: "Count") -> "Count":
        return Count(self.right + other.right, self.tried + other.tried)

    @property
    def soft(self) -> float:
        """The fraction that was right: an unbiased estimate of the chance to reach the answer from here."""
        return self.right / self.tried

    @property
    def hard(self) -> bool:
        """Whether any was right. A step whose chance is p is called bad by mistake with probability (1 − p)^tried."""
        return self.right > 0

    @property
    def error(self) -> float:
        """Standard error of `soft`: the posterior deviation under a uniform prior, so that 0 of 4 is not certain.

        For many completions it is the textbook's √(p(1 − p)/n).
        """
        mean = (self.right + 1) / (self.tried + 2)
        return sqrt(mean * (1 - mean) / (self.tried + 3))


Counts = dict[int, Count]  # steps in the prefix → what its completions came to
Walk = Generator[list[int], Mapping[int, Count], Any]
Good = Callable[[Count], bool]


def any_right(count: Count) -> bool:
    """Math-Shepherd's hard rule: one right completion shows that the prefix can still be completed."""
    return count.hard


def lasting(share: float) -> Good:
    """A rule that calls a prefix good when more than this share of its completions was right."""
    return lambda count: count.soft > share


@dataclass(frozen=True)
class Found:
    """What a search for the first error came to. `counts` holds what is known by now, to go on from later."""

    steps: int
    first_error: int | None  # from 0; None: no step is wrong, or nothing can be said
    decided: bool  # False: the policy does not even solve the prompt, so its failures say nothing of the steps
    counts: Counts

    @property
    def ratings(self) -> list[int | None]:
        """1 for the steps before the first error, -1 for it; what follows is not known.

        >>> Found(4, 2, True, {}).ratings, Found(2, None, True, {}).ratings, Found(2, None, False, {}).ratings
        ([1, 1, -1, None], [1, 1], [None, None])
        """
        if not self.decided:
            return [None] * self.steps
        end = self.steps if self.first_error is None else self.first_error
        return ([1] * end + [-1] * (end < self.steps) + [None] * self.steps)[: self.steps]


def sweep(steps: int, known: Mapping[int, Count] = {}) -> Walk:
    """Ask for every prefix of 1 … `steps` steps that is not known, all at once; return all counts."""
    check(steps)
    counts = {at: count for at, count in known.items() if 0 < at <= steps}
    missing = [at for at in range(1, steps + 1) if at not in counts]
    if missing:
        counts |= yield missing
    return dict(sorted(counts.items()))


def bisect(steps: int, known: Mapping[int, Count] = {}, good: Good = any_right) -> Walk:
    """Find the first error with about log2(steps) prefixes instead of `steps`; return Found.

    Supposes that a prefix is good as long as it holds no error and bad from then on. The whole solution is asked first
    (its verdict costs no completions): where it is right, no step is taken to be wrong. An error in the first step is
    told from a prompt the policy cannot solve by asking for the prompt's own completions (prefix 0), and only then.
    """
    check(steps)
    counts = dict(known)

    def ask(at: int) -> Generator[list[int], Mapping[int, Count], bool]:
        if at not in counts:
            counts[at] = (yield [at])[at]
        return good(counts[at])

    if (yield from ask(steps)):
        return Found(steps, None, True, counts)
    low, high = 0, steps  # the prefix of `low` steps is good, that of `high` steps is bad
    while high - low > 1:
        middle = (low + high) // 2
        if (yield from ask(middle)):
            low = middle
        else:
            high = middle
    if low == 0 and not (yield from ask(0)):
        return Found(steps, None, False, counts)
    return Found(steps, high - 1, True, counts)


def check(steps: int) -> None:
    if steps < 1:
        raise ValueError("a solution without steps has nothing to label")


def together(walks: Mapping[Key, Walk]) -> Generator[dict[Key, list[int]], Mapping[Key, Mapping], dict[Key, Any]]:
    """Many walks in lockstep: each round asks for what all unfinished ones want; returns their results by key."""
    results: dict[Key, Any] = {}
    wanted: dict[Key, list[int]] = {}

    def go_on(key: Key, counts: Mapping[int, Count] | None) -> None:
        try:
            wanted[key] = walks[key].send(counts)
        except StopIteration as end:
            results[key] = end.value
            wanted.pop(key, None)

    for key in walks:
        go_on(key, None)
    while wanted:
        answers = yield dict(wanted)
        for key in list(wanted):
            go_on(key, answers[key])
    return {key: results[key] for key in walks}


def drive(walk: Generator, answer: Callable[[Any], Any]) -> Any:
    """Run a walk (or several together) to its end, answering every question by a call; return its result.

    >>> curve = [0.9, 0.8, 0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]  # by steps in the prefix: the third step is wrong
    >>> asked = []
    >>> def answer(prefixes):
    ...     asked.extend(prefixes)
    ...     return {at: Count(round(8 * curve[at]), 8) for at in prefixes}
    >>> drive(bisect(8), answer).first_error, asked
    (2, [8, 4, 2, 3])
    """
    try:
        question = next(walk)
        while True:
            question = walk.send(answer(question))
    except StopIteration as end:
        return end.value


def first_bad(counts: Mapping[int, Count], steps: int, good: Good = any_right) -> int | None:
    """Index of the first step whose prefix is bad, by a full sweep's counts.

    >>> first_bad({1: Count(4, 4), 2: Count(1, 4), 3: Count(0, 4)}, 3)
    2
    """
    return next((at - 1 for at in range(1, steps + 1) if at in counts and not good(counts[at])), None)


def along_steps(counts: Mapping[int, Count], steps: int, value: Callable[[Count], Any]) -> list[Any]:
    """One value a step, None where its prefix was not asked for.

    >>> along_steps({2: Count(1, 4)}, 3, lambda count: count.soft)
    [None, 0.25, None]
    """
    return [value(counts[at]) if at in counts else None for at in range(1, steps + 1)]


def completions_tried(counts: Mapping[int, Count], steps: int) -> int:
    """Completions that were sampled; the verdict on the whole solution is none."""
    return sum(count.tried for at, count in counts.items() if at != steps)


def pooled(counts: Sequence[Mapping[int, Count]]) -> Counts:
    """Several lots of completions of the same solution as one."""
    joined: Counts = {}
    for lot in counts:
        for at, count in lot.items():
            joined[at] = joined[at] + count if at in joined else count
    return joined
