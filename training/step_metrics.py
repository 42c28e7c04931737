"""How well scores of steps agree with the truth: first errors, accuracy, calibration. Plain data in, plain data out."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Label = bool | float | None  # good (True, 1), bad (False, 0), a fraction between, or not labeled
Labels = Sequence[Label]
First = int | None  # index from 0 of the first wrong step; None: no step is wrong


def first_error(labels: Labels, threshold: float = 0.5) -> First:
    """Index of the first step whose label, fraction or probability of being good is below `threshold`.

    Ratings −1/0/1 are not fractions: a neutral step is no error.

    >>> first_error([True, None, False, True]), first_error([0.9, 0.5]), first_error([])
    (2, None, None)
    """
    return next((at for at, label in enumerate(labels) if label is not None and label < threshold), None)


def processbench(true_first: Iterable[First], predicted_first: Iterable[First]) -> dict[str, float | None]:
    """ProcessBench's three numbers; None where no trace is there to count (Zheng et al. 2024, arXiv 2412.06559).

    `error_acc` is the share of wrong traces whose first wrong step is named exactly, `correct_acc` the share of right
    traces of which none is named, `f1` their harmonic mean.

    >>> processbench([2, 0, None, None], [2, 1, None, None])
    {'error_acc': 0.5, 'correct_acc': 1.0, 'f1': 0.6666666666666666}
    >>> processbench([None], [None])
    {'error_acc': None, 'correct_acc': 1.0, 'f1': None}

    Raises ValueError where the two are not equally long.
    """
    pairs = list(zip(true_first, predicted_first, strict=True))
    error_acc = mean([float(true == said) for true, said in pairs if true is not None])
    correct_acc = mean([float(said is None) for true, said in pairs if true is None])
    f1 = None if error_acc is None or correct_acc is None else harmonic(error_acc, correct_acc)
    return {"error_acc": error_acc, "correct_acc": correct_acc, "f1": f1}


def first_error_f1(true_first: Iterable[First], predicted_first: Iterable[First]) -> float | None:
    """ProcessBench's F1 alone."""
    return processbench(true_first, predicted_first)["f1"]


def first_error_accuracy(true_first: Iterable[First], predicted_first: Iterable[First]) -> float | None:
    """The share of traces, right and wrong ones alike, of which exactly the truth is said.

    >>> first_error_accuracy([2, None], [2, 0])
    0.5
    """
    return mean([float(true == said) for true, said in zip(true_first, predicted_first, strict=True)])


def best_threshold(scores: Sequence[Sequence[float]], true_first: Sequence[First]) -> float:
    """The threshold under which a step counts as wrong that has the highest F1 on these traces: the middle of the best
    ones of 0.01 … 0.99, 0.5 where all are alike. ProcessBench chooses it on traces that it does not report on.

    >>> best_threshold([[0.9, 0.8], [0.9, 0.6]], [None, 1])
    0.7
    """
    grid = [at / 100 for at in range(1, 100)]
    found = [first_error_f1(true_first, [first_error(trace, at) for trace in scores]) or 0.0 for at in grid]
    best = [at for at, f1 in zip(grid, found, strict=True) if f1 == max(found)]
    return best[(len(best) - 1) // 2]


def step_accuracy(probs: Sequence[float], labels: Labels, threshold: float = 0.5) -> float | None:
    """The share of labeled steps that the probability puts on the label's side; a label of ½ has none and is left out.

    >>> step_accuracy([0.9, 0.2, 0.7, 0.4], [True, 0.25, None, 1.0])
    0.6666666666666666
    """
    pairs = [(p, label) for p, label in zip(probs, labels, strict=True) if label is not None and label != 0.5]
    return mean([float((p >= threshold) == (label > 0.5)) for p, label in pairs])


def calibration(probs: Sequence[float], labels: Labels, bins: int = 10) -> dict[str, Any]:
    """Expected calibration error over `bins` equal bins of [0, 1] (Naeini et al. 2015; Guo et al. 2017, equation 3):

        ece = Σ_b (n_b / n) · |mean label − mean probability|

    {"ece", "bins": [{"low", "high", "count", "prob", "label"}, …]}; bins without a step are not listed, steps without
    a label do not count, and `ece` is None where none has one.

    >>> calibration([0.75, 0.75, 0.25], [True, False, 0.25], bins=2)["ece"]
    0.16666666666666666
    """
    filled: dict[int, list[tuple[float, float]]] = {}
    for p, label in zip(probs, labels, strict=True):
        if label is not None:
            filled.setdefault(min(bins - 1, int(p * bins)), []).append((p, float(label)))
    found = [calibration_bin(at, bins, filled[at]) for at in sorted(filled)]
    count = sum(each["count"] for each in found)
    ece = sum(each["count"] * abs(each["label"] - each["prob"]) for each in found) / count if count else None
    return {"ece": ece, "bins": found}


def calibration_bin(at: int, bins: int, pairs: list[tuple[float, float]]) -> dict[str, float]:
    probs, labels = zip(*pairs, strict=True)
    edges = {"low": at / bins, "high": (at + 1) / bins, "count": len(pairs)}
    return edges | {"prob": mean(probs), "label": mean(labels)}


def auc(probs: Sequence[float], labels: Sequence[bool]) -> float | None:
    """The chance that a right one scores above a wrong one, a tie counting ½ (Mann and Whitney 1947); None where one
    of the two is missing.

    >>> auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    ordered = sorted(zip(probs, labels, strict=True), key=lambda pair: pair[0])
    rank_sum, at, right = 0.0, 0, sum(map(bool, labels))
    wrong = len(ordered) - right
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        rank_sum += (at + 1 + end) / 2 * sum(bool(label) for _, label in ordered[at:end])  # tied ranks share their mean
        at = end
    return (rank_sum - right * (right + 1) / 2) / (right * wrong) if right and wrong else None


def bootstrap(
    units: Sequence[Any],
    statistic: Callable[[Sequence[Any]], float | None] | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float, float]:
    """(value, low, high): the statistic of `units`, the mean unless another is given, with its 95 % percentile interval
    over resampled units (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13).

    Units are what is independent: problems, rather than steps. A draw on which the statistic is None is left out.

    >>> bootstrap([1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)

    Raises ValueError where the statistic is None on all units.
    """
    of = statistic or mean
    value, generator = of(units), random.Random(seed)
    if value is None:
        raise ValueError("an interval needs units on which the statistic is defined")
    drawn = (of(generator.choices(units, k=len(units))) for _ in range(draws))
    found = sorted(each for each in drawn if each is not None) or [value]
    return value, found[int(0.025 * len(found))], found[max(0, int(0.975 * len(found)) - 1)]


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
