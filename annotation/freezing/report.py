"""What a dataset looks like: lengths, which side is longer, contradictions, who and what the rows come from. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from annotation.freezing.conversion import Pair, contradictions

EXAMPLES = 50


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float] | None:
    """95 % score interval of a share (Wilson 1927).

    >>> [round(edge, 3) for edge in wilson(50, 100)]
    [0.404, 0.596]
    """
    if not of:
        return None
    share, shrink = hits / of, 1 + z * z / of
    middle, half = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - half) / shrink, (middle + half) / shrink


def doubling(counts: Counter) -> list[list[int]]:
    """[from, to, count] for bins that double in width, without gaps.

    >>> doubling(Counter({2: 5, 4: 1}))
    [[2, 3, 5], [4, 7, 0], [8, 15, 1]]
    """
    if not counts:
        return []
    return [[1 << b - 1 if b else 0, (1 << b) - 1, counts[b]] for b in range(min(counts), max(counts) + 1)]


class Report:
    """Fed one prompt at a time; `summary` is what a Dataset keeps."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.sizes: Counter = Counter()  # (chosen's, rejected's) lengths as bits of (characters, words)
        self.criteria, self.sources, self.labelers = Counter(), Counter(), Counter()
        self.examples: list[dict] = []

    def add(self, prompt: Any, pairs: Sequence[Pair], said: Iterable[Pair]) -> None:
        """`pairs` became rows; `said` is all that labelers said, before disagreement was settled."""
        lengths = {pk: len(text) for pk, text in prompt.texts.items()}
        bits = {pk: (lengths[pk].bit_length(), len(text.split()).bit_length()) for pk, text in prompt.texts.items()}
        self.sizes.update([(bits[pair.chosen], bits[pair.rejected]) for pair in pairs])
        longer = [lengths[pair.chosen] - lengths[pair.rejected] for pair in pairs]
        self.counts["unequal"] += len(longer) - longer.count(0)
        self.counts["longer_chosen"] += sum(more > 0 for more in longer)
        for pair, more in zip(pairs, longer, strict=True):
            if not more and prompt.texts[pair.chosen].strip() == prompt.texts[pair.rejected].strip():
                self.counts["identical"] += 1
        by_ranking = Counter([pair.ranking for pair in pairs])
        for ranking, rows in by_ranking.items():
            labeler, source = prompt.rankings[ranking]
            self.labelers[labeler] += rows
            self.sources[source] += rows
        self.counts["rows"] += len(pairs)
        self.counts["prompts"] += bool(pairs)
        self.counts["rankings"] += len(by_ranking)
        self.counts["duplicates"] += len(pairs) - len({pair[1:3] for pair in pairs})
        self.criteria[prompt.criterion] += len(pairs)
        if len(prompt.rankings) > 1:
            self.contradict(prompt.pk, contradictions(list(said)))

    def lengths(self) -> dict[str, Counter]:
        """How many sides have a length of so many bits."""
        found = {f"{side}_{unit}": Counter() for side in ("chosen", "rejected") for unit in ("chars", "words")}
        for (chosen, rejected), rows in self.sizes.items():
            for counter, bits in zip(found.values(), (*chosen, *rejected), strict=True):
                counter[bits] += rows
        return found

    def contradict(self, prompt_id: int, found: list[tuple[int, int]]) -> None:
        self.counts["contradictions"] += len(found)
        if found and len(self.examples) < EXAMPLES:
            self.examples.append({"prompt": prompt_id, "rankings": list(found[0]), "pairs": len(found)})

    def summary(self) -> dict[str, Any]:
        unequal, longer = self.counts["unequal"], self.counts["longer_chosen"]
        names = ("rows", "prompts", "rankings", "duplicates", "contradictions", "identical", "unequal", "longer_chosen")
        return {name: self.counts[name] for name in names} | {
            "longer_share": longer / unequal if unequal else None,
            "longer_interval": wilson(longer, unequal),
            "lengths": {name: doubling(counts) for name, counts in self.lengths().items()},
            "criteria": dict(self.criteria.most_common()),
            "sources": dict(self.sources.most_common()),
            "labelers": {str(key): count for key, count in self.labelers.most_common()},
            "examples": self.examples,
        }
