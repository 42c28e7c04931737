"""Trainings: the list, one run live, and what can be done to it."""

import json
from contextlib import suppress

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

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
    """The page; its buttons post to it."""
    run = get_object_or_404(visible(request.user), pk=pk)
    if request.method == "POST":
        return acted(request, run)
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


ACTS = {
    "save": (lambda run: engine.cancel(run, "save"), "Stopping."),
    "stop": (lambda run: engine.cancel(run, "stop"), "Stopping."),
    "resume": (engine.resume, "Queued again: it goes on from its newest checkpoint."),
}


def acted(request: HttpRequest, run: TrainingJob) -> HttpResponse:
    """Do what a button asks and come back to the same address, the open tab included; what cannot be done is said."""
    if run.project.role_of(request.user) != "manager":
        raise PermissionDenied(f"Only a manager of {run.project} stops or resumes its trainings.")
    if request.POST.get("do") not in ACTS:
        return HttpResponseBadRequest(f"A run can be asked to {', '.join(ACTS)}.")
    act, said = ACTS[request.POST["do"]]
    try:
        act(run)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect(request.get_full_path())
