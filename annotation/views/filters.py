"""Filters of the table of prompts: only these fields reach its query, whatever else an address carries."""

from urllib.parse import urlencode

from django import forms
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from annotation.models import Project, Ranking, StepLabels
from annotation.overview import waiting
from annotation.steps.overview import finding, hasty, machine_sources

STATES = {
    "waiting": "waiting for completions",
    "open": "open",
    "progress": "in progress",
    "done": "done",
}
ORIGINS = {"import": "imported", "comparison": "comparison", "demo": "demo", "api": "API"}
FOUND = {"error": "an error", "none": "no error"}


class FilterForm(forms.Form):
    """Filters of every project, and those of rankings."""

    q = forms.CharField(required=False, max_length=200, label="Search", strip=True)
    criterion = forms.ModelChoiceField(queryset=None, required=False, empty_label="any")
    state = forms.ChoiceField(required=False, choices=[("", "any"), *STATES.items()])
    origin = forms.ChoiceField(required=False, choices=[("", "any"), *ORIGINS.items()])
    flagged = forms.BooleanField(required=False)

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["criterion"].queryset = project.criteria.all()
        if project.role == "labeler":  # others' flags are not hers to see
            del self.fields["flagged"]

    def chosen(self) -> dict:
        """Valid filters that are set; a bad value filters nothing."""
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def narrow(self, prompts: QuerySet) -> QuerySet:
        chosen = self.chosen()
        if "q" in chosen:
            prompts = prompts.filter(text__icontains=chosen["q"])
        if "criterion" in chosen:
            prompts = prompts.filter(criterion=chosen["criterion"])
        if "origin" in chosen:
            prompts = prompts.filter(origin=chosen["origin"])
        return in_state(self.labeled(prompts, chosen), chosen.get("state"))

    def labeled(self, prompts: QuerySet, chosen: dict) -> QuerySet:
        """Those with labels the filters are about."""
        if "flagged" not in chosen:
            return prompts
        return prompts.filter(Exists(flagged(Ranking.objects.filter(prompt=OuterRef("pk")))))

    def query(self) -> str:
        """The filters as they stand in links to other pages of this table."""
        chosen = self.chosen()
        return urlencode({name: getattr(value, "pk", None) or value for name, value in chosen.items()})


class StepsFilterForm(FilterForm):
    """Filters of traces: who labeled them, what was found, and how fast."""

    labeler = forms.ChoiceField(required=False, label="Labeled by")
    found = forms.ChoiceField(required=False, choices=[("", "any"), *FOUND.items()], label="People found")
    hasty = forms.BooleanField(required=False, label="too fast to read")

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, project=project, **kwargs)
        if not self.fields["criterion"].queryset.exists():
            del self.fields["criterion"]
        if project.role == "labeler":
            for name in ("labeler", "found", "hasty"):
                del self.fields[name]
        else:
            self.fields["labeler"].choices = [("", "any"), *labelers(project)]

    def labeled(self, prompts: QuerySet, chosen: dict) -> QuerySet:
        """One label must pass all that is chosen: what she found, and she too fast."""
        if not chosen.keys() & {"labeler", "found", "hasty", "flagged"}:
            return prompts
        labels = StepLabels.objects.filter(prompt=OuterRef("pk"))
        labels = by(labels, chosen["labeler"]) if "labeler" in chosen else labels.by_people()
        if "found" in chosen:
            labels = finding(labels, chosen["found"] == "error")
        if "hasty" in chosen:
            labels = hasty(labels)
        if "flagged" in chosen:
            labels = labels.exclude(flagged=[], gave_up="", bad_problem="")
        return prompts.filter(Exists(labels))


def labelers(project: Project) -> list[tuple[str, str]]:
    """People by their ids, machines and files by their names; looked up once a minute."""
    people = get_user_model().objects.filter(tallies__project=project, tallies__labels__gt=0).distinct()
    machines = cache.get_or_set(f"step-sources:{project.pk}", lambda: machine_sources(project), 60)
    return [(str(person.pk), str(person)) for person in people] + [(name, name) for name in machines]


def by(labels: QuerySet, labeler: str) -> QuerySet:
    if labeler.isdecimal():
        return labels.filter(labeler=int(labeler))
    kind, _, source = labeler.partition(":")
    return labels.filter(labeler=None, kind=kind, source=source)


def flagged(rankings: QuerySet) -> QuerySet:
    return rankings.filter(Q(all_bad=True) | Q(unsure=True) | Q(bad_prompt=True))


def in_state(prompts: QuerySet, state: str | None) -> QuerySet:
    if state == "waiting":
        return waiting(prompts)
    if state == "open":
        return prompts.filter(labels_given=0, open_slots__gt=0)
    if state == "progress":
        return prompts.filter(labels_given__gt=0, labels_given__lt=F("labels_wanted"))
    if state == "done":
        return prompts.filter(labels_given__gt=0, labels_given__gte=F("labels_wanted"))
    return prompts
