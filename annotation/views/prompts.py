"""The table of prompts, and one prompt with all that was said of it."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import project_or_404
from annotation.counters import delete_label
from annotation.models import Completion, Project, Prompt, RankedCompletion, Ranking, StepLabels
from annotation.ranks import letter
from annotation.steps.exporting import FORMATS
from annotation.views import traces
from annotation.views.filters import FilterForm, StepsFilterForm

PAGE = 50
WINDOW = 30_000  # prompts one request looks through; the page then searches on by itself


@dataclass
class Page:
    """One page of a keyset: ids before and after it, and how far a search looked."""

    rows: list[Prompt]
    before: int | None = None
    after: int | None = None
    search_on: int | None = None  # the last id looked at, when the window ended before the page was full


def page_of(prompts: QuerySet, narrowed: QuerySet, after: int, before: int | None) -> Page:
    """The next PAGE matches among at most WINDOW prompts; two queries on the index of (project, id)."""
    backward = before is not None
    side, order = (Q(pk__lt=before), "-pk") if backward else (Q(pk__gt=after), "pk")
    edge = next(iter(prompts.filter(side).order_by(order).values_list("pk", flat=True)[WINDOW - 1 : WINDOW]), None)
    if edge:
        narrowed = narrowed.filter(pk__gte=edge) if backward else narrowed.filter(pk__lte=edge)
    found = list(narrowed.filter(side).order_by(order)[: PAGE + 1])
    more, rows = len(found) > PAGE, found[:PAGE]
    last = rows[-1].pk if more else edge  # from here on, a next page or the rest of the search
    if backward:
        return Page(rows[::-1], before=last, after=before - 1)
    return Page(
        rows,
        before=rows[0].pk if rows and after else None,
        after=last if more else None,
        search_on=None if more else edge,
    )


def prompts(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug)
    form = (StepsFilterForm if project.kind == "steps" else FilterForm)(request.GET, project=project)
    everything = Prompt.objects.filter(project=project)
    listed = form.narrow(everything).select_related("criterion").defer("messages", "metadata", "reference")
    page = page_of(everything, listed, number(request, "after") or 0, number(request, "before"))
    attach_counts(page.rows)
    if project.kind == "steps":
        attach_errors(page.rows, request.user if project.role == "labeler" else None)
    context = {"place": "label", "project": project, "form": form, "page": page, "query": form.query()}
    if project.kind == "steps" and project.role != "labeler":
        context["formats"] = FORMATS
    return render(request, "annotation/prompts.html" + part(request), context)


def part(request: HttpRequest) -> str:
    """The rows a search goes on to find, the results of other filters, or the whole page (going back too)."""
    if not request.htmx or request.htmx.history_restore_request:
        return ""
    return "#more" if "more" in request.GET else "#results"


def number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None


def attach_counts(rows: list[Prompt]) -> None:
    """How many completions each listed prompt has: one query a page."""
    found = Completion.objects.filter(prompt__in=rows).order_by().values_list("prompt").annotate(Count("pk"))
    counts = dict(found)
    for row in rows:
        row.completion_count = counts.get(row.pk, 0)


def attach_errors(rows: list[Prompt], labeler=None) -> None:
    """How many steps each listed trace has, and where people (or she alone) found its first error: two queries."""
    traces = Completion.objects.filter(prompt__in=rows).order_by("-pk").values_list("prompt", "steps")
    steps = {prompt: len(found) for prompt, found in traces if found}
    labels = StepLabels.objects.by_people().filter(prompt__in=rows, **({"labeler": labeler} if labeler else {}))
    found: dict[int, list[int | None]] = {}
    for pk, ratings, ended in labels.order_by("pk").values_list("prompt", "ratings", "gave_up"):
        if ratings and not (ended and -1 not in ratings):
            found.setdefault(pk, []).append(ratings.index(-1) + 1 if -1 in ratings else None)
    for row in rows:
        row.step_count, row.first_errors = steps.get(row.pk, 0), list(dict.fromkeys(found.get(row.pk, [])))


def prompt(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project = project_or_404(request.user, slug)
    prompt = get_object_or_404(Prompt.objects.select_related("criterion"), project=project, pk=pk)
    prompt.project = project
    if request.method == "POST":
        return delete(request, project, prompt)
    return traces.shown(request, project, prompt) if project.kind == "steps" else ranked(request, project, prompt)


def ranked(request: HttpRequest, project: Project, prompt: Prompt) -> HttpResponse:
    reviews = project.role != "labeler"
    rankings = prompt.rankings.select_related("labeler").order_by("created")
    if not reviews:
        rankings = rankings.filter(labeler=request.user)
    completions = lettered(prompt.completions.all())
    in_order = RankedCompletion.objects.order_by("rank", "shown")
    context = {
        "place": "label",
        "project": project,
        "prompt": prompt,
        "reviews": reviews,
        "completions": completions,
        "rankings": [drawn(row, completions) for row in rankings.prefetch_related(Prefetch("ranked", in_order))],
        "skips": prompt.skips.select_related("labeler") if reviews else [],
    }
    return render(request, "annotation/prompt.html", context)


def lettered(completions: QuerySet) -> list[Completion]:
    """A, B, C …: how rankings below refer to them."""
    rows = list(completions)
    for index, row in enumerate(rows):
        row.letter = letter(index)
    return rows


def drawn(ranking: Ranking, completions: list[Completion]) -> Ranking:
    """The ranking with its places, ties together, and the order the labeler saw, as letters."""
    letters = {completion.pk: completion.letter for completion in completions}
    places: dict[int, list] = {}
    for row in ranking.ranked.all():
        row.letter = letters.get(row.completion_id, "?")
        places.setdefault(row.rank, []).append(row)
    ranking.places = [(rank, sorted(rows, key=lambda row: row.letter)) for rank, rows in sorted(places.items())]
    ranking.shown = " ".join(row.letter for row in sorted(ranking.ranked.all(), key=lambda row: row.shown))
    return ranking


def delete(request: HttpRequest, project: Project, prompt: Prompt) -> HttpResponse:
    if project.role == "labeler":
        raise PermissionDenied(f"Labels are deleted by reviewers and managers of {project}; yours is labeler.")
    pk = request.POST.get("delete", "")
    labels = prompt.step_labels if project.kind == "steps" else prompt.rankings
    label = get_object_or_404(labels, pk=pk if pk.isdecimal() and len(pk) < 19 else None)
    label.prompt = prompt
    delete_label(label)
    machine = project.kind == "steps" and label.kind not in StepLabels.PEOPLE
    opened = "" if machine else " and its place is open again"
    what = "ranking is" if project.kind == "ranking" else "labels are"
    messages.success(request, f"The {what} deleted{opened}. Frozen datasets keep their rows.")
    return redirect("prompt", project.slug, prompt.pk)
