"""The shapes preference data comes in: each reads a row as prompts, completions and rankings. No database."""

import re
from collections.abc import Iterator
from itertools import count, repeat
from typing import Any

from annotation.importing.cells import (
    BadRow,
    Completion,
    as_completion,
    as_message,
    as_messages,
    as_prompt,
    as_text,
    kind_of,
    unpacked,
)
from annotation.importing.items import OPTIONAL, REWARD_COLUMNS, Item, Shape, columns
from annotation.steps.shapes import STEPS

COMPLETION_LIMIT = 50


def prompts_alone(row: dict, mapping: dict) -> Iterator[Item]:
    """What rewards read beside the reference (tests, puzzles) is kept under its own name."""
    found = columns(row, mapping)
    beside = {name: row[name] for name in REWARD_COLUMNS if row.get(name) not in (None, "")}
    if row.get("test") and mapping["prompt"] != "test":  # HumanEval's name for them
        beside.setdefault("tests", row["test"])
    if beside:
        found["metadata"] = beside | found.get("metadata", {})
    yield Item(as_prompt(row.get(mapping["prompt"])), **found)


def prompt_with_completions(row: dict, mapping: dict) -> Iterator[Item]:
    where = mapping["completions"]
    if isinstance(where, list):
        sources = [column for column in where if row.get(column) not in (None, "")]
        values = [row[column] for column in sources]
    else:
        values = unpacked(row.get(where))
        if not isinstance(values, list):
            raise BadRow(f"{where} is {kind_of(values)}; it should be a list of completions")
        sources = repeat("")
    if len(values) > COMPLETION_LIMIT:
        raise BadRow(f"{len(values)} completions; the most is {COMPLETION_LIMIT}")
    completions = list(map(as_completion, values, count(1), sources))
    yield Item(as_prompt(row.get(mapping["prompt"])), completions, ranks_in(row, values), **columns(row, mapping))


def ranks_in(row: dict, values: list) -> list[list[int | None]]:
    """Rankings an export of ours carries beside the completions: ranks in their order, or by their id."""
    rankings = row.get("rankings")
    if not isinstance(rankings, list):
        return []
    marks = [str(value.get("id")) if isinstance(value, dict) else "" for value in values]
    found = [ranking.get("ranks") if isinstance(ranking, dict) else ranking for ranking in rankings]
    found = [[ranks.get(mark) for mark in marks] if isinstance(ranks, dict) else ranks for ranks in found]
    for ranks in found:
        if not isinstance(ranks, list) or len(ranks) != len(values) or not all(map(is_rank, ranks)):
            raise BadRow(f"a ranking does not give each of the {len(values)} completions a rank from 1")
    return found


def is_rank(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000)


def preference(row: dict, mapping: dict) -> Iterator[Item]:
    """TRL's and ShareGPT's pairs. Without a prompt column, the prompt is what both sides begin with."""
    sides = [row.get(mapping["chosen"]), row.get(mapping["rejected"])]
    if mapping.get("prompt"):
        prompt, texts = as_prompt(row.get(mapping["prompt"])), [answer(side) for side in sides]
    else:
        prompt, texts = common_prompt(*(as_chat(side) for side in sides))
    for text, name in zip(texts, ("chosen", "rejected"), strict=True):
        as_text(text, name)
    if texts[0] == texts[1]:
        raise BadRow("chosen and rejected are the same text")
    yield Item(prompt, [Completion(text) for text in texts], [[1, 2]], **columns(row, mapping))


def answer(side: Any) -> Any:
    """The text of one side, given as text, as a message or as a chat whose last turn it is."""
    side = unpacked(side)
    if isinstance(side, (list, dict)):
        messages = as_messages(side, "a side")
        if messages[-1]["role"] != "assistant":
            raise BadRow("a side does not end with a message by the assistant")
        return messages[-1]["content"]
    return side


def as_chat(side: Any) -> list[dict]:
    """A side that holds the whole conversation: messages, or text with "Human:" and "Assistant:" turns."""
    if isinstance(side, str) and "\n\nHuman:" in side:
        turns = re.split(r"\n\n(Human|Assistant):", side)[1:]
        names = {"Human": "user", "Assistant": "assistant"}
        return [{"role": names[a], "content": b.strip()} for a, b in zip(turns[::2], turns[1::2], strict=True)]
    side = unpacked(side)
    if not isinstance(side, list):
        raise BadRow("there is no prompt, and chosen and rejected are not whole conversations")
    return as_messages(side, "a side")


def common_prompt(chosen: list[dict], rejected: list[dict]) -> tuple[list[dict], list[str]]:
    same = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), -1)
    if same < 0:
        raise BadRow("chosen and rejected are the same conversation")
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if len(side) != same + 1 or side[same]["role"] != "assistant":
            raise BadRow(f"{name} goes on after the first difference; only the last answer may differ")
    if not same:
        raise BadRow("chosen and rejected share no prompt")
    return as_prompt(chosen[:same]), [chosen[same]["content"], rejected[same]["content"]]


def conversation_tree(row: dict, mapping: dict) -> Iterator[Item]:
    """Open-Assistant: every message of a person with two replies or more is a prompt; ranked replies are a ranking."""
    root = row.get(mapping["prompt"])
    if not isinstance(root, dict) or "replies" not in root:
        raise BadRow("there is no tree: a prompt with replies")
    todo: list[tuple[dict, list[dict]]] = [(root, [])]
    while todo:
        node, before = todo.pop()
        replies = node.get("replies") or []
        messages = [*before, as_message({"role": node.get("role"), "content": node.get("text")}, "a message")]
        if messages[-1]["role"] == "user" and len(replies) > 1:
            yield reply_group(messages, replies, node.get("message_id"))
        todo.extend((reply, messages) for reply in reversed(replies) if isinstance(reply, dict))


def reply_group(messages: list[dict], replies: list[dict], identity: Any) -> Item:
    completions = [as_completion(reply, number, author(reply)) for number, reply in enumerate(replies, 1)]
    ranks = [reply["rank"] + 1 if isinstance(reply.get("rank"), int) else None for reply in replies]
    ranked = sum(rank is not None for rank in ranks) > 1
    return Item(messages, completions, [ranks] if ranked else [], metadata={"id": identity} if identity else {})


def author(reply: dict) -> str:
    return str(reply.get("model_name") or "model") if reply.get("synthetic") else "a person"


SHAPES = {
    "completions": Shape("Prompts with completions to rank", prompt_with_completions, ("prompt", "completions")),
    "preference": Shape(
        "Preference pairs (prompt, chosen, rejected)", preference, ("chosen", "rejected"), ("prompt", *OPTIONAL)
    ),
    "sharegpt": Shape("ShareGPT pairs (conversations, chosen, rejected)", preference, ("prompt", "chosen", "rejected")),
    "tree": Shape("Open-Assistant conversation trees", conversation_tree, ("prompt",), ()),
    "prompts": Shape("Prompts alone", prompts_alone, ("prompt",)),
    **STEPS,
}


def shapes_for(kind: str) -> dict[str, Shape]:
    """Those a project of this kind takes."""
    return {name: shape for name, shape in SHAPES.items() if shape.kind == kind}


def items(row: Any, mapping: dict) -> Iterator[Item]:
    """The prompts in one row; BadRow where it cannot be read."""
    if isinstance(row, str):
        row = {mapping["prompt"]: row}
    if not isinstance(row, dict):
        raise BadRow(f"the row is {kind_of(row)}; it should be an object")
    return SHAPES[mapping["shape"]].read(row, mapping)
