"""Make a read prompt ready to store: fingerprints, canonical JSON, identical completions as one. No database."""

import hashlib
import json
from collections.abc import Sequence
from json.encoder import encode_basestring as quoted
from typing import NamedTuple

from annotation.importing.cells import BadRow
from annotation.importing.items import Item

# The JSON that models.fingerprint hashes, without building an encoder for every call.
canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode


class Answer(NamedTuple):
    text: str
    source: str
    metadata: str


class Prepared(NamedTuple):
    """An item by fingerprints: answers by fingerprint, each ranking as fingerprint → rank; JSON ready to store."""

    line: int
    messages: str
    text: str
    reference: str
    criterion: str
    metadata: str
    fingerprint: str
    answers: dict[str, Answer]
    rankings: list[dict[str, int]]

    @property
    def size(self) -> int:
        return len(self.messages)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(line: int, item: Item) -> Prepared:
    """Fingerprint an item; identical completions become one, with the best of their ranks."""
    try:
        messages = messages_json(item.messages)
        prints, answers = [], {}
        for text, source, metadata in item.completions:
            mark = sha256(quoted(text))
            prints.append(mark)
            if mark not in answers:
                answers[mark] = Answer(text, plain(source), json_of(metadata))
        rankings = [ranking for ranks in item.rankings if len(ranking := dense(prints, ranks)) > 1]
        fields = messages, last_user_text(item.messages), plain(item.reference), plain(item.criterion)
        return Prepared(line, *fields, json_of(item.metadata), sha256(messages), answers, rankings)
    except UnicodeEncodeError as error:
        raise BadRow("a text holds half a character (a lone surrogate), which no database can keep") from error


def messages_json(messages: list[dict]) -> str:
    """What `canonical` gives for role and content, several times faster.

    >>> messages_json([{"role": "user", "content": "“Hi”"}]) == canonical([{"role": "user", "content": "“Hi”"}])
    True
    """
    return "[" + ", ".join(f'{{"content": {quoted(m["content"])}, "role": "{m["role"]}"}}' for m in messages) + "]"


def plain(text: str) -> str:
    if not text.isascii():
        text.encode()  # raises where no database could keep it
    return text.replace("\x00", "") if text else text


def json_of(metadata: dict | None) -> str:
    if not metadata:
        return "{}"
    try:
        text = canonical(metadata)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRow(f"metadata cannot be kept as JSON: {error}") from error
    text.encode()
    if "\\u0000" in text:
        raise BadRow("metadata holds a NUL character, which is not text")
    return text


def last_user_text(messages: list[dict]) -> str:
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), messages[-1]["content"])


def dense(prints: list[str], ranks: Sequence[int | None]) -> dict[str, int]:
    """Fingerprint → rank, without gaps.

    >>> dense(["a", "b", "c", "a"], [3, 5, None, 2])
    {'a': 1, 'b': 2}
    """
    best: dict[str, int] = {}
    for mark, rank in zip(prints, ranks, strict=True):
        if rank is not None:
            best[mark] = min(rank, best.get(mark, rank))
    order = {rank: place for place, rank in enumerate(sorted(set(best.values())), 1)}
    return {mark: order[rank] for mark, rank in best.items()}
