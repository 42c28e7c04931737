"""Try a model that scores traces: a problem and a solution in, its steps with their scores out."""

from asgiref.sync import async_to_sync
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from annotation.models import SPLITS
from annotation.steps.splitting import split
from training import serving
from training.models import STEP_SCORERS, ModelVersion
from training.step_metrics import first_error

LONGEST = 20_000  # characters, and most steps, of what is tried
MOST = 200


class TrialForm(forms.Form):
    problem = forms.CharField(max_length=LONGEST, widget=forms.Textarea({"rows": 3, "dir": "auto"}))
    solution = forms.CharField(max_length=LONGEST, widget=forms.Textarea({"rows": 8, "dir": "auto"}))
    rule = forms.ChoiceField(choices=SPLITS.items(), label="Cut into steps", initial="line")

    def clean(self) -> dict:
        data = super().clean()
        if not self.errors:
            data["steps"] = [
                step for step in split(data["solution"].replace("\r\n", "\n"), data["rule"]) if step.strip()
            ]
            if not 1 <= len(data["steps"]) <= MOST:
                self.add_error("solution", f"This makes {len(data['steps'])} steps; write 1 to {MOST}.")
        return data


def model_steps(request: HttpRequest, slug: str) -> HttpResponse:
    """GET shows the empty form, POST the steps with their scores; either alone where htmx asks."""
    scorers = ModelVersion.objects.visible_to(request.user).usable().filter(makes__in=STEP_SCORERS)
    model = get_object_or_404(scorers, slug=slug)
    form = TrialForm(request.POST if request.method == "POST" else None)
    context = {"place": "models", "model": model, "trial": form}
    if form.is_valid():
        context |= scored(model, form)
    template = "training/model_steps.html#trial" if request.htmx else "training/model_steps.html"
    return render(request, template, context, status=422 if form.errors else 200)


def scored(model: ModelVersion, form: TrialForm) -> dict:
    data = form.cleaned_data
    item = {"messages": [{"role": "user", "content": data["problem"]}], "steps": data["steps"]}
    try:
        (scores,) = async_to_sync(serving.score_steps)(model, [item])
    except serving.ServingError as error:
        form.add_error(None, str(error))
        return {}
    marks = [None if p is None else 1 if p >= 0.5 else -1 for p in scores]
    steps = zip(data["steps"], marks, scores, strict=True)
    wrong = first_error(scores)
    return {
        "steps": [{"text": text, "rating": rating, "score": score} for text, rating, score in steps],
        "first_error": wrong if wrong is None else wrong + 1,
        "outcome": scores[-1] if model.makes == "outcome_reward_model" else None,
    }
