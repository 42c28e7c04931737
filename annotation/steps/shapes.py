"""The shapes reasoning traces come in: each reads a row as problems with at most one solution in steps. No database."""

import re
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from annotation.importing.cells import BadRow, Completion, as_completion, as_prompt, unpacked
from annotation.importing.items import OPTIONAL, Item, Said, Shape, Trace, columns
from annotation.steps import lines, mathshepherd, prm800k, valuetrees
from annotation.steps.marks import STEP_LIMIT, as_labels, as_mistake, as_steps
from annotation.steps.splitting import split

SOLUTIONS = 100  # of one row
HASHES = re.compile(r"####[^\S\n]*(\S[^\n]*)\s*$")


def problems(row: dict, mapping: dict) -> Iterator[Item]:
    """Problems alone; where a worked answer ends in GSM8K's “#### 42”, the reference is what stands there."""
    facts = columns(row, mapping)
    if worked := HASHES.search(facts.get("reference", "")):
        facts["reference"] = worked.group(1).strip()
    yield Item(as_prompt(row.get(mapping["prompt"])), **facts)


def solutions(row: dict, mapping: dict) -> Iterator[Item]:
    """Whole solutions, cut by the rule of the mapping; several of one row are traces of one problem."""
    messages, facts = as_prompt(row.get(mapping["prompt"])), facts_of(row, mapping)
    for number, (value, source) in enumerate(zip(*whole(row, mapping["solution"]), strict=False), 1):
        answer = as_completion(value, number, source or author(row, mapping))
        steps = split(answer.text, mapping.get("rule", "blank_line"))
        if len(steps) > STEP_LIMIT:
            raise BadRow(f"solution {number} has {len(steps):,} steps this way; the most is {STEP_LIMIT:,}")
        known = facts if facts.get("reference") else facts | gold(answer.text)
        yield Item(messages, [judged(answer, row, mapping)], trace=Trace(steps), **known)


def whole(row: dict, where: str | list[str]) -> tuple[list, Iterator[str] | list[str]]:
    """The solutions of a row, in one column (alone or a list) or in several, and who wrote them."""
    if isinstance(where, list):
        names = [name for name in where if row.get(name) not in (None, "")]
        return [row[name] for name in names], names
    value = unpacked(row.get(where))
    values = value if isinstance(value, list) and not is_chat(value) else [value]
    if not values:
        raise BadRow(f"{where} is an empty list; it should hold solutions")
    if len(values) > SOLUTIONS:
        raise BadRow(f"{len(values)} solutions; the most is {SOLUTIONS}")
    return values, repeat("")


def is_chat(value: list) -> bool:
    return bool(value) and isinstance(value[0], dict) and ("role" in value[0] or "from" in value[0])


def gold(solution: str) -> dict[str, str]:
    """GSM8K's worked answers are right: what they end in is the reference."""
    found = HASHES.search(solution)
    return {"reference": found.group(1).strip()} if found else {}


def stepwise(row: dict, mapping: dict) -> Iterator[Item]:
    """TRL's rows: the steps are `completions`, with a label each."""
    yield from traces(row, {**mapping, "steps": mapping["completions"]})


def outcome(row: dict, mapping: dict) -> Iterator[Item]:
    """A solution and whether it is right; one that is not in steps yet is cut by the rule."""
    value = unpacked(row.get(mapping["completions"]))
    if isinstance(value, str):
        yield from solutions(row, {**mapping, "solution": mapping["completions"]})
    else:
        yield from traces(row, {**mapping, "steps": mapping["completions"]})


def traces(row: dict, mapping: dict) -> Iterator[Item]:
    """Steps with labels, with the index of the first mistake, or alone; and the lines of an export of ours."""
    if lines.is_ours(row):
        yield lines.read(row, mapping)
        return
    steps = as_steps(row.get(mapping["steps"]), str(mapping["steps"]))
    answer = Completion("\n\n".join(steps), author(row, mapping))
    trace = Trace(steps, said_of(row, mapping, len(steps)))
    messages = as_prompt(row.get(mapping["prompt"]))
    yield Item(messages, [judged(answer, row, mapping)], trace=trace, **facts_of(row, mapping))


def said_of(row: dict, mapping: dict, steps: int) -> list[Said]:
    labels, mistake = (mapping.get(name) for name in ("labels", "mistake"))
    if labels and row.get(labels) not in (None, ""):
        return [as_labels(row[labels], steps, mapping.get("scale", "shares"))]
    if mistake and mistake in row and row[mistake] != "":
        return [as_mistake(row[mistake], steps)]
    return []


def author(row: dict, mapping: dict) -> str:
    source = row.get(mapping["source"]) if mapping.get("source") else None
    return source[:200] if isinstance(source, str) else ""


def judged(answer: Completion, row: dict, mapping: dict) -> Completion:
    """The solution with what the row says of its outcome."""
    value = row.get(mapping["correct"]) if mapping.get("correct") else None
    if value is None or value == "":
        return answer
    said = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
    if said is None:
        raise BadRow(f"{mapping['correct']} is {value!r:.40}; it should be true or false")
    return answer._replace(metadata={**(answer.metadata or {}), "correct": said})


def facts_of(row: dict, mapping: dict) -> dict[str, Any]:
    facts = columns(row, mapping)
    if found := HASHES.search(facts.get("reference", "")):
        facts["reference"] = found.group(1).strip()
    return facts


MORE = ("labels", "mistake", "correct", "source", *OPTIONAL)
STEPS = {
    "traces": Shape("Solutions in steps, with labels or without", traces, ("prompt", "steps"), MORE, "steps"),
    "stepwise": Shape(
        "Stepwise rows, as TRL takes them (prompt, completions, labels)",
        stepwise,
        ("prompt", "completions", "labels"),
        ("source", *OPTIONAL),
        "steps",
    ),
    "outcome": Shape(
        "Outcome rows (prompt, completions, label)",
        outcome,
        ("prompt", "completions", "correct"),
        ("source", *OPTIONAL),
        "steps",
    ),
    "prm800k": Shape("PRM800K", prm800k.read, (), OPTIONAL, "steps"),
    "math_shepherd": Shape("Math-Shepherd (input, label)", mathshepherd.read, (), OPTIONAL, "steps"),
    "value_tree": Shape("Monte-Carlo values of prefixes, as rows or trees", valuetrees.read, (), OPTIONAL, "steps"),
    "solutions": Shape(
        "Problems with whole solutions", solutions, ("prompt", "solution"), ("correct", "source", *OPTIONAL), "steps"
    ),
    "problems": Shape("Problems alone", problems, ("prompt",), OPTIONAL, "steps"),
}
