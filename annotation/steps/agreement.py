"""How far people agree on steps, with each other and with each machine source. Plain data in, plain data out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from annotation.agreement import Interval, alpha_of_counts, in_words, middle

Ratings = Sequence[int | None]
RATINGS = (-1, 0, 1)
NONE = -1  # the first error of a trace without one, as a value among indices
UNKNOWN = "unknown"
Pair = tuple[Ratings, Ratings]
UNITS = {(a, b): tuple((a == rating) + (b == rating) for rating in RATINGS) for a in RATINGS for b in RATINGS}


@dataclass(frozen=True)
class Marked:
    """One trace: how many steps it has, and what each rater said of them."""

    steps: int
    said: Mapping[str, Ratings] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """Agreement of raters on the traces that at least two of them marked; intervals are 95 % bootstraps over traces."""

    traces: int
    steps: int
    same: float | None  # share of the steps two raters marked that they marked alike
    alpha: float | None  # ordinal on −1, 0, 1
    alpha_interval: Interval | None
    first_traces: int
    first_same: float | None
    first_alpha: float | None  # nominal on the index of the first error
    first_interval: Interval | None

    @property
    def words(self) -> str:
        return in_words(self.alpha)


def first_error(ratings: Ratings, steps: int) -> int | None | str:
    """Index of the first bad step, None when all steps are marked and none is bad, UNKNOWN when that was not said.

    >>> first_error([1, 0, -1], 5), first_error([1, 1], 2), first_error([1, 1], 5)
    (2, None, 'unknown')
    """
    if -1 in ratings:
        return ratings.index(-1)
    said = len(ratings) >= steps and None not in ratings[:steps]
    return None if said else UNKNOWN


def majority(said: Iterable[Ratings], steps: int) -> list[int | None]:
    """What most raters say of each step; None where nobody or no most.

    >>> majority([[1, -1, 1], [1, 1], [0, -1, -1]], 3)
    [1, -1, None]
    """
    found = []
    for step in range(steps):
        votes = Counter(each[step] for each in said if step < len(each) and each[step] is not None).most_common(2)
        clear = len(votes) == 1 or (len(votes) == 2 and votes[0][1] > votes[1][1])
        found.append(votes[0][0] if clear else None)
    return found


def pairs_of(traces: Iterable[Marked], wanted: Callable[[str, str], bool]) -> list[tuple[int, list[Pair]]]:
    """For every trace: its steps, and the ratings of every two raters that are wanted together."""
    found = []
    for trace in traces:
        pairs = [(trace.said[a], trace.said[b]) for a, b in combinations(sorted(trace.said), 2) if wanted(a, b)]
        if pairs:
            found.append((trace.steps, pairs))
    return found


def step_counts(steps: int, pairs: Iterable[Pair]) -> list[tuple[int, ...]]:
    """How often each step that both of a pair marked got each rating: units for alpha."""
    both = (two for a, b in pairs for two in zip(a[:steps], b[:steps], strict=False))
    return [UNITS[two] for two in both if None not in two]


def first_pairs(steps: int, pairs: Iterable[Pair]) -> list[tuple[int, int]]:
    """The first errors that both of a pair named, NONE for a trace without one."""
    named = ((first_error(a, steps), first_error(b, steps)) for a, b in pairs)
    return [(place(a), place(b)) for a, b in named if UNKNOWN not in (a, b)]


def place(first: int | None) -> int:
    return NONE if first is None else first


def measured(found: Sequence[tuple[int, list[Pair]]], resamples: int = 200, seed: int = 0) -> Measure:
    """Alpha per step and on the first error, and how often two raters say the same."""
    import numpy as np

    steps = [np.reshape(step_counts(*each), (-1, len(RATINGS))) for each in found]
    firsts = [first_pairs(*each) for each in found]
    values = sorted({value for pairs in firsts for pair in pairs for value in pair})
    by_trace = [first_counts(pairs, values) for pairs in firsts]
    units = np.concatenate(steps) if steps else np.empty((0, len(RATINGS)))
    named = [pair for pairs in firsts for pair in pairs]
    return Measure(
        traces=len(found),
        steps=len(units),
        same=float((units.max(axis=1) == 2).mean()) if len(units) else None,
        alpha=alpha_of_counts(RATINGS, units, "ordinal"),
        alpha_interval=interval(steps, RATINGS, "ordinal", resamples, seed),
        first_traces=sum(bool(pairs) for pairs in firsts),
        first_same=sum(a == b for a, b in named) / len(named) if named else None,
        first_alpha=alpha_of_counts(values, np.concatenate(by_trace), "nominal") if named else None,
        first_interval=interval(by_trace, values, "nominal", resamples, seed),
    )


def first_counts(pairs: Sequence[tuple[int, int]], values: Sequence[int]):
    import numpy as np

    counts = [[(a == value) + (b == value) for value in values] for a, b in pairs]
    return np.asarray(counts, dtype=int).reshape(len(counts), len(values))


def interval(tables: Sequence, values: Sequence, level: str, resamples: int, seed: int) -> Interval | None:
    """Whole traces are resampled, since their steps hang together; None with fewer than five of them."""
    import numpy as np

    found = np.array([table.T @ table - np.diag(table.sum(axis=0)) for table in tables if len(table)])
    if len(found) < 5:
        return None
    times = np.random.default_rng(seed).multinomial(len(found), np.full(len(found), 1 / len(found)), size=resamples)
    again = (alpha_of_coincidences(matrix, level) for matrix in np.tensordot(times, found, axes=1))
    return middle([value for value in again if value is not None])


def alpha_of_coincidences(matrix, level: str) -> float | None:
    """Alpha from how often each two values were given to one unit by a pair: sums of units' matrices are a sample's.

    1 − (n − 1) Σ o_ck δ²_ck / Σ n_c n_k δ²_ck, with δ² = 1 for different names, and for ordered values the square of
    how many ratings lie between them, half of both ends counted (Krippendorff 2011).

    >>> round(alpha_of_coincidences([[10, 4], [4, 2]], "nominal"), 3)
    0.095
    """
    import numpy as np

    pairs = np.asarray(matrix, dtype=float)
    counts = pairs.sum(axis=1)
    if np.count_nonzero(counts) < 2:
        return None
    middles = np.cumsum(counts) - counts / 2
    apart = (middles[:, None] - middles) ** 2 if level == "ordinal" else 1 - np.eye(len(counts))
    return float(1 - (counts.sum() - 1) * (pairs * apart).sum() / (np.outer(counts, counts) * apart).sum())


def between_people(traces: Sequence[Marked], people: set[str], resamples: int = 200) -> Measure:
    """People with each other.

    >>> said = {"ann": [1, 1, -1], "ben": [1, 1, -1]}, {"ann": [1, -1], "ben": [1, 1]}
    >>> found = between_people([Marked(3, said[0]), Marked(2, said[1])], {"ann", "ben"})
    >>> found.traces, found.steps, found.same, found.first_same
    (2, 5, 0.8, 0.5)
    """
    return measured(pairs_of(traces, lambda a, b: a in people and b in people), resamples)


def with_people(traces: Sequence[Marked], people: set[str], source: str, resamples: int = 200) -> Measure:
    """One machine source with each person who marked the same traces."""
    mixed = pairs_of(traces, lambda a, b: source in (a, b) and bool({a, b} & people))
    return measured(mixed, resamples)
