"""Search many problems by several strategies, and plot accuracy against N and against tokens."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.models import Project
from training import background, search_evaluating
from training.models import SearchEvaluation
from training.search import STRATEGIES
from training.search_curves import Point
from training.search_plot import plot
from training.searching import BadSearch
from training.views.search import ModelsForm, first_values


class EvaluationForm(ModelsForm):
    """Which problems, which strategies, at which N."""

    project = forms.ModelChoiceField(
        Project.objects.none(), empty_label=None, label="Problems of", help_text="those with a reference answer"
    )
    count = forms.IntegerField(
        min_value=1, max_value=search_evaluating.MOST, initial=40, label="How many", help_text="evenly from all of it"
    )
    strategies = forms.MultipleChoiceField(
        choices=[(key, way.name.capitalize()) for key, way in STRATEGIES.items()],
        widget=forms.CheckboxSelectMultiple, initial=["majority", "best_of_n", "weighted"],
    )  # fmt: skip
    ns = forms.CharField(initial="1, 2, 4, 8, 16", label="N", help_text="numbers with commas between")
    field_order = ["project", "count", "policy", "scorer", "strategies", "ns", "width", "budget"]

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, user=user, **kwargs)
        self.fields["project"].queryset = Project.objects.visible_to(user).exclude(prompts=None).distinct()

    def clean_ns(self) -> list[int]:
        parts = [part.strip() for part in self.cleaned_data["ns"].split(",") if part.strip()]
        if not all(part.isdecimal() and len(part) < 4 for part in parts):
            raise forms.ValidationError("Write whole numbers with commas between, such as 1, 2, 4, 8.")
        return [int(part) for part in parts]

    def start(self, user) -> SearchEvaluation:
        """Raises BadSearch."""
        data, project = self.cleaned_data, self.cleaned_data["project"]
        problems = search_evaluating.problems_of(project, data["count"])
        chosen = (data["policy"], data["scorer"], data["strategies"], data["ns"])
        return search_evaluating.queue_evaluation(
            user, f"{len(problems)} problems of {project}", problems, *chosen, self.knobs(), project
        )


def search_evaluate(request: HttpRequest) -> HttpResponse:
    form = EvaluationForm(request.POST or None, user=request.user, initial=first_values(request))
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(form.start(request.user))
        except BadSearch as error:
            form.add_error(None, str(error))
    return render(request, "training/search_evaluate.html", {"form": form, "place": "compare"})


def own(request: HttpRequest, pk: int) -> SearchEvaluation:
    rows = SearchEvaluation.objects.visible_to(request.user).select_related("policy", "scorer", "project")
    return get_object_or_404(rows, pk=pk)


def search_evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    evaluation = own(request, pk)
    names = {key: way.name for key, way in STRATEGIES.items()}
    points = [Point(**point) for point in evaluation.points or []]
    named = [Point(**(point.as_json() | {"strategy": names[point.strategy]})) for point in points]
    plots = [plot(named, along) for along in ("n", "tokens")] if named else []
    context = {
        "evaluation": evaluation,
        "points": named,
        "plots": plots,
        "ways": [names[name] for name in evaluation.strategies],
        "place": "compare",
    }
    template = "training/search_evaluation.html"
    return render(request, f"{template}#evaluation" if request.htmx else template, context)


@require_POST
def search_evaluation_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    evaluation = own(request, pk)
    background.cancel(evaluation)
    return redirect(evaluation)
