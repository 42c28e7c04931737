"""Numbers of one run or several: as curves for the charts, as CSV, as several runs on one chart."""

import csv
from collections.abc import Iterator
from io import StringIO

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from annotation.downloads import download
from training import curves, metrics
from training.models import Metric, TrainingJob

OVERLAY = 8  # runs on one chart; more cannot be told apart


def visible(user) -> QuerySet:
    return TrainingJob.objects.visible_to(user).select_related(
        "dataset", "base_model", "model", "created_by", "project"
    )


def as_trace(run: TrainingJob) -> dict:
    """What charts.js needs to draw and follow a run."""
    return {"name": run.name, "url": reverse("job_metrics", args=[run.pk]), "live": not run.ended}


def job_metrics(request: HttpRequest, pk: int) -> JsonResponse:
    """Curves so far, or with ?since=LINE what came after that line."""
    run = get_object_or_404(visible(request.user), pk=pk)
    line = request.GET.get("since", "")
    found = metrics.since(run, int(line)) if line.isdecimal() else metrics.snapshot(run)
    return JsonResponse(found.as_json() | {"ended": run.ended, "step": run.step, "total": run.total})


def job_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    run = get_object_or_404(visible(request.user), pk=pk)
    return download(metric_lines(run), f"{run.name}.csv")


def metric_lines(run: TrainingJob) -> Iterator[bytes]:
    """Every logged line as CSV; its columns are the names that occur in the first thousand lines."""
    rows = Metric.objects.filter(job=run).values_list("step", "time", "values")
    names = list(dict.fromkeys(name for _, _, values in rows[:1000] for name in values))
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["step", "time", *names])
    for number, (step, time, values) in enumerate(rows.iterator(2000), start=1):
        writer.writerow([step, time, *(values.get(name, "") for name in names)])
        if number % 1000 == 0:
            yield text.getvalue().encode()
            text.seek(0), text.truncate()
    yield text.getvalue().encode()


def job_overlay(request: HttpRequest) -> HttpResponse:
    """Several runs on one chart, and the settings in which they differ."""
    picked = [
        int(pk) for value in request.GET.getlist("run") for pk in value.split(",") if pk.isdecimal() and len(pk) < 19
    ]
    runs = list(visible(request.user).filter(pk__in=picked).order_by("pk")[:OVERLAY])
    for run in runs:
        run.headline = curves.headline(run.latest)
    context = {
        "place": "train",
        "jobs": runs,
        "too_many": len(set(picked)) > OVERLAY,
        "differences": differences(runs),
        "runs": [as_trace(run) for run in runs],
    }
    return render(request, "training/job_overlay.html", context)


def differences(runs: list[TrainingJob]) -> list[tuple[str, list]]:
    """Rows of (setting, its value in each run) where they are not all the same."""
    facts = [
        {"recipe": r.recipe, "dataset": r.dataset.name, "base model": str(r.base_model), **r.settings} for r in runs
    ]
    names = dict.fromkeys(name for fact in facts for name in fact)
    rows = [(name, [fact.get(name) for fact in facts]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
