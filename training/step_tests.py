"""A verifier of steps with code: each program, as far as it has come, is run in the sandbox against the tests given.

A trace's metadata, or else its problem's, gives the tests, in the forms that `sandbox.cases` reads:
`step_tests`: {"2": tests} with steps counted from 1, or a list with an entry a step, null where there is none;
`tests`: of the whole solution, which judge its last step with code; `entry_point` and `setup` as for a reward of code.
"""

from collections.abc import Sequence
from typing import Any

from training.fences import blocks
from training.labeling.traces import Trace
from training.rewards.checks import case_of
from training.sandbox import Verdict, judge
from training.sandbox import runtime as sandbox
from training.sandbox.cases import PYTHON, BadTests, unpacked
from training.step_verifiers import Judged

SHAPE = 'step_tests should be {"2": tests}, with steps counted from 1, or a list with an entry a step'


def tested(trace: Trace) -> list[Judged]:
    """Good when all tests of a step pass, bad when one fails, silent where there are none or no code to run.

    Raises NoSandbox where programs cannot be run safely.
    """
    sandbox.require()
    bodies = code_of(trace.steps)
    found = [Judged(None)] * len(bodies)
    last = max((at for at, body in enumerate(bodies) if body), default=None)
    if last is None:
        return found
    try:
        tests = tests_of(trace.metadata, last)
    except BadTests as error:
        found[last] = Judged(None, str(error))
        return found
    for at in tests.keys() & {at for at, body in enumerate(bodies) if body}:
        found[at] = said_of(verdict(trace, bodies[: at + 1], tests[at]))
    return found


def code_of(steps: Sequence[str]) -> list[str]:
    """The Python of each step, "" where it has none. Blocks that name no language are Python if none says it is.

    >>> code_of(["First:\\n```python\\na = 1\\n```\\nIt prints:\\n```\\n1\\n```", "So 1."])
    ['a = 1\\n', '']
    """
    found = [[(name, body) for name, body in blocks(step) if name in PYTHON] for step in steps]
    named = any(name for several in found for name, _ in several)
    return ["".join(body for name, body in several if name or not named) for several in found]


def tests_of(metadata: dict[str, Any], last: int) -> dict[int, Any]:
    """Step, counted from 0, → its tests; those of the whole solution are for the last one unless it has its own.

    >>> tests_of({"step_tests": {"1": "assert a"}, "tests": "assert b"}, 2)
    {2: 'assert b', 0: 'assert a'}
    >>> tests_of({"step_tests": [None, "assert a"]}, 1)
    {1: 'assert a'}
    """
    given = metadata.get("step_tests") or {}
    given = unpacked(given) if isinstance(given, str) else given
    if isinstance(given, list):
        given = dict(enumerate(given, 1))
    if not isinstance(given, dict) or not all(str(number).isdecimal() for number in given):
        raise BadTests(SHAPE)
    whole = {last: metadata.get("tests") or metadata.get("test")}
    found = whole | {int(number) - 1: tests for number, tests in given.items() if tests}
    return {at: tests for at, tests in found.items() if tests}


def verdict(trace: Trace, bodies: Sequence[str], tests: Any) -> Verdict:
    """Of the last body after those before it; one that starts over and passes alone passes."""
    found = judged("".join(bodies), trace, tests)
    starts_over = found.passed is False and any(bodies[:-1])
    alone = judged(bodies[-1], trace, tests) if starts_over else found
    return alone if alone.passed else found


def judged(program: str, trace: Trace, tests: Any) -> Verdict:
    fence = "~~~" if "```" in program else "```"
    row = {**trace.metadata, "prompt": trace.messages, "tests": tests}
    return judge(**case_of(f"{fence}python\n{program}{fence}", row))


def said_of(found: Verdict) -> Judged:
    if found.passed is None:
        return Judged(None, found.why)
    return Judged(1 if found.passed else -1, "" if found.passed else found.why)
