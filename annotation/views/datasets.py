"""Datasets: the list, freezing, one dataset with its rows and files."""

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from annotation.access import project_or_404
from annotation.downloads import download, download_file
from annotation.freezing import freeze
from annotation.models import Dataset, Project
from annotation.store import store
from annotation.views import pair_datasets as pairs
from annotation.views import prompt_datasets as prompts
from annotation.views import trace_datasets as traces

PAGE = 10
FORMS = {"ranking": pairs.FreezeForm, "steps": traces.FreezeForm, "prompts": prompts.FreezeForm}
TEMPLATES = {
    "ranking": "annotation/dataset_new.html",
    "steps": "annotation/dataset_new_traces.html",
    "prompts": "annotation/dataset_new_prompts.html",
}
FILES = ("train.jsonl", "eval.jsonl", "train.parquet", "eval.parquet")


@require_safe
def datasets(request: HttpRequest) -> HttpResponse:
    found = Dataset.objects.visible_to(request.user).select_related("project", "created_by").distinct()
    found = found.annotate(job_count=Count("jobs", distinct=True)).order_by("-created")[:200]
    mine = Project.objects.run_by(request.user).distinct()
    return render(request, "annotation/datasets.html", {"place": "datasets", "datasets": found, "mine": mine})


def dataset_new(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    initial = {"name": f"{project.name[:100]} {timezone.now():%Y-%m-%d}"}
    data = request.POST or (request.GET if request.htmx else None)
    kind = "prompts" if "prompts" in (request.GET.get("shape"), request.POST.get("shape")) else project.kind
    form = FORMS[kind](data, project=project, initial=initial)
    form.is_valid()
    if request.method == "POST" and form.is_valid():
        try:
            name, shape = form.cleaned_data["name"], form.cleaned_data.get("shape", "")
            found = freeze.freeze(project, name, form.options(), request.user, shape=shape)
            if found.again:
                messages.info(request, f"Nothing has changed since {found} was frozen: it is the same dataset.")
            return redirect(found)
        except freeze.NotFrozen as error:
            form.add_error(None, str(error))
    context = {"place": "datasets", "project": project, "form": form, "about": form.estimate()}
    template, context["kind"] = TEMPLATES[kind], kind
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
    split = "eval" if request.GET.get("split") == "eval" else "train"
    rows, after = rows_at(found, split, request.GET.get("at", "0"))
    return report_of(found, rows) | {
        "report": found.report,
        "files": [(name, store().fetch(f"{found.folder}/{name}").stat().st_size) for name in FILES],
        "split": split,
        "rows": rows,
        "after": after,
        "at": request.GET.get("at", "0") != "0",
    }


def report_of(found: Dataset, rows: list[dict]) -> dict[str, Any]:
    if found.shape == "pairs":
        return pairs.report_of(found)
    return (prompts if found.shape == "prompts" else traces).report_of(found, rows)


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
    """One of the dataset's files, streamed from the store; stepwise rows in other formats too."""
    found = dataset_or_404(request, slug)
    if found.status == "ready" and found.shape == "stepwise" and name in traces.CONVERTED:
        return download(traces.converted_file(found, name), f"{found.slug}-{name}")
    if name not in FILES or found.status != "ready":
        raise Http404("There is no such file.")
    return download_file(store().fetch(f"{found.folder}/{name}"), f"{found.slug}-{name}")
