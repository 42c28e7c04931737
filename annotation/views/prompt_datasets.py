"""Frozen prompts on their pages: what can be chosen before freezing, what is shown of the report after it."""

import json
from typing import Any

from django import forms

from annotation.freezing.histogram import single
from annotation.freezing.prompt_rows import chosen_prompts
from annotation.importing.items import REWARD_COLUMNS
from annotation.models import Dataset, Project


class FreezeForm(forms.Form):
    """The options of a freeze of prompts in plain words."""

    name = forms.CharField(max_length=120)
    shape = forms.CharField(widget=forms.HiddenInput, initial="prompts")
    eval_percent = forms.IntegerField(min_value=1, max_value=50, initial=10)
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, initial=42)
    referenced = forms.BooleanField(required=False)
    criteria = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        self.fields["criteria"].choices = [(name, name) for name in project.criteria.values_list("name", flat=True)]

    def options(self) -> dict[str, Any]:
        """What is valid so far, as freeze takes it."""
        said = self.cleaned_data
        options = {"seed": said["seed"]} if "seed" in said else {}
        options |= {"criteria": said.get("criteria") or [], "unreferenced": not said.get("referenced")}
        return options | {"eval_share": said.get("eval_percent", 10) / 100}

    def estimate(self) -> dict[str, int]:
        prompts = chosen_prompts(self.project, self.options() if self.is_bound else {})
        return {"prompts": prompts.count(), "referenced": prompts.exclude(reference="").count()}


def report_of(found: Dataset, rows: list[dict]) -> dict[str, Any]:
    """What the page shows of a dataset of prompts; its rows get the columns rewards read."""
    for row in rows:
        row["columns"] = [(name, shown(row[name])) for name in REWARD_COLUMNS if row.get(name)]
    return {
        "charts": [("Length of a prompt", "words", "prompts", single(found.report["lengths"]["words"]))],
        "criteria": [(name or "no criterion", n) for name, n in found.report["criteria"].items()],
        "columns": list(found.report["columns"].items()),
    }


def shown(text: str) -> str:
    """JSON laid out to be read."""
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False) if text[:1] in "[{" else text
    except ValueError:
        return text
