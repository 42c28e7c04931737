"""What the step page shows of a prompt beside its chat: steps, reference, alternatives, proposals. One statement."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from annotation.models import StepLabels
from annotation.rows import fetch
from annotation.steps.proposals import Source


class Trace(NamedTuple):
    """A solution step by step, with what else was written for a step and what machines say of each."""

    completion: int
    steps: list[str]
    source: str
    reference: str
    alternatives: list[tuple[int, str, str]]  # (step, text, who wrote it)
    sources: list[Source]


# Labels of machines as one JSON text, those `which` says; and what each database calls the functions for it.
LABELS = """
    (SELECT CAST({list}({array}(s.id, s.kind, s.source, {ratings}, {scores}, {errors}, {notes})) AS text)
        FROM annotation_steplabels s WHERE s.prompt_id = p.id AND s.labeler_id IS NULL AND {which})"""
TRACE = """
SELECT c.id, CAST(c.steps AS text), c.source, p.reference,
    (SELECT CAST({list}({array}(a.step, a.text, a.source, a.id)) AS text)
        FROM annotation_alternative a WHERE a.completion_id = c.id), {labels}
FROM annotation_completion c JOIN annotation_prompt p ON p.id = c.prompt_id
WHERE c.prompt_id = %(prompt)s AND c.steps <> '[]' ORDER BY c.id LIMIT 1"""
NAMED = "s.kind || ':' || s.source IN (SELECT {element} FROM {elements})"
JSON = ("ratings", "scores", "errors", "notes")
SPOKEN = {
    "postgresql": {
        "list": "json_agg",
        "array": "json_build_array",
        "element": "value",
        "elements": "jsonb_array_elements_text(CAST(%(wanted)s AS jsonb)) AS value",
        **{name: f"s.{name}" for name in JSON},
    },
    "sqlite": {
        "list": "json_group_array",
        "array": "json_array",
        "element": "value",
        "elements": "json_each(%(wanted)s)",
        **{name: f"json(s.{name})" for name in JSON},
    },
}


def labels_in(words: dict[str, str], which: str) -> str:
    """The part of a statement that fetches labels; `which` may use {element} and {elements}."""
    return LABELS.format(which=which.format(**words), **words)


TRACES = {vendor: TRACE.format(labels=labels_in(words, NAMED), **words) for vendor, words in SPOKEN.items()}


def trace_of(prompt: int, proposing: Sequence[str] = ()) -> Trace | None:
    """The trace of a prompt, with the labels of the sources whose names are in `proposing`, in that order."""
    found = fetch(TRACES[connection.vendor], {"prompt": prompt, "wanted": json.dumps(list(proposing))})
    if found is None:
        return None
    completion, steps, source, reference, alternatives, labels = found
    written = [(step, text, who) for step, text, who, _ in sorted(json.loads(alternatives or "[]"), key=by_id)]
    sources = sources_in(labels)
    sources.sort(key=lambda row: proposing.index(row.name))
    return Trace(completion, json.loads(steps), source, reference, written, sources)


def sources_in(labels: str | None) -> list[Source]:
    """What `LABELS` fetched."""
    return [source_from(*row) for row in json.loads(labels or "[]")]


def by_id(alternative: list) -> int:
    return alternative[3]


def source_from(pk, kind, source, ratings, scores, errors, notes) -> Source:
    return Source(pk, f"{kind}:{source}", ratings or (), scores or (), errors or (), notes or {})


def sources_of(labels: Sequence[StepLabels]) -> list[Source]:
    """The same from rows at hand."""
    return [source_from(row.pk, row.kind, row.source, row.ratings, row.scores, row.errors, row.notes) for row in labels]
