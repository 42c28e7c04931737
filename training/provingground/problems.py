"""Problems of the proving ground, their one right solution, and demonstrations by somebody who slips. Pure.

A problem names a number and changes it step by step; its solution says every change on a line, then the answer:

    a = 7                                     b = 7 + 5 = 12
    b = a + 5                                 c = 12 * 2 = 24
    c = b * 2                                 Answer: 24
    c?

Values stay within 1 and 29. The demonstrations a policy learns from are made by a teacher who computes well and reads
carelessly: now and then a minus or a times becomes a plus. So a policy that learns them perfectly still fails, at any
step, in ways that repeat: where several misreadings are likely, most samples agree on a wrong answer. That leaves room
for verifiers, search and reinforcement learning, however small the model is.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

LOWEST, HIGHEST = 1, 29
SEPARATOR = "\n"  # between the steps of a solution
MISREAD = {"+": 0.0, "-": 0.3, "*": 0.55}  # how often the teacher takes a sign for a plus
Operation = tuple[str, int]


@dataclass(frozen=True)
class Problem:
    """A first value and what is done to it.

    >>> problem = Problem(7, (("+", 5), ("*", 2)))
    >>> problem.text
    'a = 7\\nb = a + 5\\nc = b * 2\\nc?'
    >>> problem.solution
    ['b = 7 + 5 = 12', 'c = 12 * 2 = 24', 'Answer: 24']
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
        """Signs that can be misread."""
        return sum(sign != "+" for sign, _ in self.operations)


def written(problem: Problem, values: Sequence[int], operations: Sequence[Operation] | None = None) -> list[str]:
    """The steps of a solution in which these operations, else the problem's own, gave these values."""
    lines = [
        f"{name} = {before} {sign} {number} = {after}"
        for name, (sign, number), before, after in zip(
            ascii_lowercase[1:], operations or problem.operations, values, values[1:], strict=False
        )
    ]
    return [*lines, f"Answer: {values[-1]}"]


def apply(value: int, operation: Operation) -> int:
    sign, number = operation
    return {"+": value + number, "-": value - number, "*": value * number}[sign]


def within(value: int) -> bool:
    return LOWEST <= value <= HIGHEST


def draw_problem(chance: random.Random, operations: int) -> Problem:
    """A problem whose values all stay within bounds."""
    start = value = chance.randint(LOWEST, HIGHEST)
    chosen: list[Operation] = []
    for _ in range(operations):
        signs = "++++----**"
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
    """The teacher's solution: what was misread is carried on in good faith, within the same bounds."""
    while True:
        read = [("+" if chance.random() < MISREAD[sign] else sign, number) for sign, number in problem.operations]
        values = [problem.start]
        for operation in read:
            values.append(apply(values[-1], operation))
        if all(map(within, values)):
            return written(problem, values, read)
