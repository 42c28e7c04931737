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


TRACE = """
SELECT c.id, CAST(c.steps AS {text}), c.source, p.reference,
    (SELECT CAST({list}({array}(a.step, a.text, a.source, a.id)) AS {text})
        FROM annotation_alternative a WHERE a.completion_id = c.id),
    (SELECT CAST({list}({array}(s.id, s.kind, s.source, {ratings}, {scores}, {errors}, {notes})) AS {text})
        FROM annotation_steplabels s WHERE s.prompt_id = p.id AND s.labeler_id IS NULL
        AND s.kind || ':' || s.source IN (SELECT {names}))
FROM annotation_completion c JOIN annotation_prompt p ON p.id = c.prompt_id
WHERE c.prompt_id = %(prompt)s AND c.steps <> '[]' ORDER BY c.id LIMIT 1"""
JSON = ("ratings", "scores", "errors", "notes")
POSTGRESQL = TRACE.format(
    text="text",
    list="json_agg",
    array="json_build_array",
    names="jsonb_array_elements_text(CAST(%(names)s AS jsonb))",
    **{name: f"s.{name}" for name in JSON},
)
SQLITE = TRACE.format(
    text="text",
    list="json_group_array",
    array="json_array",
    names="value FROM json_each(%(names)s)",
    **{name: f"json(s.{name})" for name in JSON},
)


def trace_of(prompt: int, proposing: Sequence[str] = ()) -> Trace | None:
    """The trace of a prompt, with the labels of the sources whose names are in `proposing`, in that order."""
    statement = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
    found = fetch(statement, {"prompt": prompt, "names": json.dumps(list(proposing))})
    if found is None:
        return None
    completion, steps, source, reference, alternatives, labels = found
    written = [(step, text, who) for step, text, who, _ in sorted(json.loads(alternatives or "[]"), key=by_id)]
    sources = [source_from(*row) for row in json.loads(labels or "[]")]
    sources.sort(key=lambda row: proposing.index(row.name))
    return Trace(completion, json.loads(steps), source, reference, written, sources)


def by_id(alternative: list) -> int:
    return alternative[3]


def source_from(pk, kind, source, ratings, scores, errors, notes) -> Source:
    return Source(pk, f"{kind}:{source}", ratings or (), scores or (), errors or (), notes or {})


def sources_of(labels: Sequence[StepLabels]) -> list[Source]:
    """The same from rows at hand."""
    return [source_from(row.pk, row.kind, row.source, row.ratings, row.scores, row.errors, row.notes) for row in labels]
