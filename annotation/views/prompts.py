"""The table of prompts, and one prompt with all that was said of it."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import project_or_404
from annotation.counters import delete_label
from annotation.models import Completion, Project, Prompt, RankedCompletion, Ranking, StepLabels
from annotation.overview import waiting
from annotation.ranks import letter
from annotation.views import traces

PAGE = 50
WINDOW = 30_000  # prompts one request looks through; the page then searches on by itself
STATES = {
    "waiting": "waiting for completions",
    "open": "open",
    "progress": "in progress",
    "done": "done",
}
ORIGINS = {"import": "imported", "comparison": "comparison", "demo": "demo", "api": "API"}


class FilterForm(forms.Form):
    """The only fields that reach the query; whatever else an address carries is ignored."""

    q = forms.CharField(required=False, max_length=200, label="Search", strip=True)
    criterion = forms.ModelChoiceField(queryset=None, required=False, empty_label="any")
    state = forms.ChoiceField(required=False, choices=[("", "any"), *STATES.items()])
    origin = forms.ChoiceField(required=False, choices=[("", "any"), *ORIGINS.items()])
    flagged = forms.BooleanField(required=False)

    def __init__(self, *args, project: Project, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["criterion"].queryset = project.criteria.all()
        self.of_steps = project.kind == "steps"
        if project.role == "labeler":  # others' flags are not hers to see
            del self.fields["flagged"]

    def chosen(self) -> dict:
        """Valid filters that are set; a bad value filters nothing."""
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def narrow(self, prompts: QuerySet) -> QuerySet:
        chosen = self.chosen()
        if "q" in chosen:
            prompts = prompts.filter(text__icontains=chosen["q"])
        if "criterion" in chosen:
            prompts = prompts.filter(criterion=chosen["criterion"])
        if "origin" in chosen:
            prompts = prompts.filter(origin=chosen["origin"])
        if "flagged" in chosen:
            rankings = Ranking.objects.filter(prompt=OuterRef("pk"))
            prompts = prompts.filter(Exists(doubted() if self.of_steps else flagged(rankings)))
        return in_state(prompts, chosen.get("state"))

    def query(self) -> str:
        """The filters as they stand in links to other pages of this table."""
        chosen = self.chosen()
        return urlencode({name: getattr(value, "pk", None) or value for name, value in chosen.items()})


def flagged(rankings: QuerySet) -> QuerySet:
    return rankings.filter(Q(all_bad=True) | Q(unsure=True) | Q(bad_prompt=True))


def doubted() -> QuerySet:
    """Step labels with something to look at: unsure steps, given up, a bad problem."""
    return StepLabels.objects.filter(prompt=OuterRef("pk")).exclude(flagged=[], gave_up="", bad_problem="")


def in_state(prompts: QuerySet, state: str | None) -> QuerySet:
    if state == "waiting":
        return waiting(prompts)
    if state == "open":
        return prompts.filter(labels_given=0, open_slots__gt=0)
    if state == "progress":
        return prompts.filter(labels_given__gt=0, labels_given__lt=F("labels_wanted"))
    if state == "done":
        return prompts.filter(labels_given__gt=0, labels_given__gte=F("labels_wanted"))
    return prompts


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
    form = FilterForm(request.GET, project=project)
    everything = Prompt.objects.filter(project=project)
    listed = form.narrow(everything).select_related("criterion").defer("messages", "metadata", "reference")
    page = page_of(everything, listed, number(request, "after") or 0, number(request, "before"))
    attach_counts(page.rows)
    context = {"place": "label", "project": project, "form": form, "page": page, "query": form.query()}
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


def prompt(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project = project_or_404(request.user, slug)
    prompt = get_object_or_404(Prompt.objects.select_related("criterion"), project=project, pk=pk)
    prompt.project = project
    reviews = project.role != "labeler"
    if request.method == "POST":
        return delete(request, project, prompt)
    if project.kind == "steps":
        return traces.shown(request, project, prompt)
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
    steps = project.kind == "steps"
    what, labels = ("label", prompt.step_labels) if steps else ("ranking", prompt.rankings)
    if project.role == "labeler":
        raise PermissionDenied(f"{what.title()}s are deleted by reviewers and managers of {project}; yours is labeler.")
    pk = request.POST.get("delete", "")
    label = get_object_or_404(labels, pk=pk if pk.isdecimal() else None)
    label.prompt = prompt
    delete_label(label)
    opens = " and its place is open again" if not steps or label.labeler_id else ""
    messages.success(request, f"The {what} is deleted{opens}. Frozen datasets keep their rows.")
    return redirect("prompt", project.slug, prompt.pk)
