"""Frozen pairs on their pages: what can be chosen before freezing, what is shown of the report after it."""

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotation.freezing.conversion import DISAGREEMENT
from annotation.freezing.estimate import estimate
from annotation.freezing.histogram import histogram
from annotation.models import Dataset, Project, Ranking

SOURCES = {
    "page": "ranking page",
    "api": "API",
    "import": "imported file",
    "comparison": "comparison",
    "demo": "demo",
}


class FreezeForm(forms.Form):
    """The options of a freeze in plain words; only values the project knows are offered."""

    name = forms.CharField(max_length=120)
    eval_percent = forms.IntegerField(min_value=1, max_value=50, initial=10)
    seed = forms.IntegerField(min_value=0, max_value=2**31 - 1, initial=42)
    disagreement = forms.ChoiceField(choices=list(DISAGREEMENT.items()), initial="keep", widget=forms.RadioSelect)
    margin = forms.BooleanField(required=False)
    skip_unsure = forms.BooleanField(required=False)
    keep_bad = forms.BooleanField(required=False)
    criteria = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    sources = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    labelers = forms.TypedMultipleChoiceField(required=False, coerce=int, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        rankings = Ranking.objects.filter(prompt__project=project).order_by()
        used = set(rankings.values_list("source", flat=True).distinct())
        people = get_user_model().objects.filter(tallies__project=project, tallies__labels__gt=0).distinct()
        self.fields["criteria"].choices = [(name, name) for name in project.criteria.values_list("name", flat=True)]
        self.fields["sources"].choices = [(name, label) for name, label in SOURCES.items() if name in used]
        self.fields["labelers"].choices = [(person.pk, str(person)) for person in people]

    def estimate(self) -> dict[str, Any]:
        return estimate(self.project, self.options() if self.is_bound else {})

    def options(self) -> dict[str, Any]:
        """What is valid so far, as freeze takes it."""
        said = self.cleaned_data
        options = {name: said[name] for name in ("seed", "disagreement", "margin", "keep_bad") if name in said}
        options |= {name: said.get(name) or [] for name in ("criteria", "sources", "labelers")}
        return options | {"eval_share": said.get("eval_percent", 10) / 100, "keep_unsure": not said.get("skip_unsure")}


def report_of(found: Dataset) -> dict[str, Any]:
    lengths = found.report["lengths"]
    people = {str(user.pk): str(user) for user in get_user_model().objects.filter(pk__in=ids(found.report["labelers"]))}
    return {
        "charts": [
            ("Length in words", "words", histogram(lengths["chosen_words"], lengths["rejected_words"])),
            ("Length in characters", "characters", histogram(lengths["chosen_chars"], lengths["rejected_chars"])),
        ],
        "labelers": [(people.get(pk, "an imported file"), n) for pk, n in found.report["labelers"].items()],
        "sources": [(SOURCES.get(name, name), n) for name, n in found.report["sources"].items()],
        "criteria": [(name or "no criterion", n) for name, n in found.report["criteria"].items()],
        "length_bias": (found.report["longer_interval"] or [0])[0] > 0.55,
        "disagreement": DISAGREEMENT[found.options["disagreement"]],
    }


def ids(labelers: dict[str, int]) -> list[int]:
    return [int(key) for key in labelers if key.isdecimal()]
