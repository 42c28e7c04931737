"""What a dataset of traces looks like: bad steps, places of first errors, sources, what was left out. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from annotation.freezing.report import EXAMPLES, doubling, wilson
from annotation.steps.values import Value, Voice, disagreement, first_bad

PLACES = 20  # first errors are counted step by step up to here


class TraceReport:
    """Fed one row at a time; `summary` is what a Dataset keeps."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.lengths = {"steps": Counter(), "words": Counter(), "words_a_step": Counter()}
        self.first_errors, self.left_out = Counter(), Counter()
        self.criteria, self.sources = Counter(), Counter()
        self.examples: list[dict] = []
        self.problems: set[int] = set()  # hashes, as below: so many texts would not be flat memory
        self.seen: set[int] = set()

    def trace(self, problem: str, criterion: str, steps: Sequence[str], labels: int) -> None:
        """A trace that became a row, from so many labels."""
        self.problems.add(hash(problem))
        self.criteria[criterion] += 1
        words = [len(step.split()) for step in steps]
        self.lengths["steps"][len(steps).bit_length()] += 1
        self.lengths["words"][sum(words).bit_length()] += 1
        self.lengths["words_a_step"].update(count.bit_length() for count in words)
        self.counts.update(traces=1, rankings=labels, steps=len(steps))
        self.repeated(problem, steps)

    def row(self, source: str) -> None:
        self.counts["rows"] += 1
        self.sources[source] += 1

    def repeated(self, problem: str, steps: Sequence[str]) -> None:
        """Solutions that differ in blanks alone."""
        mark = hash((problem, " ".join(" ".join(steps).split())))
        self.counts["duplicates"] += mark in self.seen
        self.seen.add(mark)

    def labeled(self, labels: Sequence[Value], hard: Sequence[bool | None]) -> None:
        known = len(labels) - labels.count(None)
        self.counts.update(labeled=known, bad=sum(value is False for value in hard))
        self.first_errors[first_bad(hard)] += 1

    def other(self, good: bool) -> None:
        self.counts.update(others=1, labeled=1, bad=not good)

    def outcome(self, right: bool) -> None:
        self.counts.update(labeled=1, bad=not right)

    def contradict(self, prompt: int, voices: Sequence[Voice], steps: int) -> None:
        found = disagreement(voices, steps)
        if found is None:
            return
        self.counts["contradictions"] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append({"prompt": prompt, "step": found[0], "sources": list(found[1:])})

    def leave_out(self, reason: str, count: int = 1) -> None:
        if count:
            self.left_out[reason] += count

    def summary(self) -> dict[str, Any]:
        names = ("rows", "traces", "rankings", "steps", "labeled", "bad", "others", "duplicates", "contradictions")
        labeled, bad = self.counts["labeled"], self.counts["bad"]
        return {name: self.counts[name] for name in names} | {
            "prompts": len(self.problems),
            "bad_share": bad / labeled if labeled else None,
            "bad_interval": wilson(bad, labeled),
            "without_error": self.first_errors[None],
            "first_errors": places(self.first_errors),
            "lengths": {name: doubling(counts) for name, counts in self.lengths.items()},
            "criteria": dict(self.criteria.most_common()),
            "sources": dict(self.sources.most_common()),
            "left_out": dict(self.left_out.most_common()),
            "examples": self.examples,
        }


def places(first_errors: Counter) -> list[list[int]]:
    """[from, to, count] by the number of the step, from 1; far ones together in bins that double.

    >>> places(Counter({0: 2, 2: 1, 30: 1, None: 7}))
    [[1, 1, 2], [2, 2, 0], [3, 3, 1], [21, 40, 1]]
    """
    found = Counter({place + 1: count for place, count in first_errors.items() if place is not None})
    near = [[n, n, found[n]] for n in range(1, max([n for n in found if n <= PLACES], default=0) + 1)]
    low, high, far = PLACES + 1, 2 * PLACES, []
    while any(n >= low for n in found):
        far.append([low, high, sum(count for n, count in found.items() if low <= n <= high)])
        found = Counter({n: count for n, count in found.items() if n > high})
        low, high = high + 1, 2 * high
    return near + far
