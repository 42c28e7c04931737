"""Trainings: the list, one run live, and what can be done to it."""

import json
from contextlib import suppress

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.downloads import download
from annotation.models import Project
from training import artifacts, curves
from training import jobs as engine
from training.launch_form import changed
from training.models import TrainingJob
from training.recipes import RECIPES
from training.views import hacking, rollouts
from training.views.curves import as_trace, visible

PAGE = 50
TABS = {"samples": "Samples", "log": "Log", "settings": "Settings", "machine": "Machine", "files": "Files"}
SAMPLES = 120  # shown at once
FAILURES = {
    "out_of_memory": "Out of memory",
    "bad_config": "A setting does not work",
    "bad_data": "The data does not work",
    "disk_full": "The disk is full",
    "crash": "The training crashed",
    "lost": "The training was lost",
}


def jobs(request: HttpRequest) -> HttpResponse:
    found = matching(visible(request.user).order_by("-pk"), request.GET)
    before = request.GET.get("before", "")
    runs = list(found.filter(pk__lt=int(before))[: PAGE + 1] if before.isdecimal() else found[: PAGE + 1])
    for run in runs:
        run.headline = curves.headline(run.latest)
        run.place = engine.queue_place(run) if run.status == "queued" else None
    context = {
        "place": "train",
        "runs": runs[:PAGE],
        "next": runs[PAGE - 1].pk if len(runs) > PAGE else None,
        "live": any(not run.ended for run in runs[:PAGE]),
        "waiting": any(run.status == "queued" for run in runs),
        "picked": set(request.GET.getlist("run")),
        "filters": {name: request.GET.get(name, "") for name in ("q", "status", "recipe", "project")},
        "statuses": TrainingJob.STATUS,
        "recipes": list(RECIPES),
        "can_launch": Project.objects.run_by(request.user).exists(),
    }
    return render(request, "training/jobs.html#rows" if request.htmx else "training/jobs.html", context)


def matching(found: QuerySet, wanted) -> QuerySet:
    """Filter by the few fields the page offers; anything else in the address is ignored."""
    if (text := wanted.get("q", "")[:200].strip()) and "\x00" not in text:
        found = found.filter(
            Q(name__icontains=text) | Q(dataset__name__icontains=text) | Q(base_model__name__icontains=text)
        )
    if wanted.get("status") in dict(TrainingJob.STATUS):
        found = found.filter(status=wanted["status"])
    if wanted.get("recipe") in RECIPES:
        found = found.filter(recipe=wanted["recipe"])
    if wanted.get("project"):
        found = found.filter(project__slug=wanted["project"].replace("\0", ""))
    return found


def job(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(visible(request.user), pk=pk)
    if run.ended and not run.seen and run.created_by_id == request.user.pk:
        TrainingJob.objects.filter(pk=pk).update(seen=True)
    tabs = rollouts.TAB | TABS if rollouts.draws(run) else TABS
    tab = request.GET.get("tab") if request.GET.get("tab") in tabs else next(iter(tabs))
    part = request.GET.get("part") if request.htmx and request.GET.get("part") in ("state", "tab") else None
    context = {
        "place": "train",
        "project": run.project,
        "job": run,
        "tab": tab,
        "tabs": tabs,
        "tab_template": f"training/job_{tab}.html",
        "manager": run.project.role_of(request.user) == "manager",
        "runs": [as_trace(run)],
    }
    if part == "tab" and tab == "samples" and not run.ended and request.GET.get("seen") == newest(run):
        return HttpResponse(status=204)  # nothing new: what is open on the page stays open
    context |= {} if part == "tab" else state(run)
    if part is None or (part == "state" and run.ended):
        context |= hacking.watched(run, request.user)
    if part != "state":
        context |= rollouts.listed(run, request.GET) if tab == "rollouts" else TAB_CONTEXT[tab](run)
    return render(request, f"training/job.html#{part}" if part else "training/job.html", context)


def state(run: TrainingJob) -> dict:
    """What the left column and the alarms show."""
    error = run.error or {}
    return {
        "queue": engine.queue_place(run) if run.status == "queued" else None,
        "why_waiting": engine.why_waiting(run),
        "resumable": run.status in engine.RESUMABLE,
        "headline": curves.headline(run.latest),
        "changed": [row for row in changed(run.recipe, run.settings) if row["changed"]],
        "took": (run.finished - run.started).total_seconds() if run.finished and run.started else None,
        "error_title": FAILURES.get(error.get("class"), "The training failed"),
        "log_end": "\n".join(run.log.splitlines()[-15:]) if error else "",
    }


def samples(run: TrainingJob) -> dict:
    """Each prompt's completions together, newest step first."""
    groups: dict[str, dict] = {}
    for sample in run.samples.order_by("-step", "line")[:SAMPLES]:
        group = groups.setdefault(json.dumps(sample.prompt), {"prompt": turns(sample.prompt), "samples": []})
        group["samples"].append(sample)
    return {"groups": list(groups.values()), "newest": newest(run)}


def newest(run: TrainingJob) -> str:
    return str(run.samples.order_by("-line").values_list("line", flat=True).first())


def turns(prompt) -> list[dict]:
    return [turn for turn in prompt if isinstance(turn, dict)] if isinstance(prompt, list) else []


def machine(run: TrainingJob) -> dict:
    return {"versions": versions(run), "latest": sorted(run.latest.items())}


def versions(run: TrainingJob) -> dict:
    """Of the libraries it ran with, where its run directory can be read from here."""
    config = next((file for file in artifacts.listing(run.run_dir) if file.path == "config.json"), None)
    if config is None:
        return {}
    with suppress(ValueError, OSError), artifacts.open_file(run.run_dir, config) as handle:
        return json.load(handle).get("versions", {})
    return {}


TAB_CONTEXT = {
    "samples": samples,
    "log": lambda run: {},
    "settings": lambda run: {"rows": changed(run.recipe, run.settings)},
    "machine": machine,
    "files": lambda run: {"files": artifacts.listing(run.run_dir)},
}


def job_file(request: HttpRequest, pk: int, path: str) -> HttpResponseBase:
    run = get_object_or_404(visible(request.user), pk=pk)
    file = next((file for file in artifacts.listing(run.run_dir) if file.path == path), None)
    if file is None:
        raise Http404("This run has no such file.")
    return download(artifacts.chunks(run.run_dir, file), path.rpartition("/")[2], file.size)


def managed(user, pk: int) -> TrainingJob:
    run = get_object_or_404(visible(user), pk=pk)
    if run.project.role_of(user) != "manager":
        raise PermissionDenied(f"Only a manager of {run.project} stops or resumes its trainings.")
    return run


@require_POST
def job_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = managed(request.user, pk)
    how = "save" if request.POST.get("how") == "save" else "stop"
    return done(request, run, lambda: engine.cancel(run, how), "Stopping.")


@require_POST
def job_resume(request: HttpRequest, pk: int) -> HttpResponse:
    run = managed(request.user, pk)
    return done(request, run, lambda: engine.resume(run), "Queued again: it goes on from its newest checkpoint.")


def done(request: HttpRequest, run: TrainingJob, act, said: str) -> HttpResponse:
    """Do it and go back to the run; what cannot be done is said there."""
    try:
        act()
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect(run)
