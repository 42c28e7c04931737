"""The ranking page: hand out the next prompt, take rankings, skips, undos and drafts; forms work without JavaScript."""

from html import unescape
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import strip_tags
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.access import project_or_404, visible_project
from annotation.models import Project, Skip
from annotation.progress import progress, standstill
from annotation.ranking import next_prompt, save_draft, submit_held, submit_ranking
from annotation.ranks import FLAGS, Invalid
from annotation.slots import TooLate, skip
from annotation.templatetags.text import markdown
from annotation.undo import undo
from annotation.views.posting import NOTHING, answer, besides, number, posted_prompt, refusal, wants_json

RATINGS = range(1, 8)


@never_cache
@require_safe
def rank(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    return page(request, project) if project.kind == "ranking" else redirect(project.label_url)


@never_cache
@require_safe
def rank_next(request: HttpRequest, slug: str) -> HttpResponse:
    """The card after those `besides`, fetched ahead so that the page turns at once."""
    project = visible_project(request.user, slug)
    context = card(request, project, besides(request))
    return render(request, f"annotation/{'rank_card' if context['task'] else 'label_end'}.html", context)


@require_POST
def rank_submit(request: HttpRequest, slug: str) -> HttpResponse:
    said, pk = said_in(request.POST), number(request.POST.get("prompt", ""))
    if pk and (ranking := submit_held(pk, slug, request.user, said, request.POST.get("key"))):
        return answer(request, "rank", slug, {"ranking": ranking, "again": False})
    prompt = posted_prompt(request, slug, "ranking")
    try:
        done = submit_ranking(prompt, request.user, said, request.POST.get("key"))
    except Invalid as invalid:
        save_draft(prompt, request.user, said)
        return refused(request, prompt.project, invalid)
    except TooLate as late:
        return answer(request, "rank", slug, {"detail": str(late)}, 409)
    return answer(request, "rank", slug, {"ranking": done.ranking.pk, "again": done.again})


@require_POST
def rank_skip(request: HttpRequest, slug: str) -> HttpResponse:
    prompt = posted_prompt(request, slug, "ranking")
    save_draft(prompt, request.user, said_in(request.POST))
    try:
        skipped = skip(prompt, request.user, request.POST.get("reason", ""), request.POST.get("comment", ""))
    except Invalid as invalid:
        return refused(request, prompt.project, invalid)
    return answer(request, "rank", slug, {"skip": skipped and skipped.pk})


@require_POST
def rank_undo(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    if request.POST.get("prompt"):
        save_draft(posted_prompt(request, slug, "ranking"), request.user, said_in(request.POST))
    decision = undo(project, request.user)
    if decision is None:
        return answer(request, "rank", slug, NOTHING, 409)
    return answer(request, "rank", slug, {"prompt": decision.prompt_id, "was": decision._meta.model_name})


@require_POST
def rank_draft(request: HttpRequest, slug: str) -> HttpResponse:
    prompt = posted_prompt(request, slug, "ranking")
    save_draft(prompt, request.user, said_in(request.POST))
    return HttpResponse(status=204)


def said_in(post) -> dict[str, Any]:
    """The form as `ranks.checked` reads it. `best` is the one key of two completions: an id, `tie` or `none`."""
    shown = post.get("shown", "").split(",")
    said: dict[str, Any] = {flag: bool(post.get(flag)) for flag in FLAGS}
    said |= {"comment": post.get("comment", ""), "seconds": post.get("seconds"), "shown": shown}
    for field in ("rank", "rating"):
        start = f"{field}_"
        said[f"{field}s"] = {
            name.removeprefix(start): post[name] for name in post if name.startswith(start) and post[name]
        }
    if best := post.get("best"):
        undecided = best in ("tie", "none")
        said["ranks"] = dict.fromkeys(shown, "1") if undecided else dict.fromkeys(shown, "2") | {best: "1"}
        said["all_bad"] = said["all_bad"] or best == "none"
    return said


def refused(request: HttpRequest, project: Project, invalid: Invalid) -> HttpResponse:
    """What was sent stands as a draft; each error stands at its field."""
    if wants_json(request):
        return refusal(invalid)
    return page(request, project, invalid.errors, status=422)


def page(request: HttpRequest, project: Project, errors: dict | None = None, status: int = 200) -> HttpResponse:
    context = card(request, project, errors=errors or {})
    context |= {"progress": progress(project, request.user), "place": "label"}
    return render(request, "annotation/rank.html", context, status=status)


def card(request: HttpRequest, project: Project, besides: list[int] = (), errors: dict | None = None) -> dict[str, Any]:
    """What the card shows: the prompt to rank with its draft filled in, or why there is none."""
    task = next_prompt(project, request.user, besides)
    if task is None:
        project.role = project.role_of(request.user)
        nothing = standstill(project, request.user) | progress(project, request.user)
        return {"project": project, "turns": "rank", "task": None, "end": nothing}
    draft, errors = task["draft"] or {}, errors or {}
    for completion in task["completions"]:
        pk = str(completion["id"])
        completion["html"] = markdown(completion["text"])
        completion["start"] = unescape(strip_tags(completion["html"][:400])).strip()[:80]
        completion["rank"] = draft.get("ranks", {}).get(pk)
        completion["rating"] = draft.get("ratings", {}).get(pk)
        completion["error"] = errors.pop(f"rank_{pk}", "") or errors.pop(f"rating_{pk}", "")
    count = len(task["completions"])
    return {
        "project": project,
        "turns": "rank",
        "task": task,
        "draft": draft,
        "pair": count == 2,
        "places": range(1, count + 1),
        "ratings": RATINGS if project.ask_ratings else (),
        "reasons": Skip.REASONS,
        "errors": errors,
        "shown": ",".join(str(completion["id"]) for completion in task["completions"]),
    }
