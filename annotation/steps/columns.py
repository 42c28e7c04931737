"""A trace as a table: a row a step, a column a source, people and machines side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annotation.models import Completion, StepLabels
from annotation.steps.proposals import Proposal, Source
from annotation.steps.ratings import MARKS, SIGNS
from annotation.steps.reading import too_fast
from annotation.steps.traces import sources_of


@dataclass
class Column:
    """What one source says of the trace, step by step."""

    labels: StepLabels
    source: Source

    @property
    def by_person(self) -> bool:
        return self.labels.kind in StepLabels.PEOPLE

    @property
    def first_error(self) -> int | None:
        """The first bad step, from 1; None when no step is bad."""
        steps = range(max(len(self.source.ratings), len(self.source.scores)))
        return next((step + 1 for step in steps if (said := self.source.of(step)) and said.rating == -1), None)

    @property
    def hasty(self) -> bool:
        return self.by_person and too_fast(self.labels.words, self.labels.seconds)

    @property
    def accepted(self) -> tuple[int, int]:
        """Proposals accepted unchanged, of those shown."""
        outcomes = [outcome for steps in self.labels.proposed.values() for outcome in steps.values()]
        return outcomes.count("accepted"), len(outcomes)


def columns_of(labels: Iterable[StepLabels]) -> list[Column]:
    """People first, then files, then machines."""
    order = [kind for kind, _ in StepLabels.KINDS]
    rows = sorted(labels, key=lambda row: (order.index(row.kind), row.source, row.pk))
    return [Column(row, source) for row, source in zip(rows, sources_of(rows), strict=True)]


def rows_of(completion: Completion, columns: list[Column]) -> list[dict[str, Any]]:
    written: dict[int, list] = {}
    for other in completion.alternatives.all():
        written.setdefault(other.step, []).append(other)
    return [
        {
            "text": text,
            "cells": [cell(column, step) for column in columns],
            "alternatives": written.get(step, []),
        }
        for step, text in enumerate(completion.steps)
    ]


def cell(column: Column, step: int) -> dict[str, Any]:
    labels, said = column.labels, column.source.of(step) or Proposal("", None)
    outcomes = {steps[str(step)] for steps in labels.proposed.values() if str(step) in steps}
    return {
        "mark": MARKS.get(said.rating, ""),
        "sign": SIGNS.get(said.rating, "·"),
        "score": said.score,
        "error": said.error,
        "note": said.note or str((labels.notes or {}).get(str(step), "")),
        "flagged": step in labels.flagged,
        "rewrite": labels.rewrites.get(str(step)),
        "others": (labels.alternatives or {}).get(str(step), []),
        "outcome": "corrected" if "corrected" in outcomes else "accepted" if outcomes else "",
    }
