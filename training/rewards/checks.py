"""Rewards that check a completion against its row: mathematics, text, code, puzzles, patterns, schemas, tags."""

import json
import re
from typing import Any

from training import answers, puzzles, verifiers
from training.rewards.answering import answer_in, as_written, json_in
from training.rewards.patterns import CHECKER
from training.rewards.rowwise import RowWise, Said, Together, text_of
from training.sandbox import Limits, judge_all
from training.sandbox import runtime as sandbox
from training.sandbox.asserting import runnable
from training.sandbox.cases import defines

NO_REFERENCE = "The row has no reference."


def reference_of(row: dict[str, Any]) -> str:
    value = row.get("reference")
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def math(argument: str = "", marked: bool = False) -> RowWise:
    """The reference's value, with what is wrong told apart: no answer marked, or another value."""

    def one(completion: str, row: dict[str, Any]) -> Said:
        said = answer_in(completion)
        tagged = said != completion.strip() and "<answer>" in completion.lower()
        found = answers.final_answer(said) or (said if tagged else None)
        right = verifiers.math(said if found is None or not tagged else rf"\boxed{{{found}}}", reference_of(row))
        if right is None:
            return None, NO_REFERENCE
        if found is None and marked:
            return 0.0, "Format: no answer is marked (boxed, ####, “the answer is”, <answer>)."
        return float(right), reason(right, found)

    return RowWise(one)


def reason(right: bool, found: str | None) -> str:
    if found is None:
        return "Right, by the last value named; no answer is marked." if right else "Format: no answer is marked."
    return f"Value: {found[:80]} is right." if right else f"Value: {found[:80]} is not the reference's."


def verifier(name: str) -> Any:
    """A verifier by name as a reward."""

    def make(argument: str = "") -> RowWise:
        def one(completion: str, row: dict[str, Any]) -> Said:
            right = verifiers.VERIFIERS[name](answer_in(completion), reference_of(row))
            if right is None:
                return None, NO_REFERENCE
            return float(right), "The same as the reference." if right else "Not the same as the reference."

        return RowWise(one)

    return make


def regex(argument: str = "", pattern: str = "", whole: bool = False, ignore_case: bool = False) -> RowWise:
    """The row's own `pattern` goes before the option."""

    def one(completion: str, row: dict[str, Any]) -> Said:
        wanted = row.get("pattern") or pattern
        if not wanted:
            return None, "There is no pattern: neither the reward's option nor the row's column."
        found = CHECKER.regex(str(wanted), completion, whole, ignore_case)
        return float(not found), found or "The pattern matches."

    return RowWise(one)


def json_schema(argument: str = "", schema: str = "") -> RowWise:
    """The row's own `schema` goes before the option; without either, any JSON will do."""

    def one(completion: str, row: dict[str, Any]) -> Said:
        wanted = row.get("schema") or schema or {}
        text = wanted if isinstance(wanted, str) else json.dumps(wanted)
        found = CHECKER.schema(text, json_in(completion))
        return float(not found), found or "It is JSON that fits the schema."

    return RowWise(one)


def tags(argument: str = "", think: str = "think", answer: str = "answer") -> RowWise:
    """Each tag once, in order, and nothing but blanks outside them; with answer="" the answer stands untagged."""
    names = [name for name in (think, answer) if name]
    body = r"\s*".join(rf"<{re.escape(name)}>(?P<part{at}>.+?)</{re.escape(name)}>" for at, name in enumerate(names))
    shape = re.compile(rf"\s*{body}\s*{'' if answer else r'(?P<rest>.*)'}", re.S)

    def one(completion: str, row: dict[str, Any]) -> Said:
        for name in names:
            opened, closed = completion.count(f"<{name}>"), completion.count(f"</{name}>")
            if (opened, closed) != (1, 1):
                return 0.0, f"<{name}> should stand once and be closed once; it is {opened} and {closed} times there."
        found = shape.fullmatch(completion)
        if found is None or not all(part.strip() for part in found.groups()):
            return 0.0, f"It should be {' then '.join(f'<{n}>…</{n}>' for n in names)} with text in each, and no more."
        return 1.0, "The tags are in order."

    return RowWise(one)


def code(argument: str = "", partial: bool = False, seconds: float = 6.0, memory: int = 512) -> Together:
    """Unit tests in a sandbox; refuses to be made where none works. The row's `tests` says how to judge."""
    sandbox.require()
    limits = Limits(seconds=seconds, memory=memory << 20)

    def many(completions: list[str], rows: list[dict[str, Any]]) -> list[Said]:
        work = [case_of(completion, row) for completion, row in zip(completions, rows, strict=True)]
        verdicts = iter(judge_all([case for case in work if case], limits))
        return [said_of(next(verdicts), partial) if case else (None, "The row has no tests.") for case in work]

    return Together(many)


def case_of(completion: str, row: dict[str, Any]) -> dict[str, Any] | None:
    tests = row.get("tests") or row.get("test")
    if not tests:
        return None
    entry_point = row.get("entry_point") or ""
    words = {"entry_point": entry_point, "setup": row.get("setup") or begun_in(row["prompt"], entry_point)}
    return {"completion": as_written(completion), "tests": tests, **words}


def begun_in(prompt: Any, entry_point: str) -> str:
    """A prompt that is itself the beginning of the program, as HumanEval's are; "" for any other."""
    asked = text_of(prompt)
    return asked if entry_point and defines(asked, entry_point) and runnable(asked) else ""


def said_of(verdict: Any, partial: bool) -> Said:
    if verdict.passed is None:
        return None, verdict.why
    of = f" {verdict.right} of {verdict.tests} tests passed." if verdict.tests > 1 else ""
    return (verdict.share if partial else float(verdict.passed)), verdict.why + of


def logic(argument: str = "") -> RowWise:
    """The row's `puzzle` says which rules hold; its answer is checked by playing it."""

    def one(completion: str, row: dict[str, Any]) -> Said:
        puzzle = row.get("puzzle")
        if not puzzle:
            return None, "The row has no puzzle."
        try:
            return puzzles.check(puzzle, answer_in(completion))
        except puzzles.BadPuzzle as error:
            return None, str(error)

    return RowWise(one)
