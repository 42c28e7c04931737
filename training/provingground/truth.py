"""What is true of every step of a solution to a problem of the proving ground. Pure; exact, never a guess.

A step is *right* when it is the next step of the right solution: the variable whose turn it is, the operation that
the problem names, the true value it is done to, the true result; the last step is right when it states the true answer.
The *first error* is the first step that is not right. A step after it may be *inherited*: faultless work on a wrong
value. It is bad all the same, because the solution has left the way to the answer: a good label means "every step up
to here is right", which is what Monte-Carlo estimates, process reward models and search are about. So labels never go
back to good. A chain of values that is wrong once comes right only by a second error: where the answer is right all the
same, two wrongs made a right.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.provingground.problems import SEPARATOR, Problem, apply

STEP = re.compile(r"([a-z]) = (\d+) ([-+*]) (\d+) = (\d+)")
ANSWER = re.compile(r"Answer: (\d+)")


@dataclass(frozen=True)
class Truth:
    """Labels of a solution's steps. `kinds` says of each: right, slip, misread, inherited or malformed."""

    kinds: list[str]
    complete: bool  # the last step states an answer
    solved: bool  # and it is the right one

    @property
    def first_error(self) -> int | None:
        return next((at for at, kind in enumerate(self.kinds) if kind != "right"), None)

    @property
    def labels(self) -> list[bool]:
        """For each step: is every step up to here right?"""
        end = self.first_error
        return [end is None or at < end for at in range(len(self.kinds))]


def split(text: str) -> list[str]:
    """The steps of a completion: its lines, without empty ones."""
    return [line.strip() for line in text.split(SEPARATOR) if line.strip()]


def judge(problem: Problem, steps: Sequence[str]) -> Truth:
    """The truth about every step.

    >>> problem = Problem(37, (("+", 5), ("-", 8)))
    >>> judge(problem, ["b = 37 + 5 = 32", "c = 32 - 8 = 24", "Answer: 24"])
    Truth(kinds=['slip', 'inherited', 'inherited'], complete=True, solved=False)
    >>> judge(problem, ["b = 37 + 5 = 42", "c = 42 - 6 = 36", "Answer: 34"]).kinds
    ['right', 'misread', 'misread']
    """
    right, kinds, stated = problem.solution, [], problem.start
    for at, step in enumerate(steps):
        kind, stated = look_at(problem, at, step, stated)
        strayed = any(earlier != "right" for earlier in kinds)
        kinds.append("inherited" if kind == "right" and strayed else kind)
        if kind == "right" and not strayed and (at >= len(right) or step != right[at]):
            kinds[-1] = "malformed"  # such as 07 for 7
    said = answer_of(steps)
    return Truth(kinds, complete=said is not None, solved=said == problem.answer)


def look_at(problem: Problem, at: int, step: str, stated: int) -> tuple[str, int]:
    """What a step does, given the value stated before it, and the value it states."""
    if found := ANSWER.fullmatch(step):
        said = int(found[1])
        return ("right" if at == len(problem.operations) and said == stated else "misread"), said
    found = STEP.fullmatch(step)
    if not found:
        return "malformed", stated
    name, before, sign, number, after = found[1], int(found[2]), found[3], int(found[4]), int(found[5])
    turn = at < len(problem.operations) and name == chr(ord("b") + at)
    if not turn or before != stated or (sign, number) != problem.operations[at]:
        return "misread", after
    return ("right" if apply(before, (sign, number)) == after else "slip"), after


def answer_of(steps: Sequence[str]) -> int | None:
    """The answer a solution ends in; None where it states none."""
    found = ANSWER.fullmatch(steps[-1]) if steps else None
    return int(found[1]) if found else None
