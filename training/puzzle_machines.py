"""Puzzles as state machines: a start, a goal, the legal moves. Water jugs, river crossing, a tower of discs."""

import random
from collections.abc import Callable, Hashable, Iterator
from itertools import combinations
from typing import Any

Move = str
State = Hashable


class BadPuzzle(ValueError):
    """A puzzle that cannot be played as it is written; the text says why."""


class Machine:
    """A start, a goal and the legal moves between states. Subclasses say what they are; the rest is playing."""

    start: State

    def __init__(self, said: dict[str, Any]):
        raise NotImplementedError

    def solved(self, state: State) -> bool:
        raise NotImplementedError

    def moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """Every legal move and where it leads."""
        raise NotImplementedError

    def text(self) -> str:
        """The puzzle for a person or a model, with how to write a move."""
        raise NotImplementedError


class WaterJugs(Machine):
    """Jugs of known sizes, a tap and a drain: measure an amount."""

    def __init__(self, said: dict[str, Any]):
        self.sizes, self.goal = tuple(map(int, said["sizes"])), int(said["goal"])
        if not 1 <= len(self.sizes) <= 4 or max(self.sizes) > 50 or self.goal < 1:
            raise BadPuzzle("water_jugs: give one to four sizes up to 50, and a goal above 0")
        self.names = "ABCD"[: len(self.sizes)]
        self.start = (0,) * len(self.sizes)

    def solved(self, state: tuple[int, ...]) -> bool:
        return self.goal in state

    def moves(self, state: tuple[int, ...]) -> Iterator[tuple[Move, State]]:
        for at, name in enumerate(self.names):
            yield f"fill {name}", (*state[:at], self.sizes[at], *state[at + 1 :])
            yield f"empty {name}", (*state[:at], 0, *state[at + 1 :])
            for to, other in enumerate(self.names):
                if to != at:
                    poured = min(state[at], self.sizes[to] - state[to])
                    after = list(state)
                    after[at], after[to] = after[at] - poured, after[to] + poured
                    yield f"pour {name} {other}", tuple(after)

    def text(self) -> str:
        jugs = ", ".join(f"{name} holds {size} litres" for name, size in zip(self.names, self.sizes, strict=True))
        return (
            f"You have {len(self.sizes)} empty jugs: {jugs}. Measure exactly {self.goal} litres in one of them. "
            "Write one move a line: “fill A”, “empty A” or “pour A B”."
        )


class RiverCrossing(Machine):
    """Items that must not be left alone together, and a boat for a few of them."""

    def __init__(self, said: dict[str, Any]):
        self.items = tuple(sorted(map(str, said["items"])))
        self.feuds = [frozenset(map(str, pair)) for pair in said["feuds"]]
        self.seats = int(said.get("seats", 1))
        if not 1 <= len(self.items) <= 8 or not 1 <= self.seats <= 4:
            raise BadPuzzle("river_crossing: give one to eight items, and one to four seats beside yours")
        if any(len(pair) != 2 or not pair <= set(self.items) for pair in self.feuds):
            raise BadPuzzle("river_crossing: each feud names two of the items")
        self.start = (frozenset(self.items), True)  # what stands on the near bank, and whether the boat is there

    def solved(self, state: tuple[frozenset, bool]) -> bool:
        return not state[0] and not state[1]

    def moves(self, state: tuple[frozenset, bool]) -> Iterator[tuple[Move, State]]:
        near, here = state
        side = sorted(near if here else set(self.items) - near)
        for cargo in loads(side, self.seats):
            after = near - set(cargo) if here else near | set(cargo)
            left = after if here else frozenset(self.items) - after
            if not any(pair <= left for pair in self.feuds):
                yield f"take {' '.join(cargo)}" if cargo else "cross alone", (frozenset(after), not here)

    def text(self) -> str:
        feuds = ", ".join(" and ".join(sorted(pair)) for pair in self.feuds) or "none"
        return (
            f"You must bring {', '.join(self.items)} across a river. Your boat carries you and at most {self.seats} of "
            f"them. Without you these must not be left together on a bank: {feuds}. "
            "Write one crossing a line: “take X” (or “take X Y”) or “cross alone”."
        )


def loads(side: list[str], seats: int) -> Iterator[tuple[str, ...]]:
    for size in range(seats + 1):
        yield from combinations(side, size)


class Hanoi(Machine):
    """A tower of discs to be moved to another peg."""

    def __init__(self, said: dict[str, Any]):
        self.discs = int(said["discs"])
        if not 1 <= self.discs <= 8:
            raise BadPuzzle("hanoi: give one to eight discs")
        self.start = (tuple(range(self.discs, 0, -1)), (), ())

    def solved(self, state: tuple) -> bool:
        return len(state[2]) == self.discs

    def moves(self, state: tuple) -> Iterator[tuple[Move, State]]:
        for at, to in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
            if state[at] and (not state[to] or state[to][-1] > state[at][-1]):
                after = list(state)
                after[at], after[to] = state[at][:-1], (*state[to], state[at][-1])
                yield f"move {'ABC'[at]} {'ABC'[to]}", tuple(after)

    def text(self) -> str:
        return (
            f"A tower of {self.discs} discs stands on peg A, the largest at the bottom; pegs B and C are empty. "
            "Move it to peg C, one disc at a time, never a larger one onto a smaller. "
            "Write one move a line: “move A C”."
        )


MACHINES: dict[str, type[Machine]] = {"water_jugs": WaterJugs, "river_crossing": RiverCrossing, "hanoi": Hanoi}


def water_jugs(chance: random.Random) -> dict[str, Any]:
    sizes = chance.sample(range(2, 14), chance.choice([2, 2, 3]))
    return {"kind": "water_jugs", "sizes": sizes, "goal": chance.randint(1, max(sizes))}


def river_crossing(chance: random.Random) -> dict[str, Any]:
    names = ["wolf", "goat", "cabbage", "fox", "hen", "corn", "cat", "mouse"]
    items = chance.sample(names, chance.randint(2, 5))
    pairs = [[a, b] for at, a in enumerate(items) for b in items[at + 1 :]]
    feuds = chance.sample(pairs, min(len(pairs), chance.randint(1, len(items) - 1)))
    return {"kind": "river_crossing", "items": items, "feuds": feuds, "seats": chance.choice([1, 1, 2])}


def hanoi(chance: random.Random) -> dict[str, Any]:
    return {"kind": "hanoi", "discs": chance.randint(1, 5)}


MAKERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "water_jugs": water_jugs,
    "river_crossing": river_crossing,
    "hanoi": hanoi,
}
