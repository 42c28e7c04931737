"""Problems of the proving ground, their one right solution, and demonstrations by somebody who slips. Pure.

A problem names a number and changes it step by step; its solution says every change on a line, then the answer:

    a = 37                                    b = 37 + 5 = 42
    b = a + 5                                 c = 42 * 2 = 84
    c = b * 2                                 Answer: 84
    c?

Every value has two digits. The demonstrations a policy learns from are made by a teacher who knows what to do but
forgets to carry or to borrow now and then, as children do. So a policy that learns them perfectly still fails, at any
step, in ways that repeat: where several slips are likely, most samples agree on a wrong answer. That leaves room for
verifiers, search and reinforcement learning, however small the model is.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase

LOWEST, HIGHEST = 10, 99
SEPARATOR = "\n"  # between the steps of a solution
SLIPS = {"+": 0.15, "-": 0.40, "*": 0.25}  # how often the teacher forgets what is to be carried or borrowed
Operation = tuple[str, int]


@dataclass(frozen=True)
class Problem:
    """A first value and what is done to it.

    >>> problem = Problem(37, (("+", 5), ("*", 2)))
    >>> problem.text
    'a = 37\\nb = a + 5\\nc = b * 2\\nc?'
    >>> problem.solution
    ['b = 37 + 5 = 42', 'c = 42 * 2 = 84', 'Answer: 84']
    """

    start: int
    operations: tuple[Operation, ...]

    @property
    def text(self) -> str:
        names = ascii_lowercase
        lines = [f"a = {self.start}"]
        lines += [f"{names[i + 1]} = {names[i]} {sign} {number}" for i, (sign, number) in enumerate(self.operations)]
        return "\n".join([*lines, f"{names[len(self.operations)]}?"])

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.text}]

    @property
    def values(self) -> list[int]:
        """The first value and what it is after each operation."""
        values = [self.start]
        for operation in self.operations:
            values.append(apply(values[-1], operation))
        return values

    @property
    def answer(self) -> int:
        return self.values[-1]

    @property
    def steps(self) -> int:
        return len(self.operations) + 1

    @property
    def solution(self) -> list[str]:
        return written(self, self.values)

    @property
    def hardness(self) -> int:
        """Operations that carry or borrow."""
        return sum(slip(value, op) is not None for value, op in zip(self.values, self.operations, strict=False))


def written(problem: Problem, values: list[int]) -> list[str]:
    """The steps of a solution in which each operation gave these values."""
    lines = [
        f"{name} = {before} {sign} {number} = {after}"
        for name, (sign, number), before, after in zip(
            ascii_lowercase[1:], problem.operations, values, values[1:], strict=False
        )
    ]
    return [*lines, f"Answer: {values[-1]}"]


def apply(value: int, operation: Operation) -> int:
    sign, number = operation
    return {"+": value + number, "-": value - number, "*": value * number}[sign]


def slip(value: int, operation: Operation) -> int | None:
    """The result without the carry or the borrow; None where there is none to forget.

    >>> slip(37, ("+", 5)), slip(42, ("-", 5)), slip(37, ("*", 2)), slip(31, ("+", 5))
    (32, 47, 64, None)
    """
    sign, number = operation
    tens, units = divmod(value, 10)
    right = apply(units, operation)
    if 0 <= right <= 9:
        return None
    return (tens * number if sign == "*" else tens) * 10 + right % 10


def within(value: int) -> bool:
    return LOWEST <= value <= HIGHEST


def draw_problem(chance: random.Random, operations: int) -> Problem:
    """A problem whose values all have two digits."""
    start = value = chance.randint(LOWEST, HIGHEST)
    chosen: list[Operation] = []
    for _ in range(operations):
        signs = [sign for sign, weight in (("+", 4), ("-", 4), ("*", 3)) for _ in range(weight)]
        possible: list[Operation] = []
        while not possible:
            sign = chance.choice(signs)
            numbers = (2, 3) if sign == "*" else range(2, 10)
            possible = [(sign, number) for number in numbers if within(apply(value, (sign, number)))]
        chosen.append(chance.choice(possible))
        value = apply(value, chosen[-1])
    return Problem(start, tuple(chosen))


def draw_problems(seed: int | str, shortest: int = 3, longest: int = 7) -> Iterator[Problem]:
    """Different problems without end, of `shortest` to `longest` operations; the same for the same seed."""
    chance = random.Random(seed)
    seen = set()
    while True:
        problem = draw_problem(chance, chance.randint(shortest, longest))
        if problem not in seen:
            seen.add(problem)
            yield problem


def demonstrate(problem: Problem, chance: random.Random) -> list[str]:
    """The teacher's solution: a slip is carried on in good faith, within two digits."""
    while True:
        values = [problem.start]
        for operation in problem.operations:
            slipped = slip(values[-1], operation)
            forgets = slipped is not None and chance.random() < SLIPS[operation[0]]
            values.append(slipped if forgets else apply(values[-1], operation))
        if all(map(within, values)):
            return written(problem, values)
