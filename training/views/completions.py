"""Have a model answer a project's prompts."""

from django import forms
from django.contrib import messages as flash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.access import project_or_404
from training import background, completing
from training.models import CompletionRun, ModelVersion


class CompletionForm(forms.Form):
    """Which model answers, how often, and how it is sampled."""

    model = forms.ModelChoiceField(ModelVersion.objects.none(), empty_label=None)
    per_prompt = forms.IntegerField(min_value=2, max_value=16, initial=4, label="Completions a prompt")
    temperature = forms.FloatField(min_value=0, max_value=2, initial=0.9, help_text="higher: answers differ more")
    top_p = forms.FloatField(min_value=0.01, max_value=1, initial=0.95)
    max_tokens = forms.IntegerField(min_value=1, max_value=4096, initial=256)
    seed = forms.IntegerField(min_value=0, required=False, help_text="empty: other answers each time")
    system = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False, label="System message")

    def __init__(self, *args, user, kind: str, **kwargs):
        super().__init__(*args, **kwargs)
        if kind == "steps":
            self.fields["per_prompt"] = forms.IntegerField(
                min_value=1, max_value=16, initial=2, label="Solutions a problem", help_text="those it has are counted"
            )
            self.fields["max_tokens"].initial = 512
        self.fields["model"].queryset = ModelVersion.objects.visible_to(user).usable().filter(makes="policy")


def complete(request: HttpRequest, slug: str) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    form = CompletionForm(request.POST or None, user=request.user, kind=project.kind)
    if request.method == "POST" and form.is_valid():
        data = dict(form.cleaned_data)
        try:
            completing.queue_run(project, data.pop("model"), data.pop("per_prompt"), data, request.user)
            return redirect("complete", slug)
        except completing.NothingToDo as error:
            flash.info(request, str(error))
    runs = project.completion_runs.select_related("model")[:10]
    context = {"project": project, "form": form, "runs": runs, "place": "label"}
    context |= {name: completing.lacking(project, n).count() for n, name in ((1, "bare"), (2, "few"))}
    context["busy"] = any(not run.ended for run in runs)
    template = "training/complete.html#runs" if request.htmx else "training/complete.html"
    return render(request, template, context)


@require_POST
def complete_cancel(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    project = project_or_404(request.user, slug, "manager")
    background.cancel(get_object_or_404(CompletionRun, project=project, pk=pk))
    return redirect("complete", slug)
