"""How far labelers agree: Krippendorff's alpha, Cohen's kappa, Kendall's tau-b. Plain data in, plain data out."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

Ranks = Mapping[Hashable, float]  # completion → rank, 1 is best, equal ranks are a tie
Labels = Mapping[Hashable, Mapping[Hashable, Ranks]]  # prompt → labeler → ranks
Interval = tuple[float, float]


@dataclass
class Between:
    """Two labelers on the prompts both ranked."""

    prompts: int = 0
    same: int = 0  # pairs of completions both see alike (one better, or a tie)
    compared: int = 0
    taus: list[float] = field(default_factory=list)

    @property
    def preference(self) -> float | None:
        return self.same / self.compared if self.compared else None

    @property
    def tau(self) -> float | None:
        return sum(self.taus) / len(self.taus) if self.taus else None


@dataclass
class Agreement:
    """What `agreement` found; intervals are 95 % bootstraps over prompts, None with fewer than five prompts."""

    prompts: int
    alpha: float | None
    alpha_interval: Interval | None
    preference: float | None
    preference_interval: Interval | None
    tau: float | None
    between: dict[tuple, Between]

    @property
    def words(self) -> str:
        return in_words(self.alpha)

    def of(self, labeler: Hashable) -> float | None:
        """The share of preferences on which `labeler` and the others who ranked the same prompts agree."""
        mine = [pair for names, pair in self.between.items() if labeler in names]
        compared = sum(pair.compared for pair in mine)
        return sum(pair.same for pair in mine) / compared if compared else None


def krippendorff_alpha(units: Sequence[Sequence], level: str = "nominal") -> float | None:
    """α = 1 − D_o/D_e over units × raters (None: not rated); None where it is undefined.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), his example with missing data:

    >>> observers = "123321412...", "1233224125.3", ".3332342251.", "12332441251."
    >>> units = list(zip(*([None if v == "." else int(v) for v in o] for o in observers)))
    >>> round(krippendorff_alpha(units), 3), round(krippendorff_alpha(units, "ordinal"), 3)
    (0.743, 0.815)
    """
    values, counts = value_counts(units)
    return alpha_of_counts(values, counts, level)


def value_counts(units: Sequence[Sequence]) -> tuple[list, list[list[int]]]:
    """The values in order, and how often each unit got each of them; units rated once teach nothing."""
    values = sorted({value for unit in units for value in unit if value is not None})
    return values, counts_of(units, values)


def counts_of(units: Sequence[Sequence], values: Sequence) -> list[list[int]]:
    rated = [Counter(value for value in unit if value is not None) for unit in units]
    return [[unit[value] for value in values] for unit in rated if unit.total() > 1]


def alpha_of_counts(values: Sequence, counts, level: str) -> float | None:
    """Alpha from values × how often each unit got them; None without two ratings of a unit, or without variation."""
    import krippendorff
    import numpy as np

    counts = np.asarray(counts)
    if not counts.size or np.count_nonzero(counts.sum(axis=0)) < 2:
        return None
    domain = list(values) if level != "nominal" else list(range(len(values)))
    return float(krippendorff.alpha(value_counts=counts, value_domain=domain, level_of_measurement=level))


def cohen_kappa(a: Sequence, b: Sequence) -> float | None:
    """κ = (p_o − p_e) / (1 − p_e) on what both rated; the textbook's fifty grant proposals:

    >>> round(cohen_kappa("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15), 3)
    0.4
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not both:
        return None
    of_a, of_b = Counter(x for x, _ in both), Counter(y for _, y in both)
    observed = sum(x == y for x, y in both) / len(both)
    expected = sum(of_a[value] * of_b[value] for value in of_a) / len(both) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def pairwise_kappas(units: Sequence[Sequence]) -> dict[tuple[int, int], float | None]:
    """Cohen's kappa of every two raters (columns of `units`)."""
    raters = list(zip(*units, strict=True))
    return {(i, j): cohen_kappa(raters[i], raters[j]) for i, j in combinations(range(len(raters)), 2)}


def preferences(a: Ranks, b: Ranks) -> list[tuple[int, int]]:
    """For every two completions both ranked, which one each labeler prefers: −1, 0 (a tie) or 1."""
    return [(order(a[x], a[y]), order(b[x], b[y])) for x, y in combinations([c for c in a if c in b], 2)]


def order(x: float, y: float) -> int:
    return (x > y) - (x < y)


def tau_b(a: Ranks, b: Ranks) -> float | None:
    """Kendall's τ-b = (C − D) / √((n − ties in a)(n − ties in b)); None when one of them ties everything.

    Written out because scipy.stats costs a web process 56 MB and three seconds; a test holds it to scipy's values.

    >>> tau_b({"x": 1, "y": 2, "z": 3}, {"x": 1, "y": 2, "z": 3}), tau_b({"x": 1, "y": 2}, {"x": 2, "y": 1})
    (1.0, -1.0)
    """
    pairs = preferences(a, b)
    untied = sum(x != 0 for x, _ in pairs) * sum(y != 0 for _, y in pairs)
    return sum(x * y for x, y in pairs) / untied**0.5 if untied else None


def mid_ranks(ranks: Ranks) -> dict[Hashable, float]:
    """Tied completions share the mean of the places they take, however the ranks were written.

    >>> mid_ranks({"a": 1, "b": 2, "c": 2, "d": 4})
    {'a': 1.0, 'b': 2.5, 'c': 2.5, 'd': 4.0}
    """
    values = list(ranks.values())
    return {name: sum(other < rank for other in values) + (values.count(rank) + 1) / 2 for name, rank in ranks.items()}


def rank_units(prompt: Mapping[Hashable, Ranks]) -> list[list[float | None]]:
    """A unit a completion: the mid-rank each labeler gave it."""
    ranked = [mid_ranks(ranks) for ranks in prompt.values()]
    completions = dict.fromkeys(completion for ranks in ranked for completion in ranks)
    return [[ranks.get(completion) for ranks in ranked] for completion in completions]


def compare_labelers(labels: Labels) -> tuple[dict[tuple, Between], list[list[int]]]:
    """Every two labelers on their shared prompts, and (same, compared) a prompt for the bootstrap."""
    between: dict[tuple, Between] = defaultdict(Between)
    per_prompt = []
    for prompt in labels.values():
        same = compared = 0
        for a, b in combinations(sorted(prompt, key=str), 2):
            pairs, tau, pair = preferences(prompt[a], prompt[b]), tau_b(prompt[a], prompt[b]), between[a, b]
            pair.prompts += 1
            pair.compared, compared = pair.compared + len(pairs), compared + len(pairs)
            alike = sum(x == y for x, y in pairs)
            pair.same, same = pair.same + alike, same + alike
            pair.taus += [] if tau is None else [tau]
        per_prompt.append([same, compared])
    return dict(between), per_prompt


def agreement(labels: Labels, resamples: int = 200, seed: int = 0) -> Agreement:
    """Agreement on the prompts that at least two labelers ranked."""
    shared = {prompt: by for prompt, by in labels.items() if len(by) > 1}
    between, per_prompt = compare_labelers(shared)
    alpha, alpha_interval = alpha_on_ranks(shared, resamples, seed)
    same, compared = sum(row[0] for row in per_prompt), sum(row[1] for row in per_prompt)
    taus = [tau for pair in between.values() for tau in pair.taus]
    return Agreement(
        prompts=len(shared),
        alpha=alpha,
        alpha_interval=alpha_interval,
        preference=same / compared if compared else None,
        preference_interval=share_interval(per_prompt, resamples, seed),
        tau=sum(taus) / len(taus) if taus else None,
        between=between,
    )


def alpha_on_ranks(shared: Labels, resamples: int, seed: int) -> tuple[float | None, Interval | None]:
    """Ordinal alpha over completions, and its interval; whole prompts are resampled, as their units hang together.

    Prompts with equally many completions stand together, and their alphas are weighed by their units: pooled, even
    guessing would look like agreement, because a rank of 5 is found only where there are five to rank.
    """
    import numpy as np

    prompts = [rank_units(prompt) for prompt in shared.values()]
    values, _ = value_counts([unit for units in prompts for unit in units])
    tables = [np.reshape(counts_of(units, values), (-1, len(values))) for units in prompts]
    sizes = [len(units) for units in prompts]
    alpha = alpha_by_size(values, tables, sizes)
    if alpha is None or len(tables) < 5:
        return alpha, None
    draws = np.random.default_rng(seed).integers(len(tables), size=(resamples, len(tables)))
    again = (alpha_by_size(values, [tables[i] for i in draw], [sizes[i] for i in draw]) for draw in draws)
    return alpha, middle([value for value in again if value is not None])


def alpha_by_size(values: Sequence, tables: Sequence, sizes: Sequence[int]) -> float | None:
    import numpy as np

    total = weight = 0.0
    for size in set(sizes):
        table = np.concatenate([table for table, of_size in zip(tables, sizes, strict=True) if of_size == size])
        if (alpha := alpha_of_counts(values, table, "ordinal")) is not None:
            total, weight = total + alpha * len(table), weight + len(table)
    return total / weight if weight else None


def share_interval(per_prompt: Sequence[Sequence[int]], resamples: int, seed: int) -> Interval | None:
    import numpy as np

    if len(per_prompt) < 5:
        return None
    table = np.asarray(per_prompt)
    draws = np.random.default_rng(seed).integers(len(table), size=(resamples, len(table)))
    sums = table[draws].sum(axis=1)
    sums = sums[sums[:, 1] > 0]
    return middle(sums[:, 0] / sums[:, 1])


def middle(values) -> Interval | None:
    """The middle 95 % of bootstrapped values."""
    import numpy as np

    return tuple(float(v) for v in np.quantile(values, [0.025, 0.975])) if len(values) else None


def in_words(alpha: float | None) -> str:
    """Krippendorff's own bounds (.8 and .667), and plain words below them.

    >>> in_words(0.85), in_words(0.7), in_words(0.5), in_words(0.1), in_words(-0.2)
    ('reliable', 'good enough for tentative conclusions', 'moderate', 'weak', 'none: worse than chance')
    """
    if alpha is None:
        return "not known yet"
    for least, words in ((0.8, "reliable"), (0.667, "good enough for tentative conclusions"), (0.4, "moderate")):
        if alpha >= least:
            return words
    return "weak" if alpha > 0 else "none: worse than chance"
