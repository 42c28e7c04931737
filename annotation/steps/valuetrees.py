"""Monte-Carlo values of solution prefixes, as rows of prefixes or as a tree: each way to a leaf is a trace. Pure."""

import math
from collections.abc import Iterator
from typing import Any

from annotation.importing.cells import BadRow, Completion, as_prompt, as_text, kind_of
from annotation.importing.items import Item, Said, Trace, columns
from annotation.steps.marks import as_steps

DEPTH = 500
Way = list[tuple[str, float]]  # steps with their values


def read(row: dict, mapping: dict) -> Iterator[Item]:
    """A trace for every leaf; a value is the share of completions from there that reached the answer.

    Hard ratings as in Math-Shepherd: a step is good when any completion from it did.
    """
    question, values = as_text(row.get("question"), "question"), row.get("reasoning_steps")
    if isinstance(values, dict):
        root, ways = value_of(values, "the root"), list(tree_ways(values))
    elif isinstance(values, list) and values:
        root, ways = prefix_ways(question, values)
    else:
        raise BadRow(f"reasoning_steps is {kind_of(values)}; it should be a tree, or a list of prefixes with values")
    facts = columns(row, mapping)
    facts["metadata"] = facts.get("metadata", {}) | {"mc_value": root}
    if row.get("final_answer") not in (None, ""):
        facts.setdefault("reference", str(row["final_answer"]))
    for way in ways:
        steps = as_steps([text for text, _ in way], "a way through the tree")
        scores = [score for _, score in way]
        said = Said([1 if score > 0 else -1 for score in scores], scores)
        yield Item(as_prompt(question), [Completion("\n\n".join(steps))], trace=Trace(steps, [said]), **facts)
    if not ways:
        yield Item(as_prompt(question), **facts)


def value_of(node: Any, what: str) -> float:
    value = node.get("mc_value") if isinstance(node, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and 0 <= value <= 1):
        raise BadRow(f"the mc_value of {what} is {value!r:.40}; it should be a number from 0 to 1")
    return float(value)


def tree_ways(root: dict) -> Iterator[Way]:
    todo: list[tuple[dict, Way]] = [(child, []) for child in reversed(children(root))]
    while todo:
        node, before = todo.pop()
        value = value_of(node, f"a step at depth {len(before) + 1}")
        way = [*before, (as_text(node.get("text"), "a step").strip(), value)]
        if len(way) > DEPTH:
            raise BadRow(f"the tree is deeper than {DEPTH} steps")
        below = children(node)
        todo += [(child, way) for child in reversed(below)]
        if not below:
            yield way


def children(node: Any) -> list:
    below = node.get("children") if isinstance(node, dict) else None
    if below is not None and not isinstance(below, list):
        raise BadRow(f"children is {kind_of(below)}; it should be a list of steps")
    return below or []


def prefix_ways(question: str, rows: list) -> tuple[float, list[Way]]:
    """A prefix goes on from the longest other one it begins with; those no other goes on from are the leaves.

    >>> prefix_ways("2?", [{"solution_prefix": p, "mc_value": v} for p, v in (("2?", 0.5), ("2?\\n\\nIt is", 1))])
    (0.5, [[('It is', 1.0)]])
    """
    values = {as_text(row.get("solution_prefix"), "a prefix"): value_of(row, "a prefix") for row in map(checked, rows)}
    if not all(prefix.startswith(question) for prefix in values):
        raise BadRow("a solution_prefix does not begin with the question")
    before, above = {}, [question]
    for prefix in sorted(values):  # in this order what a prefix goes on from stands before it
        while len(above) > 1 and not goes_on(prefix, above[-1]):
            above.pop()
        if prefix != question:
            before[prefix] = above[-1]
            above.append(prefix)
    leaves = [prefix for prefix in values if prefix != question and prefix not in set(before.values())]
    return values.get(question, 0.0), [way_to(leaf, before, values) for leaf in leaves]


def checked(row: Any) -> dict:
    if not isinstance(row, dict):
        raise BadRow(f"a reasoning step is {kind_of(row)}; it should be an object with solution_prefix and mc_value")
    return row


def goes_on(prefix: str, other: str) -> bool:
    return prefix.startswith(other) and prefix[len(other) : len(other) + 1].isspace()


def way_to(leaf: str, before: dict[str, str], values: dict[str, float]) -> Way:
    way = []
    while leaf in before:
        way.append((leaf[len(before[leaf]) :].strip(), values[leaf]))
        leaf = before[leaf]
    return way[::-1]
