"""Run a program against its tests, and compare outside: what it says is believed of nothing but its own values."""

import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from training.recipes.machine import cores
from training.sandbox import asserting
from training.sandbox.cases import BadTests, Call, Run, cases_of, source_of
from training.sandbox.cell import Cell, Limits, Stopped
from training.sandbox.comparing import same
from training.sandbox.runtime import require

USUAL = Limits()


class Verdict(NamedTuple):
    """Whether the program passed all its tests; None when the tests themselves cannot judge."""

    passed: bool | None
    why: str
    right: int = 0
    tests: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float | None:
        return None if self.passed is None else self.right / self.tests if self.tests else float(self.passed)


def judge(completion: str, tests: Any, entry_point: str = "", setup: str = "", limits: Limits = USUAL) -> Verdict:
    """Raises NoSandbox where programs cannot be run safely, and NotStarted when a sandbox could not begin."""
    require()
    begun = time.monotonic()
    try:
        cases = cases_of(tests, entry_point)
    except BadTests as error:
        return Verdict(None, str(error))
    source = source_of(completion, setup, entry_point)
    if isinstance(cases, str):
        verdict = by_asserts(source, cases, entry_point, setup, limits)
    else:
        verdict = by_calls(source, cases, limits) if isinstance(cases[0], Call) else by_runs(source, cases, limits)
    return verdict._replace(seconds=time.monotonic() - begun)


def judge_all(work: Iterable[dict[str, Any]], limits: Limits = USUAL) -> list[Verdict]:
    """Several at a time, one for each core; `work` holds what `judge` takes, by name."""
    require()
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda each: judge(**each, limits=limits), work))


def by_calls(source: str, cases: list[Call], limits: Limits) -> Verdict:
    """Every call in one process; what it returns is compared here, where alone the expected values are."""
    right, why = 0, ""
    with Cell("candidate", limits, time.monotonic() + limits.seconds) as cell:
        try:
            load(cell, source)
            for case in cases:
                wrong = called(cell, case)
                right, why = right + (not wrong), why or wrong
        except Stopped as error:
            why = why or f"The program failed: {error}."
    passed = right == len(cases)
    return Verdict(passed, "All tests passed." if passed else why, right, len(cases))


def load(cell: Cell, source: str) -> None:
    cell.begin({"source": source})
    if "error" in (said := cell.receive()):
        raise Stopped(text_of(said))


def called(cell: Cell, case: Call) -> str:
    """ "" when the call returned what it should, else what is wrong."""
    cell.send({"do": "call", "of": case.function, "args": case.args, "kwargs": case.kwargs})
    said = cell.receive()
    if "error" in said:
        return f"{case.text} raised {text_of(said)}."
    if "value" in said and same(said["value"], case.expected):
        return ""
    return f"{case.text} returned another value than expected."


def text_of(said: dict) -> str:
    error = said["error"]
    return str(error[1])[:300] if isinstance(error, list) and len(error) == 2 else "an error"


def by_runs(source: str, cases: list[Run], limits: Limits) -> Verdict:
    """A fresh process an input; all must end in order and print the expected lines, each of them and no more."""
    right, why = 0, ""
    for number, case in enumerate(cases, 1):
        try:
            wrong = printed_otherwise(source, case, limits)
        except Stopped as error:
            wrong = f"the program failed: {error}"
        right, why = right + (not wrong), why or (wrong and f"On input {number} {wrong}.")
    passed = right == len(cases)
    return Verdict(passed, "All tests passed." if passed else why, right, len(cases))


def printed_otherwise(source: str, case: Run, limits: Limits) -> str:
    with Cell("script", limits, time.monotonic() + limits.seconds) as cell:
        cell.begin_script(source)
        cell.write(case.stdin.encode())
        cell.process.stdin.close()
        said = cell.rest()
        if code := cell.exit_code():
            return f"the program ended with exit code {code}"
    return "" if lines(said.decode(errors="replace")) == lines(case.stdout) else "the program printed something else"


def lines(text: str) -> list[str]:
    """Lines without blanks at their end, and without empty lines at the end of all."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def by_asserts(source: str, tests: str, entry_point: str, setup: str, limits: Limits) -> Verdict:
    """Tests and program in a sandbox each. Calls and plain values pass between them through here, and nothing else."""
    deadline, nonce = time.monotonic() + limits.seconds, secrets.token_hex(16)
    job = asserting.job(tests, setup, entry_point) | {"nonce": nonce}
    with Cell("candidate", limits, deadline) as candidate, Cell("asserts", limits, deadline) as asserts:
        asserts.begin(job)
        try:
            load(candidate, source)
        except Stopped as error:
            return unfit(asserts) or Verdict(False, f"The program failed: {error}.", 0, 1)
        return relay(asserts, candidate, nonce)


def unfit(asserts: Cell) -> Verdict | None:
    """What the tests have against themselves, where that shows before they ask anything."""
    asserts.deadline += 1  # a program that took all the time must not hide it
    try:
        said = asserts.receive()
    except Stopped:
        return None
    return ended(said, 0, "") if "unfit" in said else None


def relay(asserts: Cell, candidate: Cell, nonce: str) -> Verdict:
    """Carry questions one way and answers the other until the tests are through."""
    asked = 0
    while True:
        try:
            said = asserts.receive()
        except Stopped as error:
            return Verdict(False, f"The tests did not end: {error}.", 0, 1)
        if "do" not in said:
            return ended(said, asked, nonce)
        asked += 1
        try:
            candidate.send(said)
            asserts.send(candidate.receive())
        except Stopped as error:
            return Verdict(False, f"The program failed: {error}.", 0, 1)


def ended(said: dict, asked: int, nonce: str) -> Verdict:
    if "unfit" in said:
        return Verdict(None, f"The tests do not fit: {said['unfit']}.")
    if said.get("passed") != nonce:
        return Verdict(False, f"A test failed: {said.get('failed', 'no verdict')}.", 0, 1)
    if not asked:
        return Verdict(None, "The tests never ask the program anything.")
    return Verdict(True, "All tests passed.", 1, 1)
