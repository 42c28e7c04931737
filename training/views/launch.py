"""Launch a training: choose, set, look at what preflight found, launch."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from annotation.models import Project
from training import jobs as engine
from training import preflights, reward_trials, served_rewards
from training import reward_builder as builder
from training.launch_form import (
    PRESETS,
    REWARDS,
    ChoicesForm,
    SettingsForm,
    chosen,
    datasets_of,
    preset,
    preset_of,
    usual_recipe,
)
from training.models import Preflight, TrainingJob
from training.recipes import RECIPES
from training.report import digest


def job_new(request: HttpRequest) -> HttpResponse:
    """GET fills the form from the address; POST fills it again, checks or launches."""
    if not Project.objects.run_by(request.user).exists():
        raise PermissionDenied("Launching a training needs the role of manager on a project.")
    if request.method == "POST":
        return refilled(request) if request.POST.get("action") == "fill" else submitted(request)
    if request.GET.get("check", "").isdecimal():
        return checked(request, get_object_or_404(Preflight, pk=request.GET["check"], created_by=request.user))
    said, settings = request.GET.dict(), None
    if said.get("from", "").isdecimal():
        run = get_object_or_404(TrainingJob.objects.visible_to(request.user), pk=said["from"])
        said, settings = as_choices(run, run.project_id) | said, run.settings
    return blank(request, said, settings)


def blank(request: HttpRequest, said: dict[str, Any], settings: dict[str, Any] | None = None) -> HttpResponse:
    """A form with these choices, and these settings or a preset's."""
    if not said.get("project") and (dataset := chosen(datasets_of(request.user), said.get("dataset"))):
        said = said | {"project": dataset.project_id}
    name = said["recipe"] if said.get("recipe") in RECIPES else usual_recipe(request.user, said)
    which = "" if settings else said.get("preset") if said.get("preset") in PRESETS else "small"
    form = SettingsForm(name, initial=settings or preset(name, which))
    return page(request, ChoicesForm(request.user, initial=said | {"recipe": name}), form, which)


def refilled(request: HttpRequest) -> HttpResponse:
    """Another project, recipe or preset was chosen. What was typed stays, unless recipe or preset replace it."""
    said = request.POST.dict()
    if said.get("recipe") not in RECIPES or not fits(said):
        return blank(request, said)
    settings = SettingsForm(said["recipe"], with_rewards(request.POST))
    return page(request, ChoicesForm(request.user, initial=said), settings, said.get("preset", ""))


def fits(said: dict[str, Any]) -> bool:
    """Whether the settings were shown for the recipe and preset chosen now; without a script they may not have been."""
    return said.get("shown") == f"{said.get('recipe')} {said.get('preset', '')}"


def as_choices(row: TrainingJob | Preflight, project: int) -> dict[str, Any]:
    names = {"dataset": row.dataset_id, "base_model": row.base_model_id, "recipe": row.recipe}
    executor, _, processes = row.executor.partition(":")
    where = {"device": row.device, "executor": executor, "processes": processes, "queue": row.queue}
    return names | where | {"project": project, "name": row.name}


def page(request, choices, settings, which: str, check: Preflight | None = None, status: int = 200) -> HttpResponse:
    context = {
        "place": "train",
        "project": choices.project,
        "choices": choices,
        "settings": settings,
        "presets": PRESETS,
        "preset": which,
        "check": check,
        "report": report_of(check),
    }
    if settings.rewards:
        text = settings.rewards.value() or ""
        chosen_dataset = chosen(choices.fields["dataset"].queryset, choices["dataset"].value())
        context["box"] = reward_trials.box(chosen_dataset or choices.fields["dataset"].queryset.first())
        context["builder"] = builder.shown(text, None, reward_trials.model_names(request.user))
    return render(request, "training/job_new.html", context, status=status)


def report_of(check: Preflight | None) -> dict[str, Any] | None:
    return digest(check.report, check.settings.get("max_length")) if check and check.report else None


def checked(request: HttpRequest, check: Preflight) -> HttpResponse:
    """The form as it was checked, beside what was found."""
    context = {"check": check, "report": report_of(check), "place": "train"}
    if request.htmx and request.GET.get("part") == "check":
        return render(request, "training/job_new.html#check", context)
    choices = ChoicesForm(request.user, initial=as_choices(check, check.dataset.project_id))
    which = preset_of(check.recipe, check.settings)
    return page(request, choices, SettingsForm(check.recipe, initial=check.settings), which, check)


def with_rewards(data: QueryDict) -> QueryDict:
    """The form with the list of rewards that its fields mean."""
    if builder.TEXT not in data:
        return data
    data = data.copy()
    data[builder.TEXT] = builder.said(data)
    return data


def missing_models(settings: SettingsForm, user: Any) -> None:
    """Say which models the rewards, or gold, name are not there for this person."""
    if settings.rewards and settings.is_valid():
        lists = {name: settings.cleaned_data.get(name, "") for name in (REWARDS, "gold")}
        for name, text in lists.items():
            for problem in served_rewards.problems(text, user) if text.strip() else ():
                settings.add_error(name, problem)


def submitted(request: HttpRequest) -> HttpResponse:
    if request.POST.get("shown") and request.POST.get("recipe") in RECIPES and not fits(request.POST):
        messages.info(request, "You chose another recipe or preset: its settings are filled in. Look, then check.")
        return refilled(request)
    choices = ChoicesForm(request.user, request.POST)
    name = request.POST.get("recipe") if request.POST.get("recipe") in RECIPES else "dpo"
    settings = SettingsForm(name, with_rewards(request.POST))
    missing_models(settings, request.user)
    if not (choices.is_valid() & settings.is_valid()):
        return page(request, choices, settings, request.POST.get("preset", ""), status=422)
    chosen = ("dataset", "recipe", "base_model", "device", "executor", "queue")
    wanted = {key: choices.cleaned_data[key] for key in chosen}
    wanted |= {"settings": settings.cleaned_data, "name": choices.cleaned_data["name"]}
    if request.POST.get("action") == "launch" and (check := passed(request, wanted)):
        return launch(request, check)
    check = preflights.ask(request.user, **wanted)
    return redirect(f"{reverse('job_new')}?check={check.pk}#check")


def passed(request: HttpRequest, wanted: dict[str, Any]) -> Preflight | None:
    """The finished check of exactly these choices; anything changed since is checked again."""
    pk = request.POST.get("check", "")
    check = Preflight.objects.filter(pk=pk, created_by=request.user, status="ready").first() if pk.isdecimal() else None
    same = check and all(getattr(check, key) == value for key, value in wanted.items() if key != "name")
    if not same:
        messages.info(request, "What you chose differs from what was checked, so it is checked again.")
        return None
    check.name = wanted["name"]
    return check


def launch(request: HttpRequest, check: Preflight) -> HttpResponse:
    """Errors block; warnings need the box ticked."""
    back = redirect(f"{reverse('job_new')}?check={check.pk}#check")
    report = report_of(check)
    if report["errors"]:
        messages.error(request, "This cannot be launched: the check found errors.")
        return back
    if report["warnings"] and not request.POST.get("confirmed"):
        messages.error(request, "Read the warnings and tick the box to launch all the same.")
        return back
    try:
        return redirect(launch_once(request, check))
    except ValueError as error:
        messages.error(request, str(error))
        return back


@transaction.atomic
def launch_once(request: HttpRequest, check: Preflight) -> TrainingJob:
    """A check launches one training, however often its form is sent."""
    row = Preflight.objects.select_for_update(of=("self",)).get(pk=check.pk)
    if job := TrainingJob.objects.filter(pk=row.report.get("launched"), created_by=request.user).first():
        messages.info(request, "This was launched already. To run it once more, choose “Train again…”.")
        return job
    chosen = (check.dataset, check.recipe, check.base_model, check.settings, check.name)
    job = engine.launch(request.user, *chosen, executor=check.executor, queue=check.queue, device=check.device)
    TrainingJob.objects.filter(pk=job.pk).update(preflight=check.report)
    row.report["launched"] = job.pk
    row.save(update_fields=["report"])
    return job
