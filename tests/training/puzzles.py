"""A synthetic policy and scorers whose truth is known: digits are appended until there are enough of them."""

import random
from collections.abc import Sequence

from training.search_draw import Ask, Move, Scored

LONG = 3  # steps of a finished solution


class Digits:
    """Each step is one of `digits`; a solution of three ends. The answer is their sum, right when no digit is odd."""

    def __init__(self, digits: int = 4, tokens: int = 5):
        self.digits, self.tokens, self.asks = digits, tokens, []

    def __call__(self, asks: Sequence[Ask]) -> list[list[Move]]:
        self.asks += asks
        return [[self.move(ask, way) for way in range(ask.count)] for ask in asks]

    def move(self, ask: Ask, way: int) -> Move:
        steps: list[str] = []
        while len(ask.steps) + len(steps) < LONG and (ask.whole or not steps):
            if (len(steps) + 1) * self.tokens > ask.max_tokens:
                return Move(steps, len(steps) * self.tokens, "cut")
            steps.append(str(self.digit((*ask.steps, *steps), 0 if ask.greedy else ask.seed + way)))
        finished = len(ask.steps) + len(steps) == LONG
        return Move(steps, len(steps) * self.tokens, "finished" if finished else "step")

    def digit(self, state: tuple[str, ...], seed: int) -> int:
        return random.Random(f"{state} {seed}").randrange(self.digits)


class EveryDigit(Digits):
    """Way i appends digit i: asked in enough ways, it shows every step there is."""

    def digit(self, state: tuple[str, ...], seed: int) -> int:
        return seed % self.digits


def right(steps: Sequence[str]) -> bool:
    return len(steps) == LONG and all(int(step) % 2 == 0 for step in steps)


def answer(text: str) -> str:
    return str(sum(map(int, text.split())))


def perfect(traces: Sequence[Sequence[str]]) -> list[Scored]:
    """Knows which steps are right: those that append an even digit."""
    return [Scored([float(int(step) % 2 == 0) for step in trace], tokens=len(trace)) for trace in traces]


def indifferent(traces: Sequence[Sequence[str]]) -> list[Scored]:
    return [Scored([0.5] * len(trace)) for trace in traces]


def outcome(traces: Sequence[Sequence[str]]) -> list[Scored]:
    """As an outcome reward model: one score, at the end."""
    return [Scored([None] * (len(trace) - 1) + [sum(map(int, trace)) / 10]) for trace in traces]
