"""Have machines label the steps of a project's traces, and compare what they say with people."""

from django.contrib import messages as flash
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.access import project_or_404
from annotation.models import Project
from annotation.steps.opinions import opinions, step_agreement
from annotation.steps.overview import machine_sources
from training.labeling import runs
from training.labeling.comparison import PEOPLE, all_compared, preview
from training.labeling.drawing import reliability
from training.labeling.estimates import estimated
from training.labeling.forms import LabelStepsForm
from training.labeling.kinds import KINDS, kind
from training.models import StepLabelRun

SHOWN = 20  # runs


def steps_project(user, slug: str, role: str) -> Project:
    """A project of kind steps, else 404."""
    project = project_or_404(user, slug, role)
    if project.kind != "steps":
        raise Http404
    return project


def step_labels(request: HttpRequest, slug: str) -> HttpResponse:
    project = steps_project(request.user, slug, "manager")
    form = form_for(request, project)
    if request.method == "POST" and form.is_valid() and form.queue():
        return redirect("step_labels", slug)
    made = list(project.step_label_runs.select_related("model")[:SHOWN])
    for run in made:
        run.how = how(run)
    context = {"project": project, "place": "label", "form": form, "runs": made, "kinds": tabs(form.kind_name)}
    context |= {"busy": any(not run.ended for run in made), "traces": runs.traces(project).count()}
    context |= estimate_of(form) if "estimate" in request.GET else {}
    template = "training/step_labels.html#runs" if request.htmx else "training/step_labels.html"
    return render(request, template, context)


def how(run: StepLabelRun) -> str:
    """Its settings in one line, without those that are empty."""
    known = {name: ", ".join(value) if isinstance(value, list) else value for name, value in run.settings.items()}
    return " · ".join(f"{name} {value}" for name, value in known.items() if value not in ("", None))


def form_for(request: HttpRequest, project: Project) -> LabelStepsForm:
    """Bound when it was sent; sources in the address are chosen beforehand."""
    name = request.POST.get("kind") or request.GET.get("kind") or next(iter(KINDS))
    if name not in KINDS:
        raise Http404
    sources = request.GET.getlist("sources")
    beforehand = {"sources": sources} if sources else {}
    data = request.POST or (request.GET if "estimate" in request.GET else None)
    return LabelStepsForm(data, project=project, kind_name=name, user=request.user, initial=beforehand)


def tabs(chosen: str) -> list[dict]:
    return [{"name": name, "title": kind(name).TITLE, "here": name == chosen} for name in KINDS]


def step_labels_estimate(request: HttpRequest, slug: str) -> HttpResponse:
    """What the form as it stands would cost; a fragment of the page."""
    project = steps_project(request.user, slug, "manager")
    form = form_for(request, project)
    context = {"project": project, "form": form} | estimate_of(form)
    return render(request, "training/step_labels.html#estimate", context)


def estimate_of(form: LabelStepsForm) -> dict:
    run = form.run() if form.is_valid() else None
    return {"asked": True, "run": run, "estimate": estimated(run) if run else None}


@require_POST
def step_labels_cancel(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project = steps_project(request.user, slug, "manager")
    runs.cancel(get_object_or_404(StepLabelRun, project=project, pk=pk))
    return redirect("step_labels", slug)


@require_POST
def step_proposals(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a source's labels to labelers as proposals, or no longer."""
    project = steps_project(request.user, slug, "manager")
    name = request.POST.get("name", "")
    if name in project.proposals:
        project.proposals = [each for each in project.proposals if each != name]
        flash.success(request, f"{name} is no longer proposed to labelers.")
    elif name in machine_sources(project):
        project.proposals = [*project.proposals, name]
        flash.success(request, f"Labelers now see what {name} says of each step, to accept or correct.")
    project.save(update_fields=["proposals"])
    back = "step_sources" if request.POST.get("from") == "sources" else "step_labels"
    return redirect(back, slug)


def step_sources(request: HttpRequest, slug: str) -> HttpResponse:
    project = steps_project(request.user, slug, "reviewer")
    said = opinions(project)
    names = said.machines
    truth = request.GET.get("truth") or (PEOPLE if said.people else next(iter(imports(names)), PEOPLE))
    chosen = [name for name in request.GET.getlist("sources") if name in names]
    compared = all_compared(said, truth)
    drawn = [{"source": each, "points": reliability(each.calibration)} for each in compared if each.calibration]
    context = {
        "project": project, "place": "label", "said": said, "truth": truth, "compared": compared, "drawn": drawn,
        "names": names, "chosen": chosen, "people": PEOPLE, "step_agreement": step_agreement(project),
        "preview": preview(said, chosen, truth) if len(chosen) > 1 else None, "looked_at": len(said.ratings),
    }  # fmt: skip
    return render(request, "training/step_sources.html", context)


def imports(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("import:")]
