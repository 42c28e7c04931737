"""The rollouts of a run: a list one searches and sorts, groups that open, and word of new ones while it trains."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from training.models import RolloutGroup, TrainingJob
from training.rollouts import (
    NAMES,
    PAGE,
    PART,
    Wanted,
    excerpt,
    found_on,
    in_order,
    known_numbers,
    matching,
    ordered,
    words,
)  # fmt: skip
from training.views.curves import visible

TAB = {"rollouts": "Rollouts"}
STOP_POLLING = 286  # what htmx takes as the last answer


def draws(run: TrainingJob) -> bool:
    """Whether a run's recipe keeps rollouts."""
    return "rollouts_kept" in run.settings


def rollouts(request: HttpRequest, pk: int) -> HttpResponse:
    """The list alone, as it is searched and turned over; on its own it is a part of the run's page."""
    run = get_object_or_404(visible(request.user), pk=pk)
    if not request.htmx:
        return redirect(f"{run.get_absolute_url()}?{request.GET.urlencode()}#details")
    response = render(request, "training/job_rollouts.html#list", {"job": run} | listed(run, request.GET))
    response["HX-Replace-Url"] = f"{run.get_absolute_url()}?{address(request.GET)}"
    return response


def rollouts_fresh(request: HttpRequest, pk: int) -> HttpResponse:
    """How many groups came since the list was made; nothing where the page knows."""
    run = get_object_or_404(visible(request.user), pk=pk)
    wanted = Wanted.of(request.GET, known_numbers(run))
    count = matching(run, wanted).filter(line__gt=-1 if wanted.until is None else wanted.until).count()
    if str(count) == request.GET.get("told", "0"):
        return HttpResponse(status=STOP_POLLING if run.ended else 204)
    context = {"job": run, "fresh": count, "query": address(request.GET)}
    status = STOP_POLLING if run.ended else 200
    return render(request, "training/job_rollouts.html#fresh", context, status=status)


def rollout(request: HttpRequest, pk: int, group: int) -> HttpResponse:
    """One group: its prompt and every completion with its numbers; opened in the list, or as a page of its own."""
    run = get_object_or_404(visible(request.user), pk=pk)
    row = get_object_or_404(RolloutGroup, pk=group, job=run)
    wanted = Wanted.of(request.GET, known_numbers(run))
    context = {"job": run, "group": row, "completions": in_order(row, wanted), "turns": turns(row), "place": "train"}
    return render(request, "training/rollout.html#group" if request.htmx else "training/rollout.html", context)


def listed(run: TrainingJob, said: Any) -> dict[str, Any]:
    """What the list shows of a run, as the address says."""
    known = known_numbers(run)
    wanted = Wanted.of(said, known)
    newest = run.rollouts.order_by("-line").values_list("line", flat=True).first()
    until = wanted.until if wanted.until is not None else newest
    found = matching(run, wanted)
    groups, count = found_on(ordered(found if until is None else found.filter(line__lte=until), wanted), wanted)
    return {
        "groups": [summed_up(group, wanted) for group in groups], "count": count, "wanted": wanted, "until": until,
        "sorts": [("-step", "Newest first"), ("step", "Oldest first")] + [
            (sign + name, f"{title(name)}, {which} first")
            for name in known for sign, which in (("-", "highest"), ("", "lowest"))
        ],
        "shown_from": (wanted.page - 1) * PAGE + 1, "shown_to": (wanted.page - 1) * PAGE + len(groups),
        "before": wanted.page - 1, "after": wanted.page + 1 if wanted.page * PAGE < count else None,
        "query": address(said), "moved": "moved" in said,
    }  # fmt: skip


def summed_up(group: RolloutGroup, wanted: Wanted) -> dict[str, Any]:
    """A group as a line: where it stands, its numbers from lowest to highest, what it says."""
    names = ["reward"] if wanted.by in ("step", "reward") else [wanted.by, "reward"]
    texts = [one["text"] for one in in_order(group, wanted)]
    asked = words(group.prompt)
    return {
        "row": group, "count": len(texts), "ask": asked[:300], "said": excerpt([*texts, asked], wanted.text),
        "ranges": [(title(name), group.low[name], group.high[name]) for name in names if name in group.high],
    }  # fmt: skip


def title(name: str) -> str:
    return NAMES.get(name, name.removeprefix(PART)) if name.startswith(PART) else NAMES[name].capitalize()


def turns(group: RolloutGroup) -> list[dict]:
    return [turn for turn in group.prompt if isinstance(turn, dict)]


def address(said: Any) -> str:
    """The query of the list, without what only one answer was about."""
    kept = said.copy()
    for name in ("until", "page", "told", "moved"):
        kept.pop(name, None)
    kept["tab"] = "rollouts"
    return kept.urlencode()
