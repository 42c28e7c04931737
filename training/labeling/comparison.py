"""How well each source of step labels agrees with a truth: accuracy, first errors, calibration. Plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.agreement import Interval, middle
from annotation.steps.agreement import UNKNOWN, first_error, majority
from annotation.steps.opinions import Opinions
from training.labeling.consensus import agreed
from training.step_metrics import calibration, processbench

PEOPLE = "people"
DRAWS = 500


@dataclass(frozen=True)
class Trace:
    """One trace on which truth and source can be compared; `ratings` of both, and the source's scores."""

    steps: int
    truth: Sequence[int | None]
    ratings: Sequence[int | None]
    scores: Sequence[float | None] = ()

    def pairs(self) -> list[tuple[bool, bool]]:
        """Whether a step is not bad by the truth and by the source, where both say something."""
        both = zip(self.truth, self.ratings, strict=False)
        return [(true >= 0, said >= 0) for true, said in both if true is not None and said is not None]

    def firsts(self) -> tuple[int | None, int | None] | None:
        """The first error by the truth and by the source; a source that names no bad step says there is none."""
        true = first_error(list(self.truth), self.steps)
        if true == UNKNOWN or all(rating is None for rating in self.ratings):
            return None
        return true, next((at for at, rating in enumerate(self.ratings) if rating == -1), None)

    def scored(self) -> list[tuple[float, bool]]:
        both = zip(self.truth, self.scores, strict=False)
        return [(score, true >= 0) for true, score in both if true is not None and score is not None]


@dataclass(frozen=True)
class Comparison:
    """One source against the truth. `coverage` is the share of steps the truth rates of which the source says
    something; ProcessBench's F1 is over traces whose first error the truth knows."""

    name: str
    traces: int
    steps: int
    coverage: float | None
    accuracy: float | None
    accuracy_interval: Interval | None
    bad_found: float | None  # of the steps that are bad, the share it calls bad
    bad_right: float | None  # of those it calls bad, the share that is
    first_traces: int
    error_acc: float | None
    correct_acc: float | None
    f1: float | None
    f1_interval: Interval | None
    calibration: dict[str, Any] | None


def truth_of(opinions: Opinions, name: str = PEOPLE) -> dict[int, Sequence[int | None]]:
    """Prompt → its ratings by one source, or by most people."""
    if name != PEOPLE:
        return {prompt: said[name] for prompt, said in opinions.ratings.items() if name in said}
    found = {}
    for prompt, said in opinions.ratings.items():
        if persons := [ratings for who, ratings in said.items() if who in opinions.people]:
            found[prompt] = majority(persons, opinions.steps[prompt])
    return found


def side_by_side(opinions: Opinions, truth: Mapping[int, Sequence], name: str) -> list[Trace]:
    return [
        Trace(opinions.steps[prompt], truth[prompt], said[name], opinions.scores[prompt][name])
        for prompt, said in opinions.ratings.items()
        if name in said and prompt in truth
    ]


def compared(name: str, traces: Sequence[Trace]) -> Comparison:
    pairs = [pair for trace in traces for pair in trace.pairs()]
    rated = sum(rating is not None for trace in traces for rating in trace.truth)
    firsts = [found for trace in traces if (found := trace.firsts())]
    scored = [pair for trace in traces for pair in trace.scored()]
    bench = processbench(*zip(*firsts, strict=True)) if firsts else {}
    return Comparison(
        name=name,
        traces=len(traces),
        steps=len(pairs),
        coverage=len(pairs) / rated if rated else None,
        accuracy=accuracy(pairs),
        accuracy_interval=spread([same_of(trace) for trace in traces], ratio),
        bad_found=share([not said for true, said in pairs if not true]),
        bad_right=share([not true for true, said in pairs if not said]),
        first_traces=len(firsts),
        error_acc=bench.get("error_acc"),
        correct_acc=bench.get("correct_acc"),
        f1=bench.get("f1"),
        f1_interval=spread([named_of(*first) for first in firsts], harmonic),
        calibration=calibration(*zip(*scored, strict=True)) if scored else None,
    )


def accuracy(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    return share([true == said for true, said in pairs])


def share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def same_of(trace: Trace) -> tuple[int, int]:
    """Steps on the same side, of steps compared: what an interval of accuracy adds up."""
    pairs = trace.pairs()
    return sum(true == said for true, said in pairs), len(pairs)


def named_of(true: int | None, said: int | None) -> tuple[int, int, int, int]:
    """Wrong traces named exactly, wrong traces, right ones found without fault, right ones: what F1 adds up."""
    wrong = true is not None
    return int(wrong and true == said), int(wrong), int(not wrong and said is None), int(not wrong)


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def harmonic(sums):
    a, b = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    return 2 * a * b / (a + b)


def spread(units: Sequence[tuple[int, ...]], statistic) -> Interval | None:
    """A 95 % bootstrap over traces of a statistic of sums; None with fewer than five, or where it is undefined."""
    import numpy as np

    if len(units) < 5:
        return None
    even = np.full(len(units), 1 / len(units))
    times = np.random.default_rng(0).multinomial(len(units), even, size=DRAWS)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = statistic(times @ np.asarray(units, dtype=float))
    return middle(found[np.isfinite(found)])


def all_compared(opinions: Opinions, truth_name: str = PEOPLE) -> list[Comparison]:
    """Every machine source against the truth, and people too where the truth is a machine's or a file's."""
    truth = truth_of(opinions, truth_name)
    found = [compared(name, side_by_side(opinions, truth, name)) for name in opinions.machines if name != truth_name]
    if truth_name != PEOPLE and opinions.people:
        persons = truth_of(opinions)
        both = [Trace(opinions.steps[p], truth[p], persons[p]) for p in persons if p in truth]
        found.append(compared(PEOPLE, both))
    return found


@dataclass(frozen=True)
class Preview:
    """What a consensus of sources would keep, and how it compares with the truth; `apart` is each source alone on the
    same traces."""

    names: Sequence[str]
    steps: int  # all steps of the traces that at least one of the sources labeled
    agreed: int
    disagreed: int
    too_few: int
    together: Comparison
    apart: list[Comparison]

    @property
    def lost(self) -> int:
        return self.disagreed + self.too_few


def preview(opinions: Opinions, names: Sequence[str], truth_name: str = PEOPLE, least: int = 2) -> Preview:
    """How many steps a consensus of these sources loses, and what that does to its agreement with the truth."""
    truth, together, counts = truth_of(opinions, truth_name), [], {"agreed": 0, "disagreed": 0, "too_few": 0}
    shared: set[int] = set()
    for prompt, said in opinions.ratings.items():
        chosen = [said[name] for name in names if name in said]
        if not chosen:
            continue
        found = agreed(chosen, opinions.steps[prompt], least)
        counts = {key: counts[key] + found.cost[key] for key in counts}
        if prompt in truth:
            shared.add(prompt)
            together.append(Trace(opinions.steps[prompt], truth[prompt], found.ratings))
    apart = [
        compared(name, side_by_side(opinions, {p: truth[p] for p in shared}, name))
        for name in names
        if name != truth_name
    ]
    return Preview(names, sum(counts.values()), **counts, together=compared("consensus", together), apart=apart)
