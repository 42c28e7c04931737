"""The part of the REST API that has machines label the steps of a project's traces."""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Field, Router, Schema, Status

from annotation.access import project_or_404
from training.labeling import runs
from training.labeling.kinds import KINDS
from training.models import ModelVersion, StepLabelRun
from training.views.labeling import SHOWN, steps_project

router = Router(tags=["labels"])


class StepLabelRunIn(Schema):
    """Which machine labels what; settings left out take the kind's defaults."""

    kind: str = Field(description=f"one of {', '.join(KINDS)}")
    model: str = Field("", description="who completes, or judges; verifier and consensus do without")
    settings: dict[str, Any] = Field({}, description="n, search, verifier, threshold, sources, …: those of the kind")
    name: str = Field("", description="of the source; empty: the model's or verifier's")
    which: str = Field("all", description=f"one of {', '.join(runs.WHICH)}")
    most: int | None = Field(None, description="traces, at most")
    again: str = Field("", description="replace or add, where the source has labels already")


class StepLabelRunOut(Schema):
    id: int
    kind: str
    source: str = Field(description="kind:name, as datasets and exports name it")
    model: str | None
    status: str
    done: int
    total: int
    eta: float | None = Field(description="seconds left")
    settings: dict[str, Any]
    message: str
    report: dict[str, Any] = Field(description="steps labeled, what it cost, which traces got no label and why")


@router.post("/projects/{slug}/step-labels", response={202: StepLabelRunOut})
def label_steps(request, slug: str, body: StepLabelRunIn):
    """Have a machine label steps; follow it at GET /step-labels/{id} until it succeeded, failed or was cancelled."""
    project = steps_project(request.user, slug, "manager")
    usable = ModelVersion.objects.visible_to(request.user).usable()
    model = get_object_or_404(usable, slug=body.model) if body.model else None
    asked = (body.name, body.which, body.most, body.again)
    return Status(202, runs.told(runs.queue_run(project, body.kind, model, body.settings, request.user, *asked)))


@router.get("/projects/{slug}/step-labels", response=list[StepLabelRunOut])
def step_label_runs(request, slug: str):
    """The project's newest runs."""
    project = steps_project(request.user, slug, "manager")
    return [runs.told(run) for run in project.step_label_runs.select_related("model")[:SHOWN]]


@router.get("/step-labels/{pk}", response=StepLabelRunOut)
def step_label_run(request, pk: int):
    return runs.told(run_or_404(request, pk))


@router.post("/step-labels/{pk}/cancel", response=StepLabelRunOut)
def cancel_step_label_run(request, pk: int):
    """Stop it within a second or two; what is labeled stays."""
    runs.cancel(run_or_404(request, pk))
    return runs.told(run_or_404(request, pk))


def run_or_404(request, pk: int) -> StepLabelRun:
    run = StepLabelRun.objects.select_related("project", "model").filter(pk=pk).first()
    if run is None:
        raise Http404
    project_or_404(request.user, run.project.slug, "manager")
    return run
