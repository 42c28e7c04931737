"""Rows of tokens as a tree of what they share: a prompt stands in it once, however many completions follow. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

LEAST = 16  # tokens worth sharing: a branch costs a call of attention in every layer


@dataclass(frozen=True)
class Segment:
    """Tokens [start, end) of the tree, which stand behind those of its ancestors, the root first."""

    start: int
    end: int
    before: tuple[tuple[int, int], ...] = ()  # the ancestors' [start, end)

    @property
    def depth(self) -> int:
        """Tokens before it in its row."""
        return sum(end - start for start, end in self.before)


@dataclass
class Tree:
    """Every token once, `places[row]` says where each token of a row stands.

    >>> tree = Tree.of([[1, 2, 3, 4], [1, 2, 3, 5]], least=2)
    >>> tree.tokens, tree.positions, tree.places
    ([1, 2, 3, 4, 5], [0, 1, 2, 3, 3], [[0, 1, 2, 3], [0, 1, 2, 4]])
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # of each token in its row
    segments: list[Segment] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)

    @property
    def scores(self) -> int:
        """Pairs of a token and one that it sees, those ahead of it in its line counted."""
        return sum((line.end - line.start) * (line.depth + line.end - line.start) for line in self.lines)

    @cached_property
    def lines(self) -> list[Segment]:
        """The segments, each in one with what goes on directly behind it.

        >>> [(line.start, line.end, line.before) for line in Tree.of([[1, 2, 3], [1, 2, 4]], least=2).lines]
        [(0, 3, ()), (3, 4, ((0, 2),))]
        """
        found: list[Segment] = []
        for one, last in zip(self.segments, [None, *self.segments], strict=False):
            if last and one.before[-1:] == ((last.start, last.end),):
                found[-1] = replace(found[-1], end=one.end)
            else:
                found.append(replace(one, before=merged(one.before)))
        return found

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], least: int = LEAST) -> Tree:
        """Share every common beginning of at least `least` tokens, and rows that are the same."""
        tree = cls(places=[[] for _ in rows])
        tree.branch(rows, sorted(range(len(rows)), key=lambda row: rows[row]), 0, (), least)
        return tree

    def branch(
        self, rows: Sequence[Sequence[int]], which: list[int], at: int, before: tuple[tuple[int, int], ...], least: int
    ) -> None:
        """Hang these rows, which are sorted and agree on everything before `at`, behind `before`."""
        for _, same in groupby(which, key=lambda row: tuple(rows[row][at : at + least])):
            together = list(same)
            first, last = rows[together[0]], rows[together[-1]]
            end = at + agree(first[at:], last[at:])  # of sorted rows, the outermost differ first
            if end == at:
                continue
            span = self.add(first[at:end], at, before)
            for row in together:
                self.places[row] += range(*span)
            longer = [row for row in together if len(rows[row]) > end]
            self.branch(rows, longer, end, (*before, span), least)

    def add(self, tokens: Sequence[int], at: int, before: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        span = len(self.tokens), len(self.tokens) + len(tokens)
        self.tokens += tokens
        self.positions += range(at, at + len(tokens))
        self.segments.append(Segment(*span, before))
        return span


def merged(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """
    >>> merged([(0, 2), (2, 5), (7, 8)])
    ((0, 5), (7, 8))
    """
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return tuple(found)


def agree(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows have in common from the start."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
