"""Read a run's frozen prompts, which a policy answers and rewards score, and decide which have room for an answer."""

import json
from pathlib import Path
from typing import Any

from training.recipes import rows
from training.recipes.chat import Chat, find
from training.recipes.rows import BadData, Kept, Row, lines, messages
from training.recipes.steps import as_messages

KINDS = ("prompts",)
LEFT_OUT = {  # what `keep` counts, in words
    "dropped": "have a prompt that leaves no room for max_completion_length tokens in max_length {max_length} "
    "(or in what the model can read) and would be left out",
}
TAKEN = {"prompts", "completions", "completion_ids", "completion"}  # what rewards are given beside the columns of a row


def load(path: Path, kind: str = "prompts") -> list[Row]:
    """Rows of a prompt, and whatever columns rewards ask for: reference, tests, …"""
    if not path.exists():
        return []
    return [read(row, where) for where, row in lines(path)]


def read(row: Row, where: str) -> Row:
    if isinstance(row.get("prompt"), str) and row["prompt"]:  # TRL's own format
        row["prompt"] = as_messages(row["prompt"])
    if taken := TAKEN & row.keys():
        raise BadData(
            f"{where}: a column of prompts cannot be named {min(taken)}; rewards are given it by the training"
        )
    return row | {"prompt": messages(row, "prompt", where)}


def keep(found: list[Row], chat: Chat, config: Any) -> Kept:
    """Prompts that leave room for max_completion_length tokens. `tokens` counts such a completion in."""
    kept, room = Kept(), prompt_room(config, chat)
    for row in found:
        size = len(chat.tokens(row["prompt"], add_generation_prompt=True))
        kept.sizes.append({"prompt": size})
        if size > room:
            kept.dropped += 1
            continue
        kept.rows.append(row)
        kept.tokens.append(size + config.max_completion_length)
    return kept


def prompt_room(config: Any, chat: Chat) -> int:
    """Most tokens of a prompt."""
    return min(config.max_length, context_of(chat.model)) - config.max_completion_length


def context_of(model: str) -> int:
    """Tokens the model can read, by its config.json; a great many where it does not say."""
    path = find(model, "config.json")
    said = json.loads(path.read_text()) if path else {}
    return said.get("text_config", said).get("max_position_embeddings") or 10**9


def columns(found: list[Row]) -> dict[str, list[Any]]:
    """What rewards are called with: each column of the rows but the prompt, None where a row lacks it.

    >>> columns([{"prompt": [], "reference": "4"}, {"prompt": [], "tests": "x"}])
    {'reference': ['4', None], 'tests': [None, 'x']}
    """
    names = dict.fromkeys(name for row in found for name in row if name != "prompt")
    return {name: [row.get(name) for row in found] for name in names}


def about_rows(split: dict[str, list[Row]]) -> list[str]:
    """Warnings about what the prompts say, before any settings."""
    told = []
    for name, part in split.items():
        bare = [at for at, row in enumerate(part, 1) if row.get("reference") in (None, "")]
        if bare and len(bare) < len(part):
            told.append(f"{len(bare)} of {len(part)} rows of {name}.jsonl have no reference: {rows.some(bare)}")
    return told


def template_fits(part: list[Row], chat: Chat) -> tuple[list[str], list[str]]:
    """Errors and warnings: an end of text to learn to stop by, and one beginning-of-text token at most."""
    if chat.id_of(chat.eos) is None:
        return ["the tokenizer has no end-of-text token: a model could never learn to stop"], []
    bos = chat.id_of(chat.special.get("bos_token"))
    begun = (chat.tokens(row["prompt"], add_generation_prompt=True)[:2] for row in part[: rows.CHECKED])
    twice = bos is not None and any(start == [bos, bos] for start in begun)
    return (["the chat template begins with two beginning-of-text tokens"] if twice else []), []


def shown(row: Row, chat: Chat, config: Any) -> dict[str, Any]:
    """One prompt as the policy reads it: pieces of text, none of which is learned."""
    pieces = chat.pieces(chat.tokens(row["prompt"], add_generation_prompt=True))
    return {"prompt": [{"text": text, "role": "prompt", "loss": False} for text in pieces]}
