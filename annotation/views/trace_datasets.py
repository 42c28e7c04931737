"""Frozen traces on their pages: what can be chosen before freezing, what is shown of the report after it."""

import json
from collections.abc import Iterator
from typing import Any

from django import forms

from annotation.freezing.histogram import single
from annotation.importing.items import Said
from annotation.importing.preview import marked
from annotation.models import SHAPES, Dataset, Project
from annotation.steps.exporting import converted
from annotation.steps.freezing import OUTCOMES, OutcomeRows, StepwiseRows
from annotation.steps.labeled import PEOPLE, sources_of
from annotation.steps.values import LABELS, NEUTRAL, POLICIES
from annotation.store import store

TOGETHER = 6  # more sources of one kind than this are offered as one
CONVERTED = {
    f"{split}.{suffix}.jsonl": (split, format)
    for split in ("train", "eval")
    for suffix, format in (("prm800k", "prm800k"), ("math-shepherd", "math_shepherd"))
}


def radios(choices: dict[str, str]) -> forms.ChoiceField:
    return forms.ChoiceField(choices=list(choices.items()), initial=next(iter(choices)), widget=forms.RadioSelect)


class FreezeForm(forms.Form):
    """The options of a freeze of traces in plain words; only sources the project has are offered."""

    name = forms.CharField(max_length=120)
    shape = radios({name: SHAPES[name] for name in ("stepwise", "outcome")})
    eval_percent = forms.IntegerField(min_value=1, max_value=50, initial=10)
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, initial=42)
    labels = radios(LABELS)
    policy = radios(POLICIES)
    neutral = radios(NEUTRAL)
    outcome = radios(OUTCOMES)
    skip_unsure = forms.BooleanField(required=False)
    keep_bad = forms.BooleanField(required=False)
    others = forms.BooleanField(required=False, initial=True)
    criteria = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        self.fields["criteria"].choices = [(name, name) for name in project.criteria.values_list("name", flat=True)]
        self.entries = entries(sources_of(project))
        places = [("", "not used"), *((str(n), ordinal(n)) for n in range(1, len(self.entries) + 1))]
        for number, (name, _) in enumerate(self.entries):
            self.fields[f"place_{number}"] = forms.ChoiceField(
                choices=places, required=False, initial="" if number else "1", label=name
            )

    def places(self) -> list[tuple[Any, str, int]]:
        """For the page: the select of each source's place, its name and how many traces it labeled."""
        return [(self[f"place_{n}"], name, count) for n, (name, count) in enumerate(self.entries)]

    def sources(self) -> list[str]:
        said = [self.cleaned_data.get(f"place_{n}") for n in range(len(self.entries))]
        chosen = [(int(place), n) for n, place in enumerate(said) if place]
        return [self.entries[n][0] for _, n in sorted(chosen)] or [PEOPLE]

    def options(self) -> dict[str, Any]:
        """What is valid so far, as freeze takes it."""
        said = self.cleaned_data
        names = ("seed", "labels", "policy", "neutral", "keep_bad", "others")
        options = {name: said[name] for name in names if name in said}
        options |= {"criteria": said.get("criteria") or [], "sources": self.sources()}
        options |= {"eval_share": said.get("eval_percent", 10) / 100, "keep_unsure": not said.get("skip_unsure")}
        outcome = said.get("shape") == "outcome" and "outcome" in said
        return options | ({"outcome": said["outcome"]} if outcome else {})

    def estimate(self) -> dict[str, Any]:
        """How many traces the options read: a row each at most, and one for each other text of a step."""
        default = {"sources": [self.entries[0][0]] if self.entries else [PEOPLE]}
        shape = self.cleaned_data.get("shape", "stepwise") if self.is_bound else "stepwise"
        rows = OutcomeRows if shape == "outcome" else StepwiseRows
        reading = rows(self.project, rows.checked(self.options() if self.is_bound else default))
        traces = reading.solved if getattr(reading, "by_answer", False) else reading.labels
        counts = {name: traces.order_by().values(f"prompt{path}").distinct().count() for name, path in COUNTED.items()}
        return counts | {"labels": 0 if traces is not reading.labels else traces.count()}


COUNTED = {"traces": "", "problems": "__problem"}


def entries(sources: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The sources to choose from; a kind with many is offered as a whole.

    >>> entries([("people", 3), *((f"import:{n}", 1) for n in range(9)), ("model:prm", 5)])
    [('people', 3), ('import', 9), ('model:prm', 5)]
    """
    kinds: dict[str, list[tuple[str, int]]] = {}
    for name, count in sources:
        kinds.setdefault(name.partition(":")[0], []).append((name, count))
    whole = {kind: [(kind, sum(n for _, n in found))] for kind, found in kinds.items() if len(found) > TOGETHER}
    return [entry for kind, found in kinds.items() for entry in whole.get(kind, found)]


def ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def report_of(found: Dataset, rows: list[dict]) -> dict[str, Any]:
    """What the page shows of a dataset of traces; its rows get their steps with marks."""
    for row in rows:
        row["steps"], row["plain"] = steps_of(row), found.shape == "outcome"
    report, lengths = found.report, found.report["lengths"]
    charts = [("Steps of a solution", "steps", "solutions", single(lengths["steps"]))]
    if found.shape == "stepwise":
        charts.insert(0, ("First bad step", "step", "solutions", single(report["first_errors"])))
    return {
        "charts": charts,
        "sources": list(report["sources"].items()),
        "criteria": [(name or "no criterion", n) for name, n in report["criteria"].items()],
        "chosen": facts_of(found),
        "converted": list(CONVERTED) if found.shape == "stepwise" else [],
    }


def steps_of(row: dict) -> list[dict[str, Any]]:
    labels = row.get("labels") or []
    ratings = [None if label is None else 1 if label >= 0.5 else -1 for label in labels]
    soft = [label if type(label) is float else None for label in labels]
    return marked(row["completions"], [Said(ratings, soft)])


def facts_of(found: Dataset) -> list[tuple[str, str]]:
    """The options it was frozen with, in words."""
    options = found.options
    whose = ("whose labels", ", then ".join(options["sources"]))
    if found.shape == "outcome":
        return [("right or wrong", OUTCOMES[options["outcome"]]), *([whose] if options["outcome"] == "steps" else [])]
    facts = [whose, ("labels", LABELS[options["labels"]]), ("later steps", POLICIES[options["policy"]])]
    return [*facts, ("a neutral step", NEUTRAL[options["neutral"]])]


def converted_file(found: Dataset, name: str) -> Iterator[bytes]:
    split, format = CONVERTED[name]
    with store().fetch(f"{found.folder}/{split}.jsonl").open(encoding="utf-8") as file:
        for line in converted(map(json.loads, file), format):
            yield line.encode()
