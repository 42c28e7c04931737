"""Datasets: the list, freezing, one dataset with its report, rows and files."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Count, ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotation import freeze
from annotation.access import project_or_404
from annotation.conversion import DISAGREEMENT
from annotation.downloads import download_file
from annotation.estimate import estimate
from annotation.histogram import histogram
from annotation.models import Dataset, Project, Ranking
from annotation.store import store

PAGE = 10
FILES = ("train.jsonl", "eval.jsonl", "train.parquet", "eval.parquet")
SOURCES = {
    "page": "ranking page",
    "api": "API",
    "import": "imported file",
    "comparison": "comparison",
    "demo": "demo",
}


@require_safe
def datasets(request: HttpRequest) -> HttpResponse:
    found = Dataset.objects.visible_to(request.user).select_related("project", "created_by").distinct()
    found = found.annotate(job_count=Count("jobs", distinct=True)).order_by("-created")[:200]
    mine = Project.objects.run_by(request.user).distinct()
    return render(request, "annotation/datasets.html", {"place": "datasets", "datasets": found, "mine": mine})


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
        rankings = Ranking.objects.filter(prompt__project=project).order_by()
        used = set(rankings.values_list("source", flat=True).distinct())
        people = get_user_model().objects.filter(tallies__project=project, tallies__labels__gt=0).distinct()
        self.fields["criteria"].choices = [(name, name) for name in project.criteria.values_list("name", flat=True)]
        self.fields["sources"].choices = [(name, label) for name, label in SOURCES.items() if name in used]
        self.fields["labelers"].choices = [(person.pk, str(person)) for person in people]

    def options(self) -> dict[str, Any]:
        """What is valid so far, as freeze takes it."""
        said = self.cleaned_data
        options = {name: said[name] for name in ("seed", "disagreement", "margin", "keep_bad") if name in said}
        options |= {name: said.get(name) or [] for name in ("criteria", "sources", "labelers")}
        return options | {"eval_share": said.get("eval_percent", 10) / 100, "keep_unsure": not said.get("skip_unsure")}


def dataset_new(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    initial = {"name": f"{project.name[:100]} {timezone.now():%Y-%m-%d}"}
    data = request.POST or (request.GET if request.htmx else None)
    form = FreezeForm(data, project=project, initial=initial)
    form.is_valid()
    if request.method == "POST" and form.is_valid():
        try:
            found = freeze.freeze(project, form.cleaned_data["name"], form.options(), request.user)
            if found.again:
                messages.info(request, f"Nothing has changed since {found} was frozen: it is the same dataset.")
            return redirect(found)
        except freeze.NotFrozen as error:
            form.add_error(None, str(error))
    about = estimate(project, form.options() if form.is_bound else {})
    context = {"place": "datasets", "project": project, "form": form, "about": about}
    template = "annotation/dataset_new.html"
    return render(request, template + "#estimate" if request.htmx and request.method == "GET" else template, context)


def dataset(request: HttpRequest, slug: str) -> HttpResponse:
    found = dataset_or_404(request, slug)
    if request.method == "POST":
        return delete(request, found)
    if found.options.get("same_as"):
        return to_the_same(request, found)
    if found.status == "freezing":
        freeze.wake_lost()
    context = {"place": "datasets", "project": found.project, "dataset": found, "jobs": found.jobs.all()[:50]}
    context |= {"eta": eta(found)} if found.status == "freezing" else {}
    context |= shown(request, found) if found.status == "ready" else {}
    fragment = "#freezing" if request.htmx and found.status == "freezing" else ""
    response = render(request, f"annotation/dataset.html{fragment}", context)
    if request.htmx and not fragment:
        response = HttpResponse(headers={"HX-Refresh": "true"})
    return response


def dataset_or_404(request: HttpRequest, slug: str) -> Dataset:
    visible = Dataset.objects.visible_to(request.user).select_related("project", "created_by").distinct()
    found = get_object_or_404(visible, slug=slug)
    found.project.role = found.project.role_of(request.user)
    return found


def to_the_same(request: HttpRequest, found: Dataset) -> HttpResponse:
    """These rows were frozen before under another name: drop this attempt and show that dataset."""
    older = Dataset.objects.filter(slug=found.options["same_as"]).first()
    name, target = found.name, older.get_absolute_url() if older else reverse("datasets")
    found.delete()
    if older:
        messages.info(request, f"“{name}” has the same rows as {older}; nothing was frozen twice.")
    return HttpResponse(headers={"HX-Redirect": target}) if request.htmx else redirect(target)


def delete(request: HttpRequest, found: Dataset) -> HttpResponse:
    if found.project.role != "manager":
        raise PermissionDenied("Only a manager of the project can delete a dataset.")
    try:
        folder = found.folder
        found.delete()
        store().remove(folder)
        messages.success(request, f"{found} is deleted. Its rankings are untouched.")
        return redirect("datasets")
    except ProtectedError:
        messages.error(request, f"{found} stays: a training was made from it.")
        return redirect(found)


def eta(found: Dataset) -> float | None:
    seconds = (timezone.now() - found.created).total_seconds()
    return seconds * (found.total - found.done) / found.done if found.done and found.total else None


def shown(request: HttpRequest, found: Dataset) -> dict[str, Any]:
    lengths = found.report["lengths"]
    people = {str(user.pk): str(user) for user in get_user_model().objects.filter(pk__in=ids(found.report["labelers"]))}
    split = "eval" if request.GET.get("split") == "eval" else "train"
    rows, after = rows_at(found, split, request.GET.get("at", "0"))
    return {
        "report": found.report,
        "files": [(name, store().fetch(f"{found.folder}/{name}").stat().st_size) for name in FILES],
        "charts": [
            ("Length in words", "words", histogram(lengths["chosen_words"], lengths["rejected_words"])),
            ("Length in characters", "characters", histogram(lengths["chosen_chars"], lengths["rejected_chars"])),
        ],
        "labelers": [(people.get(pk, "an imported file"), n) for pk, n in found.report["labelers"].items()],
        "sources": [(SOURCES.get(name, name), n) for name, n in found.report["sources"].items()],
        "criteria": [(name or "no criterion", n) for name, n in found.report["criteria"].items()],
        "length_bias": (found.report["longer_interval"] or [0])[0] > 0.55,
        "disagreement": DISAGREEMENT[found.options["disagreement"]],
        "split": split,
        "rows": rows,
        "after": after,
        "at": request.GET.get("at", "0") != "0",
    }


def ids(labelers: dict[str, int]) -> list[int]:
    return [int(key) for key in labelers if key.isdecimal()]


def rows_at(found: Dataset, split: str, at: str) -> tuple[list[dict], int | None]:
    """A page of rows from a byte of the file on, and where the next page begins."""
    with store().fetch(f"{found.folder}/{split}.jsonl").open("rb") as file:
        start = int(at) if at.isdecimal() and len(at) < 16 else 0
        if start:
            file.seek(start - 1)
            file.readline()
        rows = [json.loads(line) for line in (file.readline() for _ in range(PAGE)) if line]
        after = file.tell()
        for row in rows:
            row["last"] = row["prompt"][-1]["content"]
        return rows, after if file.read(1) else None


@require_safe
def dataset_file(request: HttpRequest, slug: str, name: str) -> StreamingHttpResponse:
    """One of the dataset's files, streamed from the store."""
    found = dataset_or_404(request, slug)
    if name not in FILES or found.status != "ready":
        raise Http404("There is no such file.")
    return download_file(store().fetch(f"{found.folder}/{name}"), f"{found.slug}-{name}")
