"""One prompt, several models, their answers side by side, and the vote."""

import json
from random import randint

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import messages as flash
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from annotation.access import project_or_404
from annotation.models import Project, Prompt, fingerprint
from training import answering_by_search, comparing
from training.answering import answer as answer_events
from training.comparing import LETTERS, NotComparable
from training.models import SCORERS, Answer, Comparison, ModelVersion, Strategy

SEARCHED = ("strategy__policy", "strategy__scorer", "search")


class ComparisonForm(forms.Form):
    """What to ask, whom, and how to sample."""

    message = forms.CharField(widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}), label="Message")
    system = forms.CharField(widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}), required=False)
    prompt = forms.IntegerField(widget=forms.HiddenInput, required=False)
    models = forms.ModelMultipleChoiceField(
        ModelVersion.objects.none(), widget=forms.CheckboxSelectMultiple, required=False
    )
    strategies = forms.ModelMultipleChoiceField(
        Strategy.objects.none(), widget=forms.CheckboxSelectMultiple, required=False
    )
    project = forms.ModelChoiceField(Project.objects.none(), required=False, empty_label="decide when you vote")
    scorer = forms.ModelChoiceField(ModelVersion.objects.none(), required=False, empty_label="no scores")
    blind = forms.BooleanField(required=False, initial=True, label="Blind: names after the vote")
    temperature = forms.FloatField(min_value=0, max_value=2, initial=0.7)
    top_p = forms.FloatField(min_value=0.01, max_value=1, initial=0.95)
    max_tokens = forms.IntegerField(min_value=1, max_value=4096, initial=256)
    seed = forms.IntegerField(min_value=0, required=False, help_text="same seed, same answer; empty: another each time")

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        visible = ModelVersion.objects.visible_to(user).usable()
        self.fields["models"].queryset = visible.filter(makes="policy").order_by("name", "version")
        self.fields["scorer"].queryset = visible.filter(makes__in=SCORERS).order_by("name", "version")
        self.fields["project"].queryset = Project.objects.visible_to(user).filter(kind="ranking").distinct()
        usable = {"policy__status": "ready", "policy__in": visible}
        self.fields["strategies"].queryset = Strategy.objects.visible_to(user).filter(**usable).select_related("policy")
        self.user = user

    def clean(self) -> dict:
        data = super().clean()
        self.entries = [*data.get("models", ()), *data.get("strategies", ())]
        if len(self.entries) not in comparing.COLUMNS:
            self.add_error("models", "Choose two to four models.")
        return data

    @property
    def choices(self) -> int:
        return self.fields["models"].queryset.count() + self.fields["strategies"].queryset.count()

    def conversation(self) -> list[dict]:
        """The drawn prompt's chat with its last message as edited, else system and message."""
        data = self.cleaned_data
        drawn = Prompt.objects.visible_to(self.user).filter(pk=data["prompt"]).first() if data["prompt"] else None
        before = drawn.messages[:-1] if drawn else []
        if data["system"].strip() and not any(turn["role"] == "system" for turn in before):
            before = [{"role": "system", "content": data["system"].strip()}, *before]
        return [*before, {"role": "user", "content": data["message"]}]

    def sampling(self) -> dict:
        names = ("temperature", "top_p", "max_tokens", "seed")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name] is not None}


def drawn_prompt(project: Project) -> Prompt | None:
    """A prompt of the project at random, without counting its rows."""
    rows = project.prompts.exclude(origin="comparison")
    top = rows.aggregate(top=Max("pk"))["top"]
    if not top:
        return None
    low = rows.order_by("pk").values_list("pk", flat=True)[0]
    return rows.filter(pk__gte=randint(low, top)).order_by("pk").first()


def first_values(request: HttpRequest) -> dict:
    """What the form starts with: models named in the address, a prompt drawn from a project, last time's settings."""
    last = Comparison.objects.filter(created_by=request.user).first()
    values = dict(last.sampling) | {"project": last.project_id, "scorer": last.scorer_id} if last else {}
    named = [slug for slug in request.GET.getlist("model") if "\0" not in slug]
    chosen = ModelVersion.objects.filter(slug__in=named).values_list("pk", flat=True)
    asked = [] if chosen or not last else last.answers.all()
    values["models"] = list(chosen) or [answer.model_id for answer in asked if not answer.strategy_id]
    values["strategies"] = [answer.strategy_id for answer in asked if answer.strategy_id]
    if slug := request.GET.get("draw"):
        project = project_or_404(request.user, slug)
        values["project"] = project.pk
        if prompt := drawn_prompt(project):
            values |= {"message": prompt.text, "prompt": prompt.pk}
    return {key: value for key, value in values.items() if value is not None}


def compare(request: HttpRequest) -> HttpResponse:
    form = ComparisonForm(request.POST or None, user=request.user, initial=first_values(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        options = {"blind": data["blind"], "project": data["project"], "scorer": data["scorer"]}
        made = comparing.start(request.user, form.conversation(), form.entries, form.sampling(), **options)
        return redirect(made)
    recent = Comparison.objects.filter(created_by=request.user).prefetch_related("answers__model", "answers__strategy")[
        :12
    ]
    drawn = Prompt.objects.visible_to(request.user).filter(pk=form["prompt"].value() or 0).first()
    context = {"form": form, "recent": recent, "drawn": drawn, "place": "compare"}
    return render(request, "training/compare.html", context)


def own(request: HttpRequest, pk: int) -> Comparison:
    rows = Comparison.objects.visible_to(request.user).select_related("project", "scorer", "ranking__prompt__project")
    return get_object_or_404(rows, pk=pk)


def comparison(request: HttpRequest, pk: int) -> HttpResponse:
    found = own(request, pk)
    answers = list(found.answers.select_related("model", "strategy"))
    for row in answers:
        row.letter = LETTERS[row.column]
    context = {
        "comparison": found,
        "answers": answers,
        "named": not found.blind or found.ranking_id is not None,
        "voted": voted(found, answers),
        "projects": Project.objects.visible_to(request.user).filter(kind="ranking").distinct(),
        "complete": all(row.text for row in answers),
        "place": "compare",
        "project": found.project,
    }
    return render(request, "training/comparison.html", context)


def voted(found: Comparison, answers: list[Answer]) -> str:
    """The vote in words, and each answer's rank on it."""
    if not found.ranking_id:
        return ""
    ranks = dict(found.ranking.ranked.values_list("completion__fingerprint", "rank"))
    for row in answers:
        row.rank = ranks.get(fingerprint(row.text))
    best = [row for row in answers if row.rank == 1]
    if found.ranking.all_bad:
        return "all are bad"
    return "a tie" if len(best) == len(answers) else " and ".join(f"{r.letter}, {r.author}" for r in best)


@require_POST
async def comparison_answer(request: HttpRequest, pk: int, column: int) -> HttpResponse:
    """Stream one answer as JSON lines; `again` asks anew, `stop` ends the search behind it."""
    row = await sync_to_async(unanswered)(request, pk, column)
    if request.POST.get("stop") == "1":
        await sync_to_async(answering_by_search.stop)(row)
        return HttpResponse(status=204)
    again = request.POST.get("again") == "1" and not row.comparison.ranking_id  # what was voted on stays

    async def lines():
        async for event in answer_events(row, again):
            yield json.dumps(event) + "\n"

    return StreamingHttpResponse(lines(), content_type="application/x-ndjson", headers={"X-Accel-Buffering": "no"})


def answer_search(request: HttpRequest, pk: int, column: int) -> HttpResponse:
    """The tree behind an answer, once its author may be known."""
    row = unanswered(request, pk, column)
    if row.search is None or (row.comparison.blind and not row.comparison.ranking_id):
        raise Http404
    return redirect(row.search)


def unanswered(request: HttpRequest, pk: int, column: int) -> Answer:
    found = own(request, pk)
    rows = Answer.objects.select_related("comparison__scorer", "model", *SEARCHED)
    return get_object_or_404(rows, comparison=found, column=column)


@require_POST
async def comparison_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Without JavaScript: fetch every missing answer, then show the page."""
    found = await sync_to_async(own)(request, pk)
    async for row in found.answers.select_related("comparison__scorer", "model", *SEARCHED).filter(text=""):
        async for _ in answer_events(row):
            pass
    return redirect("comparison", pk)


@require_POST
def comparison_vote(request: HttpRequest, pk: int) -> HttpResponse:
    found = own(request, pk)
    try:
        project = project_or_404(request.user, request.POST.get("project", ""))
        given = {int(k[5:]): int(v) for k, v in request.POST.items() if k.startswith("rank_") and v.isdecimal()}
        comparing.vote(found, request.POST.get("choice", ""), project, given)
        flash.success(request, f"Your vote is a ranking in {project} now.")
    except NotComparable as error:
        flash.error(request, str(error))
    return redirect("comparison", pk)


@require_POST
def comparison_take_back(request: HttpRequest, pk: int) -> HttpResponse:
    comparing.take_back(own(request, pk))
    flash.info(request, "The vote is taken back.")
    return redirect("comparison", pk)


@require_POST
def comparison_next(request: HttpRequest, pk: int) -> HttpResponse:
    """Go on with another message, from one of the answers."""
    found = own(request, pk)
    try:
        column = request.POST.get("column", "")
        made = comparing.follow_up(found, int(column) if column.isdecimal() else -1, request.POST.get("message", ""))
    except NotComparable as error:
        flash.error(request, str(error))
        return redirect("comparison", pk)
    return redirect(made)


@require_POST
def comparison_retry(request: HttpRequest, pk: int) -> HttpResponse:
    """The same question again, as a new comparison with another seed."""
    found = own(request, pk)
    sampling = {key: value for key, value in found.sampling.items() if key != "seed"}
    fields = {"blind": found.blind, "project": found.project, "scorer": found.scorer}
    return redirect(comparing.start(request.user, found.messages, comparing.entries(found), sampling, **fields))
