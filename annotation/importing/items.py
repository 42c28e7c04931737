"""What a row of a file reads as, whatever its shape: a prompt with its completions or its trace. No database."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from annotation.importing.cells import BadRow, Completion, as_text, kind_of, unpacked

REWARD_COLUMNS = ("tests", "entry_point", "setup", "puzzle", "pattern", "schema")
OPTIONAL = ("reference", "criterion", "metadata", "id")


class Said(NamedTuple):
    """What one source says of a trace's steps; the fields are those of models.StepLabels.

    A source that begins with ":" is a labeler the file names: the file's own name goes before it.
    """

    ratings: list = []
    scores: list | None = None
    errors: list | None = None
    kind: str = "import"
    source: str = ""
    notes: dict = {}
    rewrites: dict = {}
    alternatives: dict = {}
    flagged: list = []
    gave_up: str = ""
    bad_problem: str = ""
    seconds: float = 0.0
    comment: str = ""


class Trace(NamedTuple):
    """A solution cut into steps, what is said of them, and other texts for single steps as (step, text, source)."""

    steps: list[str]
    said: list[Said] = []
    alternatives: list[tuple[int, str, str]] = []


class Item(NamedTuple):
    """One prompt with its completions; each ranking gives a rank (or None) for every completion, in order.

    In projects of kind `steps` there is one completion at most, and a trace with it.
    """

    messages: list[dict]
    completions: list[Completion] = []
    rankings: list[list[int | None]] = []
    reference: str = ""
    criterion: str = ""
    metadata: dict = {}
    trace: Trace | None = None


class Shape(NamedTuple):
    """A shape rows come in: what reads them, the fields that it needs and takes, the kind of project it is for."""

    label: str
    read: Callable[[dict, dict], Iterator[Item]]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = OPTIONAL
    kind: str = "ranking"


def columns(row: dict, mapping: dict) -> dict[str, Any]:
    """The optional fields of a row, checked."""
    found = {}
    for field in ("reference", "criterion"):
        value = row.get(mapping[field]) if mapping.get(field) else None
        if value is not None and value != "":
            found[field] = as_text(value if not isinstance(value, (list, dict)) else json.dumps(value), field)
    if len(found.get("criterion", "")) > 80:
        raise BadRow("criterion has more than 80 characters; it should be a short name")
    if mapping.get("metadata") or mapping.get("id"):
        found["metadata"] = metadata_of(row, mapping)
    return found


def metadata_of(row: dict, mapping: dict) -> dict:
    metadata = unpacked(row.get(mapping["metadata"])) if mapping.get("metadata") else {}
    if metadata is None or metadata == "":
        metadata = {}
    if not isinstance(metadata, dict):
        raise BadRow(f"metadata is {kind_of(metadata)}; it should be an object")
    identity = row.get(mapping["id"]) if mapping.get("id") else None
    return metadata if identity is None else metadata | {"id": identity}
