"""Other texts for one step of a trace: those there are, and sampling more from a model."""

from asgiref.sync import sync_to_async
from django.contrib import messages as flash
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from annotation.access import project_or_404
from annotation.models import Completion, Lease, Project, Prompt
from training import alternatives as sampling
from training.models import ModelVersion
from training.serving import ServingError


async def alternatives(request: HttpRequest, slug: str) -> HttpResponse:
    """A panel for the step page, or a page of its own where there is no JavaScript. Posting samples."""
    project, completion, step = await sync_to_async(asked_for)(request, slug)
    message = ""
    if request.method == "POST":
        model = await sync_to_async(chosen)(request)
        try:
            fresh = await sampling.sample(model, completion, completion.prompt.messages, step)
            message = "" if fresh else f"{model} wrote nothing new for this step. Try again, or another model."
        except ServingError as error:
            message = str(error)
    return await sync_to_async(shown)(request, project, completion, step, message)


def asked_for(request: HttpRequest, slug: str) -> tuple[Project, Completion, int]:
    """The step, if she labels it now or reviews the project."""
    project = project_or_404(request.user, slug)
    asked = request.POST if request.method == "POST" else request.GET
    pk, step = number(asked.get("prompt", "")), number(asked.get("step", ""))
    prompt = get_object_or_404(Prompt.objects.select_related("project"), project=project, pk=pk)
    if project.role == "labeler" and not Lease.objects.filter(prompt=prompt, labeler=request.user).exists():
        raise PermissionDenied("Alternatives are for the trace on your page; this one is not yours now.")
    completion = next((row for row in prompt.completions.all() if row.steps), None)
    if completion is None or not 0 <= step < len(completion.steps):
        raise Http404
    completion.prompt = prompt
    return project, completion, step


def number(text: str) -> int:
    """The number somebody sent; -1 for what is none."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1


def offered(user):
    """Models that can write a step, the newest first."""
    return ModelVersion.objects.visible_to(user).usable().filter(makes="policy")


def chosen(request: HttpRequest) -> ModelVersion:
    return get_object_or_404(offered(request.user), slug=request.POST.get("model", ""))


def shown(request: HttpRequest, project: Project, completion: Completion, step: int, message: str) -> HttpResponse:
    if request.method == "POST" and not request.htmx:
        flash.info(request, message or "Sampled. Choose one on the step page.")
        return redirect(f"{reverse('alternatives', args=[project.slug])}?prompt={completion.prompt_id}&step={step}")
    context = {
        "place": "label",
        "project": project,
        "prompt": completion.prompt,
        "step": step,
        "text": completion.steps[step],
        "alternatives": completion.alternatives.filter(step=step),
        "models": offered(request.user),
        "model": request.POST.get("model", ""),
        "message": message,
    }
    return render(request, "training/alternatives.html" + ("#sampler" if request.htmx else ""), context)
