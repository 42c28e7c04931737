"""One trace with what every source says of its steps, and moving its cuts while nobody has labeled it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import project_or_404
from annotation.models import SPLITS, Completion, Project, Prompt, StepLabels
from annotation.steps.cutting import Uncut, mark_for, recut, steps_in, why_not
from annotation.steps.reading import too_fast
from annotation.steps.splitting import split

SIBLINGS = 20


def shown(request: HttpRequest, project: Project, prompt: Prompt) -> HttpResponse:
    """The page of a prompt of a project of kind `steps`; labelers see nobody's labels but their own."""
    reviews = project.role != "labeler"
    found = prompt.step_labels.select_related("labeler").order_by("labeler_id", "kind", "source")
    labels = [told(one) for one in (found if reviews else found.filter(labeler=request.user))]
    answer = prompt.completions.filter(steps__isnull=False).first()
    context = {
        "place": "label",
        "project": project,
        "prompt": prompt,
        "reviews": reviews,
        "completion": answer,
        "steps": with_marks(answer, labels) if answer else [],
        "labels": labels,
        "siblings": siblings(prompt),
        "skips": prompt.skips.select_related("labeler") if reviews else [],
        "may_cut": reviews and answer and not why_not(prompt),
    }
    return render(request, "annotation/prompt_trace.html", context)


def told(labels: StepLabels) -> StepLabels:
    """Labels with what the page says of them beside the steps."""
    if not labels.labeler_id:
        labels.shown_name = labels.name
    else:
        labels.shown_name = str(labels.labeler)
    labels.marked = sum(rating is not None for rating in labels.ratings)
    labels.bad = labels.ratings.count(-1)
    labels.first_bad = labels.ratings.index(-1) + 1 if labels.bad else None
    labels.hasty = bool(labels.labeler_id) and too_fast(labels.words, labels.seconds)
    answers = [answer for source in labels.proposed.values() for answer in source.values()]
    labels.accepted, labels.corrected = answers.count("accepted"), answers.count("corrected")
    return labels


def with_marks(answer: Completion, labels: list[StepLabels]) -> list[dict[str, Any]]:
    """Each step with its mark by each source, in the order of the sources."""
    return [
        {"text": text, "marks": [mark for one in labels if (mark := mark_of(one, number))]}
        for number, text in enumerate(answer.steps)
    ]


def mark_of(labels: StepLabels, number: int) -> dict[str, Any] | None:
    rating, score = (
        values[number] if number < len(values or []) else None for values in (labels.ratings, labels.scores)
    )
    better = labels.rewrites.get(str(number), {}).get("text")
    note = labels.notes.get(str(number))
    if rating is None and score is None and not better and not note:
        return None
    flagged = number in labels.flagged
    return {
        "name": labels.shown_name,
        "rating": rating,
        "score": score,
        "better": better,
        "note": note,
        "flagged": flagged,
    }


def siblings(prompt: Prompt) -> list[int]:
    """Other solutions of the same problem."""
    if not prompt.problem:
        return []
    same = Prompt.objects.filter(project=prompt.project_id, problem=prompt.problem).exclude(pk=prompt.pk)
    return list(same.order_by("pk").values_list("pk", flat=True)[:SIBLINGS])


def cut(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A form with the whole solution, a line of dashes between its steps; a rule can lay it out anew."""
    project = project_or_404(request.user, slug, "reviewer")
    prompt = get_object_or_404(project.prompts, pk=pk)
    answer = prompt.completions.filter(steps__isnull=False).first()
    if not answer:
        raise Http404("There is no solution to cut.")
    mark, trouble = mark_for("\n".join(answer.steps)), why_not(prompt)
    rule = request.GET.get("rule", "")
    steps = split(answer.text, rule) if rule in SPLITS else answer.steps
    if request.method == "POST":
        steps = steps_in(request.POST.get("steps", ""), mark)
        try:
            recut(prompt, steps)
            messages.success(request, f"The solution has {len(steps)} steps now.")
            return redirect("prompt", slug, pk)
        except Uncut as error:
            trouble = str(error)
    context = {"place": "label", "project": project, "prompt": prompt, "rules": SPLITS, "rule": rule, "mark": mark}
    context |= {"text": f"\n{mark}\n".join(steps), "count": len(steps), "trouble": trouble}
    status = 422 if request.method == "POST" else 200
    return render(request, "annotation/cut.html", context, status=status)
