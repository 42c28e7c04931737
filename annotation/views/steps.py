"""The step page: hand out the next trace, take marks, skips, undos and drafts; forms work without JavaScript."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.access import project_or_404, visible_project
from annotation.models import Project, Skip
from annotation.progress import progress, standstill
from annotation.ranks import Invalid
from annotation.slots import TooLate, skip
from annotation.steps.labeling import REASONS, next_trace, save_draft, submit_held, submit_steps
from annotation.steps.ratings import MARKS, SIGNS
from annotation.templatetags.text import markdown
from annotation.undo import undo
from annotation.views.posting import NOTHING, answer, besides, number, posted_prompt, refusal, wants_json

MANY = 60  # steps from which the browser lays out only those in sight


@never_cache
@require_safe
def steps(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    return page(request, project) if project.kind == "steps" else redirect(project.label_url)


@never_cache
@require_safe
def steps_next(request: HttpRequest, slug: str) -> HttpResponse:
    """The card after those `besides`, fetched ahead so that the page turns at once."""
    context = card(request, visible_project(request.user, slug), besides(request))
    return render(request, f"annotation/{'steps_card' if context['task'] else 'label_end'}.html", context)


@require_POST
def steps_submit(request: HttpRequest, slug: str) -> HttpResponse:
    said, pk = said_in(request.POST), number(request.POST.get("prompt", ""))
    if pk and (labels := submit_held(pk, slug, request.user, said, request.POST.get("key"))):
        return answer(request, "steps", slug, {"labels": labels, "again": False})
    prompt = posted_prompt(request, slug, "steps")
    try:
        done = submit_steps(prompt, request.user, said, request.POST.get("key"))
    except Invalid as invalid:
        save_draft(prompt, request.user, said)
        return refused(request, prompt.project, invalid)
    except TooLate as late:
        return answer(request, "steps", slug, {"detail": str(late)}, 409)
    return answer(request, "steps", slug, {"labels": done.labels.pk, "again": done.again})


@require_POST
def steps_skip(request: HttpRequest, slug: str) -> HttpResponse:
    prompt = posted_prompt(request, slug, "steps")
    save_draft(prompt, request.user, said_in(request.POST))
    try:
        skipped = skip(prompt, request.user, request.POST.get("reason", ""), request.POST.get("comment", ""))
    except Invalid as invalid:
        return refused(request, prompt.project, invalid)
    return answer(request, "steps", slug, {"skip": skipped and skipped.pk})


@require_POST
def steps_undo(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    if request.POST.get("prompt"):
        save_draft(posted_prompt(request, slug, "steps"), request.user, said_in(request.POST))
    decision = undo(project, request.user)
    if decision is None:
        return answer(request, "steps", slug, NOTHING, 409)
    return answer(request, "steps", slug, {"prompt": decision.prompt_id, "was": decision._meta.model_name})


@require_POST
def steps_draft(request: HttpRequest, slug: str) -> HttpResponse:
    save_draft(posted_prompt(request, slug, "steps"), request.user, said_in(request.POST))
    return HttpResponse(status=204)


def said_in(post) -> dict[str, Any]:
    """The form as `ratings.checked` reads it."""
    marks = by_step(post, "step_")
    return {
        "ratings": [marks.get(step) for step in range(max(marks, default=-1) + 1)],
        "flagged": list(by_step(post, "flag_")),
        "rewrites": {step: text for step, text in by_step(post, "rewrite_").items() if text.strip()},
        "proposals": post.get("proposals", "").split(","),
        "comment": post.get("comment", ""),
        "seconds": post.get("seconds"),
        **{name: post.get(name, "") for name in REASONS},
    }


def by_step(post, prefix: str) -> dict[int, str]:
    """Fields like `step_3` by their step; a name that is none is passed over."""
    places = {name: name.removeprefix(prefix) for name in post if name.startswith(prefix)}
    return {int(place): post[name] for name, place in places.items() if place.isdecimal() and len(place) < 6}


def refused(request: HttpRequest, project: Project, invalid: Invalid) -> HttpResponse:
    """What was sent stands as a draft; each error stands at its step."""
    return refusal(invalid) if wants_json(request) else page(request, project, invalid.errors, status=422)


def page(request: HttpRequest, project: Project, errors: dict | None = None, status: int = 200) -> HttpResponse:
    context = card(request, project, errors=errors or {})
    context |= {"progress": progress(project, request.user), "place": "label"}
    return render(request, "annotation/steps.html", context, status=status)


def card(request: HttpRequest, project: Project, besides: list[int] = (), errors: dict | None = None) -> dict[str, Any]:
    """What the card shows: the trace to mark with its draft filled in, or why there is none."""
    task = next_trace(project, request.user, besides)
    if task is None:
        project.role = project.role_of(request.user)
        nothing = standstill(project, request.user) | progress(project, request.user)
        return {"project": project, "turns": "steps", "task": None, "end": nothing}
    draft, errors = task["draft"] or {}, errors or {}
    rows = [row(step, place, draft, errors) for place, step in enumerate(task["steps"])]
    return {
        "project": project,
        "turns": "steps",
        "task": task,
        "rows": rows,
        "sampling": f"{reverse('alternatives', args=[project.slug])}?prompt={task['prompt']['id']}",
        "proposed": any(step["proposals"] for step in rows),
        "many": len(rows) > MANY,
        "draft": draft,
        "reasons": Skip.REASONS,
        "gave_up": REASONS["gave_up"].items(),
        "bad_problem": REASONS["bad_problem"].items(),
        "ended": ended(draft),
        "errors": errors,
        "shown": ",".join(map(str, task["proposals"])),
    }


def row(step: dict, place: int, draft: dict, errors: dict) -> dict[str, Any]:
    """One step as the card shows it. What has an error at this step is taken out of `errors`."""
    ratings = draft.get("ratings", [])
    rating = ratings[place] if place < len(ratings) else None
    for proposal in step["proposals"]:
        score, error = (value if value is None else f"{value:.2f}" for value in (proposal["score"], proposal["error"]))
        proposal |= {"mark": MARKS[proposal["rating"]], "sign": SIGNS[proposal["rating"]], "score": score}
        proposal |= {"error": error, "rating": str(proposal["rating"])}
    found = [errors.pop(f"{field}_{place}", "") for field in ("step", "rewrite")]
    return step | {
        "place": str(place),  # text, for a template makes text of a number slowly
        "n": str(place + 1),
        "html": markdown(step["text"]),
        "bad": rating == -1,
        "neutral": rating == 0,
        "good": rating == 1,
        "flagged": place in draft.get("flagged", []),
        "rewrite": draft.get("rewrites", {}).get(str(place), ""),
        "error": " ".join(filter(None, found)),
    }


def ended(draft: dict) -> str:
    """The reason of a decision that was opened again, in words."""
    return next((REASONS[name][draft[name]] for name in REASONS if draft.get(name)), "")
