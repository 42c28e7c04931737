"""Search a problem with a policy and a scorer, and look at the tree it grew."""

from typing import Any

from django import forms
from django.contrib import messages as flash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.access import project_or_404
from annotation.models import Project
from training import background, search_drawing, searching
from training.models import STEP_SCORERS, ModelVersion, SearchEvaluation, SearchRun, Strategy
from training.search import STRATEGIES
from training.search_tree import STATES, Node, Result
from training.search_votes import AGGREGATES
from training.searching import KNOBS, BadSearch
from training.views.compare import drawn_prompt

JUDGES = (*STEP_SCORERS, "reward_model")
SEPARATORS = {"blank_line": "\n\n", "line": "\n"}
AGGREGATE_WORDS = {"min": "its worst step", "prod": "the product of its steps", "last": "its last step"}
ZOOMS = (50, 75, 100)
PAGE = 20  # searches of the history shown at once


class ModelsForm(forms.Form):
    """Who writes, who judges, and how it is sampled: what a search and an evaluation share."""

    policy = forms.ModelChoiceField(ModelVersion.objects.none(), empty_label=None, help_text="writes the steps")
    scorer = forms.ModelChoiceField(
        ModelVersion.objects.none(), required=False, empty_label="none: majority vote only", help_text="judges them"
    )
    width = forms.IntegerField(
        min_value=1, max_value=64, required=False, help_text="paths kept a level, or subtrees; empty: about √N"
    )
    aggregate = forms.ChoiceField(
        choices=[(name, AGGREGATE_WORDS[name]) for name in AGGREGATES], initial="min", label="A path is worth"
    )
    depth = forms.IntegerField(min_value=1, max_value=200, initial=40, help_text="steps of a solution at most")
    ahead = forms.IntegerField(
        min_value=0, max_value=10, initial=1, label="Look ahead", help_text="steps rolled on before one is judged"
    )
    temperature = forms.FloatField(min_value=0, max_value=2, initial=0.8, help_text="higher: ways differ more")
    top_p = forms.FloatField(min_value=0.01, max_value=1, initial=1.0)
    max_tokens = forms.IntegerField(min_value=1, max_value=4096, initial=256, help_text="of one solution")
    step_tokens = forms.IntegerField(min_value=1, max_value=1024, initial=128, help_text="of one step")
    budget = forms.IntegerField(
        min_value=1, max_value=10_000_000, required=False, help_text="policy tokens of one search; empty: no limit"
    )
    seed = forms.IntegerField(min_value=0, max_value=2**31, initial=0, help_text="same seed, same search")
    separator = forms.ChoiceField(
        choices=[("blank_line", "at blank lines"), ("line", "at every line")], label="Steps end"
    )
    SAMPLING = ("aggregate", "depth", "ahead", "temperature", "top_p", "max_tokens", "step_tokens", "seed", "separator")

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        visible = ModelVersion.objects.visible_to(user).usable()
        self.fields["policy"].queryset = visible.filter(makes="policy").order_by("name", "version")
        self.fields["scorer"].queryset = visible.filter(makes__in=JUDGES).order_by("name", "version")

    def clean_separator(self) -> str:
        return SEPARATORS[self.cleaned_data["separator"]]

    def knobs(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name in KNOBS and value is not None}

    def advanced(self) -> list:
        return [self[name] for name in self.SAMPLING]


class SearchForm(ModelsForm):
    """One problem, and how it is searched."""

    problem = forms.CharField(widget=forms.Textarea(attrs={"rows": 5, "dir": "auto"}))
    reference = forms.CharField(required=False, label="Reference answer", help_text="optional: tells right from wrong")
    strategy = forms.ChoiceField(choices=[(key, way.name.capitalize()) for key, way in STRATEGIES.items()])
    n = forms.IntegerField(
        min_value=1, max_value=64, initial=8, label="N", help_text="solutions sampled, or ways on a level"
    )
    field_order = ["problem", "reference", "policy", "scorer", "strategy", "n", "width", "budget"]

    def start(self, user) -> SearchRun:
        """Raises BadSearch."""
        data = self.cleaned_data
        turn = [{"role": "user", "content": data["problem"].replace("\0", "").strip()}]
        chosen = (data["policy"], data["scorer"], data["strategy"])
        return searching.queue_search(user, turn, *chosen, self.knobs(), data["reference"].replace("\0", "").strip())


def first_values(request: HttpRequest) -> dict[str, Any]:
    """What the form starts with: an earlier search (?like=), else the last one's models; a problem drawn (?draw=)."""
    mine = SearchRun.objects.visible_to(request.user)
    like = request.GET.get("like", "")
    earlier = mine.filter(pk=like).first() if like.isdecimal() and len(like) < 18 else None
    values: dict[str, Any] = {}
    if last := earlier or mine.filter(created_by=request.user).first():
        values = last.settings | {"policy": last.policy_id, "scorer": last.scorer_id, "strategy": last.strategy}
        values["separator"] = next((key for key, text in SEPARATORS.items() if text == values["separator"]), None)
    if earlier:
        values |= {"problem": earlier.problem, "reference": earlier.reference}
    if (slug := request.GET.get("draw")) and (drawn := drawn_prompt(project_or_404(request.user, slug))):
        values |= {"problem": drawn.text, "reference": drawn.reference}
    return {name: value for name, value in values.items() if value is not None}


def search(request: HttpRequest) -> HttpResponse:
    form = SearchForm(request.POST or None, user=request.user, initial=first_values(request))
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(form.start(request.user))
        except BadSearch as error:
            form.add_error(None, str(error))
    runs, older = history(request)
    context = {
        "form": form,
        "runs": runs,
        "older": older,
        "evaluations": SearchEvaluation.objects.visible_to(request.user).select_related("policy", "scorer")[:10],
        "strategies": Strategy.objects.visible_to(request.user),
        "sources": Project.objects.visible_to(request.user).filter(kind="steps").distinct()[:12],
        "place": "compare",
    }
    return render(request, "training/search.html", context)


def history(request: HttpRequest) -> tuple[list[SearchRun], int | None]:
    """A page of searches, newest first, and where the next one starts."""
    before = request.GET.get("before", "")
    rows = SearchRun.objects.visible_to(request.user).select_related("policy", "scorer").defer("result").order_by("-pk")
    if before.isdecimal() and len(before) < 18:
        rows = rows.filter(pk__lt=int(before))
    runs = list(rows[: PAGE + 1])
    for run in runs:
        run.how = searching.how(run.strategy, run.settings["n"])
    return runs[:PAGE], runs[PAGE - 1].pk if len(runs) > PAGE else None


def own(request: HttpRequest, pk: int) -> SearchRun:
    return get_object_or_404(SearchRun.objects.visible_to(request.user).select_related("policy", "scorer"), pk=pk)


def search_run(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one search; to htmx only what grows, or the one step that was asked for."""
    run = own(request, pk)
    result = Result.from_json(run.result) if run.result else None
    context = {
        "run": run,
        "result": result,
        "how": searching.how(run.strategy, run.settings["n"]),
        "unit": searching.unit(run),
        "node": chosen_node(request, result),
        "states": STATES,
        "place": "compare",
    }
    if request.htmx and request.htmx.target == "node":
        return render(request, "training/search_run.html#node", context)
    context |= seen(request, result) if result else {}
    return render(request, f"training/search_run.html{'#run' if request.htmx else ''}", context)


def seen(request: HttpRequest, result: Result) -> dict[str, Any]:
    """The tree as it is to be drawn: which folds are open, how large, or as a list."""
    opened = {int(id) for id in request.GET.getlist("open") if id.isdecimal() and len(id) < 9}
    zoom = request.GET.get("zoom", "")
    drawing = search_drawing.draw(result.nodes, result.chosen, opened)
    scale = int(zoom) / 100 if zoom.isdecimal() and int(zoom) in ZOOMS else 1
    for fold in drawing["folds"]:
        fold["url"] = unfolded(request, fold["parent"])
    size = {"shown_width": round(drawing["width"] * scale), "shown_height": round(drawing["height"] * scale)}
    given_up = [node for node in result.nodes if node.state in ("pruned", "looked")]
    return {
        "drawing": drawing | size,
        "opened": bool(opened),
        "zoom": round(100 * scale),
        "zooms": ZOOMS,
        "paths": search_drawing.paths(result.nodes, result.chosen),
        "given_up": given_up,
        "total_weight": sum(vote.weight for vote in result.answers),
        "as_list": request.GET.get("view") == "list",
    }


def unfolded(request: HttpRequest, parent: int) -> str:
    """The address of this page with one fold more open."""
    query = request.GET.copy()
    query.pop("node", None)
    query.appendlist("open", str(parent))
    return f"?{query.urlencode()}"


def chosen_node(request: HttpRequest, result: Result | None) -> Node | None:
    asked = request.GET.get("node", "")
    if result is None or not asked.isdecimal() or len(asked) > 8 or int(asked) >= len(result.nodes):
        return None
    return result.nodes[int(asked)]


@require_POST
def search_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = own(request, pk)
    background.cancel(run)
    return redirect(run)


@require_POST
def search_offer(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep this way to search under a name, to be asked on the comparison page."""
    made = searching.offer(own(request, pk), request.user)
    flash.success(request, f"“{made}” can be chosen on the comparison page now.")
    return redirect("search_run", pk)


@require_POST
def strategy_remove(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Strategy.objects.visible_to(request.user), pk=pk).delete()
    flash.info(request, "The strategy is removed; answers it gave stay.")
    return redirect("search")
