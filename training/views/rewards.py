"""Rewards on pages: the builder of a list, trying it on a completion, checking it on a sample of a dataset."""

import json
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotation.models import Dataset, Project
from training import reward_builder as builder
from training import reward_trials as trials
from training.models import RewardTrial

EXAMPLE = "math 1; format 0.2"
ALL_PARTS = {"HX-Retarget": "#rewards-parts", "HX-Reselect": "#rewards-parts > *", "HX-Reswap": "innerHTML settle:0ms"}


def allowed(request: HttpRequest) -> None:
    if not Project.objects.run_by(request.user).exists():
        raise PermissionDenied("Trying rewards needs the role of manager on a project.")


def without_nul(text: str) -> str:
    """PostgreSQL keeps no NUL, and no text needs one."""
    return text.replace("\0", "")


def datasets_of(user: Any):
    mine = Project.objects.run_by(user)
    return Dataset.objects.filter(project__in=mine, status="ready", shape="prompts").order_by("-created")


@require_safe
def rewards(request: HttpRequest) -> HttpResponse:
    """The page of their own: every reward there is, and the box to try them in."""
    allowed(request)
    text = request.GET.get("rewards") or EXAMPLE
    dataset = datasets_of(request.user).filter(slug=without_nul(request.GET.get("dataset", ""))).first()
    return page(request, text, trials.box(dataset), None)


def page(request: HttpRequest, text: str, box: dict[str, str], trial: RewardTrial | None, **more: Any) -> HttpResponse:
    context = {"place": "train", "builder": builder.shown(text, None, trials.model_names(request.user)), "box": box}
    context |= {"trial": trial, "datasets": datasets_of(request.user)[:100], **more}
    return render(request, "training/rewards.html", context, status=422 if more.get("error") else 200)


@require_POST
def reward_builder(request: HttpRequest) -> HttpResponse:
    """The fields again, after one was changed, added or removed; all are drawn anew where the text was edited."""
    allowed(request)
    about = builder.shown(*builder.changed(request.POST), trials.model_names(request.user))
    response = render(request, "training/rewards_builder.html", {"builder": about})
    if builder.edited_text(request.POST):
        for name, value in ALL_PARTS.items():
            response[name] = value
    return response


@require_POST
def reward_try(request: HttpRequest) -> HttpResponse:
    """Score the completion in the box; a worker does it."""
    allowed(request)
    text, box = builder.said(request.POST), {key: without_nul(request.POST.get(f"try-{key}", "")) for key in BOX}
    try:
        trial = trials.ask(request.user, text, box["prompt"], box["completion"], columns_of(box))
    except ValueError as error:
        return refused(request, text, box, str(error))
    return begun(request, trial)


BOX = ("prompt", "completion", "reference", "columns")


def columns_of(box: dict[str, str]) -> dict[str, Any]:
    """The row beside the prompt. Raises ValueError."""
    found = {}
    if box["columns"].strip():
        try:
            found = json.loads(box["columns"].replace(r"\u0000", ""))
        except ValueError as error:
            raise ValueError(f"The other columns are no JSON: {error}.") from None
        if not isinstance(found, dict):
            raise ValueError('The other columns should be an object, as in {"tests": "assert f(1) == 2"}.')
    return found | ({"reference": box["reference"]} if box["reference"].strip() else {})


def refused(request: HttpRequest, text: str, box: dict[str, str], error: str) -> HttpResponse:
    if request.htmx:
        return render(request, "training/reward_trial.html#result", {"error": error})
    return page(request, text, box, None, error=error)


def begun(request: HttpRequest, trial: RewardTrial) -> HttpResponse:
    if request.htmx:
        return render(request, "training/reward_trial.html#result", {"trial": trial})
    return redirect("reward_trial", trial.pk)


@require_POST
def reward_sample(request: HttpRequest) -> HttpResponse:
    """Score what the project has for prompts of a dataset."""
    allowed(request)
    key = without_nul(request.POST.get("dataset", ""))
    found = datasets_of(request.user)
    dataset = found.filter(pk=key).first() if key.isdecimal() else found.filter(slug=key).first()
    text = builder.said(request.POST)
    if not dataset:
        return refused(request, text, {}, "Choose a dataset of prompts first; freeze one from a project.")
    try:
        trial = trials.ask_sample(request.user, text, dataset)
    except ValueError as error:
        return refused(request, text, {}, str(error))
    return begun(request, trial)


@require_safe
def reward_trial(request: HttpRequest, pk: int) -> HttpResponse:
    trial = get_object_or_404(RewardTrial.objects.visible_to(request.user), pk=pk)
    if request.htmx:
        return render(request, "training/reward_trial.html#result", {"trial": trial})
    item = trial.items[0] if trial.items else None
    return page(request, trial.rewards, trials.as_box(item) if item else {}, trial)
