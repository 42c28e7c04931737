"""What both labeling pages do: hand out what is next, take labels, skips, undos and drafts; JSON for their scripts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.access import project_or_404, visible_project
from annotation.models import Project, Prompt, Skip
from annotation.progress import progress, standstill
from annotation.ranks import Invalid
from annotation.slots import TooLate, skip
from annotation.undo import undo

NOTHING = {"detail": "Nothing to undo: the last ten decisions can be opened again."}


@dataclass(frozen=True)
class Page:
    """A page on which one kind of project is labeled; forms on it work without JavaScript."""

    kind: str  # of the projects
    turns: str  # what its addresses and templates begin with
    gives: str  # what a submit stores, in its answer
    said_in: Callable[[Mapping], dict[str, Any]]  # a form, as `submit` reads it
    next: Callable[..., dict | None]
    submit: Callable[..., Any]
    submit_held: Callable[..., int | None]
    save_draft: Callable[..., Any]
    filled: Callable[[Project, dict, dict, dict], dict[str, Any]]  # what the card shows beside the task and its draft

    def addresses(self) -> list[URLPattern]:
        start, asked = f"projects/<slug:slug>/{self.turns}/", {"page": self}
        parts = {"next": following, "submit": submitted, "skip": skipped, "undo": undone, "draft": drafted}
        parted = [path(f"{start}{name}/", view, asked, name=f"{self.turns}_{name}") for name, view in parts.items()]
        return [path(start, shown, asked, name=self.turns), *parted]


@never_cache
@require_safe
def shown(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    project = project_or_404(request.user, slug)
    return whole(request, page, project) if project.kind == page.kind else redirect(project.label_url)


@never_cache
@require_safe
def following(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    """The card after those `besides`, fetched ahead so that the page turns at once."""
    context = card(request, page, visible_project(request.user, slug), besides(request))
    template = f"{page.turns}_card" if context["task"] else "label_end"
    return render(request, f"annotation/{template}.html", context)


@require_POST
def submitted(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    said, pk, key = page.said_in(request.POST), number(request.POST.get("prompt", "")), request.POST.get("key")
    if pk and (label := page.submit_held(pk, slug, request.user, said, key)):
        return answer(request, page, slug, {page.gives: label, "again": False})
    prompt = posted_prompt(request, slug, page)
    try:
        done = page.submit(prompt, request.user, said, key)
    except Invalid as invalid:
        page.save_draft(prompt, request.user, said)
        return refused(request, page, prompt.project, invalid)
    except TooLate as late:
        return answer(request, page, slug, {"detail": str(late)}, 409)
    return answer(request, page, slug, {page.gives: getattr(done, page.gives).pk, "again": done.again})


@require_POST
def skipped(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    prompt = keep_draft(request, slug, page)
    try:
        passed = skip(prompt, request.user, request.POST.get("reason", ""), request.POST.get("comment", ""))
    except Invalid as invalid:
        return refused(request, page, prompt.project, invalid)
    return answer(request, page, slug, {"skip": passed and passed.pk})


@require_POST
def undone(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    project = project_or_404(request.user, slug)
    if request.POST.get("prompt"):
        keep_draft(request, slug, page)
    decision = undo(project, request.user)
    if decision is None:
        return answer(request, page, slug, NOTHING, 409)
    return answer(request, page, slug, {"prompt": decision.prompt_id, "was": decision._meta.model_name})


@require_POST
def drafted(request: HttpRequest, slug: str, page: Page) -> HttpResponse:
    keep_draft(request, slug, page)
    return HttpResponse(status=204)


def keep_draft(request: HttpRequest, slug: str, page: Page) -> Prompt:
    prompt = posted_prompt(request, slug, page)
    page.save_draft(prompt, request.user, page.said_in(request.POST))
    return prompt


def posted_prompt(request: HttpRequest, slug: str, page: Page) -> Prompt:
    """The prompt the form is about, with its project, if that is of this kind and the user a member of it."""
    prompts = Prompt.objects.visible_to(request.user).select_related("project")
    pk = number(request.POST.get("prompt", ""))
    return get_object_or_404(prompts, pk=pk, project__slug=slug, project__kind=page.kind)


def number(text: str) -> int:
    """The id somebody sent; 0 for what cannot be one."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def besides(request: HttpRequest) -> list[int]:
    """Prompts the page holds already."""
    return [pk for text in request.GET.getlist("besides")[:20] if (pk := number(text))]


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept") == "application/json"


def answer(request: HttpRequest, page: Page, slug: str, data: dict, status: int = 200) -> HttpResponse:
    """JSON for the page's script; for a plain form the page itself, with the message on it."""
    if wants_json(request):
        return JsonResponse(data, status=status)
    if status >= 400:
        messages.error(request, data["detail"])
    return redirect(page.turns, slug)


def refused(request: HttpRequest, page: Page, project: Project, invalid: Invalid) -> HttpResponse:
    """What was sent stands as a draft; each error stands at its field."""
    if wants_json(request):
        return JsonResponse({"detail": str(invalid), "errors": invalid.errors}, status=422)
    return whole(request, page, project, invalid.errors, status=422)


def whole(
    request: HttpRequest, page: Page, project: Project, errors: dict | None = None, status: int = 200
) -> HttpResponse:
    context = card(request, page, project, errors=errors)
    context |= {"progress": progress(project, request.user), "place": "label"}
    return render(request, f"annotation/{page.turns}.html", context, status=status)


def card(
    request: HttpRequest, page: Page, project: Project, besides: list[int] = (), errors: dict | None = None
) -> dict[str, Any]:
    """What the card shows: the task with its draft filled in, or why there is none."""
    context = {"project": project, "turns": page.turns, "task": page.next(project, request.user, besides)}
    if context["task"] is None:
        project.role = project.role_of(request.user)
        return context | {"end": standstill(project, request.user) | progress(project, request.user)}
    context |= {"draft": context["task"]["draft"] or {}, "errors": errors or {}, "reasons": Skip.REASONS}
    return context | page.filled(project, context["task"], context["draft"], context["errors"])
