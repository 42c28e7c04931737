"""Log-probabilities of ref_model, computed once in the life of a pair: on disk, by what the pair and the model are.

    $STUDIO_CACHE/reference/<model>-<precision>.sqlite3      a pair's tokens, hashed -> log π_ref of both sides

Log-probabilities are sums over a side's tokens, in nats. A dataset frozen again with more labels finds what its older
part was given; another model, another template (its tokens differ) or another precision does not. Without STUDIO_CACHE
it is in ~/.cache/alignment-studio.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

Pair = tuple[float, float]  # of chosen and rejected
AT_ONCE = 64  # pairs computed before they are kept: what is done is not lost


class Kept:
    """The log-probabilities that were computed with one model."""

    def __init__(self, model: Path | str, numbers: str) -> None:
        """`numbers` says in which precision it was computed."""
        self.path = folder() / f"{model_hash(Path(model))}-{numbers}.sqlite3"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.opened() as base:
            base.execute("create table if not exists pairs (tokens blob primary key, chosen real, rejected real)")

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=60)) as base, base:
            yield base

    def of(self, keys: Sequence[bytes]) -> dict[bytes, Pair]:
        with self.opened() as base:
            rows = (base.execute("select * from pairs where tokens = ?", (key,)).fetchone() for key in keys)
            return {row[0]: row[1:] for row in rows if row}

    def add(self, found: dict[bytes, Pair]) -> None:
        with self.opened() as base:
            base.executemany("insert or replace into pairs values (?, ?, ?)", [(k, *v) for k, v in found.items()])


def look_up(
    kept: Kept, examples: Sequence[dict[str, Any]], compute: Callable[[list[dict[str, Any]]], list[Pair]]
) -> tuple[list[Pair], int]:
    """What is known of the examples (`prompt_ids`, `chosen_ids`, `rejected_ids`), the rest computed and kept; and how
    many had to be. `compute` is given examples of alike lengths."""
    keys = [key_of(example) for example in examples]
    known = kept.of(keys)
    missing = {key: example for key, example in zip(keys, examples, strict=True) if key not in known}
    order = sorted(missing, key=lambda key: sum(map(len, missing[key].values())))
    for at in range(0, len(order), AT_ONCE):
        part = order[at : at + AT_ONCE]
        found = dict(zip(part, compute([missing[key] for key in part]), strict=True))
        kept.add(found)
        known |= found
    return [known[key] for key in keys], len(missing)


def key_of(example: dict[str, Any]) -> bytes:
    """
    >>> one, other = {"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4]}, {"prompt_ids": [1, 2]}
    >>> key_of(one) == key_of(one | {"margin": 2}), key_of(one) == key_of(one | {"chosen_ids": [2], **other})
    (True, False)
    """
    parts = [example[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
    return hashlib.sha256(repr([list(part) for part in parts]).encode()).digest()


def model_hash(model: Path) -> str:
    """Of a model's weights and shape. A name on a hub stands for itself."""
    if not model.is_dir():
        return hashlib.sha256(str(model).encode()).hexdigest()[:32]
    whole = hashlib.sha256()
    for path in sorted([*model.glob("*.safetensors"), model / "config.json"]):
        whole.update(path.name.encode())
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:32]


def folder() -> Path:
    return Path(os.environ.get("STUDIO_CACHE") or Path.home() / ".cache" / "alignment-studio") / "reference"
